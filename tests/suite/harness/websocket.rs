//! WebSocket frames by hand (RFC 6455), from either end.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::raw::Io;
use super::within;

/// One frame: no fragmentation, no extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub opcode: u8,
    pub payload: Vec<u8>,
}

pub const TEXT: u8 = 1;
pub const CLOSE: u8 = 8;

/// An established WebSocket. A client masks its frames, a server does not.
pub struct WebSocket {
    io: Box<dyn Io>,
    mask: Option<[u8; 4]>,
}

impl WebSocket {
    pub fn client(io: impl Io + 'static) -> Self {
        Self {
            io: Box::new(io),
            mask: Some([0x11, 0x22, 0x33, 0x44]),
        }
    }

    pub fn server(io: impl Io + 'static) -> Self {
        Self {
            io: Box::new(io),
            mask: None,
        }
    }

    pub async fn send(&mut self, opcode: u8, payload: &[u8]) -> std::io::Result<()> {
        let mut bytes = vec![0x80 | opcode];
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        match payload.len() {
            short @ 0..=125 => bytes.push(masked | u8::try_from(short).unwrap()),
            long => {
                bytes.push(masked | 126);
                bytes.extend(u16::try_from(long).unwrap().to_be_bytes());
            }
        }
        match self.mask {
            Some(mask) => {
                bytes.extend(mask);
                bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
            }
            None => bytes.extend(payload),
        }
        self.io.write_all(&bytes).await?;
        self.io.flush().await
    }

    pub async fn send_text(&mut self, text: &str) {
        self.send(TEXT, text.as_bytes()).await.unwrap();
    }

    /// The next frame; `None` when the other end is gone.
    pub async fn receive(&mut self) -> Option<Frame> {
        within("a WebSocket frame arrives", self.read()).await.ok()
    }

    pub async fn receive_text(&mut self) -> String {
        let frame = self.receive().await.expect("a frame before the end");
        assert_eq!(frame.opcode, TEXT, "{frame:?}");
        String::from_utf8(frame.payload).unwrap()
    }

    async fn read(&mut self) -> std::io::Result<Frame> {
        let mut head = [0; 2];
        self.io.read_exact(&mut head).await?;
        let length = match head[1] & 0x7f {
            126 => usize::from(self.io.read_u16().await?),
            127 => usize::try_from(self.io.read_u64().await?).unwrap(),
            short => usize::from(short),
        };
        let mut mask = [0; 4];
        if head[1] & 0x80 != 0 {
            self.io.read_exact(&mut mask).await?;
        }
        let mut payload = vec![0; length];
        self.io.read_exact(&mut payload).await?;
        for (byte, m) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= m;
        }
        Ok(Frame {
            opcode: head[0] & 0x0f,
            payload,
        })
    }
}

/// The key and its answer of RFC 6455 §1.3.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The answer to any key (RFC 6455 §4.2.2).
pub fn accept(key: &[u8]) -> String {
    let text = [key, b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
    STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &text))
}

#[test]
fn the_answer_to_the_key_of_the_standard_is_its_answer() {
    assert_eq!(accept(KEY.as_bytes()), ACCEPT);
}
