//! The one normal form of a path: what is matched is what is forwarded.

use http::uri::PathAndQuery;

/// An absolute path in its normal form, with the query as it came.
///
/// Unreserved bytes stand as themselves, every other encoded byte is data and stays encoded in
/// upper case (RFC 3986 §6.2.2). There is no empty segment inside, no dot segment, no backslash, no
/// `;` parameter and no encoded control character: backends disagree about those, so they are
/// refused rather than repaired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CleanPath {
    target: PathAndQuery,
    encoded_slash: bool,
}

/// Why a path has no normal form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("the path must begin with a slash")]
    Relative,
    #[error("the path has an empty segment")]
    EmptySegment,
    #[error("the path has a dot segment")]
    DotSegment,
    #[error("the path has a byte that must not stand in it")]
    Byte,
    #[error("the path has a percent sign without two hex digits")]
    Encoding,
    #[error("the path has an encoded slash")]
    EncodedSlash,
}

impl CleanPath {
    pub fn parse(target: &PathAndQuery) -> Result<Self, PathError> {
        let path = target.path();
        if !path.starts_with('/') {
            return Err(PathError::Relative);
        }
        if !path.bytes().all(stands_for_itself) {
            return Self::rewrite(path, target.query());
        }
        check_segments(path)?;
        Ok(Self {
            target: target.clone(),
            encoded_slash: false,
        })
    }

    /// The path that `text` is, for rewritten paths: they are checked like any other.
    pub fn from_path(path: &str, query: Option<&str>) -> Result<Self, PathError> {
        let text = match query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let target = PathAndQuery::try_from(text).map_err(|_| PathError::Byte)?;
        Self::parse(&target)
    }

    pub fn as_str(&self) -> &str {
        self.target.path()
    }

    /// Without its question mark.
    pub fn query(&self) -> Option<&str> {
        self.target.query()
    }

    /// Path and query, as they go to an upstream.
    pub fn target(&self) -> &PathAndQuery {
        &self.target
    }

    /// Whether `%2F` stands in it: only routes that opt in take such a path.
    pub fn has_encoded_slash(&self) -> bool {
        self.encoded_slash
    }

    /// Between the slashes; a trailing slash is an empty last segment.
    pub fn segments(&self) -> std::str::Split<'_, char> {
        let path = self.as_str();
        path.strip_prefix('/').unwrap_or(path).split('/')
    }

    /// The values of the query parameters named `name`, as they are written.
    pub fn parameter<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query()
            .into_iter()
            .flat_map(|query| query.split('&'))
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .filter(move |(key, _)| names(key, name))
            .map(|(_, value)| value)
    }

    /// The same path with the query parameters named `name` taken out.
    #[must_use]
    pub fn without_parameter(&self, name: &str) -> Self {
        let Some(query) = self.query() else {
            return self.clone();
        };
        let kept: Vec<&str> = query
            .split('&')
            .filter(|pair| pair.split('=').next().is_none_or(|key| !names(key, name)))
            .collect();
        let text = if kept.is_empty() {
            self.as_str().to_owned()
        } else {
            format!("{}?{}", self.as_str(), kept.join("&"))
        };
        let target = PathAndQuery::try_from(text).unwrap_or_else(|_| self.target.clone());
        Self {
            target,
            encoded_slash: self.encoded_slash,
        }
    }

    fn rewrite(path: &str, query: Option<&str>) -> Result<Self, PathError> {
        let mut clean = String::with_capacity(path.len() + 8);
        let mut encoded_slash = false;
        let mut bytes = path.bytes();
        while let Some(byte) = bytes.next() {
            if byte != b'%' {
                push_raw(&mut clean, byte)?;
                continue;
            }
            let (Some(high), Some(low)) = (bytes.next(), bytes.next()) else {
                return Err(PathError::Encoding);
            };
            let value = hex(high)? << 4 | hex(low)?;
            match value {
                _ if is_unreserved(value) => clean.push(char::from(value)),
                0..=0x1f | 0x7f | b'\\' => return Err(PathError::Byte),
                _ => {
                    encoded_slash |= value == b'/';
                    push_encoded(&mut clean, value);
                }
            }
        }
        check_segments(&clean)?;
        if encoded_slash && hides_a_dot_segment(&clean) {
            return Err(PathError::DotSegment);
        }
        if let Some(query) = query {
            clean.push('?');
            clean.push_str(query);
        }
        let target = PathAndQuery::try_from(clean).map_err(|_| PathError::Byte)?;
        Ok(Self {
            target,
            encoded_slash,
        })
    }
}

/// Whether a query's key is `name` once decoded: `%74oken` is `token`.
fn names(key: &str, name: &str) -> bool {
    let mut bytes = key.bytes();
    let mut expected = name.bytes();
    loop {
        let byte = match bytes.next() {
            Some(b'%') => {
                let pair = bytes.next().zip(bytes.next());
                let decoded = pair.and_then(|(h, l)| Some(hex(h).ok()? << 4 | hex(l).ok()?));
                let Some(decoded) = decoded else {
                    return false;
                };
                Some(decoded)
            }
            other => other,
        };
        match (byte, expected.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) if a == b => {}
            (_, _) => return false,
        }
    }
}

/// Bytes of a path that need no rewriting (RFC 3986 pchar without `%` and `;`, and the slash).
const fn stands_for_itself(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'/' | b':'
                | b'@'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b'='
        )
}

/// `text` as the value of a query's parameter, wherever it came from.
pub fn query_value(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'/' => value.push('/'),
            _ if is_unreserved(byte) => value.push(char::from(byte)),
            _ => push_encoded(&mut value, byte),
        }
    }
    value
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Raw bytes that careless clients send are encoded; what backends read in two ways is refused.
fn push_raw(clean: &mut String, byte: u8) -> Result<(), PathError> {
    match byte {
        _ if stands_for_itself(byte) => clean.push(char::from(byte)),
        b'"' | b'<' | b'>' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' => {
            push_encoded(clean, byte);
        }
        _ => return Err(PathError::Byte),
    }
    Ok(())
}

fn push_encoded(clean: &mut String, byte: u8) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or('0');
    clean.extend(['%', digit(byte >> 4), digit(byte & 15)]);
}

fn hex(digit: u8) -> Result<u8, PathError> {
    let value = char::from(digit).to_digit(16).ok_or(PathError::Encoding)?;
    u8::try_from(value).map_err(|_| PathError::Encoding)
}

fn check_segments(path: &str) -> Result<(), PathError> {
    // Every empty or dot segment begins with "//" or "/.": most paths have neither.
    let suspicious = path
        .as_bytes()
        .windows(2)
        .any(|pair| matches!(pair, b"//" | b"/."));
    if !suspicious {
        return Ok(());
    }
    let inner = path.strip_prefix('/').unwrap_or(path);
    let mut segments = inner.split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "" if segments.peek().is_some() => return Err(PathError::EmptySegment),
            "." | ".." => return Err(PathError::DotSegment),
            _other => {}
        }
    }
    Ok(())
}

/// Whether there is a dot segment once `%2F` is read as a slash: `/files/..%2Fadmin` is `/admin` to a
/// backend that reads it so, and a route under `/files/` must not lead there.
fn hides_a_dot_segment(path: &str) -> bool {
    let mut segments = path.split('/').flat_map(|segment| segment.split("%2F"));
    segments.any(|segment| matches!(segment, "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<CleanPath, PathError> {
        CleanPath::parse(&PathAndQuery::try_from(text).unwrap())
    }

    #[test]
    fn a_path_has_one_form() {
        for (written, clean) in [
            ("/", "/"),
            ("/a/b/", "/a/b/"),
            ("/%7Euser", "/~user"),
            ("/a%20b", "/a%20b"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/%61dmin", "/admin"),
            ("/a%3fb%23c", "/a%3Fb%23c"),
            ("/a%252e", "/a%252e"),
            ("/a|b", "/a%7Cb"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a...b/...", "/a...b/..."),
        ] {
            assert_eq!(parse(written).unwrap().as_str(), clean, "{written}");
        }
    }

    #[test]
    fn what_backends_read_in_two_ways_is_refused() {
        for (written, why) in [
            ("//admin", PathError::EmptySegment),
            ("/a//b", PathError::EmptySegment),
            ("/./admin", PathError::DotSegment),
            ("/public/../admin", PathError::DotSegment),
            ("/public/%2e%2e/admin", PathError::DotSegment),
            ("/public/%2E./admin", PathError::DotSegment),
            ("/a/..", PathError::DotSegment),
            ("/public/..%2Fadmin", PathError::DotSegment),
            ("/public/a%2f%2e%2e%2f%2e%2e%2fadmin", PathError::DotSegment),
            ("/public/a%2F.", PathError::DotSegment),
            ("/public/..;/admin", PathError::Byte),
            ("/admin;x", PathError::Byte),
            ("/a%5cb", PathError::Byte),
            ("/a%00", PathError::Byte),
            ("/a%0a", PathError::Byte),
            ("/a%7f", PathError::Byte),
            ("/a%", PathError::Encoding),
            ("/a%4", PathError::Encoding),
            ("/a%zz", PathError::Encoding),
            ("/a%2x", PathError::Encoding),
        ] {
            assert_eq!(parse(written), Err(why), "{written}");
        }
    }

    #[test]
    fn an_encoded_slash_is_marked() {
        for written in ["/a%2Fb", "/a..%2f...%2F.b", "/to/http:%2F%2Fexample.com%2F"] {
            assert!(parse(written).unwrap().has_encoded_slash(), "{written}");
        }
        assert!(!parse("/a/b").unwrap().has_encoded_slash());
    }

    #[test]
    fn a_query_parameter_is_taken_out_in_any_spelling() {
        for (written, left) in [
            ("/ws?token=x", "/ws"),
            ("/ws?a=1&token=x&b=2", "/ws?a=1&b=2"),
            ("/ws?%74oken=x&tokens=1", "/ws?tokens=1"),
            ("/ws?token", "/ws"),
            ("/ws", "/ws"),
        ] {
            let left_over = parse(written).unwrap().without_parameter("token");
            assert_eq!(left_over.target().as_str(), left, "{written}");
        }
    }

    proptest! {
        #[test]
        fn the_form_is_stable(text in "/[ -~]{0,40}") {
            let Ok(target) = PathAndQuery::try_from(text.as_str()) else { return Ok(()) };
            if let Ok(clean) = CleanPath::parse(&target) {
                let again = CleanPath::parse(clean.target()).unwrap();
                prop_assert_eq!(again.as_str(), clean.as_str());
                prop_assert!(!clean.as_str().contains("//") && !clean.as_str().contains("/../"));
            }
        }
    }
}
