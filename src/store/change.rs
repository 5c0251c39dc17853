//! The changes that a store can make, each as one whole, and what comes of them.

mod machine;
mod second_factor;

use std::time::Duration;

use crate::accounts::audit::{Entry, Origin};
use crate::accounts::{
    Account, AccountId, Attributes, BrowserSession, Device, EmailAddress, Factors, GoodFor,
    Invitation, InvitationDigest, LoginCodeDigest, PasswordHash, Revocation, Role, SessionId,
    Status,
};
use crate::clock::Timestamp;
use crate::inbound::ClientIp;
use crate::secret::Secret;
use crate::store::StoreError;
use crate::store::sql::Connection;

/// A change of the database, made wholly or not at all.
pub trait Change: Send + Sync + 'static {
    type Output: Send + 'static;

    /// Makes the change in the transaction that the connection is in. An error undoes what this
    /// change did, and nothing else. It may be undone and made anew, so nothing but the database
    /// may be changed.
    fn apply(
        &self,
        connection: &mut Connection<'_>,
    ) -> impl Future<Output = Result<Self::Output, StoreError>> + Send;
}

pub use machine::{
    CreateApiKey, CreateService, DeleteService, KeyCreated, NoteKeyUses, RevokeApiKey,
    RotateApiKey, SetServiceRoles, SetServiceStatus,
};
pub use second_factor::{
    ConfirmSecondFactor, OfferSecondFactor, RemoveSecondFactor, ReplaceRecoveryCodes,
    ResealSecondFactor, UseRecoveryCode, UseSecondFactor,
};

/// Adds an account.
#[derive(Clone, Debug)]
pub struct CreateAccount {
    pub account: Account,
    pub password: PasswordHash,
    /// By which its owner comes: used once more, or nothing is changed.
    pub invitation: Option<InvitationDigest>,
    pub entry: Entry,
}

/// Adds an account and opens its first session, both or neither.
#[derive(Clone, Debug)]
pub struct Register {
    pub create: CreateAccount,
    pub open: OpenSession,
}

/// What came of [`CreateAccount`].
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    Done,
    /// One of its login names belongs to another account: nothing was changed.
    Taken,
    /// There is an account of this id, or was one: nothing was changed.
    Known,
    /// The invitation is used up, or has expired, or was taken back: nothing was changed.
    NotInvited,
}

/// Adds a session; its first refresh token has the counter 0. `None`: the account is not active or was
/// changed since `unless_changed_from`: a password that was right before it was changed opens nothing.
/// Also `None`: the session is without a second factor and the account has a confirmed one, so that
/// no way of logging in can forget to ask for it.
#[derive(Clone, Debug)]
pub struct OpenSession {
    pub session: NewSession,
    pub unless_changed_from: Timestamp,
    pub entry: Entry,
    /// Most live sessions that the account may have, this one included. Of others, those that were
    /// left unused for longest end.
    pub most: u32,
    pub ending: Ending,
}

/// What came of [`OpenSession`].
#[derive(Clone, Debug)]
pub struct SessionOpened {
    /// As it is now.
    pub account: Account,
    /// Of the sessions that ended for it.
    pub entries: Vec<Entry>,
    pub revoked: Revoked,
}

/// A session to be opened.
#[derive(Clone, Debug)]
pub struct NewSession {
    pub id: SessionId,
    pub account: AccountId,
    pub device: Device,
    pub at: Timestamp,
    pub expires_at: Timestamp,
    /// It is never extended beyond.
    pub ends_at: Timestamp,
    /// By which its owner was let in.
    pub factors: Factors,
}

/// Uses a refresh token up.
#[derive(Clone, Debug)]
pub struct Rotate {
    pub session: SessionId,
    /// Of the token that was shown.
    pub counter: u64,
    pub device: Device,
    pub idle: Duration,
    pub grace: Duration,
    pub ending: Ending,
}

/// What came of [`Rotate`].
#[must_use]
#[derive(Clone, Debug)]
pub enum Rotation {
    /// The token was good, or was within the grace: its successor has the next counter.
    Successor {
        account: Box<Account>,
        expires_at: Timestamp,
        /// By which the session was opened.
        factors: Factors,
    },
    /// No such session, or it has ended, or the counter is from its future.
    Unknown,
    Expired,
    /// The token was used up before; the session was ended.
    Reused {
        entry: Box<Entry>,
        revoked: Revoked,
    },
}

/// Records that sessions were used. One that has ended or expired stays as it is.
#[derive(Clone, Debug)]
pub struct UseSessions(pub Vec<SessionUse>);

/// One use of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionUse {
    pub session: SessionId,
    pub at: Timestamp,
    pub client: ClientIp,
    /// The session lives on until then at least, but never beyond its end.
    pub until: Timestamp,
}

/// When something ends, by whom, and how long the revocations must be remembered.
#[derive(Clone, Debug)]
pub struct Ending {
    pub at: Timestamp,
    pub forget_at: Timestamp,
    pub origin: Origin,
}

/// The longest that another issuer's token, or one of a key from before, is taken to live. We know
/// no better: such tokens name no session, and their lifetime is not in our configuration.
const LONGEST_FOREIGN_LIFE: Duration = Duration::from_secs(400 * 24 * 60 * 60);

impl Ending {
    /// Until when it is remembered that an account's tokens without a session are revoked: one word
    /// an account, however many sessions it had.
    pub fn forget_subject_at(&self) -> Timestamp {
        self.forget_at.max(self.at + LONGEST_FOREIGN_LIFE)
    }
}

/// The revocations that a change made, each with the time until which it is remembered.
pub type Revoked = Vec<(Revocation, Timestamp)>;

/// Which sessions of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    All,
    Only(SessionId),
    AllBut(SessionId),
}

/// Ends sessions of an account. Nothing happens, not even an entry, when it was only one and that
/// has ended.
#[derive(Clone, Debug)]
pub struct EndSessions {
    pub account: AccountId,
    pub which: Which,
    pub ending: Ending,
}

/// Sets a password and ends sessions. `None`: no such account, or its password is not
/// `unless_changed_from` any more.
#[derive(Clone, Debug)]
pub struct SetPassword {
    pub account: AccountId,
    pub password: PasswordHash,
    pub unless_changed_from: Option<PasswordHash>,
    pub end: Which,
    pub ending: Ending,
}

/// Replaces a hash by one of the same password with today's parameters, if it is still there.
#[derive(Clone, Debug)]
pub struct Rehash {
    pub account: AccountId,
    pub from: PasswordHash,
    pub to: PasswordHash,
}

/// Sets an account's status; ends its sessions unless it becomes active. `None`: no such account.
#[derive(Clone, Debug)]
pub struct SetStatus {
    pub account: AccountId,
    pub status: Status,
    pub ending: Ending,
}

/// Takes back that an account was locked or disabled: it waits for approval if it did before, and is
/// active otherwise. Answers which. `None`: no such account.
#[derive(Clone, Debug)]
pub struct Unlock {
    pub account: AccountId,
    pub ending: Ending,
}

/// Marks an account's address as shown to be its owner's. Answers whether there is such an account
/// that still has this address.
#[derive(Clone, Debug)]
pub struct VerifyEmail {
    pub account: AccountId,
    pub email: EmailAddress,
    pub at: Timestamp,
    pub origin: Origin,
}

/// Keeps an invitation.
#[derive(Clone, Debug)]
pub struct CreateInvitation {
    pub invitation: Invitation,
    pub entry: Entry,
}

/// Forgets an invitation. Answers whether there was one.
#[derive(Clone, Debug)]
pub struct RevokeInvitation {
    pub digest: InvitationDigest,
    pub at: Timestamp,
    pub entry: Entry,
}

/// Keeps a code for a session. Answers whether the session is live; otherwise nothing is kept.
#[derive(Clone, Debug)]
pub struct IssueLoginCode {
    pub digest: LoginCodeDigest,
    pub session: BrowserSession,
    pub good_for: GoodFor,
    pub at: Timestamp,
    pub expires_at: Timestamp,
    /// Most codes that the session may have, this one included; of others, the oldest go.
    pub most: u32,
}

/// Uses a code up, whatever comes of it. `None`: there is none, or it is good elsewhere, or its time
/// or its session is over.
#[derive(Clone, Debug)]
pub struct RedeemLoginCode {
    pub digest: LoginCodeDigest,
    pub shown_for: GoodFor,
    pub at: Timestamp,
    pub origin: Origin,
}

/// What a code stood for.
#[derive(Clone, Debug)]
pub struct Redeemed {
    pub session: BrowserSession,
    /// When the session ends unless it is used before.
    pub expires_at: Timestamp,
    pub entry: Entry,
}

/// Sets an account's roles; ends its sessions when it loses one. `None`: no such account.
#[derive(Clone, Debug)]
pub struct SetRoles {
    pub account: AccountId,
    pub roles: Vec<Role>,
    pub ending: Ending,
}

/// Sets an account's attributes; ends its sessions when one that it had is changed or gone, since
/// they may stand in tokens. `None`: no such account, or its attributes are not `from` any more.
#[derive(Clone, Debug)]
pub struct SetAttributes {
    pub account: AccountId,
    pub from: Attributes,
    pub to: Attributes,
    pub ending: Ending,
}

/// Deletes an account's data but for its id and the audit log. `None`: no such account.
#[derive(Clone, Debug)]
pub struct Delete {
    pub account: AccountId,
    pub ending: Ending,
}

/// Adds a key to a ring, unless the ring has a key of this id.
#[derive(Clone, Debug)]
pub struct KeepRingKey {
    pub ring: &'static str,
    pub id: u8,
    pub secret: Secret,
    pub at: Timestamp,
}

/// Forgets sessions and keys that ended before `sessions_before`, and revocations, invitations and
/// codes that expired before `now` or are used up, and second factors that were offered before
/// `offers_before` and never confirmed. Answers how many rows went.
#[derive(Clone, Debug)]
pub struct Sweep {
    pub now: Timestamp,
    pub sessions_before: Timestamp,
    pub offers_before: Timestamp,
}
