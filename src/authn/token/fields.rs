//! The claims of a token as header values: made once, and close together in memory, since those of
//! one caller among many are cold when they are needed.

use bytes::BytesMut;
use http::HeaderValue;
use serde_json::{Map, Value};

use super::ATTRIBUTES;

/// Claims and attributes that have a header value.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    /// The names, one after the other.
    names: Box<[u8]>,
    values: Box<[Field]>,
}

#[derive(Clone, Debug)]
struct Field {
    /// Where its name ends in `names`.
    end: usize,
    value: HeaderValue,
}

impl Fields {
    pub(super) fn new(all: &Map<String, Value>, encode: fn(&Value) -> Option<HeaderValue>) -> Self {
        let attributes = all.get(ATTRIBUTES).and_then(Value::as_object);
        let attributes = attributes.into_iter().flatten();
        let attributes = attributes.map(|(name, value)| (format!("{ATTRIBUTES}.{name}"), value));
        let claims = all.iter().map(|(name, value)| (name.clone(), value));
        let mut names = Vec::new();
        let mut ends = Vec::new();
        let mut page = BytesMut::new();
        for (name, value) in attributes.chain(claims) {
            if let Some(value) = encode(value) {
                names.extend_from_slice(name.as_bytes());
                page.extend_from_slice(value.as_bytes());
                ends.push((names.len(), value.len()));
            }
        }
        let mut page = page.freeze();
        let values = ends.into_iter().filter_map(|(end, length)| {
            let value = HeaderValue::from_maybe_shared(page.split_to(length)).ok()?;
            Some(Field { end, value })
        });
        Self {
            values: values.collect(),
            names: names.into(),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&HeaderValue> {
        let mut start = 0;
        for field in &self.values {
            if self.names.get(start..field.end) == Some(name.as_bytes()) {
                return Some(&field.value);
            }
            start = field.end;
        }
        None
    }
}
