//! One's own sessions: what is open where, and ending them.

use http::{Response, StatusCode};
use serde::Serialize;

use super::super::{EndpointContext, EndpointRequest, reply};
use crate::accounts::{Session, SessionId};
use crate::body::Body;
use crate::rejection::Rejection;

#[derive(Serialize)]
struct Listed {
    sessions: Vec<Open>,
}

/// A session as its owner sees it.
#[derive(Serialize)]
struct Open {
    id: String,
    /// The `User-Agent` that it was opened or last refreshed from; may be empty.
    device: String,
    /// Where it was used from last.
    address: Option<String>,
    created_at: String,
    /// At most an hour late.
    last_used_at: String,
    /// When it ends unless it is used.
    expires_at: String,
    /// Whether it is the one that asks.
    current: bool,
}

#[derive(Serialize)]
struct Ended {
    ended: u64,
}

impl Open {
    fn of(session: &Session, current: Option<SessionId>) -> Self {
        let Session {
            id,
            account: _,
            device,
            created_at,
            last_used_at,
            expires_at,
        } = session;
        Self {
            id: id.to_string(),
            device: device.name.clone(),
            address: device.client.map(|client| client.to_string()),
            created_at: created_at.rfc3339(),
            last_used_at: last_used_at.rfc3339(),
            expires_at: expires_at.rfc3339(),
            current: current == Some(*id),
        }
    }
}

/// The sessions of whoever asks, latest use first.
pub(super) async fn list(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let bearer = request.bearer()?;
    let sessions = context.accounts.sessions(bearer.account).await?;
    let sessions = sessions.iter().map(|open| Open::of(open, bearer.session));
    let listed = Listed {
        sessions: sessions.collect(),
    };
    reply::json(StatusCode::OK, &listed)
}

/// Ends one session of whoever asks. Another's is as unknown as one that has ended.
pub(super) async fn end(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let bearer = request.bearer()?;
    let named = request.path.segments().next_back().unwrap_or_default();
    let session = SessionId::parse(named).map_err(|_| Rejection::NotFound)?;
    let ended = context
        .accounts
        .end_session(bearer.account, session, &request.origin())
        .await?;
    match ended {
        0 => Err(Rejection::NotFound),
        _one if bearer.session == Some(session) => Ok(request.logged_out(reply::nothing())),
        _one => Ok(reply::nothing()),
    }
}

/// Ends all sessions but the one that asks, and answers how many they were. A token that names no
/// session is ended with them: it cannot be told from its copies.
pub(super) async fn end_others(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let bearer = request.bearer()?;
    let (accounts, origin) = (&context.accounts, request.origin());
    let ended = match bearer.session {
        Some(keep) => {
            accounts
                .end_other_sessions(bearer.account, keep, &origin)
                .await?
        }
        None => accounts.end_all_sessions(bearer.account, &origin).await?,
    };
    reply::json(StatusCode::OK, &Ended { ended })
}
