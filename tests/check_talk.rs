//! Conversations with hostile peers: what each of them comes to, within the time that was given.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use failover::{Check, DnsCheck, SmtpCheck, TcpCheck, TlsCheck, second};

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
    assert!(found(tcp(port, 0.5).expect("never").unwrap()).starts_with("fail: answer timeout: 2"));
    assert_eq!(found(smtp(port, 0.5)), "fail: answer timeout");
    let port = peer(|mut stream| {
        for byte in b"\x16\x03\x03\0\x3d\x02\0\0\x39\x03" {
            let _ = stream.write_all(&[*byte]);
            a_moment();
        }
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
        found(tcp(port, 0.2).expect("* OK").unwrap()),
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

/// A name server that hands each question to this, and sends what that makes of it.
fn name_server(answer: impl Fn(usize, &[u8]) -> Vec<Vec<u8>> + Send + 'static) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        for count in 0.. {
            let Ok((len, from)) = socket.recv_from(&mut buffer) else {
                return;
            };
            for datagram in answer(count, &buffer[..len]) {
                let _ = socket.send_to(&datagram, from);
            }
        }
    });
    port
}

/// The answer to a question with this response code and these addresses.
fn answer(question: &[u8], code: u8, addresses: &[[u8; 4]]) -> Vec<u8> {
    let mut bytes = question.to_vec();
    bytes[2] |= 0x80;
    bytes[3] = 0x80 | code;
    bytes[7] = addresses.len() as u8;
    for address in addresses {
        bytes.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04");
        bytes.extend_from_slice(address);
    }
    bytes
}

const ADDRESSES: [[u8; 4]; 2] = [[192, 0, 2, 1], [192, 0, 2, 2]];

fn dns(port: u16, timeout: f64) -> DnsCheck {
    let check = DnsCheck::new("www.example", second(timeout)).unwrap();
    check.server("127.0.0.1", port).unwrap()
}

#[test]
fn a_name_servers_answer_is_judged() {
    let port = name_server(|_, question| vec![answer(question, 0, &ADDRESSES)]);
    let both = "192.0.2.1, 192.0.2.2";
    assert_eq!(found(dns(port, 30.0)), format!("ok: dns answered: {both}"));
    let expected = dns(port, 30.0).expect("192.0.2.2").unwrap();
    assert_eq!(found(expected), format!("ok: dns answered: {both}"));
    let expected = dns(port, 30.0).expect("192.0.2.3").unwrap();
    assert_eq!(
        found(expected),
        format!("fail: dns answer not expected: {both}")
    );
    let other_kind = dns(port, 30.0).record_type("mx").unwrap();
    assert_eq!(found(other_kind), "fail: dns no record: www.example MX");
    for (code, expected) in [
        (0, "fail: dns no record: www.example A"),
        (1, "fail: dns server failure: www.example A: FORMERR"),
        (2, "fail: dns server failure: www.example A: SERVFAIL"),
        (3, "fail: dns no such name: www.example A"),
        (5, "fail: dns refused: www.example A"),
    ] {
        let port = name_server(move |_, question| vec![answer(question, code, &[])]);
        assert_eq!(found(dns(port, 30.0)), expected);
    }
}

#[test]
fn answers_to_something_else_are_passed_over() {
    // All of these first, and then the right one.
    let port = name_server(|_, question| {
        let right = answer(question, 0, &ADDRESSES);
        let spoilt = |at: usize, flip: u8| {
            let mut bytes = right.clone();
            bytes[at] ^= flip;
            bytes
        };
        // Another id; no response; an UPDATE; another name; another type.
        let wrong = [
            (0, 1),
            (2, 0x80),
            (2, 0x28),
            (14, 1),
            (question.len() - 3, 3),
        ];
        let mut all: Vec<Vec<u8>> = wrong.iter().map(|(at, flip)| spoilt(*at, *flip)).collect();
        all.extend([question.to_vec(), b"x".to_vec(), Vec::new(), right.clone()]);
        all
    });
    assert!(found(dns(port, 30.0)).starts_with("ok: dns answered: 192.0.2.1"));
    let only_wrong = name_server(|_, question| {
        let mut bytes = answer(question, 0, &ADDRESSES);
        bytes[0] ^= 1;
        vec![bytes]
    });
    assert_eq!(
        found(dns(only_wrong, 0.3)),
        format!("fail: answer timeout: 127.0.0.1:{only_wrong}")
    );
}

#[test]
fn a_lost_packet_is_sent_again() {
    let port = name_server(|count, question| match count {
        0 | 1 => Vec::new(),
        _ => vec![answer(question, 0, &ADDRESSES)],
    });
    assert!(found(dns(port, 3.0)).starts_with("ok: dns answered"));
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    assert_eq!(
        found(dns(port, 0.3)),
        format!("fail: answer timeout: 127.0.0.1:{port}")
    );
    silent.set_nonblocking(true).unwrap();
    let mut questions = Vec::new();
    let mut buffer = [0; 512];
    while let Ok(len) = silent.recv(&mut buffer) {
        questions.push(buffer[..len].to_vec());
    }
    assert_eq!(questions.len(), 3);
    assert!(questions.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_closed_port_is_unreachable_and_a_spoilt_answer_malformed() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    drop(socket);
    assert_eq!(
        found(dns(port, 30.0)),
        format!("fail: dns server unreachable: 127.0.0.1:{port}")
    );
    let port = name_server(|_, question| {
        let mut bytes = answer(question, 0, &ADDRESSES);
        bytes.pop();
        vec![bytes]
    });
    assert_eq!(found(dns(port, 30.0)), "fail: answer malformed: cut short");
}

#[test]
fn a_truncated_answer_is_asked_for_over_tcp() {
    type Act = fn(TcpStream);
    /// Reads the question and answers it, in two pieces.
    fn answers(mut stream: TcpStream) {
        let mut len = [0; 2];
        stream.read_exact(&mut len).unwrap();
        let mut question = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut question).unwrap();
        let bytes = answer(&question, 0, &[[198, 51, 100, 7]; 100]);
        let _ = stream.write_all(&(bytes.len() as u16).to_be_bytes());
        let _ = stream.write_all(&bytes);
    }
    let acts: [(Act, &str); 4] = [
        (answers, "ok: dns answered: 198.51.100.7, "),
        (
            |mut stream| {
                let _ = stream.write_all(b"\xff\xffx");
                let _ = stream.shutdown(Shutdown::Write);
                let _ = stream.read_to_end(&mut Vec::new());
            },
            "fail: answer ended early",
        ),
        (
            |mut stream| {
                let _ = stream.write_all(b"\0\0");
                let _ = stream.read_to_end(&mut Vec::new());
            },
            "fail: answer malformed: cut short",
        ),
        (
            |mut stream| while stream.write_all(&[0xff; 4_096]).is_ok() {},
            "fail: answer malformed",
        ),
    ];
    for (act, expected) in acts {
        // The same port for both.
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
                break (tcp, udp);
            }
        };
        let port = tcp.local_addr().unwrap().port();
        thread::spawn(move || tcp.incoming().flatten().for_each(act));
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((len, from)) = udp.recv_from(&mut buffer) {
                let mut bytes = answer(&buffer[..len], 0, &[]);
                bytes[2] |= 2;
                let _ = udp.send_to(&bytes, from);
            }
        });
        let words = found(dns(port, 30.0));
        assert!(words.starts_with(expected), "{words}");
    }
}

#[test]
fn what_cannot_be_asked_is_an_error() {
    for name in ["", "a..b", "münchen.example", "a b", &"a".repeat(64)] {
        let error = DnsCheck::new(name, 3).unwrap_err().to_string();
        assert!(error.contains("is not a domain name; expected"), "{error}");
    }
    let check = DnsCheck::new("www.example.", second(3)).unwrap();
    assert_eq!(check.budget(), Some(Duration::from_secs(3)));
    assert_eq!(format!("{check:?}"), "DnsCheck(www.example. A within 3s)");
    assert!(check.clone().record_type("ANY").is_err());
    assert!(check.clone().expect(" ").is_err());
    assert!(check.clone().server("a b", 53).is_err());
    assert!(
        check
            .clone()
            .without_recursion()
            .server("::1", "domain")
            .is_ok()
    );
}
