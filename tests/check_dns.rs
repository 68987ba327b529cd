//! Questions to hostile name servers: which answers count, and what those come to.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use failover::{Check, DnsCheck, second};

use support::PATIENCE;

/// What one run came to, such as `fail: answer timeout`.
#[track_caller]
fn found(mut check: impl Check) -> String {
    let started = Instant::now();
    let outcome = check.check();
    assert!(started.elapsed() < PATIENCE, "{outcome}");
    format!("{}: {outcome}", outcome.health.word())
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
        found(dns(port, 2.0)),
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
