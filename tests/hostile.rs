//! Every check that connects, against every hostile peer, in one list: whatever a peer does, the
//! check ends in its time, fails, and says why; it never passes, panics or blames us.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use failover::{
    Check, HaproxyTrafficCheck, Health, HttpCheck, PostgresCheck, Role, SmtpCheck, TcpCheck,
    TlsCheck, second,
};

use support::{BlackHole, PATIENCE, dead_port, peer};

/// For one check in all. Long enough for a loaded machine to do what it can do.
const TIMEOUT: f64 = 1.5;

/// A run that dawdles ends this long after its timeout at most: what ends it is a socket's own
/// time limit, and a thread that has to be run, beside a hundred others that never rest.
const SLACK: Duration = PATIENCE;

type Serve = fn(TcpStream);

fn endless(mut stream: TcpStream, bytes: &[u8]) {
    while stream.write_all(bytes).is_ok() {}
}

fn slowly(mut stream: TcpStream, bytes: &[u8]) {
    for byte in bytes.iter().cycle() {
        if stream.write_all(&[*byte]).is_err() {
            return;
        }
        pause(&stream);
    }
}

/// A moment in which nothing is written: nothing comes either, or it does not matter.
fn pause(mut stream: &TcpStream) {
    let _ = stream.set_read_timeout(Some(Duration::from_millis(50)));
    let _ = stream.read(&mut [0; 64]);
}

/// Says something, and takes what is said until the other side is done.
fn says(mut stream: TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

const PEERS: &[(&str, Serve)] = &[
    ("closes at once", drop),
    ("resets", |stream| {
        // Closing over what is unread resets the connection.
        let _ = stream.peek(&mut [0]);
    }),
    ("hangs", |mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    }),
    ("hangs after half a greeting", |mut stream| {
        let _ = stream.write_all(b"2");
        let _ = stream.read_to_end(&mut Vec::new());
    }),
    ("half-closes", |mut stream| {
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }),
    ("a byte now and then", |stream| {
        slowly(stream, b"220-HTTP/1.1 200 R\0")
    }),
    ("endless text without a line's end", |stream| {
        endless(stream, &[b'x'; 4_096]);
    }),
    ("endless lines", |stream| {
        endless(stream, b"220-more to come\r\n")
    }),
    ("endless headers", |mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        endless(stream, b"X-More: y\r\n");
    }),
    ("endless zeros", |stream| endless(stream, &[0; 4_096])),
    ("endless high bytes", |stream| {
        endless(stream, &[0xff; 4_096])
    }),
    ("a body that never comes", |mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 503 No\r\nContent-Length: 1000000000000\r\n\r\n");
        let _ = stream.read_to_end(&mut Vec::new());
    }),
    ("a length that is none", |stream| {
        says(stream, b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n");
    }),
    ("a chunk that is none", |stream| {
        says(
            stream,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        );
    }),
    ("a PostgreSQL frame of 4 GiB", |stream| {
        says(stream, b"R\xff\xff\xff\xff\0\0\0\0");
    }),
    ("a PostgreSQL frame shorter than its length", |stream| {
        says(stream, b"R\0\0\0\x03\0\0\0\0");
    }),
    ("a TLS record of nothing", |stream| {
        says(stream, b"\x16\x03\x01\0\0")
    }),
    ("a TLS record that is cut", |stream| {
        says(stream, b"\x16\x03\x03\0\x40\x02\0");
    }),
    ("nothing but line ends", |stream| {
        says(stream, b"\r\n\r\n\r\n\r\n")
    }),
    ("no UTF-8", |stream| says(stream, b"\xc3\x28\xa0\xa1\r\n")),
];

/// Every kind that connects over TCP, of a target that would have to be well.
fn checks(port: u16) -> Vec<(&'static str, Box<dyn Check>)> {
    let (host, timeout) = ("127.0.0.1", second(TIMEOUT));
    let url = format!("http://{host}:{port}/");
    let stats = format!("{host}:{port}");
    let postgres = PostgresCheck::new(host, port, timeout).unwrap();
    let mut list: Vec<(&'static str, Box<dyn Check>)> = Vec::new();
    let tcp = TcpCheck::new(host, port, timeout).unwrap();
    list.push(("tcp", Box::new(TcpCheck::expect(tcp, "+PONG").unwrap())));
    let http = HttpCheck::new(&url, timeout).unwrap();
    list.push(("http", Box::new(http.expect_body("fine").unwrap())));
    list.push(("tls", Box::new(TlsCheck::new(host, port, timeout).unwrap())));
    list.push((
        "smtp",
        Box::new(SmtpCheck::new(host, port, timeout).unwrap()),
    ));
    list.push(("postgres", Box::new(postgres.role(Role::Primary).unwrap())));
    let traffic = HaproxyTrafficCheck::new(&stats, "web/web1", timeout).unwrap();
    list.push(("haproxy-traffic", Box::new(traffic)));
    list
}

/// The health that a peer's misbehaviour is, for a kind of check: for the passive one HAProxy is
/// the source of its numbers, and a source that fails says nothing of the server.
fn expected(kind: &str) -> Health {
    match kind {
        "haproxy-traffic" => Health::Unknown,
        _ => Health::Fail,
    }
}

fn assert_fails(kind: &str, what: &str, check: &mut dyn Check) {
    let started = Instant::now();
    let outcome = check.check();
    let took = started.elapsed();
    assert_eq!(outcome.health, expected(kind), "{kind}, {what}: {outcome}");
    assert!(
        outcome.detail.len() < 1_024,
        "{kind}, {what}: a detail is a line, not a page: {outcome}"
    );
    let limit = Duration::from_secs_f64(TIMEOUT) + SLACK;
    assert!(took < limit, "{kind}, {what}: took {took:?}");
}

/// Asks each kind on a thread of its own, since most wait for most of their time.
fn ask_all(what: &'static str, port_of: impl Fn() -> u16) -> Vec<JoinHandle<()>> {
    let count = checks(1).len();
    let ask = |index: usize| {
        let port = port_of();
        thread::spawn(move || {
            let (kind, mut check) = checks(port).swap_remove(index);
            assert_fails(kind, what, &mut *check);
        })
    };
    (0..count).map(ask).collect()
}

fn join(all: Vec<JoinHandle<()>>) {
    for one in all {
        one.join().unwrap();
    }
}

#[test]
fn no_peer_makes_a_check_pass_hang_or_panic() {
    let all = PEERS
        .iter()
        .flat_map(|(what, serve)| ask_all(what, || peer(*serve)));
    join(all.collect());
}

#[test]
fn nobody_there_is_a_failure_of_each() {
    let port = dead_port();
    join(ask_all("refuses", || port));
    let Some(hole) = BlackHole::new() else {
        println!("skipped: this system answers however full a listener's queue is");
        return;
    };
    join(ask_all("black hole", || hole.port()));
}
