//! Looks a request's route up: hosts first, then a tree of path segments; size does not matter.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use super::Route;
use super::pattern::{HostPattern, Methods, PathPattern, Segment};
use crate::inbound::Host;
use crate::rejection::Shape;

/// Every route of a configuration, ready to be looked up.
#[derive(Default)]
pub struct RouteTable {
    names: HashMap<String, Node>,
    /// By what follows the star: `.example.com`.
    below: HashMap<String, Node>,
    any: Node,
}

/// What a look-up found.
pub enum Found<'t> {
    Route(&'t Arc<Route>),
    /// The path is there, but no route on it takes the method; these would have been taken, and
    /// this is how refusals look there.
    OtherMethods {
        allowed: Vec<Method>,
        shape: Shape,
    },
    Nothing,
}

/// Where a route is to be found.
#[derive(Clone, Debug)]
pub struct Place {
    pub host: HostPattern,
    pub path: PathPattern,
    pub methods: Methods,
}

/// Two routes that nothing tells apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("route `{0}` has the same host, path and a method in common: neither is more specific")]
pub struct Ambiguous(pub Arc<str>);

#[derive(Default)]
struct Node {
    names: HashMap<String, Node>,
    one: Option<Box<Node>>,
    here: Vec<(Methods, Arc<Route>)>,
    rest: Vec<(Methods, Arc<Route>)>,
}

impl RouteTable {
    /// # Errors
    ///
    /// When a route of the same host, path and method is there already.
    pub fn insert(&mut self, place: &Place, route: &Arc<Route>) -> Result<(), Ambiguous> {
        self.group(&place.host)
            .insert(place.path.segments(), &place.methods, route)
    }

    /// Puts `route` under every host that the table knows and under any other: for endpoints of
    /// ours that are served on every host. Insert the other routes first.
    ///
    /// # Errors
    ///
    /// When a route of the same path and method is there already.
    pub fn insert_everywhere(
        &mut self,
        path: &PathPattern,
        methods: &Methods,
        route: &Arc<Route>,
    ) -> Result<(), Ambiguous> {
        let below = self.below.values_mut();
        for group in self.names.values_mut().chain(below).chain([&mut self.any]) {
            group.insert(path.segments(), methods, route)?;
        }
        Ok(())
    }

    /// The hosts, as they are configured, that have a route of this kind. Those under any host are
    /// named by nobody.
    pub fn hosts_with(&self, wanted: impl Fn(&Route) -> bool) -> Vec<HostPattern> {
        let names = self.names.iter().filter(|(_, node)| node.any(&wanted));
        let names = names.map(|(name, _)| HostPattern::Name(name.clone()));
        let below = self.below.iter().filter(|(_, node)| node.any(&wanted));
        let below = below.map(|(suffix, _)| HostPattern::Below(suffix.clone()));
        names.chain(below).collect()
    }

    /// The most specific route: by host, then segment by segment a name before `*` before `**`.
    /// The path decides before the method, so that a route for GET alone is not bypassed by POST.
    pub fn find<'p>(
        &self,
        host: &Host,
        path: impl Iterator<Item = &'p str> + Clone,
        method: &Method,
    ) -> Found<'_> {
        let name = host.name();
        let exact = self.names.get(name);
        // The longest suffix first: it begins at the first dot.
        let dotted = match self.below.is_empty() {
            true => "",
            false => name,
        };
        let suffixes = dotted
            .match_indices('.')
            .filter_map(|(dot, _)| name.get(dot..));
        let below = suffixes.filter_map(|suffix| self.below.get(suffix));
        let groups = exact.into_iter().chain(below).chain([&self.any]);
        for group in groups {
            if let Some(leaf) = group.find(path.clone()) {
                return choose(leaf, method);
            }
        }
        Found::Nothing
    }

    fn group(&mut self, host: &HostPattern) -> &mut Node {
        match host {
            HostPattern::Any => &mut self.any,
            HostPattern::Name(name) => self.names.entry(name.clone()).or_default(),
            HostPattern::Below(suffix) => self.below.entry(suffix.clone()).or_default(),
        }
    }
}

impl Node {
    fn insert(
        &mut self,
        segments: &[Segment],
        methods: &Methods,
        route: &Arc<Route>,
    ) -> Result<(), Ambiguous> {
        let leaf = match segments.split_first() {
            None => &mut self.here,
            Some((Segment::Rest, _)) => &mut self.rest,
            Some((Segment::One, tail)) => {
                return self
                    .one
                    .get_or_insert_default()
                    .insert(tail, methods, route);
            }
            Some((Segment::Name(name), tail)) => {
                let next = self.names.entry(name.clone()).or_default();
                return next.insert(tail, methods, route);
            }
        };
        if let Some((_, same)) = leaf.iter().find(|(taken, _)| taken.overlap(methods)) {
            return Err(Ambiguous(same.name.clone()));
        }
        leaf.push((methods.clone(), route.clone()));
        Ok(())
    }

    fn any(&self, wanted: &impl Fn(&Route) -> bool) -> bool {
        let mut here = self.here.iter().chain(&self.rest);
        let mut next = self.names.values().chain(self.one.as_deref());
        here.any(|(_, route)| wanted(route)) || next.any(|node| node.any(wanted))
    }

    fn find<'p>(
        &self,
        mut path: impl Iterator<Item = &'p str> + Clone,
    ) -> Option<&Vec<(Methods, Arc<Route>)>> {
        let rest = || (!self.rest.is_empty()).then_some(&self.rest);
        let Some(segment) = path.next() else {
            return (!self.here.is_empty()).then_some(&self.here).or_else(rest);
        };
        let named = self
            .names
            .get(segment)
            .and_then(|node| node.find(path.clone()));
        let starred = || {
            let node = self.one.as_ref().filter(|_| !segment.is_empty())?;
            node.find(path)
        };
        named.or_else(starred).or_else(rest)
    }
}

fn choose<'t>(leaf: &'t [(Methods, Arc<Route>)], method: &Method) -> Found<'t> {
    // A route that names HEAD is more specific than one that has it by its GET.
    let named = leaf.iter().find(|(methods, _)| methods.name(method));
    let admitted = || leaf.iter().find(|(methods, _)| methods.admit(method));
    if let Some((_, route)) = named.or_else(admitted) {
        return Found::Route(route);
    }
    let listed = leaf.iter().flat_map(|(methods, _)| match methods {
        Methods::Any => &[][..],
        Methods::Only(methods) => methods,
    });
    let mut allowed: Vec<Method> = listed.cloned().collect();
    if allowed.contains(&Method::GET) && !allowed.contains(&Method::HEAD) {
        allowed.push(Method::HEAD);
    }
    let shape = leaf
        .first()
        .map(|(_, route)| route.errors)
        .unwrap_or_default();
    Found::OtherMethods { allowed, shape }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbound::CleanPath;

    /// A table of `host path methods` lines; each route is named by its line.
    fn table(lines: &[&str]) -> Result<RouteTable, Ambiguous> {
        let mut table = RouteTable::default();
        for line in lines {
            let mut words = line.split(' ');
            let methods: Vec<Method> = match words.clone().nth(2) {
                Some(names) => names.split(',').map(|m| m.parse().unwrap()).collect(),
                None => Vec::new(),
            };
            let place = Place {
                host: HostPattern::parse(words.next().unwrap()).unwrap(),
                path: PathPattern::parse(words.next().unwrap()).unwrap(),
                methods: match methods.is_empty() {
                    true => Methods::Any,
                    false => Methods::Only(methods),
                },
            };
            table.insert(&place, &Arc::new(Route::named(line)))?;
        }
        Ok(table)
    }

    fn find(table: &RouteTable, method: &str, host: &str, path: &str) -> String {
        let host = Host::parse(host.as_bytes()).unwrap();
        let path = CleanPath::from_path(path, None).unwrap();
        match table.find(&host, path.segments(), &method.parse().unwrap()) {
            Found::Route(route) => route.name.to_string(),
            Found::OtherMethods { allowed, .. } => format!("405 {allowed:?}"),
            Found::Nothing => String::from("404"),
        }
    }

    #[test]
    fn the_most_specific_route_wins_in_any_order() {
        let mut lines = vec![
            "* /** ",
            "* /v1/** ",
            "* /v1/*/name ",
            "* /v1/users/name ",
            "* /v1/users/** ",
            "api.example /v1/** ",
            "*.example /** ",
            "*.b.example /** ",
        ]
        .into_iter()
        .map(str::trim)
        .collect::<Vec<_>>();
        for _ in 0..2 {
            let table = table(&lines).unwrap();
            for (host, path, expected) in [
                ("x.test", "/", "* /**"),
                ("x.test", "/v1", "* /v1/**"),
                ("x.test", "/v1/", "* /v1/**"),
                ("x.test", "/v1/a/name", "* /v1/*/name"),
                ("x.test", "/v1/users/name", "* /v1/users/name"),
                ("x.test", "/v1/users/name/", "* /v1/users/**"),
                (
                    "x.test",
                    "/v1//name".replace("//", "/").as_str(),
                    "* /v1/**",
                ),
                ("api.example", "/v1/users/name", "api.example /v1/**"),
                ("api.example", "/other", "*.example /**"),
                ("a.b.example:8443", "/", "*.b.example /**"),
                ("example", "/", "* /**"),
            ] {
                assert_eq!(find(&table, "GET", host, path), expected, "{host}{path}");
            }
            lines.reverse();
        }
    }

    #[test]
    fn the_path_decides_before_the_method() {
        let table = table(&["* /admin GET", "* /**", "* /thing POST", "* /thing GET,PUT"]).unwrap();
        assert_eq!(find(&table, "HEAD", "h", "/admin"), "* /admin GET");
        assert_eq!(find(&table, "POST", "h", "/admin"), "405 [GET, HEAD]");
        assert_eq!(find(&table, "PUT", "h", "/thing"), "* /thing GET,PUT");
        assert_eq!(
            find(&table, "DELETE", "h", "/thing"),
            "405 [POST, GET, PUT, HEAD]"
        );
        assert_eq!(find(&table, "TRACE", "h", "/x"), "405 []");
        for lines in [["* /a GET", "* /a HEAD"], ["* /a HEAD", "* /a GET"]] {
            assert_eq!(
                find(&self::table(&lines).unwrap(), "HEAD", "h", "/a"),
                "* /a HEAD"
            );
        }
    }

    #[test]
    fn what_nothing_tells_apart_is_refused() {
        assert!(table(&["* /a GET", "* /a POST"]).is_ok());
        assert!(table(&["* /a GET", "* /a GET,POST"]).is_err());
        assert!(table(&["* /a", "* /a POST"]).is_err());
        assert!(table(&["a /**", "* /**"]).is_ok());
        assert!(table(&["*.a /**", "*.a /**"]).is_err());
    }

    #[test]
    fn hosts_are_those_that_a_wanted_route_names() {
        let table = table(&[
            "* /any",
            "b.example /x GET",
            "a.example /y",
            "a.example /deep/*/x POST",
            "*.sub.example /deep/**",
        ]);
        let table = table.unwrap();
        let hosts = |part: &str| {
            let hosts = table.hosts_with(|route| route.name.contains(part));
            let mut hosts: Vec<String> = hosts.iter().map(|host| format!("{host:?}")).collect();
            hosts.sort();
            hosts.join(" ")
        };
        assert_eq!(hosts("deep"), "Below(\".sub.example\") Name(\"a.example\")");
        assert_eq!(hosts("/x"), "Name(\"a.example\") Name(\"b.example\")");
        assert_eq!(hosts("any"), "");
    }

    #[test]
    fn our_endpoints_are_found_under_every_host() {
        let mut table = table(&["api.example /**", "* /v1/**"]).unwrap();
        let path = PathPattern::parse("/auth/v1/login").unwrap();
        let login = Arc::new(Route::named("login"));
        table
            .insert_everywhere(&path, &Methods::Any, &login)
            .unwrap();
        for host in ["api.example", "other.test"] {
            assert_eq!(
                find(&table, "POST", host, "/auth/v1/login"),
                "login",
                "{host}"
            );
        }
    }
}
