//! How long a round trip over loopback takes now, system calls included: a machine that is slow for
//! a moment shows here, whatever the proxy that is measured does.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::Outcome;

const BATCHES: usize = 40;
const TRIPS: u32 = 100;
/// About what a small request and its answer are, in bytes.
const MESSAGE: usize = 300;

/// Prints the median of nanoseconds.
pub fn print() -> Outcome {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let mut message = [0; MESSAGE];
    let mut took = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let begun = Instant::now();
        for _ in 0..TRIPS {
            near.write_all(&message)?;
            far.read_exact(&mut message)?;
            far.write_all(&message)?;
            near.read_exact(&mut message)?;
        }
        took.push(begun.elapsed() / TRIPS);
    }
    took.sort_unstable();
    let median: Option<&Duration> = took.get(BATCHES / 2);
    println!("{}", median.ok_or("nothing was measured")?.as_nanos());
    Ok(())
}
