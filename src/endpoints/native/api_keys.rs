//! `/auth/v1/api-keys`: users' own keys. Whose they are, only the session says.

use std::time::Duration;

use http::{Response, StatusCode};
use serde::Serialize;

use crate::accounts::{AccountId, ApiKey, ApiKeyId, Binding, KeyOwner, NewApiKey, WrittenBinding};
use crate::body::Body;
use crate::endpoints::form::Form;
use crate::endpoints::{EndpointContext, EndpointError, EndpointRequest, reply};
use crate::rejection::{Fault, Rejection};

/// Most keys in one answer: several times what a user may have.
const PAGE: u32 = 1000;

/// A key as its owner sees it.
#[derive(Serialize)]
struct View {
    id: String,
    name: String,
    #[serde(flatten)]
    binding: WrittenBinding,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    last_used_at: Option<String>,
}

#[derive(Serialize)]
struct Listed {
    api_keys: Vec<View>,
}

/// The only answer with the key itself.
#[derive(Serialize)]
struct Issued<'a> {
    secret: &'a str,
    #[serde(flatten)]
    key: View,
}

impl View {
    fn of(key: &ApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name.as_str().to_owned(),
            binding: key.binding.written(),
            created_at: key.created_at.rfc3339(),
            expires_at: key.expires_at.map(|at| at.rfc3339()),
            revoked_at: key.revoked_at.map(|at| at.rfc3339()),
            last_used_at: key.last_used_at.map(|at| at.rfc3339()),
        }
    }
}

/// Lists one's keys.
pub(super) async fn list(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let owner = Some(KeyOwner::User(owner(request)?));
    let keys = context.accounts.api_keys(owner, (None, PAGE)).await?;
    let api_keys = keys.iter().map(View::of).collect();
    reply::json(StatusCode::OK, &Listed { api_keys })
}

/// Makes a key of one's own.
pub(super) async fn make(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let account = owner(request)?;
    let mut form = Form::json(&request.headers, &request.body)?;
    let name = form.label("name");
    let seconds = form.optional_number("expires_in");
    let written = WrittenBinding {
        scopes: form.texts("scopes"),
        routes: form.texts("routes"),
        networks: form.texts("networks"),
        limits: Vec::new(),
    };
    let binding = match Binding::parse(&written) {
        Ok(binding) => Some(binding),
        Err(error) => form.refuse(error.field(), Fault::Unacceptable(error.to_string())),
    };
    let (name, binding) = form.complete(name.zip(binding))?;
    let new = NewApiKey {
        name,
        binding,
        lifetime: seconds.map(Duration::from_secs),
    };
    let issued = context
        .accounts
        .create_own_api_key(account, new, &request.origin())
        .await?;
    let answer = Issued {
        secret: issued.text.expose(),
        key: View::of(&issued.key),
    };
    reply::json(StatusCode::CREATED, &answer)
}

/// Revokes a key of one's own.
pub(super) async fn revoke(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let account = owner(request)?;
    let id = request.path.segments().next_back().unwrap_or_default();
    let id = ApiKeyId::parse(id).map_err(|_| Rejection::NotFound)?;
    let owner = Some(KeyOwner::User(account));
    context
        .accounts
        .revoke_api_key(id, owner, &request.origin())
        .await?;
    Ok(reply::nothing())
}

/// Whose session the request comes from. A token without one, of a legacy key, is not enough: a
/// key made with it would outlive it.
fn owner(request: &EndpointRequest) -> Result<AccountId, EndpointError> {
    let bearer = request.bearer()?;
    match bearer.session {
        Some(_) => Ok(bearer.account),
        None => Err(EndpointError::NoSession),
    }
}
