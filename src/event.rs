//! What happened: the value that is logged, told and counted.
//!
//! One event is one line, its fields always in the same order. A component that flaps has at most
//! ten such lines a minute; the rest is folded into one line a minute that says how many there
//! were. Whoever else is told, is told of each.
#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

use crate::clock::Moment;
use crate::health::{Maint, Outcome, Phase, State};
use crate::units::print_duration;

/// Something that happened to a component.
#[derive(Clone, Debug)]
pub struct Event {
    /// When.
    pub at: Moment,
    /// To which component.
    pub component: String,
    /// What.
    pub what: What,
    /// Its number among all events of this program, from 1. Greater is later; a gap are events
    /// that were dropped because too many came at once.
    pub sequence: u64,
    /// The component whose failure explains this one: the first, of those that it is said to
    /// depend on, that is not ok.
    pub blamed: Option<String>,
}

/// The kinds of events.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum What {
    /// The component's state changed.
    Changed(Transition),
    /// The first known outcome came, and left the state as the component had started; or none came
    /// in time, and the state is unknown as it was.
    Settled {
        /// That state.
        state: State,
        /// The same for people.
        phase: Phase,
        /// The first known outcome, or that there was none.
        outcome: Outcome,
    },
    /// The component is in maintenance, and its check came to another state: what will be answered
    /// when that ends, and not before.
    Judged(Transition),
    /// A human put the component into maintenance, or that ended.
    Maintenance {
        /// What it is in now; `None` is the end.
        maint: Option<Maint>,
    },
    /// The component's check panicked, and had not the last time.
    Panicked {
        /// What it said.
        message: String,
    },
}

/// From one state to another: of what is answered, or of what the check comes to.
#[derive(Clone, Debug)]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The state from now on.
    pub to: State,
    /// The same for people.
    pub phase: Phase,
    /// The outcome that brought it about.
    pub outcome: Outcome,
    /// How many runs have ended so far.
    pub runs: u64,
}

impl Transition {
    fn write(&self, f: &mut fmt::Formatter<'_>, key: &str) -> fmt::Result {
        write_outcome(f, &self.outcome)?;
        let Transition {
            from,
            to,
            phase,
            runs,
            ..
        } = self;
        write!(f, " {key}=\"{from} -> {to}\" phase={phase} run={runs}")
    }
}

fn write_outcome(f: &mut fmt::Formatter<'_>, outcome: &Outcome) -> fmt::Result {
    write!(
        f,
        " took={} reason=\"{}\" detail={:?}",
        print_duration(in_microseconds(outcome.took)),
        outcome.reason,
        outcome.detail,
    )
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "component={}", self.component)?;
        match &self.what {
            What::Changed(change) => change.write(f, "state"),
            What::Judged(change) => change.write(f, "judged"),
            What::Settled {
                state,
                phase,
                outcome,
            } => {
                write_outcome(f, outcome)?;
                write!(f, " state=\"{state}\" phase={phase}")
            }
            What::Maintenance { maint: None } => write!(f, " maintenance=off"),
            What::Maintenance { maint: Some(maint) } => {
                let length = match maint.until {
                    Some(until) => print_duration(until.since(maint.since)),
                    None => String::from("ever"),
                };
                let because = &maint.because;
                let mode = maint.mode.word();
                write!(f, " maintenance={mode} for={length} because={because:?}")
            }
            What::Panicked { message } => {
                write!(f, " reason=\"check panicked\" detail={message:?}")
            }
        }?;
        match &self.blamed {
            Some(name) => write!(f, " blamed={name}"),
            None => Ok(()),
        }
    }
}

/// Finer than this is noise to a reader.
fn in_microseconds(took: Duration) -> Duration {
    Duration::new(took.as_secs(), took.subsec_micros() * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_in_a_fixed_order() {
        let fails = Transition {
            from: State::Ok,
            to: State::Fail,
            phase: Phase::Unhealthy,
            outcome: Outcome::from(false).with_detail("a \"b\"\n"),
            runs: 12,
        };
        let mut event = Event {
            at: Moment::default(),
            component: String::from("mail"),
            what: What::Changed(fails),
            sequence: 1,
            blamed: None,
        };
        assert_eq!(
            event.to_string(),
            "component=mail took=0s reason=\"said fail\" detail=\"a \\\"b\\\"\\n\" \
             state=\"ok -> fail\" phase=unhealthy run=12"
        );
        event.what = What::Judged(Transition {
            from: State::Fail,
            to: State::Ok,
            phase: Phase::Healthy,
            outcome: Outcome::from(true),
            runs: 13,
        });
        assert!(
            event
                .to_string()
                .ends_with(" judged=\"fail -> ok\" phase=healthy run=13")
        );
        event.blamed = Some(String::from("dns"));
        assert!(event.to_string().ends_with(" run=13 blamed=dns"));
    }
}
