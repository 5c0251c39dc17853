//! The deadlines of one connection, met by a single timer that is rarely touched.
//!
//! A request does not set the timer. It fires at most once in the idle time, looks at the marks, and
//! goes back to sleep when the connection was busy meanwhile. Only a head that came in pieces, or an
//! answer that the client does not take, brings it forward.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep};

use super::connection::Protocol;
use super::io::Wire;
use super::settings::Bounds;
use crate::clock::timer_now;

/// Requests that the client may take back while it takes back more than it lets us answer.
const ABANDONED: u64 = 100;

/// Which deadline a connection missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expired {
    Head,
    Idle,
    Write,
    /// Not time, but patience: the client takes back what it asks for.
    Abuse,
    Farewell,
}

pub(super) struct Deadlines<'a> {
    wire: &'a Wire,
    bounds: &'a Bounds,
    protocol: Protocol,
    farewell: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl<'a> Deadlines<'a> {
    pub(super) fn new(wire: &'a Wire, bounds: &'a Bounds, protocol: Protocol) -> Self {
        Self {
            wire,
            bounds,
            protocol,
            farewell: None,
            timer: Box::pin(tokio::time::sleep(bounds.idle_time)),
        }
    }

    /// From now on the connection has as long to end as it has to take what we send: the last of an
    /// answer may still be on its way.
    pub(super) fn begin_farewell(&mut self) {
        self.farewell = Some(timer_now() + self.bounds.write_time);
    }

    /// Ready with the deadline that was missed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Expired> {
        if self.protocol == Protocol::Http2 && self.wire.flight.is_abusive(ABANDONED) {
            return Poll::Ready(Expired::Abuse);
        }
        loop {
            let next = self.next();
            if let Some((due, _)) = next
                && due < self.timer.deadline()
            {
                self.timer.as_mut().reset(due);
            }
            ready!(self.timer.as_mut().poll(cx));
            let now = timer_now();
            match next {
                Some((due, expired)) if due <= now => return Poll::Ready(expired),
                Some((due, _)) => self.timer.as_mut().reset(due),
                // Busy: a deadline that begins from now on cannot end earlier than this.
                None => self.timer.as_mut().reset(now + self.bounds.idle_time),
            }
        }
    }

    /// The deadline that ends first, if any is running.
    fn next(&self) -> Option<(Instant, Expired)> {
        let wire = self.wire;
        let blocked = wire.blocked_since();
        let running = [
            self.farewell.map(|at| (at, Expired::Farewell)),
            blocked.map(|since| (since + self.bounds.write_time, Expired::Write)),
            self.quiet(),
        ];
        running.into_iter().flatten().min_by_key(|(due, _)| *due)
    }

    /// The deadline of a connection on which no request is under way.
    fn quiet(&self) -> Option<(Instant, Expired)> {
        let wire = self.wire;
        if wire.flight.is_busy() || wire.is_tunnelled() || self.farewell.is_some() {
            return None;
        }
        // In HTTP/2 bytes may be frames of any kind, so that only requests count as activity.
        match (wire.head_since(), self.protocol) {
            (Some(since), Protocol::Http1 | Protocol::Redirect) => {
                Some((since + self.bounds.header_time, Expired::Head))
            }
            (Some(_), Protocol::Http2) | (None, _) => Some((
                wire.flight.quiet_since() + self.bounds.idle_time,
                Expired::Idle,
            )),
        }
    }
}
