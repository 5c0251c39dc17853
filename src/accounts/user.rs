//! To be written.

/// A person's account.
#[derive(Debug)]
pub struct Account {}

/// A UUIDv4, as text in tokens: the claim `sub`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccountId(pub(crate) String);

/// What a person types to log in: an e-mail address or a username, in one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LoginName(pub(crate) String);
