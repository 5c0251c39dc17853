//! One request as one line of JSON: what an operator needs, and never a credential.

use std::cell::Cell;
use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use crate::access::json;
use crate::clock::Timestamp;

/// Longest value of one field in bytes; a longer one is cut.
const MOST_PATH: usize = 2048;
const MOST_FIELD: usize = 256;
const MOST_CAUSE: usize = 1024;
/// Longest name of a query parameter that is logged, in bytes.
const MOST_NAME: usize = 64;

/// What of a request's query is logged. Values never are: tokens travel there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueryLogging {
    #[default]
    Omit,
    /// The parameters' names, each with `…` for its value.
    Names,
}

/// A line in the making. Keys come as they stand in it, from the comma to the colon: a copy each.
pub(super) struct Line<'a>(&'a mut Vec<u8>);

impl<'a> Line<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>, at: Timestamp) -> Self {
        out.extend_from_slice(b"{\"time\":\"");
        write_time(out, at);
        out.push(b'"');
        Self(out)
    }

    pub(super) fn end(self) {
        self.0.extend_from_slice(b"}\n");
    }

    pub(super) fn text<const N: usize>(&mut self, key: &[u8; N], value: &[u8]) {
        self.0.extend_from_slice(key);
        json::string(self.0, value, MOST_FIELD);
    }

    pub(super) fn cause<const N: usize>(&mut self, key: &[u8; N], value: &str) {
        self.0.extend_from_slice(key);
        json::string(self.0, value.as_bytes(), MOST_CAUSE);
    }

    /// A value that is known to need no escape: our own words, hexadecimal digits.
    pub(super) fn word<const N: usize>(&mut self, key: &[u8; N], value: impl AsRef<[u8]>) {
        self.0.extend_from_slice(key);
        self.0.push(b'"');
        self.0.extend_from_slice(value.as_ref());
        self.0.push(b'"');
    }

    pub(super) fn address<const N: usize>(&mut self, key: &[u8; N], value: IpAddr) {
        self.0.extend_from_slice(key);
        self.0.push(b'"');
        match value {
            IpAddr::V4(v4) => {
                let [a, b, c, d] = v4.octets();
                self.octet(a);
                for octet in [b, c, d] {
                    self.0.push(b'.');
                    self.octet(octet);
                }
            }
            IpAddr::V6(v6) => {
                // Writing to memory does not fail.
                let written = write!(self.0, "{v6}");
                debug_assert!(written.is_ok());
            }
        }
        self.0.push(b'"');
    }

    pub(super) fn number<const N: usize>(&mut self, key: &[u8; N], value: u64) {
        self.0.extend_from_slice(key);
        self.digits(value);
    }

    pub(super) fn milliseconds<const N: usize>(&mut self, key: &[u8; N], value: Duration) {
        self.0.extend_from_slice(key);
        let millis = u64::from(value.subsec_millis());
        self.digits(value.as_secs().saturating_mul(1000).saturating_add(millis));
        push_thousandths(self.0, u64::from(value.subsec_micros() % 1000));
    }

    pub(super) fn target(&mut self, path: &str, query: Option<&str>, logging: QueryLogging) {
        self.0.extend_from_slice(br#","path":"#);
        json::string(self.0, path.as_bytes(), MOST_PATH);
        match (query, logging) {
            (None, QueryLogging::Omit | QueryLogging::Names) | (Some(_), QueryLogging::Omit) => {}
            (Some(query), QueryLogging::Names) => {
                self.0.extend_from_slice(br#","query":"#);
                json::string(self.0, parameter_names(query).as_bytes(), MOST_PATH);
            }
        }
    }

    fn digits(&mut self, value: u64) {
        self.0
            .extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    fn octet(&mut self, value: u8) {
        if value >= 100 {
            self.0.push(b'0' + value / 100);
        }
        if value >= 10 {
            self.0.push(b'0' + value / 10 % 10);
        }
        self.0.push(b'0' + value % 10);
    }
}

/// `a=1&token=x&y` as `a=…&token=…&…`: a part without `=` may itself be a secret.
fn parameter_names(query: &str) -> String {
    let mut out = String::new();
    for part in query.split('&') {
        if !out.is_empty() {
            out.push('&');
        }
        if let Some((name, _)) = part.split_once('=')
            && name.len() <= MOST_NAME
        {
            out.push_str(name);
            out.push('=');
        }
        out.push('…');
    }
    out
}

thread_local! {
    /// The last second that was written on this thread, as in `1970-01-01T00:00:00`.
    static SECOND: Cell<(i64, [u8; 19])> = const { Cell::new((i64::MIN, [0; 19])) };
}

/// RFC 3339 in UTC with milliseconds; the part up to the second is formatted once a second.
fn write_time(out: &mut Vec<u8>, at: Timestamp) {
    let (mut second, mut text) = SECOND.get();
    if second != at.seconds() {
        second = at.seconds();
        let full = Timestamp::from_seconds(second).rfc3339();
        text = *full.as_bytes().first_chunk().unwrap_or(&text);
        SECOND.set((second, text));
    }
    out.extend_from_slice(&text);
    push_thousandths(out, at.millis().rem_euclid(1000).unsigned_abs());
    out.push(b'Z');
}

/// A point and three digits.
fn push_thousandths(out: &mut Vec<u8>, thousandths: u64) {
    let digit = |value: u64| b'0' + u8::try_from(value % 10).unwrap_or_default();
    out.extend_from_slice(&[
        b'.',
        digit(thousandths / 100),
        digit(thousandths / 10),
        digit(thousandths),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_querys_values_are_never_written() {
        for (query, names) in [
            ("token=eyJhbGciOi", "token=…"),
            ("a=1&token=x&y=", "a=…&token=…&y=…"),
            ("eyJhbGciOiJIUzI1NiJ9.x.y", "…"),
            ("a&b=2", "…&b=…"),
            ("", "…"),
        ] {
            assert_eq!(parameter_names(query), names);
        }
        let long = format!("{}=1", "n".repeat(65));
        assert_eq!(parameter_names(&long), "…");
    }

    #[test]
    fn times_keep_their_milliseconds() {
        let mut out = Vec::new();
        for millis in [1_000, 1_007, 2_120] {
            write_time(&mut out, Timestamp::from_millis(millis));
            out.push(b' ');
        }
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "1970-01-01T00:00:01.000Z 1970-01-01T00:00:01.007Z 1970-01-01T00:00:02.120Z "
        );
    }

    #[test]
    fn addresses_are_written_as_everywhere() {
        for address in [
            "0.0.0.0",
            "192.0.2.7",
            "10.99.100.255",
            "2001:db8::1",
            "::ffff:1.2.3.4",
        ] {
            let mut out = Vec::new();
            Line(&mut out).address(b"", address.parse().unwrap());
            assert_eq!(String::from_utf8(out).unwrap(), format!("\"{address}\""));
        }
    }

    #[test]
    fn a_line_is_one_json_object() {
        let mut out = Vec::new();
        let mut line = Line::begin(&mut out, Timestamp::from_millis(0));
        line.text(br#","host":"#, b"a\"b\n");
        line.number(br#","status":"#, 200);
        line.milliseconds(br#","duration_ms":"#, Duration::from_micros(12_034));
        line.target("/x", Some("token=s3cret"), QueryLogging::Names);
        line.end();
        assert_eq!(out.iter().filter(|&&b| b == b'\n').count(), 1);
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["host"], "a\"b\n");
        assert_eq!(value["duration_ms"], 12.034);
        assert_eq!(value["query"], "token=…");
    }
}
