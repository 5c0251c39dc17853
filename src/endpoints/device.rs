//! Whether the device that tries a login name logged in to that very account before: if so it
//! keeps its own allowance of wrong passwords while somebody else uses up the account's.

use std::time::Duration;

use http::{HeaderValue, header};

use super::{EndpointContext, EndpointRequest};
use crate::accounts::{Account, AccountId};
use crate::clock::Timestamp;
use crate::inbound::cookie;
use crate::lockout::KnownDevice;
use crate::secret;

/// How long a device is known after a login: as long as browsers keep a cookie (RFC 6265bis §5.5).
const KNOWN_FOR: Duration = Duration::from_secs(400 * 24 * 3600);

/// What the cookie counts time in.
const SECOND: Duration = Duration::from_secs(1);

/// What the lockout may know of the device.
pub(super) enum Device {
    Unknown,
    /// The id of a live session of the account, or of its device cookie.
    Known(String),
}

impl Device {
    /// The device behind an attempt on the account `tried`. What it shows admits to nothing, so that stale cookies
    /// and tokens, which clients send along when they log in again, are no errors.
    pub async fn of(
        context: &EndpointContext,
        request: &EndpointRequest,
        tried: Option<AccountId>,
        refresh: Option<&str>,
    ) -> Device {
        if let Some((owner, session)) = live_session(context, request)
            && Some(owner) == tried
        {
            return Device::Known(session);
        }
        let shown = match (remembered(context, request), refresh) {
            (Some(shown), _) => Some((shown.account, shown.id)),
            (None, Some(token)) => recognised(context, token).await,
            (None, None) => None,
        };
        match shown {
            Some((owner, id)) if Some(owner) == tried => Device::Known(id),
            Some(_) | None => Device::Unknown,
        }
    }

    pub fn as_known(&self) -> KnownDevice<'_> {
        match self {
            Device::Unknown => KnownDevice::No,
            Device::Known(id) => KnownDevice::Yes(id),
        }
    }
}

/// The cookie for a device on which somebody has just logged in to `account`.
pub(super) fn remember(context: &EndpointContext, account: &Account) -> Option<HeaderValue> {
    let shown = Shown {
        account: account.id,
        id: format!("{:032x}", u128::from_ne_bytes(secret::random())),
        // A whole second, and the next one: sessions that ended a moment ago were others.
        until: context.clock.now() + KNOWN_FOR + SECOND,
    };
    let value = context
        .accounts
        .device_ring()
        .seal(shown.written().as_bytes())?;
    cookie::set(cookie::DEVICE, &value, KNOWN_FOR)
}

/// What a device cookie says: whose it is, which, and until when it is known.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    account: AccountId,
    id: String,
    until: Timestamp,
}

impl Shown {
    fn written(&self) -> String {
        format!("{}.{}.{}", self.account, self.id, self.until.seconds())
    }

    /// When its owner logged in.
    fn since(&self) -> Timestamp {
        self.until - KNOWN_FOR
    }

    /// `None`: not ours, or expired.
    fn read(payload: &[u8], now: Timestamp) -> Option<Self> {
        let mut parts = std::str::from_utf8(payload).ok()?.split('.');
        let (account, id, until) = (parts.next()?, parts.next()?, parts.next()?);
        let until = Timestamp::from_seconds(until.parse().ok()?);
        (now < until).then_some(Self {
            account: AccountId::parse(account).ok()?,
            id: String::from(id),
            until,
        })
    }
}

/// The device cookie, if it is one of ours and no older than the last end of all sessions of its
/// account: whoever was thrown out then keeps no allowance to guess the new password with.
fn remembered(context: &EndpointContext, request: &EndpointRequest) -> Option<Shown> {
    let value = cookie::find(&request.headers, cookie::DEVICE)?;
    let payload = context.accounts.device_ring().open(value)?;
    let shown = Shown::read(&payload, context.clock.now())?;
    let revocations = context.accounts.revocations();
    let ended = revocations.is_revoked(None, &shown.account.to_string(), shown.since());
    (!ended).then_some(shown)
}

/// The account of a live refresh token: its devices share one allowance.
async fn recognised(context: &EndpointContext, token: &str) -> Option<(AccountId, String)> {
    let account = context.accounts.recognise(token).await.ok()??;
    Some((account, account.to_string()))
}

/// The session of a bearer token that is still good, and its account.
fn live_session(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Option<(AccountId, String)> {
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
    live.then_some((claims.account()?, session.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_known_until_its_cookie_ends() {
        let shown = Shown {
            account: AccountId::random(),
            id: String::from("ab12"),
            until: Timestamp::from_seconds(100),
        };
        let written = shown.written();
        let read = |at| Shown::read(written.as_bytes(), Timestamp::from_seconds(at));
        assert_eq!(read(99), Some(shown));
        assert_eq!(read(100), None);
        for payload in ["", "..", "x y.z.9999999999", "a.b"] {
            assert_eq!(
                Shown::read(payload.as_bytes(), Timestamp::from_seconds(0)),
                None
            );
        }
    }
}
