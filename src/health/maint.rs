//! Maintenance: what a human has put a component into, whatever its check finds.
//!
//! It stands between what is judged and what is answered, so that balancers, composites,
//! track-files and the page all see the same. The check goes on running underneath.
#![forbid(unsafe_code)]

use super::{Health, Outcome, Reason, State};
use crate::clock::Moment;
use crate::error::Error;

/// How a component in maintenance answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As failed, so that traffic leaves it.
    Drain,
    /// In the state that it had when this began; one that was drained then, in what was judged.
    Hold(State),
}

/// Maintenance of one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maint {
    /// How it answers.
    pub mode: Mode,
    /// Since when.
    pub since: Moment,
    /// When it ends by itself; `None` is when a human says so.
    pub until: Option<Moment>,
    /// What the human gave as the reason; free text.
    pub because: String,
}

impl Mode {
    /// The word of the command line and of the interfaces.
    pub fn word(self) -> &'static str {
        match self {
            Mode::Drain => "drain",
            Mode::Hold(_) => "hold",
        }
    }
}

impl Maint {
    pub(crate) fn state(&self) -> State {
        match self.mode {
            Mode::Drain => State::Fail,
            Mode::Hold(state) => state,
        }
    }

    /// What is told as the outcome when it changes the state.
    pub(crate) fn outcome(&self) -> Outcome {
        let reason = match self.mode {
            Mode::Drain => Reason::Drained,
            Mode::Hold(_) => Reason::Held,
        };
        Outcome::new(Health::from(self.state()), reason).with_detail(self.because.clone())
    }
}

/// The longest reason that is kept, in bytes.
pub(crate) const BECAUSE_LEN_MAX: usize = 256;

/// The mode that a word means for a component in that state.
///
/// # Errors
/// A word that is none.
pub(crate) fn mode_of(word: &str, state: State) -> Result<Mode, Error> {
    match word {
        "drain" => Ok(Mode::Drain),
        "hold" => Ok(Mode::Hold(state)),
        _ => Err(Error::invalid(format!(
            "{word:?} is no maintenance; expected drain, hold or off"
        ))),
    }
}
