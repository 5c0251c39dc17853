//! The PROXY protocol, versions 1 and 2: who a balancer speaks for, said before anything else.
//!
//! The specification is haproxy's `doc/proxy-protocol.txt`. Nothing beyond the header is read.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// The first bytes of version 2 (§2.2).
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, with its end (§2.1).
const LONGEST_LINE: usize = 107;
/// More than any balancer sends; the format would allow 64 KiB.
const LONGEST_BLOCK: usize = 4096;

/// Whom the connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The client that the balancer accepted.
    Client(SocketAddr),
    /// The balancer itself: a health check, or a client that it cannot name.
    Peer,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyError {
    #[error("the connection does not begin with a PROXY header")]
    Absent,
    #[error("the PROXY header is malformed")]
    Malformed,
    #[error("the PROXY header broke off")]
    Read(#[from] io::Error),
}

/// Reads a PROXY header and not one byte more.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Source, ProxyError> {
    let mut start = [0; SIGNATURE.len()];
    stream.read_exact(&mut start).await?;
    if start == SIGNATURE {
        return read_block(stream).await;
    }
    if !start.starts_with(b"PROXY ") {
        return Err(ProxyError::Absent);
    }
    let mut line = start.to_vec();
    // Byte by byte: what follows the line belongs to TLS.
    while !line.ends_with(b"\r\n") {
        if line.len() >= LONGEST_LINE {
            return Err(ProxyError::Malformed);
        }
        line.push(stream.read_u8().await?);
    }
    parse_line(&line).ok_or(ProxyError::Malformed)
}

/// `PROXY TCP4 source destination port port\r\n` (§2.1).
fn parse_line(line: &[u8]) -> Option<Source> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let mut words = line.strip_prefix("PROXY ")?.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(Source::Peer);
    }
    let (source, destination) = (words.next()?, words.next()?);
    let (port, destination_port) = (words.next()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    let address = match family {
        "TCP4" => {
            destination.parse::<Ipv4Addr>().ok()?;
            IpAddr::V4(source.parse().ok()?)
        }
        "TCP6" => {
            destination.parse::<Ipv6Addr>().ok()?;
            IpAddr::V6(source.parse().ok()?)
        }
        _ => return None,
    };
    parse_port(destination_port)?;
    Some(Source::Client(SocketAddr::new(address, parse_port(port)?)))
}

/// Decimal without a sign or leading zeros (§2.1).
fn parse_port(text: &str) -> Option<u16> {
    let canonical = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| canonical)
}

/// What follows the signature of version 2 (§2.2).
async fn read_block(stream: &mut (impl AsyncRead + Unpin)) -> Result<Source, ProxyError> {
    let version_command = stream.read_u8().await?;
    let family = stream.read_u8().await?;
    let length = usize::from(stream.read_u16().await?);
    if length > LONGEST_BLOCK {
        return Err(ProxyError::Malformed);
    }
    let mut block = vec![0; length];
    stream.read_exact(&mut block).await?;
    match version_command {
        // LOCAL: the addresses, if any, mean nothing.
        0x20 => Ok(Source::Peer),
        0x21 => parse_block(family, &block).ok_or(ProxyError::Malformed),
        _ => Err(ProxyError::Malformed),
    }
}

fn parse_block(family: u8, block: &[u8]) -> Option<Source> {
    let (address, ports): (IpAddr, &[u8]) = match family {
        // UNSPEC: the real endpoints are used.
        0x00 => return Some(Source::Peer),
        // TCP over IPv4: source, destination, two ports; then extensions.
        0x11 => {
            let (source, rest) = block.split_first_chunk::<4>()?;
            ((*source).into(), rest.get(4..)?)
        }
        // TCP over IPv6.
        0x21 => {
            let (source, rest) = block.split_first_chunk::<16>()?;
            ((*source).into(), rest.get(16..)?)
        }
        _ => return None,
    };
    let (port, rest) = ports.split_first_chunk::<2>()?;
    rest.first_chunk::<2>()?;
    Some(Source::Client(SocketAddr::new(
        address,
        u16::from_be_bytes(*port),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of `bytes`, and what is left over.
    async fn read_all(bytes: &[u8]) -> (Result<Source, ProxyError>, Vec<u8>) {
        let mut left = bytes;
        let source = read(&mut left).await;
        (source, left.to_vec())
    }

    fn client(text: &str) -> Option<Source> {
        Some(Source::Client(text.parse().unwrap()))
    }

    fn block(version_command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[version_command, family], &length, body].concat()
    }

    #[tokio::test]
    async fn version_1_is_read_strictly() {
        for (line, expected) in [
            (
                "PROXY TCP4 203.0.113.7 10.0.0.1 40000 443\r\n",
                client("203.0.113.7:40000"),
            ),
            (
                "PROXY TCP6 2001:db8::7 ::1 40000 443\r\n",
                client("[2001:db8::7]:40000"),
            ),
            ("PROXY UNKNOWN\r\n", Some(Source::Peer)),
            ("PROXY UNKNOWN 1.2.3.4 5.6.7.8 1 2\r\n", Some(Source::Peer)),
            ("PROXY TCP4 2001:db8::7 10.0.0.1 1 2\r\n", None),
            ("PROXY TCP4 203.0.113.7 10.0.0.1 040 2\r\n", None),
            ("PROXY TCP4 203.0.113.7 10.0.0.1 +4 2\r\n", None),
            ("PROXY TCP4 203.0.113.7 10.0.0.1 65536 2\r\n", None),
            ("PROXY TCP4 203.0.113.7 10.0.0.1 1 2 3\r\n", None),
            ("PROXY TCP4  203.0.113.7 10.0.0.1 1 2\r\n", None),
            ("PROXY UDP4 203.0.113.7 10.0.0.1 1 2\r\n", None),
            ("proxy TCP4 203.0.113.7 10.0.0.1 1 2\r\n", None),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", None),
        ] {
            let (source, _) = read_all(line.as_bytes()).await;
            assert_eq!(source.ok(), expected, "{line}");
        }
        let endless = format!("PROXY TCP4 {}", "1".repeat(200));
        assert!(read_all(endless.as_bytes()).await.0.is_err());
    }

    #[tokio::test]
    async fn version_2_is_read_with_its_extensions() {
        let v4 = [203, 0, 113, 7, 10, 0, 0, 1, 0x9c, 0x40, 1, 0xbb];
        let mut v6 = [0; 36];
        v6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        v6[15] = 7;
        v6[32..34].copy_from_slice(&[0x9c, 0x40]);
        let extended = [&v4[..], &[0x04, 0, 1, 0]].concat();
        for (bytes, expected) in [
            (block(0x21, 0x11, &v4), client("203.0.113.7:40000")),
            (block(0x21, 0x11, &extended), client("203.0.113.7:40000")),
            (block(0x21, 0x21, &v6), client("[2001:db8::7]:40000")),
            (block(0x20, 0x11, &v4), Some(Source::Peer)),
            (block(0x20, 0x00, &[]), Some(Source::Peer)),
            (block(0x21, 0x00, &[]), Some(Source::Peer)),
            (block(0x21, 0x11, &v4[..11]), None),
            (block(0x21, 0x12, &v4), None),
            (block(0x22, 0x11, &v4), None),
            (block(0x11, 0x11, &v4), None),
            (block(0x21, 0x11, &[0; 5000]), None),
        ] {
            let (source, _) = read_all(&bytes).await;
            assert_eq!(source.ok(), expected, "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn nothing_beyond_the_header_is_read() {
        let v4 = [203, 0, 113, 7, 10, 0, 0, 1, 0x9c, 0x40, 1, 0xbb];
        for header in [
            block(0x21, 0x11, &v4),
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n".to_vec(),
        ] {
            let (source, left) = read_all(&[&header[..], b"hello"].concat()).await;
            assert!(source.is_ok());
            assert_eq!(left, b"hello");
        }
    }
}
