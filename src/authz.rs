//! What a caller may do: the only place that makes a [`Permit`].

use ipnet::IpNet;
use serde_json::Value;

use crate::accounts::EmailAddress;
use crate::authn::{AuthnError, Caller, Claims, Identity};
use crate::inbound::ClientIp;

/// What one route demands of its callers.
#[derive(Clone, Debug)]
pub struct Policy {
    pub auth: Auth,
    /// Any one of these; empty: every caller that `auth` admits.
    pub roles: Vec<String>,
    /// All of these.
    pub claims: Vec<ClaimRule>,
    pub address: AddressRule,
    pub factors: FactorRule,
    pub allow: AllowList,
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

/// What a route asks of the caller's e-mail address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressRule {
    #[default]
    Any,
    /// Its owner has shown that it is theirs.
    Verified,
}

/// By how much callers must have proved who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FactorRule {
    #[default]
    Any,
    /// A second factor, too.
    Two,
}

/// Who may come at all. An empty list asks for nothing.
#[derive(Clone, Debug, Default)]
pub struct AllowList {
    /// Where the client must be: in one of these, also on a public route.
    pub networks: Vec<IpNet>,
    /// Whose address the caller's must be: one of these, or in one of `domains`. Only a verified
    /// address counts, since anybody may register with any other.
    pub emails: Vec<EmailAddress>,
    /// In lower case; not their subdomains.
    pub domains: Vec<String>,
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
    /// 403
    #[error("the client's network is not admitted")]
    Network,
    /// 403, with a word of its own: there is something that the caller can do.
    #[error("the caller's e-mail address is not verified")]
    Unverified,
    /// 403
    #[error("the caller's e-mail address is not admitted")]
    Address,
    /// 403, with a word of its own: there is something that the caller can do.
    #[error("the caller has shown no second factor")]
    SecondFactor,
}

impl Policy {
    /// Lets `caller`, who comes from `client`, through when the route's rules say so.
    ///
    /// # Errors
    ///
    /// Clients of other networks; anonymous callers of a route that needs a name; callers without an
    /// admitted role, claim or address.
    pub fn permit(&self, caller: Caller, client: ClientIp) -> Result<Permit, Denied> {
        if !self.allow.admits_network(client) {
            return Err(Denied::Network);
        }
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

    /// Whether somebody must be named for the rules to be kept.
    pub fn has_rules(&self) -> bool {
        !self.roles.is_empty()
            || !self.claims.is_empty()
            || self.needs_verified()
            || self.factors == FactorRule::Two
    }

    fn needs_verified(&self) -> bool {
        match self.address {
            AddressRule::Verified => true,
            AddressRule::Any => self.allow.names_addresses(),
        }
    }

    fn judge(&self, claims: &Claims) -> Result<(), Denied> {
        let has_role = |role: &String| claims.roles().iter().any(|held| **held == **role);
        if !self.roles.is_empty() && !self.roles.iter().any(has_role) {
            return Err(Denied::Role);
        }
        let fails = |rule: &&ClaimRule| !rule.admits(claims.value(&rule.claim));
        if let Some(failed) = self.claims.iter().find(fails) {
            return Err(Denied::Claim(failed.claim.clone()));
        }
        if self.needs_verified() && claims.value("email_verified") != Some(&Value::Bool(true)) {
            return Err(Denied::Unverified);
        }
        if !self.allow.admits_address(claims) {
            return Err(Denied::Address);
        }
        if self.factors == FactorRule::Two && !claims.by_two_factors() {
            return Err(Denied::SecondFactor);
        }
        Ok(())
    }
}

impl AllowList {
    fn admits_network(&self, client: ClientIp) -> bool {
        let holds = |network: &IpNet| network.contains(&client.address());
        self.networks.is_empty() || self.networks.iter().any(holds)
    }

    fn names_addresses(&self) -> bool {
        !self.emails.is_empty() || !self.domains.is_empty()
    }

    /// An address is read in the one strict form in which it registers: `a@evil@corp.com` is none.
    fn admits_address(&self, claims: &Claims) -> bool {
        if !self.names_addresses() {
            return true;
        }
        let written = claims.value("email").and_then(Value::as_str);
        let Some(email) = written.and_then(|text| EmailAddress::parse(text).ok()) else {
            return false;
        };
        let same = |listed: &EmailAddress| listed.as_str().eq_ignore_ascii_case(email.as_str());
        self.emails.iter().any(same) || self.domains.iter().any(|d| d == email.domain())
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

#[cfg(test)]
impl Policy {
    /// Asks for nothing but what `auth` says.
    pub(crate) fn open(auth: Auth) -> Self {
        Self {
            auth,
            roles: Vec::new(),
            claims: Vec::new(),
            address: AddressRule::Any,
            factors: FactorRule::Any,
            allow: AllowList::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn from(address: &str) -> ClientIp {
        ClientIp::new(address.parse().unwrap())
    }

    fn caller(email: &str, verified: Value) -> Caller {
        let claims = json!({ "sub": "1", "exp": 1, "email": email, "email_verified": verified });
        Caller::from(Identity::sample(&claims))
    }

    fn answer(policy: &Policy, caller: Caller, address: &str) -> String {
        match policy.permit(caller, from(address)) {
            Ok(_permit) => String::from("permitted"),
            Err(denied) => denied.to_string(),
        }
    }

    #[test]
    fn only_clients_of_a_listed_network_come_in() {
        for auth in [Auth::None, Auth::Optional] {
            let mut policy = Policy::open(auth);
            policy.allow.networks =
                vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
            for (address, said) in [
                ("10.1.2.3", "permitted"),
                ("::ffff:10.1.2.3", "permitted"),
                ("fd00::1", "permitted"),
                ("11.1.2.3", "the client's network is not admitted"),
                ("::1", "the client's network is not admitted"),
            ] {
                assert_eq!(
                    answer(&policy, Caller::Anonymous, address),
                    said,
                    "{address}"
                );
            }
        }
    }

    #[test]
    fn an_address_counts_when_it_is_verified_and_listed() {
        let mut policy = Policy::open(Auth::Required);
        policy.allow.domains = vec![String::from("corp.example")];
        policy.allow.emails = vec![EmailAddress::parse("Guest@other.example").unwrap()];
        let (unverified, other) = (
            "the caller's e-mail address is not verified",
            "the caller's e-mail address is not admitted",
        );
        for (email, verified, said) in [
            ("a@corp.example", json!(true), "permitted"),
            ("a@CORP.example", json!(true), "permitted"),
            ("guest@other.example", json!(true), "permitted"),
            ("GUEST@Other.example", json!(true), "permitted"),
            ("a@corp.example", json!(false), unverified),
            ("a@corp.example", json!("true"), unverified),
            ("a@corp.example", json!(1), unverified),
            ("a@corp.example", json!(null), unverified),
            ("a@other.example", json!(true), other),
            ("a@sub.corp.example", json!(true), other),
            ("a@evilcorp.example", json!(true), other),
            ("a@corp.example.evil.com", json!(true), other),
            ("a@evil.com@corp.example", json!(true), other),
            ("a@corp.example@evil.com", json!(true), other),
            ("\"a@evil.com\"@corp.example", json!(true), other),
            ("a@corp\u{ff0e}example", json!(true), other),
            ("a@\u{441}orp.example", json!(true), other),
            ("guest+x@other.example", json!(true), other),
            ("", json!(true), other),
        ] {
            assert_eq!(
                answer(&policy, caller(email, verified), "::1"),
                said,
                "{email}"
            );
        }
    }

    #[test]
    fn two_factors_are_what_amr_says() {
        let mut policy = Policy::open(Auth::Required);
        policy.factors = FactorRule::Two;
        let refused = "the caller has shown no second factor";
        for (amr, said) in [
            (json!(["pwd", "otp", "mfa"]), "permitted"),
            (json!(["mfa"]), "permitted"),
            (json!(["pwd", "otp"]), refused),
            (json!([]), refused),
            (json!("mfa"), refused),
            (json!({ "mfa": true }), refused),
            (json!([["mfa"], "MFA", "mfa "]), refused),
            (json!(null), refused),
        ] {
            let claims = json!({ "sub": "1", "exp": 1, "amr": amr });
            let caller = Caller::from(Identity::sample(&claims));
            assert_eq!(answer(&policy, caller, "::1"), said, "{amr}");
        }
        policy.auth = Auth::Optional;
        let nobody = answer(&policy, Caller::Anonymous, "::1");
        assert_eq!(nobody, "no credential");
    }

    #[test]
    fn a_rule_on_addresses_needs_somebody_to_be_named() {
        let mut policy = Policy::open(Auth::Optional);
        assert_eq!(answer(&policy, Caller::Anonymous, "::1"), "permitted");
        policy.address = AddressRule::Verified;
        assert_eq!(answer(&policy, Caller::Anonymous, "::1"), "no credential");
        let known = || caller("a@b.example", json!(true));
        assert_eq!(answer(&policy, known(), "::1"), "permitted");
    }
}
