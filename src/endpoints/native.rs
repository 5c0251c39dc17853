//! The profile `native`: the whole account API under `/auth/v1/`.

mod api_keys;
mod second_factor;
mod sessions;

use http::{Response, StatusCode};
use serde::Serialize;

use super::form::Form;
use super::grant::{Admitted, Grant};
use super::login::{Credentials, Proved};
use super::profile::{Cost, DELETE, Line, POST, READ};
use super::{
    Endpoint, EndpointContext, EndpointRequest, Profile, browser, login, reply,
    second_factor as steps,
};
use crate::accounts::{Account, NewAccount, PasswordChange, Proof, Role};
use crate::authz::Auth;
use crate::body::Body;
use crate::rejection::Rejection;

const SESSIONS: &str = "/auth/v1/sessions";
const API_KEYS: &str = "/auth/v1/api-keys";
const SECOND_FACTOR: &str = "/auth/v1/second-factor";

/// One endpoint of the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NativeEndpoint {
    Register,
    Login,
    /// Its second half.
    LoginSecond,
    Refresh,
    Logout,
    LogoutEverywhere,
    Me,
    ChangePassword,
    /// One's keys.
    ApiKeys,
    MakeApiKey,
    /// One key of one's own.
    ApiKey,
    Sessions,
    EndSession,
    EndOtherSessions,
    /// Whether one has one.
    SecondFactor,
    OfferSecondFactor,
    ConfirmSecondFactor,
    ReplaceCodes,
    RemoveSecondFactor,
}

use NativeEndpoint::{
    ApiKey, ApiKeys, ChangePassword, ConfirmSecondFactor, EndOtherSessions, EndSession, Login,
    LoginSecond, Logout, LogoutEverywhere, MakeApiKey, Me, OfferSecondFactor, Refresh, Register,
    RemoveSecondFactor, ReplaceCodes, SecondFactor, Sessions,
};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::Native(Register),
    Endpoint::Native(Login),
    Endpoint::Native(LoginSecond),
    Endpoint::Native(Refresh),
    Endpoint::Native(Logout),
    Endpoint::Native(LogoutEverywhere),
    Endpoint::Native(Me),
    Endpoint::Native(ChangePassword),
    Endpoint::Native(ApiKeys),
    Endpoint::Native(MakeApiKey),
    Endpoint::Native(ApiKey),
    Endpoint::Native(Sessions),
    Endpoint::Native(EndSession),
    Endpoint::Native(EndOtherSessions),
    Endpoint::Native(SecondFactor),
    Endpoint::Native(OfferSecondFactor),
    Endpoint::Native(ConfirmSecondFactor),
    Endpoint::Native(ReplaceCodes),
    Endpoint::Native(RemoveSecondFactor),
];

impl NativeEndpoint {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Register => "native.register",
            Login => "native.login",
            LoginSecond => "native.login-second-factor",
            Refresh => "native.refresh",
            Logout => "native.logout",
            LogoutEverywhere => "native.logout-everywhere",
            Me => "native.me",
            ChangePassword => "native.change-password",
            ApiKeys => "native.api-keys",
            MakeApiKey => "native.make-api-key",
            ApiKey => "native.api-key",
            Sessions => "native.sessions",
            EndSession => "native.end-session",
            EndOtherSessions => "native.end-other-sessions",
            SecondFactor => "native.second-factor",
            OfferSecondFactor => "native.offer-second-factor",
            ConfirmSecondFactor => "native.confirm-second-factor",
            ReplaceCodes => "native.replace-recovery-codes",
            RemoveSecondFactor => "native.remove-second-factor",
        }
    }

    pub(super) const fn line(self) -> Line {
        match self {
            Register => Line::new(&["/auth/v1/register"], POST, Auth::None, Cost::Registration),
            Login => Line::new(&["/auth/v1/login"], POST, Auth::None, Cost::Credential),
            LoginSecond => Line::new(
                &["/auth/v1/login/second-factor"],
                POST,
                Auth::None,
                Cost::Credential,
            ),
            Refresh => Line::new(&["/auth/v1/refresh"], POST, Auth::None, Cost::Credential),
            Logout => Line::new(&["/auth/v1/logout"], POST, Auth::Required, Cost::Read),
            LogoutEverywhere => Line::new(
                &["/auth/v1/logout-everywhere"],
                POST,
                Auth::Required,
                Cost::Read,
            ),
            Me => Line::new(&["/auth/v1/me"], READ, Auth::Required, Cost::Read),
            ChangePassword => Line::new(
                &["/auth/v1/password"],
                POST,
                Auth::Required,
                Cost::Credential,
            ),
            ApiKeys => Line::new(&[API_KEYS], READ, Auth::Required, Cost::Read),
            MakeApiKey => Line::new(&[API_KEYS], POST, Auth::Required, Cost::Credential),
            ApiKey => Line::new(
                &["/auth/v1/api-keys/*"],
                DELETE,
                Auth::Required,
                Cost::Credential,
            ),
            Sessions => Line::new(&[SESSIONS], READ, Auth::Required, Cost::Read),
            EndSession => Line::new(&["/auth/v1/sessions/*"], DELETE, Auth::Required, Cost::Read),
            // also when there is none left: a revocation that is kept for 400 days
            EndOtherSessions => Line::new(&[SESSIONS], DELETE, Auth::Required, Cost::Credential),
            SecondFactor => Line::new(&[SECOND_FACTOR], READ, Auth::Required, Cost::Read),
            OfferSecondFactor => {
                Line::new(&[SECOND_FACTOR], POST, Auth::Required, Cost::Credential)
            }
            ConfirmSecondFactor => Line::new(
                &["/auth/v1/second-factor/confirm"],
                POST,
                Auth::Required,
                Cost::Credential,
            ),
            ReplaceCodes => Line::new(
                &["/auth/v1/second-factor/recovery-codes"],
                POST,
                Auth::Required,
                Cost::Credential,
            ),
            RemoveSecondFactor => Line::new(
                &["/auth/v1/second-factor/remove"],
                POST,
                Auth::Required,
                Cost::Credential,
            ),
        }
    }
}

/// Answers a request to `endpoint`.
pub(super) async fn answer(
    endpoint: NativeEndpoint,
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    match endpoint {
        Register => register(context, request).await,
        Login => log_in(context, request).await,
        LoginSecond => second_factor::log_in(context, request).await,
        Refresh => refresh(context, request).await,
        Logout => log_out(context, request).await,
        LogoutEverywhere => log_out_everywhere(context, request).await,
        Me => me(context, request).await,
        ChangePassword => change_password(context, request).await,
        ApiKeys => api_keys::list(context, request).await,
        MakeApiKey => api_keys::make(context, request).await,
        ApiKey => api_keys::revoke(context, request).await,
        Sessions => sessions::list(context, request).await,
        EndSession => sessions::end(context, request).await,
        EndOtherSessions => sessions::end_others(context, request).await,
        SecondFactor => second_factor::show(context, request).await,
        OfferSecondFactor => second_factor::offer(context, request).await,
        ConfirmSecondFactor => second_factor::confirm(context, request).await,
        ReplaceCodes => second_factor::replace_codes(context, request).await,
        RemoveSecondFactor => second_factor::remove(context, request).await,
    }
}

/// What everything answers that opens a session (the fields of RFC 6749 §5.1).
#[derive(Serialize)]
struct Tokens<'a> {
    access_token: &'a str,
    token_type: &'static str,
    /// seconds
    expires_in: u64,
    refresh_token: &'a str,
    user: User,
    /// Shown once, when there are new ones.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    recovery_codes: &'a [String],
}

/// What a browser gets instead: the session is in the cookie.
#[derive(Serialize)]
struct Renewed<'a> {
    user: User,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    recovery_codes: &'a [String],
}

/// What register answers when an operator must approve the account.
#[derive(Serialize)]
struct Pending {
    status: &'static str,
    user: User,
}

/// An account as its owner sees it.
#[derive(Serialize)]
struct User {
    id: String,
    email: String,
    email_verified: bool,
    username: Option<String>,
    name: String,
    roles: Vec<String>,
    created_at: String,
}

impl User {
    fn of(account: &Account) -> Self {
        Self {
            id: account.id.to_string(),
            email: account.email.to_string(),
            email_verified: account.email_verified,
            username: account.username.as_ref().map(ToString::to_string),
            name: account.name.to_string(),
            roles: account.roles.iter().map(Role::to_string).collect(),
            created_at: account.created_at.rfc3339(),
        }
    }
}

impl<'a> Tokens<'a> {
    fn of(grant: &'a Grant) -> Self {
        Self {
            access_token: &grant.access_token,
            token_type: "Bearer",
            expires_in: grant.lifetime.as_secs(),
            refresh_token: grant.opened.refresh.expose(),
            user: User::of(&grant.opened.account),
            recovery_codes: &[],
        }
    }
}

fn tokens(status: StatusCode, grant: &Grant) -> Result<Response<Body>, Rejection> {
    grant.answer(status, &Tokens::of(grant))
}

async fn register(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let mut form = Form::json(&request.headers, &request.body)?;
    let email = form.email("email");
    let password = form.password("password");
    let name = form.display_name("name");
    let invitation = form.optional_text("invitation");
    let (email, password) = form.complete(email.zip(password))?;
    let new = NewAccount {
        email,
        password,
        username: None,
        name,
        invitation,
    };
    match Grant::register(context, request, new, Profile::Native).await? {
        Admitted::In(grant) => tokens(StatusCode::CREATED, &grant),
        // Accepted, and not yet done (RFC 9110 §15.3.3).
        Admitted::Waits(account) => {
            let user = User::of(&account);
            let pending = Pending {
                status: account.status.word(),
                user,
            };
            reply::json(StatusCode::ACCEPTED, &pending)
        }
    }
}

/// `name` is taken and ignored, so that one form serves register and login; `email` may hold
/// whatever the account's login name is. The refresh token of the last session may come along: by
/// it the device is known again.
async fn log_in(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let mut form = Form::json(&request.headers, &request.body)?;
    let name = form.login_name("email");
    let password = form.password("password");
    let refresh = form.optional_text("refresh_token");
    let (name, password) = form.complete(name.zip(password))?;
    let shown = Credentials {
        name,
        password,
        refresh,
    };
    match login::prove(context, request, &shown).await? {
        Proved::Wholly(proof) => {
            let grant = Grant::open(context, request, &proof, Profile::Native).await?;
            tokens(StatusCode::OK, &grant)
        }
        Proved::Halfway(account) => second_factor::ask(context, &account),
    }
}

async fn refresh(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let mut form = Form::json(&request.headers, &request.body)?;
    let token = form.text("refresh_token");
    let token = form.complete(token)?;
    let opened = context.accounts.refresh(&token, &request.device()).await?;
    tokens(
        StatusCode::OK,
        &Grant::of(context, opened, Profile::Native)?,
    )
}

async fn log_out(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    login::end(context, request).await?;
    Ok(request.logged_out(reply::nothing()))
}

async fn log_out_everywhere(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let bearer = request.bearer()?;
    context
        .accounts
        .end_all_sessions(bearer.account, &request.origin())
        .await?;
    Ok(request.logged_out(reply::nothing()))
}

async fn me(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let account = login::owner(context, request).await?;
    reply::json(StatusCode::OK, &User::of(&account))
}

/// Every session ends, also the one that asks: a copy of its token dies with it. The answer
/// carries a new session: in a browser by its cookie alone, which is kept as long as the old one.
async fn change_password(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let mut form = Form::json(&request.headers, &request.body)?;
    let current = form.password("current_password");
    let new = form.password("new_password");
    let (current, new) = form.complete(current.zip(new))?;
    let account = login::owner(context, request).await?;
    let factors = steps::of_caller(context, request, &account).await?;
    let change = PasswordChange {
        account: account.id,
        current,
        new,
        keep: None,
    };
    login::change_password(context, request, &account, change).await?;
    // A session opens only for the account as it is now.
    let proof = steps::renewed(context, request, factors).await?;
    go_on(context, request, proof, &[]).await
}

/// Opens the session that takes the place of the one that asked, which has ended: for a browser by its
/// cookie alone, which is kept as long as the old one.
async fn go_on(
    context: &EndpointContext,
    request: &EndpointRequest,
    proof: Proof,
    recovery_codes: &[String],
) -> Result<Response<Body>, Rejection> {
    if request.by_cookie() {
        let renewed = Renewed {
            user: User::of(&proof.account),
            recovery_codes,
        };
        let mut response = reply::json(StatusCode::OK, &renewed)?;
        let keep = browser::keep_of(context, request);
        browser::open(context, request, (proof, keep), response.headers_mut()).await?;
        return Ok(response);
    }
    let grant = Grant::open(context, request, &proof, Profile::Native).await?;
    let answer = Tokens {
        recovery_codes,
        ..Tokens::of(&grant)
    };
    grant.answer(StatusCode::OK, &answer)
}
