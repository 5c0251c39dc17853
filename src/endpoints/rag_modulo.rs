//! The profile `rag-modulo`: what clients of RAG Modulo expect under `/api/auth/`.

use http::{Response, StatusCode};
use serde::Serialize;

use super::form::Form;
use super::grant::Grant;
use super::login::Credentials;
use super::profile::{Cost, Line, POST, READ};
use super::{Endpoint, EndpointContext, EndpointRequest, Profile, login, reply};
use crate::accounts::{Account, NewAccount, Role};
use crate::authz::Auth;
use crate::body::Body;
use crate::rejection::Rejection;

/// One endpoint of the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RagModuloEndpoint {
    Register,
    Login,
    Token,
    Me,
    Userinfo,
    Logout,
}

use RagModuloEndpoint::{Login, Logout, Me, Register, Token, Userinfo};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::RagModulo(Register),
    Endpoint::RagModulo(Login),
    Endpoint::RagModulo(Token),
    Endpoint::RagModulo(Me),
    Endpoint::RagModulo(Userinfo),
    Endpoint::RagModulo(Logout),
];

impl RagModuloEndpoint {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Register => "rag-modulo.register",
            Login => "rag-modulo.login",
            Token => "rag-modulo.token",
            Me => "rag-modulo.me",
            Userinfo => "rag-modulo.userinfo",
            Logout => "rag-modulo.logout",
        }
    }

    pub(super) const fn line(self) -> Line {
        match self {
            Register => Line::new(
                &["/api/auth/register"],
                POST,
                Auth::None,
                Cost::Registration,
            ),
            Login => Line::new(&["/api/auth/login"], POST, Auth::None, Cost::Credential),
            Token => Line::new(&["/api/auth/token"], POST, Auth::None, Cost::Credential),
            Me => Line::new(&["/api/auth/me"], READ, Auth::Required, Cost::Read),
            Userinfo => Line::new(&["/api/auth/userinfo"], READ, Auth::Required, Cost::Read),
            Logout => Line::new(&["/api/auth/logout"], POST, Auth::Required, Cost::Read),
        }
    }
}

/// Answers a request to `endpoint`.
pub(super) async fn answer(
    endpoint: RagModuloEndpoint,
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    match endpoint {
        Register => register(context, request).await,
        Login => {
            log_in(
                context,
                request,
                Form::json(&request.headers, &request.body)?,
            )
            .await
        }
        Token => {
            log_in(
                context,
                request,
                Form::urlencoded(&request.headers, &request.body)?,
            )
            .await
        }
        Me => me(context, request).await,
        Userinfo => userinfo(context, request).await,
        Logout => log_out(context, request).await,
    }
}

#[derive(Serialize)]
struct Registered {
    user_id: String,
    username: String,
    email: String,
}

/// No `expires_at`: its command line breaks on a time with a zone.
#[derive(Serialize)]
struct AccessToken<'a> {
    access_token: &'a str,
    token_type: &'static str,
    /// seconds
    expires_in: u64,
}

#[derive(Serialize)]
struct User {
    id: String,
    email: String,
    name: String,
    uuid: String,
    role: String,
    username: Option<String>,
}

/// The claims of OpenID Connect Core §5.3, and the two that its clients read beside them.
#[derive(Serialize)]
struct UserinfoClaims {
    sub: String,
    name: String,
    email: String,
    uuid: String,
    role: String,
}

#[derive(Serialize)]
struct LoggedOut {
    message: &'static str,
}

/// Its clients read a text: of somebody who has no role, its own word for everybody.
fn role(account: &Account) -> String {
    account
        .roles
        .first()
        .map_or_else(|| String::from("user"), Role::to_string)
}

async fn register(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let mut form = Form::json(&request.headers, &request.body)?;
    let username = form.username("username");
    let password = form.password("password");
    let email = form.email("email");
    let read = username.zip(password).zip(email);
    let invitation = form.optional_text("invitation");
    let ((username, password), email) = form.complete(read)?;
    let registered = username.to_string();
    let new = NewAccount {
        email,
        password,
        username: Some(username),
        name: None,
        invitation,
    };
    let account = context.accounts.register(new, &request.origin()).await?;
    let answer = Registered {
        user_id: account.id.to_string(),
        username: account.username.map_or(registered, |name| name.to_string()),
        email: account.email.to_string(),
    };
    reply::json(StatusCode::CREATED, &answer)
}

async fn log_in(
    context: &EndpointContext,
    request: &EndpointRequest,
    mut form: Form,
) -> Result<Response<Body>, Rejection> {
    let name = form.login_name("username");
    let password = form.password("password");
    let (name, password) = form.complete(name.zip(password))?;
    let shown = Credentials {
        name,
        password,
        refresh: None,
    };
    let proof = login::prove_wholly(context, request, &shown).await?;
    let grant = Grant::open(context, request, &proof, Profile::RagModulo).await?;
    let answer = AccessToken {
        access_token: &grant.access_token,
        token_type: "bearer",
        expires_in: grant.lifetime.as_secs(),
    };
    grant.answer(StatusCode::OK, &answer)
}

async fn me(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let account = login::owner(context, request).await?;
    let user = User {
        id: account.id.to_string(),
        email: account.email.to_string(),
        name: account.name.to_string(),
        uuid: account.id.to_string(),
        role: role(&account),
        username: account.username.map(|name| name.to_string()),
    };
    reply::json(StatusCode::OK, &user)
}

async fn userinfo(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let account = login::owner(context, request).await?;
    let claims = UserinfoClaims {
        sub: account.id.to_string(),
        name: account.name.to_string(),
        email: account.email.to_string(),
        uuid: account.id.to_string(),
        role: role(&account),
    };
    reply::json(StatusCode::OK, &claims)
}

async fn log_out(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    login::end(context, request).await?;
    reply::json(
        StatusCode::OK,
        &LoggedOut {
            message: "Logged out successfully",
        },
    )
}
