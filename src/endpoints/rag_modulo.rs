//! The profile `rag-modulo`: what clients of RAG Modulo expect under `/api/auth/`.

use super::Endpoint;
use super::profile::{Cost, Line, POST, READ};
use crate::authz::Auth;

/// One endpoint of the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RagModuloEndpoint {
    Register,
    Login,
    Token,
    Me,
    Userinfo,
    Logout,
}

use RagModuloEndpoint::{Login, Logout, Me, Register, Token, Userinfo};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::RagModulo(Register),
    Endpoint::RagModulo(Login),
    Endpoint::RagModulo(Token),
    Endpoint::RagModulo(Me),
    Endpoint::RagModulo(Userinfo),
    Endpoint::RagModulo(Logout),
];

impl RagModuloEndpoint {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Register => "rag-modulo.register",
            Login => "rag-modulo.login",
            Token => "rag-modulo.token",
            Me => "rag-modulo.me",
            Userinfo => "rag-modulo.userinfo",
            Logout => "rag-modulo.logout",
        }
    }

    pub(super) const fn line(self) -> Line {
        let (paths, methods, auth, cost): (&[&str], _, _, _) = match self {
            Register => (
                &["/api/auth/register"],
                POST,
                Auth::None,
                Cost::Registration,
            ),
            Login => (&["/api/auth/login"], POST, Auth::None, Cost::Credential),
            Token => (&["/api/auth/token"], POST, Auth::None, Cost::Credential),
            Me => (&["/api/auth/me"], READ, Auth::Required, Cost::Read),
            Userinfo => (&["/api/auth/userinfo"], READ, Auth::Required, Cost::Read),
            Logout => (&["/api/auth/logout"], POST, Auth::Required, Cost::Read),
        };
        Line {
            paths,
            methods,
            auth,
            cost,
        }
    }
}
