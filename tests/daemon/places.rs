//! What balancers get where: `only components`, `allow`, `fail-status`, and what they say of us.

use crate::house::{QUICK, free_address, house};
use crate::support::{ask, body, get, rest, status};

#[test]
fn a_place_for_balancers_has_components_and_nothing_else() {
    let place = free_address();
    let house = house(&format!(
        " listen {place} only components\n default a\n{QUICK}\
         component a\n file /\ncomponent b\n file /nowhere/at/all\n manual-reset\n"
    ));
    house.comes_to("/a", "OK");
    house.comes_to("/b", "FAIL");
    for (path, word) in [
        ("/a", "OK"),
        ("/b", "FAIL"),
        ("/", "OK"),
        ("/a?format=json", "OK"),
    ] {
        assert_eq!(get(place, path), word, "{path}");
    }
    for path in [
        "/health",
        "/health/live",
        "/metrics",
        "/-/status",
        "/-/events",
        "/c",
        "/index.html",
    ] {
        let answer = ask(place, format!("GET {path} HTTP/1.0\r\n\r\n"));
        assert_eq!(
            (status(&answer), body(&answer).as_str()),
            (404, "ERROR"),
            "{path}"
        );
    }
    for path in ["/-/reload", "/-/maint/a?mode=drain", "/-/reset/b"] {
        let answer = ask(place, format!("POST {path} HTTP/1.0\r\n\r\n"));
        assert_eq!(status(&answer), 404, "{path}");
    }
    let browser = "GET / HTTP/1.0\r\nAccept: text/html\r\n\r\n";
    assert_eq!(body(&ask(place, browser)), "OK", "no page there");
    assert!(ask(house.address(), browser).contains("<html"));
    assert_eq!(house.get("/health").0, 503);
}

#[test]
fn what_is_asked_is_shown_without_what_may_be_a_secret() {
    let house = house(
        "component a\n http http://127.0.0.1:9/health?key=hunter2\n header X-Key \"hunter2\"\n\
         component b\n exec sh -c \"exit 0\" --password hunter2\n\
         component c\n tcp 127.0.0.1:9\n",
    );
    let status = house.status();
    assert_eq!(
        status.of("a", "asks"),
        "\"http http://127.0.0.1:9/health?...\""
    );
    assert_eq!(status.of("b", "asks"), "\"exec sh ...\"");
    assert_eq!(status.of("c", "asks"), "\"tcp 127.0.0.1:9\"");
    for path in [
        "/-/status",
        "/-/status?format=text",
        "/-/events",
        "/metrics",
        "/health",
        "/a?format=json",
        "/b?format=json",
    ] {
        let (_, said) = house.get(path);
        assert!(!said.contains("hunter2"), "{path}: {said}");
    }
}

#[test]
fn who_is_not_allowed_is_not_served() {
    let (place, agent) = (free_address(), free_address());
    let house = house(&format!(
        " listen {place} allow 192.0.2.0/24\n agent-listen {agent} allow 192.0.2.0/24\n\
         {QUICK}component a\n file /\n"
    ));
    house.comes_to("/a", "OK");
    for address in [place, agent] {
        let stream = std::net::TcpStream::connect(address).unwrap();
        let closed = std::panic::catch_unwind(|| rest(stream));
        assert!(closed.map_or(true, |text| text.is_empty()), "{address}");
    }
    let refused = house.metric("failover_connections_refused_total");
    assert_eq!(refused, 2.0);
    house.daemon().line_with("no 'allow' there holds it");
    house.reload(&format!(
        " listen {place} allow 192.0.2.0/24 127.0.0.0/8\n\
         {QUICK}component a\n file /\n"
    ));
    assert_eq!(get(place, "/a"), "OK");
}

#[test]
fn a_failure_has_the_status_that_the_balancer_wants() {
    let house = house(&format!(
        "{QUICK}component gone\n file /nowhere/at/all\n fail-status 404\n\
         component teapot\n file /nowhere/at/all\n fail-status 418\n"
    ));
    house.comes_to("/gone", "FAIL");
    house.comes_to("/teapot", "FAIL");
    let first = |request: &str| {
        let answer = ask(house.address(), request);
        answer.lines().next().unwrap_or_default().to_string()
    };
    assert_eq!(first("GET /gone HTTP/1.0\r\n\r\n"), "HTTP/1.0 404 FAIL");
    assert_eq!(first("HEAD /gone HTTP/1.0\r\n\r\n"), "HTTP/1.0 404 FAIL");
    assert_eq!(
        first("OPTIONS /teapot HTTP/1.0\r\n\r\n"),
        "HTTP/1.0 418 FAIL"
    );
    assert_eq!(first("GET /nothing HTTP/1.0\r\n\r\n"), "HTTP/1.0 404 ERROR");
}

#[test]
fn what_a_balancer_says_of_us_is_kept_for_people() {
    let house = house(&format!("{QUICK}component a\n file /\n"));
    assert_eq!(house.status().of("a", "balancer"), "null");
    let state = "UP 2/3; name=web/web1; node=lb1; weight=1/2; scur=13/22; qcur=0";
    let request = format!("OPTIONS /a HTTP/1.0\r\nX-Haproxy-Server-State: {state}\r\n\r\n");
    assert_eq!(status(&ask(house.address(), request)), 200);
    let shown = house.status();
    let shown = shown.of("a", "balancer");
    assert!(shown.contains(&format!("\"text\":\"{state}\"")), "{shown}");
    assert!(shown.contains("\"at\":\""), "{shown}");
}
