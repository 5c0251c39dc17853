//! The one match from a cause to what the client is told of it.

use std::time::Duration;

use super::Rejection;
use super::fault::{Fault, FieldFault, InvalidBody, Place};
use super::refusal::{Connection, Quota, Reason, Refusal};
use crate::accounts::{
    ApiKeyError, ChangePasswordError, CheckError, DeadKey, HashError, OpenSessionError,
    PolicyError, RefreshError, RegisterError, SecondFactorError,
};
use crate::authn::{AuthnError, KeyError, TokenError};
use crate::authz::Denied;
use crate::endpoints::EndpointError;
use crate::inbound::Malformed;
use crate::limit::Limited;
use crate::outbound::OutboundError;
use crate::store::StoreError;
use crate::streams::{Cause, TooManyStreams};
use crate::upstream::UpstreamError;

/// When a database that is away is worth asking for again.
const AWAY: Duration = Duration::from_secs(5);
/// When an upstream or a queue that is full is worth asking for again.
const FULL: Duration = Duration::from_secs(1);

impl Rejection {
    pub(super) fn refusal(&self) -> Refusal {
        match self {
            Rejection::Malformed(Malformed::Cookies) => Refusal::of(Reason::HeadersTooLarge),
            Rejection::Malformed(error) => Refusal {
                detail: Some(error.to_string()),
                connection: if error.framing_in_doubt() {
                    Connection::Close
                } else {
                    Connection::Keep
                },
                ..Refusal::of(Reason::Malformed)
            },
            Rejection::NotFound => Refusal::of(Reason::NotFound),
            Rejection::MethodNotAllowed(allow) => Refusal {
                allow: allow.clone(),
                ..Refusal::of(Reason::MethodNotAllowed)
            },
            Rejection::Authn(error) => authn(error),
            Rejection::Denied(Denied::Anonymous(error)) => authn(error),
            Rejection::Denied(
                Denied::Role
                | Denied::Claim(_)
                | Denied::Limit(_)
                | Denied::Network
                | Denied::Address,
            ) => Refusal::of(Reason::Forbidden),
            Rejection::Denied(Denied::Unverified) => Refusal::of(Reason::EmailUnverified),
            Rejection::Denied(Denied::SecondFactor) => Refusal::of(Reason::SecondFactorNeeded),
            Rejection::Outbound(OutboundError::Rewrite(_)) => Refusal::of(Reason::Malformed),
            Rejection::Outbound(OutboundError::Mint(_)) => Refusal::of(Reason::Internal),
            Rejection::Upstream(error) => upstream(error),
            Rejection::Limited(error) => limited(error),
            Rejection::Streams(error) => too_many(error),
            Rejection::Over(cause) => over(*cause),
            Rejection::Locked(locked) => Refusal::of(Reason::LockedOut).after(locked.retry_after),
            Rejection::Endpoint(error) => endpoint(error),
            Rejection::Register(error) => register(error),
            Rejection::Check(CheckError::Hash(error)) => hash(error),
            Rejection::Check(CheckError::Store(error)) => store(error),
            Rejection::ChangePassword(error) => change_password(error),
            // to the client as if its password had been wrong a moment ago
            Rejection::OpenSession(OpenSessionError::NotActive) => Refusal::of(Reason::LoginFailed),
            Rejection::OpenSession(OpenSessionError::Store(error)) => store(error),
            Rejection::Refresh(
                RefreshError::Invalid | RefreshError::Expired | RefreshError::Reused,
            ) => Refusal::of(Reason::RefreshFailed),
            Rejection::Refresh(RefreshError::Store(error)) => store(error),
            Rejection::ApiKey(error) => api_key(error),
            Rejection::SecondFactor(error) => second_factor(error),
            Rejection::Store(error) => store(error),
            Rejection::InvalidBody(error) => invalid(error.clone()),
            Rejection::BodyTooLarge => Refusal::of(Reason::BodyTooLarge).closing(),
            Rejection::BodyTooSlow => Refusal::of(Reason::BodyTooSlow).closing(),
            Rejection::BodyIncomplete => Refusal::of(Reason::Malformed).closing(),
            Rejection::Misdirected => Refusal::of(Reason::Misdirected),
            Rejection::ForeignOrigin => Refusal::of(Reason::OriginForbidden),
            Rejection::Internal(_) => Refusal::of(Reason::Internal),
        }
    }
}

fn authn(error: &AuthnError) -> Refusal {
    match error {
        AuthnError::Missing => Refusal::of(Reason::CredentialMissing),
        AuthnError::Scheme => Refusal::of(Reason::CredentialMalformed),
        AuthnError::Token(TokenError::Expired) => Refusal::of(Reason::TokenExpired),
        AuthnError::Token(
            TokenError::Malformed
            | TokenError::TooLong
            | TokenError::Header(_)
            | TokenError::Type
            | TokenError::NoKey
            | TokenError::Signature
            | TokenError::Payload
            | TokenError::Missing(_)
            | TokenError::Claim(_)
            | TokenError::Early
            | TokenError::Issuer
            | TokenError::Audience
            | TokenError::Retired,
        ) => Refusal::of(Reason::TokenInvalid),
        // An expired key says so: its owner must know what to do. Nothing else is told apart.
        AuthnError::ApiKey(KeyError::Dead(DeadKey::Expired)) => Refusal {
            detail: Some(String::from("The API key has expired")),
            ..Refusal::of(Reason::TokenExpired)
        },
        AuthnError::ApiKey(
            KeyError::Foreign
            | KeyError::Network
            | KeyError::Dead(DeadKey::Unknown | DeadKey::Revoked | DeadKey::Owner),
        ) => Refusal {
            detail: Some(String::from("The API key is invalid")),
            ..Refusal::of(Reason::TokenInvalid)
        },
        AuthnError::Kind => Refusal {
            detail: Some(String::from("This kind of credential is not taken here")),
            ..Refusal::of(Reason::CredentialMalformed)
        },
        AuthnError::OtherRoute => Refusal::of(Reason::Forbidden),
        AuthnError::Revoked => Refusal::of(Reason::SessionEnded),
        AuthnError::Ambiguous => Refusal::of(Reason::CredentialsAmbiguous),
        // only a person's browser shows a cookie: its session is what has ended
        AuthnError::Cookie(_) => Refusal::of(Reason::SessionEnded),
        AuthnError::ForeignSite => Refusal::of(Reason::OriginForbidden),
        AuthnError::Store(error) => store(error),
        AuthnError::Unavailable => Refusal::of(Reason::Unavailable).after(AWAY),
    }
}

fn upstream(error: &UpstreamError) -> Refusal {
    match error {
        UpstreamError::Connect(..) | UpstreamError::Protocol(..) => Refusal::of(Reason::BadGateway),
        UpstreamError::FirstByte(_) => Refusal::of(Reason::GatewayTimeout),
        UpstreamError::Full(_) => Refusal::of(Reason::UpstreamFull).after(FULL),
        UpstreamError::BodyTooLarge => Refusal::of(Reason::BodyTooLarge).closing(),
        UpstreamError::BodyTooSlow => Refusal::of(Reason::BodyTooSlow).closing(),
        UpstreamError::BodyIncomplete => Refusal::of(Reason::Malformed).closing(),
        UpstreamError::Over(cause) => over(*cause),
        UpstreamError::Streams(error) => too_many(error),
    }
}

/// The request was good when it began: what is left of it is not read.
fn over(cause: Cause) -> Refusal {
    match cause {
        Cause::Revoked => Refusal::of(Reason::SessionEnded),
        Cause::Expired => Refusal::of(Reason::TokenExpired),
        Cause::Denied => Refusal::of(Reason::Forbidden),
        Cause::Unknown => Refusal::of(Reason::Unavailable).after(AWAY),
        Cause::TooMany => too_many(&TooManyStreams),
    }
    .closing()
}

fn too_many(error: &TooManyStreams) -> Refusal {
    Refusal {
        detail: Some(error.to_string()),
        ..Refusal::of(Reason::RateLimited).after(FULL)
    }
}

fn limited(error: &Limited) -> Refusal {
    match error {
        Limited::Exceeded(over) => Refusal {
            quota: Some(Quota {
                requests: u64::from(over.limit),
                window: over.window,
            }),
            ..Refusal::of(Reason::RateLimited).after(over.retry_after)
        },
        Limited::Unavailable { retry_after, .. } => {
            Refusal::of(Reason::Unavailable).after(*retry_after)
        }
    }
}

fn endpoint(error: &EndpointError) -> Refusal {
    match error {
        EndpointError::LoginFailed => Refusal::of(Reason::LoginFailed),
        EndpointError::ChallengeOver => Refusal {
            detail: Some(sentence(error)),
            ..Refusal::of(Reason::LoginFailed)
        },
        EndpointError::SecondFactorNeeded => Refusal {
            detail: Some(sentence(error)),
            ..Refusal::of(Reason::SecondFactorNeeded)
        },
        EndpointError::SignOnFailed => Refusal::of(Reason::SignOnFailed),
        EndpointError::ApprovalPending => Refusal::of(Reason::ApprovalPending),
        EndpointError::MayNotAsk => Refusal {
            detail: Some(error.to_string()),
            ..Refusal::of(Reason::Forbidden)
        },
        // deletion and disabling end every session: who was there a moment ago learns no more
        EndpointError::NoAccount => Refusal::of(Reason::SessionEnded),
        EndpointError::NoSession => Refusal {
            detail: Some(error.to_string()),
            ..Refusal::of(Reason::Forbidden)
        },
        EndpointError::Sign(_) | EndpointError::Reply(_) => Refusal::of(Reason::Internal),
    }
}

fn register(error: &RegisterError) -> Refusal {
    match error {
        RegisterError::Closed => Refusal::of(Reason::RegistrationClosed),
        RegisterError::Domain => Refusal {
            detail: Some(error.to_string()),
            ..Refusal::of(Reason::RegistrationClosed)
        },
        RegisterError::NotInvited => Refusal::of(Reason::NotInvited),
        RegisterError::Taken => Refusal::of(Reason::LoginTaken),
        RegisterError::ForeignUsername => {
            let fault = Fault::Unacceptable(error.to_string());
            invalid(InvalidBody::from(FieldFault::new(
                Place::Field("username"),
                fault,
            )))
        }
        RegisterError::Password(error) => policy("password", error),
        RegisterError::Hash(error) => hash(error),
        RegisterError::Store(error) => store(error),
    }
}

fn api_key(error: &ApiKeyError) -> Refusal {
    let forbidden = || Refusal {
        detail: Some(error.to_string()),
        ..Refusal::of(Reason::Forbidden)
    };
    let field = |name| {
        let fault = Fault::Unacceptable(error.to_string());
        invalid(InvalidBody::from(FieldFault::new(
            Place::Field(name),
            fault,
        )))
    };
    match error {
        ApiKeyError::Unknown => Refusal::of(Reason::NotFound),
        // to the client as if it had ended a moment ago
        ApiKeyError::Owner => Refusal::of(Reason::SessionEnded),
        ApiKeyError::Closed | ApiKeyError::TooMany { .. } | ApiKeyError::Dead(_) => forbidden(),
        ApiKeyError::Scope(_) => field("scopes"),
        ApiKeyError::Limits => field("limits"),
        ApiKeyError::TooLong { .. } => field("expires_in"),
        ApiKeyError::Overlap => field("overlap"),
        ApiKeyError::Store(error) => store(error),
    }
}

fn second_factor(error: &SecondFactorError) -> Refusal {
    let said = |reason| Refusal {
        detail: Some(sentence(error)),
        ..Refusal::of(reason)
    };
    match error {
        SecondFactorError::Off | SecondFactorError::Absent | SecondFactorError::NotOffered => {
            said(Reason::NotFound)
        }
        SecondFactorError::Exists => Refusal::of(Reason::SecondFactorExists),
        SecondFactorError::Wrong => Refusal::of(Reason::CodeWrong),
        SecondFactorError::Sealed => Refusal::of(Reason::Internal),
        SecondFactorError::Store(error) => store(error),
    }
}

/// An error in a client's words: as a sentence begins.
fn sentence(error: &impl std::error::Error) -> String {
    let said = error.to_string();
    let mut letters = said.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn change_password(error: &ChangePasswordError) -> Refusal {
    match error {
        ChangePasswordError::Wrong => Refusal::of(Reason::PasswordWrong),
        ChangePasswordError::Password(error) => policy("new_password", error),
        ChangePasswordError::Hash(error) => hash(error),
        ChangePasswordError::Store(error) => store(error),
    }
}

/// The password itself is never repeated.
fn policy(field: &'static str, error: &PolicyError) -> Refusal {
    let fault = match error {
        PolicyError::TooShort { min } => Fault::TooShort { min: *min },
        PolicyError::TooLong { max } => Fault::TooLong { max: *max },
        PolicyError::Guessable | PolicyError::Breached => Fault::Unacceptable(error.to_string()),
    };
    invalid(InvalidBody::from(FieldFault::new(
        Place::Field(field),
        fault,
    )))
}

fn hash(error: &HashError) -> Refusal {
    match error {
        HashError::Busy { retry_after } => Refusal::of(Reason::Busy).after(*retry_after),
        HashError::Unreadable | HashError::Gone => Refusal::of(Reason::Internal),
    }
}

/// A store that is away is a 503, never a 401: nobody is logged out by it.
fn store(error: &StoreError) -> Refusal {
    match error {
        StoreError::Busy => Refusal::of(Reason::Busy).after(FULL),
        StoreError::Closed
        | StoreError::TimedOut
        | StoreError::Away(_)
        | StoreError::Database(_)
        | StoreError::Unreadable(_) => Refusal::of(Reason::Unavailable).after(AWAY),
    }
}

fn invalid(invalid: InvalidBody) -> Refusal {
    Refusal {
        invalid: Some(invalid),
        ..Refusal::of(Reason::InvalidBody)
    }
}
