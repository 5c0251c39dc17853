//! One side of TLS without buffers: rustls's protocol and cryptography between bytes that the caller holds.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, WriteTraffic};

use super::super::connection::Protocol;
use super::H2;

type State<'c, 'i> = ConnectionState<'c, 'i, ServerConnectionData>;

pub(super) struct Session {
    tls: UnbufferedServerConnection,
    /// The client has said that nothing more will come (close_notify).
    peer_closed: bool,
    /// Nothing more may be sent: we have said the same.
    closed: bool,
    /// What the client did that is against the protocol. From then on nothing is read nor sent.
    failure: Option<Box<rustls::Error>>,
}

impl Session {
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self {
            tls: UnbufferedServerConnection::new(config)?,
            peer_closed: false,
            closed: false,
            failure: None,
        })
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    pub(super) fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Which HTTP was agreed on.
    pub(super) fn protocol(&self) -> Protocol {
        match self.tls.alpn_protocol() {
            Some(H2) => Protocol::Http2,
            Some(_) | None => Protocol::Http1,
        }
    }

    /// Fails as the session has failed.
    pub(super) fn check(&self) -> io::Result<()> {
        self.failure.as_ref().map_or(Ok(()), |failure| {
            Err(invalid(rustls::Error::clone(failure)))
        })
    }

    /// Takes in what came: `hear` gets what the client has said, and what TLS itself answers goes to
    /// `answer`, also when it fails. Returns how much of `wire` is done with; the rest is the beginning of
    /// a message, and is to be given again, as it is now, before what comes next.
    pub(super) fn receive(
        &mut self,
        wire: &mut [u8],
        hear: impl FnMut(&[u8]),
        answer: &mut Vec<u8>,
    ) -> io::Result<usize> {
        self.check()?;
        let done = match self.process(wire, hear, answer) {
            // What follows the client's last word is nobody's (RFC 8446 §6.1).
            Ok(_) if self.peer_closed => wire.len(),
            Ok(done) => done,
            Err(error) => {
                self.fail(error);
                self.alert(answer);
                0
            }
        };
        self.check().map(|()| done)
    }

    fn process(
        &mut self,
        wire: &mut [u8],
        mut hear: impl FnMut(&[u8]),
        answer: &mut Vec<u8>,
    ) -> Result<usize, rustls::Error> {
        let mut done = 0;
        loop {
            let status = self.tls.process_tls_records(wire.split_at_mut(done).1);
            let mut discard = status.discard;
            match status.state? {
                State::ReadTraffic(mut records) => {
                    while let Some(record) = records.next_record() {
                        let record = record?;
                        hear(record.payload);
                        discard += record.discard;
                    }
                }
                State::EncodeTlsData(message) => encode(message, answer)?,
                // It lies where it is sent from before anything else.
                State::TransmitTlsData(encoded) => encoded.done(),
                State::PeerClosed => self.peer_closed = true,
                State::BlockedHandshake | State::WriteTraffic(_) | State::Closed => {
                    return Ok(done + discard);
                }
                other => return Err(unexpected(&other)),
            }
            done += discard;
        }
    }

    /// Encrypts `plain` to `wire`, behind what TLS has to say before it. `begun` is what
    /// [`Session::receive`] has left.
    pub(super) fn encrypt(
        &mut self,
        plain: &[u8],
        begun: &mut [u8],
        wire: &mut [u8],
    ) -> io::Result<usize> {
        if self.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.send(begun, wire, |mut traffic, wire| {
            traffic.encrypt(plain, wire)
        })
    }

    /// Says once that nothing more will come.
    pub(super) fn close(&mut self, begun: &mut [u8], wire: &mut [u8]) -> io::Result<usize> {
        if self.closed {
            return Ok(0);
        }
        self.closed = true;
        self.send(begun, wire, |mut traffic, wire| {
            traffic.queue_close_notify(wire)
        })
    }

    fn send(
        &mut self,
        begun: &mut [u8],
        wire: &mut [u8],
        say: impl FnOnce(
            WriteTraffic<'_, ServerConnectionData>,
            &mut [u8],
        ) -> Result<usize, EncryptError>,
    ) -> io::Result<usize> {
        self.check()?;
        let mut length = 0;
        loop {
            let wire = wire.split_at_mut(length).1;
            match self.tls.process_tls_records(begun).state {
                Ok(State::WriteTraffic(traffic)) => {
                    return say(traffic, wire)
                        .map(|said| length + said)
                        .map_err(io::Error::other);
                }
                Ok(State::EncodeTlsData(mut message)) => {
                    length += message.encode(wire).map_err(io::Error::other)?;
                }
                Ok(State::TransmitTlsData(encoded)) => encoded.done(),
                Ok(other) => return Err(invalid(unexpected(&other))),
                Err(error) => return Err(invalid(error)),
            }
        }
    }

    pub(super) fn fail(&mut self, error: rustls::Error) {
        self.failure = Some(Box::new(error));
    }

    /// Puts what the client is told about a failure behind `answer`.
    fn alert(&mut self, answer: &mut Vec<u8>) {
        while self.tls.wants_write()
            && let Ok(State::EncodeTlsData(alert)) = self.tls.process_tls_records(&mut []).state
            && encode(alert, answer).is_ok()
        {}
    }
}

/// Puts a message of TLS itself behind `answer`.
fn encode(
    mut message: EncodeTlsData<'_, ServerConnectionData>,
    answer: &mut Vec<u8>,
) -> Result<(), rustls::Error> {
    let start = answer.len();
    if let Err(EncodeError::InsufficientSize(short)) = message.encode(&mut []) {
        answer.resize(start + short.required_size, 0);
    }
    match message.encode(answer.split_at_mut(start).1) {
        Ok(_) => Ok(()),
        Err(error) => Err(rustls::Error::General(error.to_string())),
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Of the states that rustls has, or may have one day, those that ours never leads to.
fn unexpected(state: &State<'_, '_>) -> rustls::Error {
    rustls::Error::General(format!("TLS cannot go on from {state:?}"))
}
