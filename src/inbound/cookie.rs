//! The gateway's own cookies: their names, and taking them out of a `Cookie` field.

use http::HeaderValue;

/// Every cookie of ours begins so: none reaches an upstream, and none is taken from one.
pub const PREFIX: &str = "__Host-portcullis";

/// Holds the token of a device that logged in before (its own allowance in the lockout).
pub const DEVICE: &str = "__Host-portcullis-device";

/// Whether a cookie of this name is ours.
pub fn is_ours(name: &str) -> bool {
    name.get(..PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// The value of the cookie `name` in a `Cookie` field.
pub fn find<'v>(field: &'v HeaderValue, name: &str) -> Option<&'v str> {
    pairs(field.to_str().ok()?).find_map(|(key, value)| (key == name).then_some(value))
}

/// `field` without our cookies: `None` when nothing is left, the same field when none was ours.
pub fn without_ours(field: &HeaderValue) -> Option<HeaderValue> {
    let Ok(text) = field.to_str() else {
        // Bytes that are not ASCII cannot be read as pairs: nothing of it goes on.
        return None;
    };
    if !pairs(text).any(|(name, _)| is_ours(name)) {
        return Some(field.clone());
    }
    let kept: Vec<String> = pairs(text)
        .filter(|(name, _)| !is_ours(name))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if kept.is_empty() {
        None
    } else {
        HeaderValue::try_from(kept.join("; ")).ok()
    }
}

fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(';')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.trim(), value.trim())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_cookies_are_taken_out_and_the_rest_stays() {
        for (field, left) in [
            ("a=1; b=2", Some("a=1; b=2")),
            ("__Host-portcullis-device=x; b=2", Some("b=2")),
            ("__host-PORTCULLIS-session=x", None),
            ("a=1;__Host-portcullis=x;;b", Some("a=1; b=")),
        ] {
            let left = left.map(HeaderValue::from_static);
            assert_eq!(
                without_ours(&HeaderValue::from_static(field)),
                left,
                "{field}"
            );
        }
    }
}
