//! Heartbeats: somebody else reports, and what is checked is that the reports come.
//!
//! It never asks the world: it looks at what was reported last, and when. Who may report, and how
//! a report arrives, is not its business.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::check::Check;
use crate::clock::{Clock, Moment, SystemClock, locked};
use crate::health::{Health, Outcome, Reason};
use crate::units::{Span, print_duration};

/// What is kept of a report's text, in bytes.
const DETAIL_LEN_MAX: usize = 1_024;

/// Fails when reports are missing or bad; before the first one is due, nothing is known.
///
/// Reasons: `heartbeat heard`, `heartbeat says warn`; failures `heartbeat says fail`, `heartbeat
/// missed`; unknown `heartbeat awaited`.
///
/// ```
/// use failover::{Check, Health, HeartbeatCheck, minute};
///
/// let mut backup = HeartbeatCheck::new(minute(70))?;
/// let reports = backup.reports();
/// assert_eq!(backup.check().health, Health::Unknown);
/// reports.report(Health::Ok, "12 files");
/// assert_eq!(backup.check().to_string(), "heartbeat heard: 12 files");
/// # Ok::<(), failover::Error>(())
/// ```
pub struct HeartbeatCheck {
    reports: Reports,
    silence_max: Duration,
}

/// Where reports go.
#[derive(Clone)]
pub struct Reports {
    last: Arc<Mutex<Last>>,
    clock: Arc<dyn Clock>,
}

struct Last {
    at: Moment,
    /// `None` before the first.
    report: Option<(Health, String)>,
}

impl HeartbeatCheck {
    /// Reports may be this far apart: how often they are due, and how late they may be.
    ///
    /// # Errors
    /// A length of time that cannot be.
    pub fn new<T>(silence_max: T) -> Result<HeartbeatCheck, crate::error::Error>
    where
        T: TryInto<Span>,
        crate::error::Error: From<T::Error>,
    {
        let silence_max: Span = silence_max.try_into()?;
        Ok(HeartbeatCheck::with(
            silence_max.duration(),
            Arc::new(SystemClock),
        ))
    }

    /// The same, by that clock.
    pub(crate) fn with(silence_max: Duration, clock: Arc<dyn Clock>) -> HeartbeatCheck {
        let last = Last {
            at: clock.now(),
            report: None,
        };
        let reports = Reports {
            last: Arc::new(Mutex::new(last)),
            clock,
        };
        HeartbeatCheck {
            reports,
            silence_max,
        }
    }

    /// Goes on with the reports of another.
    pub(crate) fn after(silence_max: Duration, reports: Reports) -> HeartbeatCheck {
        HeartbeatCheck {
            reports,
            silence_max,
        }
    }

    /// Where its reports go.
    pub fn reports(&self) -> Reports {
        self.reports.clone()
    }
}

impl Reports {
    /// Says how it is; the detail is free text, of which 1 KiB is kept. A report that says that
    /// nothing is known is none.
    pub fn report(&self, health: Health, detail: &str) {
        if health == Health::Unknown {
            return;
        }
        let mut len = detail.len().min(DETAIL_LEN_MAX);
        while !detail.is_char_boundary(len) {
            len -= 1;
        }
        *locked(&self.last) = Last {
            at: self.clock.now(),
            report: Some((health, detail[..len].trim_end().to_string())),
        };
    }
}

impl Check for HeartbeatCheck {
    fn check(&mut self) -> Outcome {
        let last = locked(&self.reports.last);
        let silence = self.reports.clock.now().since(last.at);
        if silence > self.silence_max {
            let most = print_duration(self.silence_max);
            let detail = match &last.report {
                Some(_) => format!("no report for longer than {most}"),
                None => format!("no report within {most} of the start"),
            };
            return Outcome::new(Health::Fail, Reason::HeartbeatMissed).with_detail(detail);
        }
        let Some((health, detail)) = &last.report else {
            return Outcome::new(Health::Unknown, Reason::HeartbeatAwaited);
        };
        let reason = match health {
            Health::Ok => Reason::HeartbeatHeard,
            Health::Warn => Reason::HeartbeatSaysWarn,
            Health::Fail | Health::Unknown => Reason::HeartbeatSaysFail,
        };
        Outcome::new(*health, reason).with_detail(detail.clone())
    }

    fn budget(&self) -> Option<Duration> {
        Some(Duration::ZERO)
    }
}

impl fmt::Debug for HeartbeatCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeartbeatCheck({:?})", self.silence_max)
    }
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reports")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn silence_fails_and_a_start_does_not() {
        let clock = ManualClock::new();
        let mut check = HeartbeatCheck::with(SECOND * 10, Arc::new(clock.clone()));
        let reports = check.reports();
        assert_eq!(check.check().reason, Reason::HeartbeatAwaited);
        clock.advance(SECOND * 10);
        assert_eq!(
            check.check().health,
            Health::Unknown,
            "ten seconds are not longer than ten"
        );
        clock.advance(Duration::from_nanos(1));
        assert_eq!(
            check.check().to_string(),
            "heartbeat missed: no report within 10s of the start"
        );
        reports.report(Health::Ok, "done\n");
        assert_eq!(check.check().to_string(), "heartbeat heard: done");
        reports.report(Health::Unknown, "not a report");
        clock.advance(SECOND * 10);
        assert_eq!(check.check().health, Health::Ok);
        clock.advance(Duration::from_nanos(1));
        assert_eq!(
            check.check().to_string(),
            "heartbeat missed: no report for longer than 10s"
        );
        reports.report(Health::Fail, "");
        assert_eq!(check.check().reason, Reason::HeartbeatSaysFail);
        reports.report(Health::Warn, &"é".repeat(1_000));
        let outcome = check.check();
        assert_eq!(
            (outcome.health, outcome.detail.len()),
            (Health::Warn, 1_024)
        );
    }
}
