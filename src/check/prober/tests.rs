//! Probers on a clock that stands still, with a check that does as it is told.
#![forbid(unsafe_code)]

use super::*;
use crate::check::board::{Answer, Asker};
use crate::clock::{ManualClock, locked};
use crate::event::{Transition, What};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// A check that says when it is asked, and waits to be told what it finds.
fn puppet() -> (Box<dyn Check>, Receiver<()>, Sender<Health>) {
    let (asked, is_asked) = channel();
    let (tell, told) = channel();
    let told = Mutex::new(told);
    let check = move || {
        asked.send(()).expect("the test listens");
        locked(&told).recv().unwrap_or(Health::Unknown)
    };
    (Box::new(check), is_asked, tell)
}

fn settings(schedule: Schedule, clock: &ManualClock) -> Settings {
    Settings {
        schedule,
        initial_state: State::Unknown,
        stale_after: Some(SECOND * 3),
        clock: Arc::new(clock.clone()),
        stack: Stack::Users,
        held: false,
    }
}

fn on_request(check: Box<dyn Check>) -> Prober {
    Prober::start(check, settings(Schedule::OnRequest, &ManualClock::new())).unwrap()
}

fn every_second() -> Schedule {
    Schedule::Every {
        pace: Pace::even(Span::try_from(1).unwrap()),
        first: FirstStart::default(),
    }
}

fn asker(answers: &Sender<Answer>) -> Asker {
    let answers = answers.clone();
    let answer = Box::new(move |answer| answers.send(answer).expect("the test listens"));
    Asker {
        deadline: Instant::now() + SECOND * 600,
        answer,
    }
}

#[test]
fn all_who_ask_at_the_same_time_share_one_run() {
    let (check, is_asked, tell) = puppet();
    let prober = on_request(check);
    let (answers, answered) = channel();
    let ask = || prober.board().ask(asker(&answers)).is_ok();
    assert!(ask());
    is_asked.recv().unwrap();
    assert!((0..100).all(|_| ask()));
    tell.send(Health::Fail).unwrap();
    for _ in 0..101 {
        assert_eq!(answered.recv().unwrap(), Answer::State(State::Fail));
    }
    assert_eq!(prober.board().published().runs, 1);
}

#[test]
fn who_comes_after_the_first_outcome_of_a_schedule_starts_no_run() {
    let (check, is_asked, tell) = puppet();
    let clock = ManualClock::new();
    let prober = Prober::start(check, settings(every_second(), &clock)).unwrap();
    let (answers, answered) = channel();
    is_asked.recv().unwrap();
    assert_eq!(prober.board().glance(), None);
    assert!(prober.board().ask(asker(&answers)).is_ok());
    tell.send(Health::Ok).unwrap();
    assert_eq!(answered.recv().unwrap(), Answer::State(State::Ok));
    // As a caller does that looked before that outcome and asks after it.
    assert!(prober.board().ask(asker(&answers)).is_err());
    clock.advance_and_settle(Duration::ZERO);
    assert_eq!(prober.board().published().runs, 1);
}

#[test]
fn who_waits_for_the_first_known_outcome_waits_over_runs_that_find_nothing_out() {
    let (check, is_asked, tell) = puppet();
    let clock = ManualClock::new();
    let prober = Prober::start(check, settings(every_second(), &clock)).unwrap();
    let (answers, answered) = channel();
    is_asked.recv().unwrap();
    assert!(prober.board().ask(asker(&answers)).is_ok());
    tell.send(Health::Unknown).unwrap();
    clock.advance_and_settle(Duration::ZERO);
    // Nobody starts a run by asking: the schedule goes on.
    assert_eq!(prober.board().glance(), None);
    assert!(prober.board().ask(asker(&answers)).is_ok());
    clock.advance_and_settle(Duration::ZERO);
    assert!(is_asked.try_recv().is_err() && answered.try_recv().is_err());
    clock.advance(SECOND);
    is_asked.recv().unwrap();
    tell.send(Health::Ok).unwrap();
    for _ in 0..2 {
        assert_eq!(answered.recv().unwrap(), Answer::State(State::Ok));
    }
    assert_eq!(prober.board().published().runs, 2);
}

#[test]
fn who_asks_afresh_waits_for_a_run_that_starts_later() {
    let (check, is_asked, tell) = puppet();
    let prober = on_request(check);
    let (answers, answered) = channel();
    assert!(prober.board().ask(asker(&answers)).is_ok());
    is_asked.recv().unwrap();
    assert!(prober.board().ask_afresh(asker(&answers)).is_ok());
    tell.send(Health::Fail).unwrap();
    assert_eq!(answered.recv().unwrap(), Answer::State(State::Fail));
    is_asked.recv().unwrap();
    tell.send(Health::Ok).unwrap();
    assert_eq!(answered.recv().unwrap(), Answer::State(State::Ok));
}

#[test]
fn who_has_waited_long_enough_is_answered_without_the_run() {
    let (check, is_asked, _tell) = puppet();
    let prober = on_request(check);
    let (answers, answered) = channel();
    assert!(prober.board().ask(asker(&answers)).is_ok());
    is_asked.recv().unwrap();
    assert_eq!(prober.board().expire(Instant::now()), 1);
    assert_eq!(prober.board().expire(Instant::now() + SECOND * 600), 0);
    assert_eq!(answered.recv().unwrap(), Answer::Late);
}

#[test]
fn who_waits_for_one_that_is_replaced_gets_the_other_s_answer() {
    let (check, is_asked, _tell) = puppet();
    let (old, (check_of_new, new_is_asked, tell_new)) = (on_request(check), puppet());
    let new = on_request(check_of_new);
    let (answers, answered) = channel();
    let ask = || old.board().ask(asker(&answers)).is_ok();
    assert!(ask());
    is_asked.recv().unwrap();
    assert!(old.board().ask_afresh(asker(&answers)).is_ok());
    old.board().hand_over(new.board());
    assert!(ask(), "who had looked it up before comes through it");
    new_is_asked.recv().unwrap();
    tell_new.send(Health::Fail).unwrap();
    for _ in 0..2 {
        assert_eq!(answered.recv().unwrap(), Answer::State(State::Fail));
    }
    // Whoever came while the run was on, or before it, has its answer or that of the next.
    let _ = tell_new.send(Health::Fail);
    assert_eq!(answered.recv().unwrap(), Answer::State(State::Fail));
}

#[test]
fn a_closed_prober_runs_for_those_who_wait_and_for_nobody_more() {
    let (check, is_asked, tell) = puppet();
    let prober = on_request(check);
    let (answers, answered) = channel();
    assert!(prober.board().ask(asker(&answers)).is_ok());
    is_asked.recv().unwrap();
    assert!(prober.board().ask_afresh(asker(&answers)).is_ok());
    prober.board().close();
    assert!(prober.board().ask(asker(&answers)).is_err());
    for health in [Health::Ok, Health::Fail] {
        tell.send(health).unwrap();
    }
    assert_eq!(answered.recv().unwrap(), Answer::State(State::Ok));
    assert_eq!(answered.recv().unwrap(), Answer::State(State::Fail));
    is_asked.recv().unwrap();
    prober.board().nudge();
    assert!(is_asked.recv().is_err(), "its thread has ended");
}

#[test]
fn nobody_waits_for_a_first_outcome_that_is_overdue() {
    let (check, is_asked, _tell) = puppet();
    let clock = ManualClock::new();
    let prober = Prober::start(check, settings(every_second(), &clock)).unwrap();
    let (answers, answered) = channel();
    is_asked.recv().unwrap();
    assert!(prober.board().ask(asker(&answers)).is_ok());
    assert_eq!(prober.board().expire(Instant::now()), 1);
    clock.advance(SECOND * 4);
    assert_eq!(prober.board().expire(Instant::now()), 0);
    assert_eq!(answered.recv().unwrap(), Answer::Late);
}

#[test]
fn one_that_is_held_asks_nothing_and_its_delay_begins_at_its_release() {
    let clock = ManualClock::new();
    let (check, is_asked, tell) = puppet();
    let schedule = Schedule::Every {
        pace: Pace::even(Span::try_from(1).unwrap()),
        first: FirstStart::delayed(SECOND),
    };
    let held = |check| {
        let settings = settings(schedule, &clock);
        Prober::start(
            check,
            Settings {
                held: true,
                ..settings
            },
        )
        .unwrap()
    };
    let prober = held(check);
    let (answers, answered) = channel();
    // Wishes are kept, and time that passes makes nothing stale.
    assert!(prober.board().ask(asker(&answers)).is_ok());
    prober.board().nudge();
    clock.advance_and_settle(SECOND * 100);
    assert!(is_asked.try_recv().is_err());
    assert_eq!(prober.board().expire(Instant::now()), 1);
    prober.board().release();
    is_asked.recv().unwrap();
    tell.send(Health::Unknown).unwrap();
    settle(&clock, &prober, 1);
    clock.advance_and_settle(SECOND - Duration::from_nanos(1));
    assert!(is_asked.try_recv().is_err());
    clock.advance(Duration::from_nanos(1));
    is_asked.recv().unwrap();
    tell.send(Health::Ok).unwrap();
    assert_eq!(answered.recv().unwrap(), Answer::State(State::Ok));

    let (check, is_asked, _tell) = puppet();
    drop(held(check));
    assert!(is_asked.recv().is_err(), "its thread has ended");
}

#[test]
fn one_that_was_held_is_stale_by_the_time_of_its_release() {
    let clock = ManualClock::new();
    let (check, is_asked, _tell) = puppet();
    let settings = settings(every_second(), &clock);
    let settings = Settings {
        held: true,
        ..settings
    };
    let prober = Prober::start(check, settings).unwrap();
    clock.advance_and_settle(SECOND * 100);
    prober.board().release();
    is_asked.recv().unwrap();
    let reason = || {
        prober.board().look();
        prober.board().published().outcome.reason
    };
    clock.advance(SECOND * 3);
    assert_eq!(reason(), Reason::NotYetKnown);
    clock.advance(Duration::from_nanos(1));
    assert_eq!(reason(), Reason::Stale);
}

/// A run that hangs keeps its board, and a component may be replaced often meanwhile.
#[test]
fn who_hands_over_keeps_none_of_those_that_come_after() {
    let (check, is_asked, _tell) = puppet();
    let prober = on_request(check);
    prober.board().nudge();
    is_asked.recv().unwrap();
    let settings = settings(Schedule::OnRequest, &ManualClock::new());
    let bell = settings.clock.waiter().bell();
    let next = || Arc::new(Board::new(&settings, bell.clone()));
    let mut board = prober.board().clone();
    let first = next();
    for successor in std::iter::once(first.clone()).chain((0..50_000).map(|_| next())) {
        board.hand_over(&successor);
        board = successor;
    }
    let (gone, left) = (Arc::downgrade(&first), board);
    drop(first);
    assert!(gone.upgrade().is_none());
    let (answers, _answered) = channel();
    assert!(prober.board().ask(asker(&answers)).is_err());
    drop(left);
}

#[test]
fn a_stopped_prober_answers_who_waits_and_takes_nobody_more() {
    let (check, is_asked, _tell) = puppet();
    let prober = on_request(check);
    let (answers, answered) = channel();
    assert!(prober.board().ask(asker(&answers)).is_ok());
    is_asked.recv().unwrap();
    prober.board().stop();
    assert_eq!(answered.recv().unwrap(), Answer::Late);
    assert!(prober.board().ask(asker(&answers)).is_err());
}

#[track_caller]
fn next_change(news: &Receiver<What>) -> State {
    match news.recv().unwrap() {
        What::Changed(Transition { to, .. }) => to,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_run_that_hangs_makes_the_board_stale_once_and_its_end_makes_it_known_again() {
    let clock = ManualClock::new();
    let (check, is_asked, tell) = puppet();
    let prober = Prober::start(check, settings(every_second(), &clock)).unwrap();
    let (told, news) = channel();
    prober.board().watch(Box::new(move |_, what| {
        told.send(what).expect("the test listens")
    }));
    is_asked.recv().unwrap();
    tell.send(Health::Ok).unwrap();
    assert_eq!(next_change(&news), State::Ok);
    clock.advance(SECOND);
    is_asked.recv().unwrap();
    clock.advance(SECOND * 2);
    assert_eq!(
        prober.board().state(),
        State::Ok,
        "three seconds are not longer than three"
    );
    clock.advance(Duration::from_nanos(1));
    assert_eq!(prober.board().state(), State::Unknown);
    assert_eq!(prober.board().published().outcome.reason, Reason::Stale);
    assert_eq!(next_change(&news), State::Unknown);
    tell.send(Health::Ok).unwrap();
    assert_eq!(next_change(&news), State::Ok);
    assert!(news.try_recv().is_err());
    assert_eq!(prober.board().published().changes, 3);
}

#[test]
fn starts_that_a_long_run_missed_are_skipped_and_counted() {
    let clock = ManualClock::new();
    let (check, is_asked, tell) = puppet();
    let prober = Prober::start(check, settings(every_second(), &clock)).unwrap();
    is_asked.recv().unwrap();
    // The starts at 1 s and 2 s are missed, the one at 3 s is not.
    clock.advance(Duration::from_millis(2_500));
    tell.send(Health::Ok).unwrap();
    while prober.board().published().runs == 0 {
        std::thread::yield_now();
    }
    clock.advance_and_settle(Duration::ZERO);
    clock.advance(Duration::from_millis(499));
    assert!(is_asked.try_recv().is_err());
    clock.advance(Duration::from_millis(1));
    is_asked.recv().unwrap();
    assert_eq!(prober.board().published().skipped, 2);
    tell.send(Health::Ok).unwrap();
}

#[test]
fn a_run_that_waits_out_a_timeout_of_the_whole_interval_costs_no_start() {
    let clock = ManualClock::new();
    let (check, is_asked, tell) = puppet();
    let prober = Prober::start(check, settings(every_second(), &clock)).unwrap();
    for _ in 0..5 {
        is_asked.recv().unwrap();
        // A timeout is over a little after it.
        clock.advance(SECOND + Duration::from_millis(30));
        tell.send(Health::Fail).unwrap();
    }
    is_asked.recv().unwrap();
    assert_eq!(prober.board().published().skipped, 0);
    tell.send(Health::Ok).unwrap();
}

/// Waits until so many runs have ended and the prober waits again.
fn settle(clock: &ManualClock, prober: &Prober, runs: u64) {
    while prober.board().published().runs < runs {
        std::thread::yield_now();
    }
    clock.advance_and_settle(Duration::ZERO);
}

#[test]
fn a_nudge_runs_at_once_and_again_after_a_run_that_is_on_and_leaves_the_grid_alone() {
    let clock = ManualClock::new();
    let (check, is_asked, tell) = puppet();
    let prober = Prober::start(check, settings(every_second(), &clock)).unwrap();
    is_asked.recv().unwrap();
    // The run that is on may have looked before the change.
    prober.board().nudge();
    prober.board().nudge();
    tell.send(Health::Ok).unwrap();
    is_asked.recv().unwrap();
    tell.send(Health::Ok).unwrap();
    settle(&clock, &prober, 2);
    clock.advance(SECOND / 2);
    prober.board().nudge();
    is_asked.recv().unwrap();
    tell.send(Health::Ok).unwrap();
    while prober.board().published().runs < 3 {
        std::thread::yield_now();
    }
    clock.advance(SECOND / 2 - Duration::from_nanos(1));
    assert!(is_asked.try_recv().is_err());
    clock.advance(Duration::from_nanos(1));
    is_asked.recv().unwrap();
    tell.send(Health::Ok).unwrap();
    settle(&clock, &prober, 4);
    assert_eq!(prober.board().published().skipped, 0);
    prober.board().stop();
    prober.board().nudge();
    clock.advance_and_settle(SECOND * 10);
    assert_eq!(prober.board().published().runs, 4);
}

#[test]
fn what_a_nudge_finds_brings_the_next_start_forward() {
    let clock = ManualClock::new();
    let (check, is_asked, tell) = puppet();
    let mut pace = Pace::even(Span::try_from(60).unwrap());
    pace.down = Span::try_from(2).unwrap();
    let schedule = Schedule::Every {
        pace,
        first: FirstStart::default(),
    };
    let prober = Prober::start(check, settings(schedule, &clock)).unwrap();
    is_asked.recv().unwrap();
    tell.send(Health::Ok).unwrap();
    settle(&clock, &prober, 1);
    clock.advance(SECOND * 30);
    prober.board().nudge();
    is_asked.recv().unwrap();
    // It began at 30 s and missed the start at 32 s; the one at 34 s is next.
    clock.advance(SECOND * 3);
    tell.send(Health::Fail).unwrap();
    while prober.board().published().skipped == 0 {
        std::thread::yield_now();
    }
    clock.advance(SECOND - Duration::from_nanos(1));
    assert!(is_asked.try_recv().is_err());
    clock.advance(Duration::from_nanos(1));
    is_asked.recv().unwrap();
    assert_eq!(prober.board().published().skipped, 1);
    tell.send(Health::Ok).unwrap();
}

#[test]
fn a_stride_ends_at_the_first_start_that_the_run_does_not_outlast() {
    for (took_ms, stride_ms, missed) in [
        (0, 1_000, 0),
        (1_000, 1_000, 0),
        (1_100, 1_100, 0),
        (1_101, 2_000, 1),
        (3_000, 3_000, 2),
        (3_001, 3_001, 2),
    ] {
        let [took, end] = [took_ms, stride_ms].map(Duration::from_millis);
        assert_eq!(stride(SECOND, took), (end, missed), "{took_ms}");
    }
    let late = LATE_MAX + Duration::from_nanos(1);
    assert_eq!(stride(SECOND * 10, SECOND * 10 + late), (SECOND * 20, 1));
}

#[test]
fn a_panic_is_unknown_and_told_once() {
    let clock = ManualClock::new();
    let check = Box::new(|| -> bool { panic!("no such thing") });
    let prober = Prober::start(check, settings(Schedule::OnRequest, &clock)).unwrap();
    let (told, news) = channel();
    prober.board().watch(Box::new(move |_, what| {
        told.send(what).expect("the test listens")
    }));
    let (answers, answered) = channel();
    for _ in 0..3 {
        assert!(prober.board().ask(asker(&answers)).is_ok());
        assert_eq!(answered.recv().unwrap(), Answer::State(State::Unknown));
    }
    let told: Vec<What> = news.try_iter().collect();
    assert!(
        matches!(&told[..], [What::Panicked { message }] if message == "no such thing"),
        "{told:?}"
    );
}
