//! Folding: how often a component that flaps is written into the log. Pure; nothing is logged here.
//!
//! A minute begins with a component's first event, and ten of one minute are logged. What comes
//! after these is counted, and at the minute's end one line says how many there were and how the
//! component is now. While it goes on like that no minute has more than that one line. Only the
//! log is folded: listeners and `/-/events` get every event.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::clock::Moment;
use crate::health::{Phase, State};

/// Lines of one component that are written within [`WINDOW`]: two people can read these.
const LINES_MAX: u32 = 10;

/// Often enough to see that it still goes on, seldom enough not to drown the others.
pub(super) const WINDOW: Duration = Duration::from_secs(60);

/// One component's events of the last minute.
#[derive(Debug, Default)]
pub(super) struct Fold {
    /// When the minute began; `None` while nothing happens.
    since: Option<Moment>,
    count: u32,
    /// Of these, the ones that were not logged.
    folded: u32,
    /// The minute before had too many, so that this one starts with none to spare.
    goes_on: bool,
}

impl Fold {
    /// Counts an event, and says whether it is to be logged.
    pub(super) fn admits(&mut self, at: Moment) -> bool {
        self.since.get_or_insert(at);
        self.count = self.count.saturating_add(1);
        let admits = !self.goes_on && self.count <= LINES_MAX;
        self.folded += u32::from(!admits);
        admits
    }

    /// When [`Fold::close`] is to be called next.
    pub(super) fn closes_at(&self) -> Option<Moment> {
        self.since.map(|since| since + WINDOW)
    }

    /// Ends the minute if it is over: how many events were not logged.
    pub(super) fn close(&mut self, now: Moment) -> u32 {
        if self.closes_at().is_none_or(|end| now < end) {
            return 0;
        }
        let goes_on = self.count > LINES_MAX;
        let folded = self.folded;
        *self = Fold {
            since: goes_on.then_some(now),
            goes_on,
            ..Fold::default()
        };
        folded
    }
}

/// The line for what was not logged, its fields in the order of other lines.
pub(super) fn line(component: &str, folded: u32, state: State, phase: Phase) -> String {
    format!("component={component} folded={folded} within=1m state=\"{state}\" phase={phase}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::default() + Duration::from_secs(seconds)
    }

    #[test]
    fn ten_a_minute_are_logged_and_the_rest_is_counted() {
        let mut fold = Fold::default();
        assert_eq!(fold.closes_at(), None);
        let logged = (0..37).filter(|n| fold.admits(at(n / 10))).count();
        assert_eq!(logged, 10);
        assert_eq!(fold.closes_at(), Some(at(60)));
        assert_eq!(fold.close(at(59)), 0);
        assert_eq!(fold.close(at(60)), 27);
        assert_eq!(fold.close(at(60)), 0, "once");
    }

    #[test]
    fn while_it_goes_on_no_minute_has_more_than_its_one_line() {
        let mut fold = Fold::default();
        for n in 0..11 {
            assert_eq!(fold.admits(at(0)), n < 10);
        }
        assert_eq!(fold.close(at(60)), 1);
        assert!((0..11).all(|_| !fold.admits(at(61))));
        assert_eq!(fold.close(at(120)), 11);
        // A quieter minute is still folded, and is the last.
        assert!(!fold.admits(at(121)));
        assert_eq!(fold.close(at(180)), 1);
        assert!(fold.admits(at(181)));
    }

    #[test]
    fn what_happens_seldom_is_always_logged() {
        let mut fold = Fold::default();
        for minute in 0..100 {
            assert!((0..10).all(|_| fold.admits(at(minute * 61))));
            assert_eq!(fold.close(at(minute * 61 + 60)), 0);
            assert_eq!(fold.closes_at(), None);
        }
    }

    #[test]
    fn the_line_says_how_many_and_how_it_is_now() {
        assert_eq!(
            line("mail", 27, State::Fail, Phase::Unhealthy),
            "component=mail folded=27 within=1m state=\"fail\" phase=unhealthy"
        );
    }
}
