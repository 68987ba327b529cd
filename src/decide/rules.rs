//! The rules by which a component is judged, as one value.
//!
//! What only computes, a forecast or a replay, is given the same rules as the judge that runs; it
//! needs neither check nor clock.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::clock::Moment;
use crate::decide::hysteresis::Judge;
use crate::health::State;
use crate::units::Threshold;

/// How outcomes become a state.
///
/// ```
/// use failover::{Rules, State, count};
/// let rules = Rules {
///     start: State::Unknown,
///     ok_after: count(3).try_into()?,
///     fail_after: count(2).of(5).try_into()?,
///     stale_after: None,
///     manual_reset: false,
/// };
/// assert_eq!(rules.to_string(), "start probe, fail-after 2 of 5, ok-after 3");
/// # Ok::<(), failover::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The state before anything was seen; with unknown the first known outcome decides.
    pub start: State,
    /// What changes fail to ok.
    pub ok_after: Threshold,
    /// What changes ok to fail.
    pub fail_after: Threshold,
    /// How long silence and unknown outcomes are borne; `None` is for good.
    pub stale_after: Option<Duration>,
    /// Whether it stays failed until a human resets it.
    pub manual_reset: bool,
}

impl Rules {
    /// A judge that begins at `now`. It does not know of the manual reset, which is around it.
    pub fn judge(&self, now: Moment) -> Judge {
        let mut judge = Judge::new(self.start, self.ok_after, self.fail_after, now);
        judge.set_stale_after(self.stale_after);
        judge
    }
}

impl std::fmt::Display for Rules {
    /// In the words of the configuration.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = match self.start {
            State::Ok => "ok",
            State::Fail => "fail",
            State::Unknown => "probe",
        };
        write!(f, "start {start}, fail-after {}", self.fail_after)?;
        if self.manual_reset {
            f.write_str(", manual-reset")
        } else {
            write!(f, ", ok-after {}", self.ok_after)
        }
    }
}
