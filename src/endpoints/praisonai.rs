//! The profile `praisonai`: what clients of the PraisonAI Platform expect under `/api/v1/auth/`.

use http::{Response, StatusCode};
use serde::Serialize;

use super::form::Form;
use super::grant::{Admitted, Grant};
use super::login::Credentials;
use super::profile::{Cost, Line, POST, READ};
use super::{Endpoint, EndpointContext, EndpointError, EndpointRequest, Profile, login, reply};
use crate::accounts::{Account, LoginName, NewAccount};
use crate::authz::Auth;
use crate::body::Body;
use crate::rejection::Rejection;

/// One endpoint of the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PraisonaiEndpoint {
    Register,
    Login,
    Me,
}

use PraisonaiEndpoint::{Login, Me, Register};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::Praisonai(Register),
    Endpoint::Praisonai(Login),
    Endpoint::Praisonai(Me),
];

impl PraisonaiEndpoint {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Register => "praisonai.register",
            Login => "praisonai.login",
            Me => "praisonai.me",
        }
    }

    /// A trailing slash is accepted: the real server redirects it, and its clients do not follow.
    pub(super) const fn line(self) -> Line {
        match self {
            Register => Line::new(
                &["/api/v1/auth/register", "/api/v1/auth/register/"],
                POST,
                Auth::None,
                Cost::Registration,
            ),
            Login => Line::new(
                &["/api/v1/auth/login", "/api/v1/auth/login/"],
                POST,
                Auth::None,
                Cost::Credential,
            ),
            Me => Line::new(
                &["/api/v1/auth/me", "/api/v1/auth/me/"],
                READ,
                Auth::Required,
                Cost::Read,
            ),
        }
    }
}

/// Answers a request to `endpoint`.
pub(super) async fn answer(
    endpoint: PraisonaiEndpoint,
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    match endpoint {
        Register => register(context, request).await,
        Login => log_in(context, request).await,
        Me => me(context, request).await,
    }
}

#[derive(Serialize)]
struct Session<'a> {
    token: &'a str,
    user: User,
}

#[derive(Serialize)]
struct User {
    id: String,
    name: String,
    email: String,
    /// Its clients read the field; we keep no pictures.
    avatar_url: Option<String>,
    created_at: String,
}

impl User {
    fn of(account: &Account) -> Self {
        Self {
            id: account.id.to_string(),
            name: account.name.to_string(),
            email: account.email.to_string(),
            avatar_url: None,
            created_at: account.created_at.rfc3339(),
        }
    }
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
    match Grant::register(context, request, new, Profile::Praisonai).await? {
        Admitted::In(grant) => session(StatusCode::CREATED, &grant),
        // Its clients read a token from every answer that is not an error.
        Admitted::Waits(_) => Err(EndpointError::ApprovalPending.into()),
    }
}

async fn log_in(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let mut form = Form::json(&request.headers, &request.body)?;
    let email = form.email("email");
    let password = form.password("password");
    let (email, password) = form.complete(email.zip(password))?;
    let shown = Credentials {
        name: LoginName::from(&email),
        password,
        refresh: None,
    };
    let proof = login::prove_wholly(context, request, &shown).await?;
    let grant = Grant::open(context, request, &proof, Profile::Praisonai).await?;
    session(StatusCode::OK, &grant)
}

fn session(status: StatusCode, grant: &Grant) -> Result<Response<Body>, Rejection> {
    let user = User::of(&grant.opened.account);
    grant.answer(
        status,
        &Session {
            token: &grant.access_token,
            user,
        },
    )
}

async fn me(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let account = login::owner(context, request).await?;
    reply::json(StatusCode::OK, &User::of(&account))
}
