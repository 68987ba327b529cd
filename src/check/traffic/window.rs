//! A sliding window over counters: what was added to them in the last so many seconds.
//!
//! It keeps running totals with their moments, so that a run needs only one subtraction. It knows
//! no limits and reads no clock.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Moment;

/// Samples kept: the window in steps of less than a hundredth is exact enough for any limit, and
/// they are 8 KiB.
const SAMPLES_MAX: usize = 128;

/// What was counted; running totals, or what was added to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) requests: u64,
    pub(super) server_errors: u64,
    pub(super) errors: u64,
    /// Of the requests whose time is known: how many, and all their microseconds.
    pub(super) timed: u64,
    pub(super) micros: u64,
    /// Lines that told nothing.
    pub(super) unmatched: u64,
}

impl Counts {
    fn with(self, other: Counts, each: fn(u64, u64) -> u64) -> Counts {
        Counts {
            requests: each(self.requests, other.requests),
            server_errors: each(self.server_errors, other.server_errors),
            errors: each(self.errors, other.errors),
            timed: each(self.timed, other.timed),
            micros: each(self.micros, other.micros),
            unmatched: each(self.unmatched, other.unmatched),
        }
    }
}

/// Running totals of the past, at most [`SAMPLES_MAX`], the oldest first.
#[derive(Debug, Default)]
pub(super) struct Window {
    samples: VecDeque<(Moment, Counts)>,
}

impl Window {
    /// Adds what was counted since the last sample, and says what was counted within `span`, and
    /// in what time that was: `span` if runs and window fit each other; less at first; more if
    /// there were no more samples, so that nothing is ever left out.
    pub(super) fn add(
        &mut self,
        now: Moment,
        increase: Counts,
        span: Duration,
    ) -> (Counts, Duration) {
        let before = self.samples.back().map_or(Counts::default(), |last| last.1);
        let total = before.with(increase, u64::wrapping_add);
        self.keep(now, total, span);
        while self.samples.len() > SAMPLES_MAX
            || self
                .samples
                .get(1)
                .is_some_and(|(at, _)| now.since(*at) >= span)
        {
            self.samples.pop_front();
        }
        let (first_at, first) = self.samples.front().copied().unwrap_or((now, total));
        (total.with(first, u64::wrapping_sub), now.since(first_at))
    }

    /// The newest sample is always kept as it is. It replaces the last one where the one before
    /// that is so near that there would be more than fit into a window.
    fn keep(&mut self, now: Moment, total: Counts, span: Duration) {
        let step = span / (SAMPLES_MAX as u32 - 2);
        let len = self.samples.len();
        if len >= 2 && self.samples[len - 1].0.since(self.samples[len - 2].0) < step {
            self.samples.pop_back();
        }
        self.samples.push_back((now, total));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(requests: u64) -> Counts {
        Counts {
            requests,
            ..Counts::default()
        }
    }

    const SPAN: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Moment {
        Moment::default() + Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_older_than_the_window_no_longer_counts() {
        let mut window = Window::default();
        let mut add = |second, increase| {
            let (counts, took) = window.add(at(second), requests(increase), SPAN);
            (counts.requests, took.as_secs())
        };
        // What was counted before the first sample is nobody's.
        assert_eq!(add(100, 7), (0, 0));
        assert_eq!(add(110, 1), (1, 10));
        assert_eq!(add(120, 10), (11, 20));
        assert_eq!(add(130, 100), (111, 30));
        assert_eq!(add(140, 1_000), (1_110, 30));
        // A run came late: its window reaches back to a sample, over all that came meanwhile.
        assert_eq!(add(165, 0), (1_000, 35));
        assert_eq!(add(300, 5), (5, 135));
        assert_eq!(add(300, 0), (5, 135));
        assert_eq!(add(330, 0), (0, 30));
    }

    #[test]
    fn samples_are_few_however_often_they_come() {
        let mut window = Window::default();
        for millisecond in 0..200_000 {
            let now = Moment::default() + Duration::from_millis(millisecond);
            let (counts, took) = window.add(now, requests(1), SPAN);
            assert!(window.samples.len() <= SAMPLES_MAX);
            assert_eq!(u128::from(counts.requests), took.as_millis());
            let after = u128::from(millisecond).min(30_000);
            assert!((after..after + 500).contains(&took.as_millis()), "{took:?}");
        }
        // Where every sample has its own moment, and where none has.
        let mut window = Window::default();
        for _ in 0..1_000 {
            window.add(at(5), requests(1), SPAN);
        }
        let (counts, took) = window.add(at(5), requests(1), SPAN);
        assert_eq!((counts.requests, took), (1_000, Duration::ZERO));
        assert!(window.samples.len() <= SAMPLES_MAX);
    }
}
