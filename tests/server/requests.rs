//! Requests that are refused, that come in pieces, or that bring more than they should.
//!
//! Whatever was sent, the client reads a whole answer and then an orderly end: never a reset
//! because of bytes that the server left unread.

use std::io::{Read, Write};
use std::net::Shutdown;

use failover::{Background, HealthCheckServer, Post, Reply, ok, second};

use crate::support::{Gate, Served, a_moment, body, exact, rest, status};

/// `/up` answers from memory, `/asked` runs its check, `/echo` says how long a POST's body was.
fn served() -> Served {
    served_with(HealthCheckServer::builder())
}

fn served_with(builder: failover::ServerBuilder) -> Served {
    Served::with(builder, |server| {
        let up = Background::new(|| true, second(3_600), ok).unwrap();
        server.add_component("up", up).unwrap();
        server.add_component("asked", || true).unwrap();
        let echo = |post: &Post| Reply::new(200, format!("{} bytes", post.body().len()));
        server
            .add_component_with_post("echo", || true, echo)
            .unwrap();
    })
}

#[track_caller]
fn assert_refused(served: &Served, request: &str, line: &str, why: &str) {
    let answer = served.ask(request);
    let text = body(&answer);
    assert!(
        text.starts_with(&format!("ERROR: {why}")),
        "{request:?}: {answer}"
    );
    assert_eq!(answer, exact(line, text.len(), "", &text), "{request:?}");
}

#[test]
fn what_is_no_request_is_refused_with_the_reason() {
    let served = served();
    for (request, why) in [
        ("nonsense\r\n\r\n", "the request line is not"),
        ("GET /up\r\n\r\n", "the request line is not"),
        ("GET /up HTTP/1.1\r\n\r\n", "HTTP/1.1 without a Host"),
        ("GET /%4 HTTP/1.0\r\n\r\n", "a % without two"),
        ("GET up HTTP/1.0\r\n\r\n", "the target is neither"),
        ("GET * HTTP/1.0\r\n\r\n", "the target is neither"),
        (
            "POST /echo HTTP/1.0\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "more than one Content-Length",
        ),
        (
            "POST /echo HTTP/1.0\r\nContent-Length: 1\r\nTransfer-Encoding: a\r\n\r\nb",
            "Content-Length beside Transfer-Encoding",
        ),
    ] {
        assert_refused(&served, request, "400 Bad Request", why);
    }
    let http_2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    assert_refused(
        &served,
        http_2,
        "505 HTTP Version Not Supported",
        "only HTTP/1.0",
    );
    let miracle =
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: a miracle\r\n\r\n";
    assert_refused(
        &served,
        miracle,
        "417 Expectation Failed",
        "only 100-continue",
    );
}

#[test]
fn what_is_too_long_is_refused_with_the_limit() {
    let served = served();
    let chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_refused(&served, chunked, "411 Length Required", "a body needs");
    for length in ["16385", "99999999999999999999999"] {
        let long = format!("POST /echo HTTP/1.0\r\nContent-Length: {length}\r\n\r\n");
        assert_refused(
            &served,
            &long,
            "413 Content Too Large",
            "the body is longer",
        );
    }
    let long = format!("GET /{} HTTP/1.0\r\n\r\n", "a".repeat(5_000));
    assert_refused(
        &served,
        &long,
        "414 URI Too Long",
        "the request line is over 4 KiB",
    );
    let line = "431 Request Header Fields Too Large";
    let many = format!("GET /up HTTP/1.0\r\n{}\r\n", "A: b\r\n".repeat(101));
    assert_refused(&served, &many, line, "more than 100 headers");
    let long = format!("GET /up HTTP/1.0\r\nA: {}\r\n\r\n", "b".repeat(8_192));
    assert_refused(&served, &long, line, "the request's head is over 8 KiB");
}

#[test]
fn a_request_that_does_not_come_in_full_is_answered_408() {
    let builder = HealthCheckServer::builder();
    // Enough for a client that is made to wait before it sends what it does send.
    let served = served_with(builder.request_timeout(second(1)).unwrap());
    for begun in [
        "GET /up HTTP",
        "POST /echo HTTP/1.0\r\nContent-Length: 5\r\n\r\nab",
    ] {
        let text = "ERROR: the request did not come in full in time";
        let answer = served.ask(begun);
        assert_eq!(answer, exact("408 Request Timeout", text.len(), "", text));
    }
    assert_eq!(served.ask(""), "", "who asked nothing is answered nothing");
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let served = served();
    for (request, expected) in [
        ("GET /up HTTP/1.0\r\nA: b\r\n\r\n", "OK"),
        ("GET /asked HTTP/1.0\r\n\r\n", "OK"),
        (
            "POST /echo HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
            "3 bytes",
        ),
    ] {
        let mut client = served.client("");
        for byte in request.bytes() {
            client.write_all(&[byte]).unwrap();
            // A word to somebody else in between, so that each byte is seen on its own.
            assert_eq!(served.get("/up"), "OK");
        }
        assert_eq!(body(&rest(client)), expected);
    }
}

#[test]
fn a_request_may_come_in_two_pieces_split_anywhere() {
    let served = served();
    let request = b"POST /echo HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc";
    for at in 1..request.len() {
        let mut client = served.client(&request[..at]);
        client.write_all(&request[at..]).unwrap();
        assert_eq!(body(&rest(client)), "3 bytes", "split at {at}");
    }
}

#[test]
fn a_client_may_close_its_side_once_it_has_asked() {
    let served = served();
    for (path, expected) in [("up", "OK"), ("asked", "OK"), ("nothing", "ERROR")] {
        let client = served.client(format!("GET /{path} HTTP/1.0\r\n\r\n"));
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(body(&rest(client)), expected);
    }
    let client = served.client("POST /echo HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(body(&rest(client)), "3 bytes");
}

#[test]
fn a_client_that_closes_its_side_too_early_gets_an_end() {
    let served = served();
    for begun in [
        "",
        "GET /u",
        "POST /echo HTTP/1.0\r\nContent-Length: 9\r\n\r\nabc",
    ] {
        let client = served.client(begun);
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(client), "", "{begun:?}");
    }
}

#[test]
fn surplus_in_the_same_segment_is_read_and_forgotten() {
    let served = served();
    for path in ["up", "asked", "nothing"] {
        let one = format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = served.ask(one.repeat(5));
        assert_eq!(answer, served.ask(&one), "one answer, not five");
    }
    let answer = served.ask("POST /echo HTTP/1.0\r\nContent-Length: 3\r\n\r\nabcdef\r\n");
    assert_eq!(body(&answer), "3 bytes");
}

#[test]
fn a_body_of_a_get_is_no_harm() {
    let served = served();
    for path in ["up", "asked"] {
        let head = format!("GET /{path} HTTP/1.0\r\nContent-Length: 4096\r\n\r\n");
        let answer = served.ask(head + &"x".repeat(4_096));
        assert_eq!(answer, exact("200 OK", 2, "", "OK"));
    }
}

#[test]
fn an_oversized_head_is_answered_and_never_reset() {
    let served = served();
    for _ in 0..20 {
        let header = format!("X: {}\r\n", "y".repeat(64 * 1024));
        let answer = served.ask(format!("GET /up HTTP/1.0\r\n{header}\r\n"));
        assert_eq!(status(&answer), 431);
        let answer = served.ask(format!("GET /{} HTTP/1.0\r\n\r\n", "y".repeat(64 * 1024)));
        assert_eq!(status(&answer), 414);
        let answer = served.ask([0; 64 * 1024]);
        assert_eq!(status(&answer), 414);
    }
}

#[test]
fn a_large_body_is_answered_and_never_reset() {
    let generous = served_with(HealthCheckServer::builder().max_body(64 * 1024));
    let strict = served();
    let post = |path: &str| {
        let head = format!("POST /{path} HTTP/1.0\r\nContent-Length: 65536\r\n\r\n");
        head + &"x".repeat(65_536)
    };
    for _ in 0..20 {
        assert_eq!(body(&generous.ask(post("echo"))), "65536 bytes");
        assert_eq!(status(&generous.ask(post("up"))), 405);
        for path in ["echo", "up", "nothing"] {
            assert_eq!(status(&strict.ask(post(path))), 413);
        }
    }
}

#[test]
fn a_body_as_long_as_may_be_is_taken_and_one_byte_more_is_not() {
    let served = served_with(HealthCheckServer::builder().max_body(100));
    let post = |len: usize| {
        let head = format!("POST /echo HTTP/1.0\r\nContent-Length: {len}\r\n\r\n");
        served.ask(head + &"x".repeat(len))
    };
    assert_eq!(body(&post(100)), "100 bytes");
    assert_eq!(status(&post(101)), 413);
}

#[test]
fn who_has_begun_its_body_is_not_told_to_continue() {
    let served = served();
    let head =
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(body(&served.ask(format!("{head}abc"))), "3 bytes");
    // An HTTP/1.0 client's expectation is to be ignored (RFC 9110 section 10.1.1).
    let old = head.replace("HTTP/1.1", "HTTP/1.0");
    let mut client = served.client(&old);
    client.write_all(b"abc").unwrap();
    assert_eq!(body(&rest(client)), "3 bytes");
}

#[test]
fn who_expects_to_be_told_to_continue_is_told_once() {
    let served = served();
    let head =
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    // At once, and in two pieces.
    for at in [0, 30, head.len()] {
        let mut client = served.client(&head[..at]);
        client.write_all(&head.as_bytes()[at..]).unwrap();
        let expected = "HTTP/1.1 100 Continue\r\n\r\n";
        let mut told = vec![0; expected.len()];
        client.read_exact(&mut told).unwrap();
        assert_eq!(String::from_utf8_lossy(&told), expected);
        for byte in b"abc" {
            client.write_all(&[*byte]).unwrap();
            assert_eq!(served.get("/up"), "OK");
        }
        let answer = rest(client);
        assert_eq!(answer, exact("200 OK", 7, "", "3 bytes"));
    }
}

/// A client that goes on after a whole request breaks the protocol, and may find the connection
/// reset when it does so after the answer was decided; but never before it has the answer.
#[test]
fn surplus_in_a_later_segment_costs_no_client_its_answer() {
    let served = served();
    for path in ["up", "asked", "nothing"] {
        for _ in 0..200 {
            let mut client = served.client(format!("GET /{path} HTTP/1.0\r\n\r\n"));
            let _ = client.write_all(b"\r\n");
            let mut answer = Vec::new();
            let _ = client.read_to_end(&mut answer);
            let answer = String::from_utf8(answer).unwrap();
            let word = if path == "nothing" { "ERROR" } else { "OK" };
            assert!(answer.ends_with(&format!("\r\n\r\n{word}")), "{answer}");
        }
    }
}

#[test]
fn surplus_while_a_run_is_waited_for_resets_nothing() {
    let (mut gate, check) = Gate::new();
    let served = Served::new(|server| server.add_component("gated", check).unwrap());
    let mut client = served.client("GET /gated HTTP/1.0\r\n\r\n");
    gate.hangs();
    client.write_all(b"GET /gated HTTP/1.0\r\n\r\n").unwrap();
    a_moment();
    gate.open();
    assert_eq!(rest(client), exact("200 OK", 2, "", "OK"));
}
