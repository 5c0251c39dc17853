//! The profile `browser`: a login page that needs no scripts, and the sessions that it opens.

mod page;
mod return_to;

use http::{HeaderValue, Response, StatusCode, header};

use super::form::{self, Form};
use super::login::Credentials;
use super::profile::{Cost, Line, POST, READ};
use super::{Endpoint, EndpointContext, EndpointRequest, device, login};
use crate::accounts::{Account, Keep};
use crate::authn::Caller;
use crate::authz::Auth;
use crate::body::Body;
use crate::inbound::{Site, cookie};
use crate::rejection::Rejection;

use page::LoginPage;
use return_to::ReturnTo;

/// Where the login page is.
pub const LOGIN: &str = "/auth/login";
const LOGOUT: &str = "/auth/logout";

/// One endpoint of the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BrowserEndpoint {
    /// The page, with what to come back to in `return_to`.
    Page,
    Login,
    Logout,
}

use BrowserEndpoint::{Login, Logout, Page};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::Browser(Page),
    Endpoint::Browser(Login),
    Endpoint::Browser(Logout),
];

impl BrowserEndpoint {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Page => "browser.page",
            Login => "browser.login",
            Logout => "browser.logout",
        }
    }

    pub(super) const fn line(self) -> Line {
        let (paths, methods, auth, cost): (&[&str], _, _, _) = match self {
            Page => (&[LOGIN], READ, Auth::Optional, Cost::Read),
            Login => (&[LOGIN], POST, Auth::None, Cost::Credential),
            // also of a session that is over: then there is nothing but the cookie to clear
            Logout => (&[LOGOUT], POST, Auth::Optional, Cost::Read),
        };
        Line {
            paths,
            methods,
            auth,
            cost,
        }
    }
}

/// Answers a request to `endpoint`.
pub(super) async fn answer(
    endpoint: BrowserEndpoint,
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    match endpoint {
        Page => Ok(show_page(request)),
        Login => log_in(context, request).await,
        Logout => log_out(context, request).await,
    }
}

/// A cookie that names a session which is over is cleared on the way here.
fn show_page(request: &EndpointRequest) -> Response<Body> {
    let query = request.path.query().unwrap_or_default();
    let shown = form::urlencoded::parse(query.as_bytes()).unwrap_or_default();
    let return_to = shown.iter().find(|(name, _)| name == "return_to");
    let signed_in = match &request.caller {
        Caller::Anonymous => None,
        Caller::Identified(identity) => {
            let names = ["email", "username", "sub"].into_iter();
            names.filter_map(|name| identity.claims.text(name)).next()
        }
    };
    let page = LoginPage {
        return_to: &ReturnTo::parse(return_to.map_or("/", |(_, target)| target)),
        name: "",
        signed_in,
        refused: None,
    };
    page.response()
}

/// A foreign page must not log somebody in to an account of its own (login CSRF). What is wrong
/// with the form, or with the password, is said on the page.
async fn log_in(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    if request.site == Site::Unproved {
        return Err(Rejection::ForeignOrigin);
    }
    let mut form = Form::urlencoded(&request.headers, &request.body)?;
    let return_to = form.optional_text("return_to");
    let return_to = ReturnTo::parse(return_to.as_deref().unwrap_or("/"));
    let typed = form.optional_text("username").unwrap_or_default();
    match enter(context, request, form).await {
        Ok((account, keep)) => {
            let mut response = redirect(return_to.location());
            open(context, request, (&account, keep), &mut response).await?;
            Ok(response)
        }
        Err(rejection) => {
            let page = LoginPage {
                return_to: &return_to,
                name: &typed,
                signed_in: None,
                refused: Some(rejection.told()),
            };
            Ok(page.response())
        }
    }
}

async fn enter(
    context: &EndpointContext,
    request: &EndpointRequest,
    mut form: Form,
) -> Result<(Account, Keep), Rejection> {
    let name = form.login_name("username");
    let password = form.password("password");
    let keep = match form.optional_text("remember") {
        Some(_) => Keep::Remembered,
        None => Keep::UntilClosed,
    };
    let (name, password) = form.complete(name.zip(password))?;
    let shown = Credentials {
        name,
        password,
        refresh: None,
    };
    let account = login::prove(context, request, &shown).await?;
    Ok((account, keep))
}

/// Opens a session of its own for the browser and sets its cookie. The session that the browser
/// had, whoever planted it, ends: after a login or a change of password no old id is worth
/// anything.
pub(super) async fn open(
    context: &EndpointContext,
    request: &EndpointRequest,
    (account, keep): (&Account, Keep),
    response: &mut Response<Body>,
) -> Result<(), Rejection> {
    let accounts = &context.accounts;
    let opened = accounts
        .open_in_browser(account, request.device(), keep)
        .await?;
    if let Some(old) = cookie::session(&request.headers) {
        accounts
            .end_session_of_cookie(old, &request.origin())
            .await?;
    }
    let session = cookie::set_session(&opened.cookie, opened.max_age);
    let device = device::remember(context, account);
    for field in [session, device].into_iter().flatten() {
        response.headers_mut().append(header::SET_COOKIE, field);
    }
    Ok(())
}

/// How long the browser keeps the session that it has.
pub(super) fn keep_of(context: &EndpointContext, request: &EndpointRequest) -> Keep {
    let shown = cookie::session(&request.headers);
    let shown = shown.and_then(|text| context.accounts.read_cookie(text));
    shown.map_or(Keep::UntilClosed, |session| session.keep)
}

async fn log_out(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    match &request.caller {
        Caller::Anonymous => {}
        Caller::Identified(_) => login::end(context, request).await?,
    }
    let mut response = redirect(HeaderValue::from_static(LOGIN));
    let headers = response.headers_mut();
    headers.append(header::SET_COOKIE, cookie::clear_session());
    Ok(response)
}

fn redirect(location: HeaderValue) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
