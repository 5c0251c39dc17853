//! Whether the device that tries a login name logged in to that very account before.

use http::header;

use super::{EndpointContext, EndpointRequest};
use crate::accounts::LoginName;
use crate::authn::Claims;
use crate::lockout::KnownDevice;

/// What the lockout may know of the device.
pub(super) enum Device {
    Unknown,
    /// The id of a live session of the account, or of its device token.
    Known(String),
}

impl Device {
    pub fn as_known(&self) -> KnownDevice<'_> {
        match self {
            Device::Unknown => KnownDevice::No,
            Device::Known(id) => KnownDevice::Yes(id),
        }
    }
}

/// The device behind a login attempt. Clients send their last token along when they log in
/// again; it admits to nothing here, so one that is stale or garbage is no error.
pub(super) fn of(context: &EndpointContext, request: &EndpointRequest, name: &LoginName) -> Device {
    live_session(context, request, name).map_or(Device::Unknown, Device::Known)
}

fn live_session(
    context: &EndpointContext,
    request: &EndpointRequest,
    name: &LoginName,
) -> Option<String> {
    let field = request.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = field.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let claims = context
        .tokens
        .verify(token.trim(), context.clock.now())
        .ok()?;
    // a token of a foreign or legacy key names no session: it proves no login here
    let session = claims.session()?;
    let issued_at = claims.issued_at()?;
    let revocations = context.accounts.revocations();
    let live = !revocations.is_revoked(Some(session), claims.subject(), issued_at);
    (live && is_of(&claims, name)).then(|| session.to_string())
}

fn is_of(claims: &Claims, name: &LoginName) -> bool {
    let names = ["email", "username"]
        .into_iter()
        .filter_map(|claim| claims.text(claim));
    names
        .filter_map(|text| LoginName::parse(text).ok())
        .any(|own| own == *name)
}
