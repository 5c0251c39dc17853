//! Host and path patterns of routes, as they are written in the configuration.

use http::Method;

use crate::inbound::CleanPath;

/// A path of segments: names, `*` for any one segment, `**` at the end for all that follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Name(String),
    /// `*`: one segment that is not empty.
    One,
    /// `**`: none, one or more segments.
    Rest,
}

/// A host name, `*.name` for every name below one, or any host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    Any,
    Name(String),
    /// Without the star: `.example.com`.
    Below(String),
}

/// The methods of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Methods {
    /// Every method but CONNECT and TRACE.
    Any,
    Only(Vec<Method>),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("a path begins with a slash")]
    Relative,
    #[error("`**` stands only at the end of a path")]
    RestInside,
    #[error("a star stands for a whole segment: `*`, or `**` at the end")]
    StarInside,
    #[error("no request can have this path: {0}")]
    Unclean(#[source] crate::inbound::PathError),
    #[error("requests have this path in the form `{0}`")]
    OtherForm(String),
    #[error("a host is a name such as api.example.com, or *.example.com")]
    Host,
}

impl PathPattern {
    /// Reads `/v1/users/*`, `/public/**`. The names in it must be in the form in which requests
    /// are matched, or the pattern would never match.
    ///
    /// # Errors
    ///
    /// Whatever would make the pattern match nothing, or something else than it says.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let inner = text.strip_prefix('/').ok_or(PatternError::Relative)?;
        let clean = CleanPath::from_path(text, None).map_err(PatternError::Unclean)?;
        if clean.as_str() != text {
            return Err(PatternError::OtherForm(clean.as_str().to_owned()));
        }
        let mut segments = Vec::new();
        for segment in inner.split('/') {
            if segments.last() == Some(&Segment::Rest) {
                return Err(PatternError::RestInside);
            }
            segments.push(match segment {
                "**" => Segment::Rest,
                "*" => Segment::One,
                name if name.contains('*') => return Err(PatternError::StarInside),
                name => Segment::Name(name.to_owned()),
            });
        }
        Ok(Self {
            text: text.to_owned(),
            segments,
        })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

impl HostPattern {
    /// # Errors
    ///
    /// When `text` is neither a host name nor `*.` and one.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(HostPattern::Any);
        }
        let name = text.strip_prefix("*.").unwrap_or(text);
        let host = crate::inbound::Host::parse(name.as_bytes()).map_err(|_| PatternError::Host)?;
        if host.port().is_some() {
            return Err(PatternError::Host);
        }
        Ok(match text.starts_with("*.") {
            true => HostPattern::Below(format!(".{}", host.name())),
            false => HostPattern::Name(host.name().to_owned()),
        })
    }
}

impl Methods {
    /// Whether a route with these methods takes `method`; HEAD goes where GET goes
    /// (RFC 9110 §9.3.2).
    pub fn admit(&self, method: &Method) -> bool {
        match self {
            Methods::Any => *method != Method::CONNECT && *method != Method::TRACE,
            Methods::Only(methods) => {
                methods.contains(method)
                    || *method == Method::HEAD && methods.contains(&Method::GET)
            }
        }
    }

    /// Whether `method` itself is listed.
    pub(super) fn name(&self, method: &Method) -> bool {
        match self {
            Methods::Any => false,
            Methods::Only(methods) => methods.contains(method),
        }
    }

    /// Whether some method is listed by both.
    pub(super) fn overlap(&self, other: &Methods) -> bool {
        match (self, other) {
            (Methods::Any, _) | (_, Methods::Any) => true,
            (Methods::Only(ours), Methods::Only(theirs)) => ours.iter().any(|m| theirs.contains(m)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_would_match_nothing_are_refused() {
        for text in [
            "", "a", "/a/**/b", "/a*", "/**x", "/a//b", "/../a", "/%7Ea", "/a;b",
        ] {
            assert!(PathPattern::parse(text).is_err(), "{text}");
        }
        for text in ["/", "/a", "/a/", "/*/b", "/a/**", "/**"] {
            assert!(PathPattern::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn hosts_are_names_or_everything_below_one() {
        assert_eq!(
            HostPattern::parse("A.example"),
            Ok(HostPattern::Name("a.example".into()))
        );
        assert_eq!(
            HostPattern::parse("*.example"),
            Ok(HostPattern::Below(".example".into()))
        );
        for text in ["a:80", "a.*", "*a", "", "https://a"] {
            assert_eq!(HostPattern::parse(text), Err(PatternError::Host), "{text}");
        }
    }
}
