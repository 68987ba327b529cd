//! Checks that run when they are asked for: one run for all, and nobody else waits.

use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use failover::{Background, HealthCheckServer, Hysteresis, State, count, ok, second};

use crate::support::{
    Gate, Served, a_moment, body, eventually, exact, expect_panics, has_answer, rest,
};

const GET: &str = "GET /gated HTTP/1.0\r\n\r\n";

#[test]
fn all_who_ask_join_one_run_and_others_are_answered_meanwhile() {
    const CALLERS: usize = 32;
    let (mut gate, check) = Gate::new();
    let served = Served::new(|server| {
        server.add_component("gated", check).unwrap();
        server.add_component("free", || true).unwrap();
        let background = Background::new(|| false, second(3_600), ok).unwrap();
        server.add_component("background", background).unwrap();
    });
    let callers: Vec<TcpStream> = (0..CALLERS).map(|_| served.client(GET)).collect();
    gate.hangs();
    for _ in 0..20 {
        assert_eq!(served.get("/free"), "OK");
        assert_eq!(served.get("/background"), "FAIL");
        assert_eq!(served.get("/nothing"), "ERROR");
    }
    a_moment();
    for caller in &callers {
        caller.set_nonblocking(true).unwrap();
        assert!(
            caller.peek(&mut [0]).is_err(),
            "answered before the run has ended"
        );
        caller.set_nonblocking(false).unwrap();
    }
    gate.open();
    for caller in callers {
        assert_eq!(rest(caller), exact("200 OK", 2, "", "OK"));
    }
    assert_eq!(gate.at_once(), 1);
    // On a machine that is busy some may come late, for a run of their own: one for each leader.
    assert!(
        gate.begun() <= 5,
        "{} runs for {CALLERS} callers",
        gate.begun()
    );
}

#[test]
fn each_who_asks_alone_gets_a_run() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let served = Served::new(|server| {
        let check = || RUNS.fetch_add(1, Ordering::SeqCst) % 2 == 0;
        server.add_component("a", check).unwrap();
    });
    for expected in ["OK", "FAIL", "OK", "FAIL"] {
        assert_eq!(served.get("/a"), expected);
    }
    // A HEAD is a run as well; what is not found, or not allowed, is none.
    served.ask("HEAD /a HTTP/1.0\r\n\r\n");
    served.ask("PUT /a HTTP/1.0\r\n\r\n");
    served.ask("GET /b HTTP/1.0\r\n\r\n");
    assert_eq!(RUNS.load(Ordering::SeqCst), 5);
}

#[test]
fn who_has_waited_long_enough_is_answered_error() {
    let (mut gate, check) = Gate::new();
    let builder = HealthCheckServer::builder()
        .answer_within(second(0.3))
        .unwrap();
    let served = Served::with(builder, |server| {
        server.add_component("gated", check).unwrap()
    });
    let started = Instant::now();
    assert_eq!(served.ask(GET), exact("500 ERROR", 5, "", "ERROR"));
    assert!(started.elapsed() >= Duration::from_millis(300));
    // The run is still on, and the next caller joins it.
    assert_eq!(
        served.ask("HEAD /gated HTTP/1.0\r\n\r\n"),
        exact("500 ERROR", 5, "", "")
    );
    assert_eq!((gate.begun(), gate.at_once()), (1, 1));
    gate.open();
    // The run needs its time to end, too.
    eventually("the end of the run", || {
        served.ask(GET) == exact("200 OK", 2, "", "OK")
    });
}

#[test]
fn callers_that_are_gone_when_the_run_ends_harm_nobody() {
    let (mut gate, check) = Gate::new();
    let served = Served::new(|server| server.add_component("gated", check).unwrap());
    let callers: Vec<TcpStream> = (0..20).map(|_| served.client(GET)).collect();
    gate.hangs();
    drop(callers);
    let stays = served.client(GET);
    gate.open();
    assert_eq!(body(&rest(stays)), "OK");
}

#[test]
fn with_too_many_callers_the_next_is_told_what_is_known() {
    const MAX: usize = 4;
    let (mut gate, check) = Gate::new();
    let builder = HealthCheckServer::builder().max_connections(MAX);
    let served = Served::with(builder, |server| {
        server.add_component("gated", check).unwrap()
    });
    let callers: Vec<TcpStream> = (0..3 * MAX).map(|_| served.client(GET)).collect();
    gate.hangs();
    let told = || callers.iter().filter(|caller| has_answer(caller)).count();
    eventually("some are told", || told() >= MAX);
    gate.open();
    let answers: Vec<String> = callers
        .into_iter()
        .map(|caller| body(&rest(caller)))
        .collect();
    let told = |word: &str| answers.iter().filter(|answer| *answer == word).count();
    assert_eq!(
        told("OK") + told("ERROR"),
        3 * MAX,
        "every one is answered: {answers:?}"
    );
    assert!(told("OK") >= 1 && told("ERROR") >= MAX, "{answers:?}");
}

#[test]
fn a_check_that_panics_is_unknown_and_the_next_run_is_a_run() {
    expect_panics();
    let served = Served::new(|server| {
        let mut runs = 0;
        let check = move || {
            runs += 1;
            assert!(runs % 3 != 1, "meant to panic");
            true
        };
        server.add_component("wild", check).unwrap();
        server.add_component("tame", || true).unwrap();
    });
    for _ in 0..3 {
        let answer = served.ask("GET /wild HTTP/1.0\r\n\r\n");
        assert_eq!(answer, exact("500 ERROR", 5, "", "ERROR"));
        assert_eq!(served.get("/tame"), "OK");
        assert_eq!(served.get("/wild"), "OK");
        assert_eq!(served.get("/wild"), "OK");
    }
}

#[test]
fn what_judges_keeps_its_state_over_unknown_outcomes() {
    use State::{Fail, Ok, Unknown};
    let mut left = [Ok, Fail, Fail, Unknown, Fail].into_iter();
    let judged = Hysteresis::new(move || left.next().unwrap_or(Unknown))
        .fail_after(count(3))
        .unwrap();
    let served = Served::new(|server| server.add_component("judged", judged).unwrap());
    for expected in ["OK", "OK", "OK", "OK", "FAIL", "FAIL"] {
        assert_eq!(served.get("/judged"), expected);
    }
}
