//! The sections `[[route]]`, and the endpoints of the profiles that are on.

mod words;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};

use self::words::{CredentialKind, Prefix, TokenPlace, WrittenAuthorization};
use super::accounts::Domain;
use super::headers::Headers;
use super::reader::{FromToml, Table, Value, Wrong, WrongNames};
use super::units::{ByteSize, OneOrMore};
use super::upstream::Upstreams;
use super::{limits, tokens};
use crate::authz::{AddressRule, AllowList, Auth, ClaimRule, FactorRule, Policy};
use crate::endpoints::{self, Cost, Endpoint, Profile};
use crate::inbound::Askers;
use crate::limit::{RuleId, RuleSpec};
use crate::outbound::{Authorization, HeaderPlan, Introduction, Reserved};
use crate::rejection::Shape;
use crate::route::{
    CredentialKinds, EncodedSlash, Forwarding, HostHeader, HostPattern, Methods, PathPattern,
    Place, Rewrite, Route, RouteTable, Target, TokenPlaces,
};
use crate::upstream::Upstream;

/// Largest request body unless a route says otherwise: what nginx users are used to, times ten.
const DEFAULT_MAX_BODY: ByteSize = ByteSize(10 << 20);

/// What a route may name.
pub struct Named<'a> {
    pub upstreams: &'a Upstreams,
    pub limits: &'a [RuleSpec],
    pub wrong_limits: &'a WrongNames,
    pub headers: &'a Headers,
    /// Who may ask about routes that other proxies serve.
    pub askers: Option<&'a Askers>,
}

/// A route as written, before the names that all routes reserve are known.
struct Draft {
    places: Vec<Place>,
    route: Route,
}

/// Reads every `[[route]]` and adds the endpoints of `profiles`.
pub fn read(root: &mut Table<'_>, profiles: &[Profile], named: &Named<'_>) -> RouteTable {
    let mut drafts = Vec::new();
    let mut sections = Vec::new();
    for mut section in root.tables("route") {
        if let Some(draft) = read_route(&mut section, named) {
            drafts.push((draft, sections.len()));
        }
        sections.push(section);
    }
    reserve(&mut drafts, named.headers);
    let mut table = RouteTable::default();
    let mut taken = HashSet::new();
    for (Draft { places, route }, at) in drafts {
        let route = Arc::new(route);
        let Some(section) = sections.get(at) else {
            continue;
        };
        if !taken.insert(route.name.clone()) {
            section.wrong("name", format!("two routes are called `{}`", route.name));
        }
        for place in &places {
            if let Err(ambiguous) = table.insert(place, &route) {
                section.wrong("path", ambiguous);
            }
        }
    }
    for section in sections {
        section.finish();
    }
    add_endpoints(root, profiles, named, &mut table);
    table
}

/// Every header that some route sets is reserved on all of them: a backend behind a public route
/// believes it too.
fn reserve(drafts: &mut [(Draft, usize)], headers: &Headers) {
    let plans = drafts
        .iter()
        .filter_map(|(draft, _)| match &draft.route.target {
            Target::Upstream(forwarding) => Some(&forwarding.introduction.headers),
            Target::Elsewhere(introduction) => Some(&introduction.headers),
            Target::Endpoint(_) => None,
        });
    let mut owned: Vec<HeaderName> = plans.flat_map(HeaderPlan::owned).collect();
    owned.extend(headers.identity.iter().map(|(name, _)| name.clone()));
    owned.extend(headers.secret.iter().map(|(name, _)| name.clone()));
    owned.extend(headers.assertion.iter().map(|(name, _)| name.clone()));
    for (draft, _) in drafts {
        if let Target::Upstream(forwarding) = &mut draft.route.target {
            forwarding
                .introduction
                .headers
                .reserve(owned.iter().cloned());
        }
    }
}

fn add_endpoints(
    root: &Table<'_>,
    profiles: &[Profile],
    named: &Named<'_>,
    table: &mut RouteTable,
) {
    let of_profiles = profiles
        .iter()
        .flat_map(|profile| profile.endpoints().iter().copied());
    let verify = named.askers.map(|_| Endpoint::Verify);
    for endpoint in of_profiles.chain([Endpoint::Jwks]).chain(verify) {
        let route = Arc::new(endpoint_route(endpoint, named.limits));
        let methods = Methods::Only(endpoint.methods().to_vec());
        for path in endpoint.paths() {
            let Ok(path) = PathPattern::parse(path) else {
                root.wrong(
                    "route",
                    format!("the endpoint path {path} is not a pattern"),
                );
                continue;
            };
            if let Err(ambiguous) = table.insert_everywhere(&path, &methods, &route) {
                let problem = format!("{ambiguous}: {} serves {}", route.name, path.as_str());
                root.wrong("route", problem);
            }
        }
    }
}

fn endpoint_route(endpoint: Endpoint, rules: &[RuleSpec]) -> Route {
    let limit = match endpoint.cost() {
        Cost::Credential => Some(limits::CREDENTIAL),
        Cost::Registration => Some(limits::REGISTRATION),
        Cost::Read => None,
    };
    Route {
        name: endpoint.name().into(),
        policy: Policy {
            auth: endpoint.auth(),
            roles: Vec::new(),
            claims: Vec::new(),
            address: AddressRule::Any,
            factors: FactorRule::Any,
            allow: AllowList::default(),
        },
        limits: limit
            .and_then(|name| limits::place_of(name, rules))
            .into_iter()
            .collect(),
        errors: endpoint.shape(),
        credentials: endpoint.credentials(),
        tokens: TokenPlaces::default(),
        max_body: endpoints::MAX_BODY,
        encoded_slash: EncodedSlash::Refuse,
        target: Target::Endpoint(endpoint),
    }
}

fn read_route(section: &mut Table<'_>, named: &Named<'_>) -> Option<Draft> {
    let paths = section.required::<OneOrMore<PathPattern>>("path");
    let hosts = section.or("host", OneOrMore(vec![HostPattern::Any])).0;
    let methods = section.optional::<OneOrMore<Method>>("methods");
    let methods = methods.map_or(Methods::Any, |listed| Methods::Only(listed.0));
    let name = section.optional::<String>("name");
    let policy = read_policy(section);
    let limits = read_limits(section, named);
    let headers = named.headers.narrowed(section.table("headers"));
    let authorization = read_authorization(section);
    let errors = section.or("errors", Shape::Native);
    let credentials = read_credentials(section, policy.auth);
    let tokens = read_token_places(section);
    let max_body = section.or("max_body", DEFAULT_MAX_BODY).0;
    let encoded_slash = section.or("encoded_slash", EncodedSlash::Refuse);
    let mut plan = HeaderPlan::stripping(Reserved::new(&headers.reserved));
    plan.identity = headers.identity;
    plan.secret = headers.secret;
    plan.assertion = headers.assertion;
    let introduction = Introduction {
        authorization,
        headers: plan,
    };
    let target = read_target(section, introduction, named);
    let (paths, target) = (paths?.0, target?);
    let name = name.unwrap_or_else(|| default_name(&hosts, &paths));
    let place = |(host, path): (&HostPattern, &PathPattern)| Place {
        host: host.clone(),
        path: path.clone(),
        methods: methods.clone(),
    };
    let pairs = hosts
        .iter()
        .flat_map(|host| paths.iter().map(move |path| (host, path)));
    let places = pairs.map(place).collect();
    let route = Route {
        name: name.into(),
        target,
        policy,
        limits,
        errors,
        credentials,
        tokens,
        max_body,
        encoded_slash,
    };
    Some(Draft { places, route })
}

/// Where the route leads: to an upstream, or to another proxy that asks us first.
fn read_target(
    section: &mut Table<'_>,
    introduction: Introduction,
    named: &Named<'_>,
) -> Option<Target> {
    if section.or("verify_only", false) {
        if section.has("upstream") {
            let problem = "another proxy serves a route with `verify_only`: it has no `upstream`";
            section.wrong("upstream", problem);
        }
        if named.askers.is_none() {
            let help = "add [verify] with peers = [\"127.0.0.1\"]";
            section.wrong_with_help("verify_only", "nobody may ask about this route", help);
        }
        return Some(Target::Elsewhere(Box::new(introduction)));
    }
    // Every key is asked for before the absence of one is given up on.
    let upstream = read_upstream(section, named);
    let rewrite = read_rewrite(section);
    let host = section.or("upstream_host", HostHeader::Preserve);
    let first_byte = section.optional::<Duration>("timeout");
    let min_body_rate = section.optional::<u32>("min_body_rate");
    let forwarding = Forwarding {
        upstream: upstream?,
        introduction,
        rewrite,
        host,
        first_byte,
        min_body_rate,
    };
    Some(Target::Upstream(Box::new(forwarding)))
}

fn read_upstream(section: &mut Table<'_>, named: &Named<'_>) -> Option<Arc<Upstream>> {
    let name = section.required::<String>("upstream")?;
    let Upstreams { good, wrong } = named.upstreams;
    let found = good.iter().find(|upstream| **upstream.name() == *name);
    if found.is_none() && !wrong.may_contain(&name) {
        let known: Vec<&str> = good.iter().map(|u| u.name().as_ref()).collect();
        let help = match known.is_empty() {
            true => String::from("add an [[upstream]] with this name"),
            false => format!("there are: {}", known.join(", ")),
        };
        section.wrong_with_help("upstream", format!("there is no upstream `{name}`"), help);
    }
    found.cloned()
}

fn read_policy(section: &mut Table<'_>) -> Policy {
    let auth = section.or("auth", Auth::Required);
    let roles = section.list::<String>("roles");
    let claims = section.table("claims").map(read_claims).unwrap_or_default();
    let address = match section.or("verified", false) {
        true => AddressRule::Verified,
        false => AddressRule::Any,
    };
    let factors = match section.or("second_factor", false) {
        true => FactorRule::Two,
        false => FactorRule::Any,
    };
    let policy = Policy {
        auth,
        roles,
        claims,
        address,
        factors,
        allow: section.table("allow").map(read_allow).unwrap_or_default(),
    };
    if auth == Auth::None && policy.has_rules() {
        let problem = "a route with `auth = \"none\"` looks at nobody: it cannot ask for roles, \
                       claims, addresses or second factors";
        section.wrong("auth", problem);
    }
    policy
}

fn read_allow(mut table: Table<'_>) -> AllowList {
    let allow = AllowList {
        networks: somebody(&mut table, "networks"),
        emails: somebody(&mut table, "emails"),
        domains: somebody::<Domain>(&mut table, "domains")
            .into_iter()
            .map(|domain| domain.0)
            .collect(),
    };
    table.finish();
    allow
}

/// The list at `key`. One that is there and empty would let everybody in, which nobody means.
fn somebody<T: FromToml>(table: &mut Table<'_>, key: &'static str) -> Vec<T> {
    let listed = table.list(key);
    if table.has(key) && listed.is_empty() {
        table.wrong(
            key,
            "nobody is on this list: take it away, or name somebody",
        );
    }
    listed
}

fn read_claims(table: Table<'_>) -> Vec<ClaimRule> {
    let rule = |(claim, value): (String, Value<'_>)| {
        let any_of = match value.to_json() {
            Some(serde_json::Value::Array(values)) => values,
            Some(value) => vec![value],
            None => {
                let expected = "text, a number, true or false, or a list of them";
                value.report(Wrong::Expected(expected.to_owned()));
                return None;
            }
        };
        Some(ClaimRule { claim, any_of })
    };
    table.entries().into_iter().filter_map(rule).collect()
}

fn read_limits(section: &mut Table<'_>, named: &Named<'_>) -> Vec<RuleId> {
    let mut ids = Vec::new();
    for name in section.list::<String>("limits") {
        match limits::place_of(&name, named.limits) {
            Some(id) => ids.push(id),
            None if named.wrong_limits.may_contain(&name) => {}
            None => section.wrong_with_help(
                "limits",
                format!("there is no limit `{name}`"),
                "add a [[limit]] with this name",
            ),
        }
    }
    ids
}

fn read_authorization(section: &mut Table<'_>) -> Authorization {
    match section.or("authorization", WrittenAuthorization::Strip) {
        WrittenAuthorization::Strip => Authorization::Strip,
        WrittenAuthorization::Forward => Authorization::Forward,
        WrittenAuthorization::Mint => {
            let Some(table) = section.table("mint") else {
                let help = "add mint = { algorithm = \"HS256\", secret = { … } }";
                section.wrong_with_help("authorization", "minting needs a key", help);
                return Authorization::Strip;
            };
            let minter = tokens::read_minter(table);
            minter.map_or(Authorization::Strip, |m| Authorization::Mint(Arc::new(m)))
        }
    }
}

fn read_rewrite(section: &mut Table<'_>) -> Rewrite {
    let strip = section.optional::<Prefix>("strip_prefix");
    let add = section.optional::<Prefix>("add_prefix");
    match (strip, add) {
        (None, None) => Rewrite::Keep,
        (from, to) => Rewrite::Prefix {
            from: from.map_or_else(String::new, |prefix| prefix.0),
            to: to.map_or_else(String::new, |prefix| prefix.0),
        },
    }
}

fn read_credentials(section: &mut Table<'_>, auth: Auth) -> CredentialKinds {
    if !section.has("credentials") {
        return CredentialKinds::default();
    }
    let listed = section.list::<CredentialKind>("credentials");
    if auth == Auth::None {
        let problem = "a route with `auth = \"none\"` looks at no credential";
        section.wrong("credentials", problem);
    } else if listed.is_empty() {
        section.wrong("credentials", "a route takes some kind of credential");
    }
    CredentialKinds {
        bearer: listed.contains(&CredentialKind::Bearer),
        api_key: listed.contains(&CredentialKind::ApiKey),
        cookie: listed.contains(&CredentialKind::Cookie),
    }
}

fn read_token_places(section: &mut Table<'_>) -> TokenPlaces {
    let mut places = TokenPlaces::default();
    for place in section.list::<TokenPlace>("tokens_from") {
        match place {
            TokenPlace::Subprotocol => places.subprotocol = true,
            TokenPlace::Query => places.query = true,
        }
    }
    places
}

fn default_name(hosts: &[HostPattern], paths: &[PathPattern]) -> String {
    let host = match hosts.first() {
        Some(HostPattern::Name(name)) => name.as_str(),
        Some(HostPattern::Below(suffix)) => suffix.as_str(),
        Some(HostPattern::Any) | None => "",
    };
    let path = paths.first().map_or("", PathPattern::as_str);
    format!("{host}{path}")
}
