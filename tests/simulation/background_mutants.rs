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
    EveryLateRunMissesAStart,
    UnknownIsSignOfLife,
    PaceOfThePhaseBefore,
    NudgedRunsMoveTheGrid,
    NudgedRunsNeverHasten,
    NudgesPreventTheNextRun,
}

/// A background of our own without a thread, for mistakes only: it goes on from step to step.
struct Small {
    plan: Plan,
    mistake: Mistake,
    next: Duration,
    held: State,
    fresh_until: Duration,
    has_known: bool,
    last: Health,
    is_wanted: bool,
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
            has_known: false,
            last: Health::Unknown,
            is_wanted: false,
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

    fn run(&mut self, run: Run) {
        let start = self.seen.now;
        self.seen.starts.push(start);
        self.is_wanted = run.is_nudged;
        self.seen.now += run.took;
        self.show();
        let before = self.phase();
        if let Some(state) = run.health.known() {
            self.held = state;
        }
        if run.health.known().is_some() {
            self.has_known = true;
        }
        if run.health.known().is_some() || self.mistake == Mistake::UnknownIsSignOfLife {
            self.fresh_until = self.seen.now + self.plan.limit();
        }
        self.last = run.health;
        self.seen.runs += 1;
        self.seen.failures += u64::from(run.health == Health::Fail);
        self.seen.unknowns += u64::from(run.health == Health::Unknown);
        self.show();
        let phase = match self.mistake {
            Mistake::PaceOfThePhaseBefore => before,
            _ => self.phase(),
        };
        self.plan_next(start, self.plan.interval(phase));
        if self.mistake == Mistake::TwoAtATime {
            self.seen.now = start;
        }
    }

    fn phase(&self) -> Phase {
        if self.has_known {
            self.seen.phase
        } else {
            Phase::Unknown
        }
    }

    fn plan_next(&mut self, start: Duration, interval: Duration) {
        let now = self.seen.now;
        let is_on_grid = self.next <= start || self.mistake == Mistake::NudgedRunsMoveTheGrid;
        let mut next = self.next.min(start) + interval;
        let mut missed = 0;
        match self.mistake {
            Mistake::LateRunsPileUp | Mistake::TwoAtATime => {}
            Mistake::PausesBetweenRuns => next = now + interval,
            Mistake::LateRunsMoveTheGrid => next = now.max(start + interval),
            _ => {
                let late = match self.mistake {
                    Mistake::EveryLateRunMissesAStart => Duration::ZERO,
                    _ => Duration::from_millis(100).min(interval / 10),
                };
                while now > next + late {
                    next += interval;
                    missed += 1;
                }
                next = next.max(now);
            }
        }
        let hastens = next < self.next && self.mistake != Mistake::NudgedRunsNeverHasten;
        if is_on_grid || hastens {
            self.next = next;
            self.seen.skipped += match self.mistake {
                Mistake::SkippedNotCounted => 0,
                _ => missed,
            };
        }
        if self.is_wanted && self.mistake == Mistake::NudgesPreventTheNextRun {
            self.next += interval;
        }
    }
}

impl Running for Small {
    fn advance(&mut self, by: Duration) {
        let target = self.seen.now + by;
        while self.is_wanted || self.next <= target.max(self.seen.now) {
            if !self.is_wanted {
                self.seen.now = self.seen.now.max(self.next);
            }
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
    a_late_run_that_misses_the_start_it_could_make_is_caught: planted!(EveryLateRunMissesAStart);
    an_unknown_run_taken_for_a_sign_of_life_is_caught: planted!(UnknownIsSignOfLife);
    an_ignored_fast_pace_while_unknown_is_caught: |plan| fast_ignored(plan);
    an_ignored_pace_while_down_is_caught: |plan| bent(plan, |plan| {
        plan.stale_after = Some(plan.limit());
        plan.down = plan.every;
    });
    paces_that_are_mixed_up_are_caught: |plan| bent(plan, |plan| {
        (plan.fast, plan.down) = (plan.down, plan.fast);
    });
    a_default_limit_of_the_healthy_pace_is_caught: |plan| bent(plan, |plan| {
        let even = Plan { fast: plan.every, down: plan.every, ..plan.clone() };
        plan.stale_after = Some(even.limit());
    });
    the_pace_of_the_phase_before_the_run_is_caught: planted!(PaceOfThePhaseBefore);
    an_ignored_nudge_is_caught: |plan| bent(plan, |plan| {
        plan.script.iter_mut().for_each(|run| run.is_nudged = false);
    });
    nudged_runs_that_move_the_grid_are_caught: planted!(NudgedRunsMoveTheGrid);
    nudged_runs_that_never_hasten_the_next_are_caught: planted!(NudgedRunsNeverHasten);
    a_nudge_that_prevents_a_run_is_caught: planted!(NudgesPreventTheNextRun);
}

fn fast_ignored(plan: &Plan) -> Box<dyn Running> {
    bent(plan, |plan| {
        plan.stale_after = Some(plan.limit());
        plan.fast = plan.every;
    })
}

#[test]
fn an_ignored_fast_pace_of_a_judged_check_is_caught() {
    assert_caught(|random| episode(fast_ignored, Aspect::Judged, random));
}

#[test]
fn the_small_background_without_a_mistake_passes() {
    let sound: fn(&Plan) -> Box<dyn Running> = planted!(None);
    assert_same(300, |random| episode(sound, Aspect::Plain, random));
}
