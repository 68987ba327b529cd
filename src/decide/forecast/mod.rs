//! A forecast: what the settings of a component come to, before anything happens.
//!
//! How long it takes from the death of a target to the change of state, and from its recovery, and
//! how often a healthy target is taken for dead because probes are lost. It is arithmetic over the
//! same strides that the prober makes; it asks nobody and knows nothing of the target. Answers of
//! a target that is alive are taken to need no time: their round trips come on top.
#![forbid(unsafe_code)]

mod odds;
pub(crate) mod text;

use std::time::Duration;

use crate::check::prober::{Pace, stride};
use crate::decide::rules::Rules;
use crate::health::State;
use crate::units::Rule;

/// What can be said of a component in advance.
///
/// ```
/// use std::time::Duration;
/// use failover::{Forecast, Pace, Rules, Span, State, count};
///
/// let mut pace = Pace::even(Span::try_from("5s")?);
/// pace.fast = Span::try_from("1s")?;
/// let rules = Rules {
///     start: State::Unknown,
///     ok_after: count(3).try_into()?,
///     fail_after: count(3).try_into()?,
///     stale_after: None,
///     manual_reset: false,
/// };
/// let forecast = Forecast::new(rules, pace, Duration::from_secs(1));
/// let failure = forecast.failure().silent.expect("it is noticed");
/// assert_eq!(failure.worst(), Duration::from_secs(5 + 2 * 1 + 1));
/// assert!(forecast.false_alarms_per_day(0.01).expect("it is computed") < 0.05);
/// # Ok::<(), failover::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Forecast {
    rules: Rules,
    pace: Pace,
    timeout: Duration,
    window: Duration,
}

/// How long a change takes, by what the target does while it is dead. `None`: it does not come by
/// itself, since what is counted goes stale between two probes, or since a human is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// It refuses: a dead process on a living host; probes take no time.
    pub refused: Option<Times>,
    /// It is silent: a dead host or a dropping firewall; each probe takes its whole timeout.
    pub silent: Option<Times>,
}

/// How long a change takes, from the event to the state, and what that is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// For how long what was before the event is still counted, at worst.
    pub before: Duration,
    /// From the last start before the event to the next.
    pub first: Duration,
    /// How many outcomes have to disagree.
    pub outcomes: u64,
    /// From the start of one of them to the start of the next.
    pub between: Duration,
    /// What the last of them takes.
    pub last: Duration,
}

impl Times {
    /// When the event comes right before a start.
    pub fn best(&self) -> Duration {
        multiple(self.between, u128::from(self.outcomes - 1)).saturating_add(self.last)
    }

    /// The mean over all moments at which the event can come.
    pub fn typical(&self) -> Duration {
        self.best()
            .saturating_add(self.before.saturating_add(self.first) / 2)
    }

    /// When the event comes right after a start.
    pub fn worst(&self) -> Duration {
        let worst = self.best().saturating_add(self.first);
        worst.saturating_add(self.before)
    }
}

impl Forecast {
    /// For a component that is judged by these rules, probed at this pace by a check that takes no
    /// longer than `timeout`.
    pub fn new(rules: Rules, pace: Pace, timeout: Duration) -> Forecast {
        Forecast {
            rules,
            pace,
            timeout,
            window: Duration::ZERO,
        }
    }

    /// Of a check that judges all that came in a window: what came before an event in it is counted
    /// until the window has passed. Default: none.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Forecast {
        self.window = window;
        self
    }

    /// From the death of a healthy target to the state fail.
    pub fn failure(&self) -> Change {
        let first = self.pace.every.duration();
        self.change(|took| self.times(self.rules.fail_after.0, first, took, took))
    }

    /// From the recovery of a dead target to the state ok.
    pub fn recovery(&self) -> Change {
        let down = self.pace.down.duration();
        self.change(|took| self.times_to_ok(stride(down, took).0))
    }

    /// From the start of the program to the state that is right, where the state to start in is
    /// wrong or unknown: of a dead target, or of a living one if it starts in fail.
    pub fn startup(&self) -> Change {
        let zero = Duration::ZERO;
        // Nothing was before the start.
        let this = self.window(zero);
        self.change(|took| match self.rules.start {
            State::Unknown => this.times(Rule::Count(1), zero, took, took),
            State::Ok => this.times(self.rules.fail_after.0, zero, took, took),
            State::Fail => this.times_to_ok(zero),
        })
    }

    fn times_to_ok(&self, first: Duration) -> Option<Times> {
        let (rule, zero) = (self.rules.ok_after.0, Duration::ZERO);
        let times = self.times(rule, first, zero, zero);
        times.filter(|_| !self.rules.manual_reset)
    }

    fn change(&self, times: impl Fn(Duration) -> Option<Times>) -> Change {
        Change {
            refused: times(Duration::ZERO),
            silent: times(self.timeout),
        }
    }

    /// The times of a change that begins with a stride of `first`, where each disagreeing run takes
    /// `took`, and the last of them `last`.
    fn times(&self, rule: Rule, first: Duration, took: Duration, last: Duration) -> Option<Times> {
        let (between, _) = stride(self.pace.fast.duration(), took);
        let outcomes = outcomes(rule, between);
        let goes_stale = self.rules.stale_after.is_some_and(|limit| between > limit);
        (outcomes == 1 || !goes_stale).then_some(Times {
            before: self.window,
            first,
            outcomes,
            between,
            last,
        })
    }
}

/// How many outcomes in a row, this far apart, satisfy the rule when nothing else is in a window.
fn outcomes(rule: Rule, between: Duration) -> u64 {
    match rule {
        Rule::Count(n) | Rule::Window { needed: n, .. } => u64::from(n),
        // From the first outcome to the last; one outcome is a point in time.
        Rule::Duration(lasting) => {
            let strides = lasting.as_nanos().div_ceil(between.as_nanos()).max(1);
            u64::try_from(strides).unwrap_or(u64::MAX).saturating_add(1)
        }
    }
}

/// So many times as long; the longest there is rather than an overflow.
fn multiple(length: Duration, times: u128) -> Duration {
    let nanos = length.as_nanos().saturating_mul(times);
    let seconds = u64::try_from(nanos / 1_000_000_000);
    seconds.map_or(Duration::MAX, |seconds| {
        Duration::new(seconds, (nanos % 1_000_000_000) as u32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Span, Threshold};

    const SECOND: Duration = Duration::from_secs(1);

    fn forecast(pace: [&str; 3], timeout: u32, fail_after: &str) -> Forecast {
        let [every, fast, down] = pace.map(|text| Span::try_from(text).unwrap());
        let threshold = |text| Threshold::try_from(text).unwrap();
        let rules = Rules {
            start: State::Ok,
            ok_after: threshold("2"),
            fail_after: threshold(fail_after),
            stale_after: None,
            manual_reset: false,
        };
        Forecast::new(rules, Pace { every, fast, down }, SECOND * timeout)
    }

    #[test]
    fn the_seed_s_examples_take_as_long_as_it_says() {
        for (every, timeout, count, from, to) in [
            ("1s", 1, "2", 2, 3),
            ("5s", 3, "3", 15, 20),
            ("10s", 5, "5", 50, 60),
        ] {
            let worst = forecast([every; 3], timeout, count).failure();
            for times in [worst.refused, worst.silent] {
                let worst = times.unwrap().worst();
                assert!(SECOND * from <= worst && worst <= SECOND * to, "{worst:?}");
            }
        }
    }

    #[test]
    fn a_probe_that_outlasts_the_fast_pace_skips_starts() {
        let change = forecast(["5s", "2s", "3s"], 5, "3").failure();
        let (refused, silent) = (change.refused.unwrap(), change.silent.unwrap());
        assert_eq!(refused.worst(), SECOND * (5 + 2 * 2));
        assert_eq!(silent.between, SECOND * 6);
        assert_eq!(silent.worst(), SECOND * (5 + 2 * 6 + 5));
        let recovery = forecast(["5s", "2s", "3s"], 5, "3").recovery();
        assert_eq!(recovery.refused.unwrap().worst(), SECOND * (3 + 2));
        assert_eq!(recovery.silent.unwrap().worst(), SECOND * (6 + 2));
    }

    #[test]
    fn a_duration_takes_two_outcomes_at_least() {
        for (lasting, outcomes) in [("1ms", 2), ("1s", 2), ("1001ms", 3), ("10s", 11)] {
            let times = forecast(["5s", "1s", "5s"], 1, lasting).failure().silent;
            assert_eq!(times.unwrap().outcomes, outcomes, "{lasting}");
        }
    }

    #[test]
    fn what_goes_stale_between_two_probes_never_adds_up() {
        let mut forecast = forecast(["5s", "2s", "5s"], 3, "2");
        forecast.rules.stale_after = Some(SECOND * 3);
        assert!(forecast.failure().refused.is_some());
        assert_eq!(forecast.failure().silent, None);
        assert_eq!(forecast.false_alarms_per_day(0.01), None);
        forecast.rules.fail_after = Threshold::ONE;
        assert!(forecast.failure().silent.is_some());
    }

    #[test]
    fn what_was_before_is_counted_until_the_window_has_passed() {
        let forecast = forecast(["5s"; 3], 3, "3").window(SECOND * 30);
        let changes = [forecast.failure().silent, forecast.recovery().refused];
        let [failure, recovery] = changes.map(|times| times.unwrap());
        assert_eq!(
            (failure.best(), failure.worst()),
            (SECOND * 13, SECOND * 48)
        );
        assert_eq!(
            (recovery.best(), recovery.worst()),
            (SECOND * 5, SECOND * 40)
        );
        assert_eq!(failure.typical() - failure.best(), SECOND * 35 / 2);
        assert_eq!(forecast.startup().silent.unwrap().worst(), SECOND * 13);
        let text = forecast.text();
        let line = "it fails in silence           13s     30.5s       48s   30s + 5s + 2 x 5s + 3s";
        assert!(text.contains(line), "{text}");
        assert!(
            text.contains("It judges all traffic of its window"),
            "{text}"
        );
        assert!(!text.contains("0.1%"), "{text}");
    }

    #[test]
    fn a_manual_reset_has_no_recovery_of_its_own() {
        let mut forecast = forecast(["5s"; 3], 3, "2");
        forecast.rules.manual_reset = true;
        assert_eq!(
            (forecast.recovery().refused, forecast.recovery().silent),
            (None, None)
        );
        assert!(forecast.false_alarms_per_day(0.01).is_some());
    }

    #[test]
    fn the_longest_of_everything_does_not_overflow() {
        let longest = forecast(["3650d"; 3], 3, "4294967295");
        assert!(longest.failure().silent.unwrap().worst() > Span::MAX);
        let finest = forecast(["0.000001ms"; 3], 3, "3650d");
        assert!(finest.failure().refused.unwrap().worst() >= Span::MAX);
        assert!(!longest.text().is_empty() && !finest.text().is_empty());
    }
}
