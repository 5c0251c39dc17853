//! Why a request is refused, and the only place that chooses the status and shape of a refusal.

/// How a refusal looks to the client that gets it (`contracts.md` shapes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// RFC 9457 `application/problem+json`
    #[default]
    Native,
    Praisonai,
    RagModulo,
    Plai,
    Agentflow,
}
