//! The pages of a login, which needs no scripts: the password, then perhaps a code.

use http::Response;

use super::page::Page;
use super::sign_on::{Destination, Visit};
use super::{ACCOUNT_FACTOR, LOGIN, LOGIN_SECOND, LOGOUT};
use crate::accounts::Keep;
use crate::body::Body;
use crate::html::escape;
use crate::rejection::Told;

/// What the first page says.
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

/// What the second page says, for somebody who has a second factor.
pub(super) struct CodePage<'a> {
    pub destination: &'a Destination,
    pub challenge: &'a str,
    pub keep: Keep,
    /// Why somebody was not let in.
    pub refused: Option<Told>,
}

impl LoginPage<'_> {
    pub fn response(&self) -> Response<Body> {
        self.page().response()
    }

    fn page(&self) -> Page<'_> {
        let Self {
            destination,
            name,
            signed_in,
            refused,
            login,
        } = self;
        let target = escape(&destination.url());
        let signed_in = signed_in.map_or_else(String::new, |who| {
            format!(
                "<p>You are signed in as {}. <a href=\"{target}\">Go on</a></p>\
                 <p><a href=\"{ACCOUNT_FACTOR}\">Second factor</a></p>\
                 <form method=\"post\" action=\"{LOGOUT}\"><button>Sign out</button></form>",
                escape(who)
            )
        });
        let form = match login {
            Some(_) => String::new(),
            None => form(destination, name),
        };
        Page {
            title: "Sign in",
            refused: refused.as_ref(),
            content: format!("{signed_in}{form}"),
            leads_to: login.or(destination.visit().map(Visit::origin)),
        }
    }
}

impl CodePage<'_> {
    pub fn response(&self) -> Response<Body> {
        let (challenge, hidden) = (escape(self.challenge), hidden(self.destination));
        let remember = match self.keep {
            Keep::UntilClosed => "",
            Keep::Remembered => "<input type=\"hidden\" name=\"remember\" value=\"1\">",
        };
        let content = format!(
            "<form id=\"login\" method=\"post\" action=\"{LOGIN_SECOND}\">{hidden}{remember}\
             <input type=\"hidden\" name=\"challenge\" value=\"{challenge}\">\
             <label>Code of your authenticator app, or a recovery code \
             <input type=\"text\" name=\"code\" autocomplete=\"one-time-code\" \
             autocapitalize=\"none\" required autofocus></label>\
             <button>Sign in</button></form>"
        );
        let page = Page {
            title: "Sign in",
            refused: self.refused.as_ref(),
            content,
            leads_to: self.destination.visit().map(Visit::origin),
        };
        page.response()
    }
}

/// Where one goes on to, as the form says it.
fn hidden(destination: &Destination) -> String {
    let return_to = escape(destination.return_to().as_str());
    let visit = destination.visit().map_or_else(String::new, |visit| {
        let (host, ticket) = (escape(visit.host()), visit.ticket);
        format!(
            "<input type=\"hidden\" name=\"host\" value=\"{host}\">\
             <input type=\"hidden\" name=\"ticket\" value=\"{ticket}\">"
        )
    });
    format!("{visit}<input type=\"hidden\" name=\"return_to\" value=\"{return_to}\">")
}

fn form(destination: &Destination, name: &str) -> String {
    let (name, hidden) = (escape(name), hidden(destination));
    format!(
        "<form id=\"login\" method=\"post\" action=\"{LOGIN}\">{hidden}\
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
    use super::super::return_to::ReturnTo;
    use super::*;

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
        let html = page.page().html();
        assert!(!html.contains("<script"), "{html}");
        assert!(html.contains("/a?q=&quot;&#39;&lt;&gt;&amp;") || html.contains("value=\"/\""));
    }
}
