//! What our own pages have in common: HTML that nothing runs in, loads into or frames.

use http::{HeaderValue, Response, StatusCode, header};

use crate::body::Body;
use crate::html::escape;
use crate::rejection::Told;

/// Nothing may run, load or frame; forms go to this origin only. Browsers also hold the redirects
/// that answer a form against it, so that of another host is added where one leads there.
const POLICY: &str = "default-src 'none'; \
    style-src 'sha256-ivArz4SkWw0ox1RGDhHRJM+m4+vKOLfJDq1eAREgtFA='; \
    base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:22rem;margin:12vh auto;padding:0 1rem;color:#222;background:#fff}h1{font-size:1.4rem}label{display:block;margin:.8rem 0}input[type=text],input[type=password]{display:block;width:100%;box-sizing:border-box;font:inherit;padding:.4rem}button{font:inherit;padding:.4rem 1rem}[role=alert]{border-left:.3rem solid #b00;padding-left:.7rem}";

/// One page of ours.
pub(super) struct Page<'a> {
    pub title: &'static str,
    /// Why what was asked for was not done.
    pub refused: Option<&'a Told>,
    /// Markup, with whatever is not ours escaped.
    pub content: String,
    /// The other origin that a form of it may lead to.
    pub leads_to: Option<&'a str>,
}

impl Page<'_> {
    pub fn response(&self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.html()));
        *response.status_mut() = self.refused.map_or(StatusCode::OK, |told| told.status);
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
        if let Some(seconds) = self.refused.and_then(|told| told.retry_after) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    pub fn html(&self) -> String {
        let Self { title, content, .. } = self;
        let refused = self.refused.map_or_else(String::new, |told| {
            format!("<p role=\"alert\">{}.</p>", escape(&told.message))
        });
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <title>{title}</title><style>{STYLE}</style></head>\
             <body><h1>{title}</h1>{refused}{content}</body></html>\n"
        )
    }

    fn policy(&self) -> String {
        match self.leads_to {
            Some(origin) => format!("{POLICY} {origin}"),
            None => String::from(POLICY),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn the_policy_names_the_style_that_the_page_has() {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes());
        let expected = format!("'sha256-{}'", STANDARD.encode(digest));
        assert!(POLICY.contains(&expected), "{expected}");
    }
}
