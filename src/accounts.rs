//! People: accounts, their passwords and sessions. The store is behind [`crate::store`].

pub mod password;
pub mod session;
pub mod user;

pub use session::SessionId;
pub use user::{Account, AccountId, LoginName};
