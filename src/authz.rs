//! What a caller may do: the only place that makes a [`Permit`].

use serde_json::Value;

use crate::authn::{AuthnError, Caller, Claims, Identity};

/// What one route demands of its callers.
#[derive(Clone, Debug)]
pub struct Policy {
    pub auth: Auth,
    /// Any one of these; empty: every caller that `auth` admits.
    pub roles: Vec<String>,
    /// All of these.
    pub claims: Vec<ClaimRule>,
}

/// Whether a route looks at credentials at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Credentials are neither judged nor passed on.
    None,
    /// No credential is an anonymous caller; a bad one is refused.
    Optional,
    Required,
}

/// A claim that must be there with one of these values (a list claim: must contain one).
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimRule {
    pub claim: String,
    pub any_of: Vec<Value>,
}

/// Proof that a policy let this caller through. Only [`Policy::permit`] makes one, and nothing is
/// forwarded without one:
///
/// ```compile_fail
/// let forged = portcullis::authz::Permit { caller: portcullis::authn::Caller::Anonymous };
/// ```
#[must_use]
#[derive(Debug)]
pub struct Permit {
    caller: Caller,
}

/// Why a caller may not do this.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// Nobody was named where somebody is needed: 401.
    #[error(transparent)]
    Anonymous(#[from] AuthnError),
    /// 403
    #[error("none of the caller's roles is admitted")]
    Role,
    /// 403
    #[error("the claim `{0}` does not satisfy the route")]
    Claim(String),
    /// 403: the limit that holds an API key back is gone, and the key must not go free.
    #[error("the API key is bound to the limit `{0}`, which counts no callers here")]
    Limit(String),
}

impl Policy {
    /// Lets `caller` through when the route's rules say so.
    ///
    /// # Errors
    ///
    /// Anonymous callers of a route that needs a name; callers without an admitted role or claim.
    pub fn permit(&self, caller: Caller) -> Result<Permit, Denied> {
        match (&caller, self.auth) {
            (_, Auth::None) => {}
            (Caller::Anonymous, Auth::Optional) if !self.has_rules() => {}
            (Caller::Anonymous, Auth::Optional | Auth::Required) => {
                return Err(Denied::Anonymous(AuthnError::Missing));
            }
            (Caller::Identified(identity), Auth::Optional | Auth::Required) => {
                self.judge(identity.claims.as_ref())?;
            }
        }
        Ok(Permit { caller })
    }

    fn has_rules(&self) -> bool {
        !self.roles.is_empty() || !self.claims.is_empty()
    }

    fn judge(&self, claims: &Claims) -> Result<(), Denied> {
        let has_role = |role: &String| claims.roles().iter().any(|held| **held == **role);
        if !self.roles.is_empty() && !self.roles.iter().any(has_role) {
            return Err(Denied::Role);
        }
        match self
            .claims
            .iter()
            .find(|rule| !rule.admits(claims.value(&rule.claim)))
        {
            Some(failed) => Err(Denied::Claim(failed.claim.clone())),
            None => Ok(()),
        }
    }
}

impl ClaimRule {
    fn admits(&self, claim: Option<&Value>) -> bool {
        match claim {
            None => false,
            Some(Value::Array(items)) => items.iter().any(|item| self.any_of.contains(item)),
            Some(value) => self.any_of.contains(value),
        }
    }
}

impl Permit {
    /// Who was let through.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Who was let through, when somebody was named.
    pub fn identity(&self) -> Option<&Identity> {
        match &self.caller {
            Caller::Anonymous => None,
            Caller::Identified(identity) => Some(identity),
        }
    }

    /// The caller, for an endpoint of ours.
    pub fn into_caller(self) -> Caller {
        self.caller
    }
}
