//! To be written.

#[derive(Debug)]
pub struct Claims {}

#[derive(Clone, Debug, thiserror::Error)]
#[error("to be written")]
pub struct TokenError;
