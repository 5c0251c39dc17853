//! The host that a request is for.

/// A host name or address literal, lower case, and the port when one was given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host {
    name: String,
    port: Option<u16>,
}
