//! Combined checks against every way in which the unknown ones could have turned out.

use std::sync::{Arc, Mutex};

use failover::{All, Any, AtLeast, Check, Health, Majority, Not, quorum};

use crate::random::Random;
use crate::tally::{Mark, Tally};
use crate::{Difference, Scene, assert_caught, assert_same, same};

/// What the children say in one step.
type Event = Vec<Health>;

#[derive(Clone, Copy, Debug)]
enum Kind {
    All,
    Any,
    AtLeast(usize),
    Majority,
    /// The function alone, which takes every `k`.
    Function(usize),
}

/// What is wrong, if anything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    None,
    UnknownPasses,
    UnknownFails,
    UnknownIsNoChild,
    NotUnknownPasses,
    OneMoreNeeded,
    OneLessNeeded,
    LastForgotten,
    WarningFails,
    DissentUnseen,
    NotForgotten,
}

/// One way to combine some checks.
#[derive(Debug)]
struct Combined {
    kind: Kind,
    /// For each child, whether it is turned round.
    turned: Vec<bool>,
    whole_turned: bool,
    mistake: Mistake,
}

impl Combined {
    fn random(mistake: Mistake, random: &mut Random) -> Combined {
        let children = random.size(1, 6);
        let kind = match random.below(5) {
            0 => Kind::All,
            1 => Kind::Any,
            2 => Kind::Majority,
            3 => Kind::AtLeast(random.size(1, children)),
            _ => Kind::Function(random.size(0, children + 1)),
        };
        let is_function = matches!(kind, Kind::Function(_));
        Combined {
            kind,
            turned: (0..children)
                .map(|_| !is_function && random.percent(25))
                .collect(),
            whole_turned: !is_function && random.percent(20),
            mistake,
        }
    }

    /// How many have to pass, by the words.
    fn needed(&self) -> usize {
        let children = self.turned.len();
        match self.kind {
            Kind::All => children,
            Kind::Any => 1,
            Kind::AtLeast(k) | Kind::Function(k) => k,
            Kind::Majority => (0..=children)
                .find(|k| k * 2 > children)
                .unwrap_or(children),
        }
    }

    fn expected(&self, said: &[Health]) -> Health {
        let turned = said.iter().zip(&self.turned);
        let children: Vec<Health> = turned.map(|(said, turned)| turn(*said, *turned)).collect();
        turn(by_trying(self.needed(), &children), self.whole_turned)
    }

    fn bent(&self, needed: usize) -> Kind {
        let children = self.turned.len();
        match (self.mistake, self.kind) {
            (Mistake::OneMoreNeeded, Kind::Function(_)) => Kind::Function(needed + 1),
            (Mistake::OneMoreNeeded, _) => Kind::AtLeast((needed + 1).min(children)),
            (Mistake::OneLessNeeded, Kind::Function(_)) => Kind::Function(needed.max(1) - 1),
            (Mistake::OneLessNeeded, _) => Kind::AtLeast(needed.max(2) - 1),
            (_, kind) => kind,
        }
    }

    fn heard(&self, said: &[Health], turned: bool) -> Vec<Health> {
        let bend = |health: &Health| match (self.mistake, health) {
            (Mistake::UnknownPasses, Health::Unknown) => Some(Health::Ok),
            (Mistake::UnknownFails, Health::Unknown) => Some(Health::Fail),
            (Mistake::NotUnknownPasses, Health::Unknown) if turned => Some(Health::Fail),
            (Mistake::UnknownIsNoChild, Health::Unknown) => None,
            (Mistake::WarningFails, Health::Warn) => Some(Health::Fail),
            (_, health) => Some(*health),
        };
        let heard = said.iter().filter_map(bend);
        let count = match self.mistake {
            Mistake::LastForgotten => said.len() - 1,
            _ => said.len(),
        };
        heard.take(count).collect()
    }

    /// One for each child, since children cannot leave.
    fn told(&self, said: &[Health]) -> Vec<Health> {
        let each = said.iter().zip(&self.turned).enumerate();
        let told = each.map(|(index, (health, turned))| {
            let heard = self.heard(&[*health, Health::Ok], *turned);
            match self.mistake {
                Mistake::LastForgotten if index + 1 == said.len() => Health::Fail,
                // As if it were not there: neither passes nor is waited for.
                Mistake::UnknownIsNoChild if *health == Health::Unknown => Health::Ok,
                _ => heard[0],
            }
        });
        told.collect()
    }
}

/// The opposite of what is known.
fn turn(health: Health, is_turned: bool) -> Health {
    match health {
        Health::Unknown => Health::Unknown,
        other if !is_turned => other,
        Health::Fail => Health::Ok,
        Health::Ok | Health::Warn => Health::Fail,
    }
}

/// Decided if every way in which the unknown ones may turn out comes to the same.
fn by_trying(needed: usize, children: &[Health]) -> Health {
    let mut ways = vec![0];
    for child in children {
        ways = match child {
            Health::Fail => ways,
            Health::Ok | Health::Warn => ways.iter().map(|passed| passed + 1).collect(),
            Health::Unknown => ways
                .iter()
                .flat_map(|passed| [*passed, passed + 1])
                .collect(),
        };
    }
    let is_met = |passed: &usize| *passed >= needed;
    let dissents = |child: &Health| matches!(child, Health::Warn | Health::Fail);
    if ways.iter().all(is_met) {
        match children.iter().any(dissents) {
            true => Health::Warn,
            false => Health::Ok,
        }
    } else if ways.iter().any(is_met) {
        Health::Unknown
    } else {
        Health::Fail
    }
}

/// The real thing, with children that say what they are told, each on its own.
struct Subject {
    told: Arc<Mutex<Vec<Health>>>,
    check: Option<Box<dyn Check>>,
}

impl Subject {
    fn new(scene: &Combined) -> Subject {
        let told = Arc::new(Mutex::new(Vec::new()));
        let child = |(index, turned): (usize, &bool)| -> Box<dyn Check> {
            let told = told.clone();
            let child = move || told.lock().unwrap()[index];
            match turned {
                true if scene.mistake != Mistake::NotForgotten => Box::new(Not::new(child)),
                _ => Box::new(child),
            }
        };
        let children: Vec<_> = scene.turned.iter().enumerate().map(child).collect();
        let check: Box<dyn Check> = match scene.bent(scene.needed()) {
            Kind::All => Box::new(All::of(children).unwrap()),
            Kind::Any => Box::new(Any::of(children).unwrap()),
            Kind::AtLeast(k) => Box::new(AtLeast::of(k, children).unwrap()),
            Kind::Majority => Box::new(Majority::of(children).unwrap()),
            Kind::Function(_) => return Subject { told, check: None },
        };
        let check = match scene.whole_turned {
            true => Box::new(Not::new(check)),
            false => check,
        };
        Subject {
            told,
            check: Some(check),
        }
    }

    fn says(&mut self, scene: &Combined, said: &[Health]) -> Health {
        let needed = scene.needed();
        let health = match (&mut self.check, scene.bent(needed)) {
            (_, Kind::Function(k)) => quorum(k, scene.heard(said, false)),
            (Some(check), _) => {
                *self.told.lock().unwrap() = scene.told(said);
                check.check().health
            }
            (None, kind) => unreachable!("{kind:?} is a check"),
        };
        match health {
            Health::Warn if scene.mistake == Mistake::DissentUnseen => Health::Ok,
            health => health,
        }
    }
}

impl Scene for Combined {
    type Event = Event;

    fn play(&self, events: &[Event], tally: &mut Tally) -> Result<(), Difference> {
        let mut subject = Subject::new(self);
        for (step, said) in events.iter().enumerate() {
            let expected = self.expected(said);
            tally.note(match expected {
                Health::Ok => Mark::Met,
                Health::Warn => Mark::MetWithDissent,
                Health::Fail => Mark::Missed,
                Health::Unknown => Mark::Open,
            });
            same("health", expected, subject.says(self, said))
                .map_err(|what| Difference::at(step, what))?;
        }
        Ok(())
    }
}

fn episode(mistake: Mistake, random: &mut Random) -> (Combined, Vec<Event>) {
    let scene = Combined::random(mistake, random);
    let length = random.size(20, 60);
    let event = |_| {
        let all = [Health::Ok, Health::Warn, Health::Fail, Health::Unknown];
        let pure = random.one_of(&all);
        let is_mixed = random.percent(80);
        let child = |_| match is_mixed || random.percent(20) {
            true => random.one_of(&all),
            false => pure,
        };
        (0..scene.turned.len()).map(child).collect()
    };
    let events = (0..length).map(event).collect();
    (scene, events)
}

#[test]
fn combined_checks_are_decided_only_when_the_unknown_cannot_change_it() {
    let tally = assert_same(6_000, |random| episode(Mistake::None, random));
    tally.assert_many(&[
        (Mark::Steps, 230_000),
        (Mark::Met, 15_000),
        (Mark::MetWithDissent, 30_000),
        (Mark::Missed, 30_000),
        (Mark::Open, 30_000),
    ]);
}

macro_rules! caught {
    ($($name:ident: $mistake:ident;)*) => {$(
        #[test]
        fn $name() {
            assert_caught(|random| episode(Mistake::$mistake, random));
        }
    )*};
}

caught! {
    unknown_counted_as_a_pass_is_caught: UnknownPasses;
    unknown_counted_as_a_miss_is_caught: UnknownFails;
    unknown_counted_as_nobody_is_caught: UnknownIsNoChild;
    the_opposite_of_unknown_as_a_pass_is_caught: NotUnknownPasses;
    one_more_than_needed_is_caught: OneMoreNeeded;
    one_less_than_needed_is_caught: OneLessNeeded;
    a_forgotten_child_is_caught: LastForgotten;
    a_warning_taken_for_a_failure_is_caught: WarningFails;
    dissent_that_goes_unseen_is_caught: DissentUnseen;
    a_forgotten_not_is_caught: NotForgotten;
}
