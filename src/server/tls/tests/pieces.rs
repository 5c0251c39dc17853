//! Records that no client of rustls sends, made by hand with a client's keys.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::{ClientConnection, ConnectionTrafficSecrets};
use tokio::io::ReadBuf;

use super::*;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;

/// What encrypts in place of a client (RFC 8446 §5.2).
struct Pen {
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl Pen {
    fn of(client: ClientConnection) -> Self {
        let (sequence, secrets) = client.dangerous_extract_secrets().unwrap().tx;
        let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else {
            panic!("another cipher");
        };
        let key = UnboundKey::new(&AES_256_GCM, key.as_ref()).unwrap();
        Self {
            key: LessSafeKey::new(key),
            iv: iv.as_ref().try_into().unwrap(),
            sequence,
        }
    }

    /// A record of `kind` that says `said`, with `padding` zeroes.
    fn record(&mut self, kind: u8, said: &[u8], padding: usize) -> Vec<u8> {
        let mut inner = said.to_vec();
        inner.push(kind);
        inner.resize(inner.len() + padding, 0);
        let length = u16::try_from(inner.len() + AES_256_GCM.tag_len()).unwrap();
        let [high, low] = length.to_be_bytes();
        let header = [DATA, 3, 3, high, low];
        let mut nonce = self.iv;
        for (byte, of) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= of;
        }
        self.sequence += 1;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let aad = Aad::from(header);
        self.key
            .seal_in_place_append_tag(nonce, aad, &mut inner)
            .unwrap();
        [&header[..], &inner].concat()
    }
}

#[tokio::test]
async fn a_message_of_tls_may_come_in_pieces_while_we_write() {
    let (mut server, client, mut wire) = faults::by_hand(&TLS13).await;
    let mut pen = Pen::of(client);
    // A KeyUpdate that asks for none, and after each piece of it half of the next record.
    let mut records = Vec::new();
    for piece in [&[24, 0][..], &[0, 1], &[0]] {
        records.extend(pen.record(HANDSHAKE, piece, 0));
    }
    for bytes in records.chunks(7) {
        wire.write_all(bytes).await.unwrap();
        assert!(now_or_never(server.read(&mut [0; 10])).await.is_none());
        server.write_all(b"an answer").await.unwrap();
    }
    drop(wire);
    let error = server.read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_message_of_tls_in_pieces_is_not_interrupted() {
    let (mut server, client, mut wire) = faults::by_hand(&TLS13).await;
    let mut pen = Pen::of(client);
    wire.write_all(&pen.record(HANDSHAKE, &[24, 0], 0))
        .await
        .unwrap();
    assert!(now_or_never(server.read(&mut [0; 10])).await.is_none());
    wire.write_all(&pen.record(DATA, b"data", 0)).await.unwrap();
    let error = server.read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(server.write(b"an answer").await.is_err());
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_empty_piece_of_a_message_takes_nothing_from_the_data() {
    for (step, padding) in [(1, 0), (30, 300), (1 << 20, 5_000)] {
        let (mut server, client, mut wire) = faults::by_hand(&TLS13).await;
        let mut pen = Pen::of(client);
        let said = noise(2_000);
        let mut records = Vec::new();
        for (round, part) in said.chunks(100).enumerate() {
            if round < 3 {
                records.extend(pen.record(HANDSHAKE, b"", padding));
            }
            records.extend(pen.record(DATA, part, 0));
        }
        records.extend(pen.record(ALERT, &[1, 0], 0));
        let mut heard = Vec::new();
        for bytes in records.chunks(step) {
            wire.write_all(bytes).await.unwrap();
            let mut came = [0; 70];
            while let Some(count) = now_or_never(server.read(&mut came)).await {
                let count = count.unwrap();
                heard.extend_from_slice(&came[..count]);
                if count == 0 {
                    break;
                }
                server.write_all(b"an answer").await.unwrap();
            }
        }
        assert!(heard == said, "{step} {}", heard.len());
        server.write_all(b"an answer").await.unwrap();
        server.shutdown().await.unwrap();
    }
}

/// Gives one byte at a time of what is there.
struct Bytewise<T>(T);

impl<T: AsyncRead + Unpin> AsyncRead for Bytewise<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut byte = [0];
        let mut room = ReadBuf::new(&mut byte);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut room))?;
        buf.put_slice(room.filled());
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_client_that_says_nothing_at_length_leaves_others_their_turn() {
    let both = Both::new();
    let (near, far) = duplex(1 << 16);
    let connector = TlsConnector::from(Arc::new(both.client_config(&TLS13)));
    let (read, write) = tokio::io::split(near);
    let accepting = both.tls.accept(tokio::io::join(Bytewise(read), write));
    let (server, client) = tokio::join!(accepting, connector.connect(name(), far));
    let (mut server, mut client) = (server.unwrap().stream, client.unwrap());
    say(&mut client, b"data").await.unwrap();
    // A new turn of ours, with all of its budget.
    tokio::task::yield_now().await;
    let mut heard = [0; 10];
    assert!(now_or_never(server.read(&mut heard)).await.is_none());
    // Nothing more comes: it goes on by itself.
    assert_eq!(server.read(&mut heard).await.unwrap(), 4);
}
