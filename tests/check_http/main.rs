//! The HTTP check against real sockets: what each answer, and each way not to answer, comes to.

mod answers;
mod asking;
mod hostile;
#[path = "../support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};

use failover::{Check, HttpCheck, Outcome, second};

use support::{PATIENCE, peer};

/// A GET of this path of a server on this machine, with time enough.
fn check_of(port: u16, path: &str) -> HttpCheck {
    HttpCheck::new(&format!("http://127.0.0.1:{port}{path}"), second(30)).unwrap()
}

/// The request's head, byte for byte; it has no body here.
fn request(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => bytes.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// A server that gives this answer to everybody, and closes.
fn server(answer: impl AsRef<[u8]> + Send + 'static) -> u16 {
    peer(move |mut stream| {
        request(&mut stream);
        let _ = stream.write_all(answer.as_ref());
    })
}

/// A server that gives each path its answer and tells what it was asked.
fn site(answer: impl Fn(&str) -> String + Send + 'static) -> (u16, Receiver<String>) {
    let (asked, requests) = channel();
    let port = peer(move |mut stream| {
        let request = request(&mut stream);
        let path = request.split(' ').nth(1).unwrap_or_default().to_string();
        let _ = asked.send(request);
        let _ = stream.write_all(answer(&path).as_bytes());
    });
    (port, requests)
}

/// An answer whose length is told.
fn answer(line: &str, headers: &str, body: &str) -> String {
    let len = body.len();
    format!("HTTP/1.1 {line}\r\nContent-Length: {len}\r\n{headers}\r\n{body}")
}

fn redirect(status: u16, location: &str) -> String {
    answer(
        &format!("{status} Moved"),
        &format!("Location: {location}\r\n"),
        "moved",
    )
}

fn shown(outcome: &Outcome) -> String {
    format!("{:?} {outcome}", outcome.health)
}

#[track_caller]
fn assert_outcome(check: &mut HttpCheck, expected: &str) {
    assert_eq!(shown(&check.check()), expected);
}

/// Waits until the other side is gone, or patience is at an end.
fn hang(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = stream.read_to_end(&mut Vec::new());
}
