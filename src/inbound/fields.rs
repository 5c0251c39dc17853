//! How often a field stands in a request; and one walk for the fields that its reading turns on.

use http::{HeaderMap, HeaderValue};

/// The values of a field that may stand there once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Count<'h> {
    #[default]
    None,
    One(&'h HeaderValue),
    Several,
}

/// What one walk over a request's fields finds.
#[derive(Default)]
pub(super) struct Found<'h> {
    pub host: Count<'h>,
    pub transfer_coding: Count<'h>,
    pub upgrade: Count<'h>,
    /// Bytes of all cookies. HTTP/2 may split a cookie field in many (RFC 9113 §8.2.3): what counts
    /// is their sum.
    pub cookies: usize,
}

impl<'h> Found<'h> {
    pub fn of(headers: &'h HeaderMap) -> Self {
        let mut found = Self::default();
        for (name, value) in headers {
            match name.as_str() {
                "host" => found.host = found.host.and(value),
                "transfer-encoding" => found.transfer_coding = found.transfer_coding.and(value),
                "upgrade" => found.upgrade = found.upgrade.and(value),
                "cookie" => found.cookies += value.len(),
                _other => {}
            }
        }
        found
    }
}

impl<'h> Count<'h> {
    pub fn of(headers: &'h HeaderMap, name: &str) -> Self {
        let fields = headers.get_all(name).iter();
        fields.fold(Count::None, Count::and)
    }

    /// Whether the field stands there once, and is `text` in any case.
    pub fn is(self, text: &str) -> bool {
        match self {
            Count::One(value) => value.as_bytes().eq_ignore_ascii_case(text.as_bytes()),
            Count::None | Count::Several => false,
        }
    }

    fn and(self, value: &'h HeaderValue) -> Self {
        match self {
            Count::None => Count::One(value),
            Count::One(_) | Count::Several => Count::Several,
        }
    }
}
