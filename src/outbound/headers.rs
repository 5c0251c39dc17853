//! The only place that writes identity headers: delete always, set sometimes.

/// Which headers a route strips and which it sets.
#[derive(Clone, Debug)]
pub struct HeaderPlan {}
