//! The claims of a token as header values: made once, and close together in memory, since those of
//! one caller among many are cold when they are needed.

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use serde_json::{Map, Value};

use super::ATTRIBUTES;

/// Claims and attributes that have a header value.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    ends: Box<[Ends]>,
    /// The names, one after the other.
    names: Box<[u8]>,
    /// The values, in the same order.
    values: Bytes,
}

/// Where a field's name and value end; they begin where those of the field before end.
#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    name: usize,
    value: usize,
}

impl Fields {
    pub(super) fn new(all: &Map<String, Value>, encode: fn(&Value) -> Option<HeaderValue>) -> Self {
        let attributes = all.get(ATTRIBUTES).and_then(Value::as_object);
        let attributes = attributes.into_iter().flatten();
        let attributes = attributes.map(|(name, value)| (format!("{ATTRIBUTES}.{name}"), value));
        let claims = all.iter().map(|(name, value)| (name.clone(), value));
        let mut names = Vec::new();
        let mut values = BytesMut::new();
        let mut ends = Vec::new();
        for (name, value) in attributes.chain(claims) {
            if let Some(value) = encode(value) {
                names.extend_from_slice(name.as_bytes());
                values.extend_from_slice(value.as_bytes());
                ends.push(Ends {
                    name: names.len(),
                    value: values.len(),
                });
            }
        }
        Self {
            ends: ends.into(),
            names: names.into(),
            values: values.freeze(),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<HeaderValue> {
        let mut start = Ends::default();
        for &end in &self.ends {
            if self.names.get(start.name..end.name) == Some(name.as_bytes()) {
                let value = self.values.slice(start.value..end.value);
                return HeaderValue::from_maybe_shared(value).ok();
            }
            start = end;
        }
        None
    }
}
