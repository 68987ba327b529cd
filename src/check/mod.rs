//! Checks: each asks the world one question and answers with an outcome.
//!
//! This file is what they share, the trait [`Check`]; each kind of check has a file of its own. A
//! check knows nothing of states, thresholds, schedules or who is told: that is made of its
//! outcomes elsewhere. A dead target is an outcome, never an error.
#![forbid(unsafe_code)]

pub(crate) mod board;
pub(crate) mod dns;
pub(crate) mod exec;
pub(crate) mod file;
mod health_json;
pub(crate) mod heartbeat;
pub(crate) mod history;
pub(crate) mod http;
pub(crate) mod postgres;
pub(crate) mod prober;
pub(crate) mod process;
pub(crate) mod smtp;
pub(crate) mod status;
pub(crate) mod tcp;
pub(crate) mod tls;
pub(crate) mod traffic;
mod turn;
pub(crate) mod value;
mod way;

use std::sync::Arc;
use std::time::Duration;

use crate::health::{Outcome, Standing, State};
use board::Board;

/// Asks the world one question.
///
/// Closures that return a `bool`, a [`State`], a [`Health`](crate::Health) or an
/// [`Outcome`] are checks too:
///
/// ```
/// use failover::{Check, Health};
/// let mut spool_is_mounted = || std::path::Path::new("/").is_dir();
/// assert_eq!(spool_is_mounted.check().health, Health::Ok);
/// ```
///
/// Only [`check`](Check::check) has to be written; the rest is for checks that wrap others, and
/// each wrapper passes on what it does not answer itself.
pub trait Check: Send {
    /// Asks once. It may block, for as long as [`budget`](Check::budget) says. Whoever runs the
    /// check measures how long it took; [`Outcome::took`] may be left at zero.
    fn check(&mut self) -> Outcome;

    /// Forgets what was seen and starts over in that state, as far as the check has one.
    fn reset(&mut self, _to: State) {}

    /// The longest that one run can take, if that is bounded.
    fn budget(&self) -> Option<Duration> {
        None
    }

    /// Where a check that judges stands; `None` for one that only reports what it sees.
    fn standing(&self) -> Option<Standing> {
        None
    }

    /// Tells a check that judges, and that was given no limit of its own, how long it may go
    /// without a known outcome before what it has counted is worth nothing.
    fn limit_silence(&mut self, _stale_after: Duration) {}

    /// What a check that already runs on a thread of its own has published, so that nobody needs
    /// a second thread to run it.
    #[doc(hidden)]
    fn board(&self) -> Option<Arc<Board>> {
        None
    }
}

impl<F, R> Check for F
where
    F: FnMut() -> R + Send,
    R: Into<Outcome>,
{
    fn check(&mut self) -> Outcome {
        self().into()
    }
}

impl Check for Box<dyn Check> {
    fn check(&mut self) -> Outcome {
        (**self).check()
    }

    fn reset(&mut self, to: State) {
        (**self).reset(to);
    }

    fn budget(&self) -> Option<Duration> {
        (**self).budget()
    }

    fn standing(&self) -> Option<Standing> {
        (**self).standing()
    }

    fn limit_silence(&mut self, stale_after: Duration) {
        (**self).limit_silence(stale_after);
    }

    fn board(&self) -> Option<Arc<Board>> {
        (**self).board()
    }
}
