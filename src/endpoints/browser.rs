//! The profile `browser`: a login page that needs no scripts, and the sessions that it opens.

mod hosts;
mod login_page;
mod page;
mod return_to;
mod second_factor;
mod sign_on;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::form::{self, Form};
use super::login::{Credentials, Proved};
use super::profile::{Cost, Line, POST, READ};
use super::{
    Endpoint, EndpointContext, EndpointError, EndpointRequest, device, login,
    second_factor as steps,
};
use crate::accounts::{BrowserSession, Keep, Proof};
use crate::authn::Caller;
use crate::authz::Auth;
use crate::body::Body;
use crate::inbound::Site;
use crate::rejection::Rejection;

use hosts::Part;
use login_page::{CodePage, LoginPage};
use sign_on::Destination;

pub use hosts::LoginHosts;

/// Where the login page is.
pub const LOGIN: &str = "/auth/login";
/// Where the second half of a login is sent.
const LOGIN_SECOND: &str = "/auth/login/second-factor";
const LOGOUT: &str = "/auth/logout";
/// Where people set up their second factor.
const ACCOUNT_FACTOR: &str = "/auth/second-factor";
const CONFIRM_FACTOR: &str = "/auth/second-factor/confirm";
const REPLACE_CODES: &str = "/auth/second-factor/recovery-codes";
const REMOVE_FACTOR: &str = "/auth/second-factor/remove";
/// Where a further host takes the codes of the login host.
const CODE: &str = "/auth/login/code";

/// One endpoint of the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BrowserEndpoint {
    /// The page, with what to come back to in `return_to`.
    Page,
    Login,
    /// Its second half.
    LoginSecond,
    Logout,
    Code,
    /// One's own second factor.
    Factor,
    OfferFactor,
    ConfirmFactor,
    ReplaceCodes,
    RemoveFactor,
}

use BrowserEndpoint::{
    Code, ConfirmFactor, Factor, Login, LoginSecond, Logout, OfferFactor, Page, RemoveFactor,
    ReplaceCodes,
};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::Browser(Page),
    Endpoint::Browser(Login),
    Endpoint::Browser(LoginSecond),
    Endpoint::Browser(Logout),
    Endpoint::Browser(Code),
    Endpoint::Browser(Factor),
    Endpoint::Browser(OfferFactor),
    Endpoint::Browser(ConfirmFactor),
    Endpoint::Browser(ReplaceCodes),
    Endpoint::Browser(RemoveFactor),
];

impl BrowserEndpoint {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Page => "browser.page",
            Login => "browser.login",
            LoginSecond => "browser.login-second-factor",
            Logout => "browser.logout",
            Code => "browser.code",
            Factor => "browser.second-factor",
            OfferFactor => "browser.offer-second-factor",
            ConfirmFactor => "browser.confirm-second-factor",
            ReplaceCodes => "browser.replace-recovery-codes",
            RemoveFactor => "browser.remove-second-factor",
        }
    }

    pub(super) const fn line(self) -> Line {
        match self {
            // a page is found again where its form was sent: by a reload, or after a login in between
            Page => Line::new(&[LOGIN, LOGIN_SECOND], READ, Auth::Optional, Cost::Read),
            Login => Line::new(&[LOGIN], POST, Auth::None, Cost::Credential),
            LoginSecond => Line::new(&[LOGIN_SECOND], POST, Auth::None, Cost::Credential),
            // also of a session that is over: then there is nothing but the cookie to clear
            Logout => Line::new(&[LOGOUT], POST, Auth::Optional, Cost::Read),
            // who has a session here already goes on with it; a code that was made up costs an HMAC
            Code => Line::new(&[CODE], READ, Auth::Optional, Cost::Read),
            Factor => Line::new(
                &[ACCOUNT_FACTOR, CONFIRM_FACTOR, REPLACE_CODES, REMOVE_FACTOR],
                READ,
                Auth::Required,
                Cost::Read,
            ),
            OfferFactor => Line::new(&[ACCOUNT_FACTOR], POST, Auth::Required, Cost::Credential),
            ConfirmFactor => Line::new(&[CONFIRM_FACTOR], POST, Auth::Required, Cost::Credential),
            ReplaceCodes => Line::new(&[REPLACE_CODES], POST, Auth::Required, Cost::Credential),
            RemoveFactor => Line::new(&[REMOVE_FACTOR], POST, Auth::Required, Cost::Credential),
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
        Page => show_page(context, request).await,
        Login => log_in(context, request).await,
        LoginSecond => log_in_second(context, request).await,
        Logout => log_out(context, request).await,
        Code => sign_on::arrive(context, request).await,
        Factor | OfferFactor | ConfirmFactor | ReplaceCodes | RemoveFactor => {
            second_factor::answer(endpoint, context, request).await
        }
    }
}

/// A cookie that names a session which is over is cleared on the way here. A further host sends
/// whoever has no session to the login host; that sends whoever has one back at once.
async fn show_page(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let query = request.path.query().unwrap_or_default();
    let mut said = form::urlencoded::parse(query.as_bytes()).unwrap_or_default();
    let destination = Destination::read(context, request, |wanted| {
        let at = said.iter().position(|(name, _)| name == wanted)?;
        Some(said.swap_remove(at).1)
    });
    let signed_in = match &request.caller {
        Caller::Anonymous => None,
        Caller::Identified(identity) => {
            let names = ["email", "username", "sub"].into_iter();
            names.filter_map(|name| identity.claims.text(name)).next()
        }
    };
    let part = context.login_hosts.part_of(&request.host);
    if let (Part::Further { here, login }, None) = (&part, signed_in) {
        let return_to = destination.return_to();
        return Ok(sign_on::set_out(request, (here, login), return_to));
    }
    // Who shares the cookie would have it there: sent back at once, they might go in circles.
    let visit = destination.visit();
    let is_asked_for = visit.is_some_and(|visit| !visit.shares_cookie(context));
    if is_asked_for
        && request.by_cookie()
        && let Some(session) = shown_session(context, request)
        && let Some(response) = destination.send_on(context, session).await?
    {
        return Ok(response);
    }
    let page = LoginPage {
        destination: &destination,
        name: "",
        signed_in,
        refused: None,
        login: part.login_elsewhere(),
    };
    Ok(page.response())
}

/// What is wrong with the form, or with the password, is said on the page.
async fn log_in(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let (mut form, destination) = match read_form(context, request)? {
        Sent::Here(form, destination) => (*form, destination),
        Sent::Elsewhere(response) => return Ok(response),
    };
    let typed = form.optional_text("username").unwrap_or_default();
    let keep = keep_asked_for(&mut form);
    match enter(context, request, form).await {
        Ok(Proved::Wholly(proof)) => arrive(context, request, &destination, (*proof, keep)).await,
        Ok(Proved::Halfway(account)) => {
            let (challenge, _) = context.accounts.challenge(&account)?;
            let page = CodePage {
                destination: &destination,
                challenge: &challenge,
                keep,
                refused: None,
            };
            Ok(page.response())
        }
        Err(rejection) => Ok(again(&destination, &typed, &rejection)),
    }
}

/// The second half: whose password was right is in the form. What is wrong with the code is said on
/// the page of codes; when the login has to begin again, on the first one.
async fn log_in_second(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let (mut form, destination) = match read_form(context, request)? {
        Sent::Here(form, destination) => (*form, destination),
        Sent::Elsewhere(response) => return Ok(response),
    };
    let challenge = form.optional_text("challenge").unwrap_or_default();
    let keep = keep_asked_for(&mut form);
    let code = form.code("code");
    let proved = match form.complete(code) {
        Ok(code) => steps::prove(context, request, (&challenge, &code)).await,
        Err(invalid) => Err(invalid.into()),
    };
    match proved {
        Ok(proof) => arrive(context, request, &destination, (proof, keep)).await,
        Err(over @ Rejection::Endpoint(EndpointError::ChallengeOver)) => {
            Ok(again(&destination, "", &over))
        }
        Err(rejection) => {
            let page = CodePage {
                destination: &destination,
                challenge: &challenge,
                keep,
                refused: Some(rejection.told()),
            };
            Ok(page.response())
        }
    }
}

/// What the form of a login is to be answered with.
enum Sent {
    /// Here, and what it says.
    Here(Box<Form>, Destination),
    /// On the login host: a further host takes no passwords and no codes.
    Elsewhere(Response<Body>),
}

/// Reads a form of the login. A foreign page must not log somebody in to an account of its own (login
/// CSRF).
fn read_form(context: &EndpointContext, request: &EndpointRequest) -> Result<Sent, Rejection> {
    if request.site == Site::Unproved {
        return Err(Rejection::ForeignOrigin);
    }
    let mut form = Form::urlencoded(&request.headers, &request.body)?;
    let destination = Destination::read(context, request, |name| form.optional_text(name));
    Ok(match context.login_hosts.part_of(&request.host) {
        Part::Further { here, login } => {
            let return_to = destination.return_to();
            Sent::Elsewhere(sign_on::set_out(request, (&here, &login), return_to))
        }
        Part::Alone | Part::Login => Sent::Here(Box::new(form), destination),
    })
}

async fn enter(
    context: &EndpointContext,
    request: &EndpointRequest,
    mut form: Form,
) -> Result<Proved, Rejection> {
    let name = form.login_name("username");
    let password = form.password("password");
    let (name, password) = form.complete(name.zip(password))?;
    let shown = Credentials {
        name,
        password,
        refresh: None,
    };
    login::prove(context, request, &shown).await
}

fn keep_asked_for(form: &mut Form) -> Keep {
    match form.optional_text("remember") {
        Some(_) => Keep::Remembered,
        None => Keep::UntilClosed,
    }
}

/// Opens the session and sends the browser on.
async fn arrive(
    context: &EndpointContext,
    request: &EndpointRequest,
    destination: &Destination,
    proved: (Proof, Keep),
) -> Result<Response<Body>, Rejection> {
    let mut cookies = HeaderMap::new();
    let session = open(context, request, proved, &mut cookies).await?;
    let sent_on = destination.send_on(context, session).await?;
    let mut response = sent_on.ok_or(EndpointError::SignOnFailed)?;
    response.headers_mut().extend(cookies);
    Ok(response)
}

/// The login page once more, with what was wrong.
fn again(destination: &Destination, typed: &str, rejection: &Rejection) -> Response<Body> {
    let page = LoginPage {
        destination,
        name: typed,
        signed_in: None,
        refused: Some(rejection.told()),
        login: None,
    };
    page.response()
}

/// Opens a session of its own for the browser and sets its cookie. The session that the browser
/// had, whoever planted it, ends: after a login or a change of password no old id is worth
/// anything.
pub(super) async fn open(
    context: &EndpointContext,
    request: &EndpointRequest,
    (proof, keep): (Proof, Keep),
    headers: &mut HeaderMap,
) -> Result<BrowserSession, Rejection> {
    let accounts = &context.accounts;
    let opened = accounts
        .open_in_browser(&proof, request.device(), keep)
        .await?;
    let cookie = &request.session_cookie;
    if let Some(old) = cookie.shown(&request.headers) {
        accounts
            .end_session_of_cookie(old, &request.origin())
            .await?;
    }
    let session = cookie.set(&opened.cookie, opened.max_age);
    let device = device::remember(context, &proof.account);
    for field in [session, device].into_iter().flatten() {
        headers.append(header::SET_COOKIE, field);
    }
    Ok(opened.session)
}

/// How long the browser keeps the session that it has.
pub(super) fn keep_of(context: &EndpointContext, request: &EndpointRequest) -> Keep {
    let shown = shown_session(context, request);
    shown.map_or(Keep::UntilClosed, |session| session.keep)
}

/// The session that the browser's cookie names, whether or not it lives.
fn shown_session(context: &EndpointContext, request: &EndpointRequest) -> Option<BrowserSession> {
    let text = request.session_cookie.shown(&request.headers)?;
    context.accounts.read_cookie(text)
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
    if let Some(cleared) = request.session_cookie.clear() {
        response.headers_mut().append(header::SET_COOKIE, cleared);
    }
    Ok(response)
}

/// What stands in the URLs on the way of a login is nobody else's business.
fn redirect(location: HeaderValue) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
    for (name, value) in [
        (header::CONTENT_LENGTH, "0"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
