//! Planted mistakes in judging, each of which the simulation has to find.
//!
//! Most are the real judge with bent settings or bent input. What cannot be bent from outside is
//! planted in a small judge of its own, which without a mistake has to pass.

use std::time::Duration;

use failover::{Health, Judge, Moment, Phase, Standing, State};

use crate::judge::{Judging, Maker, episode, moment};
use crate::rules::{Rule, Rules};
use crate::{assert_caught, assert_same};

const HOUR: Duration = Duration::from_secs(3_600);
const NANOSECOND: Duration = Duration::from_nanos(1);

/// The real judge with rules that are bent by `bend`.
fn bent(rules: &Rules, now: Moment, bend: impl Fn(Rule) -> Rule) -> Box<dyn Judging> {
    Box::new(
        Rules {
            ok_after: bend(rules.ok_after),
            fail_after: bend(rules.fail_after),
            ..*rules
        }
        .judge(now),
    )
}

fn stale_after(rules: &Rules, now: Moment, stale_after: Option<Duration>) -> Box<dyn Judging> {
    let bent = Rules {
        stale_after,
        ..*rules
    };
    Box::new(bent.judge(now))
}

/// The real judge, told something else, or at another time.
struct Misled {
    judge: Judge,
    hear: fn(&Judge, Moment, Health) -> Option<Health>,
    when: fn(Duration, u32) -> Duration,
    resets: bool,
    turn: u32,
}

impl Misled {
    fn new(rules: &Rules, now: Moment) -> Misled {
        Misled {
            judge: rules.judge(now),
            hear: |_, _, seen| Some(seen),
            when: |at, _| at,
            resets: true,
            turn: 0,
        }
    }

    fn moment(&mut self, at: Duration) -> Moment {
        self.turn += 1;
        moment((self.when)(at, self.turn))
    }
}

impl Judging for Misled {
    fn sees(&mut self, at: Duration, seen: Health) -> Option<Health> {
        let at = self.moment(at);
        self.judge.look(at);
        if let Some(heard) = (self.hear)(&self.judge, at, seen) {
            self.judge.step(at, heard);
        }
        None
    }

    fn looks(&mut self, at: Duration) {
        let at = self.moment(at);
        self.judge.look(at);
    }

    fn resets(&mut self, at: Duration, to: State) {
        let at = self.moment(at);
        if self.resets {
            self.judge.reset(to, at);
        }
    }

    fn stands(&self, at: Duration) -> Standing {
        self.judge.standing(moment((self.when)(at, self.turn)))
    }
}

fn misled(
    rules: &Rules,
    now: Moment,
    hear: fn(&Judge, Moment, Health) -> Option<Health>,
) -> Box<dyn Judging> {
    let judge = Misled::new(rules, now);
    Box::new(Misled { hear, ..judge })
}

/// Hours back or forth, now and then.
fn wall_clock(at: Duration, turn: u32) -> Duration {
    match turn.wrapping_mul(2_654_435_761) >> 29 {
        0 => at + 3 * HOUR,
        1 => at - 5 * HOUR,
        _ => at,
    }
}

/// A mistake that is planted in the small judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    None,
    WindowKeptAtTransition,
    RunKeptAtTransition,
    DurationOfOneOutcome,
    DurationFromLastTransition,
    StaleKeepsRun,
    StaleForgetsState,
    UnknownIsNoSilence,
    WindowTakesUnknown,
    CountNeedNotBeInARow,
}

/// A judge of our own, for mistakes only: it goes on from step to step.
struct Small {
    rules: Rules,
    mistake: Mistake,
    held: State,
    stale: bool,
    last_known: Duration,
    changed: Duration,
    /// When, and whether it disagreed.
    seen: Vec<(Duration, bool)>,
}

impl Small {
    fn new(rules: &Rules, now: Moment, mistake: Mistake) -> Small {
        let start = now.since(Moment::default());
        Small {
            rules: *rules,
            mistake,
            held: rules.initial,
            stale: false,
            last_known: start,
            changed: start,
            seen: Vec::new(),
        }
    }

    fn rule(&self) -> Rule {
        match self.held {
            State::Fail => self.rules.ok_after,
            State::Ok | State::Unknown => self.rules.fail_after,
        }
    }

    fn counted(&self) -> Vec<Duration> {
        let mut counted = Vec::new();
        for (index, (at, disagrees)) in self.seen.iter().rev().enumerate() {
            match (self.rule(), disagrees) {
                (Rule::Of(_, of), _) if index >= of as usize => break,
                (Rule::Count(_) | Rule::Lasting(_), false) => {
                    if self.mistake != Mistake::CountNeedNotBeInARow {
                        break;
                    }
                }
                (_, true) => counted.insert(0, *at),
                (_, false) => {}
            }
        }
        counted
    }

    fn is_enough(&self, now: Duration) -> bool {
        let counted = self.counted();
        match self.rule() {
            Rule::Count(needed) | Rule::Of(needed, _) => counted.len() >= needed as usize,
            Rule::Lasting(duration) => {
                let since = match self.mistake {
                    Mistake::DurationFromLastTransition => Some(&self.changed),
                    _ => counted.first(),
                };
                let least = match self.mistake {
                    Mistake::DurationOfOneOutcome => 1,
                    _ => 2,
                };
                let long = since.is_some_and(|since| now - *since >= duration);
                // One outcome has a length only if the silence before it is counted.
                let lone = least == 1 && counted.len() == 1 && now - self.last_known >= duration;
                (long && counted.len() >= 2) || lone
            }
        }
    }

    fn take(&mut self, now: Duration, seen: State) {
        if self.mistake == Mistake::StaleForgetsState && self.stale {
            self.held = State::Unknown;
        }
        self.stale = false;
        if self.held == State::Unknown {
            self.held = seen;
            self.changed = now;
            return;
        }
        self.seen.push((now, seen != self.held));
        if seen != self.held && self.is_enough(now) {
            let is_window = matches!(self.rule(), Rule::Of(..));
            self.held = seen;
            self.changed = now;
            let kept = match self.mistake {
                Mistake::WindowKeptAtTransition => is_window,
                Mistake::RunKeptAtTransition => !is_window,
                _ => false,
            };
            if !kept {
                self.seen.clear();
            }
        }
    }
}

impl Judging for Small {
    fn sees(&mut self, at: Duration, seen: Health) -> Option<Health> {
        self.looks(at);
        match seen.known() {
            Some(state) => {
                self.take(at, state);
                self.last_known = at;
            }
            None if self.mistake == Mistake::UnknownIsNoSilence => self.last_known = at,
            None if self.mistake == Mistake::WindowTakesUnknown => self.seen.push((at, false)),
            None => {}
        }
        None
    }

    fn looks(&mut self, at: Duration) {
        let silence = at - self.last_known;
        if self.rules.stale_after.is_some_and(|limit| silence > limit) {
            self.stale = true;
            if self.mistake != Mistake::StaleKeepsRun {
                self.seen.clear();
            }
        }
    }

    fn resets(&mut self, at: Duration, _to: State) {
        *self = Small::new(&self.rules, moment(at), self.mistake);
    }

    fn stands(&self, at: Duration) -> Standing {
        let state = if self.stale {
            State::Unknown
        } else {
            self.held
        };
        let counted = match state {
            State::Unknown => Vec::new(),
            State::Ok | State::Fail => self.counted(),
        };
        let disagreeing = counted.len() as u32;
        Standing {
            state,
            phase: Phase::of(state, disagreeing),
            disagreeing,
            disagreeing_for: counted.first().map_or(Duration::ZERO, |first| at - *first),
            needed: (self.held != State::Unknown).then(|| self.rule().threshold()),
            heard: true,
            seen: None,
        }
    }
}

fn planted<const MISTAKE: usize>(rules: &Rules, now: Moment) -> Box<dyn Judging> {
    Box::new(Small::new(rules, now, MISTAKES[MISTAKE]))
}

const MISTAKES: [Mistake; 10] = [
    Mistake::None,
    Mistake::WindowKeptAtTransition,
    Mistake::RunKeptAtTransition,
    Mistake::DurationOfOneOutcome,
    Mistake::DurationFromLastTransition,
    Mistake::StaleKeepsRun,
    Mistake::StaleForgetsState,
    Mistake::UnknownIsNoSilence,
    Mistake::WindowTakesUnknown,
    Mistake::CountNeedNotBeInARow,
];

macro_rules! caught {
    ($($name:ident: $maker:expr;)*) => {$(
        #[test]
        fn $name() {
            let maker: Maker = $maker;
            assert_caught(|random| episode(maker, random));
        }
    )*};
}

caught! {
    a_count_of_one_more_is_caught: |rules, now| bent(rules, now, |rule| match rule {
        Rule::Count(n) => Rule::Count(n + 1),
        other => other,
    });
    a_count_of_one_less_is_caught: |rules, now| bent(rules, now, |rule| match rule {
        Rule::Count(n) => Rule::Count(n.max(2) - 1),
        other => other,
    });
    a_duration_that_has_to_be_exceeded_is_caught: |rules, now| bent(rules, now, |rule| match rule {
        Rule::Lasting(duration) => Rule::Lasting(duration + NANOSECOND),
        other => other,
    });
    a_duration_that_is_nearly_reached_is_caught: |rules, now| bent(rules, now, |rule| match rule {
        Rule::Lasting(duration) => Rule::Lasting(duration - NANOSECOND),
        other => other,
    });
    a_window_that_needs_one_more_is_caught: |rules, now| bent(rules, now, |rule| match rule {
        Rule::Of(needed, of) => Rule::Of((needed + 1).min(of), of),
        other => other,
    });
    a_window_that_is_one_wider_is_caught: |rules, now| bent(rules, now, |rule| match rule {
        Rule::Of(needed, of) => Rule::Of(needed, (of + 1).min(64)),
        other => other,
    });
    a_window_taken_for_a_count_is_caught: |rules, now| bent(rules, now, |rule| match rule {
        Rule::Of(needed, _) => Rule::Count(needed),
        other => other,
    });
    swapped_thresholds_are_caught: |rules, now| {
        let (ok_after, fail_after) = (rules.fail_after, rules.ok_after);
        Box::new(Rules { ok_after, fail_after, ..*rules }.judge(now))
    };
    an_ignored_initial_state_is_caught: |rules, now| {
        Box::new(Rules { initial: State::Ok, ..*rules }.judge(now))
    };
    ignored_staleness_is_caught: |rules, now| stale_after(rules, now, None);
    staleness_at_its_limit_is_caught: |rules, now| {
        stale_after(rules, now, rules.stale_after.map(|limit| limit - NANOSECOND))
    };
    staleness_past_its_limit_is_caught: |rules, now| {
        stale_after(rules, now, rules.stale_after.map(|limit| limit + NANOSECOND))
    };
    an_agreement_that_resets_nothing_is_caught: |rules, now| {
        misled(rules, now, |judge, at, seen| {
            let agrees = seen.known() == Some(judge.standing(at).state);
            (!agrees).then_some(seen)
        })
    };
    unknown_counted_as_a_failure_is_caught: |rules, now| misled(rules, now, |_, _, seen| {
        Some(if seen == Health::Unknown { Health::Fail } else { seen })
    });
    unknown_counted_as_a_success_is_caught: |rules, now| misled(rules, now, |_, _, seen| {
        Some(if seen == Health::Unknown { Health::Ok } else { seen })
    });
    unknown_that_resets_the_run_is_caught: |rules, now| misled(rules, now, |judge, at, seen| {
        Some(if seen == Health::Unknown { judge.standing(at).state.into() } else { seen })
    });
    a_warning_counted_as_a_failure_is_caught: |rules, now| misled(rules, now, |_, _, seen| {
        Some(if seen == Health::Warn { Health::Fail } else { seen })
    });
    a_clock_that_jumps_by_hours_is_caught: |rules, now| {
        let judge = Misled::new(rules, now);
        Box::new(Misled { when: wall_clock, ..judge })
    };
    an_ignored_reset_is_caught: |rules, now| {
        let judge = Misled::new(rules, now);
        Box::new(Misled { resets: false, ..judge })
    };
    a_window_kept_at_a_transition_is_caught: planted::<1>;
    a_run_kept_at_a_transition_is_caught: planted::<2>;
    a_duration_of_one_outcome_is_caught: planted::<3>;
    a_duration_since_the_last_transition_is_caught: planted::<4>;
    a_run_kept_while_stale_is_caught: planted::<5>;
    a_state_forgotten_while_stale_is_caught: planted::<6>;
    unknown_taken_for_a_sign_of_life_is_caught: planted::<7>;
    unknown_that_takes_a_place_in_a_window_is_caught: planted::<8>;
    a_count_that_need_not_be_in_a_row_is_caught: planted::<9>;
}

#[test]
fn the_small_judge_without_a_mistake_passes() {
    assert_same(1_000, |random| episode(planted::<0>, random));
}

#[test]
fn a_misled_judge_that_is_told_the_truth_passes() {
    let truth: Maker = |rules, now| Box::new(Misled::new(rules, now));
    assert_same(1_000, |random| episode(truth, random));
}
