//! Components that are made of others, depend on others, or are asked only while others are well.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::TcpListener;

use crate::house::{House, QUICK, empty, house};
use crate::support::eventually;

/// What each answers for each of these.
const COMPOSED: &str = "
component all
    all-of a b c
component any
    any-of a b c
component most
    majority of a b c
component two
    at-least 2 of a b c
component other
    not a
component soft
    all-of a b c
    non-critical c
";

const NAMES: [&str; 6] = ["all", "any", "most", "two", "other", "soft"];

fn three(more: &str) -> House {
    house(&format!(
        "{QUICK}component a\n file DIR/a\ncomponent b\n file DIR/b\ncomponent c\n file DIR/c\n\
         {more}"
    ))
}

#[test]
fn they_follow_what_they_are_made_of() {
    let house = three(COMPOSED);
    let mut before = "";
    // Files that are there, and who is ok then.
    for (files, ok) in [
        ("", "other"),
        ("a", "any"),
        ("ab", "any most two soft"),
        ("abc", "all any most two soft"),
        ("bc", "any most two other"),
        ("c", "any other"),
    ] {
        for name in ["a", "b", "c"] {
            match (before.contains(name), files.contains(name)) {
                (false, true) => house.write(name, ""),
                (true, false) => house.remove(name),
                _ => {}
            }
        }
        before = files;
        for name in NAMES {
            let is_ok = ok.split(' ').any(|one| one == name);
            let word = if is_ok { "OK" } else { "FAIL" };
            eventually(&format!("with {files:?} {name} is {word}"), || {
                house.word(&format!("/{name}")) == word
            });
        }
        let status = house.status();
        let (is_ok, reason) = (ok.contains("other"), status.of("other", "reason"));
        let words = if is_ok { "quorum met" } else { "quorum missed" };
        assert_eq!(reason, format!("{words:?}"), "with {files:?}");
        let detail = status.of("other", "detail");
        let words = if is_ok {
            "a: file missing: "
        } else {
            "a: file as expected: "
        };
        assert!(detail.contains(words), "{detail}");
    }
}

#[test]
fn dissent_below_the_quorum_is_a_warning_for_people() {
    let house = three(
        "component most\n majority of a b c\ncomponent soft\n all-of a b c\n non-critical c\n",
    );
    house.write("a", "");
    house.write("b", "");
    house.write("c", "");
    eventually("all is well", || {
        house.word("/health").starts_with("{\"status\":\"pass\"")
    });
    house.remove("c");
    for name in ["most", "soft"] {
        eventually("it warns", || {
            house.status().of(name, "health") == "\"warn\""
        });
        let status = house.status();
        assert_eq!(status.of(name, "state"), "\"ok\"");
        assert_eq!(house.get(&format!("/{name}")).0, 200);
        assert!(
            status.of(name, "detail").contains("; c: file missing"),
            "{}",
            status.0
        );
    }
    eventually("the whole warns", || {
        house.status().value("state") == "\"warn\""
    });
    let (status, health) = house.get("/health");
    assert_eq!(status, 200, "{health}");
    assert!(health.starts_with("{\"status\":\"warn\""), "{health}");
    house.remove("b");
    house.comes_to("/most", "FAIL");
    assert_eq!(house.get("/health").0, 503);
}

#[test]
fn what_is_not_critical_only_warns_the_whole() {
    let house = three("");
    house.write("a", "");
    house.write("b", "");
    house.comes_to("/c", "FAIL");
    assert_eq!(house.get("/health").0, 503);
    let config = format!(
        "{QUICK}component a\n file DIR/a\ncomponent b\n file DIR/b\n\
         component c\n file DIR/c\n critical no\n"
    );
    house.reload(&config);
    assert_eq!(house.get("/c").0, 503, "to balancers it is what it is");
    eventually("the whole warns", || house.get("/health").0 == 200);
    assert!(house.word("/health").starts_with("{\"status\":\"warn\""));
}

#[test]
fn who_is_to_blame_is_named() {
    let mut house = empty();
    house.write("router", "");
    house.write("web", "");
    house.configure(&format!(
        "{QUICK}component router\n file DIR/router\n\
         component web\n file DIR/web\n depends-on router\n"
    ));
    house.start();
    house.comes_to("/web", "OK");
    house.comes_to("/router", "OK");
    house.remove("web");
    let line = house.daemon().line_with("state=\"ok -> fail\"");
    assert!(line.contains("component=web"), "{line}");
    assert!(!line.contains("blamed"), "nobody else is: {line}");
    house.write("web", "");
    house.comes_to("/web", "OK");
    house.remove("router");
    house.comes_to("/router", "FAIL");
    house.remove("web");
    let line = house.daemon().line_with("blamed=");
    assert!(
        line.contains("component=web ") && line.ends_with(" blamed=router"),
        "{line}"
    );
    assert_eq!(house.status().of("web", "blamed"), "\"router\"");
    assert_eq!(house.get("/web").0, 503, "it fails all the same");
    let (_, events) = house.admin("GET", "/-/events", "");
    assert!(events.contains("\"blamed\":\"router\""), "{events}");
}

#[test]
fn what_is_asked_only_behind_a_live_uplink_is_not_asked_behind_a_dead_one() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    target.set_nonblocking(true).unwrap();
    let house = house(&format!(
        "{QUICK}component uplink\n file DIR/uplink\n\
         component behind\n tcp {}\n timeout 5s\n only-if uplink\n stale-after 300ms\n",
        target.local_addr().unwrap()
    ));
    house.comes_to("/uplink", "FAIL");
    house.comes_to("/behind", "ERROR");
    eventually("it would have been asked", || {
        house.status().number("behind", "unknowns") > 1.0
    });
    assert!(target.accept().is_err(), "it was not asked");
    assert_eq!(house.get("/behind").0, 500);
    // Why is said however long it is so.
    house.daemon().line_with("reason=\"stale\"");
    eventually("the reason", || {
        house.status().of("behind", "reason") == "\"condition not met\""
    });

    house.write("uplink", "");
    house.comes_to("/behind", "OK");
    house.remove("uplink");
    house.comes_to("/uplink", "FAIL");
    house.comes_to("/behind", "ERROR");
    // The one that was about to be asked may be so still.
    house.looks_again("behind");
    while target.accept().is_ok() {}
    house.looks_again("behind");
    assert!(target.accept().is_err(), "it is not asked any more");
    let line = house.daemon().line_with("state=\"ok -> unknown\"");
    assert!(line.contains("component=behind"), "{line}");
    house.write("uplink", "");
    house.comes_to("/behind", "OK");
}

/// What a balancer that goes by `/web` has its server log: a request with this status if it may.
fn balance(house: &House, status: u16) {
    if house.word("/web") == "OK" {
        let line = format!("::1 - - [21/Nov/2026:06:26:41 +0000] \"GET / HTTP/1.1\" {status} 2\n");
        let mut log = OpenOptions::new().append(true).open(house.path("log"));
        log.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
    }
}

#[test]
fn what_watches_traffic_comes_back_with_what_asks_and_not_by_itself() {
    let mut house = empty();
    house.write("page", "");
    house.write("log", "");
    house.configure(&format!(
        "{QUICK}component traffic\n access-log DIR/log\n window 200ms\n min-requests 1\n \
         stale-after 1s\n\
         component page\n file DIR/page\n\
         component web\n any-of page traffic\n stale-after 1s\n\
         component strict\n all-of page traffic\n stale-after 1s\n"
    ));
    house.start();
    let balanced_to = |status, name: &str, word: &str| {
        eventually(&format!("{name} is {word}"), || {
            balance(&house, status);
            house.word(name) == word
        });
    };
    balanced_to(200, "/strict", "OK");
    balanced_to(500, "/strict", "FAIL");
    assert_eq!(house.word("/web"), "OK", "one of the two is well");
    house.remove("page");
    balanced_to(500, "/web", "FAIL");
    balanced_to(500, "/traffic", "ERROR");
    house.write("page", "");
    house.comes_to("/web", "OK");
    house.comes_to("/strict", "ERROR");
    assert_eq!(house.word("/traffic"), "ERROR");
    balanced_to(200, "/strict", "OK");
}
