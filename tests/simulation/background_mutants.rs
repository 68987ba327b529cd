//! Planted mistakes in running in the background, each of which the simulation has to find.

use std::time::Duration;

use failover::{Health, Phase, Span, State};

use crate::background::{Aspect, NANOSECOND, Plan, Run, Running, Seen, episode, real};
use crate::judge::answer;
use crate::{assert_caught, assert_same};

/// The real thing with a plan that is bent by `bend`.
fn bent(plan: &Plan, bend: impl FnOnce(&mut Plan)) -> Box<dyn Running> {
    let mut plan = plan.clone();
    bend(&mut plan);
    real(&plan)
}

fn heard(plan: &Plan, from: Health, to: Health) -> Box<dyn Running> {
    bent(plan, |plan| {
        let wrong = plan.script.iter_mut().filter(|run| run.health == from);
        wrong.for_each(|run| run.health = to);
    })
}

/// A mistake that is planted in the small background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    None,
    LateRunsPileUp,
    PausesBetweenRuns,
    SkippedNotCounted,
    TwoAtATime,
    LateRunsMoveTheGrid,
    UnknownIsSignOfLife,
}

/// A background of our own without a thread, for mistakes only: it goes on from step to step.
struct Small {
    plan: Plan,
    mistake: Mistake,
    next: Duration,
    held: State,
    fresh_until: Duration,
    last: Health,
    seen: Seen,
}

impl Small {
    fn new(plan: &Plan, mistake: Mistake) -> Small {
        let seen = Seen {
            now: Duration::ZERO,
            starts: Vec::new(),
            runs: 0,
            failures: 0,
            unknowns: 0,
            skipped: 0,
            changes: 0,
            state: plan.initial,
            phase: Phase::Unknown,
            disagreeing: 0,
            answer: Health::Unknown,
        };
        let mut small = Small {
            plan: plan.clone(),
            mistake,
            next: plan.delay,
            held: plan.initial,
            fresh_until: plan.delay + plan.limit(),
            last: Health::Unknown,
            seen,
        };
        small.advance(Duration::ZERO);
        small
    }

    fn show(&mut self) {
        let is_stale = self.seen.now > self.fresh_until;
        let state = if is_stale { State::Unknown } else { self.held };
        self.seen.changes += u64::from(state != self.seen.state);
        self.seen.state = state;
        self.seen.phase = Phase::of(state, 0);
        self.seen.answer = answer(state, self.last);
    }

    fn run(&mut self, Run { took, health }: Run) {
        let start = self.seen.now;
        self.seen.starts.push(start);
        self.seen.now += took;
        self.show();
        if let Some(state) = health.known() {
            self.held = state;
        }
        if health.known().is_some() || self.mistake == Mistake::UnknownIsSignOfLife {
            self.fresh_until = self.seen.now + self.plan.limit();
        }
        self.last = health;
        self.seen.runs += 1;
        self.seen.failures += u64::from(health == Health::Fail);
        self.seen.unknowns += u64::from(health == Health::Unknown);
        self.show();
        self.plan_next(start);
        if self.mistake == Mistake::TwoAtATime {
            self.seen.now = start;
        }
    }

    fn plan_next(&mut self, start: Duration) {
        let (now, every) = (self.seen.now, self.plan.every);
        self.next += every;
        match self.mistake {
            Mistake::LateRunsPileUp | Mistake::TwoAtATime => {}
            Mistake::PausesBetweenRuns => self.next = now + every,
            Mistake::LateRunsMoveTheGrid => self.next = now.max(start + every),
            _ => {
                while self.next < now {
                    self.next += every;
                    self.seen.skipped += u64::from(self.mistake != Mistake::SkippedNotCounted);
                }
            }
        }
    }
}

impl Running for Small {
    fn advance(&mut self, by: Duration) {
        let target = self.seen.now + by;
        while self.next <= target.max(self.seen.now) {
            self.seen.now = self.seen.now.max(self.next);
            let script = &self.plan.script;
            self.run(script[self.seen.starts.len() % script.len()]);
        }
        self.seen.now = self.seen.now.max(target);
    }

    fn seen(&mut self) -> Seen {
        self.show();
        self.seen.clone()
    }
}

macro_rules! caught {
    ($($name:ident: $maker:expr;)*) => {$(
        #[test]
        fn $name() {
            let maker: fn(&Plan) -> Box<dyn Running> = $maker;
            assert_caught(|random| episode(maker, Aspect::Plain, random));
        }
    )*};
}

macro_rules! planted {
    ($mistake:ident) => {
        |plan| Box::new(Small::new(plan, Mistake::$mistake))
    };
}

caught! {
    an_interval_of_a_nanosecond_more_is_caught: |plan| bent(plan, |plan| {
        plan.stale_after = Some(plan.limit());
        plan.every += NANOSECOND;
    });
    a_first_run_that_is_not_at_once_is_caught: |plan| bent(plan, |plan| plan.delay += plan.every);
    an_ignored_delay_is_caught: |plan| bent(plan, |plan| plan.delay = Duration::ZERO);
    an_ignored_initial_state_is_caught: |plan| bent(plan, |plan| plan.initial = State::Ok);
    a_board_that_is_never_stale_is_caught: |plan| bent(plan, |plan| {
        plan.stale_after = Some(Span::MAX);
    });
    a_board_that_is_stale_at_its_limit_is_caught: |plan| bent(plan, |plan| {
        plan.stale_after = Some(plan.limit() - NANOSECOND);
    });
    a_board_that_is_stale_past_its_limit_is_caught: |plan| bent(plan, |plan| {
        plan.stale_after = Some(plan.limit() + NANOSECOND);
    });
    a_default_limit_without_the_timeout_is_caught: |plan| bent(plan, |plan| plan.budget = None);
    an_unknown_run_taken_for_a_failure_is_caught: |plan| {
        heard(plan, Health::Unknown, Health::Fail)
    };
    an_unknown_run_taken_for_a_success_is_caught: |plan| {
        heard(plan, Health::Unknown, Health::Ok)
    };
    a_warning_that_goes_unseen_is_caught: |plan| heard(plan, Health::Warn, Health::Ok);
    late_runs_that_pile_up_are_caught: planted!(LateRunsPileUp);
    pauses_from_end_to_start_are_caught: planted!(PausesBetweenRuns);
    skipped_runs_that_are_not_counted_are_caught: planted!(SkippedNotCounted);
    two_runs_at_a_time_are_caught: planted!(TwoAtATime);
    a_late_run_that_moves_the_later_ones_is_caught: planted!(LateRunsMoveTheGrid);
    an_unknown_run_taken_for_a_sign_of_life_is_caught: planted!(UnknownIsSignOfLife);
}

#[test]
fn the_small_background_without_a_mistake_passes() {
    let sound: fn(&Plan) -> Box<dyn Running> = planted!(None);
    assert_same(300, |random| episode(sound, Aspect::Plain, random));
}
