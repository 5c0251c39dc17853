//! Proving who somebody is by a password, and ending what that opened: once, for every profile.

use super::device::Device;
use super::{EndpointContext, EndpointError, EndpointRequest};
use crate::accounts::{
    Account, ChangePasswordError, LoginName, PasswordChange, PlainPassword, Refusal, Status,
};
use crate::limit::LimitKeys;
use crate::lockout::Attempt;
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
/// Cheap before dear: limits on the name, then the lockout, which reserves the attempt before the
/// hash so that parallel guesses cannot slip through, then the hash.
///
/// # Errors
///
/// [`EndpointError::LoginFailed`] for an unknown name, a wrong password and an account that is not
/// active, after the same work.
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
    let attempt = attempt(context, request, name, refresh.as_deref()).await?;
    match context.accounts.check_password(name, password).await {
        Ok(Some(account)) => {
            attempt.succeeded().await;
            Ok(account)
        }
        Ok(None) => {
            attempt.failed();
            refused(context, request, name, Refusal::Credentials).await;
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
    let attempt = attempt(context, request, &name, None).await?;
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

/// Counts an attempt on a login name, or refuses it before anything dear is done.
async fn attempt(
    context: &EndpointContext,
    request: &EndpointRequest,
    name: &LoginName,
    refresh: Option<&str>,
) -> Result<Attempt, Rejection> {
    let client = request.client.network();
    let keys = LimitKeys::Login {
        client,
        route: &request.route,
        login: name,
    };
    let _standing = context
        .limits
        .admit(&context.rules, &request.limits, &keys)
        .await?;

    let device = Device::of(context, request, name, refresh).await;
    match context
        .lockout
        .reserve(name, client, device.as_known())
        .await
    {
        Ok(attempt) => Ok(attempt),
        Err(locked) => {
            refused(context, request, name, Refusal::LockedOut).await;
            Err(locked.into())
        }
    }
}

/// Logs a refused attempt, with the account when the name is one's.
async fn refused(
    context: &EndpointContext,
    request: &EndpointRequest,
    name: &LoginName,
    why: Refusal,
) {
    let account = context.accounts.find_by_login(name).await.ok().flatten();
    context
        .accounts
        .audit()
        .refused(why, account.map(|a| a.id), &request.origin());
}
