//! Why an upstream gave no answer.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::streams::{Cause, TooManyStreams};

/// Why an upstream gave no answer. The name is the configured one.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("no server of upstream `{0}` can be reached")]
    Connect(Arc<str>, #[source] ConnectError),
    #[error("upstream `{0}` did not answer in time")]
    FirstByte(Arc<str>),
    #[error("upstream `{0}` answered garbage or broke off")]
    Protocol(Arc<str>, #[source] ProtocolError),
    #[error("upstream `{0}` has too many requests outstanding")]
    Full(Arc<str>),
    /// The client's doing: the body is larger than the route takes.
    #[error("the request's body is larger than the route takes")]
    BodyTooLarge,
    /// The client's doing: its body broke off.
    #[error("the request's body broke off")]
    BodyIncomplete,
    /// The client's doing: it sends more slowly than the minimum rate.
    #[error("the request's body came too slowly")]
    BodyTooSlow,
    #[error("the caller's right to be here ended before there was an answer: {}", .0.name())]
    Over(Cause),
    #[error(transparent)]
    Streams(#[from] TooManyStreams),
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the server's name cannot be resolved")]
    Resolve(#[source] io::Error),
    #[error("the connection was not accepted")]
    Tcp(#[source] io::Error),
    #[error("TLS was not agreed on")]
    Tls(#[source] io::Error),
    #[error("the HTTP connection could not be begun")]
    Http(#[source] hyper::Error),
    #[error("the connection took too long")]
    TimedOut,
}

/// In what way an answer is none.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    #[error("no HTTP answer came")]
    Http(#[source] hyper::Error),
    #[error("the answer's transfer coding is not `chunked`")]
    TransferCoding,
    #[error("the answer switches protocols without having been asked")]
    UnaskedSwitch,
    #[error("the answer agrees to WebSocket, but its handshake is wrong")]
    Handshake,
    #[error("the server speaks HTTP/2 only, which cannot be switched to WebSocket")]
    NoSwitch,
    #[error("the request cannot be written for this server")]
    Request(#[source] http::Error),
}

/// Why the authorities of an upstream cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] rustls_pki_types::pem::Error),
    #[error("{0} holds no certificate")]
    Empty(PathBuf),
    #[error("a certificate in {0} is not one that can be trusted")]
    Invalid(PathBuf, #[source] rustls::Error),
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}
