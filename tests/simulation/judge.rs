//! A judge, alone and around a check, against the whole history.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover::{Check, Clock, Health, Hysteresis, Judge, ManualClock, Moment, Standing, State};

use crate::model::{self, Expected};
use crate::random::Random;
use crate::rules::{Rule, Rules, Weather};
use crate::tally::{Mark, Tally};
use crate::{Difference, Scene, assert_same, same};

/// When every episode begins: late enough for a clock to be able to jump back.
const BEGIN: Duration = Duration::from_secs(1_000 * 3_600);

/// What happens, and how long after what happened before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    gap: Duration,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Sees(Health),
    Looks,
    Resets,
}

/// Whatever judges: the real thing in two forms, and the mistaken ones.
pub(crate) trait Judging {
    /// What it answers of itself, if it is a check.
    fn sees(&mut self, at: Duration, seen: Health) -> Option<Health>;
    fn looks(&mut self, at: Duration);
    fn resets(&mut self, at: Duration, to: State);
    fn stands(&self, at: Duration) -> Standing;
}

impl Judging for Judge {
    fn sees(&mut self, at: Duration, seen: Health) -> Option<Health> {
        self.step(moment(at), seen);
        None
    }

    fn looks(&mut self, at: Duration) {
        self.look(moment(at));
    }

    fn resets(&mut self, at: Duration, to: State) {
        self.reset(to, moment(at));
    }

    fn stands(&self, at: Duration) -> Standing {
        self.standing(moment(at))
    }
}

pub(crate) fn moment(at: Duration) -> Moment {
    Moment::default() + at
}

/// A check that says what it was told to say.
#[derive(Clone)]
pub(crate) struct Told(Arc<Mutex<Health>>);

impl Told {
    pub(crate) fn new() -> Told {
        Told(Arc::new(Mutex::new(Health::Unknown)))
    }

    pub(crate) fn tell(&self, health: Health) {
        *self.0.lock().unwrap() = health;
    }

    pub(crate) fn check(&self) -> impl FnMut() -> Health + Send + 'static {
        let told = self.0.clone();
        move || *told.lock().unwrap()
    }
}

/// The judge around a check, with a clock of its own.
struct Around {
    clock: ManualClock,
    told: Told,
    check: Hysteresis,
}

impl Around {
    fn new(rules: &Rules) -> Around {
        let clock = ManualClock::new();
        clock.advance(BEGIN);
        let told = Told::new();
        let check = Hysteresis::new(told.check()).clock(Arc::new(clock.clone()));
        let check = rules.set_on(check);
        Around { clock, told, check }
    }

    fn go_to(&self, at: Duration) {
        self.clock
            .advance(at - self.clock.now().since(Moment::default()));
    }
}

impl Judging for Around {
    fn sees(&mut self, at: Duration, seen: Health) -> Option<Health> {
        self.go_to(at);
        self.told.tell(seen);
        Some(self.check.check().health)
    }

    fn looks(&mut self, at: Duration) {
        self.go_to(at);
    }

    fn resets(&mut self, at: Duration, to: State) {
        self.go_to(at);
        self.check.reset(to);
    }

    fn stands(&self, _at: Duration) -> Standing {
        self.check.standing().expect("a judge stands somewhere")
    }
}

/// Makes what judges.
pub(crate) type Maker = fn(&Rules, Moment) -> Box<dyn Judging>;

/// What is compared besides state and count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aspect {
    /// Everything but what has a test of its own.
    Most,
    /// The phase while nothing is known.
    FirstPhase,
    /// How long the failures of a window have been going on.
    WindowAge,
}

/// One judge with its rules.
pub(crate) struct Judged {
    rules: Rules,
    maker: Maker,
    aspect: Aspect,
}

impl std::fmt::Debug for Judged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.rules.fmt(f)
    }
}

impl Scene for Judged {
    type Event = Event;

    fn play(&self, events: &[Event], tally: &mut Tally) -> Result<(), Difference> {
        let mut subject = (self.maker)(&self.rules, moment(BEGIN));
        let (mut now, mut start) = (BEGIN, BEGIN);
        let mut history = Vec::new();
        let mut guard = Guard::new(&self.rules);
        for (step, event) in events.iter().enumerate() {
            now += event.gap;
            let mut said = None;
            match event.what {
                What::Sees(health) => {
                    said = subject.sees(now, health);
                    history.push((now, health));
                }
                What::Looks => subject.looks(now),
                What::Resets => {
                    subject.resets(now, self.rules.initial);
                    (start, history) = (now, Vec::new());
                    guard = Guard::new(&self.rules);
                    tally.note(Mark::Resets);
                }
            }
            let expected = model::judged(&self.rules, start, &history, now);
            let got = subject.stands(now);
            self.compare(&expected, &got, event.what, said)
                .and_then(|()| guard.watch(&self.rules, now - start, event.what, got.state, tally))
                .map_err(|what| Difference::at(step, what))?;
        }
        Ok(())
    }
}

impl Judged {
    fn compare(
        &self,
        expected: &Expected,
        got: &Standing,
        what: What,
        said: Option<Health>,
    ) -> Result<(), String> {
        same("state", expected.state, got.state)?;
        same("disagreeing", expected.disagreeing, got.disagreeing)?;
        if !expected.nothing_known || self.aspect == Aspect::FirstPhase {
            same("phase", expected.phase, got.phase)?;
        }
        let is_window = matches!(expected.needed, Some(Rule::Of(..)));
        if !is_window || self.aspect == Aspect::WindowAge {
            same(
                "disagreeing for",
                expected.disagreeing_for,
                got.disagreeing_for,
            )?;
        }
        if let Some(needed) = expected.needed {
            same("needed", Some(needed.threshold()), got.needed)?;
        }
        match (said, what) {
            (Some(said), What::Sees(seen)) => same("answer", answer(expected.state, seen), said),
            _ => Ok(()),
        }
    }
}

/// What a check says of itself in a state, having seen that.
pub(crate) fn answer(state: State, seen: Health) -> Health {
    match (state, seen) {
        (State::Ok, Health::Warn) => Health::Warn,
        (State::Ok, _) => Health::Ok,
        (State::Fail, _) => Health::Fail,
        (State::Unknown, _) => Health::Unknown,
    }
}

/// What must never happen, whatever the model says: it looks at states and outcomes only.
struct Guard {
    state: State,
    held: State,
    against: u32,
    last_known: Duration,
}

impl Guard {
    fn new(rules: &Rules) -> Guard {
        Guard {
            state: rules.initial,
            held: rules.initial,
            against: 0,
            last_known: Duration::ZERO,
        }
    }

    /// `now` is counted from the start.
    fn watch(
        &mut self,
        rules: &Rules,
        now: Duration,
        what: What,
        state: State,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let known = match what {
            What::Sees(Health::Ok | Health::Warn) => Some(State::Ok),
            What::Sees(Health::Fail) => Some(State::Fail),
            What::Sees(Health::Unknown) | What::Looks | What::Resets => None,
        };
        if known.is_some_and(|known| known != self.held) {
            self.against += 1;
        }
        if matches!(what, What::Sees(Health::Unknown)) {
            tally.note(Mark::Unknowns);
        }
        let was = std::mem::replace(&mut self.state, state);
        if state != was {
            self.changed(rules, now, was, known, tally)?;
        }
        if known.is_some() {
            self.last_known = now;
        }
        Ok(())
    }

    fn changed(
        &mut self,
        rules: &Rules,
        now: Duration,
        was: State,
        known: Option<State>,
        tally: &mut Tally,
    ) -> Result<(), String> {
        if self.state == State::Unknown {
            let silence = now - self.last_known;
            let is_stale = rules.stale_after.is_some_and(|limit| silence > limit);
            tally.note(Mark::WentStale);
            return same("unknown only by staleness", true, is_stale);
        }
        same("no change without a known outcome", true, known.is_some())?;
        if was == State::Unknown {
            tally.note(Mark::CameBack);
        }
        if self.state == self.held {
            return Ok(());
        }
        let (rule, mark) = match self.held {
            State::Ok => (rules.fail_after, Mark::ToFail),
            State::Fail => (rules.ok_after, Mark::ToOk),
            State::Unknown => {
                (self.held, self.against) = (self.state, 0);
                return Ok(());
            }
        };
        let (least, by) = match rule {
            Rule::Count(n) => (n, Mark::ByCount),
            Rule::Lasting(_) => (2, Mark::ByDuration),
            Rule::Of(needed, _) => (needed, Mark::ByWindow),
        };
        same("no change before its count", true, self.against >= least)?;
        (self.held, self.against) = (self.state, 0);
        tally.note(mark);
        tally.note(by);
        Ok(())
    }
}

fn random_events(rules: &Rules, random: &mut Random) -> Vec<Event> {
    let mut weather = Weather::of(rules, random);
    let length = rules.episode_length(random);
    let event = |_| {
        let what = match random.below(100) {
            0..=7 => What::Looks,
            8 => What::Resets,
            _ => What::Sees(weather.health(random)),
        };
        let gap = weather.gap(random);
        Event { gap, what }
    };
    (0..length).map(event).collect()
}

/// An episode with whatever this maker makes.
pub(crate) fn episode(maker: Maker, random: &mut Random) -> (Judged, Vec<Event>) {
    episode_for(maker, Aspect::Most, random)
}

fn episode_for(maker: Maker, aspect: Aspect, random: &mut Random) -> (Judged, Vec<Event>) {
    let rules = Rules::random(random);
    let events = random_events(&rules, random);
    let scene = Judged {
        rules,
        maker,
        aspect,
    };
    (scene, events)
}

fn real(rules: &Rules, now: Moment) -> Box<dyn Judging> {
    Box::new(rules.judge(now))
}

fn around(rules: &Rules, _now: Moment) -> Box<dyn Judging> {
    Box::new(Around::new(rules))
}

/// How much of everything has to have happened, per thousand steps.
const FLOORS: [(Mark, usize); 9] = [
    (Mark::ToOk, 20),
    (Mark::ToFail, 20),
    (Mark::ByCount, 20),
    (Mark::ByDuration, 5),
    (Mark::ByWindow, 15),
    (Mark::WentStale, 20),
    (Mark::CameBack, 20),
    (Mark::Resets, 5),
    (Mark::Unknowns, 50),
];

fn floors(thousands_of_steps: usize) -> Vec<(Mark, usize)> {
    let scaled = FLOORS.map(|(mark, times)| (mark, times * thousands_of_steps));
    let mut floors = scaled.to_vec();
    floors.push((Mark::Steps, 1_000 * thousands_of_steps));
    floors
}

#[test]
fn a_judge_does_what_the_whole_history_says() {
    let tally = assert_same(13_000, |random| episode(real, random));
    tally.assert_many(&floors(480));
}

#[test]
fn a_judge_around_a_check_does_the_same() {
    let tally = assert_same(4_200, |random| episode(around, random));
    tally.assert_many(&floors(150));
}

#[test]
fn the_phase_is_unknown_before_the_first_known_outcome() {
    assert_same(1_000, |random| {
        episode_for(real, Aspect::FirstPhase, random)
    });
}

#[test]
fn the_failures_of_a_window_go_on_since_the_first_that_is_in_it() {
    assert_same(1_000, |random| episode_for(real, Aspect::WindowAge, random));
}
