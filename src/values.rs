//! Header values that are made anew for each answer or request, cut from pages of memory: one
//! allocation serves a hundred of them.

use std::cell::RefCell;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::HeaderValue;

/// What is allocated at once, in bytes. A value that is kept keeps its page.
const PAGE: usize = 4096;
/// Longest value in bytes.
const MOST: usize = 256;

/// One worker's page, of which values are cut off.
#[derive(Debug, Default)]
pub struct Values(RefCell<BytesMut>);

/// A value in the making.
pub struct Draft<'p>(&'p mut BytesMut);

impl Values {
    /// The value that `write` writes; `None` when it is no header value, or longer than 256 bytes.
    pub fn make(&self, write: impl FnOnce(&mut Draft<'_>)) -> Option<HeaderValue> {
        let mut page = self.0.borrow_mut();
        if page.capacity() < MOST {
            *page = BytesMut::with_capacity(PAGE);
        }
        write(&mut Draft(&mut page));
        let written: Bytes = page.split().freeze();
        if written.len() > MOST {
            return None;
        }
        HeaderValue::from_maybe_shared(written).ok()
    }

    /// A value with these octets, `None` when it is no header value.
    pub fn copy(&self, octets: &[u8]) -> Option<HeaderValue> {
        if octets.len() > MOST {
            return HeaderValue::from_bytes(octets).ok();
        }
        self.make(|draft| draft.0.put_slice(octets))
    }
}

impl Draft<'_> {
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.0.put_slice(text.as_bytes());
        self
    }

    pub fn number(&mut self, number: impl itoa::Integer) -> &mut Self {
        self.text(itoa::Buffer::new().format(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_whole_whatever_page_they_are_cut_from() {
        let values = Values::default();
        let made: Vec<_> = (0..1000)
            .map(|n: u32| {
                values
                    .make(|draft| {
                        draft.text("n=").number(n);
                    })
                    .unwrap()
            })
            .collect();
        for (n, value) in made.iter().enumerate() {
            assert_eq!(value.to_str().unwrap(), format!("n={n}"));
        }
    }

    #[test]
    fn a_copy_is_whole_however_long_and_none_of_what_is_no_header_value() {
        let values = Values::default();
        for octets in [
            &b""[..],
            b"a",
            &[b'x'; MOST],
            &[b'x'; MOST + 1],
            &[b'x'; PAGE],
        ] {
            assert_eq!(values.copy(octets).unwrap().as_bytes(), octets);
        }
        assert!(values.copy(b"a\r\nb: c").is_none());
        assert!(values.copy(&[b'\n'; MOST + 1]).is_none());
    }

    #[test]
    fn what_is_no_header_value_is_not_made() {
        let values = Values::default();
        assert!(
            values
                .make(|draft| {
                    draft.text("a\r\nb: c");
                })
                .is_none()
        );
        assert!(
            values
                .make(|draft| {
                    draft.text(&"x".repeat(300));
                })
                .is_none()
        );
        assert!(
            values
                .make(|draft| {
                    draft.text("good");
                })
                .is_some()
        );
    }
}
