//! The login page: our own HTML, escaped, without scripts.

use http::{HeaderValue, Response, StatusCode, header};

use super::sign_on::{Destination, Visit};
use super::{LOGIN, LOGOUT};
use crate::body::Body;
use crate::html::escape;
use crate::rejection::Told;

/// Nothing may run, load or frame; forms go to this origin only. Browsers also hold the redirects
/// that answer a form against it, so that of another host is added where one leads there.
const POLICY: &str = "default-src 'none'; \
    style-src 'sha256-ivArz4SkWw0ox1RGDhHRJM+m4+vKOLfJDq1eAREgtFA='; \
    base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:22rem;margin:12vh auto;padding:0 1rem;color:#222;background:#fff}h1{font-size:1.4rem}label{display:block;margin:.8rem 0}input[type=text],input[type=password]{display:block;width:100%;box-sizing:border-box;font:inherit;padding:.4rem}button{font:inherit;padding:.4rem 1rem}[role=alert]{border-left:.3rem solid #b00;padding-left:.7rem}";

/// What the page says.
pub(super) struct LoginPage<'a> {
    pub destination: &'a Destination,
    /// The login name that was typed.
    pub name: &'a str,
    /// Who is signed in on this browser.
    pub signed_in: Option<&'a str>,
    /// Why somebody was not let in.
    pub refused: Option<Told>,
    /// The origin where people log in, when they do not here: then there is no form for it.
    pub login: Option<&'a str>,
}

impl LoginPage<'_> {
    pub fn response(&self) -> Response<Body> {
        let html = self.html();
        let status = self.refused.as_ref().map_or(StatusCode::OK, |t| t.status);
        let mut response = Response::new(Body::from(html));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::X_FRAME_OPTIONS, "DENY"),
            // what one returns to is nobody else's business; the form's origin is ours to see
            (header::REFERRER_POLICY, "same-origin"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Ok(policy) = HeaderValue::try_from(self.policy()) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        if let Some(seconds) = self.refused.as_ref().and_then(|told| told.retry_after) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    fn policy(&self) -> String {
        let leads_to = self.login.or(self.destination.visit().map(Visit::origin));
        match leads_to {
            Some(origin) => format!("{POLICY} {origin}"),
            None => String::from(POLICY),
        }
    }

    fn html(&self) -> String {
        let Self {
            destination,
            name,
            signed_in,
            refused,
            login,
        } = self;
        let target = escape(&destination.url());
        let refused = refused.as_ref().map_or_else(String::new, |told| {
            format!("<p role=\"alert\">{}.</p>", escape(&told.message))
        });
        let signed_in = signed_in.map_or_else(String::new, |who| {
            format!(
                "<p>You are signed in as {}. <a href=\"{target}\">Go on</a></p>\
                 <form method=\"post\" action=\"{LOGOUT}\"><button>Sign out</button></form>",
                escape(who)
            )
        });
        let form = match login {
            Some(_) => String::new(),
            None => form(destination, name),
        };
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <title>Sign in</title><style>{STYLE}</style></head>\
             <body><h1>Sign in</h1>{signed_in}{refused}{form}</body></html>\n"
        )
    }
}

fn form(destination: &Destination, name: &str) -> String {
    let (name, return_to) = (escape(name), escape(destination.return_to().as_str()));
    let visit = destination.visit().map_or_else(String::new, |visit| {
        let (host, ticket) = (escape(visit.host()), visit.ticket);
        format!(
            "<input type=\"hidden\" name=\"host\" value=\"{host}\">\
             <input type=\"hidden\" name=\"ticket\" value=\"{ticket}\">"
        )
    });
    format!(
        "<form id=\"login\" method=\"post\" action=\"{LOGIN}\">{visit}\
         <input type=\"hidden\" name=\"return_to\" value=\"{return_to}\">\
         <label>E-mail or username <input type=\"text\" name=\"username\" value=\"{name}\" \
         autocomplete=\"username\" autocapitalize=\"none\" required></label>\
         <label>Password <input type=\"password\" name=\"password\" \
         autocomplete=\"current-password\" required></label>\
         <label><input type=\"checkbox\" name=\"remember\" value=\"1\"> Stay signed in</label>\
         <button>Sign in</button></form>"
    )
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::super::return_to::ReturnTo;
    use super::*;

    #[test]
    fn the_policy_names_the_style_that_the_page_has() {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes());
        let expected = format!("'sha256-{}'", STANDARD.encode(digest));
        assert!(POLICY.contains(&expected), "{expected}");
    }

    #[test]
    fn what_was_typed_and_asked_for_stays_text() {
        let markup = "\"><script>alert(1)</script>";
        let page = LoginPage {
            destination: &Destination::Here(ReturnTo::parse("/a?q=\"'<>&")),
            name: markup,
            signed_in: Some(markup),
            refused: None,
            login: None,
        };
        let html = page.html();
        assert!(!html.contains("<script"), "{html}");
        assert!(html.contains("/a?q=&quot;&#39;&lt;&gt;&amp;") || html.contains("value=\"/\""));
    }
}
