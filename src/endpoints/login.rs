//! Proving who somebody is by a password, and ending what that opened: once, for every profile.

use super::device::Device;
use super::{EndpointContext, EndpointError, EndpointRequest};
use crate::accounts::{
    Account, Candidate, ChangePasswordError, LoginName, PasswordChange, PlainPassword, Refusal,
    Status,
};
use crate::limit::LimitKeys;
use crate::lockout::{Attempt, Claimed};
use crate::rejection::Rejection;

/// What somebody shows to log in.
pub(super) struct Credentials {
    pub name: LoginName,
    pub password: PlainPassword,
    /// A refresh token that came along. It opens nothing here: by it the device is known again.
    pub refresh: Option<String>,
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
) -> Result<Account, Rejection> {
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
        Ok(Some(account)) => {
            attempt.succeeded().await;
            Ok(account)
        }
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

/// Changes a password for its owner. The current one is asked for under the same limits and
/// lockout as at a login: a stolen token is no way to guess it.
pub(super) async fn change_password(
    context: &EndpointContext,
    request: &EndpointRequest,
    account: &Account,
    change: PasswordChange,
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
    match context
        .accounts
        .change_password(change, &request.origin())
        .await
    {
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
