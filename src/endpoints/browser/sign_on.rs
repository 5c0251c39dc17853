//! Signing on to a further host: it sends the browser to the login host with a ticket of its own,
//! gets it back with a code, and takes that for the session.

use std::time::Duration;

use http::{HeaderValue, Response, header};

use super::hosts::{FurtherHost, Part};
use super::return_to::ReturnTo;
use super::{CODE, LOGIN, redirect};
use crate::accounts::{BrowserSession, GoodFor, Ticket, TicketDigest};
use crate::authn::Caller;
use crate::body::Body;
use crate::endpoints::{EndpointContext, EndpointError, EndpointRequest, form};
use crate::inbound::{cookie, query_value};
use crate::rejection::Rejection;

/// How long a person may take to log in. Later the page is asked for again, without a password.
const TICKET_LIFE: Duration = Duration::from_secs(3600);

/// Where somebody goes on to after the login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// On this host.
    Here(ReturnTo),
    /// On the further host that sent the browser.
    There(Visit, ReturnTo),
}

/// Which further host sent a browser, and what shows there that it is the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Visit {
    host: FurtherHost,
    pub ticket: TicketDigest,
}

impl Destination {
    /// Reads what the URL of the login page, or its form, says under these names.
    ///
    /// Only the login host sends people on to other hosts, and only to those that routes name. What
    /// was made up leads to the front page of this host.
    pub fn read(
        context: &EndpointContext,
        request: &EndpointRequest,
        mut said: impl FnMut(&'static str) -> Option<String>,
    ) -> Self {
        let return_to = ReturnTo::parse(&said("return_to").unwrap_or_default());
        let Some(name) = said("host") else {
            return Self::Here(return_to);
        };
        let hosts = &context.login_hosts;
        let here = hosts.part_of(&request.host);
        let host = hosts.further(&name).filter(|_| here == Part::Login);
        let ticket = TicketDigest::parse(&said("ticket").unwrap_or_default());
        match (host, ticket) {
            (Some(host), Ok(ticket)) => Self::There(Visit { host, ticket }, return_to),
            (Some(_), Err(_)) | (None, _) => Self::Here(ReturnTo::parse("/")),
        }
    }

    pub fn return_to(&self) -> &ReturnTo {
        match self {
            Self::Here(return_to) | Self::There(_, return_to) => return_to,
        }
    }

    pub fn visit(&self) -> Option<&Visit> {
        match self {
            Self::Here(_) => None,
            Self::There(visit, _) => Some(visit),
        }
    }

    /// Its URL, as a browser that is signed in there has it.
    pub fn url(&self) -> String {
        let origin = self.visit().map_or("", Visit::origin);
        format!("{origin}{}", self.return_to().as_str())
    }

    /// Sends the browser of this session on: to another host with a code, unless that host has the
    /// very same cookie. `None`: the session has just ended.
    pub async fn send_on(
        &self,
        context: &EndpointContext,
        session: BrowserSession,
    ) -> Result<Option<Response<Body>>, Rejection> {
        let (visit, return_to) = match self {
            Self::There(visit, return_to) if !visit.shares_cookie(context) => (visit, return_to),
            Self::Here(_) | Self::There(..) => return Ok(Some(redirect(location(&self.url())))),
        };
        let issued = context.accounts.issue_login_code(session, visit.good_for());
        let Some(code) = issued.await? else {
            return Ok(None);
        };
        let (origin, return_to) = (visit.origin(), query_value(return_to.as_str()));
        let target = format!("{origin}{CODE}?code={code}&return_to={return_to}");
        Ok(Some(redirect(location(&target))))
    }
}

impl Visit {
    /// The name of the host that the browser goes back to.
    pub fn host(&self) -> &str {
        self.host.host().name()
    }

    pub fn origin(&self) -> &str {
        self.host.origin()
    }

    /// Whether the cookie of the session that was opened here is there too: then it needs no code.
    pub fn shares_cookie(&self, context: &EndpointContext) -> bool {
        matches!(
            context.tokens.cookies.on(self.host.host()),
            cookie::SessionCookie::OfDomain(_)
        )
    }

    fn good_for(&self) -> GoodFor {
        GoodFor {
            host: self.host().to_owned(),
            ticket: self.ticket,
        }
    }
}

/// Sends a browser without a session from a further host to the login host. One that was sent there
/// a moment ago, by another tab, keeps its ticket: both come back with it.
pub(super) fn set_out(
    request: &EndpointRequest,
    (here, login): (&FurtherHost, &str),
    return_to: &ReturnTo,
) -> Response<Body> {
    let ticket = shown_ticket(request).unwrap_or_else(Ticket::random);
    let (host, digest) = (query_value(here.host().name()), ticket.digest());
    let return_to = query_value(return_to.as_str());
    let target = format!("{login}{LOGIN}?host={host}&ticket={digest}&return_to={return_to}");
    let mut response = redirect(location(&target));
    let kept = cookie::set(cookie::TICKET, ticket.expose(), TICKET_LIFE);
    if let Some(field) = kept {
        response.headers_mut().append(header::SET_COOKIE, field);
    }
    response
}

/// Takes a code for the session that it stands for, on the host and in the browser that it is good
/// for. Whoever has a session here already needs none.
pub(super) async fn arrive(
    context: &EndpointContext,
    request: &EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let query = request.path.query().unwrap_or_default();
    let said = form::urlencoded::parse(query.as_bytes()).unwrap_or_default();
    let value = |wanted: &str| said.iter().find(|(name, _)| name == wanted);
    let return_to = ReturnTo::parse(value("return_to").map_or("/", |(_, target)| target));
    let mut response = redirect(return_to.location());
    match &request.caller {
        Caller::Identified(_) => return Ok(response),
        Caller::Anonymous => {}
    }
    let Part::Further { here, .. } = context.login_hosts.part_of(&request.host) else {
        return Err(EndpointError::SignOnFailed.into());
    };
    let (Some((_, code)), Some(ticket)) = (value("code"), shown_ticket(request)) else {
        return Err(EndpointError::SignOnFailed.into());
    };
    let shown_for = GoodFor {
        host: here.host().name().to_owned(),
        ticket: ticket.digest(),
    };
    let origin = request.origin();
    let redeemed = context.accounts.redeem_login_code(code, shown_for, &origin);
    let opened = redeemed.await?.ok_or(EndpointError::SignOnFailed)?;
    let session = request.session_cookie.set(&opened.cookie, opened.max_age);
    let used_up = cookie::set(cookie::TICKET, "", Duration::ZERO);
    for field in [session, used_up].into_iter().flatten() {
        response.headers_mut().append(header::SET_COOKIE, field);
    }
    Ok(response)
}

fn shown_ticket(request: &EndpointRequest) -> Option<Ticket> {
    let shown = cookie::find(&request.headers, cookie::TICKET)?;
    Ticket::parse(shown).ok()
}

/// Hosts, tokens of base64url and clean paths: always a header's value.
pub(super) fn location(url: &str) -> HeaderValue {
    HeaderValue::try_from(url).unwrap_or(HeaderValue::from_static("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoints::browser::LoginHosts;
    use crate::endpoints::tests::gate::Gate;
    use crate::endpoints::{BrowserEndpoint, Endpoint};
    use crate::inbound::Host;

    const TICKET: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    #[tokio::test]
    async fn only_the_login_host_sends_people_on_and_only_to_hosts_that_routes_name() {
        let mut gate = Gate::open().await;
        let hosts = LoginHosts::sample(
            "login.example",
            &["app.example", "wiki.example", "*.wiki.example"],
        );
        gate.context.login_hosts = hosts.into();
        let mut request = gate.request(Endpoint::Browser(BrowserEndpoint::Page));
        for (here, host, ticket, expected) in [
            (
                "login.example",
                "app.example",
                TICKET,
                "https://app.example/a?b=c",
            ),
            (
                "login.example",
                "wiki.example",
                TICKET,
                "https://wiki.example/a?b=c",
            ),
            ("login.example", "x.wiki.example", TICKET, "/"),
            ("login.example", "app.example", "", "/"),
            ("login.example", "app.example", &TICKET[1..], "/"),
            ("login.example", "evil.example", TICKET, "/"),
            ("login.example", "app.example@evil.example", TICKET, "/"),
            ("login.example", "app.example:1", TICKET, "/"),
            ("login.example", "login.example", TICKET, "/"),
            ("login.example", "", TICKET, "/"),
            ("app.example", "wiki.example", TICKET, "/"),
            ("other.example", "app.example", TICKET, "/"),
        ] {
            request.host = Host::parse(here.as_bytes()).unwrap();
            let said = |name: &str| match name {
                "host" => Some(host.to_owned()),
                "ticket" => Some(ticket.to_owned()),
                _ => Some(String::from("/a?b=c")),
            };
            let destination = Destination::read(&gate.context, &request, said);
            assert_eq!(destination.url(), expected, "{here} {host} {ticket}");
        }
        let said = |name: &str| (name == "return_to").then(|| String::from("//evil.example"));
        let destination = Destination::read(&gate.context, &request, said);
        assert_eq!(destination.url(), "/");
    }
}
