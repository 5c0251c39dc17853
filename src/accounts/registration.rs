//! How somebody gets an account: by registering, or from an operator.

use super::audit::{Entry, Event, Origin};
use super::password::Owner;
use super::user::Status;
use super::{
    Account, AccountId, Accounts, Attributes, Device, DisplayName, EmailAddress, HashError,
    InvitationCode, InvitationDigest, LoginName, Opened, PlainPassword, PolicyError, Proof,
    Registration, Role, Username,
};
use crate::store::{CreateAccount, Created, Register, StoreError};

/// Somebody who is to have an account.
#[derive(Clone, Debug)]
pub struct NewAccount {
    pub email: EmailAddress,
    pub password: PlainPassword,
    pub username: Option<Username>,
    /// `None`: the local part of the address.
    pub name: Option<DisplayName>,
    /// The code by which somebody registers, as it was typed.
    pub invitation: Option<String>,
}

/// What became of somebody who registered in order to log in.
#[must_use]
#[derive(Debug)]
pub enum Registered {
    Opened(Box<Opened>),
    /// An operator must approve the account first.
    Pending(Box<Account>),
}

/// How somebody comes in.
struct Admission {
    status: Status,
    roles: Vec<Role>,
    invitation: Option<InvitationDigest>,
}

/// An account that is to be made.
struct Draft {
    account: Account,
    create: CreateAccount,
}

impl Admission {
    fn with(status: Status, roles: Vec<Role>) -> Self {
        Self {
            status,
            roles,
            invitation: None,
        }
    }
}

/// Why nobody could be registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error("registration is closed")]
    Closed,
    #[error("addresses of this domain may not register")]
    Domain,
    /// None was shown where one is needed; or it is unknown, used up, expired or taken back.
    #[error("a valid invitation is needed")]
    NotInvited,
    /// The address or the username; which one is not said.
    #[error("the login name is taken")]
    Taken,
    #[error("a username that looks like an address must be the account's own")]
    ForeignUsername,
    #[error("the password may not be chosen")]
    Password(#[from] PolicyError),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Accounts {
    /// Registers somebody who asks for it, as the rules allow. When this answers, the account
    /// survives a power cut.
    pub async fn register(
        &self,
        new: NewAccount,
        origin: &Origin,
    ) -> Result<Account, RegisterError> {
        let admission = self.admission(&new).await?;
        let draft = self.draft(new, admission, origin).await?;
        self.admit(draft).await
    }

    /// Registers somebody and opens a session on this device, both or neither.
    pub async fn register_and_open(
        &self,
        new: NewAccount,
        (device, origin): (Device, &Origin),
    ) -> Result<Registered, RegisterError> {
        let admission = self.admission(&new).await?;
        let draft = self.draft(new, admission, origin).await?;
        if draft.account.status != Status::Active {
            let pending = self.admit(draft).await?;
            return Ok(Registered::Pending(Box::new(pending)));
        }
        let Draft { account, create } = draft;
        let entry = create.entry.clone();
        let idle = self.rules().sessions.idle;
        let proof = Proof::by_password(account);
        let opening = self.opening(&proof, device, idle)?;
        let open = opening.open.clone();
        done(self.store().commit(Register { create, open }).await?)?;
        self.audit().stored(&entry);
        let opened = self.opened(opening, proof.account);
        Ok(Registered::Opened(Box::new(opened)))
    }

    /// Whether the rules let somebody register, and as what.
    async fn admission(&self, new: &NewAccount) -> Result<Admission, RegisterError> {
        let rules = self.rules();
        let with = |status| Admission::with(status, rules.default_roles.clone());
        match (&rules.registration, &new.invitation) {
            (Registration::Closed, _) => Err(RegisterError::Closed),
            // An operator's invitation stands for an approval and for a domain.
            (_, Some(code)) => self.by_invitation(code).await,
            (Registration::Invited, None) => Err(RegisterError::NotInvited),
            (Registration::Domains(domains), None)
                if !domains.iter().any(|domain| domain == new.email.domain()) =>
            {
                Err(RegisterError::Domain)
            }
            (Registration::Open | Registration::Domains(_), None) => Ok(with(Status::Active)),
            (Registration::Approved, None) => Ok(with(Status::Pending)),
        }
    }

    /// What an invitation admits to. It is looked at before anything dear is done, and before an answer
    /// could tell an outsider whose names are taken; whether it is used is decided with the account.
    async fn by_invitation(&self, code: &str) -> Result<Admission, RegisterError> {
        let code = InvitationCode::parse(code).map_err(|_| RegisterError::NotInvited)?;
        let found = self.store().invitation(&code.digest()).await?;
        match found.filter(|invitation| invitation.is_good(self.now())) {
            None => Err(RegisterError::NotInvited),
            Some(invitation) => Ok(Admission {
                status: Status::Active,
                roles: invitation.roles,
                invitation: Some(invitation.digest),
            }),
        }
    }

    /// Adds an account with these roles, whatever the rules say of registration.
    pub async fn add(
        &self,
        new: NewAccount,
        roles: Vec<Role>,
        origin: &Origin,
    ) -> Result<Account, RegisterError> {
        let admission = Admission::with(Status::Active, roles);
        let draft = self.draft(new, admission, origin).await?;
        self.admit(draft).await
    }

    /// Checks and hashes.
    async fn draft(
        &self,
        new: NewAccount,
        admission: Admission,
        origin: &Origin,
    ) -> Result<Draft, RegisterError> {
        let own = LoginName::from(&new.email);
        let username = new.username.as_ref().map(LoginName::from);
        if let (Some(given), Some(folded)) = (&new.username, &username)
            && given.is_address()
            && *folded != own
        {
            return Err(RegisterError::ForeignUsername);
        }
        let owner = Owner {
            email: &new.email,
            username: new.username.as_ref().map(Username::as_str),
            name: new.name.as_ref().map(DisplayName::as_str),
        };
        self.rules().passwords.check(&new.password, &owner)?;
        // The answer says that a name is taken, so there is no secret in saying it without a hash.
        for name in [Some(&own), username.as_ref()].into_iter().flatten() {
            if self.store().account_by_login(name).await?.is_some() {
                return Err(RegisterError::Taken);
            }
        }
        let password = self.hasher().hash(&new.password).await?;

        let now = self.now();
        let account = Account {
            id: AccountId::random(),
            name: new
                .name
                .unwrap_or_else(|| DisplayName::from_email(&new.email)),
            email: new.email,
            email_verified: false,
            username: new.username,
            roles: admission.roles,
            attributes: Attributes::default(),
            status: admission.status,
            created_at: now,
            updated_at: now,
        };
        let entry = Entry {
            event: Event::Registered,
            account: Some(account.id),
            session: None,
            origin: origin.clone(),
        };
        let create = CreateAccount {
            account: account.clone(),
            password,
            invitation: admission.invitation,
            entry,
        };
        Ok(Draft { account, create })
    }

    async fn admit(&self, draft: Draft) -> Result<Account, RegisterError> {
        let Draft { account, create } = draft;
        let entry = create.entry.clone();
        done(self.store().commit(create).await?)?;
        self.audit().stored(&entry);
        Ok(account)
    }
}

fn done(created: Created) -> Result<(), RegisterError> {
    match created {
        Created::Done => Ok(()),
        // An id of 122 random bits that is known already.
        Created::Taken | Created::Known => Err(RegisterError::Taken),
        Created::NotInvited => Err(RegisterError::NotInvited),
    }
}
