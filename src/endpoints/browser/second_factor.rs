//! The page on which people set up a second factor, and remove it again.

use http::{HeaderMap, Response};
use qrcodegen::{QrCode, QrCodeEcc};

use super::page::Page;
use super::sign_on::location;
use super::{ACCOUNT_FACTOR, BrowserEndpoint, keep_of, open, redirect};
use crate::accounts::{
    FactorState, OfferedFactor, Proof, RecoveryCode, SecondFactorError, ShownCode,
};
use crate::body::Body;
use crate::endpoints::form::Form;
use crate::endpoints::{EndpointContext, EndpointRequest, login, second_factor};
use crate::html::escape;
use crate::rejection::{Rejection, Told};

const TITLE: &str = "Second factor";

/// Around a QR code, in modules (ISO/IEC 18004 §6.3.8).
const QUIET: i32 = 4;

/// Answers what one of its forms sent. What was wrong is said on the page. A further host takes no
/// passwords, and sends to the page of the login host.
pub(super) async fn answer(
    endpoint: BrowserEndpoint,
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    if let Some(login) = context.login_hosts.part_of(&request.host).login_elsewhere() {
        return Ok(redirect(location(&format!("{login}{ACCOUNT_FACTOR}"))));
    }
    let done = match endpoint {
        BrowserEndpoint::OfferFactor => offer(context, request).await,
        BrowserEndpoint::ConfirmFactor => confirm(context, request).await,
        BrowserEndpoint::ReplaceCodes => replace_codes(context, request).await,
        BrowserEndpoint::RemoveFactor => remove(context, request).await,
        BrowserEndpoint::Factor
        | BrowserEndpoint::Page
        | BrowserEndpoint::Login
        | BrowserEndpoint::LoginSecond
        | BrowserEndpoint::Logout
        | BrowserEndpoint::Code => show(context, request, None).await,
    };
    match done {
        Ok(response) => Ok(response),
        // The app has the secret already: another one would have to be scanned again.
        Err(
            rejection @ (Rejection::SecondFactor(SecondFactorError::Wrong)
            | Rejection::InvalidBody(_)
            | Rejection::Locked(_)),
        ) if endpoint == BrowserEndpoint::ConfirmFactor => Ok(page(
            code_form("confirm", "Confirm"),
            Some(&rejection.told()),
        )),
        Err(rejection) => show(context, request, Some(&rejection.told())).await,
    }
}

/// What the account has, and what can be done about it.
pub(super) async fn show(
    context: &EndpointContext,
    request: &EndpointRequest,
    refused: Option<&Told>,
) -> Result<Response<Body>, Rejection> {
    let account = login::owner(context, request).await?;
    let state = context.accounts.second_factor(account.id).await?;
    let content = match (state, context.accounts.offers_second_factors()) {
        (Some(state), _) => has_one(state),
        (None, true) => has_none(),
        (None, false) => String::from("<p>Second factors are not offered here.</p>"),
    };
    Ok(page(content, refused))
}

async fn offer(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let mut form = Form::urlencoded(&request.headers, &request.body)?;
    let password = form.password("password");
    let password = form.complete(password)?;
    let offered = second_factor::offer(context, request, password).await?;
    let code_form = code_form("confirm", "Confirm");
    Ok(page(format!("{}{code_form}", to_scan(&offered)), None))
}

async fn confirm(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let code = read_code(request)?;
    let (proof, codes) = second_factor::confirm(context, request, &code).await?;
    go_on(context, request, proof, &listed(&codes)).await
}

async fn replace_codes(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let code = read_code(request)?;
    let codes = second_factor::replace_codes(context, request, &code).await?;
    Ok(page(listed(&codes), None))
}

async fn remove(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let code = read_code(request)?;
    let proof = second_factor::remove(context, request, &code).await?;
    let removed = "<p>The second factor is removed. Your password alone lets you in now.</p>";
    go_on(context, request, proof, removed).await
}

fn read_code(request: &EndpointRequest) -> Result<ShownCode, Rejection> {
    let mut form = Form::urlencoded(&request.headers, &request.body)?;
    let code = form.code("code");
    Ok(form.complete(code)?)
}

/// The page, with the session that takes the place of the one that asked.
async fn go_on(
    context: &EndpointContext,
    request: &EndpointRequest,
    proof: Proof,
    content: &str,
) -> Result<Response<Body>, Rejection> {
    let mut cookies = HeaderMap::new();
    let keep = keep_of(context, request);
    open(context, request, (proof, keep), &mut cookies).await?;
    let mut response = page(format!("{content}<p><a href=\"/\">Go on</a></p>"), None);
    response.headers_mut().extend(cookies);
    Ok(response)
}

fn page(content: String, refused: Option<&Told>) -> Response<Body> {
    let page = Page {
        title: TITLE,
        refused,
        content,
        leads_to: None,
    };
    page.response()
}

fn has_none() -> String {
    format!(
        "<p>With a second factor, your password alone lets nobody in: a code of an authenticator \
         app on your phone is asked for, too.</p>\
         <form method=\"post\" action=\"{ACCOUNT_FACTOR}\">\
         <label>Your password <input type=\"password\" name=\"password\" \
         autocomplete=\"current-password\" required></label><button>Set up</button></form>"
    )
}

fn has_one(state: FactorState) -> String {
    let since = state.since.rfc3339();
    let date = since.split('T').next().unwrap_or_default();
    let (replace, remove) = (
        code_form("recovery-codes", "New recovery codes"),
        code_form("remove", "Remove"),
    );
    format!(
        "<p>Your account has a second factor since {date}. Recovery codes that are left: {}.</p>\
         {replace}{remove}",
        state.recovery_codes
    )
}

fn code_form(action: &str, button: &str) -> String {
    format!(
        "<form method=\"post\" action=\"{ACCOUNT_FACTOR}/{action}\">\
         <label>Code <input type=\"text\" name=\"code\" autocomplete=\"one-time-code\" \
         autocapitalize=\"none\" required></label><button>{button}</button></form>"
    )
}

fn to_scan(offered: &OfferedFactor) -> String {
    let picture = QrCode::encode_text(&offered.uri, QrCodeEcc::Medium).map(|code| svg(&code));
    // Without a picture the text is enough.
    let picture = picture.unwrap_or_default();
    format!(
        "<p>Scan this with your authenticator app, or type the key <code>{}</code> into it; then \
         enter the code that it shows.</p>{picture}",
        escape(&grouped(&offered.secret))
    )
}

/// The dark modules as one path, with nothing that a policy would have to allow.
fn svg(code: &QrCode) -> String {
    let size = code.size();
    let whole = size + 2 * QUIET;
    let mut dark = String::new();
    for (x, y) in (0..size).flat_map(|y| (0..size).map(move |x| (x, y))) {
        if code.get_module(x, y) {
            dark.push_str(&format!("M{},{}h1v1h-1z", x + QUIET, y + QUIET));
        }
    }
    format!(
        "<svg role=\"img\" aria-label=\"QR code\" width=\"264\" height=\"264\" \
         viewBox=\"0 0 {whole} {whole}\" shape-rendering=\"crispEdges\">\
         <path fill=\"#fff\" d=\"M0,0h{whole}v{whole}h-{whole}z\"/>\
         <path fill=\"#000\" d=\"{dark}\"/></svg>"
    )
}

fn listed(codes: &[RecoveryCode]) -> String {
    let items = codes.iter().map(|code| {
        let text = escape(&code.expose());
        format!("<li><code>{text}</code></li>")
    });
    let items: String = items.collect();
    format!(
        "<p>These recovery codes let you in without your app, each once. Keep them where you keep \
         no password. They are not shown again, and those of before are worth nothing now.</p>\
         <ul>{items}</ul>"
    )
}

/// In groups of four: it is typed by people.
fn grouped(secret: &str) -> String {
    let groups = secret.as_bytes().chunks(4);
    let groups: Vec<_> = groups.map(String::from_utf8_lossy).collect();
    groups.join(" ")
}
