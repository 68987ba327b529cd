//! Clients that are slow, silent, gone, or many.

use std::io::{Read, Write};
use std::net::TcpStream;

use failover::{Background, HealthCheckServer, ServerBuilder, ok, second};

use crate::crowd;
use crate::support::{Served, a_moment, client, eventually, is_timeout, rest, status};

fn served_with(builder: ServerBuilder) -> Served {
    Served::with(builder, |server| {
        let up = Background::new(|| true, second(3_600), ok).unwrap();
        server.add_component("up", up).unwrap();
    })
}

fn served() -> Served {
    served_with(HealthCheckServer::builder())
}

const GET: &str = "GET /up HTTP/1.0\r\n\r\n";

/// Whether the server has closed it, without an answer.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let read = stream.read(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    match read {
        Ok(0) => true,
        Ok(_) => panic!("an answer to half a request"),
        Err(error) => !is_timeout(&error),
    }
}

#[test]
fn silent_clients_keep_nobody_waiting() {
    let _crowd = crowd();
    let served = served();
    let silent: Vec<TcpStream> = (0..50).map(|_| served.client("")).collect();
    for _ in 0..50 {
        assert_eq!(served.get("/up"), "OK");
    }
    // They may still ask.
    for mut client in silent {
        client.write_all(GET.as_bytes()).unwrap();
        assert!(rest(client).ends_with("OK"));
    }
}

#[test]
fn a_client_that_never_reads_harms_nobody() {
    let _crowd = crowd();
    let served = served();
    let deaf: Vec<TcpStream> = (0..50).map(|_| served.client(GET)).collect();
    let shouting: Vec<TcpStream> = (0..10)
        .map(|_| served.client("x".repeat(100 * 1024)))
        .collect();
    for _ in 0..50 {
        assert_eq!(served.get("/up"), "OK");
    }
    drop((deaf, shouting));
    assert_eq!(served.get("/up"), "OK");
}

#[test]
fn clients_that_are_gone_or_reset_harm_nobody() {
    let served = served();
    for round in 0..100 {
        let mut gone = served.client(["", "GET /u", GET][round % 3]);
        if round % 2 == 0 {
            // What is unread when it is closed makes it a reset.
            let _ = gone.write_all(b"GET / HTTP/1.0\r\n\r\n");
            let _ = gone.peek(&mut [0]);
        }
        drop(gone);
    }
    assert_eq!(served.get("/up"), "OK");
}

#[test]
fn a_dribbling_client_has_no_more_time_than_others() {
    let builder = HealthCheckServer::builder();
    let served = served_with(builder.request_timeout(second(0.5)).unwrap());
    // Headers without end, a few bytes at a time: it has to be told off while it still sends.
    let mut endless = served.client("GET /up HTTP/1.0\r\n");
    let mut answer = Vec::new();
    endless.set_nonblocking(true).unwrap();
    eventually("the dribbling client is answered", || {
        let _ = endless.write(b"A: b\r\n");
        let mut buffer = [0; 512];
        if let Ok(len) = endless.read(&mut buffer) {
            answer.extend_from_slice(&buffer[..len]);
        }
        answer.ends_with(b"in time")
    });
    let answer = String::from_utf8(answer).unwrap();
    assert!([408, 431].contains(&status(&answer)), "{answer}");
    assert_eq!(served.get("/up"), "OK");
}

#[test]
fn a_client_that_does_not_close_is_closed_in_time() {
    let served = served();
    // Refused with more to come, which the server reads for a while and then no longer.
    let mut client = served.client("POST /up HTTP/1.0\r\nContent-Length: 99999999\r\n\r\n");
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(status(&String::from_utf8(answer).unwrap()), 413);
    eventually("the connection is closed", || {
        client.write(&[b'x'; 4_096]).is_err()
    });
}

#[test]
fn of_too_many_slow_clients_the_oldest_are_closed() {
    const MAX: usize = 8;
    let served = served_with(HealthCheckServer::builder().max_connections(MAX));
    let begin = || {
        let clients: Vec<TcpStream> = (0..MAX).map(|_| served.client("GET /u")).collect();
        // Answered after them; and the last of them may still be on its way to be parked.
        assert_eq!(served.get("/up"), "OK");
        a_moment();
        clients
    };
    let mut older = begin();
    let newer = begin();
    for (index, client) in older.iter_mut().enumerate() {
        eventually(&format!("the end of slow client {index}"), || {
            is_closed(client)
        });
    }
    // A fast client that had to be parked for a moment may have cost the oldest of the newer ones
    // their place.
    for mut client in newer.into_iter().skip(MAX / 2) {
        client.write_all(b"p HTTP/1.0\r\n\r\n").unwrap();
        assert!(rest(client).ends_with("OK"), "a newer one may finish");
    }
    for _ in 0..20 {
        assert_eq!(served.get("/up"), "OK");
    }
}

#[test]
fn a_flood_of_slow_clients_ends_without_a_trace() {
    let _crowd = crowd();
    let served = served_with(HealthCheckServer::builder().max_connections(64));
    for _ in 0..4 {
        let flood: Vec<TcpStream> = (0..300)
            .map(|_| served.client("GET /up HTTP/1.0\r\nA: "))
            .collect();
        assert_eq!(served.get("/up"), "OK");
        drop(flood);
    }
    assert_eq!(served.get("/up"), "OK");
}

#[test]
fn many_clients_at_once_are_all_answered() {
    let served = served();
    let address = served.address();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                for _ in 0..100 {
                    assert!(rest(client(address, GET)).ends_with("OK"));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}
