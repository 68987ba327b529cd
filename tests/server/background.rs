//! Checks in the background: answered from memory, whatever their probe does; and the events.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover::{
    Background, Clock, Event, Health, HealthCheckServer, ManualClock, State, What, fail, minute,
    ok, second,
};

use crate::support::{Gate, PATIENCE, Served, a_moment, expect_panics};

const SECOND: Duration = Duration::from_secs(1);

/// A server on this clock that tells its events.
fn served(clock: &ManualClock, background: Background) -> (Served, Receiver<Event>) {
    let (sender, events) = channel();
    let builder = HealthCheckServer::builder().clock(Arc::new(clock.clone()));
    let served = Served::with(builder, |server| {
        server.on_event(move |event| drop(sender.send(event.clone())));
        server.add_component("mail", background).unwrap();
    });
    (served, events)
}

/// The next event, if it is a change.
#[track_caller]
fn change(events: &Receiver<Event>) -> (State, State, String) {
    match events.recv_timeout(PATIENCE).expect("an event").what {
        What::Changed(change) => (change.from, change.to, change.outcome.reason.to_string()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_probe_that_hangs_keeps_nobody_waiting_and_goes_stale_once() {
    let clock = ManualClock::new();
    let (mut gate, check) = Gate::new();
    let background = Background::builder(check, second(10))
        .unwrap()
        .initial_state(ok)
        .stale_after(minute(1))
        .unwrap()
        .clock(Arc::new(clock.clone()))
        .start()
        .unwrap();
    let (served, events) = served(&clock, background);
    gate.hangs();
    clock.advance(60 * SECOND);
    assert_eq!(served.get("/mail"), "OK");
    clock.advance(SECOND);
    // Nobody has to ask for it to be told.
    let stale = (State::Ok, State::Unknown, String::from("stale"));
    assert_eq!(change(&events), stale);
    for _ in 0..3 {
        assert_eq!(served.get("/mail"), "ERROR");
        clock.advance(60 * SECOND);
    }
    assert_eq!(gate.begun(), 1, "never two runs at a time");
    gate.open();
    assert_eq!(
        change(&events),
        (State::Unknown, State::Ok, String::from("said ok"))
    );
    assert_eq!(served.get("/mail"), "OK");
    a_moment();
    assert!(events.try_recv().is_err(), "one event for each change");
}

#[test]
fn who_comes_before_the_first_outcome_waits_for_it() {
    let (mut gate, check) = Gate::new();
    let served = Served::new(|server| {
        let background = Background::builder(check, second(3_600)).unwrap();
        server
            .add_component("mail", background.start().unwrap())
            .unwrap();
    });
    let caller = served.client("GET /mail HTTP/1.0\r\n\r\n");
    gate.hangs();
    gate.open();
    assert!(crate::support::rest(caller).ends_with("\r\n\r\nOK"));
    assert_eq!(gate.begun(), 1, "the run that was on was enough");
}

#[test]
fn a_get_of_a_check_in_the_background_is_no_run() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let served = Served::new(|server| {
        let check = move || counted.fetch_add(1, Ordering::SeqCst) == 0;
        let background = Background::builder(check, second(3_600)).unwrap();
        server
            .add_component("mail", background.start().unwrap())
            .unwrap();
    });
    for _ in 0..20 {
        assert_eq!(served.get("/mail"), "OK");
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[test]
fn events_are_told_in_the_order_in_which_they_happened() {
    let clock = ManualClock::new();
    let script: Vec<Health> = (0..100)
        .map(|n| if n % 2 == 0 { Health::Fail } else { Health::Ok })
        .collect();
    let left = Mutex::new(script.into_iter());
    let check = move || left.lock().unwrap().next().unwrap_or(Health::Ok);
    let background = Background::builder(check, second(1))
        .unwrap()
        .initial_state(ok)
        .clock(Arc::new(clock.clone()))
        .start()
        .unwrap();
    let (_served, events) = served(&clock, background);
    let mut at = clock.now();
    for n in 0..100 {
        let event = events.recv_timeout(PATIENCE).expect("an event");
        assert_eq!(event.component, "mail");
        assert!(event.at >= at);
        at = event.at;
        let What::Changed(change) = event.what else {
            panic!("{:?}", event.what);
        };
        let expected = [(State::Ok, State::Fail), (State::Fail, State::Ok)][n % 2];
        assert_eq!((change.from, change.to), expected);
        assert_eq!(change.runs, n as u64 + 1);
        clock.advance_and_settle(SECOND);
    }
}

#[test]
fn a_panic_is_told_once_until_it_is_over() {
    expect_panics();
    let (sender, events) = channel();
    let served = Served::new(|server| {
        server.on_event(move |event| drop(sender.send(event.clone())));
        let mut runs = 0;
        let check = move || {
            runs += 1;
            assert!(runs == 3, "meant to panic");
            true
        };
        server.add_component("wild", check).unwrap();
    });
    for expected in ["ERROR", "ERROR", "OK", "ERROR", "ERROR"] {
        assert_eq!(served.get("/wild"), expected);
    }
    let told = |event: Event| match event.what {
        What::Panicked { message } => message,
        What::Changed(change) => format!("{} -> {}", change.from, change.to),
        other => panic!("{other:?}"),
    };
    let told: Vec<String> = (0..4)
        .map(|_| told(events.recv_timeout(PATIENCE).expect("an event")))
        .collect();
    let panicked = "meant to panic";
    assert_eq!(told, [panicked, "unknown -> ok", panicked, "ok -> unknown"]);
    a_moment();
    assert!(events.try_recv().is_err());
}

#[test]
fn a_listener_that_is_slow_holds_up_no_answer() {
    let (shut, open) = channel::<()>();
    let served = Served::new(|server| {
        server.on_event(move |_| {
            let _ = open.recv_timeout(2 * PATIENCE);
        });
        let mut runs = 0;
        let check = move || {
            runs += 1;
            runs % 2 == 0
        };
        server.add_component("a", check).unwrap();
    });
    for _ in 0..50 {
        assert_eq!(served.get("/a"), "FAIL");
        assert_eq!(served.get("/a"), "OK");
    }
    drop(shut);
}

#[test]
fn a_listener_that_panics_is_told_the_next_event_too() {
    expect_panics();
    let (sender, events) = channel();
    let served = Served::new(|server| {
        server.on_event(move |_| {
            let _ = sender.send(());
            panic!("meant to panic");
        });
        let mut runs = 0;
        let check = move || {
            runs += 1;
            runs % 2 == 0
        };
        server.add_component("a", check).unwrap();
    });
    for _ in 0..4 {
        served.get("/a");
        events.recv_timeout(PATIENCE).unwrap();
    }
}

/// As after a pause of the whole machine, all of them change at once.
#[test]
fn of_many_that_change_before_any_is_told_each_is_told() {
    const COUNT: usize = 1_100;
    let (sender, events) = channel();
    let runs = Arc::new(AtomicUsize::new(0));
    let _served = Served::new(|server| {
        server.on_event(move |event| drop(sender.send(event.clone())));
        for number in 0..COUNT {
            let counted = runs.clone();
            let check = move || counted.fetch_add(1, Ordering::SeqCst) < COUNT;
            let background = Background::new(check, minute(60), fail).unwrap();
            let name = format!("c{number}");
            server.add_component(&name, background).unwrap();
        }
        while runs.load(Ordering::SeqCst) < COUNT {
            std::thread::yield_now();
        }
    });
    for told in 0..COUNT {
        let event = events.recv_timeout(PATIENCE);
        assert!(event.is_ok(), "{told} of {COUNT} were told");
    }
}
