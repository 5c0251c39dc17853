//! The page that a person sees whose browser was refused.

use super::Asked;
use super::refusal::Refusal;
use crate::html::escape;

/// Nothing may run, load or frame; only the page's own style is applied.
pub(super) const POLICY: &str = "default-src 'none'; \
    style-src 'sha256-lpzFOI+mrMgiEmwm+dZxLMuMtP8M/ufFi7OO4FH99oA='; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem;color:#222;background:#fff}h1{font-size:1.4rem}small{color:#666}";

/// The page holds our own words only: nothing of the request is in it but the id that we gave, and,
/// where a login helps, the path to come back to.
pub(super) fn page(refusal: &Refusal, asked: &Asked) -> String {
    let status = refusal.reason.status();
    let title = escape(status.canonical_reason().unwrap_or("Error"));
    let message = escape(&refusal.message());
    let code = status.as_u16();
    let id = escape(&asked.id.to_string());
    let login = asked.login.as_ref();
    let login = login.filter(|_| refusal.reason.asks_for_login());
    let login = login.map_or_else(String::new, |login| {
        format!(
            "<p><a href=\"{}\">Sign in</a></p>",
            escape(&login.location())
        )
    });
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>{code} {title}</title><style>{STYLE}</style></head>\
         <body><h1>{code} {title}</h1><p>{message}.</p>{login}<p><small>{id}</small></p></body></html>\n"
    )
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
