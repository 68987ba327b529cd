//! The one moment by which a whole conversation has to be over, however its peer dawdles.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

/// A moment of real time; sockets know no other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// That long from now.
    pub(crate) fn after(budget: Duration) -> Deadline {
        Deadline(Instant::now() + budget)
    }

    /// That long from now, if this is not earlier.
    pub(crate) fn earlier(self, budget: Duration) -> Deadline {
        Deadline(self.0.min(Instant::now() + budget))
    }

    /// What is left; `None` when it has passed, since std's sockets refuse a timeout of zero.
    pub(crate) fn left(self) -> Option<Duration> {
        let left = self.0.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// An equal share of what is left, for the first of so many attempts, so that a dead one
    /// cannot eat the time of the others.
    pub(crate) fn share(self, attempts: usize) -> Option<Deadline> {
        let left = self.left()?;
        match u32::try_from(attempts).unwrap_or(u32::MAX) {
            0 | 1 => Some(self),
            attempts => Some(Deadline::after(left / attempts)),
        }
    }
}
