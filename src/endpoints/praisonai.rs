//! The profile `praisonai`: what clients of the PraisonAI Platform expect under `/api/v1/auth/`.

use super::Endpoint;
use super::profile::{Cost, Line, POST, READ};
use crate::authz::Auth;

/// One endpoint of the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PraisonaiEndpoint {
    Register,
    Login,
    Me,
}

use PraisonaiEndpoint::{Login, Me, Register};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::Praisonai(Register),
    Endpoint::Praisonai(Login),
    Endpoint::Praisonai(Me),
];

impl PraisonaiEndpoint {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Register => "praisonai.register",
            Login => "praisonai.login",
            Me => "praisonai.me",
        }
    }

    /// A trailing slash is accepted: the real server redirects it, and its clients do not follow.
    pub(super) const fn line(self) -> Line {
        let (paths, methods, auth, cost): (&[&str], _, _, _) = match self {
            Register => (
                &["/api/v1/auth/register", "/api/v1/auth/register/"],
                POST,
                Auth::None,
                Cost::Registration,
            ),
            Login => (
                &["/api/v1/auth/login", "/api/v1/auth/login/"],
                POST,
                Auth::None,
                Cost::Credential,
            ),
            Me => (
                &["/api/v1/auth/me", "/api/v1/auth/me/"],
                READ,
                Auth::Required,
                Cost::Read,
            ),
        };
        Line {
            paths,
            methods,
            auth,
            cost,
        }
    }
}
