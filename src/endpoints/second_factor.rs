//! The second half of a log-in, and what people do about their second factor: once, for every profile.

use super::{EndpointContext, EndpointError, EndpointRequest, login};
use crate::accounts::{
    Account, AccountId, Factors, OfferedFactor, PlainPassword, Proof, RecoveryCode, Refusal,
    SecondFactorError, ShownCode,
};
use crate::authn::Caller;
use crate::authz::Denied;
use crate::rejection::Rejection;

/// Whoever showed the right password a moment ago, by `challenge`, and shows the second factor now.
///
/// # Errors
///
/// [`EndpointError::ChallengeOver`] for what is no such challenge any more.
pub(super) async fn prove(
    context: &EndpointContext,
    request: &EndpointRequest,
    (challenge, code): (&str, &ShownCode),
) -> Result<Proof, Rejection> {
    let account = context.accounts.challenged(challenge).await?;
    let account = account.ok_or(EndpointError::ChallengeOver)?;
    show(context, request, &account, code).await?;
    login::remember_network(context, request, &account).await;
    Ok(Proof {
        account,
        factors: Factors::Two,
    })
}

/// A secret for the caller's app. The password is asked for, under the same limits and lockout as at
/// a login: with a stolen token alone nobody takes an account over.
pub(super) async fn offer(
    context: &EndpointContext,
    request: &EndpointRequest,
    password: PlainPassword,
) -> Result<OfferedFactor, Rejection> {
    let account = login::owner(context, request).await?;
    login::confirm_password(context, request, (&account, password)).await?;
    Ok(context.accounts.offer_second_factor(&account).await?)
}

/// Whether the caller's app has the secret. All sessions end: the one that asks goes on as another
/// one, which the proof opens.
pub(super) async fn confirm(
    context: &EndpointContext,
    request: &EndpointRequest,
    code: &ShownCode,
) -> Result<(Proof, Vec<RecoveryCode>), Rejection> {
    let account = login::owner(context, request).await?;
    let (accounts, origin) = (&context.accounts, request.origin());
    let confirmed = accounts.confirm_second_factor(account.id, code, &origin);
    // Also here: whoever has stolen a token may be guessing while its owner scans.
    let codes = counted(context, request, (account.id, code), confirmed).await?;
    Ok((renewed(context, request, Factors::Two).await?, codes))
}

/// New recovery codes for whoever shows the second factor.
pub(super) async fn replace_codes(
    context: &EndpointContext,
    request: &EndpointRequest,
    code: &ShownCode,
) -> Result<Vec<RecoveryCode>, Rejection> {
    let account = login::owner(context, request).await?;
    show(context, request, &account, code).await?;
    let (accounts, origin) = (&context.accounts, request.origin());
    let replaced = accounts.replace_recovery_codes(account.id, &origin);
    Ok(replaced.await?)
}

/// Removes the second factor for whoever shows it. All sessions end, as when it is added.
pub(super) async fn remove(
    context: &EndpointContext,
    request: &EndpointRequest,
    code: &ShownCode,
) -> Result<Proof, Rejection> {
    let account = login::owner(context, request).await?;
    show(context, request, &account, code).await?;
    let (accounts, origin) = (&context.accounts, request.origin());
    accounts.remove_second_factor(account.id, &origin).await?;
    renewed(context, request, Factors::One).await
}

/// By how many factors the caller is here; where the account has a second factor, no fewer will do.
///
/// # Errors
///
/// [`Denied::SecondFactor`] for the token of a key from before, which knows nothing of it.
pub(super) async fn of_caller(
    context: &EndpointContext,
    request: &EndpointRequest,
    account: &Account,
) -> Result<Factors, Rejection> {
    let by_two = match &request.caller {
        Caller::Anonymous => false,
        Caller::Identified(identity) => identity.claims.by_two_factors(),
    };
    let has_second = context.accounts.second_factor(account.id).await?.is_some();
    match (has_second, by_two) {
        (true, true) => Ok(Factors::Two),
        (true, false) => Err(Denied::SecondFactor.into()),
        (false, _) => Ok(Factors::One),
    }
}

/// The caller's account as it is now, for the session that takes the place of those that ended.
pub(super) async fn renewed(
    context: &EndpointContext,
    request: &EndpointRequest,
    factors: Factors,
) -> Result<Proof, Rejection> {
    let account = login::owner(context, request).await?;
    Ok(Proof { account, factors })
}

/// Uses a code up.
async fn show(
    context: &EndpointContext,
    request: &EndpointRequest,
    account: &Account,
    code: &ShownCode,
) -> Result<(), Rejection> {
    let (accounts, origin) = (&context.accounts, request.origin());
    let used = accounts.use_second_factor(account.id, code, &origin);
    counted(context, request, (account.id, code), used).await
}

/// Does `work`, which looks at `code`, after it was counted: so parallel guesses cannot slip through.
/// Recovery codes are too long to be guessed, and are not kept from their owner by somebody else's guesses.
async fn counted<T>(
    context: &EndpointContext,
    request: &EndpointRequest,
    (account, code): (AccountId, &ShownCode),
    work: impl Future<Output = Result<T, SecondFactorError>>,
) -> Result<T, Rejection> {
    let audit = context.accounts.audit();
    let refused = |why| audit.refused(why, Some(account), &request.origin());
    let attempt = match code.can_be_guessed() {
        true => {
            let reserved = context.lockout.reserve_code(account).await;
            Some(reserved.inspect_err(|_| refused(Refusal::LockedOut))?)
        }
        false => None,
    };
    let done = work.await;
    match (&done, attempt) {
        (Ok(_), Some(attempt)) => attempt.succeeded().await,
        (Err(SecondFactorError::Wrong), Some(attempt)) => attempt.failed(),
        // nobody guessed anything
        (Err(_), Some(attempt)) => attempt.withdrawn().await,
        (_, None) => {}
    }
    Ok(done.inspect_err(|error| match error {
        SecondFactorError::Wrong => refused(Refusal::SecondFactor),
        SecondFactorError::Off
        | SecondFactorError::Exists
        | SecondFactorError::Absent
        | SecondFactorError::NotOffered
        | SecondFactorError::Sealed
        | SecondFactorError::Store(_) => {}
    })?)
}
