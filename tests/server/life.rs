//! The server's life: how it is set up, what it refuses, and how it ends.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use failover::{Background, ErrorKind, HealthCheckServer, Log, ok, second};

use crate::crowd;
use crate::support::{Gate, Served, ask, eventually, exact, is_timeout, rest};

/// Far less than what is waited for, and far more than a machine that is busy needs.
const PROMPT: Duration = Duration::from_secs(10);

#[test]
fn names_that_cannot_be_are_refused_with_what_was_expected() {
    let served = Served::new(|_| {});
    let too_long = "a".repeat(129);
    for (name, expected) in [
        ("/mail", "no leading slash"),
        ("", "1 to 128 characters"),
        (&too_long, "1 to 128 characters"),
        ("a b", "letters, digits"),
        ("a//b", "no part that is empty"),
        ("../a", "no part that is empty"),
        ("caf\u{e9}", "letters, digits"),
        ("health", "a name that does not begin with"),
        ("metrics/x", "a name that does not begin with"),
        ("healthchecker", "a name that does not begin with"),
        ("role", "a name that does not begin with"),
        ("-", "a name that does not begin with"),
    ] {
        let error = served.server.add_component(name, || true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let message = format!("component name {name:?} cannot be used; expected {expected}");
        assert!(error.to_string().starts_with(&message), "{error}");
    }
    served.server.add_component("mail", || true).unwrap();
    let error = served.server.add_component("mail", || false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "component name \"mail\" is in use; expected another"
    );
    assert_eq!(served.get("/mail"), "OK", "the first one stays");
}

#[test]
fn an_address_in_use_is_an_error_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = HealthCheckServer::bind(address.as_str()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::System);
    assert!(error.to_string().contains(&address), "{error}");
    for wrong in ["", "banana", "127.0.0.1", "127.0.0.1:99999", "192.0.2.1:1"] {
        let error = HealthCheckServer::bind(wrong).unwrap_err();
        assert!(error.to_string().contains(&format!("{wrong:?}")), "{error}");
    }
}

#[test]
fn a_server_is_started_once() {
    let mut served = Served::new(|server| server.add_component("a", || true).unwrap());
    assert!(served.server.start().is_err());
    assert_eq!(served.get("/a"), "OK");
    served.end();
    assert!(served.server.start().is_err());
}

#[test]
fn a_server_that_ended_leaves_its_address_to_the_next() {
    let mut served = Served::new(|server| server.add_component("a", || true).unwrap());
    let address = served.address();
    assert_eq!(served.get("/a"), "OK");
    served.end();
    drop(served);
    let next = HealthCheckServer::builder()
        .log(Log::none())
        .bind(address)
        .unwrap();
    next.add_component("a", || false).unwrap();
    let running = next.start().unwrap();
    assert!(ask(address, "GET /a HTTP/1.0\r\n\r\n").ends_with("FAIL"));
    next.handle().shutdown();
    running.wait();
}

#[test]
fn it_serves_until_another_thread_stops_it_however_many_are_parked() {
    let _crowd = crowd();
    let server = HealthCheckServer::builder()
        .log(Log::none())
        .request_timeout(second(60))
        .unwrap()
        .bind("127.0.0.1:0")
        .unwrap();
    server.add_component("a", || true).unwrap();
    let (handle, address) = (server.handle(), server.local_addr());
    let thread = thread::spawn(move || server.serve_forever().unwrap());
    let slow: Vec<TcpStream> = (0..100)
        .map(|n| crate::support::client(address, ["", "GET /a"][n % 2]))
        .collect();
    assert!(ask(address, "GET /a HTTP/1.0\r\n\r\n").ends_with("OK"));
    let started = Instant::now();
    handle.shutdown();
    handle.shutdown();
    thread.join().unwrap();
    assert!(started.elapsed() < PROMPT);
    for mut client in slow {
        // One that has never sent anything may not have been handed out by the system yet, and
        // learns that nobody is there when it does.
        let _ = client.write_all(b"G");
        // Closed, or reset for what it had sent; but not left alone.
        match client.read(&mut [0]) {
            Ok(len) => assert_eq!(len, 0),
            Err(error) => assert!(!is_timeout(&error), "left alone: {error}"),
        }
    }
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_stop_is_prompt_while_probes_hang_and_answers_who_waits() {
    let (mut gate, check) = Gate::new();
    let (mut background_gate, background_check) = Gate::new();
    let mut served = Served::new(|server| {
        server.add_component("gated", check).unwrap();
        let background = Background::new(background_check, second(60), ok).unwrap();
        server.add_component("background", background).unwrap();
    });
    let waits: Vec<TcpStream> = (0..10)
        .map(|_| served.client("GET /gated HTTP/1.0\r\n\r\n"))
        .collect();
    gate.hangs();
    background_gate.hangs();
    // Beside the one that asks for the number.
    let all_held = "\nfailover_connections_held 11\n";
    eventually("all wait", || served.get("/metrics").contains(all_held));
    let started = Instant::now();
    served.end();
    assert!(started.elapsed() < PROMPT);
    for client in waits {
        assert_eq!(rest(client), exact("500 ERROR", 5, "", "ERROR"));
    }
    gate.open();
    background_gate.open();
}

#[test]
fn a_server_that_is_dropped_stops() {
    let server = HealthCheckServer::builder()
        .log(Log::none())
        .bind("127.0.0.1:0")
        .unwrap();
    let address = server.local_addr();
    let running = server.start().unwrap();
    drop(server);
    running.wait();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn servers_beside_each_other_know_nothing_of_each_other() {
    let servers: Vec<Served> = (0..5)
        .map(|n| Served::new(|server| server.add_component("a", move || n % 2 == 0).unwrap()))
        .collect();
    for (n, served) in servers.iter().enumerate() {
        assert_eq!(served.get("/a"), ["OK", "FAIL"][n % 2]);
    }
}
