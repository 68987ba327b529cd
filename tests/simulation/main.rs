//! Seeded simulations: every decision, driven at random and compared after each step with a slow
//! and obvious model that shares no code with it.
//!
//! The models keep whole histories and work out from scratch what the manual's sentences make of
//! them. Episodes are short and independent. What differs is printed with its seed and with the
//! shortest history found that still shows it; `FAILOVER_SEED=n cargo test --test simulation`
//! plays the same once more, and `FAILOVER_SEED=random` plays what was never played. A simulation
//! proves something only if it can fail: planted mistakes, one test each, have to be found.

mod background;
mod background_mutants;
mod combine;
mod forecast;
mod judge;
mod judge_mutants;
mod model;
mod odds;
mod random;
mod rules;
mod tally;
mod toggle;

use std::env;
use std::fmt::{Debug, Write as _};
use std::hash::{BuildHasher, RandomState};

use random::Random;
use tally::{Mark, Tally};

/// What is played unless the environment says otherwise.
const SEED: u64 = 20_250_101;

/// Enough for the rarest planted mistake; most are found among the first ten.
const EPISODES_UNTIL_CAUGHT: u64 = 20_000;

/// One set of settings, which any list of events can be played on.
pub(crate) trait Scene: Debug {
    /// What is done in one step.
    type Event: Clone + Debug;

    /// Plays the events on a fresh subject and a fresh model, and compares after each.
    ///
    /// # Errors
    /// The first difference.
    fn play(&self, events: &[Self::Event], tally: &mut Tally) -> Result<(), Difference>;
}

/// Where subject and model part.
pub(crate) struct Difference {
    step: usize,
    what: String,
}

impl Difference {
    pub(crate) fn at(step: usize, what: impl Into<String>) -> Difference {
        let what = what.into();
        Difference { step, what }
    }
}

/// Nothing where both are the same, else both in words.
pub(crate) fn same<T: PartialEq + Debug>(what: &str, expected: T, got: T) -> Result<(), String> {
    if expected == got {
        return Ok(());
    }
    Err(format!("{what}: expected {expected:?}, got {got:?}"))
}

fn seed() -> u64 {
    match env::var("FAILOVER_SEED").as_deref() {
        Err(_) => SEED,
        Ok("random") => RandomState::new().hash_one(0),
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("FAILOVER_SEED={text:?}; expected a number, or random")),
    }
}

/// Plays that many episodes, each made by `make` from numbers of its own.
///
/// # Errors
/// The first difference, as a text for people.
fn simulate<S: Scene>(
    episodes: u64,
    make: impl Fn(&mut Random) -> (S, Vec<S::Event>),
) -> Result<Tally, String> {
    let seed = seed();
    let mut tally = Tally::default();
    for episode in 0..episodes {
        let (scene, events) = make(&mut Random::of(seed, episode));
        tally.add(Mark::Steps, events.len());
        if let Err(difference) = scene.play(&events, &mut tally) {
            let place = format!("seed {seed}, episode {episode}, step {}", difference.step);
            return Err(report(&place, &scene, &events[..=difference.step]));
        }
    }
    Ok(tally)
}

/// The simulation has to pass; its tally shows what it has been through.
#[track_caller]
pub(crate) fn assert_same<S: Scene>(
    episodes: u64,
    make: impl Fn(&mut Random) -> (S, Vec<S::Event>),
) -> Tally {
    simulate(episodes, make).unwrap_or_else(|report| panic!("{report}"))
}

/// The simulation has to find the mistake that `make` plants.
#[track_caller]
pub(crate) fn assert_caught<S: Scene>(make: impl Fn(&mut Random) -> (S, Vec<S::Event>)) {
    let result = simulate(EPISODES_UNTIL_CAUGHT, make);
    assert!(result.is_err(), "the planted mistake was not found");
}

fn report<S: Scene>(place: &str, scene: &S, events: &[S::Event]) -> String {
    let (events, what) = shortest(scene, events);
    let mut text = format!("{place}: {what}\nwith {scene:?}\nafter\n");
    for event in events {
        writeln!(text, "    {event:?}").expect("a String takes any text");
    }
    text
}

/// Leaves out what can be left out while some difference stays.
fn shortest<S: Scene>(scene: &S, events: &[S::Event]) -> (Vec<S::Event>, String) {
    let mut events = events.to_vec();
    let mut what = String::from("the difference does not come back when played again");
    let mut at = events.len();
    while at > 0 {
        at -= 1;
        let mut fewer = events.clone();
        if at + 1 < events.len() {
            fewer.remove(at);
        }
        if let Err(difference) = scene.play(&fewer, &mut Tally::default()) {
            fewer.truncate(difference.step + 1);
            at = at.min(fewer.len());
            (events, what) = (fewer, difference.what);
        }
    }
    (events, what)
}
