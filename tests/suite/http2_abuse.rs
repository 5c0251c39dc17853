//! HTTP/2 frames that no client sends: floods are cut off, and the others go on.

use super::harness::raw::Raw;
use super::harness::{Config, Gateway, PATIENCE, Upstream, within};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `GET https://localhost/public/a` for HPACK (RFC 7541): two indexed fields, two literal ones.
fn get(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x87];
    for (name, value) in [(0x01, "localhost"), (0x04, path)] {
        block.extend([name, u8::try_from(value.len()).unwrap()]);
        block.extend(value.bytes());
    }
    block
}

async fn app() -> (Upstream, Gateway) {
    let upstream = Upstream::echo().await;
    let gateway = Config::new().app(&upstream).start().await;
    (upstream, gateway)
}

async fn open(gateway: &Gateway) -> Raw {
    let mut raw = Raw::new(gateway.https().open(&[b"h2"]).await.unwrap());
    raw.write([PREFACE, &frame(SETTINGS, 0, 0, &[])].concat())
        .await;
    raw
}

/// Writes what `next` makes until the gateway closes, at most `most` times; whether it did.
async fn flood(raw: &mut Raw, most: u32, mut next: impl FnMut(u32) -> Vec<u8>) -> bool {
    let writing = async {
        for n in 0..most {
            // What the gateway answers must be read, or its answers would stop the flood.
            if raw.try_write(next(n)).await.is_err() || (n % 50 == 0 && raw.is_closed().await) {
                return true;
            }
        }
        false
    };
    within("the flood ends", writing).await
}

/// The same, for floods that are not to be borne. What was written may lie in buffers still when the
/// last of it is: a gateway that comes so far as to answer the ping behind it has borne it all.
async fn is_cut_off(
    raw: &mut Raw,
    most: u32,
    next: impl FnMut(u32) -> Vec<u8>,
    end: &[u8],
) -> bool {
    const BORNE: &[u8; 8] = b"borne it";
    let ping = [end, &frame(PING, 0, 0, BORNE)].concat();
    if flood(raw, most, next).await || raw.try_write(ping).await.is_err() {
        return true;
    }
    let answered = async {
        let mut said = Vec::new();
        while let Some(byte) = raw.read_exact(1).await {
            said.extend(byte);
            if said.ends_with(BORNE) {
                return true;
            }
        }
        false
    };
    !within("the ping is answered, or the connection closed", answered).await
}

/// Asserts that others are still served, and soon.
async fn assert_alive(gateway: &Gateway) {
    gateway
        .h2()
        .from("127.0.0.2")
        .get("/public/a")
        .send()
        .await
        .expect(200);
}

#[tokio::test]
async fn the_hand_made_request_is_a_good_one() {
    let (upstream, gateway) = app().await;
    let mut raw = open(&gateway).await;
    raw.write(frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        &get("/public/a"),
    ))
    .await;
    within("the request arrives", async {
        while upstream.received().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_continuations_is_cut_off() {
    let (upstream, gateway) = app().await;
    let mut raw = open(&gateway).await;
    raw.write(frame(HEADERS, END_STREAM, 1, &get("/public/a")))
        .await;
    // A literal field of 1,000 bytes in each, and never an end.
    let mut field = vec![0x00, 1, b'x', 0x7f, 0xe9, 0x06];
    field.extend([b'y'; 1000]);
    let next = |_| frame(CONTINUATION, 0, 1, &field);
    let end = frame(CONTINUATION, END_HEADERS, 1, &[]);
    let cut_off = is_cut_off(&mut raw, 20_000, next, &end).await;
    assert!(cut_off, "20 MB of header were borne");
    assert!(upstream.received().is_empty());
    assert_alive(&gateway).await;
}

#[tokio::test]
async fn a_flood_of_empty_continuations_is_cut_off() {
    let (_upstream, gateway) = app().await;
    let mut raw = open(&gateway).await;
    raw.write(frame(HEADERS, END_STREAM, 1, &get("/public/a")))
        .await;
    let next = |_| frame(CONTINUATION, 0, 1, &[]);
    let end = frame(CONTINUATION, END_HEADERS, 1, &[]);
    let cut_off = is_cut_off(&mut raw, 100_000, next, &end).await;
    assert!(cut_off, "100,000 frames of one header were borne");
    assert_alive(&gateway).await;
}

#[tokio::test]
async fn making_the_gateway_reset_streams_is_cut_off() {
    let (_upstream, gateway) = app().await;
    let mut raw = open(&gateway).await;
    // A window that grows by nothing is an error of the stream (RFC 9113 §6.9): the server resets.
    let next = |n| {
        let stream = n * 2 + 1;
        let request = frame(HEADERS, END_HEADERS, stream, &get("/public/a"));
        [request, frame(WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
    };
    let cut_off = is_cut_off(&mut raw, 20_000, next, &[]).await;
    assert!(cut_off, "20,000 resets were provoked");
    assert_alive(&gateway).await;
}

#[tokio::test]
async fn rapid_resets_of_hand_made_frames_are_cut_off() {
    let (_upstream, gateway) = app().await;
    let mut raw = open(&gateway).await;
    let next = |n| {
        let stream = n * 2 + 1;
        let request = frame(HEADERS, END_HEADERS | END_STREAM, stream, &get("/public/a"));
        [request, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    };
    let cut_off = is_cut_off(&mut raw, 20_000, next, &[]).await;
    assert!(cut_off, "20,000 resets were borne");
    assert_alive(&gateway).await;
}

#[tokio::test]
async fn floods_of_pings_and_settings_leave_the_others_alone() {
    let (_upstream, gateway) = app().await;
    for (kind, payload) in [(PING, &[0; 8][..]), (SETTINGS, &[])] {
        let mut raw = open(&gateway).await;
        flood(&mut raw, 5_000, |_| frame(kind, 0, 0, payload)).await;
        assert_alive(&gateway).await;
    }
}

#[tokio::test]
async fn a_body_in_many_tiny_frames_arrives_or_is_cut_off() {
    let (_upstream, gateway) = app().await;
    let mut raw = open(&gateway).await;
    raw.write(frame(HEADERS, END_HEADERS, 1, &get("/public/a")))
        .await;
    flood(&mut raw, 20_000, |n| {
        frame(DATA, 0, 1, if n % 2 == 0 { b"" } else { b"x" })
    })
    .await;
    assert_alive(&gateway).await;
}

#[tokio::test]
async fn frames_that_break_the_rules_end_their_connection() {
    let (upstream, gateway) = app().await;
    for (what, bytes) in [
        ("data before headers", frame(DATA, 0, 1, b"x")),
        (
            "an even stream",
            frame(HEADERS, END_HEADERS, 2, &get("/public/a")),
        ),
        ("a continuation of nothing", frame(CONTINUATION, 0, 1, &[])),
        (
            "a table index that is not there",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff, 0xff, 0x7f]),
        ),
        (
            "a frame larger than announced",
            frame(DATA, 0, 1, &vec![0; 20_000]),
        ),
        ("settings of a stream", frame(SETTINGS, 0, 1, &[])),
    ] {
        let mut raw = open(&gateway).await;
        raw.write(bytes).await;
        assert!(raw.closes_within(PATIENCE).await, "{what}");
    }
    assert!(upstream.received().is_empty());
    assert_alive(&gateway).await;
}
