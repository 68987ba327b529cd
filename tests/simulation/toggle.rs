//! A latch with a manual reset, as U5 has it: a judged check leaves ok, a oneshot leaves fail.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use failover::{
    Check, Clock, Health, Hysteresis, ManualClock, Moment, Oneshot, Outcome, Phase, Standing,
    State, Toggle,
};

use crate::judge::{Told, answer};
use crate::model;
use crate::random::Random;
use crate::rules::{Rules, Weather};
use crate::tally::{Mark, Tally};
use crate::{Difference, Scene, assert_caught, assert_same, same};

/// What happens, and how long after what happened before.
#[derive(Clone, Copy, Debug)]
struct Event {
    gap: Duration,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// The latch is asked, and the check inside would say this.
    Asks(Health),
    Fires,
    Resets,
}

/// What is wrong with the latch, if anything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    None,
    OldFireUndoesFailure,
    JudgeNotRestarted,
    FireIgnored,
    FireWhileOkResetsJudge,
    HealsItself,
    UnknownIsFailure,
    ResetIgnored,
    StartIgnored,
}

/// A check whose reset does nothing.
struct Stubborn<C>(C);

impl<C: Check> Check for Stubborn<C> {
    fn check(&mut self) -> Outcome {
        self.0.check()
    }

    fn standing(&self) -> Option<Standing> {
        self.0.standing()
    }
}

/// The latch with all that it is made of.
struct Subject {
    clock: ManualClock,
    told: Told,
    fuse: Oneshot,
    toggle: Toggle,
    initial: State,
    mistake: Mistake,
}

impl Subject {
    fn new(rules: &Rules, mistake: Mistake) -> Subject {
        let clock = ManualClock::new();
        let (told, fuse) = (Told::new(), Oneshot::new(State::Fail));
        let check = Hysteresis::new(told.check()).clock(Arc::new(clock.clone()));
        let check = rules.set_on(check);
        let toggle = match mistake {
            Mistake::JudgeNotRestarted => Toggle::new(Stubborn(check), fuse.clone()),
            Mistake::OldFireUndoesFailure => Toggle::new(check, Stubborn(fuse.clone())),
            Mistake::HealsItself => Toggle::new(check, told.check()),
            _ => Toggle::new(check, fuse.clone()),
        };
        let initial = match mistake {
            Mistake::StartIgnored => State::Fail,
            _ => rules.initial,
        };
        Subject {
            toggle: toggle.initial_state(initial),
            initial: rules.initial,
            clock,
            told,
            fuse,
            mistake,
        }
    }

    fn does(&mut self, what: What) -> Option<Health> {
        let is_ok = self.toggle.state() == State::Ok;
        match (what, self.mistake) {
            (What::Asks(Health::Unknown), Mistake::UnknownIsFailure) => {
                self.told.tell(Health::Fail);
                return Some(self.toggle.check().health);
            }
            (What::Asks(health), _) => {
                self.told.tell(health);
                return Some(self.toggle.check().health);
            }
            (What::Fires, Mistake::FireIgnored) | (What::Resets, Mistake::ResetIgnored) => {}
            (What::Fires, Mistake::FireWhileOkResetsJudge) if is_ok => {
                self.toggle.reset(self.initial)
            }
            (What::Fires, _) => self.fuse.fire(),
            (What::Resets, _) => self.toggle.reset(self.initial),
        }
        None
    }
}

/// The latch by its sentences; the judging inside is worked out from all it has seen since it
/// began.
struct Model {
    rules: Rules,
    failed: bool,
    fired: bool,
    began: Duration,
    seen: Vec<(Duration, Health)>,
}

impl Model {
    fn new(rules: &Rules, now: Duration) -> Model {
        Model {
            rules: *rules,
            failed: rules.initial == State::Fail,
            fired: false,
            began: now,
            seen: Vec::new(),
        }
    }

    fn fires(&mut self) {
        // "a POST while ok changes nothing"
        self.fired |= self.failed;
    }

    fn asks(&mut self, now: Duration, health: Health) {
        if self.failed {
            if self.fired {
                // "makes the state ok at once and judging starts afresh"
                let initial = State::Ok;
                *self = Model::new(
                    &Rules {
                        initial,
                        ..self.rules
                    },
                    now,
                );
            }
            return;
        }
        self.seen.push((now, health));
        if self.judged(now).state == State::Fail {
            // "Entering fail disarms the oneshot"
            (self.failed, self.fired) = (true, false);
        }
    }

    fn judged(&self, now: Duration) -> model::Expected {
        model::judged(&self.rules, self.began, &self.seen, now)
    }

    fn state(&self, now: Duration) -> State {
        match self.failed {
            true => State::Fail,
            false => self.judged(now).state,
        }
    }
}

/// One latch.
struct Latch {
    rules: Rules,
    mistake: Mistake,
}

impl fmt::Debug for Latch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rules.fmt(f)
    }
}

impl Scene for Latch {
    type Event = Event;

    fn play(&self, events: &[Event], tally: &mut Tally) -> Result<(), Difference> {
        let mut subject = Subject::new(&self.rules, self.mistake);
        let mut model = Model::new(&self.rules, Duration::ZERO);
        let mut guard = Guard {
            state: self.rules.initial,
            fired: false,
        };
        for (step, event) in events.iter().enumerate() {
            subject.clock.advance(event.gap);
            let now = subject.clock.now().since(Moment::default());
            let said = subject.does(event.what);
            match event.what {
                What::Asks(health) => model.asks(now, health),
                What::Fires => model.fires(),
                What::Resets => model = Model::new(&self.rules, now),
            }
            compare(&model, now, event.what, said, &subject)
                .and_then(|()| guard.watch(event.what, subject.toggle.state(), tally))
                .map_err(|what| Difference::at(step, what))?;
        }
        Ok(())
    }
}

fn compare(
    model: &Model,
    now: Duration,
    what: What,
    said: Option<Health>,
    subject: &Subject,
) -> Result<(), String> {
    if model.failed {
        same("armed", model.fired, subject.fuse.is_armed())?;
    }
    // Only when it is asked does a latch look at its checks again.
    let (What::Asks(health), Some(said)) = (what, said) else {
        return match what {
            What::Resets => same(
                "state after reset",
                model.rules.initial,
                subject.toggle.state(),
            ),
            _ => Ok(()),
        };
    };
    let state = model.state(now);
    same("state", state, subject.toggle.state())?;
    let standing = subject.toggle.standing().ok_or("no standing")?;
    same("standing's state", state, standing.state)?;
    let asked = answer(state, health);
    match model.failed {
        true => {
            same("phase", Phase::Unhealthy, standing.phase)?;
            same("disagreeing", 0, standing.disagreeing)?;
            same("answer", asked, said)
        }
        false if model.seen.is_empty() => same("answer after a reset", Health::Ok, said),
        false => {
            let judged = model.judged(now);
            same("disagreeing", judged.disagreeing, standing.disagreeing)?;
            if !judged.nothing_known {
                same("phase", judged.phase, standing.phase)?;
            }
            same("answer", asked, said)
        }
    }
}

/// What must never happen, whatever the model says.
struct Guard {
    state: State,
    /// Since it failed.
    fired: bool,
}

impl Guard {
    fn watch(&mut self, what: What, state: State, tally: &mut Tally) -> Result<(), String> {
        let was = std::mem::replace(&mut self.state, state);
        match (what, was) {
            (What::Resets, _) => {
                self.fired = false;
                tally.note(Mark::Resets);
                return Ok(());
            }
            (What::Fires, State::Fail) => {
                self.fired = true;
                tally.note(Mark::FiresWhileFailed);
            }
            (What::Fires, _) => tally.note(Mark::FiresWhileOk),
            (What::Asks(_), _) => {}
        }
        if was == State::Fail && state != State::Fail {
            tally.note(Mark::Released);
            same("released only by a fire since it failed", true, self.fired)?;
        }
        if was != State::Fail && state == State::Fail {
            tally.note(Mark::ToFail);
            self.fired = false;
        }
        if was != State::Unknown && state == State::Unknown {
            tally.note(Mark::WentStale);
        }
        Ok(())
    }
}

fn episode(mistake: Mistake, initial: State, random: &mut Random) -> (Latch, Vec<Event>) {
    let rules = Rules {
        initial,
        ..Rules::random(random)
    };
    let mut weather = Weather::of(&rules, random);
    let length = rules.episode_length(random);
    let event = |_| {
        let what = match random.below(100) {
            0..=14 => What::Fires,
            15 => What::Resets,
            _ => What::Asks(weather.health(random)),
        };
        let gap = weather.gap(random);
        Event { gap, what }
    };
    let events = (0..length).map(event).collect();
    (Latch { rules, mistake }, events)
}

#[test]
fn a_latch_does_what_its_sentences_say() {
    let tally = assert_same(6_000, |random| episode(Mistake::None, State::Ok, random));
    tally.assert_many(&[
        (Mark::Steps, 180_000),
        (Mark::ToFail, 8_000),
        (Mark::Released, 7_000),
        (Mark::FiresWhileOk, 8_000),
        (Mark::FiresWhileFailed, 8_000),
        (Mark::WentStale, 2_000),
        (Mark::Resets, 1_000),
    ]);
}

#[test]
fn a_latch_that_starts_failed_is_judged_from_ok_once_it_was_reset() {
    assert_same(2_000, |random| episode(Mistake::None, State::Fail, random));
}

#[test]
fn a_latch_that_starts_with_a_probe_takes_only_its_first_outcome_at_once() {
    assert_same(2_000, |random| {
        episode(Mistake::None, State::Unknown, random)
    });
}

macro_rules! caught {
    ($($name:ident: $mistake:ident;)*) => {$(
        #[test]
        fn $name() {
            assert_caught(|random| episode(Mistake::$mistake, State::Ok, random));
        }
    )*};
}

caught! {
    a_fire_while_ok_that_undoes_a_later_failure_is_caught: OldFireUndoesFailure;
    a_judge_that_is_not_restarted_after_a_reset_is_caught: JudgeNotRestarted;
    an_ignored_fire_is_caught: FireIgnored;
    a_fire_while_ok_that_restarts_the_judge_is_caught: FireWhileOkResetsJudge;
    a_latch_that_heals_itself_is_caught: HealsItself;
    unknown_that_latches_is_caught: UnknownIsFailure;
    a_latch_that_ignores_its_reset_is_caught: ResetIgnored;
    a_latch_that_ignores_its_start_is_caught: StartIgnored;
}
