//! The vocabulary of health: what a run of a check found, and the state that is made of it.
//!
//! It stands below everything that speaks of health: events, checks, decisions, the server. It
//! only names things; nothing here decides.
#![forbid(unsafe_code)]

pub(crate) mod maint;
mod reason;

use std::fmt;
use std::time::Duration;

pub use maint::{Maint, Mode};
pub use reason::Reason;

use crate::units::Threshold;

/// What one run of a check found. From best to worst; `Unknown` stands apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Health {
    /// The target is well.
    Ok,
    /// It passes, but a human should know.
    Warn,
    /// The target is not well: refused, timed out, a wrong answer.
    Fail,
    /// We could not ask: our own descriptors, resolver, thread or credentials failed us. It says
    /// nothing of the target.
    Unknown,
}

impl Health {
    /// `Some(Ok)` or `Some(Fail)` as a state, `None` when nothing is known of the target.
    pub fn known(self) -> Option<State> {
        match self {
            Health::Ok | Health::Warn => Some(State::Ok),
            Health::Fail => Some(State::Fail),
            Health::Unknown => None,
        }
    }

    /// What it is from the other side; unknown stays unknown.
    pub fn opposite(self) -> Health {
        match self {
            Health::Ok | Health::Warn => Health::Fail,
            Health::Fail => Health::Ok,
            Health::Unknown => Health::Unknown,
        }
    }

    /// The word for logs and metrics, in lower case.
    pub fn word(self) -> &'static str {
        match self {
            Health::Ok => "ok",
            Health::Warn => "warn",
            Health::Fail => "fail",
            Health::Unknown => "unknown",
        }
    }
}

/// What a component answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Answered `200 OK`.
    Ok,
    /// Answered `503 FAIL`.
    Fail,
    /// Answered `500 ERROR`. As an initial state: the first known outcome decides at once.
    Unknown,
}

impl State {
    /// What it is from the other side; unknown stays unknown.
    pub fn opposite(self) -> State {
        match self {
            State::Ok => State::Fail,
            State::Fail => State::Ok,
            State::Unknown => State::Unknown,
        }
    }

    /// The word for logs and metrics, in lower case.
    pub fn word(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Fail => "fail",
            State::Unknown => "unknown",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl From<State> for Health {
    fn from(state: State) -> Health {
        match state {
            State::Ok => Health::Ok,
            State::Fail => Health::Fail,
            State::Unknown => Health::Unknown,
        }
    }
}

// Constants in lower case, because the seeds' users write `initial_state=fail`.

/// [`State::Ok`], as the seeds write it.
#[allow(non_upper_case_globals)]
pub const ok: State = State::Ok;

/// [`State::Fail`], as the seeds write it.
#[allow(non_upper_case_globals)]
pub const fail: State = State::Fail;

/// The state as people see it, with how it is tending (seed 002).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Ok, and no disagreement counted.
    Healthy,
    /// Ok, with some failures counted.
    Suspicious,
    /// Fail, and no success counted.
    Unhealthy,
    /// Fail, with some successes counted.
    Recovering,
    /// Nothing known yet, or no longer.
    Unknown,
}

impl Phase {
    /// The phase of a state for which `disagreeing` outcomes are counted so far.
    pub fn of(state: State, disagreeing: u32) -> Phase {
        match (state, disagreeing) {
            (State::Ok, 0) => Phase::Healthy,
            (State::Ok, _) => Phase::Suspicious,
            (State::Fail, 0) => Phase::Unhealthy,
            (State::Fail, _) => Phase::Recovering,
            (State::Unknown, _) => Phase::Unknown,
        }
    }

    /// The word for logs and pages, in lower case.
    pub fn word(self) -> &'static str {
        match self {
            Phase::Healthy => "healthy",
            Phase::Suspicious => "suspicious",
            Phase::Unhealthy => "unhealthy",
            Phase::Recovering => "recovering",
            Phase::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Where something that judges stands: its state, its phase, and how far it has got towards the
/// other state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The state that is answered.
    pub state: State,
    /// The same for people.
    pub phase: Phase,
    /// Disagreeing outcomes counted so far; those in the window for `M of N`.
    pub disagreeing: u32,
    /// How long they have been going on; zero when there are none.
    pub disagreeing_for: Duration,
    /// What it takes for the state to change; `None` where one outcome decides, or a human.
    pub needed: Option<Threshold>,
    /// Whether the last outcome told something; what only holds its state has heard nothing new.
    pub heard: bool,
    /// What the last run found by itself, before it was judged; `None` where its outcome says so.
    pub seen: Option<Health>,
}

impl Standing {
    /// Where something stands that nothing counts against.
    pub(crate) fn plain(state: State) -> Standing {
        Standing {
            state,
            phase: Phase::of(state, 0),
            disagreeing: 0,
            disagreeing_for: Duration::ZERO,
            needed: None,
            heard: state != State::Unknown,
            seen: None,
        }
    }

    /// The same for a state of which nothing is known yet, or no longer: nothing counts.
    pub(crate) fn unknown(state: State) -> Standing {
        Standing {
            phase: Phase::Unknown,
            heard: false,
            ..Standing::plain(state)
        }
    }
}

/// What one run of a check found, and why, and how long it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The finding.
    pub health: Health,
    /// Why, in fixed words.
    pub reason: Reason,
    /// Why, in free text; it may come from the network and is to be escaped wherever it is shown.
    pub detail: String,
    /// How long the run took.
    pub took: Duration,
}

impl Outcome {
    /// An outcome without detail that took no time.
    // Called in a hundred places, where it would be five times as long as the call.
    #[inline(never)]
    pub fn new(health: Health, reason: Reason) -> Outcome {
        Outcome {
            health,
            reason,
            detail: String::new(),
            took: Duration::ZERO,
        }
    }

    /// The same with a detail.
    pub fn with_detail(self, detail: impl Into<String>) -> Outcome {
        self.detailed(detail.into())
    }

    // As often called as `new`.
    #[inline(never)]
    fn detailed(self, detail: String) -> Outcome {
        Outcome { detail, ..self }
    }

    /// The same with how long the run took.
    pub fn with_took(mut self, took: Duration) -> Outcome {
        self.took = took;
        self
    }
}

impl From<Health> for Outcome {
    fn from(health: Health) -> Outcome {
        let reason = match health {
            Health::Ok => Reason::SaidOk,
            Health::Warn => Reason::SaidWarn,
            Health::Fail => Reason::SaidFail,
            Health::Unknown => Reason::SaidUnknown,
        };
        Outcome::new(health, reason)
    }
}

impl From<State> for Outcome {
    fn from(state: State) -> Outcome {
        Outcome::from(Health::from(state))
    }
}

impl From<bool> for Outcome {
    fn from(passed: bool) -> Outcome {
        Outcome::from(if passed { State::Ok } else { State::Fail })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason)?;
        if !self.detail.is_empty() {
            f.write_str(": ")?;
        }
        // Quotes mean nothing where none are around it.
        self.detail.chars().try_for_each(|c| match c {
            '"' | '\'' => write!(f, "{c}"),
            _ => write!(f, "{}", c.escape_debug()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn reasons_are_distinct_fixed_words_in_lower_case() {
        let words: HashSet<&str> = Reason::ALL.iter().map(|reason| reason.words()).collect();
        assert_eq!(words.len(), Reason::ALL.len());
        for word in words {
            assert!(
                word.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b" +".contains(&b)),
                "{word:?}"
            );
        }
    }

    #[test]
    fn phases_follow_the_disagreement() {
        for (state, disagreeing, phase) in [
            (State::Ok, 0, Phase::Healthy),
            (State::Ok, 1, Phase::Suspicious),
            (State::Fail, 0, Phase::Unhealthy),
            (State::Fail, 9, Phase::Recovering),
            (State::Unknown, 3, Phase::Unknown),
        ] {
            assert_eq!(Phase::of(state, disagreeing), phase);
        }
    }

    #[test]
    fn a_hostile_detail_is_escaped_when_shown() {
        let outcome = Outcome::from(false).with_detail("\x1b[2J\nroot");
        assert_eq!(outcome.to_string(), "said fail: \\u{1b}[2J\\nroot");
    }
}
