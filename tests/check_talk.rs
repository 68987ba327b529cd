//! Conversations with hostile peers: what each of them comes to, within the time that was given.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use failover::{Check, SmtpCheck, TcpCheck, TlsCheck, second};

use support::{PATIENCE, a_moment, dead_port, peer};

/// What one run came to, such as `fail: answer timeout`.
#[track_caller]
fn found(mut check: impl Check) -> String {
    let started = Instant::now();
    let outcome = check.check();
    assert!(started.elapsed() < PATIENCE, "{outcome}");
    format!("{}: {outcome}", outcome.health.word())
}

fn tcp(port: u16, timeout: f64) -> TcpCheck {
    TcpCheck::new("127.0.0.1", port, second(timeout)).unwrap()
}

fn tls(port: u16, timeout: f64) -> TlsCheck {
    TlsCheck::new("127.0.0.1", port, second(timeout)).unwrap()
}

fn smtp(port: u16, timeout: f64) -> SmtpCheck {
    SmtpCheck::new("127.0.0.1", port, second(timeout)).unwrap()
}

/// All three on the same port, each waiting for something.
fn each(port: u16, timeout: f64) -> Vec<Box<dyn Check>> {
    vec![
        Box::new(tcp(port, timeout).expect("never").unwrap()),
        Box::new(tls(port, timeout)),
        Box::new(smtp(port, timeout)),
    ]
}

/// A peer that sends these pieces, with a pause after each, and then waits for the other's end.
fn says(pieces: &'static [&'static [u8]]) -> u16 {
    peer(move |mut stream| {
        for piece in pieces {
            if stream.write_all(piece).is_err() {
                return;
            }
            thread::yield_now();
        }
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

#[test]
fn nobody_there_is_refused() {
    let port = dead_port();
    for check in each(port, 30.0) {
        assert_eq!(
            found(check),
            format!("fail: tcp connect refused: 127.0.0.1:{port}")
        );
    }
}

#[test]
fn a_peer_that_hangs_is_a_timeout() {
    // Accepted by the system, and then nothing.
    let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = hangs.local_addr().unwrap().port();
    for check in each(port, 0.2) {
        assert_eq!(found(check), "fail: answer timeout");
    }
}

#[test]
fn a_byte_now_and_then_extends_nothing() {
    let port = peer(|mut stream| {
        // Good for each of them, so far.
        while stream.write_all(b"2").is_ok() {
            a_moment();
        }
    });
    assert!(found(tcp(port, 0.5).expect("never").unwrap()).starts_with("fail: answer timeout"));
    assert_eq!(found(smtp(port, 0.5)), "fail: answer timeout");
    let port = peer(|mut stream| {
        for byte in b"\x16\x03\x03\0\x3d\x02\0\0\x39\x03" {
            let _ = stream.write_all(&[*byte]);
            a_moment();
        }
        let _ = stream.read_to_end(&mut Vec::new());
    });
    assert_eq!(found(tls(port, 0.5)), "fail: answer timeout");
}

#[test]
fn an_endless_peer_is_cut_off() {
    let port = peer(|mut stream| while stream.write_all(&[b'2'; 4_096]).is_ok() {});
    assert!(found(tcp(port, 30.0).expect("never").unwrap()).starts_with("fail: text missing: 222"));
    assert_eq!(
        found(smtp(port, 30.0)),
        "fail: answer too long: over 2048 bytes"
    );
    assert!(found(tls(port, 30.0)).starts_with("fail: tls not spoken: plain text: 222"));
    let port = peer(|mut stream| while stream.write_all(b"250-and more\r\n").is_ok() {});
    assert_eq!(
        found(smtp(port, 30.0)),
        "fail: answer too long: over 100 lines"
    );
    // Warnings without end.
    let port = peer(|mut stream| while stream.write_all(b"\x15\x03\x03\0\x02\x01\x70").is_ok() {});
    assert_eq!(
        found(tls(port, 30.0)),
        "fail: answer too long: over 4096 bytes"
    );
}

#[test]
fn a_peer_that_ends_early_is_told_from_one_that_resets() {
    let closes = peer(|stream| {
        // So that closing is no reset.
        let _ = stream.shutdown(Shutdown::Write);
        let _ = (&stream).read_to_end(&mut Vec::new());
    });
    let [text, tls_answer, greeting] = [0, 1, 2].map(|n| found(each(closes, 30.0).swap_remove(n)));
    assert_eq!(text, "fail: text missing");
    assert_eq!(tls_answer, "fail: answer ended early");
    assert_eq!(greeting, "fail: answer ended early");
    let resets = peer(|mut stream| {
        let _ = stream.read_exact(&mut [0; 2]);
    });
    let pinged = tcp(resets, 30.0).send("PING\r\n").unwrap();
    assert_eq!(found(pinged.expect("+PONG").unwrap()), "fail: answer reset");
    assert_eq!(found(tls(resets, 30.0)), "fail: answer reset");
}

#[test]
fn a_text_is_found_wherever_it_is_cut() {
    let port = says(&[b"+", b"PO", b"NG\r\n"]);
    let check = tcp(port, 30.0).send("PING\r\n").unwrap();
    let expected = format!("ok: text found: 127.0.0.1:{port}");
    assert_eq!(found(check.clone().expect("+PONG").unwrap()), expected);
    assert_eq!(found(check.clone().expect("NG\r\n").unwrap()), expected);
    let port = says(&[b"aab", b"aa", b"aabaab"]);
    assert_eq!(
        found(tcp(port, 30.0).expect("aaaabaab").unwrap()),
        format!("ok: text found: 127.0.0.1:{port}")
    );
    // Not beyond what is listened to, and just at its end.
    let port = peer(|mut stream| {
        let mut long = vec![b'.'; 16 * 1024 - 4];
        long.extend_from_slice(b"here and there");
        let _ = stream.write_all(&long);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    assert!(found(tcp(port, 30.0).expect("here").unwrap()).starts_with("ok: text found"));
    let missing = found(tcp(port, 30.0).expect("here ").unwrap());
    assert_eq!(missing, format!("fail: text missing: {}", ".".repeat(100)));
}

#[test]
fn another_text_is_shown_and_what_comes_late_is_not_waited_for() {
    let port = peer(|mut stream| {
        let _ = stream.read(&mut [0; 16]);
        let _ = stream.write_all(b"-LOADING Redis is loading the dataset\r\n");
    });
    let check = tcp(port, 30.0).send("PING\r\n").unwrap();
    assert_eq!(
        found(check.expect("+PONG").unwrap()),
        "fail: text missing: -LOADING Redis is loading the dataset\\r\\n"
    );
    let port = says(&[b"SSH-2.0-x\r\n"]);
    assert_eq!(
        found(tcp(port, 1.5).expect("* OK").unwrap()),
        "fail: answer timeout: SSH-2.0-x\\r\\n"
    );
}

#[test]
fn what_is_sent_without_expecting_arrives_and_ends_in_order() {
    let (sender, seen) = channel();
    let port = peer(move |mut stream| {
        let mut got = Vec::new();
        let end = stream.read_to_end(&mut got).map_err(|error| error.kind());
        // An answer after the end is still taken, so that nobody is reset.
        let answered = stream.write_all(b"+OK\r\n").is_ok();
        let _ = sender.send((got, end, answered));
    });
    for _ in 0..20 {
        let check = tcp(port, 30.0).send(b"QUIT\r\n").unwrap();
        assert_eq!(found(check), format!("ok: tcp connected: 127.0.0.1:{port}"));
        let seen = seen.recv_timeout(PATIENCE).unwrap();
        assert_eq!(seen, (b"QUIT\r\n".to_vec(), Ok(6), true));
    }
}

#[test]
fn what_cannot_be_sent_or_expected_is_an_error() {
    let long = vec![b'x'; 16 * 1024 + 1];
    for bad in [&b""[..], &long] {
        for result in [tcp(1, 1.0).send(bad), tcp(1, 1.0).expect(bad)] {
            let error = result.unwrap_err().to_string();
            assert!(
                error.ends_with("cannot be used; expected 1 to 16384"),
                "{error}"
            );
        }
    }
    assert!(tcp(1, 1.0).connect_timeout(0).is_err());
    assert!(smtp(25, 1.0).helo("mail.example\r\nRSET").is_err());
    assert!(tls(443, 1.0).sni("192.0.2.1").is_err());
}

#[test]
fn a_connect_timeout_is_within_the_whole() {
    let Some(hole) = support::BlackHole::new() else {
        println!("skipped: this system answers however full a listener's queue is");
        return;
    };
    let check = tcp(hole.port(), 600.0)
        .connect_timeout(second(0.2))
        .unwrap();
    assert_eq!(check.budget(), Some(Duration::from_secs(600)));
    let expected = format!("fail: tcp connect timeout: 127.0.0.1:{}", hole.port());
    assert_eq!(found(check), expected);
}

/// A ServerHello of this version.
fn server_hello(minor: u8) -> Vec<u8> {
    let mut record = vec![22, 3, 3, 0, 61, 2, 0, 0, 57, 3, minor];
    record.resize(5 + 61, 0x5a);
    record
}

/// What a TLS server comes to that answers the hello with this.
fn tls_answered(answer: &[u8]) -> String {
    let answer = answer.to_vec();
    let port = peer(move |mut stream| {
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).unwrap();
        assert_eq!(hello[..3], [22, 3, 1]);
        let mut rest = vec![0; usize::from(u16::from_be_bytes([hello[3], hello[4]]))];
        stream.read_exact(&mut rest).unwrap();
        let _ = stream.write_all(&answer);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    found(tls(port, 30.0))
}

#[test]
fn what_a_tls_server_answers_is_told_apart() {
    assert_eq!(tls_answered(&server_hello(3)), "ok: tls spoken: TLS 1.2");
    assert_eq!(tls_answered(&server_hello(1)), "ok: tls spoken: TLS 1.0");
    let alert = |level, number| [21, 3, 3, 0, 2, level, number];
    assert_eq!(
        tls_answered(&alert(2, 70)),
        "ok: tls spoken: alert protocol version: TLS 1.3 only"
    );
    assert_eq!(
        tls_answered(&alert(2, 40)),
        "fail: tls alert: 40 handshake_failure"
    );
    assert_eq!(
        tls_answered(&alert(1, 112)),
        "fail: tls alert: 112 unrecognized_name"
    );
    assert_eq!(tls_answered(&alert(2, 200)), "fail: tls alert: 200 unknown");
    let warned = [alert(1, 112).to_vec(), server_hello(3)].concat();
    assert_eq!(tls_answered(&warned), "ok: tls spoken: TLS 1.2");
    assert_eq!(
        tls_answered(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        "fail: tls not spoken: plain HTTP: HTTP/1.1 400 Bad Request"
    );
    assert_eq!(
        tls_answered(b"\x16\x03\x03\0\0"),
        "fail: tls not spoken: bytes of another protocol: \\u{16}\\u{3}\\u{3}\\0\\0"
    );
    assert_eq!(
        tls_answered(&server_hello(3)[..9]),
        "fail: answer ended early"
    );
}

/// A mail server that answers each line with the next of its replies, and sends what it heard.
fn mail_server(replies: &'static [&'static str]) -> (u16, std::sync::mpsc::Receiver<String>) {
    let (sender, heard) = channel();
    let port = peer(move |stream| {
        let mut lines = std::io::BufReader::new(stream);
        let mut all = String::new();
        for reply in replies {
            let _ = lines.get_mut().write_all(reply.as_bytes());
            let read = std::io::BufRead::read_line(&mut lines, &mut all);
            if !matches!(read, Ok(len) if len > 0) {
                break;
            }
        }
        let _ = sender.send(all);
    });
    (port, heard)
}

#[test]
fn a_mail_server_hears_an_ordinary_session() {
    let (port, heard) = mail_server(&[
        "220-mail.example ESMTP\r\n220 no spam\r\n",
        "250-mail.example\r\n250-SIZE 1000\r\n250 HELP\r\n",
        "221 bye\r\n",
    ]);
    let check = smtp(port, 30.0).helo("lb1.example").unwrap();
    assert_eq!(
        found(check),
        "ok: smtp ready: 220 mail.example ESMTP no spam"
    );
    assert_eq!(
        heard.recv_timeout(PATIENCE).unwrap(),
        "EHLO lb1.example\r\nQUIT\r\n"
    );
    let (port, heard) = mail_server(&["220 old\r\n", "502 what?\r\n", "250 hi\r\n", "221\r\n"]);
    assert_eq!(found(smtp(port, 30.0)), "ok: smtp ready: 220 old");
    let heard = heard.recv_timeout(PATIENCE).unwrap();
    let words: Vec<&str> = heard.split_whitespace().collect();
    assert_eq!([words[0], words[2], words[4]], ["EHLO", "HELO", "QUIT"]);
    assert_eq!(words[1], words[3]);
    assert!(
        words[1] == "[127.0.0.1]" || words[1].contains('.'),
        "{heard}"
    );
}

#[test]
fn a_mail_server_that_refuses_is_quoted_and_left_politely() {
    for (replies, expected, last) in [
        (
            &["554 no service\r\n", "221\r\n"][..],
            "554 no service",
            "QUIT\r\n",
        ),
        (
            &["220 hi\r\n", "421 shutting down\r\n"],
            "421 shutting down",
            "",
        ),
        (&["421-too\r\n421 busy\r\n"], "421 too busy", ""),
        (
            &["220 hi\r\n", "550 go away\r\n", "221\r\n"],
            "550 go away",
            "QUIT\r\n",
        ),
        (
            &["220 hi\r\n", "500 ?\r\n", "504 no\r\n", "221\r\n"],
            "504 no",
            "QUIT\r\n",
        ),
    ] {
        let (port, heard) = mail_server(replies);
        let check = smtp(port, 30.0).helo("a.example").unwrap();
        assert_eq!(found(check), format!("fail: smtp refused: {expected}"));
        let heard = heard.recv_timeout(PATIENCE).unwrap();
        assert!(heard.ends_with(last), "{heard:?}");
        assert_eq!(heard.contains("QUIT"), !last.is_empty(), "{heard:?}");
    }
}

#[test]
fn what_is_no_reply_is_malformed() {
    for greeting in [
        "HTTP/1.1 400 Bad\r\n",
        "220-a\r\n250 b\r\n",
        "+OK\r\n",
        "\r\n",
        "22\r\n",
    ] {
        let greeting = greeting.to_string();
        let port = peer(move |mut stream| {
            let _ = stream.write_all(greeting.as_bytes());
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let words = found(smtp(port, 30.0));
        assert!(words.starts_with("fail: answer malformed"), "{words}");
    }
}
