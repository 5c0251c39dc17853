//! Free ports, each handed out once in this process and outside the kernel's ephemeral range.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::net::TcpSocket;

const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that nothing listens on. Outgoing connections never take it: their ports begin at 32768.
pub fn free() -> u16 {
    let start = u16::try_from(u64::from(std::process::id()) * 397 % u64::from(COUNT)).unwrap();
    for _ in 0..COUNT {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST
            + u16::try_from((u32::from(start) + u32::from(offset)) % u32::from(COUNT)).unwrap();
        if can_be_had(port) {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}

/// Whether nothing listens there. A listener would answer that too, but a program that another test
/// starts at this moment has a copy of it until it is executed, and the port would be in use so long.
fn can_be_had(port: u16) -> bool {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    socket.bind(everywhere).is_ok()
}
