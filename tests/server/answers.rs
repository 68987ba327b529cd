//! What is answered, byte for byte, to requests that are well formed.

use failover::{Health, HealthCheckServer, Reply, State};

use crate::support::{Served, exact, status};

const ALLOW: &str = "Allow: GET, HEAD, OPTIONS\r\n";
const ALLOW_POST: &str = "Allow: GET, HEAD, OPTIONS, POST\r\n";
const NOT_FOR_THIS: &str = "ERROR: this method is not for this path";

/// One component for each way to be.
fn served() -> Served {
    Served::new(|server| {
        server.add_component("up", || State::Ok).unwrap();
        server.add_component("warned", || Health::Warn).unwrap();
        server.add_component("down", || State::Fail).unwrap();
        server.add_component("dark", || State::Unknown).unwrap();
        let on_post = |_: &failover::Post| Reply::new(202, "done");
        server
            .add_component_with_post("acts", || true, on_post)
            .unwrap();
        server.add_component("a/b.c/D_9", || true).unwrap();
    })
}

fn only(mount: impl FnOnce(&HealthCheckServer)) -> Served {
    Served::new(mount)
}

#[test]
fn each_state_has_its_exact_answer_in_each_method() {
    let served = served();
    for (name, line, word, allow) in [
        ("up", "200 OK", "OK", ALLOW),
        ("warned", "200 OK", "OK", ALLOW),
        ("down", "503 FAIL", "FAIL", ALLOW),
        ("dark", "500 ERROR", "ERROR", ALLOW),
        ("acts", "200 OK", "OK", ALLOW_POST),
        ("nothing", "404 ERROR", "ERROR", ALLOW),
    ] {
        let ask = |method: &str| served.ask(format!("{method} /{name} HTTP/1.0\r\n\r\n"));
        assert_eq!(ask("GET"), exact(line, word.len(), "", word));
        assert_eq!(ask("HEAD"), exact(line, word.len(), "", ""));
        assert_eq!(ask("OPTIONS"), exact(line, 0, allow, ""));
    }
}

#[test]
fn a_method_that_is_not_for_the_path_is_told_which_are() {
    let served = served();
    let refused = |allow| {
        let line = "405 Method Not Allowed";
        exact(line, NOT_FOR_THIS.len(), allow, NOT_FOR_THIS)
    };
    for method in ["PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "BREW", "get"] {
        let ask = |name: &str| served.ask(format!("{method} /{name} HTTP/1.0\r\n\r\n"));
        assert_eq!(ask("up"), refused(ALLOW), "{method}");
        assert_eq!(ask("acts"), refused(ALLOW_POST), "{method}");
    }
    let post = |name: &str| served.ask(format!("POST /{name} HTTP/1.0\r\n\r\n"));
    assert_eq!(post("up"), refused(ALLOW));
    assert_eq!(post(""), refused(ALLOW));
    assert_eq!(post("nothing"), exact("404 ERROR", 5, "", "ERROR"));
    assert_eq!(post("acts"), exact("202 Accepted", 4, "", "done"));
}

#[test]
fn a_path_is_found_however_it_is_written() {
    let served = served();
    for target in [
        "/up",
        "//up",
        "///up",
        "/up?",
        "/up?a=b&c",
        "/up?x=%zz",
        "/up#part",
        "/u%70",
        "/%75%70?",
        "http://lb.example/up",
        "http://lb.example:80//up?x",
        "HTTPS://[::1]:8080/up",
        "/a/b.c/D_9",
        "/a%2Fb.c/D_9",
    ] {
        for version in ["1.0", "1.1"] {
            let answer = served.ask(format!("GET {target} HTTP/{version}\r\nHost: a\r\n\r\n"));
            assert_eq!(answer, exact("200 OK", 2, "", "OK"), "{target}");
        }
    }
    for target in [
        "/UP",
        "/up/",
        "/up/x",
        "/u%2570",
        "/%2Fup",
        "/a//b.c/D_9",
        "/%00",
        "/a",
    ] {
        let answer = served.ask(format!("GET {target} HTTP/1.0\r\n\r\n"));
        assert_eq!(status(&answer), 404, "{target}");
    }
}

#[test]
fn callers_that_matter_get_what_they_wait_for() {
    let served = only(|server| server.add_component("mail", || true).unwrap());
    for request in [
        // HAProxy's bare option httpchk.
        "OPTIONS / HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /mail HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: 10.0.0.1\r\n\r\n",
        "GET /mail HTTP/1.1\r\nHost: 10.0.0.1:8080\r\nUser-Agent: kube-probe/1.30\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n",
        "GET /mail HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
        "GET /mail HTTP/1.0\n\n",
        "\r\nGET /mail HTTP/1.0\r\n\r\n",
    ] {
        let answer = served.ask(request);
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{request:?}");
    }
}

#[test]
fn the_root_is_the_only_component() {
    let served = only(|server| server.add_component("down", || false).unwrap());
    let ask = |method: &str| served.ask(format!("{method} / HTTP/1.0\r\n\r\n"));
    assert_eq!(ask("GET"), exact("503 FAIL", 4, "", "FAIL"));
    assert_eq!(ask("HEAD"), exact("503 FAIL", 4, "", ""));
    assert_eq!(ask("OPTIONS"), exact("503 FAIL", 0, ALLOW, ""));
    let star = served.ask("OPTIONS * HTTP/1.0\r\n\r\n");
    assert_eq!(star, exact("503 FAIL", 0, ALLOW, ""));
}

#[test]
fn the_root_of_several_components_or_none_says_alive() {
    for served in [served(), only(|_| {})] {
        let ask = |method: &str| served.ask(format!("{method} / HTTP/1.0\r\n\r\n"));
        assert_eq!(ask("GET"), exact("200 OK", 5, "", "alive"));
        assert_eq!(ask("HEAD"), exact("200 OK", 5, "", ""));
        assert_eq!(ask("OPTIONS"), exact("200 OK", 0, ALLOW, ""));
        let bare = served.ask("GET http://lb.example HTTP/1.0\r\n\r\n");
        assert_eq!(bare, exact("200 OK", 5, "", "alive"));
    }
}

#[test]
fn the_root_is_the_default_component_where_one_is_named() {
    let builder = || HealthCheckServer::builder().default_component("b");
    let served = Served::with(builder(), |server| {
        server.add_component("a", || true).unwrap();
        server.add_component("b", || false).unwrap();
    });
    assert_eq!(served.get("/"), "FAIL");
    // A default that is not mounted is an error to be seen, not a server that seems well.
    let served = Served::with(builder(), |server| {
        server.add_component("a", || true).unwrap();
    });
    assert_eq!(status(&served.ask("GET / HTTP/1.0\r\n\r\n")), 404);
}

#[test]
fn what_is_mounted_later_is_answered_too() {
    let served = only(|_| {});
    assert_eq!(served.get("/late"), "ERROR");
    served.server.add_component("late", || true).unwrap();
    assert_eq!(served.get("/late"), "OK");
}
