//! The last runs of one check. Nothing is judged here; the page and the reports show them.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::clock::Moment;
use crate::health::Health;

/// One run that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// When it ended.
    pub(crate) at: Moment,
    pub(crate) health: Health,
    pub(crate) took: Duration,
}

/// Runs that are kept: a strip across a phone, and 768 bytes.
const LEN: usize = 48;

/// A [`Run`] in less than half its bytes: there are 48 of each of a thousand checks.
#[derive(Clone, Copy)]
struct Past {
    /// Nanoseconds on the clock; enough for 584 years.
    at: u64,
    /// Microseconds; a run that took longer than 71 minutes took that.
    took: u32,
    health: Health,
}

const _: () = assert!(size_of::<Past>() == 16);

impl Past {
    fn of(run: Run) -> Past {
        let at = run.at.since(Moment::default()).as_nanos();
        Past {
            at: u64::try_from(at).unwrap_or(u64::MAX),
            took: u32::try_from(run.took.as_micros()).unwrap_or(u32::MAX),
            health: run.health,
        }
    }

    fn run(&self) -> Run {
        Run {
            at: Moment::default() + Duration::from_nanos(self.at),
            health: self.health,
            took: Duration::from_micros(u64::from(self.took)),
        }
    }
}

/// The last runs, where what else is known of the check is: memory of their own would be one more
/// place to reach at each run.
pub(super) struct History {
    /// In a ring.
    past: [Past; LEN],
    /// How many were added; of more than fill it, so many that the next has its place.
    added: usize,
}

impl History {
    pub(super) fn new() -> History {
        let none = Past {
            at: 0,
            took: 0,
            health: Health::Unknown,
        };
        let past = [none; LEN];
        History { past, added: 0 }
    }

    /// Adds one, and forgets the oldest of too many.
    pub(super) fn add(&mut self, run: Run) {
        self.past[self.added % LEN] = Past::of(run);
        self.added += 1;
        if self.added == 2 * LEN {
            self.added = LEN;
        }
    }

    /// Oldest first.
    pub(super) fn runs(&self) -> Vec<Run> {
        let first = self.added.saturating_sub(LEN);
        (first..self.added)
            .map(|number| self.past[number % LEN].run())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(second: u64, took: Duration) -> Run {
        Run {
            at: Moment::default() + Duration::from_secs(second),
            health: Health::Warn,
            took,
        }
    }

    #[test]
    fn the_last_runs_are_kept_as_they_were_to_the_microsecond() {
        let mut history = History::new();
        assert!(history.runs().is_empty());
        for second in 0..100 {
            history.add(run(second, Duration::from_micros(second * 7)));
        }
        let expected: Vec<Run> = (100 - LEN as u64..100)
            .map(|second| run(second, Duration::from_micros(second * 7)))
            .collect();
        assert_eq!(history.runs(), expected);
    }

    #[test]
    fn a_run_of_hours_is_one_of_71_minutes() {
        let mut history = History::new();
        history.add(run(1, Duration::from_secs(3_600 * 5)));
        assert_eq!(history.runs()[0].took.as_secs() / 60, 71);
    }
}
