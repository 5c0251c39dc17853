//! Where a request carries a token: one place that every route reads, two that a route opts in to.

use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderValue};

use crate::inbound::CleanPath;
use crate::route::TokenPlaces;

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

/// The parts of a request in which a token may stand.
pub(super) struct Shown<'a> {
    pub(super) headers: &'a mut HeaderMap,
    pub(super) path: &'a mut CleanPath,
    /// Whether the request asks for a WebSocket.
    pub(super) websocket: bool,
}

impl Shown<'_> {
    /// The token of `Authorization: Bearer`. The scheme is read in any case (RFC 9110 §11.1).
    pub(super) fn bearer(&self) -> Result<Option<&str>, AuthnError> {
        let mut fields = self.headers.get_all(AUTHORIZATION).iter();
        let Some(field) = fields.next() else {
            return Ok(None);
        };
        if fields.next().is_some() {
            return Err(AuthnError::Ambiguous);
        }
        let text = field.to_str().map_err(|_| AuthnError::Scheme)?;
        let (scheme, token) = text.split_once(' ').ok_or(AuthnError::Scheme)?;
        let token = token.trim_matches(' ');
        if !scheme.eq_ignore_ascii_case("Bearer") || token.is_empty() || token.contains(' ') {
            return Err(AuthnError::Scheme);
        }
        Ok(Some(token))
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
