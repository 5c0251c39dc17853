//! How an answer is ended before its end, so that nobody takes it for complete who should not.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::Cause;

/// How an answer is ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// `text/event-stream`: nothing more comes, and what came is whole.
    Quietly,
    /// gRPC: trailers say why.
    Grpc,
    /// Anything else would look complete: it breaks off.
    Cut,
}

impl Close {
    /// As the head of the answer says what it is, and whether it has said its length.
    pub fn of(head: &HeaderMap, length: Option<u64>) -> Self {
        let kind = head.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        let kind = kind.unwrap_or_default();
        let essence = kind.split(|byte| *byte == b';').next().unwrap_or_default();
        let essence = essence.trim_ascii();
        if length.is_some() {
            Close::Cut
        } else if essence.eq_ignore_ascii_case(b"text/event-stream") {
            Close::Quietly
        } else if is_grpc(essence) {
            Close::Grpc
        } else {
            Close::Cut
        }
    }
}

/// `application/grpc`, also with its message format; not gRPC-Web, whose trailers are in the body.
fn is_grpc(essence: &[u8]) -> bool {
    let name = b"application/grpc";
    let Some((start, rest)) = essence.split_at_checked(name.len()) else {
        return false;
    };
    start.eq_ignore_ascii_case(name) && matches!(rest.first(), None | Some(b'+'))
}

impl Cause {
    /// What tells a gRPC client that its call is over (gRPC over HTTP/2, "Responses").
    pub fn grpc_status(self) -> HeaderMap {
        let (status, message) = match self {
            Cause::Revoked => ("16", "the session has ended"),
            Cause::Expired => ("16", "the session has expired"),
            Cause::Denied => ("7", "no longer permitted"),
            Cause::Unknown => ("14", "try again later"),
            Cause::TooMany => ("8", "too many open streams"),
        };
        let mut trailers = HeaderMap::with_capacity(2);
        let status_name = HeaderName::from_static("grpc-status");
        trailers.insert(status_name, HeaderValue::from_static(status));
        let message_name = HeaderName::from_static("grpc-message");
        trailers.insert(message_name, HeaderValue::from_static(message));
        trailers
    }

    /// The code and the words of a WebSocket's Close (RFC 6455 §7.4.1, and the registry of codes).
    pub fn close_code(self) -> (u16, &'static str) {
        match self {
            Cause::Revoked => (1008, "the session has ended"),
            Cause::Expired => (1008, "the session has expired"),
            Cause::Denied => (1008, "no longer permitted"),
            Cause::TooMany => (1008, "too many open streams"),
            Cause::Unknown => (1013, "try again later"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_ended_as_its_kind_can_bear() {
        for (kind, length, close) in [
            ("text/event-stream", None, Close::Quietly),
            ("Text/Event-Stream; charset=utf-8", None, Close::Quietly),
            ("text/event-stream", Some(9), Close::Cut),
            ("application/grpc", None, Close::Grpc),
            ("application/grpc+proto", None, Close::Grpc),
            ("application/grpc-web", None, Close::Cut),
            ("application/json", None, Close::Cut),
            ("", None, Close::Cut),
        ] {
            let kind_value = HeaderValue::from_static(kind);
            let head = HeaderMap::from_iter([(header::CONTENT_TYPE, kind_value)]);
            assert_eq!(Close::of(&head, length), close, "{kind} {length:?}");
        }
    }
}
