//! `/auth/v1/verify`, as somebody finds it who may not ask: listed proxies never come this far, since
//! what they ask about takes the place of their request.

use super::EndpointError;
use super::profile::{Cost, Line, READ};
use crate::authz::Auth;

/// Where other proxies ask what we would decide.
pub const PATH: &str = "/auth/v1/verify";

pub(super) const LINE: Line = Line {
    paths: &[PATH],
    methods: READ,
    auth: Auth::None,
    cost: Cost::Read,
};

pub(super) const fn answer() -> EndpointError {
    EndpointError::MayNotAsk
}
