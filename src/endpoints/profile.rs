//! Which endpoints each profile brings: path, methods, who may call, how refusals look.

use std::time::Duration;

use http::Method;

use super::{Endpoint, browser, native, praisonai, rag_modulo};
use crate::authn::Lifetimes;
use crate::authz::Auth;
use crate::rejection::Shape;

/// A set of endpoints with the paths, fields and refusals that one kind of client expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// A login page and its sessions.
    Browser,
    Native,
    Praisonai,
    RagModulo,
}

/// What an endpoint costs an attacker's victim: the kind of default limit that stands before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cost {
    /// Hashes a password, checks a refresh token, or writes what is kept for long, which a login
    /// alone would not bound: few a minute.
    Credential,
    /// Makes an account: fewer.
    Registration,
    /// Reads, or ends what a login opened: no limit of its own.
    Read,
}

impl Profile {
    pub const ALL: &'static [Profile] = &[
        Profile::Browser,
        Profile::Native,
        Profile::Praisonai,
        Profile::RagModulo,
    ];

    /// The name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::Browser => "browser",
            Profile::Native => "native",
            Profile::Praisonai => "praisonai",
            Profile::RagModulo => "rag-modulo",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|p| p.name() == name)
    }

    /// How refusals on this profile's paths look.
    pub const fn shape(self) -> Shape {
        match self {
            Profile::Browser | Profile::Native => Shape::Native,
            Profile::Praisonai => Shape::Praisonai,
            Profile::RagModulo => Shape::RagModulo,
        }
    }

    /// How long an access token lives that this profile issues.
    pub const fn lifetime(self, lifetimes: &Lifetimes) -> Duration {
        match self {
            Profile::Browser | Profile::Native => lifetimes.standard,
            Profile::Praisonai => lifetimes.praisonai,
            Profile::RagModulo => lifetimes.rag_modulo,
        }
    }

    /// Every endpoint that the profile brings.
    pub const fn endpoints(self) -> &'static [Endpoint] {
        match self {
            Profile::Browser => browser::ENDPOINTS,
            Profile::Native => native::ENDPOINTS,
            Profile::Praisonai => praisonai::ENDPOINTS,
            Profile::RagModulo => rag_modulo::ENDPOINTS,
        }
    }
}

/// One line of a profile's table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// The first is the one that is documented; the others are accepted.
    pub paths: &'static [&'static str],
    pub methods: &'static [Method],
    pub auth: Auth,
    pub cost: Cost,
}

impl Line {
    pub(super) const fn new(
        paths: &'static [&'static str],
        methods: &'static [Method],
        auth: Auth,
        cost: Cost,
    ) -> Self {
        Self {
            paths,
            methods,
            auth,
            cost,
        }
    }
}

/// What reads: HEAD is answered wherever GET is (RFC 9110 §9.3.2).
pub(super) const READ: &[Method] = &[Method::GET, Method::HEAD];
pub(super) const POST: &[Method] = &[Method::POST];
pub(super) const DELETE: &[Method] = &[Method::DELETE];
