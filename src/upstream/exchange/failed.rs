//! What an attempt without an answer means: for the client, for the server's health, for a retry.

use hyper::client::conn::TrySendError;

use super::Attempt;
use crate::streams::Cause;
use crate::upstream::error::{ProtocolError, UpstreamError};
use crate::upstream::health::Failure;
use crate::upstream::request::Outgoing;
use crate::upstream::server::Outstanding;
use crate::upstream::upload::{RequestBody, Stage, Uploading};

/// An attempt that brought no answer.
pub(super) struct Failed {
    pub error: UpstreamError,
    /// The request, when it may be sent again.
    pub again: Option<Box<Outgoing>>,
    pub fault: Fault,
}

/// What an attempt failed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A connection that the server had closed meanwhile.
    Stale,
    Server,
}

/// Why no head came.
pub(super) enum NoHead {
    TimedOut,
    /// Its caller may not have it any more.
    Over(Cause),
    Send(Box<TrySendError<http::Request<RequestBody>>>),
    /// It could not be written as this connection wants it.
    Unsendable(http::Error),
}

/// What is left of a request that got no answer.
pub(super) struct Lost {
    pub reused: bool,
    pub upload: Option<Uploading>,
    pub spare: Option<Outgoing>,
}

impl Attempt<'_> {
    /// What the lack of an answer means: for the client, for the server's health, for a retry.
    pub(super) fn judge(&self, error: NoHead, server: &Outstanding, lost: Lost) -> Failed {
        let name = self.upstream.name().clone();
        let mut error = match error {
            NoHead::Send(error) => error,
            NoHead::Over(cause) => return Failed::by_client(UpstreamError::Over(cause)),
            NoHead::Unsendable(error) => return self.protocol(ProtocolError::Request(error)),
            NoHead::TimedOut => {
                self.upstream.note(server, Failure::NoAnswer);
                return Failed {
                    error: UpstreamError::FirstByte(name),
                    again: None,
                    fault: Fault::Server,
                };
            }
        };
        let unsent = error.take_message();
        let error = error.into_error();
        let stage = lost.upload.as_deref().map(|upload| upload.reached().0);
        let by_client = stage.and_then(|stage| match stage {
            Stage::TooLarge => Some(UpstreamError::BodyTooLarge),
            Stage::Broken => Some(UpstreamError::BodyIncomplete),
            Stage::TooSlow => Some(UpstreamError::BodyTooSlow),
            Stage::Held | Stage::Flowing | Stage::Starved | Stage::Sent | Stage::NotNeeded => None,
        });
        if let Some(error) = by_client {
            return Failed::by_client(error);
        }
        let fault = match lost.reused && !error.is_parse() {
            true => Fault::Stale,
            false => Fault::Server,
        };
        if fault == Fault::Server {
            self.upstream.note(server, Failure::NoAnswer);
        }
        let again = match unsent {
            Some(request) => Some(Outgoing::given_back(request, self.host.clone())),
            None => lost.spare,
        };
        Failed {
            error: UpstreamError::Protocol(name, ProtocolError::Http(error)),
            again: again.map(Box::new),
            fault,
        }
    }

    pub(super) fn protocol(&self, error: ProtocolError) -> Failed {
        Failed::by_client(UpstreamError::Protocol(self.upstream.name().clone(), error))
    }
}

impl Failed {
    /// No server's fault, and no other server would do better.
    pub(super) fn by_client(error: UpstreamError) -> Self {
        Self {
            error,
            again: None,
            fault: Fault::Server,
        }
    }
}
