//! Several listeners beside each other, each with its own rules, that come and go.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

use failover::{Cidr, HealthCheckServer, ListenSettings, Log, Post, Reply, second};

use crate::crowd;
use crate::support::{Gate, Served, ask, client, eventually, exact, get, rest, status};

const ANYWHERE: &str = "127.0.0.1:0";

/// An address of the documentation (RFC 5737) that this machine does not have; some have one or
/// the other, for tests of their own.
fn not_here(last_byte: u8) -> SocketAddr {
    let found = [[203, 0, 113], [198, 51, 100], [192, 0, 2]]
        .into_iter()
        .find_map(|[a, b, c]| {
            let ip = IpAddr::from([a, b, c, last_byte]);
            let error = TcpListener::bind((ip, 0)).err()?;
            (error.kind() == ErrorKind::AddrNotAvailable).then_some(ip)
        });
    SocketAddr::new(found.expect("an address that is not there"), 8_080)
}

fn settings() -> ListenSettings {
    ListenSettings::new(ANYWHERE).unwrap()
}

fn range(text: &str) -> Cidr {
    Cidr::try_from(text).unwrap()
}

/// Two components, and a further listener with these rules.
fn served_also_at(settings: ListenSettings) -> (Served, SocketAddr) {
    let builder = HealthCheckServer::builder().listen(settings);
    let served = Served::with(builder, |server| {
        server.add_component("up", || true).unwrap();
        server.add_component("a/b", || false).unwrap();
    });
    let addresses = served.server.addresses();
    assert_eq!(addresses.len(), 2);
    assert_eq!(addresses[0], served.address());
    (served, addresses[1])
}

#[test]
fn every_listener_answers_the_same() {
    let (served, other) = served_also_at(settings());
    for address in [served.address(), other] {
        assert_eq!(get(address, "/up"), "OK");
        assert_eq!(get(address, "/a/b"), "FAIL");
        assert_eq!(get(address, "/"), "alive");
        assert_eq!(get(address, "/nothing"), "ERROR");
    }
    assert_eq!(served.server.refused_connections(), 0);
}

#[test]
fn only_components_means_components_and_the_root() {
    let (_served, address) = served_also_at(settings().only_components());
    assert_eq!(get(address, "/up"), "OK");
    assert_eq!(get(address, "/a/b?format=json"), "FAIL");
    assert_eq!(get(address, "/"), "alive");
    for path in ["/metrics", "/health", "/-/status", "/a", "/up/x"] {
        for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS"] {
            let request = format!("{method} {path} HTTP/1.0\r\nContent-Length: 0\r\n\r\n");
            assert_eq!(status(&ask(address, request)), 404, "{method} {path}");
        }
    }
    let head = ask(address, "HEAD /metrics HTTP/1.0\r\n\r\n");
    assert_eq!(head, exact("404 ERROR", 5, "", ""));
}

#[test]
fn who_is_not_allowed_is_closed_and_counted() {
    let (served, address) = served_also_at(settings().allow(range("192.0.2.0/24")));
    for count in 1..=5 {
        let mut stream = TcpStream::connect(address).unwrap();
        // Closed, or reset for what it had sent; but nothing is said.
        let _ = stream.write_all(b"GET /up HTTP/1.0\r\n\r\n");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert_eq!(answer, "");
        eventually("the count", || served.server.refused_connections() == count);
    }
    assert_eq!(served.get("/up"), "OK", "elsewhere it is served");
}

#[test]
fn who_is_in_one_of_the_ranges_is_served() {
    let rules = settings().allow(range("192.0.2.0/24"));
    let (served, address) = served_also_at(rules.allow(range("127.0.0.0/8")));
    assert_eq!(get(address, "/up"), "OK");
    assert_eq!(served.server.refused_connections(), 0);
}

#[test]
fn an_address_of_ipv4_is_known_on_a_listener_of_both() {
    let Ok(both) = ListenSettings::new("[::]:0") else {
        return;
    };
    let builder = HealthCheckServer::builder().listen(both.allow(range("127.0.0.1")));
    let server = builder.log(Log::none()).open();
    let Ok(server) = server else {
        eprintln!("skipped: no IPv6 here");
        return;
    };
    server.add_component("up", || true).unwrap();
    let running = server.start().unwrap();
    let port = server.local_addr().port();
    let address = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port);
    assert_eq!(get(address, "/up"), "OK");
    server.handle().shutdown();
    running.wait();
}

#[test]
fn the_slow_clients_of_one_cost_the_others_nothing() {
    let _crowd = crowd();
    let (served, other) = served_also_at(settings());
    let _slow: Vec<TcpStream> = (0..200)
        .map(|n| client(other, ["", "G", "GET /up"][n % 3]))
        .collect();
    for _ in 0..50 {
        assert_eq!(served.get("/up"), "OK");
        assert_eq!(get(other, "/up"), "OK");
    }
}

#[test]
fn a_listener_comes_and_goes_while_the_server_runs() {
    let (mut gate, check) = Gate::new();
    let served = Served::new(|server| {
        server.add_component("up", || true).unwrap();
        server.add_component("slow", check).unwrap();
    });
    for _ in 0..5 {
        let other = served.server.listen_also(settings()).unwrap().unwrap();
        assert_eq!(get(other, "/up"), "OK");
        let asks = client(other, "GET /slow HTTP/1.0\r\n\r\n");
        let unfinished = client(other, "GET /u");
        gate.hangs();
        eventually("both to be accepted", || get(other, "/up") == "OK");
        assert!(served.server.close(other));
        assert!(!served.server.close(other));
        assert_eq!(served.server.addresses(), [served.address()]);
        assert!(TcpStream::connect(other).is_err());
        // What was accepted is answered in its time, and the address can be taken at once.
        drop(TcpListener::bind(other).unwrap());
        let mut unfinished = unfinished;
        unfinished.write_all(b"p HTTP/1.0\r\n\r\n").unwrap();
        assert!(rest(unfinished).ends_with("OK"));
        assert_eq!(served.get("/up"), "OK");
        drop(asks);
    }
    let last = served.server.listen_also(settings()).unwrap().unwrap();
    let asks = client(last, "GET /slow HTTP/1.0\r\n\r\n");
    eventually("the last to be accepted", || get(last, "/up") == "OK");
    assert!(served.server.close(last));
    gate.open();
    assert!(rest(asks).ends_with("OK"));
}

#[test]
fn a_listener_may_come_before_the_start() {
    let mut other = None;
    let served = Served::new(|server| {
        server.add_component("up", || true).unwrap();
        let closed = server.listen_also(settings()).unwrap().unwrap();
        other = server.listen_also(settings()).unwrap();
        assert!(server.close(closed));
        assert!(TcpStream::connect(closed).is_err());
    });
    assert_eq!(get(other.unwrap(), "/up"), "OK");
    assert_eq!(served.server.addresses().len(), 2);
}

#[test]
fn an_address_that_is_not_there_yet_is_not_fatal() {
    let builder = HealthCheckServer::builder();
    let (first, second) = (not_here(1), not_here(2));
    let builder = builder.listen(ListenSettings::new(first).unwrap());
    let mut served = Served::with(builder, |server| {
        server.add_component("up", || true).unwrap();
    });
    assert_eq!(served.server.addresses(), [served.address()]);
    assert_eq!(served.get("/up"), "OK");
    let also = ListenSettings::new(second).unwrap();
    assert_eq!(served.server.listen_also(also).unwrap(), None);
    assert!(served.server.close(first));
    assert!(!served.server.close(first));
    served.end();

    let alone = HealthCheckServer::builder().log(Log::none());
    let alone = alone.listen(ListenSettings::new(first).unwrap());
    let alone = alone.open().unwrap();
    assert_eq!(alone.addresses(), []);
    assert_eq!(alone.local_addr(), first);
    let running = alone.start().unwrap();
    alone.handle().shutdown();
    running.wait();
}

#[test]
fn any_other_trouble_is_fatal_and_names_the_address() {
    let taken = TcpListener::bind(ANYWHERE).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let of_taken = || ListenSettings::new(address.as_str()).unwrap();
    let builder = HealthCheckServer::builder().log(Log::none());
    let served = Served::new(|_| {});
    for error in [
        builder.clone().listen(of_taken()).open().unwrap_err(),
        builder
            .clone()
            .listen(of_taken())
            .bind(ANYWHERE)
            .unwrap_err(),
        served.server.listen_also(of_taken()).unwrap_err(),
    ] {
        assert_eq!(error.kind(), failover::ErrorKind::System);
        assert!(error.to_string().contains(&address), "{error}");
    }
    for wrong in ["", "banana", "127.0.0.1", "127.0.0.1:99999"] {
        let error = ListenSettings::new(wrong).unwrap_err();
        assert_eq!(error.kind(), failover::ErrorKind::Invalid);
        assert!(error.to_string().contains(&format!("{wrong:?}")), "{error}");
    }
    let error = builder.open().unwrap_err();
    assert!(error.to_string().contains("no place to listen"), "{error}");
}

#[test]
fn there_is_a_limit_to_listeners_and_none_after_the_end() {
    let mut served = Served::new(|_| {});
    let address = not_here(1);
    let far = || ListenSettings::new(address).unwrap();
    let mut count = 1;
    while served.server.listen_also(far()).is_ok() {
        count += 1;
        assert!(count < 1_000);
    }
    assert_eq!(count, 64);
    served.end();
    assert!(served.server.listen_also(settings()).is_err());
    assert_eq!(served.server.addresses(), []);
}

#[test]
fn a_post_keeps_its_rules_on_every_listener() {
    let builder = HealthCheckServer::builder()
        .listen(settings().only_components())
        .request_timeout(second(30))
        .unwrap();
    let served = Served::with(builder, |server| {
        let on_post = |post: &Post| Reply::new(200, post.peer().ip().to_string());
        server
            .add_component_with_post("acts", || true, on_post)
            .unwrap();
    });
    for address in served.server.addresses() {
        let request = "POST /acts HTTP/1.0\r\nContent-Length: 0\r\n";
        let plain = ask(address, format!("{request}\r\n"));
        assert_eq!(plain, exact("200 OK", 9, "", "127.0.0.1"));
        let foreign = format!("{request}Host: 127.0.0.1\r\nOrigin: http://evil.example\r\n\r\n");
        assert_eq!(status(&ask(address, foreign)), 403);
    }
}
