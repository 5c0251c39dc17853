//! A request on its way to an upstream: stripped of what the client may not say, stamped with what
//! the gateway knows. Making one needs a [`Permit`].

mod headers;

pub use headers::HeaderPlan;

/// What becomes of the `Authorization` header.
#[derive(Clone, Debug)]
pub enum Authorization {
    /// The bearer goes on, but only one that we verified as a JWT.
    Forward,
    Strip,
    /// A short-lived JWT of ours takes its place.
    Mint(std::sync::Arc<crate::authn::Minter>),
}
