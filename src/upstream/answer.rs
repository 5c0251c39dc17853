//! An answer on its way back: hop-by-hop fields off, the upstream's own names mapped to the public ones.

use std::fmt;

use crate::inbound::Scheme;
use crate::route::Rewrite;

/// What the answer's `Location`, `Content-Location`, `Refresh` and `Set-Cookie` are mapped back with.
/// The upstream's side is the server's authority and the Host that was sent.
pub struct Mapping<'a> {
    /// The public URL's scheme, as the client used it.
    pub scheme: Scheme,
    /// The public host, with its port when the client gave one. Written only when needed.
    pub host: &'a (dyn fmt::Display + Sync),
    /// What was done to the path on the way there.
    pub rewrite: &'a Rewrite,
    /// Names of the gateway's own cookies: an upstream cannot set these.
    pub own_cookies: &'a [&'a str],
}
