//! Checks against real peers: what each kind of hostile peer comes to, and how checks are run.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use failover::{
    Background, Check, Family, Health, Hysteresis, Outcome, Phase, State, TcpCheck, count, fail,
    ok, second,
};

use support::{BlackHole, Gate, PATIENCE, a_moment, dead_port, eventually, free_port, peer};

/// A check of this port of this machine, with time enough.
fn check_of(port: u16) -> TcpCheck {
    TcpCheck::new("127.0.0.1", port, second(30)).unwrap()
}

#[track_caller]
fn assert_outcome(check: &mut dyn Check, health: Health, words: &str) {
    let outcome = check.check();
    assert_eq!(
        (outcome.health, outcome.reason.words()),
        (health, words),
        "{outcome}"
    );
}

#[test]
fn a_service_that_accepts_is_ok_whatever_it_does_then() {
    type Serve = fn(TcpStream);
    let served: [(&str, Serve); 5] = [
        ("closes at once", drop),
        ("greets and closes", |mut stream| {
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
        }),
        ("resets", |mut stream| {
            // Closed with something unread, if anything was sent.
            let _ = stream.write_all(&[b'x'; 100_000]);
        }),
        ("talks without end", |mut stream| {
            while stream.write_all(&[b'x'; 4_096]).is_ok() {}
        }),
        ("waits for the other to close", |mut stream| {
            let _ = stream.read_to_end(&mut Vec::new());
        }),
    ];
    for (what, serve) in served {
        let port = peer(serve);
        for _ in 0..20 {
            let outcome = check_of(port).check();
            assert_eq!(
                outcome.to_string(),
                format!("tcp connected: 127.0.0.1:{port}"),
                "{what}"
            );
            assert_eq!(outcome.health, Health::Ok);
        }
    }
    // Accepted by the system; the service itself hangs.
    let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = hangs.local_addr().unwrap().port();
    assert_outcome(&mut check_of(port), Health::Ok, "tcp connected");
}

#[test]
fn a_dead_service_is_refused() {
    let port = dead_port();
    let outcome = check_of(port).check();
    assert_eq!(outcome.health, Health::Fail);
    assert_eq!(
        outcome.to_string(),
        format!("tcp connect refused: 127.0.0.1:{port}")
    );
}

#[test]
fn a_black_hole_is_a_timeout_when_the_time_is_up() {
    let Some(hole) = BlackHole::new() else {
        println!("skipped: this system answers however full a listener's queue is");
        return;
    };
    let mut check = TcpCheck::new("127.0.0.1", hole.port(), second(0.5)).unwrap();
    assert_eq!(check.budget(), Some(Duration::from_millis(500)));
    let started = Instant::now();
    assert_outcome(&mut check, Health::Fail, "tcp connect timeout");
    let took = started.elapsed();
    assert!(
        took >= Duration::from_millis(500) && took < PATIENCE,
        "{took:?}"
    );
    // From a source of its own the way through the system is another.
    let mut check = check.source_host("127.0.0.1").unwrap();
    assert_outcome(&mut check, Health::Fail, "tcp connect timeout");
}

#[test]
fn a_service_that_greets_sees_an_orderly_end() {
    const CHECKS: usize = 50;
    let (sender, seen) = channel();
    let port = peer(move |mut stream| {
        let wrote = stream.write_all(b"220 mail.example ESMTP\r\n").is_ok();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = sender.send((wrote, stream.read(&mut [0]).map_err(|error| error.kind())));
    });
    for _ in 0..CHECKS {
        assert_outcome(&mut check_of(port), Health::Ok, "tcp connected");
        let end = seen.recv_timeout(PATIENCE).unwrap();
        assert_eq!(end, (true, Ok(0)));
    }
}

#[test]
fn names_are_resolved_and_one_address_is_enough_unless_all_are_wanted() {
    let port = peer(drop);
    for host in ["localhost", "LOCALHOST", "127.0.0.1"] {
        let mut check = TcpCheck::new(host, port, second(30)).unwrap();
        assert_outcome(&mut check, Health::Ok, "tcp connected");
        let mut check = check.family(Family::V4);
        assert_outcome(&mut check, Health::Ok, "tcp connected");
    }
    let mut check = check_of(port).family(Family::V6);
    assert_outcome(&mut check, Health::Fail, "resolve no address");
    let mut check = check_of(port).family(Family::All);
    assert_outcome(&mut check, Health::Ok, "tcp connected");
}

#[test]
fn a_service_on_ipv6_is_checked_alike() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        println!("skipped: this machine has no ::1");
        return;
    };
    let port = listener.local_addr().unwrap().port();
    for host in ["::1", "[::1]"] {
        for family in [Family::Any, Family::V6, Family::All] {
            let mut check = TcpCheck::new(host, port, second(30))
                .unwrap()
                .family(family);
            assert_outcome(&mut check, Health::Ok, "tcp connected");
        }
    }
    let mut check = TcpCheck::new("::1", port, second(30)).unwrap();
    assert_eq!(check.check().detail, format!("[::1]:{port}"));
    assert_outcome(
        &mut check.clone().family(Family::V4),
        Health::Fail,
        "resolve no address",
    );
    let mut from = check.clone().source_host("::1").unwrap();
    assert_outcome(&mut from, Health::Ok, "tcp connected");
    let mut from = check.clone().source_host("127.0.0.1").unwrap();
    assert_outcome(&mut from, Health::Unknown, "tcp source unavailable");
    drop(listener);
    assert_outcome(&mut check, Health::Fail, "tcp connect refused");
}

#[test]
fn the_peer_sees_the_source_that_was_asked_for() {
    let (sender, seen) = channel();
    let port = peer(move |stream| drop(sender.send(stream.peer_addr())));
    let mut check = check_of(port).source_host("127.0.0.2").unwrap();
    assert_outcome(&mut check, Health::Ok, "tcp connected");
    let source = seen.recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!(source.ip().to_string(), "127.0.0.2");
}

#[test]
fn a_source_port_can_be_used_again_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let source_port = free_port();
    let mut check = check_of(port).source_port(source_port).unwrap();
    for _ in 0..3 {
        assert_outcome(&mut check, Health::Ok, "tcp connected");
        // It has been reset by now, and yet it was there.
        if let Ok((_, from)) = listener.accept() {
            assert_eq!(from.port(), source_port);
        }
    }
    // A failure does not use it up either.
    drop(listener);
    for _ in 0..3 {
        assert_outcome(&mut check, Health::Fail, "tcp connect refused");
    }
}

#[test]
fn a_source_that_is_not_ours_is_unknown_and_no_failure() {
    let port = peer(drop);
    let mut check = check_of(port).source_host("192.0.2.1").unwrap();
    assert_outcome(&mut check, Health::Unknown, "tcp source unavailable");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let source_port = taken.local_addr().unwrap().port();
    let mut check = check_of(port).source_port(source_port).unwrap();
    assert_outcome(&mut check, Health::Unknown, "tcp source unavailable");
}

#[test]
fn a_connection_to_oneself_is_refused() {
    for _ in 0..10 {
        let port = free_port();
        let mut check = check_of(port).source_port(port).unwrap();
        let check_from_home = check.clone().source_host("127.0.0.1").unwrap();
        assert_outcome(&mut check, Health::Fail, "tcp connect refused");
        assert_outcome(
            &mut { check_from_home },
            Health::Fail,
            "tcp connect refused",
        );
    }
}

#[test]
fn ports_are_numbers_or_the_names_of_services() {
    assert!(TcpCheck::new("localhost", "smtp", 10).is_ok());
    assert!(TcpCheck::new("localhost", "65535", 10).is_ok());
    let check = TcpCheck::new("localhost", "postgresql", second(3)).unwrap();
    assert_eq!(format!("{check:?}"), "TcpCheck(localhost:5432 within 3s)");
    for port in ["", "0", "65536", "no-such-service", "-1"] {
        let error = TcpCheck::new("localhost", port, 10)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with(&format!("{port:?} is not a port; expected")),
            "{error}"
        );
    }
    assert!(TcpCheck::new("localhost", 0, 10).is_err());
    assert!(TcpCheck::new("localhost", 70_000, 10).is_err());
    assert!(TcpCheck::new("http://localhost", 80, 10).is_err());
    assert!(TcpCheck::new("localhost", 80, 0).is_err());
    assert!(TcpCheck::new("localhost", 80, -1.0).is_err());
    assert!(TcpCheck::new("localhost", 80, f64::NAN).is_err());
}

#[test]
fn checks_leave_no_descriptor_behind() {
    let up = peer(|mut stream| drop(stream.write_all(b"hello")));
    let down = dead_port();
    let open_to = |port: u16| {
        // Descriptors of tests beside this one come and go; those to these ports are ours.
        let wanted = format!(":{port:04X} ");
        let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        let established = |line: &&str| line.contains(&wanted) && line.contains(" 01 ");
        table.lines().filter(established).count()
    };
    for _ in 0..500 {
        assert_outcome(&mut check_of(up), Health::Ok, "tcp connected");
        assert_outcome(&mut check_of(down), Health::Fail, "tcp connect refused");
    }
    eventually("all connections are closed", || open_to(up) == 0);
}

#[test]
fn whatever_tells_of_health_is_a_check() {
    fn outcome_of(mut check: impl Check) -> Outcome {
        check.check()
    }
    for (outcome, health, words) in [
        (outcome_of(|| true), Health::Ok, "said ok"),
        (outcome_of(|| false), Health::Fail, "said fail"),
        (outcome_of(|| ok), Health::Ok, "said ok"),
        (
            outcome_of(|| State::Unknown),
            Health::Unknown,
            "said unknown",
        ),
        (outcome_of(|| Health::Warn), Health::Warn, "said warn"),
        (
            outcome_of(|| Outcome::from(fail)),
            Health::Fail,
            "said fail",
        ),
    ] {
        assert_eq!((outcome.health, outcome.reason.words()), (health, words));
    }
    let boxed: Box<dyn Check> = Box::new(|| Outcome::from(false).with_detail("disk full"));
    assert_eq!(outcome_of(boxed).to_string(), "said fail: disk full");
}

#[test]
fn a_check_in_the_background_runs_at_once_and_answers_from_memory() {
    let (mut gate, check) = Gate::new();
    let mut background = Background::new(check, second(3_600), fail).unwrap();
    gate.hangs();
    assert_eq!(background.check().health, Health::Fail);
    assert_eq!(background.check().reason.words(), "not yet known");
    gate.open();
    eventually("the first outcome", || background.state() == State::Ok);
    assert_eq!(background.check().reason.words(), "said ok");
    assert_eq!(background.published().runs, 1);
    assert_eq!(gate.begun(), 1);
}

#[test]
fn stopping_a_check_in_the_background_is_prompt_while_it_hangs() {
    let (mut gate, check) = Gate::new();
    let background = Background::new(check, second(0.001), ok).unwrap();
    gate.hangs();
    let started = Instant::now();
    background.stop();
    background.stop();
    assert!(started.elapsed() < PATIENCE / 2);
    gate.open();
    a_moment();
    assert_eq!(gate.begun(), 1, "nothing runs after the stop");
    assert_eq!(
        background.published().runs,
        0,
        "and what was on tells nobody"
    );
}

#[test]
fn dropping_a_check_in_the_background_ends_its_thread() {
    let (alive, is_alive) = channel::<()>();
    let check = move || {
        // Gone with the closure, and so with the thread that owns it.
        let _ = &alive;
        true
    };
    let background = Background::new(check, second(3_600), ok).unwrap();
    eventually("the first run", || background.published().runs == 1);
    drop(background);
    assert!(is_alive.recv_timeout(PATIENCE).is_err());
    eventually("the thread's end", || {
        matches!(
            is_alive.try_recv(),
            Err(std::sync::mpsc::TryRecvError::Disconnected)
        )
    });
}

#[test]
fn hysteresis_tells_state_phase_and_progress() {
    let mut script = [true, false, false, true, false, false, false, true].into_iter();
    let mut steady = Hysteresis::new(move || script.next().unwrap_or(true))
        .fail_after(count(3))
        .unwrap()
        .ok_after(count(2))
        .unwrap();
    for (state, phase, disagreeing) in [
        (State::Ok, Phase::Healthy, 0),
        (State::Ok, Phase::Suspicious, 1),
        (State::Ok, Phase::Suspicious, 2),
        (State::Ok, Phase::Healthy, 0),
        (State::Ok, Phase::Suspicious, 1),
        (State::Ok, Phase::Suspicious, 2),
        (State::Fail, Phase::Unhealthy, 0),
        (State::Fail, Phase::Recovering, 1),
        (State::Ok, Phase::Healthy, 0),
    ] {
        assert_eq!(steady.check().health, Health::from(state));
        let now = steady.progress();
        assert_eq!((steady.state(), steady.phase()), (state, phase));
        assert_eq!(
            (now.state, now.phase, now.disagreeing),
            (state, phase, disagreeing)
        );
        let needed = if state == State::Ok { "3" } else { "2" };
        assert_eq!(now.needed.unwrap().to_string(), needed);
    }
}
