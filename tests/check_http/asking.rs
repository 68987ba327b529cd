//! What the server sees: the request, where it comes from, redirects followed, an orderly end.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::time::Instant;

use failover::{Check, Family, Health, HttpCheck, Reason, second};

use crate::support::{PATIENCE, Served, dead_port, peer};
use crate::{answer, assert_outcome, check_of, hang, redirect, request, server, site};

#[test]
fn the_request_is_what_was_asked_for() {
    let (port, requests) = site(|_| answer("200 OK", "", ""));
    let version = env!("CARGO_PKG_VERSION");
    let sent = || requests.recv_timeout(PATIENCE).unwrap();
    assert_outcome(&mut check_of(port, "/a?b=c"), "Ok http answered: 200 OK");
    assert_eq!(
        sent(),
        format!(
            "GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: failover/{version}\r\n\
             Accept: */*\r\nConnection: close\r\n\r\n"
        )
    );
    let mut check = check_of(port, "")
        .method("OPTIONS")
        .unwrap()
        .host("www.example")
        .unwrap()
        .header("Authorization", "Bearer x y")
        .unwrap()
        .header("user-agent", "me")
        .unwrap();
    assert_outcome(&mut check, "Ok http answered: 200 OK");
    assert_eq!(
        sent(),
        "OPTIONS / HTTP/1.1\r\nHost: www.example\r\nAccept: */*\r\nConnection: close\r\n\
         Authorization: Bearer x y\r\nuser-agent: me\r\n\r\n"
    );
    let mut check = check_of(port, "/").method("POST").unwrap();
    assert_outcome(&mut check, "Ok http answered: 200 OK");
    assert!(sent().contains("\r\nContent-Length: 0\r\n"));
}

#[test]
fn redirects_are_followed_when_that_is_asked_for() {
    let (port, requests) = site(|path| match path {
        "/a/b" => redirect(301, "c?d#e"),
        "/a/c?d" => redirect(307, "/f"),
        "/f" => answer("200 OK", "", "fine"),
        "/loop" => redirect(302, "/loop"),
        "/tls" => redirect(302, "https://www.example/"),
        "/mail" => redirect(302, "mailto:a@b.example"),
        "/nowhere" => answer("303 Look", "", ""),
        "/post" => redirect(303, "/f"),
        _ => answer("404 Not Found", "", ""),
    });
    let follow = |path: &str, redirects| check_of(port, path).follow(redirects).unwrap();
    let mut check = follow("/a/b", 2).expect_body("fine").unwrap();
    assert_outcome(&mut check, "Ok http answered: 200 OK");
    let asked: Vec<String> = requests.try_iter().collect();
    let lines: Vec<&str> = asked
        .iter()
        .filter_map(|request| request.lines().next())
        .collect();
    assert_eq!(
        lines,
        [
            "GET /a/b HTTP/1.1",
            "GET /a/c?d HTTP/1.1",
            "GET /f HTTP/1.1"
        ]
    );
    for (path, redirects, expected) in [
        ("/a/b", 1, "Fail http too many redirects: over 1"),
        ("/a/b", 0, "Fail http status not expected: 301 Moved: moved"),
        ("/loop", 10, "Fail http too many redirects: over 10"),
        (
            "/tls",
            5,
            "Fail http redirect refused: 302 Moved to https://www.example/",
        ),
        (
            "/mail",
            5,
            "Fail http redirect refused: 302 Moved to mailto:a@b.example",
        ),
        (
            "/nowhere",
            5,
            "Fail answer malformed: 303 Look without a Location",
        ),
        ("/gone", 5, "Fail http status not expected: 404 Not Found"),
    ] {
        assert_outcome(&mut follow(path, redirects), expected);
    }
    let _ = requests.try_iter().count();
    let mut check = follow("/post", 1).method("POST").unwrap();
    assert_outcome(&mut check, "Ok http answered: 200 OK");
    assert!(
        requests
            .recv_timeout(PATIENCE)
            .unwrap()
            .starts_with("POST /post ")
    );
    assert!(
        requests
            .recv_timeout(PATIENCE)
            .unwrap()
            .starts_with("GET /f ")
    );
}

#[test]
fn a_redirect_to_another_server_takes_no_secrets_along() {
    let (other, requests) = site(|_| answer("200 OK", "", ""));
    let here = server(redirect(302, &format!("http://127.0.0.1:{other}/x")));
    let mut check = check_of(here, "/")
        .follow(1)
        .unwrap()
        .header("Authorization", "secret")
        .unwrap()
        .host("www.example")
        .unwrap();
    assert_outcome(&mut check, "Ok http answered: 200 OK");
    let request = requests.recv_timeout(PATIENCE).unwrap();
    assert!(!request.contains("secret"), "{request}");
    assert!(
        request.contains(&format!("Host: 127.0.0.1:{other}\r\n")),
        "{request}"
    );
}

#[test]
fn redirects_have_no_time_of_their_own() {
    let hangs = peer(|mut stream| hang(&mut stream));
    let here = server(redirect(302, &format!("http://127.0.0.1:{hangs}/")));
    let url = format!("http://127.0.0.1:{here}/");
    let mut check = HttpCheck::new(&url, second(0.4))
        .unwrap()
        .follow(3)
        .unwrap();
    let started = Instant::now();
    let outcome = check.check();
    assert_eq!(
        (outcome.health, outcome.reason),
        (Health::Fail, Reason::AnswerTimeout)
    );
    assert!(
        outcome.detail.contains(": no whole head within "),
        "{outcome}"
    );
    assert!(started.elapsed() < PATIENCE / 2);
    let dead = dead_port();
    let here = server(redirect(302, &format!("http://127.0.0.1:{dead}/")));
    let expected = format!("Fail tcp connect refused: 127.0.0.1:{dead}");
    assert_outcome(&mut check_of(here, "/").follow(1).unwrap(), &expected);
}

#[test]
fn names_and_families_lead_there_too() {
    let port = server(answer("200 OK", "", ""));
    let url = format!("http://localhost:{port}/");
    for family in [Family::Any, Family::V4, Family::All] {
        let mut check = HttpCheck::new(&url, second(30)).unwrap().family(family);
        let outcome = check.check();
        // With ::1 in /etc/hosts, half of the service is down.
        let is_half = family == Family::All && outcome.reason.words() == "tcp connect refused";
        assert!(outcome.health == Health::Ok || is_half, "{outcome}");
    }
    let mut check = check_of(port, "/").family(Family::V6);
    assert_eq!(check.check().reason.words(), "resolve no address");
    let mut check = check_of(port, "/").source_host("127.0.0.2").unwrap();
    assert_outcome(&mut check, "Ok http answered: 200 OK");
}

#[test]
fn a_service_on_ipv6_is_asked_by_its_address() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        println!("skipped: this machine has no ::1");
        return;
    };
    let port = listener.local_addr().unwrap().port();
    let (sender, asked) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = sender.send(request(&mut stream));
            let _ = stream.write_all(answer("200 OK", "", "").as_bytes());
        }
    });
    let mut check = HttpCheck::new(&format!("http://[::1]:{port}"), second(30)).unwrap();
    assert_outcome(&mut check, "Ok http answered: 200 OK");
    let request = asked.recv_timeout(PATIENCE).unwrap();
    assert!(
        request.contains(&format!("\r\nHost: [::1]:{port}\r\n")),
        "{request}"
    );
}

#[test]
fn the_server_sees_an_orderly_end() {
    let (sender, seen) = channel();
    let port = peer(move |mut stream| {
        request(&mut stream);
        let _ = stream.write_all(answer("503 Busy", "", &"x".repeat(3_000)).as_bytes());
        let _ = sender.send(stream.read(&mut [0]).map_err(|error| error.kind()));
    });
    for _ in 0..20 {
        assert_eq!(check_of(port, "/").check().health, Health::Fail);
        assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), Ok(0));
    }
}

#[test]
fn our_own_server_is_a_good_target() {
    let served = Served::new(|server| {
        server.add_component("up", || true).unwrap();
        server.add_component("down", || false).unwrap();
    });
    let port = served.address().port();
    for method in ["GET", "HEAD", "OPTIONS"] {
        let check = |path| check_of(port, path).method(method).unwrap();
        assert_outcome(&mut check("/up"), "Ok http answered: 200 OK");
        let outcome = check("/down").check();
        assert!(outcome.detail.starts_with("503 FAIL"), "{outcome}");
    }
}
