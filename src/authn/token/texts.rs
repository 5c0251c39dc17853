//! The texts of a claims set that requests need, packed into one piece of memory: those of one caller
//! among many are cold, and what is cold is fetched line by line and page by page.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{ATTRIBUTES, TokenError};

/// `iss` and `aud` as they stand in the token; then each claim and attribute that can be the value of a
/// header field: its name and that value.
#[derive(Clone, Debug)]
pub(super) struct Texts {
    /// Each behind its length.
    packed: Box<[u8]>,
    has_issuer: bool,
    audiences: usize,
}

/// Takes one text after the other off a pack.
struct Unpacking<'p>(&'p [u8]);

impl Texts {
    pub(super) fn read(all: &Map<String, Value>) -> Result<Self, TokenError> {
        let issuer = super::text(all, "iss")?;
        let audience = audience(all)?;
        let mut packed = Vec::with_capacity(512);
        for text in issuer.iter().chain(&audience) {
            pack(&mut packed, text);
        }
        let mut pack_field = |name: &str, value: &Value| {
            if let Some(value) = field_value(value) {
                pack(&mut packed, name);
                pack(&mut packed, &value);
            }
        };
        let attributes = all.get(ATTRIBUTES).and_then(Value::as_object);
        for (name, value) in attributes.into_iter().flatten() {
            pack_field(&format!("{ATTRIBUTES}.{name}"), value);
        }
        for (name, value) in all {
            pack_field(name, value);
        }
        Ok(Self {
            packed: packed.into(),
            has_issuer: issuer.is_some(),
            audiences: audience.len(),
        })
    }

    pub(super) fn issuer(&self) -> Option<&[u8]> {
        let first = Unpacking(&self.packed).next();
        first.filter(|_| self.has_issuer)
    }

    pub(super) fn audience(&self) -> impl Iterator<Item = &[u8]> {
        let behind_issuer = usize::from(self.has_issuer);
        let texts = Unpacking(&self.packed);
        texts.skip(behind_issuer).take(self.audiences)
    }

    /// The value of a header field that is made of this claim.
    pub(super) fn field(&self, name: &str) -> Option<&[u8]> {
        let mut texts = Unpacking(&self.packed);
        for _ in 0..usize::from(self.has_issuer) + self.audiences {
            texts.next();
        }
        while let (Some(named), Some(value)) = (texts.next(), texts.next()) {
            if named == name.as_bytes() {
                return Some(value);
            }
        }
        None
    }
}

fn pack(packed: &mut Vec<u8>, text: &str) {
    packed.extend_from_slice(&text.len().to_ne_bytes());
    packed.extend_from_slice(text.as_bytes());
}

impl<'p> Iterator for Unpacking<'p> {
    type Item = &'p [u8];

    fn next(&mut self) -> Option<&'p [u8]> {
        let (length, rest) = self.0.split_first_chunk()?;
        let (text, rest) = rest.split_at_checked(usize::from_ne_bytes(*length))?;
        self.0 = rest;
        Some(text)
    }
}

/// `aud`: one string or a list of strings (RFC 7519 §4.1.3).
fn audience(all: &Map<String, Value>) -> Result<Vec<&str>, TokenError> {
    match all.get("aud") {
        None => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![one]),
        Some(Value::Array(many)) if !many.is_empty() => many
            .iter()
            .map(Value::as_str)
            .collect::<Option<_>>()
            .ok_or(TokenError::Claim("aud")),
        Some(_) => Err(TokenError::Claim("aud")),
    }
}

/// A claim as the value of a header field: text and numbers as they are, lists joined by commas,
/// everything that is not printable ASCII as percent-encoded UTF-8. `None` for objects and `null`.
fn field_value(claim: &Value) -> Option<String> {
    let mut text = String::new();
    match claim {
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                push_scalar(&mut text, item, is_plain_item)?;
            }
        }
        value => push_scalar(&mut text, value, is_plain)?,
    }
    Some(text)
}

fn push_scalar(text: &mut String, value: &Value, plain: fn(u8) -> bool) -> Option<()> {
    match value {
        Value::String(value) => push_encoded(text, value, plain),
        Value::Number(value) => write!(text, "{value}").ok()?,
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    }
    Some(())
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

/// Within a list a comma would begin another item: `["a,admin"]` is one role, not two.
fn is_plain_item(byte: u8) -> bool {
    is_plain(byte) && byte != b','
}

/// Plain text stands as it is, a `%` in it too; where something is encoded, so is `%`.
fn push_encoded(text: &mut String, value: &str, plain: fn(u8) -> bool) {
    if value.bytes().all(plain) {
        text.push_str(value.trim());
        return;
    }
    for byte in value.bytes() {
        if plain(byte) && byte != b'%' {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(json: &str) -> Texts {
        Texts::read(&serde_json::from_str(json).unwrap()).unwrap()
    }

    #[test]
    fn issuer_and_audience_are_told_apart_whichever_is_there() {
        for (json, issuer, audience) in [
            (r#"{"sub":"1"}"#, None, &[][..]),
            (r#"{"iss":"i","sub":"1"}"#, Some("i"), &[]),
            (r#"{"aud":"a","sub":"1"}"#, None, &["a"]),
            (
                r#"{"aud":["a",""],"iss":"","sub":"1"}"#,
                Some(""),
                &["a", ""],
            ),
        ] {
            let texts = texts(json);
            assert_eq!(texts.issuer(), issuer.map(str::as_bytes), "{json}");
            let meant: Vec<_> = texts.audience().collect();
            let expected: Vec<_> = audience.iter().map(|text| text.as_bytes()).collect();
            assert_eq!(meant, expected, "{json}");
            assert_eq!(texts.field("sub"), Some(&b"1"[..]), "{json}");
        }
    }

    #[test]
    fn claims_become_printable_values() {
        let texts = texts(
            r#"{"sub":"1","exp":1,"name":"Zoë %","roles":["a","b"],"n":7,"o":{},"plain":"50%",
                "groups":["a,admin","b"],"title":"O'Neil, Jr."}"#,
        );
        for (claim, value) in [
            ("name", Some("Zo%C3%AB %25")),
            ("roles", Some("a,b")),
            ("n", Some("7")),
            ("plain", Some("50%")),
            ("groups", Some("a%2Cadmin,b")),
            ("title", Some("O'Neil, Jr.")),
            ("o", None),
            ("absent", None),
        ] {
            assert_eq!(texts.field(claim), value.map(str::as_bytes), "{claim}");
        }
    }
}
