//! The sweeper's pulse: when it last passed, in real time, for `/health/live`.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// It passes at least this often while it lives.
pub(super) const PASS_EVERY: Duration = Duration::from_secs(1);

/// Ten passes that did not happen are no hiccup.
const PULSE_MAX: Duration = Duration::from_secs(10);

pub(super) struct Pulse {
    started: Instant,
    /// The second, since the start, of the last pass; 64 bits are not everywhere atomic.
    last: AtomicU32,
}

impl Pulse {
    pub(super) fn new() -> Pulse {
        Pulse {
            started: Instant::now(),
            last: AtomicU32::new(0),
        }
    }

    /// How long ago it was made: with the server.
    pub(super) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn beat(&self) {
        let second = u32::try_from(self.age().as_secs()).unwrap_or(u32::MAX);
        self.last.store(second, Ordering::Relaxed);
    }

    /// Whether it has passed lately.
    pub(super) fn is_lately(&self) -> bool {
        self.is_lately_at(self.age())
    }

    fn is_lately_at(&self, age: Duration) -> bool {
        let last = Duration::from_secs(u64::from(self.last.load(Ordering::Relaxed)));
        age.saturating_sub(last) <= PULSE_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_is_good_for_ten_seconds() {
        let pulse = Pulse::new();
        assert!(pulse.is_lately());
        assert!(pulse.is_lately_at(Duration::from_secs(10)));
        assert!(!pulse.is_lately_at(Duration::from_millis(10_001)));
        pulse.last.store(60, Ordering::Relaxed);
        assert!(pulse.is_lately_at(Duration::from_secs(70)));
        assert!(!pulse.is_lately_at(Duration::from_secs(71)));
        pulse.beat();
        assert!(pulse.is_lately());
    }
}
