//! What is remembered of one request while it is on its way: for its log line, and for the shape of
//! a refusal.

use http::{HeaderMap, Method, Request, Response, header};

use super::Gateway;
use crate::access::AccessEntry;
use crate::authn::{Caller, CookieFate};
use crate::body::Body;
use crate::clock::Timestamp;
use crate::inbound::{HandsOn, Inbound, Peer, RequestId, cookie};
use crate::rejection::{Asked, Audience, LoginRedirect, Rejection, Shape};
use crate::route::{Found, Route};
use crate::snapshot::Snapshot;

pub(super) struct Account {
    entry: AccessEntry,
    method: Method,
    audience: Audience,
    shape: Shape,
    login_page: Option<&'static str>,
    login: Option<LoginRedirect>,
    /// What the answer does to the browser's session cookie.
    cookie: CookieFate,
}

impl Account {
    pub(super) fn begin<B>(
        gateway: &Gateway,
        snapshot: &Snapshot,
        peer: &Peer,
        req: &Request<B>,
    ) -> Self {
        Self {
            entry: AccessEntry::begin(&gateway.recorder, gateway.ids.next(), peer, req),
            method: req.method().clone(),
            audience: Audience::of(req.method(), req.headers()),
            shape: snapshot.default_shape,
            login_page: snapshot.login_page,
            login: None,
            cookie: CookieFate::Leave,
        }
    }

    /// Another proxy asks about `req`, and hands so much of the answer on to its client.
    pub(super) fn verifies(&mut self, req: &Inbound, hands_on: HandsOn) {
        self.entry.verifies(req);
        let audience = Audience::of(&req.method, &req.headers);
        self.audience = match hands_on {
            HandsOn::Answer => audience,
            // Nobody would ever see the page, or follow the redirect.
            HandsOn::Verdict => audience.behind_proxy(),
        };
        self.knows_target(req);
    }

    pub(super) fn id(&self) -> RequestId {
        self.entry.id()
    }

    pub(super) fn parsed(&mut self, req: &Inbound) {
        self.entry.parsed(req);
        self.method = req.method.clone();
        self.knows_target(req);
    }

    /// A person who has to log in comes back to what was asked for.
    fn knows_target(&mut self, req: &Inbound) {
        let navigates = self.audience.is_a_person();
        let page = self.login_page.filter(|_| navigates);
        self.login = page.map(|page| LoginRedirect {
            page,
            return_to: req.path.target().clone(),
        });
    }

    /// From here every refusal has the route's shape.
    pub(super) fn routed(&mut self, found: &Found<'_>) {
        match found {
            Found::Route(route) => {
                self.entry.routed(route);
                self.shape = route.errors;
                if !route.credentials.cookie {
                    // A session would not help here.
                    self.login = None;
                }
            }
            Found::OtherMethods { shape, .. } => self.shape = *shape,
            Found::Nothing => {}
        }
    }

    pub(super) fn identified(&mut self, caller: &Caller, cookie: CookieFate) {
        self.entry.identified(caller);
        self.cookie = cookie;
    }

    pub(super) fn permitted(&mut self, route: &Route) {
        self.entry.permitted(route);
    }

    pub(super) fn rejected(&mut self, rejection: Rejection, at: Timestamp) -> Response<Body> {
        self.entry.rejected(rejection.code(), &rejection);
        if let Rejection::Authn(error) = &rejection {
            self.cookie = error.cookie_fate();
        }
        rejection.into_response(&Asked {
            login: self.login.take(),
            shape: self.shape,
            audience: self.audience,
            method: self.method.clone(),
            id: self.entry.id(),
            at,
        })
    }

    pub(super) fn answered(self, res: &mut Response<Body>) {
        write_cookie(self.cookie, res.headers_mut());
        self.entry.answered(res);
    }
}

/// An endpoint that sets or clears the cookie itself has the last word. On an answer that caches may
/// give to others there is none (RFC 9111 §7.3): they would get this session, or lose theirs. Another
/// answer renews or clears it.
fn write_cookie(fate: CookieFate, headers: &mut HeaderMap) {
    let field = match fate {
        CookieFate::Leave => return,
        CookieFate::Clear(cookie) => cookie.clear(),
        CookieFate::Renew(field) => Some(field),
    };
    if !is_for_all(headers)
        && !cookie::sets_session(headers)
        && let Some(field) = field
    {
        headers.append(header::SET_COOKIE, field);
    }
}

/// Whether a cache that many share may keep the answer: it says for how long, or outright
/// (RFC 9111 §3), and nothing against it.
fn is_for_all(headers: &HeaderMap) -> bool {
    let directives = || {
        let fields = headers.get_all(header::CACHE_CONTROL).iter();
        let texts = fields.filter_map(|field| field.to_str().ok());
        let items = texts.flat_map(|text| text.split(','));
        items.map(|item| item.split_once('=').unwrap_or((item, "")))
    };
    let says = |wanted: &str| {
        directives().any(|(name, value)| {
            name.trim().eq_ignore_ascii_case(wanted) && value.trim().trim_matches('"') != "0"
        })
    };
    ["public", "s-maxage", "max-age"].into_iter().any(says)
        && !["private", "no-store"].into_iter().any(says)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::inbound::cookie::SessionCookie;

    #[test]
    fn an_answer_that_caches_share_does_nothing_to_a_cookie() {
        for (said, kept) in [
            ("public", true),
            ("public, max-age=0", true),
            ("s-maxage=60", true),
            ("max-age=60", true),
            ("Max-Age = \"60\"", true),
            ("max-age=0", false),
            ("no-cache", false),
            ("max-age=60, private", false),
            ("Private=\"set-cookie\", max-age=60", false),
            ("no-store", false),
            ("", false),
        ] {
            let renewed = HeaderValue::from_static("__Host-portcullis-session=x");
            for fate in [
                CookieFate::Renew(renewed),
                CookieFate::Clear(SessionCookie::OfHost),
            ] {
                let mut headers = HeaderMap::new();
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(said));
                write_cookie(fate, &mut headers);
                assert_eq!(!headers.contains_key(header::SET_COOKIE), kept, "{said}");
            }
        }
    }
}
