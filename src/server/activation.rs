//! Listeners that the service manager opened for us (sd_listen_fds(3)), by name.

use std::net::TcpListener;

use listenfd::ListenFd;

/// Listeners that were passed in and not taken yet.
#[derive(Debug, Default)]
pub struct Inherited(Vec<(String, TcpListener)>);

impl Inherited {
    /// Takes over what the service manager passed to this process. Call it once, at start, before
    /// there are other threads. A descriptor that is not a TCP listener is left alone.
    pub fn from_environment() -> Self {
        // The names are read first: taking the descriptors clears the environment.
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut passed = ListenFd::from_env();
        let mut names = names.split(':');
        let mut listeners = Vec::new();
        for at in 0..passed.len() {
            let name = names.next().unwrap_or("unknown");
            if let Ok(Some(listener)) = passed.take_tcp_listener(at) {
                listeners.push((name.to_owned(), listener));
            }
        }
        Self(listeners)
    }

    /// The listeners called `name` (`FileDescriptorName=`), in the order in which they were passed.
    pub fn take(&mut self, name: &str) -> Vec<TcpListener> {
        let (taken, left) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(known, _)| known == name);
        self.0 = left;
        let taken: Vec<(String, TcpListener)> = taken;
        taken.into_iter().map(|(_, listener)| listener).collect()
    }

    /// The names of what was not taken.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

impl From<Vec<(String, TcpListener)>> for Inherited {
    fn from(listeners: Vec<(String, TcpListener)>) -> Self {
        Self(listeners)
    }
}
