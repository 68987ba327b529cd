//! Each way not to answer comes to its own reason, before the deadline.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use failover::{Check, Health, HttpCheck, second};

use crate::support::{BlackHole, PATIENCE, dead_port, peer};
use crate::{assert_outcome, check_of, hang, request, server};

#[track_caller]
fn assert_each(cases: &[(&str, &[u8])], words: &str) {
    for (what, bytes) in cases {
        let outcome = check_of(server(bytes.to_vec()), "/").check();
        assert_eq!(
            (outcome.health, outcome.reason.words()),
            (Health::Fail, words),
            "{what}: {outcome}"
        );
    }
}

#[test]
fn what_is_not_whole_ended_early() {
    assert_each(
        &[
            ("nothing", b""),
            ("half a line", b"HTTP/1.1 2"),
            ("half a head", b"HTTP/1.1 200 OK\r\n"),
            (
                "too little",
                b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
            ),
            (
                "no last chunk",
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n",
            ),
        ],
        "answer ended early",
    );
}

#[test]
fn what_is_no_http_is_malformed() {
    let interim = "HTTP/1.1 100 Go\r\n\r\n".repeat(20);
    assert_each(
        &[
            ("garbage", b"\0\x01\xff garbage\r\n\r\n"),
            ("a greeting", b"220 mail.example ESMTP\r\n"),
            ("an HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
            ("HTTP/2 settings", b"\0\0\0\x04\0\0\0\0\0"),
            ("an HTTP/2 status", b"HTTP/2 200\r\n\r\n"),
            ("a TLS alert", b"\x15\x03\x01\0\x02\x02\x46"),
            (
                "two lengths",
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
            ),
            (
                "a bad chunk",
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            ),
            ("interim answers for ever", interim.as_bytes()),
        ],
        "answer malformed",
    );
}

#[test]
fn what_is_too_long_is_not_read_on() {
    let one_line = format!("HTTP/1.1 200 {}", "b".repeat(100_000));
    let one_header = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(100_000));
    assert_each(
        &[
            ("a long line", one_line.as_bytes()),
            ("a long header", one_header.as_bytes()),
        ],
        "answer too long",
    );
}

#[test]
fn who_speaks_something_else_is_told_at_once() {
    let port = peer(|mut stream| {
        let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
        hang(&mut stream);
    });
    let started = Instant::now();
    let outcome = check_of(port, "/").check();
    assert_eq!(outcome.reason.words(), "answer malformed");
    assert!(started.elapsed() < PATIENCE / 2);
}

#[test]
fn a_connection_that_cannot_be_made_or_is_reset_is_told() {
    let port = dead_port();
    let expected = format!("Fail tcp connect refused: 127.0.0.1:{port}");
    assert_outcome(&mut check_of(port, "/"), &expected);
    let mut check = HttpCheck::new("http://failover.invalid/", second(30)).unwrap();
    assert_ne!(check.check().health, Health::Ok);
    // Closed with something unread.
    let port = peer(|mut stream| {
        let _ = stream.read(&mut [0; 4]);
    });
    let outcome = check_of(port, "/").check();
    assert_eq!(outcome.reason.words(), "answer reset", "{outcome}");
    let mut check = check_of(port, "/").source_host("192.0.2.1").unwrap();
    assert_eq!(check.check().health, Health::Unknown);
}

#[test]
fn one_deadline_is_for_all_of_it_however_the_server_dawdles() {
    type Serve = fn(&mut TcpStream);
    let dawdlers: [(&str, Serve); 7] = [
        ("hangs", hang),
        ("a byte at a time", |stream| {
            for byte in b"HTTP/1.1 200 OK\r\n" {
                dribble_once(stream, &[*byte]);
            }
            dribble(stream, b"x");
        }),
        ("endless headers", |stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
            dribble(stream, b"A: b\r\n");
        }),
        ("a line without end", |stream| {
            dribble(stream, b"HTTP/1.1 1")
        }),
        ("half a body", |stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
            hang(stream);
        }),
        ("a body without end", |stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            dribble(stream, b"x");
        }),
        ("chunks without end", |stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            dribble(stream, b"1\r\nx\r\n");
        }),
    ];
    for (what, serve) in dawdlers {
        let port = peer(move |mut stream| {
            request(&mut stream);
            serve(&mut stream);
        });
        let url = format!("http://127.0.0.1:{port}/");
        let mut check = HttpCheck::new(&url, second(0.4)).unwrap();
        assert_eq!(check.budget(), Some(Duration::from_millis(400)));
        let started = Instant::now();
        let outcome = check.check();
        let took = started.elapsed();
        assert_eq!(
            (outcome.health, outcome.reason.words()),
            (Health::Fail, "answer timeout"),
            "{what}"
        );
        assert!(took >= Duration::from_millis(400), "{what}: {took:?}");
        assert!(took < PATIENCE, "{what}: {took:?}");
    }
}

fn dribble_once(stream: &mut TcpStream, piece: &[u8]) {
    stream
        .set_read_timeout(Some(Duration::from_millis(10)))
        .unwrap();
    let _ = stream.write_all(piece);
    let _ = stream.read(&mut [0]);
}

#[test]
fn connecting_may_have_a_limit_of_its_own() {
    let Some(hole) = BlackHole::new() else {
        println!("skipped: this system answers however full a listener's queue is");
        return;
    };
    let mut check = check_of(hole.port(), "/")
        .connect_timeout(second(0.3))
        .unwrap();
    let started = Instant::now();
    let outcome = check.check();
    assert_eq!(outcome.reason.words(), "tcp connect timeout", "{outcome}");
    assert!(started.elapsed() < PATIENCE / 2);
}

/// Writes a piece now and then until the other side is gone.
fn dribble(stream: &mut TcpStream, piece: &[u8]) {
    stream
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    while stream.write_all(piece).is_ok() && !matches!(stream.read(&mut [0]), Ok(0)) {}
}
