//! A request that asks to be admitted: its parts, each hashed once however many rules are keyed on
//! it, and one time by which all of them decide.

use std::time::Duration;

use super::rule::{KeyedOn, Step};
use super::{LimitKeys, Limits};
use crate::inbound::ClientNet;
use crate::shared::{Digest, Key, Keyring};

/// What makes keys of the parts of requests: each kind has a keyring of its own, so that the keys
/// of several parts can be put together.
#[derive(Debug, Default)]
pub(super) struct Keyrings {
    client: Keyring,
    identity: Keyring,
    route: Keyring,
    login: Keyring,
}

/// A request at one step of its path.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    limits: &'a Limits,
    step: Step,
    client: Part<'a, ClientNet>,
    identity: Option<Part<'a, &'a str>>,
    route: Part<'a, &'a str>,
    login: Option<Part<'a, &'a str>>,
    now: Option<Duration>,
}

/// A part of a request, and its key when a rule has wanted it.
#[derive(Debug)]
struct Part<'a, T> {
    keyring: &'a Keyring,
    value: T,
    key: Option<Key>,
}

impl<'a> Asking<'a> {
    pub(super) fn new(limits: &'a Limits, keys: &LimitKeys<'a>) -> Self {
        let (step, client, route, identity, login) = match *keys {
            LimitKeys::Client { client, route } => (Step::Client, client, route, None, None),
            LimitKeys::Caller {
                client,
                route,
                identity,
            } => (Step::Caller, client, route, identity, None),
            LimitKeys::Login {
                client,
                route,
                login,
            } => (Step::Login, client, route, None, Some(login.key())),
        };
        let keyrings = &limits.keyrings;
        Self {
            limits,
            step,
            client: Part::new(&keyrings.client, client),
            identity: identity.map(|name| Part::new(&keyrings.identity, name)),
            route: Part::new(&keyrings.route, route),
            login: login.map(|name| Part::new(&keyrings.login, name)),
            now: None,
        }
    }

    /// A rule is decided at the first step at which everything is known that it is keyed on.
    pub(super) fn step(&self) -> Step {
        self.step
    }

    pub(super) fn now(&mut self) -> Duration {
        *self.now.get_or_insert_with(|| self.limits.clock.steady())
    }

    /// The request has waited: it is later than it was.
    pub(super) fn has_waited(&mut self) {
        self.now = None;
    }

    /// What counts the request for a rule that is keyed on `on`.
    pub(super) fn key(&mut self, on: KeyedOn) -> Key {
        let by_client = self.counts_by_client(on);
        let identity = self.identity.as_mut().filter(|_| on.identity);
        let login = self.login.as_mut().filter(|_| on.login);
        Key::of_all([
            by_client.then(|| self.client.key()),
            identity.map(Part::<&str>::key),
            on.route.then(|| self.route.key()),
            login.map(Part::<&str>::key),
        ])
    }

    /// The same in Redis.
    pub(super) fn digest(&self, on: KeyedOn) -> Digest {
        let client = self.counts_by_client(on);
        let client = client.then(|| self.client.value.to_string());
        let identity = self.identity.as_ref().filter(|_| on.identity);
        let login = self.login.as_ref().filter(|_| on.login);
        let texts = [
            client.as_deref(),
            identity.map(|part| part.value),
            on.route.then_some(self.route.value),
            login.map(|part| part.value),
        ];
        Digest::of(&texts.map(|text| text.unwrap_or_default().as_bytes()))
    }

    /// A caller without a name counts under its network, never together with all others that have
    /// none.
    fn counts_by_client(&self, on: KeyedOn) -> bool {
        on.client || (on.identity && self.identity.is_none())
    }
}

impl<'a, T> Part<'a, T> {
    fn new(keyring: &'a Keyring, value: T) -> Self {
        Self {
            keyring,
            value,
            key: None,
        }
    }
}

impl Part<'_, ClientNet> {
    fn key(&mut self) -> Key {
        let make = || self.keyring.key_of(&self.value.bits().to_ne_bytes());
        *self.key.get_or_insert_with(make)
    }
}

impl Part<'_, &str> {
    fn key(&mut self) -> Key {
        let make = || self.keyring.key_of(self.value.as_bytes());
        *self.key.get_or_insert_with(make)
    }
}
