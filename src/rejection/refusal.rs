//! A refusal as the wire knows it: one reason with its status and stable word, and what goes with it.

use std::time::Duration;

use http::{Method, StatusCode};

use super::fault::InvalidBody;

/// What a client is told, before any shape is given to it.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub reason: Reason,
    /// Our own words, where the reason's are too general.
    pub detail: Option<String>,
    /// `Retry-After`, sent in whole seconds, rounded up.
    pub retry_after: Option<Duration>,
    /// `Allow`, on 405.
    pub allow: Vec<Method>,
    /// What is wrong with the body, on 422.
    pub invalid: Option<InvalidBody>,
    /// The rule that was exceeded, on 429.
    pub quota: Option<Quota>,
    pub connection: Connection,
}

/// What becomes of an HTTP/1 connection after the refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    Keep,
    /// The bytes that follow may not be what they seem, or are a body that nobody will read.
    Close,
}

/// So many requests in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    pub requests: u64,
    pub window: Duration,
}

/// The reasons that a client can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Malformed,
    CredentialsAmbiguous,
    CredentialMissing,
    CredentialMalformed,
    TokenInvalid,
    TokenExpired,
    SessionEnded,
    LoginFailed,
    RefreshFailed,
    SignOnFailed,
    PasswordWrong,
    Forbidden,
    OriginForbidden,
    RegistrationClosed,
    EmailUnverified,
    SecondFactorNeeded,
    SecondFactorExists,
    CodeWrong,
    NotInvited,
    ApprovalPending,
    NotFound,
    MethodNotAllowed,
    BodyTooSlow,
    LoginTaken,
    BodyTooLarge,
    Misdirected,
    InvalidBody,
    RateLimited,
    LockedOut,
    HeadersTooLarge,
    Internal,
    BadGateway,
    Busy,
    Unavailable,
    UpstreamFull,
    GatewayTimeout,
}

impl Refusal {
    pub fn of(reason: Reason) -> Self {
        Self {
            reason,
            detail: None,
            retry_after: None,
            allow: Vec::new(),
            invalid: None,
            quota: None,
            connection: Connection::Keep,
        }
    }

    pub fn after(self, retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..self
        }
    }

    pub fn closing(self) -> Self {
        Self {
            connection: Connection::Close,
            ..self
        }
    }

    /// Whole seconds to wait: rounded up, or the client comes back too early.
    pub fn retry_seconds(&self) -> Option<u64> {
        self.retry_after
            .map(|d| d.as_millis().div_ceil(1000).max(1))
            .and_then(|s| u64::try_from(s).ok())
    }

    /// One line for a person.
    pub fn message(&self) -> String {
        match (&self.invalid, &self.detail) {
            (Some(invalid), _) => invalid.line(),
            (None, Some(detail)) => detail.clone(),
            (None, None) => String::from(self.reason.message()),
        }
    }
}

impl Reason {
    pub fn status(self) -> StatusCode {
        match self {
            Reason::Malformed | Reason::CredentialsAmbiguous => StatusCode::BAD_REQUEST,
            Reason::CredentialMissing
            | Reason::CredentialMalformed
            | Reason::TokenInvalid
            | Reason::TokenExpired
            | Reason::SessionEnded
            | Reason::LoginFailed
            | Reason::RefreshFailed
            | Reason::SignOnFailed => StatusCode::UNAUTHORIZED,
            Reason::PasswordWrong
            | Reason::Forbidden
            | Reason::OriginForbidden
            | Reason::RegistrationClosed
            | Reason::EmailUnverified
            | Reason::SecondFactorNeeded
            | Reason::CodeWrong
            | Reason::NotInvited
            | Reason::ApprovalPending => StatusCode::FORBIDDEN,
            Reason::NotFound => StatusCode::NOT_FOUND,
            Reason::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Reason::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Reason::LoginTaken | Reason::SecondFactorExists => StatusCode::CONFLICT,
            Reason::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Reason::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Reason::InvalidBody => StatusCode::UNPROCESSABLE_ENTITY,
            Reason::RateLimited | Reason::LockedOut => StatusCode::TOO_MANY_REQUESTS,
            Reason::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Reason::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Reason::BadGateway => StatusCode::BAD_GATEWAY,
            Reason::Busy | Reason::Unavailable | Reason::UpstreamFull => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Reason::GatewayTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The stable word: clients and dashboards compare it, so it never changes.
    pub fn code(self) -> &'static str {
        match self {
            Reason::Malformed => "bad_request",
            Reason::CredentialsAmbiguous => "ambiguous_credentials",
            Reason::CredentialMissing => "credential_missing",
            Reason::CredentialMalformed => "credential_malformed",
            Reason::TokenInvalid => "invalid_token",
            Reason::TokenExpired => "expired_token",
            Reason::SessionEnded => "session_ended",
            Reason::LoginFailed => "login_failed",
            Reason::RefreshFailed => "refresh_failed",
            Reason::SignOnFailed => "sign_on_failed",
            Reason::PasswordWrong => "password_wrong",
            Reason::Forbidden => "forbidden",
            Reason::OriginForbidden => "origin_forbidden",
            Reason::RegistrationClosed => "registration_closed",
            Reason::EmailUnverified => "email_unverified",
            Reason::SecondFactorNeeded => "second_factor_required",
            Reason::SecondFactorExists => "second_factor_exists",
            Reason::CodeWrong => "code_wrong",
            Reason::NotInvited => "not_invited",
            Reason::ApprovalPending => "approval_pending",
            Reason::NotFound => "not_found",
            Reason::MethodNotAllowed => "method_not_allowed",
            Reason::BodyTooSlow => "body_too_slow",
            Reason::LoginTaken => "login_taken",
            Reason::BodyTooLarge => "body_too_large",
            Reason::Misdirected => "misdirected",
            Reason::InvalidBody => "invalid_body",
            Reason::RateLimited => "rate_limit_exceeded",
            Reason::LockedOut => "too_many_attempts",
            Reason::HeadersTooLarge => "headers_too_large",
            Reason::Internal => "internal_error",
            Reason::BadGateway => "bad_gateway",
            Reason::Busy => "busy",
            Reason::Unavailable => "unavailable",
            Reason::UpstreamFull => "upstream_full",
            Reason::GatewayTimeout => "gateway_timeout",
        }
    }

    /// What a person is told where the shape has no words of its own.
    pub fn message(self) -> &'static str {
        match self {
            Reason::Malformed => "The request is malformed",
            Reason::CredentialsAmbiguous => "The request carries two different credentials",
            Reason::CredentialMissing => "Authentication is required",
            Reason::CredentialMalformed => "The Authorization header is not `Bearer <token>`",
            Reason::TokenInvalid => "The token is invalid",
            Reason::TokenExpired => "The token has expired",
            Reason::SessionEnded => "The session has ended",
            Reason::LoginFailed => "Invalid login name or password",
            Reason::RefreshFailed => "The refresh token is invalid or has been used",
            Reason::SignOnFailed => {
                "The sign-in did not come to its end in this browser: open the page again"
            }
            Reason::PasswordWrong => "The current password is wrong",
            Reason::Forbidden => "You may not do this",
            Reason::OriginForbidden => "The origin is not admitted",
            Reason::RegistrationClosed => "Registration is closed",
            Reason::EmailUnverified => "The e-mail address must be verified first",
            Reason::SecondFactorNeeded => {
                "A second factor is needed: set one up, or log in with the one that you have"
            }
            Reason::SecondFactorExists => "The account has a second factor already",
            Reason::CodeWrong => "The code is wrong, or was used before",
            Reason::NotInvited => "A valid invitation is needed",
            Reason::ApprovalPending => "The account waits for its approval",
            Reason::NotFound => "Not Found",
            Reason::MethodNotAllowed => "Method Not Allowed",
            Reason::BodyTooSlow => "The request body did not arrive in time",
            Reason::LoginTaken => "An account with this e-mail address or username exists",
            Reason::BodyTooLarge => "The request body is too large",
            Reason::Misdirected => "This host is not served on this connection",
            Reason::InvalidBody => "The request body is invalid",
            Reason::RateLimited => "Too many requests",
            Reason::LockedOut => "Too many failed attempts",
            Reason::HeadersTooLarge => "The request headers are too large",
            Reason::Internal => "Internal Server Error",
            Reason::BadGateway => "The upstream gave no valid answer",
            Reason::Busy => "The service is busy",
            Reason::Unavailable => "The service is unavailable",
            Reason::UpstreamFull => "The upstream is busy",
            Reason::GatewayTimeout => "The upstream did not answer in time",
        }
    }

    /// Whether a person can mend it by logging in.
    pub fn asks_for_login(self) -> bool {
        matches!(self, Reason::CredentialMissing | Reason::SessionEnded)
    }

    /// Whether a 401 says that a bearer token was shown and refused (RFC 6750 §3.1).
    pub fn is_refused_token(self) -> bool {
        matches!(
            self,
            Reason::TokenInvalid | Reason::TokenExpired | Reason::SessionEnded
        )
    }
}
