//! Hysteresis: the state changes only after consistent disagreement.
//!
//! [`Judge`] is the decision alone: moments and healths in, a standing out. [`Hysteresis`] puts it
//! around a check. One agreeing outcome resets a count or a duration (the seeds' own program
//! forgot to); unknown outcomes neither count nor reset; what is too old is worth nothing.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::check::Check;
use crate::clock::{Clock, Moment, SystemClock};
use crate::error::Error;
use crate::health::{Health, Outcome, Phase, Standing, State};
use crate::units::{Rule, Span, Threshold};

/// Turns a series of healths into a state that can be trusted.
///
/// ```
/// use std::time::Duration;
/// use failover::{Clock, Health, Judge, ManualClock, Phase, State, count, fail};
///
/// let clock = ManualClock::new();
/// let mut judge = Judge::new(fail, count(2).try_into()?, count(3).try_into()?, clock.now());
/// judge.step(clock.now(), Health::Ok);
/// assert_eq!(judge.standing(clock.now()).phase, Phase::Recovering);
/// clock.advance(Duration::from_secs(5));
/// judge.step(clock.now(), Health::Ok);
/// assert_eq!(judge.standing(clock.now()).state, State::Ok);
/// # Ok::<(), failover::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Judge {
    ok_after: Threshold,
    fail_after: Threshold,
    stale_after: Option<Duration>,
    /// The state that was decided last; it stays while stale.
    held: State,
    stale: bool,
    /// Whether anything has been known since the start.
    has_known: bool,
    /// The last outcome; none since the start.
    seen: Option<Health>,
    /// The last known outcome, or the start.
    last_known: Moment,
    against: Against,
}

/// What has been seen against the held state.
#[derive(Clone, Debug, Default)]
struct Against {
    /// In a row, for a count or a duration.
    run: u32,
    /// The last outcomes, newest lowest; a set bit disagreed. Never more than `N` bits.
    window: u64,
    /// When: of a run the first, of a window each that it holds.
    times: VecDeque<Moment>,
}

impl Judge {
    /// A judge that starts in `initial` and changes to ok after `ok_after`, to fail after
    /// `fail_after`, of consistent disagreement. With [`State::Unknown`] as its start the first
    /// known outcome decides at once.
    pub fn new(initial: State, ok_after: Threshold, fail_after: Threshold, now: Moment) -> Judge {
        Judge {
            ok_after,
            fail_after,
            stale_after: None,
            held: initial,
            stale: false,
            has_known: false,
            seen: None,
            last_known: now,
            against: Against::default(),
        }
    }

    /// Silence, or unknown outcomes only, for longer than this makes the state unknown and what
    /// was counted worthless. Default: none, silence is borne for good.
    pub fn set_stale_after(&mut self, stale_after: Option<Duration>) {
        self.stale_after = stale_after;
    }

    /// Takes note of an outcome that ended at `now`.
    pub fn step(&mut self, now: Moment, seen: Health) {
        self.look(now);
        self.seen = Some(seen);
        let Some(seen) = seen.known() else { return };
        self.has_known = true;
        self.last_known = now;
        self.stale = false;
        if self.held == State::Unknown {
            self.held = seen;
        } else if self.is_enough(now, seen != self.held) {
            self.held = seen;
            self.against = Against::default();
        }
    }

    /// Takes note that time has passed, without an outcome.
    pub fn look(&mut self, now: Moment) {
        let silence = now.since(self.last_known);
        if self.stale_after.is_some_and(|limit| silence > limit) {
            self.stale = true;
            self.against = Against::default();
        }
    }

    /// Forgets everything and starts over in that state.
    pub fn reset(&mut self, to: State, now: Moment) {
        self.held = to;
        self.stale = false;
        self.has_known = false;
        self.seen = None;
        self.last_known = now;
        self.against = Against::default();
    }

    /// Where it stands: unknown while stale.
    pub fn standing(&self, now: Moment) -> Standing {
        let state = if self.stale {
            State::Unknown
        } else {
            self.held
        };
        let disagreeing = self.against.run.max(self.against.window.count_ones());
        let first = self.against.times.front();
        Standing {
            state,
            phase: if self.has_known {
                Phase::of(state, disagreeing)
            } else {
                Phase::Unknown
            },
            disagreeing,
            disagreeing_for: first.map_or(Duration::ZERO, |first| now.since(*first)),
            needed: (self.held != State::Unknown).then(|| self.threshold()),
            heard: self.seen.and_then(Health::known).is_some(),
            seen: self.seen,
        }
    }

    /// What it takes to leave the held state.
    fn threshold(&self) -> Threshold {
        if self.held == State::Ok {
            self.fail_after
        } else {
            self.ok_after
        }
    }

    fn is_enough(&mut self, now: Moment, disagrees: bool) -> bool {
        let rule = self.threshold().0;
        let against = &mut self.against;
        match rule {
            Rule::Window { needed, of } => {
                against.slide(now, disagrees, of);
                against.window.count_ones() >= needed
            }
            _ if !disagrees => {
                *against = Against::default();
                false
            }
            Rule::Count(n) => {
                against.lengthen(now);
                against.run >= n
            }
            // One outcome is a point in time; a duration has two ends.
            Rule::Duration(duration) => {
                against.lengthen(now);
                let first = against.times.front();
                against.run >= 2 && first.is_some_and(|first| now.since(*first) >= duration)
            }
        }
    }
}

impl Against {
    /// One more in a row.
    fn lengthen(&mut self, now: Moment) {
        self.run = self.run.saturating_add(1);
        if self.times.is_empty() {
            self.times.push_back(now);
        }
    }

    /// One more in a window of so many, out of which the oldest goes.
    fn slide(&mut self, now: Moment, disagrees: bool, of: u32) {
        if self.window >> (of - 1) & 1 == 1 {
            self.times.pop_front();
        }
        let kept = u64::MAX >> (u64::BITS - of);
        self.window = (self.window << 1 | u64::from(disagrees)) & kept;
        if disagrees {
            self.times.push_back(now);
        }
    }
}

/// A check whose state changes only when the check inside has disagreed consistently.
///
/// Defaults (seed 001): starts ok, one outcome is enough either way.
///
/// ```
/// use failover::{Check, Health, Hysteresis, count, fail};
///
/// let mut steady = Hysteresis::new(|| true).initial_state(fail).ok_after(count(2))?;
/// assert_eq!(steady.check().health, Health::Fail);
/// assert_eq!(steady.check().health, Health::Ok);
/// # Ok::<(), failover::Error>(())
/// ```
pub struct Hysteresis {
    task: Box<dyn Check>,
    judge: Judge,
    clock: Arc<dyn Clock>,
    name: Option<String>,
    has_own_limit: bool,
}

impl Hysteresis {
    /// Wraps a check.
    pub fn new(task: impl Check + 'static) -> Hysteresis {
        let clock = SystemClock;
        Hysteresis {
            task: Box::new(task),
            judge: Judge::new(State::Ok, Threshold::ONE, Threshold::ONE, clock.now()),
            clock: Arc::new(clock),
            name: None,
            has_own_limit: false,
        }
    }

    /// The state before anything was seen. Default: ok. With [`State::Unknown`] the first known
    /// outcome decides at once.
    pub fn initial_state(mut self, state: State) -> Hysteresis {
        self.judge.reset(state, self.clock.now());
        self
    }

    /// How much consistent success changes fail to ok. Default: one. A bare number is a count.
    ///
    /// # Errors
    /// A threshold that cannot be: a count of 0, no time at all, `M of N` with M over N or N over
    /// 64.
    pub fn ok_after<T>(mut self, threshold: T) -> Result<Hysteresis, Error>
    where
        T: TryInto<Threshold>,
        Error: From<T::Error>,
    {
        self.judge.ok_after = threshold.try_into()?;
        Ok(self)
    }

    /// How much consistent failure changes ok to fail. Default: one. A bare number is a count.
    ///
    /// # Errors
    /// As for [`ok_after`](Hysteresis::ok_after).
    pub fn fail_after<T>(mut self, threshold: T) -> Result<Hysteresis, Error>
    where
        T: TryInto<Threshold>,
        Error: From<T::Error>,
    {
        self.judge.fail_after = threshold.try_into()?;
        Ok(self)
    }

    /// How long it bears silence and unknown outcomes before its state is unknown and its counts
    /// start over. Default: for good, or what a [`Background`](crate::Background) around it says.
    ///
    /// # Errors
    /// No time at all, or more than ten years.
    pub fn stale_after<T>(mut self, limit: T) -> Result<Hysteresis, Error>
    where
        T: TryInto<Span>,
        Error: From<T::Error>,
    {
        let limit: Span = limit.try_into()?;
        self.judge.set_stale_after(Some(limit.duration()));
        self.has_own_limit = true;
        Ok(self)
    }

    /// Whose time decides. Default: the system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Hysteresis {
        self.judge.reset(self.judge.held, clock.now());
        self.clock = clock;
        self
    }

    /// What `Debug` prints, to tell one from another.
    pub fn name(mut self, name: impl Into<String>) -> Hysteresis {
        self.name = Some(name.into());
        self
    }

    /// The state as of now.
    pub fn state(&self) -> State {
        self.progress().state
    }

    /// The phase as of now.
    pub fn phase(&self) -> Phase {
        self.progress().phase
    }

    /// Where it stands as of now: state, phase, and how far it has got.
    pub fn progress(&self) -> Standing {
        let now = self.clock.now();
        let mut judge = self.judge.clone();
        judge.look(now);
        judge.standing(now)
    }
}

impl Check for Hysteresis {
    fn check(&mut self) -> Outcome {
        let seen = self.task.check();
        let now = self.clock.now();
        self.judge.step(now, seen.health);
        let standing = self.judge.standing(now);
        let health = match (standing.state, seen.health) {
            (State::Ok, Health::Warn) => Health::Warn,
            (state, _) => state.into(),
        };
        // Why nothing is known is what people need, and how long that has been so is another thing.
        Outcome { health, ..seen }
    }

    fn reset(&mut self, to: State) {
        self.task.reset(to);
        self.judge.reset(to, self.clock.now());
    }

    fn budget(&self) -> Option<Duration> {
        self.task.budget()
    }

    fn standing(&self) -> Option<Standing> {
        Some(self.progress())
    }

    fn limit_silence(&mut self, stale_after: Duration) {
        self.task.limit_silence(stale_after);
        if !self.has_own_limit {
            self.judge.set_stale_after(Some(stale_after));
        }
    }
}

impl fmt::Debug for Hysteresis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => f
                .debug_struct("Hysteresis")
                .field("judge", &self.judge)
                .finish_non_exhaustive(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::health::Reason;
    use Health::{Fail, Ok, Unknown, Warn};

    const SECOND: Duration = Duration::from_secs(1);

    fn threshold(text: &str) -> Threshold {
        Threshold::try_from(text).unwrap()
    }

    /// The states after each of these outcomes, a second apart, for a judge that starts ok.
    fn states(fail_after: &str, seen: &[Health]) -> Vec<State> {
        let mut now = Moment::default();
        let mut judge = Judge::new(State::Ok, threshold("1"), threshold(fail_after), now);
        let mut states = Vec::new();
        for health in seen {
            judge.step(now, *health);
            states.push(judge.standing(now).state);
            now = now + SECOND;
        }
        states
    }

    fn fails_at(fail_after: &str, seen: &[Health]) -> Option<usize> {
        states(fail_after, seen)
            .iter()
            .position(|state| *state == State::Fail)
    }

    #[test]
    fn fails_at_the_last_of_a_count_in_a_row() {
        assert_eq!(fails_at("1", &[Fail]), Some(0));
        assert_eq!(fails_at("3", &[Fail, Fail, Fail]), Some(2));
        assert_eq!(fails_at("3", &[Fail, Fail, Ok, Fail, Fail, Fail]), Some(5));
        assert_eq!(fails_at("3", &[Fail, Fail, Warn, Fail, Fail]), None);
    }

    #[test]
    fn fails_when_a_duration_has_passed_since_the_first_of_two_or_more() {
        assert_eq!(fails_at("2s", &[Fail, Fail, Fail]), Some(2));
        assert_eq!(
            fails_at("1ms", &[Fail, Fail]),
            Some(1),
            "one outcome has no duration"
        );
        assert_eq!(fails_at("2s", &[Fail, Fail, Ok, Fail, Fail, Fail]), Some(5));
    }

    #[test]
    fn fails_at_m_of_the_last_n() {
        assert_eq!(fails_at("2 of 3", &[Fail, Ok, Fail]), Some(2));
        assert_eq!(fails_at("2 of 3", &[Fail, Ok, Ok, Fail, Ok, Ok]), None);
        assert_eq!(fails_at("1 of 1", &[Ok, Fail]), Some(1));
    }

    #[test]
    fn unknown_neither_counts_nor_resets() {
        assert_eq!(
            fails_at("3", &[Fail, Unknown, Fail, Unknown, Fail]),
            Some(4)
        );
        assert_eq!(fails_at("2 of 3", &[Fail, Unknown, Unknown, Fail]), Some(3));
        assert_eq!(fails_at("1", &[Unknown, Unknown]), None);
    }

    #[test]
    fn an_unknown_start_is_decided_by_the_first_known_outcome() {
        for (seen, state) in [
            (Ok, State::Ok),
            (Fail, State::Fail),
            (Unknown, State::Unknown),
        ] {
            let now = Moment::default();
            let mut judge = Judge::new(State::Unknown, threshold("5"), threshold("5"), now);
            judge.step(now, seen);
            assert_eq!(judge.standing(now).state, state);
        }
    }

    #[test]
    fn silence_makes_unknown_and_forgets_the_count_but_not_the_state() {
        let mut now = Moment::default();
        let mut judge = Judge::new(State::Ok, threshold("1"), threshold("2"), now);
        judge.set_stale_after(Some(SECOND));
        judge.step(now, Fail);
        now = now + SECOND;
        judge.look(now);
        assert_eq!(
            judge.standing(now).phase,
            Phase::Suspicious,
            "not longer than a second yet"
        );
        now = now + Duration::from_nanos(1);
        judge.look(now);
        assert_eq!(judge.standing(now).state, State::Unknown);
        judge.step(now, Fail);
        assert_eq!(
            judge.standing(now).state,
            State::Ok,
            "the count began again"
        );
        judge.step(now, Fail);
        assert_eq!(judge.standing(now).state, State::Fail);
    }

    #[test]
    fn says_why_nothing_is_known_however_long_that_is_so() {
        let clock = ManualClock::new();
        let why = Outcome::new(Unknown, Reason::ResolveTimeout).with_detail("ns1");
        let found = why.clone();
        let mut judged = Hysteresis::new(move || found.clone())
            .clock(Arc::new(clock.clone()))
            .stale_after(SECOND)
            .unwrap();
        assert_eq!(judged.check().health, Ok, "as it began");
        clock.advance(SECOND * 2);
        assert_eq!(judged.check(), why);
    }

    #[test]
    fn says_how_far_it_has_got() {
        let clock = ManualClock::new();
        let mut steady = Hysteresis::new(|| false)
            .clock(Arc::new(clock.clone()))
            .fail_after(SECOND * 10)
            .unwrap();
        steady.check();
        clock.advance(SECOND * 4);
        steady.check();
        let progress = steady.progress();
        assert_eq!(
            (progress.state, progress.phase),
            (State::Ok, Phase::Suspicious)
        );
        assert_eq!(
            (progress.disagreeing, progress.disagreeing_for),
            (2, SECOND * 4)
        );
        assert_eq!(progress.needed, Some(threshold("10s")));
    }
}
