//! How often a healthy target is taken for dead because single probes are lost at random.
//!
//! The runs of a check are a Markov renewal process: what has been counted so far is the state, an
//! outcome leads to the next, and the interval that the pace gives it is the time that this takes.
//! By Wald's identity the mean time in one state of a component is the mean time from one moment
//! with nothing counted to the next or to the change, over the chance that it ends in the change:
//! sums of positive terms only, so that tiny chances keep all their digits.
#![forbid(unsafe_code)]

use std::mem;
use std::time::Duration;

use super::{Forecast, outcomes};
use crate::check::prober::stride;
use crate::units::Rule;

/// The largest window that is computed: 2^15 patterns of the outcomes before the last.
pub(super) const WINDOW_MAX: u32 = 16;

/// What is left unfinished when the rest no longer matters.
const LEFT_OVER: f64 = 1e-9;

/// Steps after which a computation is given up: ten times what the losses that are printed need.
const STEPS_MAX: u32 = 5_000;

/// One of a component's two states, and what makes it leave. Lengths of time are in seconds.
struct Stay {
    rule: Rule,
    /// The chance that an outcome disagrees.
    against: f64,
    /// After an outcome that agrees, with nothing counted.
    calm: f64,
    /// After an outcome that agrees, while others are counted in a window.
    mixed: f64,
    /// After an outcome that is counted.
    counted: f64,
    /// After the outcome that changes the state.
    change: f64,
}

impl Forecast {
    /// How often a day, in the long run, a target that is always well is taken for dead when each
    /// probe is lost with the chance `loss`, independently of the others. A lost probe takes its
    /// whole timeout; the time until the component has recovered is counted as well.
    ///
    /// `None` where it is not computed: for a chance that is not between 0 and 1, for `M of N` with
    /// N over 16, and where outcomes go stale between two probes.
    pub fn false_alarms_per_day(&self, loss: f64) -> Option<f64> {
        const DAY: f64 = 86_400.0;
        if !(loss > 0.0 && loss < 1.0) || self.goes_stale() {
            return None;
        }
        let ok = self.ok(loss).mean()?;
        let fail = match self.rules.manual_reset {
            // A human who resets it at once; how long one takes is not ours to guess.
            true => 0.0,
            false => self.fail(loss).mean()?,
        };
        Some(DAY / (ok + fail))
    }

    /// Whether an outcome can be stale before the next: from one start to the next it is a stride,
    /// from one outcome to the next a timeout more at most.
    pub(super) fn goes_stale(&self) -> bool {
        let Some(limit) = self.rules.stale_after else {
            return false;
        };
        let paces = [self.pace.every, self.pace.fast, self.pace.down];
        let mut strides = paces
            .iter()
            .map(|pace| stride(pace.duration(), self.timeout).0);
        strides.any(|stride| stride.saturating_add(self.timeout) > limit)
    }

    fn ok(&self, loss: f64) -> Stay {
        let lost = |pace: Duration| stride(pace, self.timeout).0;
        let (every, fast) = (self.pace.every.duration(), self.pace.fast.duration());
        Stay {
            rule: in_a_row(self.rules.fail_after.0, lost(fast)),
            against: loss,
            calm: every.as_secs_f64(),
            mixed: fast.as_secs_f64(),
            counted: lost(fast).as_secs_f64(),
            change: lost(self.pace.down.duration()).as_secs_f64(),
        }
    }

    fn fail(&self, loss: f64) -> Stay {
        let lost = |pace: Duration| stride(pace, self.timeout).0.as_secs_f64();
        let (fast, down) = (self.pace.fast.duration(), self.pace.down.duration());
        Stay {
            rule: in_a_row(self.rules.ok_after.0, fast),
            against: 1.0 - loss,
            calm: lost(down),
            mixed: lost(fast),
            counted: fast.as_secs_f64(),
            change: self.pace.every.duration().as_secs_f64(),
        }
    }
}

/// A duration as the count of outcomes that it comes to.
fn in_a_row(rule: Rule, between: Duration) -> Rule {
    match rule {
        Rule::Duration(_) => {
            let count = u32::try_from(outcomes(rule, between));
            Rule::Count(count.unwrap_or(u32::MAX))
        }
        other => other,
    }
}

impl Stay {
    /// The mean time from the first start in the state to the first in the other.
    fn mean(&self) -> Option<f64> {
        match self.rule {
            Rule::Count(n) | Rule::Window { needed: n, of: 1 } => Some(self.mean_of_count(n)),
            Rule::Window { needed: 1, .. } => Some(self.mean_of_count(1)),
            Rule::Window { needed, of } if of <= WINDOW_MAX => self.mean_of_window(needed, of),
            Rule::Window { .. } | Rule::Duration(_) => None,
        }
    }

    fn mean_of_count(&self, n: u32) -> f64 {
        let changes = self.against.powi(i32::try_from(n).unwrap_or(i32::MAX));
        // Each run in a row of `n` at most: a geometric series.
        let runs = (1.0 - changes) / (1.0 - self.against);
        let each = (1.0 - self.against) * self.calm + self.against * self.counted;
        (runs * each + changes * (self.change - self.counted)) / changes
    }

    /// Follows all that can come after the first disagreeing outcome until the window is empty
    /// again or full enough. What is in the window is a pattern of bits, newest lowest; the oldest
    /// of `of` has no say any more when the next outcome comes.
    fn mean_of_window(&self, needed: u32, of: u32) -> Option<f64> {
        let kept = (1_usize << (of - 1)) - 1;
        let patterns: Vec<usize> = (1..=kept)
            .filter(|pattern| pattern.count_ones() < needed)
            .collect();
        let agrees = 1.0 - self.against;
        let mut time = agrees * self.calm + self.against * self.counted;
        let mut changes = 0.0;
        let mut chance = vec![0.0; kept + 1];
        let mut after = chance.clone();
        chance[1] = self.against;
        for _ in 0..STEPS_MAX {
            let mut left = 0.0;
            for &pattern in &patterns {
                let here = mem::take(&mut chance[pattern]);
                let (one, other) = (here * agrees, here * self.against);
                left += here;
                // The oldest outcome is in the window until the next, so it is not empty yet.
                time += one * self.mixed;
                after[pattern << 1 & kept] += one;
                if pattern.count_ones() + 1 >= needed {
                    time += other * self.change;
                    changes += other;
                } else {
                    time += other * self.counted;
                    after[(pattern << 1 & kept) | 1] += other;
                }
            }
            if left < self.against * LEFT_OVER {
                return Some(time / changes);
            }
            mem::swap(&mut chance, &mut after);
            // Empty again: what comes then begins anew.
            chance[0] = 0.0;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::prober::Pace;
    use crate::decide::rules::Rules;
    use crate::health::State;
    use crate::units::{Span, Threshold};

    fn forecast(fail_after: &str, ok_after: &str) -> Forecast {
        let threshold = |text| Threshold::try_from(text).unwrap();
        let rules = Rules {
            start: State::Ok,
            ok_after: threshold(ok_after),
            fail_after: threshold(fail_after),
            stale_after: None,
            manual_reset: false,
        };
        let pace = Pace::even(Span::try_from("1s").unwrap());
        Forecast::new(rules, pace, Duration::ZERO)
    }

    fn assert_near(got: Option<f64>, expected: f64) {
        let is_near = got.is_some_and(|got| (got / expected - 1.0).abs() < 1e-6);
        assert!(is_near, "{got:?}; expected {expected}");
    }

    #[test]
    fn a_count_is_the_textbook_s_run_of_failures() {
        // Feller: the mean wait for n in a row is (1 - q^n) / (q^n (1 - q)).
        let wait = |q: f64, n: i32| (1.0 - q.powi(n)) / (q.powi(n) * (1.0 - q));
        for (n, loss) in [(1, 0.5), (2, 0.1), (3, 0.01), (20, 0.001)] {
            let expected = 86_400.0 / (wait(loss, n) + wait(1.0 - loss, 1));
            let got = forecast(&n.to_string(), "1").false_alarms_per_day(loss);
            assert_near(got, expected);
        }
    }

    #[test]
    fn a_window_that_has_to_be_full_is_a_count_where_all_paces_are_one() {
        for (count, window) in [("1", "1 of 1"), ("2", "2 of 2"), ("6", "6 of 6")] {
            for loss in [0.001, 0.05, 0.3] {
                let expected = forecast(count, "1").false_alarms_per_day(loss).unwrap();
                assert_near(
                    forecast(window, "1 of 4").false_alarms_per_day(loss),
                    expected,
                );
            }
        }
    }

    #[test]
    fn a_window_of_two_in_three_is_as_worked_out_by_hand() {
        // From the first failure: one of the next two has to fail, and two successes empty it.
        let q = 0.01_f64;
        let ends_in_change = 1.0 - (1.0 - q).powi(2);
        let runs = 1.0 / (q * ends_in_change) + (1.0 + (1.0 - q)) / ends_in_change;
        let expected = 86_400.0 / (runs + 1.0 / (1.0 - q));
        assert_near(forecast("2 of 3", "1").false_alarms_per_day(q), expected);
    }

    #[test]
    fn what_is_not_computed_is_not_guessed() {
        assert_eq!(forecast("2 of 17", "1").false_alarms_per_day(0.01), None);
        assert_eq!(forecast("2", "1").false_alarms_per_day(0.0), None);
        assert_eq!(forecast("2", "1").false_alarms_per_day(f64::NAN), None);
        let never = forecast("4000000000", "1").false_alarms_per_day(0.05);
        assert_eq!(never, Some(0.0));
    }
}
