//! The operator's doors: a read-only TCP listener for probes and scrapes, and a Unix socket for
//! what changes something.

mod api;
pub mod client;
mod connection;
mod error;
mod fields;
mod health;
pub mod import;
pub mod invitations;
pub mod machines;
mod operation;
pub mod signing_keys;
mod socket;
mod status;
pub mod users;

pub use error::OperationError;
pub use health::{Condition, Health, PartReport, Phase, Report};
pub use operation::Operation;
pub use socket::{AdminSocket, Operator, SocketError, SocketSettings};
pub use status::serve_status;

#[cfg(test)]
mod tests;
