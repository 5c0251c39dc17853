//! Bytes over TLS, for requests that no HTTP library would send.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::within;

/// Anything that bytes go through.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection on which the test writes and reads bytes.
pub struct Raw {
    io: Box<dyn Io>,
    unread: Vec<u8>,
}

/// The head and body of an answer as they came.
#[derive(Debug)]
pub struct RawAnswer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl RawAnswer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Raw {
    pub fn new(io: impl Io + 'static) -> Self {
        Self {
            io: Box::new(io),
            unread: Vec::new(),
        }
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_write(bytes).await.unwrap();
    }

    /// Writes, where the other end may have closed already.
    pub async fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.io.write_all(bytes.as_ref()).await?;
        self.io.flush().await
    }

    /// Reads until the other end closes, also when it does so without a close_notify.
    pub async fn read_to_close(&mut self) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.unread);
        let read = async {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = self.io.read(&mut chunk).await {
                all.extend_from_slice(&chunk[..n]);
            }
        };
        within("the connection is closed", read).await;
        all
    }

    /// Whether the other end closes within `patience`, whatever it sends before.
    pub async fn closes_within(&mut self, patience: Duration) -> bool {
        tokio::time::timeout(patience, self.read_to_close())
            .await
            .is_ok()
    }

    /// Whether the other end has closed by now; what it sent is read and forgotten.
    pub async fn is_closed(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        let moment = Duration::from_millis(1);
        loop {
            match tokio::time::timeout(moment, self.io.read(&mut chunk)).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0) | Err(_)) => return true,
                Err(_) => return false,
            }
        }
    }

    /// Reads one more piece into the buffer; `false` at the end.
    async fn read_more(&mut self) -> bool {
        let mut chunk = [0; 4096];
        match within("bytes arrive", self.io.read(&mut chunk)).await {
            Ok(n @ 1..) => {
                self.unread.extend_from_slice(&chunk[..n]);
                true
            }
            Ok(0) | Err(_) => false,
        }
    }

    /// Reads up to and with the first empty line; `None` when the connection ends before.
    pub async fn read_head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                let head: Vec<u8> = self.unread.drain(..end + 4).collect();
                return Some(String::from_utf8_lossy(&head).into_owned());
            }
            if !self.read_more().await {
                return None;
            }
        }
    }

    /// Reads one answer to a request that was not HEAD; `None` when there is none.
    pub async fn try_answer(&mut self) -> Option<RawAnswer> {
        let head = self.read_head().await?;
        let status = head.get(9..12)?.parse().ok()?;
        let mut answer = RawAnswer {
            status,
            head,
            body: Vec::new(),
        };
        if matches!(status, 100..=199 | 204 | 304) {
            return Some(answer);
        }
        if let Some(length) = answer.header("content-length") {
            let length = length.parse().unwrap();
            answer.body = self.read_exact(length).await?;
        } else if answer.header("transfer-encoding").is_some() {
            answer.body = self.read_chunked().await?;
        } else {
            answer.body = self.read_to_close().await;
        }
        Some(answer)
    }

    pub async fn answer(&mut self) -> RawAnswer {
        self.try_answer()
            .await
            .expect("an answer before the end of the connection")
    }

    pub async fn read_exact(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.unread.len() < length {
            if !self.read_more().await {
                return None;
            }
        }
        Some(self.unread.drain(..length).collect())
    }

    async fn read_line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).collect();
                return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if !self.read_more().await {
                return None;
            }
        }
    }

    async fn read_chunked(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.read_line().await?;
            let length = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
            if length == 0 {
                while !self.read_line().await?.is_empty() {}
                return Some(body);
            }
            body.extend(self.read_exact(length).await?);
            self.read_line().await?;
        }
    }
}

pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
