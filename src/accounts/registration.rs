//! How somebody gets an account: by registering, or from an operator.

use super::audit::{Entry, Event, Origin};
use super::password::Owner;
use super::user::Status;
use super::{
    Account, AccountId, Accounts, Attributes, DisplayName, EmailAddress, HashError, InvitationCode,
    InvitationDigest, LoginName, PlainPassword, PolicyError, Registration, Role, Username,
};
use crate::store::{CreateAccount, Created, StoreError};

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

/// How somebody comes in.
struct Admission {
    status: Status,
    roles: Vec<Role>,
    invitation: Option<InvitationDigest>,
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
        let rules = self.rules();
        let admission = match (&rules.registration, &new.invitation) {
            (Registration::Closed, _) => return Err(RegisterError::Closed),
            // An operator's invitation stands for an approval and for a domain.
            (_, Some(code)) => self.by_invitation(code).await?,
            (Registration::Invited, None) => return Err(RegisterError::NotInvited),
            (Registration::Domains(domains), None)
                if !domains.iter().any(|domain| domain == new.email.domain()) =>
            {
                return Err(RegisterError::Domain);
            }
            (Registration::Open | Registration::Domains(_), None) => {
                Admission::with(Status::Active, rules.default_roles.clone())
            }
            (Registration::Approved, None) => {
                Admission::with(Status::Pending, rules.default_roles.clone())
            }
        };
        self.admit(new, admission, origin).await
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
        self.admit(new, admission, origin).await
    }

    async fn admit(
        &self,
        new: NewAccount,
        admission: Admission,
        origin: &Origin,
    ) -> Result<Account, RegisterError> {
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
            account: account.id,
            session: None,
            origin: origin.clone(),
        };
        let create = CreateAccount {
            account: account.clone(),
            password,
            invitation: admission.invitation,
            entry: entry.clone(),
        };
        match self.store().commit(create).await? {
            // An id of 122 random bits that is known already.
            Created::Taken | Created::Known => Err(RegisterError::Taken),
            Created::NotInvited => Err(RegisterError::NotInvited),
            Created::Done => {
                self.audit().stored(&entry);
                Ok(account)
            }
        }
    }
}
