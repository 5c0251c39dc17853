//! Clients that break the protocol, or whose wire does.

use std::io::{Read, Write};

use rustls::{ClientConnection, ProtocolVersion};

use super::*;

pub(super) fn client(both: &Both, version: &'static SupportedProtocolVersion) -> ClientConnection {
    let mut config = both.client_config(version);
    config.enable_secret_extraction = true;
    ClientConnection::new(Arc::new(config), name()).unwrap()
}

/// The records in which the client says `said`, behind what it still has to send.
pub(super) fn said(client: &mut ClientConnection, said: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    client.writer().write_all(said).unwrap();
    while client.wants_write() {
        client.write_tls(&mut wire).unwrap();
    }
    wire
}

pub(super) async fn send(client: &mut ClientConnection, wire: &mut DuplexStream) {
    wire.write_all(&said(client, b"")).await.unwrap();
}

/// Takes in what has come, waiting for it; the error that it makes, or that the server tells of.
pub(super) async fn hear(
    client: &mut ClientConnection,
    wire: &mut DuplexStream,
) -> Option<rustls::Error> {
    let mut came = vec![0; 1 << 20];
    let count = wire.read(&mut came).await.unwrap();
    assert!(count > 0, "the server has gone");
    let mut came = &came[..count];
    while !came.is_empty() {
        client.read_tls(&mut came).unwrap();
        if let Err(error) = client.process_new_packets() {
            return Some(error);
        }
    }
    None
}

/// A connection whose client's side is in our hands.
pub(super) async fn by_hand(
    version: &'static SupportedProtocolVersion,
) -> (Server, ClientConnection, DuplexStream) {
    let both = Both::new();
    let (near, mut far) = duplex(1 << 20);
    let mut client = client(&both, version);
    let talk = async {
        while client.is_handshaking() {
            send(&mut client, &mut far).await;
            if client.is_handshaking() {
                assert_eq!(hear(&mut client, &mut far).await, None);
            }
        }
        send(&mut client, &mut far).await;
    };
    let (server, ()) = tokio::join!(both.tls.accept(near), talk);
    (server.unwrap().stream, client, far)
}

#[tokio::test]
async fn a_record_that_was_changed_ends_the_connection_after_what_came_before_it() {
    for version in VERSIONS {
        let (mut server, mut client, mut wire) = by_hand(version).await;
        let mut records = said(&mut client, b"good");
        let mut changed = said(&mut client, b"changed");
        *changed.last_mut().unwrap() ^= 1;
        records.extend(changed);
        records.extend(said(&mut client, b"after"));
        wire.write_all(&records).await.unwrap();
        let mut heard = [0; 100];
        assert_eq!(server.read(&mut heard).await.unwrap(), 4);
        for _ in 0..2 {
            let error = server.read(&mut heard).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        let error = server.write(b"an answer").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        server.shutdown().await.unwrap();
        let told = hear(&mut client, &mut wire).await;
        let expected = rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac);
        assert_eq!(told, Some(expected), "{version:?}");
        assert_eq!(client.reader().read(&mut heard).ok(), None);
    }
}

#[tokio::test]
async fn a_wire_that_ends_without_a_last_word_is_no_end() {
    for version in VERSIONS {
        let (mut server, mut client, mut wire) = by_hand(version).await;
        let records = said(&mut client, b"good");
        let cut = said(&mut client, b"cut");
        wire.write_all(&records).await.unwrap();
        wire.write_all(&cut[..cut.len() - 1]).await.unwrap();
        drop(wire);
        let mut heard = Vec::new();
        let error = server.read_to_end(&mut heard).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(heard, b"good");
    }
}

#[tokio::test]
async fn what_follows_the_last_word_is_not_heard() {
    for version in VERSIONS {
        let (mut server, mut client, mut wire) = by_hand(version).await;
        let mut records = said(&mut client, b"good");
        client.send_close_notify();
        records.extend(said(&mut client, b""));
        records.extend(b"\x17\x03\x03\x00\x05after");
        wire.write_all(&records).await.unwrap();
        let mut heard = Vec::new();
        server.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"good");
        server.write_all(b"an answer").await.unwrap();
    }
}

#[tokio::test]
async fn keys_are_changed_as_often_as_either_side_wants() {
    let (mut server, mut client, mut wire) = by_hand(&TLS13).await;
    for round in 0..100_u8 {
        client.refresh_traffic_keys().unwrap();
        let records = said(&mut client, &[round; 50]);
        wire.write_all(&records).await.unwrap();
        let mut heard = [0; 50];
        server.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, [round; 50]);
        say(&mut server, &heard).await.unwrap();
        assert_eq!(hear(&mut client, &mut wire).await, None);
        let mut back = [0; 50];
        client.reader().read_exact(&mut back).unwrap();
        assert_eq!(back, [round; 50]);
    }
}

#[tokio::test]
async fn a_client_that_only_changes_keys_is_ended() {
    let (mut server, mut client, mut wire) = by_hand(&TLS13).await;
    for _ in 0..100 {
        client.refresh_traffic_keys().unwrap();
    }
    let records = said(&mut client, b"");
    wire.write_all(&records).await.unwrap();
    let error = server.read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(server.held() < 1_000, "{}", server.held());
}

#[tokio::test]
async fn a_client_that_wants_to_negotiate_anew_is_told_no_and_then_ended() {
    let (mut server, mut client, mut wire) = by_hand(&TLS12).await;
    assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    // Nothing of rustls makes one. In clear it is what anybody on the way could send, and is not believed.
    let hello = b"\x16\x03\x03\x00\x04\x01\x00\x00\x00";
    wire.write_all(hello).await.unwrap();
    let error = server.read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(hear(&mut client, &mut wire).await.is_some());
}

#[tokio::test]
async fn a_handshake_that_is_none_is_told_so() {
    let both = Both::new();
    for (sent, expected) in [
        (
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            io::ErrorKind::InvalidData,
        ),
        (
            b"\x16\x03\x01\x00\x05\x01\x00\x00\x01",
            io::ErrorKind::UnexpectedEof,
        ),
        (b"", io::ErrorKind::UnexpectedEof),
    ] {
        let (near, mut far) = duplex(1 << 16);
        far.write_all(sent).await.unwrap();
        far.shutdown().await.unwrap();
        let error = both.tls.accept(near).await.err().unwrap();
        assert_eq!(error.kind(), expected);
        let mut told = Vec::new();
        far.read_to_end(&mut told).await.unwrap();
        let alerted = told.starts_with(b"\x15\x03");
        assert_eq!(alerted, expected == io::ErrorKind::InvalidData, "{told:?}");
    }
}

#[tokio::test]
async fn a_hello_without_an_end_is_not_waited_for() {
    let both = Both::new();
    let (near, mut far) = duplex(1 << 20);
    // A message of 60,000 bytes in records of 1,000.
    let mut sent = vec![];
    for record in 0..60 {
        sent.extend(b"\x16\x03\x01\x03\xe8");
        let mut payload = vec![0; 1_000];
        if record == 0 {
            payload[..4].copy_from_slice(b"\x01\x00\xea\x60");
        }
        sent.extend(payload);
    }
    far.write_all(&sent).await.unwrap();
    let error = both.tls.accept(near).await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn empty_records_without_end_are_not_taken() {
    let (mut server, client, mut wire) = by_hand(&TLS12).await;
    drop(client);
    wire.write_all(&b"\x17\x03\x03\x00\x00".repeat(1_000))
        .await
        .unwrap();
    let error = server.read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}
