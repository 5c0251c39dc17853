//! What a key says of who calls with it: the claims that a token of its owner would have, and the
//! key's own.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::accounts::{Holder, OpenedKey, Role, WrittenBinding};
use crate::authn::token::Claims;

/// The last second of the year 9999: a key without end needs an `exp` like every claims set.
const NEVER: i64 = 253_402_300_799;

#[derive(Serialize)]
struct Written<'a> {
    sub: &'a str,
    user_id: &'a str,
    uuid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    /// Said when it is so, as in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    roles: Vec<&'a str>,
    /// Absent without scopes: AgentFlow enforces an empty list.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    scopes: &'a [String],
    #[serde(skip_serializing_if = "Map::is_empty")]
    attributes: Map<String, Value>,
    exp: i64,
    api_key: String,
}

/// The claims of an open key as JSON, with its owner's attributes of these names.
pub(super) fn written(opened: &OpenedKey, attributes: &[Box<str>]) -> Option<String> {
    let key = &opened.key;
    let sub = key.owner.id().to_string();
    let (account, name) = match &opened.holder {
        Holder::User(account) => (Some(account), account.name.as_str()),
        Holder::Service(service) => (None, service.name.as_str()),
    };
    let username = account.and_then(|account| account.username.as_ref());
    let roles: Vec<&str> = opened.holder.roles().iter().map(Role::as_str).collect();
    let WrittenBinding { scopes, .. } = key.binding.written();
    let written = Written {
        sub: &sub,
        user_id: &sub,
        uuid: &sub,
        email: account.map(|account| account.email.as_str()),
        email_verified: account.and_then(|account| account.email_verified.then_some(true)),
        name,
        username: username.map(|username| username.as_str()),
        role: roles.first().copied(),
        roles,
        scopes: &scopes,
        attributes: account
            .map(|account| account.attributes.only(attributes))
            .unwrap_or_default(),
        exp: key.expires_at.map_or(NEVER, |expires| expires.seconds()),
        api_key: key.id.to_string(),
    };
    serde_json::to_string(&written).ok()
}

/// The claims that [`written`] wrote.
pub(super) fn read(json: &str) -> Option<Claims> {
    Claims::parse(json.as_bytes()).ok()
}
