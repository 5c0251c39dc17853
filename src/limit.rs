//! How often: named rules on client network, identity, route and login name.

/// A rule's place in the snapshot's list of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RuleId(pub(crate) u16);
