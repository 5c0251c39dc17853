//! `/.well-known/jwks.json`: the public halves of our asymmetric keys (RFC 7517).

use super::profile::{Cost, Line, READ};
use crate::authz::Auth;

pub(super) const LINE: Line = Line {
    paths: &["/.well-known/jwks.json"],
    methods: READ,
    auth: Auth::None,
    cost: Cost::Read,
};
