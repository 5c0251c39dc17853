//! Proving who somebody is by a password, and ending what that opened: once, for every profile.

use super::device::Device;
use super::{EndpointContext, EndpointError, EndpointRequest};
use crate::accounts::{
    Account, Candidate, ChangePasswordError, LoginName, PasswordChange, PlainPassword, Proof,
    Refusal, Status,
};
use crate::limit::LimitKeys;
use crate::lockout::{Attempt, Claimed, KnownDevice};
use crate::rejection::Rejection;

/// What somebody shows to log in.
pub(super) struct Credentials {
    pub name: LoginName,
    pub password: PlainPassword,
    /// A refresh token that came along. It opens nothing here: by it the device is known again.
    pub refresh: Option<String>,
}

/// Who has the right password.
pub(super) enum Proved {
    /// And needs no more.
    Wholly(Box<Proof>),
    /// And has a second factor to show.
    Halfway(Box<Account>),
}

/// Whoever has this name and password, for a client that has no way to show a second factor.
///
/// # Errors
///
/// As [`prove`]; [`EndpointError::SecondFactorNeeded`] where the password is not enough.
pub(super) async fn prove_wholly(
    context: &EndpointContext,
    request: &EndpointRequest,
    shown: &Credentials,
) -> Result<Proof, Rejection> {
    match prove(context, request, shown).await? {
        Proved::Wholly(proof) => Ok(*proof),
        Proved::Halfway(_) => Err(EndpointError::SecondFactorNeeded.into()),
    }
}

/// The account with this name and password.
///
/// Cheap before dear: limits on the name, then whose name it is, then the lockout, which reserves the
/// attempt before the hash so that parallel guesses cannot slip through, then the hash.
///
/// # Errors
///
/// [`EndpointError::LoginFailed`] for an unknown name, a wrong password, an account that is not
/// active, and one that is locked because of another of its names: after the same work.
pub(super) async fn prove(
    context: &EndpointContext,
    request: &EndpointRequest,
    shown: &Credentials,
) -> Result<Proved, Rejection> {
    let Credentials {
        name,
        password,
        refresh,
    } = shown;
    admit(context, request, name).await?;
    let candidate = context.accounts.look_up(name).await?;
    let claimed = Claimed {
        login: name,
        account: candidate.account(),
    };
    let attempt = attempt(context, request, claimed, refresh.as_deref()).await?;
    let (candidate, why) = match attempt.exhausted() {
        None => (candidate, Refusal::Credentials),
        Some(_) => (Candidate::nobody(), Refusal::LockedOut),
    };
    match context.accounts.check_password(candidate, password).await {
        Ok(Some(account)) => match proved(context, account).await {
            Ok(Proved::Wholly(proof)) => {
                attempt.succeeded().await;
                Ok(Proved::Wholly(proof))
            }
            // A password that may be stolen makes no network known.
            halfway @ (Ok(Proved::Halfway(_)) | Err(_)) => {
                attempt.withdrawn().await;
                halfway
            }
        },
        Ok(None) => {
            attempt.failed();
            let audit = context.accounts.audit();
            audit.refused(why, claimed.account, &request.origin());
            Err(EndpointError::LoginFailed.into())
        }
        Err(error) => {
            // nobody guessed anything: a busy hasher must not lock its users out
            attempt.withdrawn().await;
            Err(error.into())
        }
    }
}

/// What the right password is worth.
async fn proved(context: &EndpointContext, account: Account) -> Result<Proved, Rejection> {
    let second = context.accounts.second_factor(account.id).await?;
    Ok(match second {
        Some(_) => Proved::Halfway(Box::new(account)),
        None => Proved::Wholly(Box::new(Proof::by_password(account))),
    })
}

/// Makes the network of somebody who showed both factors known to the account, as a password alone
/// does where it is enough. It is a favour: where the lockout refuses, nothing is remembered.
pub(super) async fn remember_network(
    context: &EndpointContext,
    request: &EndpointRequest,
    account: &Account,
) {
    let login = LoginName::from(&account.email);
    let claimed = Claimed {
        login: &login,
        account: Some(account.id),
    };
    let client = request.client.network();
    let reserved = context.lockout.reserve(claimed, client, KnownDevice::No);
    if let Ok(attempt) = reserved.await {
        attempt.succeeded().await;
    }
}

/// Changes a password for its owner, who is asked for the current one.
pub(super) async fn change_password(
    context: &EndpointContext,
    request: &EndpointRequest,
    account: &Account,
    change: PasswordChange,
) -> Result<(), Rejection> {
    let origin = request.origin();
    let changed = context.accounts.change_password(change, &origin);
    once_more(context, request, account, changed).await
}

/// Asks somebody who is logged in for the password once more.
pub(super) async fn confirm_password(
    context: &EndpointContext,
    request: &EndpointRequest,
    (account, password): (&Account, PlainPassword),
) -> Result<(), Rejection> {
    let confirmed = context.accounts.confirm_password(account.id, &password);
    once_more(context, request, account, confirmed).await
}

/// Does `work`, which looks at the password of the account that asks, under the same limits and
/// lockout as a login: a stolen token is no way to guess it.
async fn once_more(
    context: &EndpointContext,
    request: &EndpointRequest,
    account: &Account,
    work: impl Future<Output = Result<(), ChangePasswordError>>,
) -> Result<(), Rejection> {
    let name = LoginName::from(&account.email);
    admit(context, request, &name).await?;
    let claimed = Claimed {
        login: &name,
        account: Some(account.id),
    };
    let attempt = attempt(context, request, claimed, None).await?;
    if let Some(locked) = attempt.exhausted() {
        // whoever asks is known to have this account
        attempt.withdrawn().await;
        return Err(locked.into());
    }
    match work.await {
        Ok(()) => {
            attempt.succeeded().await;
            Ok(())
        }
        Err(ChangePasswordError::Wrong) => {
            attempt.failed();
            context.accounts.audit().refused(
                Refusal::Credentials,
                Some(account.id),
                &request.origin(),
            );
            Err(ChangePasswordError::Wrong.into())
        }
        Err(
            error @ (ChangePasswordError::Password(_)
            | ChangePasswordError::Hash(_)
            | ChangePasswordError::Store(_)),
        ) => {
            attempt.withdrawn().await;
            Err(error.into())
        }
    }
}

/// The active account whose token came with the request.
///
/// # Errors
///
/// [`EndpointError::NoAccount`] when it has been deleted or stopped since the token was issued.
pub(super) async fn owner(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Account, Rejection> {
    let bearer = request.bearer()?;
    let account = context.accounts.find(bearer.account).await?;
    account
        .filter(|account| account.status == Status::Active)
        .ok_or_else(|| EndpointError::NoAccount.into())
}

/// Ends the session whose token came with the request. The token of a legacy key names none: all
/// sessions of its account end, and with them every token of its kind.
pub(super) async fn end(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<(), Rejection> {
    let bearer = request.bearer()?;
    let origin = request.origin();
    match bearer.session {
        Some(session) => {
            context
                .accounts
                .end_session(bearer.account, session, &origin)
                .await?;
        }
        None => {
            context
                .accounts
                .end_all_sessions(bearer.account, &origin)
                .await?;
        }
    }
    Ok(())
}

/// Charges the limits on a login name.
async fn admit(
    context: &EndpointContext,
    request: &EndpointRequest,
    name: &LoginName,
) -> Result<(), Rejection> {
    let keys = LimitKeys::Login {
        client: request.client.network(),
        route: &request.route,
        login: name,
    };
    let rules = &context.rules;
    let _standing = context.limits.admit(rules, &request.limits, &keys).await?;
    Ok(())
}

/// Counts an attempt, or refuses it before anything dear is done.
async fn attempt(
    context: &EndpointContext,
    request: &EndpointRequest,
    claimed: Claimed<'_>,
    refresh: Option<&str>,
) -> Result<Attempt, Rejection> {
    let device = Device::of(context, request, claimed.account, refresh).await;
    let client = request.client.network();
    let reserved = context.lockout.reserve(claimed, client, device.as_known());
    Ok(reserved.await.inspect_err(|_| {
        let audit = context.accounts.audit();
        audit.refused(Refusal::LockedOut, claimed.account, &request.origin());
    })?)
}
