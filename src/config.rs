//! The configuration file, from text to the program's own types.

pub mod accounts;
pub mod diagnostic;
pub mod headers;
pub mod log;
pub mod passwords;
pub mod reader;
pub mod routes;
pub mod server;
pub mod tls;
pub mod tokens;
pub mod units;
pub mod upstream;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use reader::{FromToml, Table, Value, Wrong};
