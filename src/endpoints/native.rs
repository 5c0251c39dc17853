//! The profile `native`: the whole account API under `/auth/v1/`.

use super::Endpoint;
use super::profile::{Cost, Line, POST, READ};
use crate::authz::Auth;

/// One endpoint of the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NativeEndpoint {
    Register,
    Login,
    Refresh,
    Logout,
    LogoutEverywhere,
    Me,
    ChangePassword,
}

use NativeEndpoint::{ChangePassword, Login, Logout, LogoutEverywhere, Me, Refresh, Register};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::Native(Register),
    Endpoint::Native(Login),
    Endpoint::Native(Refresh),
    Endpoint::Native(Logout),
    Endpoint::Native(LogoutEverywhere),
    Endpoint::Native(Me),
    Endpoint::Native(ChangePassword),
];

impl NativeEndpoint {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Register => "native.register",
            Login => "native.login",
            Refresh => "native.refresh",
            Logout => "native.logout",
            LogoutEverywhere => "native.logout-everywhere",
            Me => "native.me",
            ChangePassword => "native.change-password",
        }
    }

    pub(super) const fn line(self) -> Line {
        let (paths, methods, auth, cost): (&[&str], _, _, _) = match self {
            Register => (&["/auth/v1/register"], POST, Auth::None, Cost::Registration),
            Login => (&["/auth/v1/login"], POST, Auth::None, Cost::Credential),
            Refresh => (&["/auth/v1/refresh"], POST, Auth::None, Cost::Credential),
            Logout => (&["/auth/v1/logout"], POST, Auth::Required, Cost::Read),
            LogoutEverywhere => (
                &["/auth/v1/logout-everywhere"],
                POST,
                Auth::Required,
                Cost::Read,
            ),
            Me => (&["/auth/v1/me"], READ, Auth::Required, Cost::Read),
            ChangePassword => (
                &["/auth/v1/password"],
                POST,
                Auth::Required,
                Cost::Credential,
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
