//! The second half of a login, and one's own second factor.

use http::{Response, StatusCode};
use serde::Serialize;

use super::super::form::Form;
use super::super::grant::Grant;
use super::super::{EndpointContext, EndpointRequest, Profile, login, reply, second_factor};
use crate::accounts::{Account, RecoveryCode, ShownCode};
use crate::body::Body;
use crate::rejection::Rejection;

/// What a login answers that is only half done.
#[derive(Serialize)]
struct Asked<'a> {
    status: &'static str,
    challenge: &'a str,
    /// seconds
    expires_in: u64,
}

/// A second factor as its owner sees it.
#[derive(Serialize)]
struct State {
    enabled: bool,
    since: Option<String>,
    /// How many are left.
    recovery_codes: u32,
}

/// What an authenticator app is told.
#[derive(Serialize)]
struct Offered<'a> {
    secret: &'a str,
    uri: &'a str,
}

#[derive(Serialize)]
struct Codes {
    recovery_codes: Vec<String>,
}

/// 202: the password was right, and there is more to show (RFC 9110 §15.3.3).
pub(super) fn ask(
    context: &EndpointContext,
    account: &Account,
) -> Result<Response<Body>, Rejection> {
    let (challenge, lifetime) = context.accounts.challenge(account)?;
    let asked = Asked {
        status: "second_factor_required",
        challenge: &challenge,
        expires_in: lifetime.as_secs(),
    };
    reply::json(StatusCode::ACCEPTED, &asked)
}

pub(super) async fn log_in(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let mut form = Form::json(&request.headers, &request.body)?;
    let challenge = form.text("challenge");
    let code = form.code("code");
    let (challenge, code) = form.complete(challenge.zip(code))?;
    let proof = second_factor::prove(context, request, (&challenge, &code)).await?;
    let grant = Grant::open(context, request, &proof, Profile::Native).await?;
    super::tokens(StatusCode::OK, &grant)
}

pub(super) async fn show(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let account = login::owner(context, request).await?;
    let found = context.accounts.second_factor(account.id).await?;
    let state = State {
        enabled: found.is_some(),
        since: found.map(|found| found.since.rfc3339()),
        recovery_codes: found.map_or(0, |found| found.recovery_codes),
    };
    reply::json(StatusCode::OK, &state)
}

pub(super) async fn offer(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let mut form = Form::json(&request.headers, &request.body)?;
    let password = form.password("password");
    let password = form.complete(password)?;
    let offered = second_factor::offer(context, request, password).await?;
    let answer = Offered {
        secret: &offered.secret,
        uri: &offered.uri,
    };
    reply::json(StatusCode::OK, &answer)
}

pub(super) async fn confirm(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let code = read_code(request)?;
    let (proof, codes) = second_factor::confirm(context, request, &code).await?;
    super::go_on(context, request, proof, &texts(&codes)).await
}

pub(super) async fn replace_codes(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let code = read_code(request)?;
    let codes = second_factor::replace_codes(context, request, &code).await?;
    let recovery_codes = texts(&codes);
    reply::json(StatusCode::OK, &Codes { recovery_codes })
}

pub(super) async fn remove(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let code = read_code(request)?;
    let proof = second_factor::remove(context, request, &code).await?;
    super::go_on(context, request, proof, &[]).await
}

fn read_code(request: &EndpointRequest) -> Result<ShownCode, Rejection> {
    let mut form = Form::json(&request.headers, &request.body)?;
    let code = form.code("code");
    Ok(form.complete(code)?)
}

fn texts(codes: &[RecoveryCode]) -> Vec<String> {
    codes.iter().map(RecoveryCode::expose).collect()
}
