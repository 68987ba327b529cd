//! POST: what acts, who may, and the manual reset.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};

use failover::{
    HealthCheckServer, HtpasswdFile, Hysteresis, Oneshot, Post, Reply, State, Toggle, count, fail,
    second,
};

use crate::crowd;
use crate::support::{
    PATIENCE, Served, a_moment, body, eventually, exact, expect_panics, has_answer, rest, status,
};

/// `bob` with the password `pass`, as `htpasswd -nbs` writes it.
const BOB: &str = "bob:{SHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ=\n";
const BOBS: &str = "Authorization: Basic Ym9iOnBhc3M=\r\n";

/// A file of users that is gone with its test.
struct Users(PathBuf);

impl Users {
    fn new() -> Users {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let name = format!("failover-posts-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, BOB).unwrap();
        Users(path)
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A latch under `/mail` that fails when `is_up` says so, and stays so until it is reset.
fn latch(server: &HealthCheckServer, is_up: &Arc<AtomicBool>, reset: Oneshot) {
    let is_up = is_up.clone();
    let toggle = Toggle::new(move || is_up.load(Ordering::SeqCst), reset.clone());
    server
        .add_component_with_post("mail", toggle, reset)
        .unwrap();
}

fn up() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(true))
}

fn post(headers: &str) -> String {
    format!("POST /mail HTTP/1.0\r\n{headers}\r\n")
}

#[test]
fn a_reset_makes_the_very_next_answer_ok() {
    let is_up = up();
    let served = Served::new(|server| latch(server, &is_up, Oneshot::new(fail)));
    assert_eq!(served.get("/mail"), "OK");
    for _ in 0..20 {
        is_up.store(false, Ordering::SeqCst);
        assert_eq!(served.get("/mail"), "FAIL");
        is_up.store(true, Ordering::SeqCst);
        assert_eq!(served.get("/mail"), "FAIL", "it stays so until it is reset");
        assert_eq!(served.ask(post("")), exact("200 OK", 5, "", "Armed"));
        assert_eq!(served.get("/mail"), "OK");
    }
}

#[test]
fn a_reset_while_ok_changes_nothing_and_undoes_no_later_failure() {
    let is_up = up();
    let served = Served::new(|server| latch(server, &is_up, Oneshot::new(fail)));
    assert_eq!(served.get("/mail"), "OK");
    let text = "Nothing to reset: the state is ok";
    for _ in 0..3 {
        assert_eq!(served.ask(post("")), exact("200 OK", text.len(), "", text));
    }
    assert_eq!(served.get("/mail"), "OK");
    is_up.store(false, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(served.get("/mail"), "FAIL");
    }
}

#[test]
fn one_reset_undoes_one_failure() {
    let is_up = up();
    let reset = Oneshot::new(fail);
    let served = Served::new(|server| latch(server, &is_up, reset.clone()));
    is_up.store(false, Ordering::SeqCst);
    assert_eq!(served.get("/mail"), "FAIL");
    is_up.store(true, Ordering::SeqCst);
    // Armed twice, by a program and by a person.
    reset.fire();
    assert_eq!(body(&served.ask(post(""))), "Armed");
    assert_eq!(served.get("/mail"), "OK");
    reset.fire();
    is_up.store(false, Ordering::SeqCst);
    assert_eq!(served.get("/mail"), "FAIL");
    assert_eq!(
        served.get("/mail"),
        "FAIL",
        "an old reset undoes no new failure"
    );
}

#[test]
fn while_the_target_is_down_a_reset_does_not_hold() {
    let is_up = up();
    let served = Served::new(|server| latch(server, &is_up, Oneshot::new(fail)));
    is_up.store(false, Ordering::SeqCst);
    assert_eq!(served.get("/mail"), "FAIL");
    assert_eq!(body(&served.ask(post(""))), "Armed");
    assert_eq!(served.get("/mail"), "FAIL");
}

#[test]
fn without_credentials_nobody_resets() {
    let users = Users::new();
    let is_up = up();
    let reset = Oneshot::with_auth(fail, HtpasswdFile::open(&users.0).unwrap());
    let served = Served::new(|server| latch(server, &is_up, reset));
    is_up.store(false, Ordering::SeqCst);
    assert_eq!(served.get("/mail"), "FAIL");
    is_up.store(true, Ordering::SeqCst);
    let challenge = "WWW-Authenticate: Basic realm=\"failover\", charset=\"UTF-8\"\r\n";
    for headers in [
        "",
        "Authorization: Basic Ym9iOndvcmQ=\r\n",
        "Authorization: Basic bm9ib2R5OnBhc3M=\r\n",
        "Authorization: Bearer Ym9iOnBhc3M=\r\n",
    ] {
        let refused = exact("401 Unauthorized", 19, challenge, "Invalid credentials");
        assert_eq!(served.ask(post(headers)), refused, "{headers:?}");
        assert_eq!(served.get("/mail"), "FAIL");
    }
    assert_eq!(served.ask(post(BOBS)), exact("200 OK", 5, "", "Armed"));
    assert_eq!(served.get("/mail"), "OK");
    assert_eq!(status(&served.ask(post(""))), 401, "nor learns the state");
    fs::remove_file(&users.0).unwrap();
    assert_eq!(status(&served.ask(post(BOBS))), 500);
}

#[test]
fn a_page_of_another_site_cannot_post() {
    let is_up = up();
    let builder = HealthCheckServer::builder().server_name("lb.example");
    let served = Served::with(builder, |server| latch(server, &is_up, Oneshot::new(fail)));
    is_up.store(false, Ordering::SeqCst);
    assert_eq!(served.get("/mail"), "FAIL");
    is_up.store(true, Ordering::SeqCst);
    let own = served.address();
    for headers in [
        format!("Host: {own}\r\nOrigin: http://evil.example\r\n"),
        format!("Host: {own}\r\nOrigin: null\r\n"),
        format!("Host: {own}\r\nOrigin: http://127.0.0.1:1\r\n"),
        format!("Host: {own}\r\nSec-Fetch-Site: cross-site\r\n"),
        String::from("Host: rebound.example\r\nOrigin: http://rebound.example\r\n"),
        String::from("Origin: http://evil.example\r\n"),
    ] {
        assert_eq!(status(&served.ask(post(&headers))), 403, "{headers:?}");
        assert_eq!(served.get("/mail"), "FAIL");
    }
    for headers in [
        format!("Host: {own}\r\nOrigin: http://{own}\r\n"),
        String::from("Host: localhost:1\r\nOrigin: http://localhost:1\r\n"),
        String::from("Host: lb.example\r\nOrigin: https://lb.example\r\n"),
    ] {
        assert_eq!(status(&served.ask(post(&headers))), 200, "{headers:?}");
    }
}

#[test]
fn a_post_is_handed_over_whole() {
    let echo = |post: &Post| {
        let text = format!(
            "{} {:?} {:?} {} {}",
            post.path(),
            post.header("x-key"),
            String::from_utf8_lossy(post.body()),
            post.peer().ip(),
            post.state()
        );
        Reply::new(201, text)
    };
    let served = Served::new(|server| {
        server.add_component_with_post("a", || true, echo).unwrap();
    });
    let get = || "POST /a?b=%20c HTTP/1.0\r\nX-Key: v\r\nContent-Length: 4\r\n\r\nb\no\0";
    let expected = "/a?b=%20c Some(\"v\") \"b\\no\\0\" 127.0.0.1 unknown";
    let answer = served.ask(get());
    assert_eq!(answer, exact("201 Created", expected.len(), "", expected));
}

#[test]
fn a_post_that_panics_is_answered_and_the_next_one_is_acted_on() {
    expect_panics();
    let served = Served::new(|server| {
        let act = |post: &Post| {
            assert!(post.body().is_empty(), "meant to panic");
            Reply::new(200, "acted")
        };
        server.add_component_with_post("a", || true, act).unwrap();
    });
    for _ in 0..3 {
        let answer = served.ask("POST /a HTTP/1.0\r\nContent-Length: 1\r\n\r\nx");
        assert_eq!(answer, exact("500 Internal Server Error", 5, "", "ERROR"));
        assert_eq!(body(&served.ask("POST /a HTTP/1.0\r\n\r\n")), "acted");
        assert_eq!(served.get("/a"), "OK");
    }
}

#[test]
fn more_posts_than_can_wait_are_told_to_come_again() {
    let _crowd = crowd();
    const CLIENTS: usize = 80;
    let (begun, has_begun) = channel();
    let (shut, open) = channel::<()>();
    let open = Mutex::new(open);
    let served = Served::new(|server| {
        let hangs = move |_: &Post| {
            let _ = begun.send(());
            let open = open.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = open.recv_timeout(2 * PATIENCE);
            Reply::new(200, "acted")
        };
        server.add_component_with_post("a", || true, hangs).unwrap();
    });
    let client = || served.client("POST /a HTTP/1.0\r\n\r\n");
    let mut clients = vec![client()];
    has_begun.recv_timeout(PATIENCE).unwrap();
    clients.resize_with(CLIENTS, client);
    // GETs do not wait for POSTs.
    assert_eq!(served.get("/a"), "OK");
    // The first one is acted on, 64 wait.
    let refused = || clients.iter().filter(|client| has_answer(client)).count();
    eventually("the others are refused", || refused() == CLIENTS - 65);
    a_moment();
    assert_eq!(refused(), CLIENTS - 65);
    drop(shut);
    let answers: Vec<String> = clients.into_iter().map(rest).collect();
    let text = "ERROR: too many POSTs wait already";
    let full = exact(
        "503 Service Unavailable",
        text.len(),
        "Retry-After: 1\r\n",
        text,
    );
    let acted = exact("200 OK", 5, "", "acted");
    let count = |expected: &String| answers.iter().filter(|answer| *answer == expected).count();
    assert_eq!((count(&acted), count(&full)), (65, CLIENTS - 65));
    assert_eq!(served.ask("POST /a HTTP/1.0\r\n\r\n"), acted);
}

#[test]
fn a_reset_of_a_check_in_the_background_is_seen_at_once() {
    let is_up = up();
    let served = Served::new(|server| {
        let (reset, is_up) = (Oneshot::new(fail), is_up.clone());
        is_up.store(false, Ordering::SeqCst);
        let toggle = Toggle::new(move || is_up.load(Ordering::SeqCst), reset.clone());
        let background = failover::Background::new(toggle, second(3_600), failover::ok).unwrap();
        server
            .add_component_with_post("mail", background, reset)
            .unwrap();
    });
    eventually("the first run", || served.get("/mail") == "FAIL");
    is_up.store(true, Ordering::SeqCst);
    assert_eq!(body(&served.ask(post(""))), "Armed");
    assert_eq!(served.get("/mail"), "OK");
}

#[test]
fn a_post_that_is_acted_on_is_answered_before_the_server_has_ended() {
    let (begun, has_begun) = channel();
    let mut served = Served::new(|server| {
        let slow = move |_: &Post| {
            let _ = begun.send(());
            // Far less than the two seconds that an end waits.
            a_moment();
            a_moment();
            Reply::new(200, "done")
        };
        server.add_component_with_post("a", || true, slow).unwrap();
    });
    let client = served.client("POST /a HTTP/1.0\r\n\r\n");
    has_begun.recv_timeout(PATIENCE).unwrap();
    served.end();
    client.set_nonblocking(true).unwrap();
    let mut answer = [0; 512];
    let len = (&client).read(&mut answer).unwrap();
    assert!(answer[..len].ends_with(b"done"));
}

#[test]
fn after_a_reset_judging_starts_from_ok_whatever_it_started_in() {
    for start in [fail, State::Unknown] {
        let is_up = up();
        let served = Served::new(|server| {
            let (is_up, reset) = (is_up.clone(), Oneshot::new(fail));
            let judged = Hysteresis::new(move || is_up.load(Ordering::SeqCst))
                .initial_state(start)
                .ok_after(count(3))
                .unwrap()
                .fail_after(count(2))
                .unwrap();
            let toggle = Toggle::new(judged, reset.clone()).initial_state(start);
            server
                .add_component_with_post("mail", toggle, reset)
                .unwrap();
        });
        is_up.store(false, Ordering::SeqCst);
        assert_eq!(served.get("/mail"), "FAIL");
        assert_eq!(body(&served.ask(post(""))), "Armed");
        assert_eq!(served.get("/mail"), "OK", "one failure is not two");
        assert_eq!(served.get("/mail"), "FAIL");
        is_up.store(true, Ordering::SeqCst);
        assert_eq!(body(&served.ask(post(""))), "Armed");
        assert_eq!(served.get("/mail"), "OK");
        assert_eq!(served.get("/mail"), "OK");
    }
}
