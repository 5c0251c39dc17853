//! The words that stand in a `[[route]]`, and what they mean.

use http::{HeaderValue, Method};

use crate::authz::Auth;
use crate::config::reader::{FromToml, Value, Wrong};
use crate::inbound::{CleanPath, Host};
use crate::rejection::Shape;
use crate::route::{EncodedSlash, HostHeader, HostPattern, PathPattern};

/// `/app`: a beginning of a path, without the slash at its end.
pub(super) struct Prefix(pub(super) String);

pub(super) enum WrittenAuthorization {
    Forward,
    Strip,
    Mint,
}

#[derive(PartialEq, Eq)]
pub(super) enum CredentialKind {
    Bearer,
    ApiKey,
    Cookie,
}

pub(super) enum TokenPlace {
    Subprotocol,
    Query,
}

impl FromToml for PathPattern {
    const EXPECTED: &'static str = "a path such as \"/v1/users\", \"/v1/*/name\" or \"/v1/**\"";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        let text = value.as_str().ok_or_else(expected::<Self>)?;
        PathPattern::parse(text).map_err(|error| Wrong::Refused(error.to_string()))
    }
}

impl FromToml for HostPattern {
    const EXPECTED: &'static str = "a host such as \"api.example.com\" or \"*.example.com\"";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        let text = value.as_str().ok_or_else(expected::<Self>)?;
        HostPattern::parse(text).map_err(|error| Wrong::Refused(error.to_string()))
    }
}

impl FromToml for Method {
    const EXPECTED: &'static str = "a method in capitals such as \"GET\"";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        let text = value
            .as_str()
            .filter(|t| t.bytes().all(|b| b.is_ascii_uppercase() || b == b'-'));
        let method = text.and_then(|text| Method::from_bytes(text.as_bytes()).ok());
        match method {
            Some(Method::CONNECT | Method::TRACE) | None => Err(expected::<Self>()),
            Some(method) => Ok(method),
        }
    }
}

impl FromToml for Auth {
    const EXPECTED: &'static str = "\"none\", \"optional\" or \"required\"";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        match value.as_str() {
            Some("none") => Ok(Auth::None),
            Some("optional") => Ok(Auth::Optional),
            Some("required") => Ok(Auth::Required),
            Some(_) | None => Err(expected::<Self>()),
        }
    }
}

impl FromToml for Shape {
    const EXPECTED: &'static str =
        "\"native\", \"praisonai\", \"rag-modulo\", \"plai\" or \"agentflow\"";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        match value.as_str() {
            Some("native") => Ok(Shape::Native),
            Some("praisonai") => Ok(Shape::Praisonai),
            Some("rag-modulo") => Ok(Shape::RagModulo),
            Some("plai") => Ok(Shape::Plai),
            Some("agentflow") => Ok(Shape::Agentflow),
            Some(_) | None => Err(expected::<Self>()),
        }
    }
}

impl FromToml for EncodedSlash {
    const EXPECTED: &'static str = "\"refuse\" or \"keep\"";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        match value.as_str() {
            Some("refuse") => Ok(EncodedSlash::Refuse),
            Some("keep") => Ok(EncodedSlash::Keep),
            Some(_) | None => Err(expected::<Self>()),
        }
    }
}

impl FromToml for HostHeader {
    const EXPECTED: &'static str = "\"preserve\", \"upstream\" or a host name";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        match value.as_str().ok_or_else(expected::<Self>)? {
            "preserve" => Ok(HostHeader::Preserve),
            "upstream" => Ok(HostHeader::Upstream),
            name => {
                let host = Host::parse(name.as_bytes()).map_err(|_| expected::<Self>())?;
                let field = HeaderValue::from_str(host.as_str()).map_err(|_| expected::<Self>())?;
                Ok(HostHeader::Set(field))
            }
        }
    }
}

impl FromToml for WrittenAuthorization {
    const EXPECTED: &'static str = "\"forward\", \"strip\" or \"mint\"";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        match value.as_str() {
            Some("forward") => Ok(WrittenAuthorization::Forward),
            Some("strip") => Ok(WrittenAuthorization::Strip),
            Some("mint") => Ok(WrittenAuthorization::Mint),
            Some(_) | None => Err(expected::<Self>()),
        }
    }
}

impl FromToml for CredentialKind {
    const EXPECTED: &'static str = "\"bearer\", \"cookie\" or \"api-key\"";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        match value.as_str() {
            Some("bearer") => Ok(CredentialKind::Bearer),
            Some("api-key") => Ok(CredentialKind::ApiKey),
            Some("cookie") => Ok(CredentialKind::Cookie),
            Some(_) | None => Err(expected::<Self>()),
        }
    }
}

impl FromToml for TokenPlace {
    const EXPECTED: &'static str = "\"subprotocol\" or \"query\"";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        match value.as_str() {
            Some("subprotocol") => Ok(TokenPlace::Subprotocol),
            Some("query") => Ok(TokenPlace::Query),
            Some(_) | None => Err(expected::<Self>()),
        }
    }
}

impl FromToml for Prefix {
    const EXPECTED: &'static str =
        "the beginning of a path such as \"/app\", without a slash at its end";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        let text = value
            .as_str()
            .filter(|text| text.starts_with('/') && !text.ends_with('/'));
        let clean = text.and_then(|text| CleanPath::from_path(text, None).ok());
        match (text, clean) {
            (Some(text), Some(clean)) if clean.as_str() == text => Ok(Self(text.to_owned())),
            (_, _) => Err(expected::<Self>()),
        }
    }
}

fn expected<T: FromToml>() -> Wrong {
    Wrong::Expected(T::EXPECTED.to_owned())
}
