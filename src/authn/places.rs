//! Where a request carries a credential: one place that every route reads, and those that a route
//! opts in to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::inbound::CleanPath;
use crate::route::{CredentialKinds, TokenPlaces};

use super::{AuthnError, Credential};

/// The subprotocols under which AgentFlow's clients and its successor's carry a token.
const CARRIERS: [&str; 2] = ["agentflow-bearer", "10xgraph-bearer"];

/// The query parameter in which AgentFlow's WebSocket clients carry one.
const PARAMETER: &str = "token";

/// A token as the request showed it; nothing about it has been believed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) token: String,
    pub(super) credential: Credential,
}

/// What `Authorization` shows; nothing about it has been believed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Authorized<'a> {
    Bearer(&'a str),
    /// A text that begins as keys of ours do, as Bearer or in Basic.
    Key(String),
}

/// The parts of a request in which a token may stand.
pub(super) struct Shown<'a> {
    pub(super) headers: &'a mut HeaderMap,
    pub(super) path: &'a mut CleanPath,
    /// Whether the request asks for a WebSocket.
    pub(super) websocket: bool,
}

impl Shown<'_> {
    /// What stands in `Authorization`. The scheme is read in any case (RFC 9110 §11.1). Basic is
    /// read where API keys are taken, and for them only.
    pub(super) fn authorization(
        &self,
        kinds: CredentialKinds,
        is_key: impl Fn(&str) -> bool,
    ) -> Result<Option<Authorized<'_>>, AuthnError> {
        let mut fields = self.headers.get_all(AUTHORIZATION).iter();
        let Some(field) = fields.next() else {
            return Ok(None);
        };
        if fields.next().is_some() {
            return Err(AuthnError::Ambiguous);
        }
        let (scheme, shown) = split(field.as_bytes()).ok_or(AuthnError::Scheme)?;
        if scheme.eq_ignore_ascii_case(b"Basic") && kinds.api_key {
            return basic(shown, is_key).map(Some);
        }
        if !scheme.eq_ignore_ascii_case(b"Bearer") {
            return Err(AuthnError::Scheme);
        }
        Ok(Some(match is_key(shown) {
            true => Authorized::Key(shown.to_owned()),
            false => Authorized::Bearer(shown),
        }))
    }

    /// Takes the field of API keys out of the request, where the route takes them. Elsewhere the
    /// field is the backend's, but a key of ours does not go on.
    pub(super) fn take_key(
        &mut self,
        name: &HeaderName,
        kinds: CredentialKinds,
        is_key: impl Fn(&str) -> bool,
    ) -> Result<Option<String>, AuthnError> {
        if !self.headers.contains_key(name) {
            return Ok(None);
        }
        let fields = self.headers.get_all(name).iter();
        let texts: Result<Vec<&str>, _> = fields.map(HeaderValue::to_str).collect();
        let found = match (&texts, kinds.api_key) {
            (Ok(texts), true) => only(texts.iter().map(|text| (*text).to_owned())),
            (Err(_), true) => Err(AuthnError::Scheme),
            (Ok(texts), false) if !texts.iter().any(|text| is_key(text)) => return Ok(None),
            (Ok(_) | Err(_), false) => Ok(None),
        };
        self.headers.remove(name);
        found
    }

    /// Puts a verified token where the rest of the gateway, and a backend, look for one.
    pub(super) fn set_bearer(&mut self, token: &str) -> Result<(), AuthnError> {
        let value = HeaderValue::try_from(format!("Bearer {token}"));
        let mut value = value.map_err(|_| AuthnError::Scheme)?;
        value.set_sensitive(true);
        self.headers.insert(AUTHORIZATION, value);
        Ok(())
    }

    /// Takes the tokens out of the two further places, so that an upstream that looks there
    /// cannot find another identity, and gives those that the route opts in to.
    pub(super) fn take_elsewhere(
        &mut self,
        places: TokenPlaces,
    ) -> Result<Option<Found>, AuthnError> {
        let subprotocol = take_subprotocol(self.headers).filter(|_| places.subprotocol);
        // A `token` of a plain request is the application's own: AgentFlow reads it on WebSockets
        // only.
        let query = match self.websocket {
            true => take_parameter(self.path).filter(|_| places.query),
            false => None,
        };
        match (subprotocol.transpose()?, query.transpose()?) {
            (None, found) | (found, None) => Ok(found),
            (Some(one), Some(other)) if one.token == other.token => Ok(Some(one)),
            (Some(_), Some(_)) => Err(AuthnError::Ambiguous),
        }
    }
}

/// A scheme, spaces, and what was shown: ASCII without a space in it.
fn split(field: &[u8]) -> Option<(&[u8], &str)> {
    let space = field.iter().position(|byte| *byte == b' ')?;
    let (scheme, mut shown) = field.split_at(space);
    while let [b' ', rest @ ..] = shown {
        shown = rest;
    }
    while let [rest @ .., b' '] = shown {
        shown = rest;
    }
    // Both look at many bytes at a time: a token is long. Control characters but for the tab are in
    // no field value.
    if shown.is_empty() || !shown.is_ascii() || shown.contains(&b' ') {
        return None;
    }
    Some((scheme, std::str::from_utf8(shown).ok()?))
}

/// A key as the password, whoever the user; or as the user, without a password (RFC 7617).
fn basic<'a>(encoded: &str, is_key: impl Fn(&str) -> bool) -> Result<Authorized<'a>, AuthnError> {
    let decoded = STANDARD.decode(encoded).ok();
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.ok_or(AuthnError::Scheme)?;
    let (user, password) = decoded.split_once(':').ok_or(AuthnError::Scheme)?;
    match (is_key(user), is_key(password)) {
        (true, true) if user != password => Err(AuthnError::Ambiguous),
        (_, true) => Ok(Authorized::Key(password.to_owned())),
        (true, false) if password.is_empty() => Ok(Authorized::Key(user.to_owned())),
        (true | false, false) => Err(AuthnError::Scheme),
    }
}

/// Takes carrier subprotocols and what they carry off the list, keeps the others. `None`: there
/// was no carrier.
fn take_subprotocol(headers: &mut HeaderMap) -> Option<Result<Found, AuthnError>> {
    if !headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        return None;
    }
    let offered: Vec<String> = headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .flat_map(|field| field.as_bytes().split(|byte| *byte == b','))
        .map(|item| String::from_utf8_lossy(item.trim_ascii()).into_owned())
        .collect();
    let (mut carrier, mut tokens, mut kept) = (None, Vec::new(), Vec::new());
    let mut items = offered.into_iter().peekable();
    while let Some(item) = items.next() {
        let found = CARRIERS
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(&item));
        if let Some(found) = found {
            carrier = Some(found);
            tokens.extend(items.next_if(|next| !is_carrier(next)));
        } else if looks_like_a_token(&item) {
            // Where a backend looks for the token beside its carrier is not ours to guess.
            tokens.push(item);
        } else {
            kept.push(item);
        }
    }
    let carrier = carrier?;
    headers.remove(SEC_WEBSOCKET_PROTOCOL);
    if let Ok(rest) = HeaderValue::try_from(kept.join(", "))
        && !kept.is_empty()
    {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, rest);
    }
    Some(only(tokens.into_iter()).and_then(|token| {
        let token = token.ok_or(AuthnError::Scheme)?;
        Ok(Found {
            token,
            credential: Credential::Subprotocol(carrier),
        })
    }))
}

/// Takes the parameter out of the query. `None`: it was not there.
fn take_parameter(path: &mut CleanPath) -> Option<Result<Found, AuthnError>> {
    let tokens: Vec<String> = path.parameter(PARAMETER).map(str::to_owned).collect();
    if tokens.is_empty() {
        return None;
    }
    *path = path.without_parameter(PARAMETER);
    Some(only(tokens.into_iter()).and_then(|token| {
        Ok(Found {
            token: token.ok_or(AuthnError::Scheme)?,
            credential: Credential::Query,
        })
    }))
}

/// The one token among those shown in one place; the same one twice is one.
fn only(mut tokens: impl Iterator<Item = String>) -> Result<Option<String>, AuthnError> {
    let Some(first) = tokens.next() else {
        return Ok(None);
    };
    if tokens.all(|other| other == first) {
        Ok(Some(first))
    } else {
        Err(AuthnError::Ambiguous)
    }
}

fn is_carrier(item: &str) -> bool {
    CARRIERS
        .into_iter()
        .any(|known| known.eq_ignore_ascii_case(item))
}

fn looks_like_a_token(item: &str) -> bool {
    item.bytes().filter(|byte| *byte == b'.').count() == 2 && item.len() > 32
}
