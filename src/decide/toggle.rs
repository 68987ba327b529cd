//! Toggle: one check decides when to leave ok, another when to leave fail.
//!
//! With a [`Oneshot`](crate::Oneshot) as the way back it is a manual reset (seed 000, U5). Only
//! the check of the state that is on is asked. Whenever the state changes, the check that is asked
//! from then on starts afresh: judging begins anew, and a reset that was armed before the failure
//! is disarmed by it.
#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

use crate::check::Check;
use crate::health::{Health, Outcome, Reason, Standing, State};

/// A latch between two checks: `to_fail` failing changes ok to fail, `to_ok` passing changes fail
/// to ok. Unknown outcomes change nothing.
///
/// ```
/// use failover::{Check, Health, Oneshot, Toggle, fail, ok};
///
/// let reset = Oneshot::new(fail);
/// let mut latch = Toggle::new(|| false, reset.clone()).initial_state(ok);
/// assert_eq!(latch.check().health, Health::Fail);
/// reset.fire();
/// assert_eq!(latch.check().health, Health::Ok);
/// ```
pub struct Toggle {
    to_fail: Box<dyn Check>,
    to_ok: Box<dyn Check>,
    state: State,
    /// The check that is on says of itself that it knows nothing any more; the latch holds.
    blind: bool,
    /// Why it left ok.
    cause: String,
    name: Option<String>,
}

impl Toggle {
    /// A latch that starts ok.
    pub fn new(to_fail: impl Check + 'static, to_ok: impl Check + 'static) -> Toggle {
        Toggle {
            to_fail: Box::new(to_fail),
            to_ok: Box::new(to_ok),
            state: State::Ok,
            blind: false,
            cause: String::new(),
            name: None,
        }
    }

    /// The state to start in. Default: ok. With [`State::Unknown`] the first known outcome of
    /// `to_fail` decides.
    pub fn initial_state(mut self, state: State) -> Toggle {
        self.state = state;
        self
    }

    /// What `Debug` prints, to tell one from another.
    pub fn name(mut self, name: impl Into<String>) -> Toggle {
        self.name = Some(name.into());
        self
    }

    /// The state it holds.
    pub fn state(&self) -> State {
        if self.blind {
            State::Unknown
        } else {
            self.state
        }
    }

    fn active(&self) -> &dyn Check {
        if self.state == State::Fail {
            &*self.to_ok
        } else {
            &*self.to_fail
        }
    }

    fn note(&mut self, seen: &Outcome) {
        let judged = self.active().standing();
        self.blind = seen.health == Health::Unknown
            && judged.is_some_and(|standing| standing.state == State::Unknown);
        let Some(known) = seen.health.known() else {
            return;
        };
        let was = std::mem::replace(&mut self.state, known);
        match (was, known) {
            (State::Ok | State::Unknown, State::Fail) => {
                self.cause = seen.to_string();
                self.to_ok.reset(State::Fail);
            }
            (State::Fail, State::Ok) => self.to_fail.reset(State::Ok),
            // The check that found the first state goes on from there.
            _ => {}
        }
    }
}

impl Check for Toggle {
    fn check(&mut self) -> Outcome {
        let was = self.state;
        let seen = match was {
            State::Fail => self.to_ok.check(),
            State::Ok | State::Unknown => self.to_fail.check(),
        };
        self.note(&seen);
        let health = match (self.state(), seen.health) {
            (State::Ok, Health::Warn) => Health::Warn,
            (state, _) => state.into(),
        };
        match (was, self.state) {
            // What the way back says, that it is not ok yet, tells nobody why it failed.
            (State::Fail, State::Fail) => {
                Outcome::new(health, Reason::AwaitsReset).with_detail(self.cause.clone())
            }
            _ => Outcome { health, ..seen },
        }
    }

    fn reset(&mut self, to: State) {
        // Each is asked from the other side of its own change.
        self.to_ok.reset(State::Fail);
        self.to_fail
            .reset(if to == State::Fail { State::Ok } else { to });
        self.state = to;
        self.blind = false;
    }

    fn budget(&self) -> Option<Duration> {
        Some(self.to_fail.budget()?.max(self.to_ok.budget()?))
    }

    fn standing(&self) -> Option<Standing> {
        let state = self.state();
        let active = self
            .active()
            .standing()
            .filter(|standing| standing.state == state);
        Some(active.unwrap_or(Standing::plain(state)))
    }

    fn limit_silence(&mut self, stale_after: Duration) {
        self.to_fail.limit_silence(stale_after);
        self.to_ok.limit_silence(stale_after);
    }
}

impl fmt::Debug for Toggle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => f
                .debug_struct("Toggle")
                .field("state", &self.state)
                .finish_non_exhaustive(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::hysteresis::Hysteresis;
    use crate::decide::oneshot::Oneshot;
    use crate::units::count;
    use std::sync::Arc;
    use std::sync::Mutex;

    fn scripted(script: &'static [Health]) -> impl FnMut() -> Health + Send {
        let left = Mutex::new(script.iter().copied());
        move || {
            left.lock()
                .unwrap()
                .next()
                .expect("the script is long enough")
        }
    }

    #[test]
    fn only_the_check_of_the_state_that_is_on_is_asked() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let note = |name: &'static str, state: State| {
            let asked = asked.clone();
            move || {
                asked.lock().unwrap().push(name);
                state
            }
        };
        let mut toggle = Toggle::new(note("to fail", State::Fail), note("to ok", State::Ok));
        for expected in [Health::Fail, Health::Ok, Health::Fail] {
            assert_eq!(toggle.check().health, expected);
        }
        assert_eq!(*asked.lock().unwrap(), ["to fail", "to ok", "to fail"]);
    }

    #[test]
    fn unknown_outcomes_change_nothing() {
        let mut toggle = Toggle::new(|| Health::Unknown, || Health::Unknown);
        assert_eq!(toggle.check().health, Health::Ok);
        let mut toggle =
            Toggle::new(|| Health::Unknown, || Health::Unknown).initial_state(State::Fail);
        assert_eq!(toggle.check().health, Health::Fail);
    }

    #[test]
    fn a_reset_while_ok_is_gone_when_it_fails() {
        let reset = Oneshot::new(State::Fail);
        let mut toggle = Toggle::new(scripted(&[Health::Ok, Health::Fail]), reset.clone());
        assert_eq!(toggle.check().health, Health::Ok);
        reset.fire();
        assert_eq!(toggle.check().health, Health::Fail);
        assert_eq!(
            toggle.check().health,
            Health::Fail,
            "the old reset must not undo the failure"
        );
    }

    #[test]
    fn judging_starts_afresh_after_a_reset() {
        use Health::{Fail, Ok};
        let reset = Oneshot::new(State::Fail);
        let inner = Hysteresis::new(scripted(&[Fail, Fail, Fail, Fail, Ok, Fail, Fail]))
            .fail_after(count(2))
            .unwrap();
        let mut toggle = Toggle::new(inner, reset.clone());
        assert_eq!(toggle.check().health, Ok);
        assert_eq!(toggle.check().health, Fail);
        reset.fire();
        assert_eq!(toggle.check().health, Ok);
        for expected in [Ok, Fail] {
            assert_eq!(toggle.check().health, expected, "two failures again");
        }
    }

    #[test]
    fn while_it_awaits_a_reset_it_says_why_it_failed() {
        let mut toggle = Toggle::new(
            || Outcome::from(false).with_detail("a\nb"),
            Oneshot::new(State::Fail),
        );
        assert_eq!(toggle.check().reason, Reason::SaidFail);
        assert_eq!(toggle.check().reason, Reason::AwaitsReset);
        assert_eq!(toggle.check().detail, "said fail: a\\nb");
    }
}
