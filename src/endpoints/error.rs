//! What goes wrong inside an endpoint, beside the errors of the parts that it uses.

use crate::authn::keys::SignError;

/// Why an endpoint did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// 403: the account was made, and an operator must approve it before it can be used.
    #[error("the account waits for its approval")]
    ApprovalPending,
    /// 403: only listed proxies may.
    #[error("this address may not ask for verification")]
    MayNotAsk,
    /// Unknown name, wrong password, or an account that is not active: one answer for all.
    #[error("the login name or the password is wrong")]
    LoginFailed,
    /// 401: the log-in has to begin again.
    #[error("the log-in took too long, or the account has changed since: begin again")]
    ChallengeOver,
    /// 403: the client has no way to show it.
    #[error("this account has a second factor, which cannot be shown here")]
    SecondFactorNeeded,
    /// The token held, but its subject is no active account of ours.
    #[error("the subject of the token has no active account here")]
    NoAccount,
    /// A code that is not good now, for this host, in this browser: one answer for all.
    #[error("no session is handed on to this host by what the browser shows")]
    SignOnFailed,
    /// The token names no session of ours.
    #[error("only a session makes and ends API keys")]
    NoSession,
    #[error("an access token could not be signed")]
    Sign(#[from] SignError),
    #[error("the answer could not be written as JSON")]
    Reply(#[from] serde_json::Error),
}
