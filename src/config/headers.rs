//! The section `[headers]`, and `headers = { … }` of a route: what backends are told of the caller.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::reader::{FromToml, Table, Value, Wrong};
use super::tokens::Lifetime;
use super::units::ConfiguredSecret;
use crate::authn::{ATTRIBUTES, Minter, Tokens, minter};
use crate::outbound::DEFAULT_PATTERNS;
use crate::secret::refuse_weak;

/// What routes tell their backends, unless they say otherwise.
#[derive(Clone, Debug)]
pub struct Headers {
    /// Names and beginnings (`x-user-*`) that clients may not send on.
    pub reserved: Vec<String>,
    /// Header name and the claim that it carries.
    pub identity: Vec<(HeaderName, String)>,
    pub secret: Option<(HeaderName, HeaderValue)>,
    pub assertion: Option<(HeaderName, Arc<Minter>)>,
    /// The attributes that tokens carry: a header can have no others.
    attributes: Vec<Box<str>>,
}

/// Names that the gateway itself gives a meaning: an identity header of this name would break the
/// request, or be overwritten.
const TAKEN: [&str; 16] = [
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-real-ip",
    "x-request-id",
];

/// Fewest octets of the secret by which a backend knows the gateway: 128 random bits, in hexadecimal
/// or not.
const SHORTEST_SECRET: usize = 16;

impl Headers {
    /// Reads `[headers]`. Assertions are signed by a key of `tokens`.
    pub fn read(section: Option<Table<'_>>, tokens: Option<&Tokens>) -> Self {
        let mut headers = Self {
            reserved: DEFAULT_PATTERNS.map(str::to_owned).to_vec(),
            identity: [
                ("x-user-id", "sub"),
                ("x-user-email", "email"),
                ("x-user-name", "name"),
                ("x-user-roles", "roles"),
            ]
            .map(|(name, claim)| (HeaderName::from_static(name), claim.to_owned()))
            .to_vec(),
            secret: None,
            assertion: None,
            attributes: tokens
                .map(|tokens| tokens.attributes.clone())
                .unwrap_or_default(),
        };
        let Some(mut section) = section else {
            return headers;
        };
        headers.read_common(&mut section);
        if let Some(mut table) = section.table("secret") {
            let name = table.required::<FieldName>("name");
            let value = table.required::<ConfiguredSecret>("value");
            let field = value.and_then(|value| {
                refuse_weak_secret(&table, &value)?;
                let field = HeaderValue::from_bytes(value.secret.expose());
                field
                    .map_err(|_| table.wrong("value", "a header cannot hold these bytes"))
                    .ok()
            });
            headers.secret = name.zip(field).map(|(FieldName(name), mut field)| {
                field.set_sensitive(true);
                (name, field)
            });
            table.finish();
        }
        headers.assertion = section
            .table("assertion")
            .and_then(|table| read_assertion(table, tokens?));
        section.finish();
        headers
    }

    /// These headers with what `section` of a route changes.
    #[must_use]
    pub fn narrowed(&self, section: Option<Table<'_>>) -> Self {
        let mut headers = self.clone();
        if let Some(mut section) = section {
            headers.read_common(&mut section);
            section.finish();
        }
        headers
    }

    fn read_common(&mut self, section: &mut Table<'_>) {
        if section.has("reserved") {
            self.reserved = section.list::<String>("reserved");
        }
        if let Some(table) = section.table("identity") {
            self.identity = table
                .entries()
                .into_iter()
                .filter_map(|(name, claim)| {
                    let name = field_name(&name).map_err(|wrong| claim.report(wrong)).ok();
                    let written = claim.read::<String>()?;
                    match self.check_claim(&written) {
                        Ok(()) => Some((name?, written)),
                        Err(wrong) => {
                            claim.report(wrong);
                            None
                        }
                    }
                })
                .collect();
        }
    }
}

impl Headers {
    /// Requests are identified by their token alone: an attribute that is not in it is not known.
    fn check_claim(&self, claim: &str) -> Result<(), Wrong> {
        let attribute = claim
            .strip_prefix(ATTRIBUTES)
            .and_then(|rest| rest.strip_prefix('.'));
        match attribute {
            Some(name) if !self.attributes.iter().any(|known| **known == *name) => {
                Err(Wrong::Refused(format!(
                    "tokens do not carry the attribute `{name}`: list it in [tokens] attributes"
                )))
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn read_assertion(mut table: Table<'_>, tokens: &Tokens) -> Option<(HeaderName, Arc<Minter>)> {
    let default = FieldName(HeaderName::from_static("x-portcullis-assertion"));
    let name = table.or("name", default).0;
    let audience = table
        .optional::<String>("audience")
        .map(String::into_boxed_str);
    let lifetime = table.or("lifetime", Lifetime(minter::DEFAULT_LIFETIME)).0;
    let Some(key) = tokens.ring.asserting() else {
        let help = "add a [[tokens.key]] with use = \"assert\" and an asymmetric algorithm";
        table.wrong_with_help("name", "no key signs assertions", help);
        table.finish();
        return None;
    };
    table.finish();
    let minter = Minter::assertion(key.clone(), tokens.issuer.clone(), audience, lifetime);
    Some((name, Arc::new(minter)))
}

/// Whoever can guess the secret can speak to the backend as the gateway. Only development mode takes
/// such a one.
fn refuse_weak_secret(table: &Table<'_>, value: &ConfiguredSecret) -> Option<()> {
    let Err(error) = refuse_weak(&value.secret, SHORTEST_SECRET) else {
        return Some(());
    };
    if table.development() {
        return Some(());
    }
    let problem = format!("{}: {error}", value.origin);
    let help = "`openssl rand -base64 32` makes a good one";
    table.wrong_with_help("value", problem, help);
    None
}

/// The name of a header that the gateway may set.
pub(super) struct FieldName(pub(super) HeaderName);

impl FromToml for FieldName {
    const EXPECTED: &'static str = "a header name such as \"X-Gateway-Secret\"";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        let text = value
            .as_str()
            .ok_or_else(|| Wrong::Expected(Self::EXPECTED.to_owned()))?;
        field_name(text).map(Self)
    }
}

fn field_name(text: &str) -> Result<HeaderName, Wrong> {
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| Wrong::Refused(format!("`{text}` is not a header name")))?;
    let plain = name.as_str();
    if TAKEN.contains(&plain) || plain.starts_with("x-forwarded-") || plain.starts_with("sec-") {
        let problem = format!("the header `{plain}` has a meaning of its own: choose another name");
        return Err(Wrong::Refused(problem));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{reader, tokens};

    #[test]
    fn a_secret_that_anybody_may_guess_is_refused_and_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let read = |first_line: &str, secret: &str| {
            std::fs::write(folder.path().join("secret"), secret).unwrap();
            let value = "value = { file = \"secret\" }";
            let text =
                format!("{first_line}[headers]\nsecret = {{ name = \"X-Gate\", {value} }}\n");
            let file = folder.path().join("portcullis.toml");
            let read = reader::read(&file, &text, |mut root| {
                root.optional::<bool>("development");
                let headers = Headers::read(root.table("headers"), None);
                root.finish();
                Some(headers)
            });
            read.map_err(|wrong| wrong.to_string())
        };
        for (secret, expected) in [
            ("\n", "is empty"),
            ("dev-secret-change-me\n", "a sample"),
            ("8Lw4Rf7Nc1Hs6Yd\n", "fewer than 16 bytes"),
        ] {
            let told = read("", secret).unwrap_err();
            assert!(told.contains(expected), "{told}");
            assert!(secret.trim().is_empty() || !told.contains(secret.trim()));
        }
        assert!(read("", "8Lw4Rf7Nc1Hs6Yd3\n").is_ok());
        assert!(read("development = true\n", "dev-secret-change-me\n").is_ok());
    }

    #[test]
    fn an_assertion_that_is_over_when_it_is_made_is_refused() {
        for (lifetime, good) in [("0s", false), ("999ms", false), ("1s", true), ("1m", true)] {
            let text = format!(
                "development = true\n[headers]\nassertion = {{ lifetime = \"{lifetime}\" }}\n"
            );
            let read = reader::read(Path::new("p.toml"), &text, |mut root| {
                root.optional::<bool>("development");
                let tokens = tokens::read(&mut root)?.tokens;
                let headers = Headers::read(root.table("headers"), Some(&tokens));
                root.finish();
                Some(headers)
            });
            assert_eq!(read.is_ok(), good, "{lifetime}: {:?}", read.err());
        }
    }
}
