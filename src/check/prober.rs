//! One check on one thread: the only place where checks run.
//!
//! A prober runs its check when its schedule says so, when somebody asks, or both; never two runs
//! at a time. What it found is published on a [`Board`], and the prober answers the callers who
//! waited there for the run. One that is held has its thread and does nothing with it, so that all
//! of a configuration can be ready before any of it begins. A check that panics is an unknown
//! outcome; a check that hangs makes its board stale and harms nobody else.
#![forbid(unsafe_code)]

#[cfg(test)]
mod tests;

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use crate::check::Check;
use crate::check::board::{Begin, Board};
use crate::clock::{Clock, Moment, Waiter};
use crate::error::Error;
use crate::health::{Health, Outcome, Phase, Reason, Standing, State};
use crate::sys::thread::{self, Stack};
use crate::units::Span;

/// When a check runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Schedule {
    /// From start to start; a run that is late skips the starts it missed.
    Every {
        /// From one start to the next.
        pace: Pace,
        /// When the first is.
        first: FirstStart,
    },
    /// When somebody asks.
    OnRequest,
}

/// How long it is from one start of a check to the next, by where the check stands after the
/// first of them: HAProxy's `inter`, `fastinter` and `downinter` (configuration.txt, 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// While healthy.
    pub every: Span,
    /// While it may be about to change, or is not known: suspicious, recovering, unknown.
    pub fast: Span,
    /// While unhealthy.
    pub down: Span,
}

impl Pace {
    /// The same wherever the check stands.
    pub fn even(every: Span) -> Pace {
        Pace {
            every,
            fast: every,
            down: every,
        }
    }

    /// From a start to the next when this is the phase after the run.
    pub fn after(&self, phase: Phase) -> Duration {
        let interval = match phase {
            Phase::Healthy => self.every,
            Phase::Suspicious | Phase::Recovering | Phase::Unknown => self.fast,
            Phase::Unhealthy => self.down,
        };
        interval.duration()
    }

    /// How long an outcome is good for unless something else is said, for a check that takes no
    /// longer than its budget: longer than any run that is merely slow; short enough that nobody
    /// trusts a dead prober. Three of the longest intervals, or one and two budgets.
    pub fn stale_after(&self, budget: Option<Duration>) -> Duration {
        let slowest = self.every.max(self.fast).max(self.down).duration();
        let slow_run = slowest.saturating_add(budget.unwrap_or_default().saturating_mul(2));
        slowest.saturating_mul(3).max(slow_run)
    }
}

/// When a check first begins that may begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FirstStart {
    /// So long after that,
    pub(crate) delay: Duration,
    /// and then with the next beat of so long, which others share; zero is none.
    pub(crate) beat: Duration,
}

impl FirstStart {
    /// So long after it may begin, whatever others do.
    pub(crate) fn delayed(delay: Duration) -> FirstStart {
        let beat = Duration::ZERO;
        FirstStart { delay, beat }
    }

    /// The moment, where it may begin now.
    pub(crate) fn after(self, now: Moment) -> Moment {
        (now + self.delay).on_beat(self.beat)
    }
}

/// How long a run may outlast a start, as a part of the interval and at most, and still begin that
/// start, late, rather than miss it: what a run takes that waits out a timeout of a whole interval.
/// Otherwise each of those would cost two.
const LATE_PART: u32 = 10;
const LATE_MAX: Duration = Duration::from_millis(100);

/// From a start to the first start on its grid that a run does not outlast, and how many starts it
/// missed. Where a run ends right after a start, its end is that start. The interval is more than
/// zero.
pub(crate) fn stride(interval: Duration, took: Duration) -> (Duration, u32) {
    let late = LATE_MAX.min(interval / LATE_PART);
    let in_time = took.saturating_sub(late).as_nanos();
    let strides = in_time.div_ceil(interval.as_nanos()).max(1);
    // More missed starts than fit are more than a lifetime of them.
    let strides = u32::try_from(strides).unwrap_or(u32::MAX);
    (interval.saturating_mul(strides).max(took), strides - 1)
}

/// How a prober is to be.
pub(crate) struct Settings {
    /// When the check runs.
    pub(crate) schedule: Schedule,
    /// What is answered before the first outcome.
    pub(crate) initial_state: State,
    /// How long the last known outcome is good for; `None` is for good.
    pub(crate) stale_after: Option<Duration>,
    /// Whose time decides.
    pub(crate) clock: Arc<dyn Clock>,
    /// How much stack the check needs.
    pub(crate) stack: Stack,
    /// Whether nothing is due, and its delay does not begin, before [`Board::release`].
    pub(crate) held: bool,
}

/// The name of the threads that run checks.
pub(crate) const PROBER: &str = "prober";

/// Keeps a check running on its thread until it is dropped.
#[derive(Debug)]
pub(crate) struct Prober(Arc<Board>);

impl Prober {
    /// Starts the thread.
    ///
    /// # Errors
    /// No thread could be had.
    pub(crate) fn start(mut check: Box<dyn Check>, settings: Settings) -> Result<Prober, Error> {
        if let Some(stale_after) = settings.stale_after {
            check.limit_silence(stale_after);
        }
        let mut waiter = settings.clock.waiter();
        waiter.announce();
        let board = Arc::new(Board::new(&settings, waiter.bell()));
        let stack = settings.stack;
        // A thousand probers' stacks are to need no more than their first page.
        let mut run = Box::new(Run {
            check,
            waiter,
            settings,
            board: board.clone(),
        });
        thread::spawn(PROBER, stack, move || run.until_stopped())
            .map_err(|error| Error::system("no thread for a check could be started", error))?;
        Ok(Prober(board))
    }

    pub(crate) fn board(&self) -> &Arc<Board> {
        &self.0
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// The prober's thread.
struct Run {
    check: Box<dyn Check>,
    waiter: Box<dyn Waiter>,
    settings: Settings,
    board: Arc<Board>,
}

impl Run {
    fn until_stopped(&mut self) {
        let mut due = self.first_due();
        loop {
            self.waiter.wait(due);
            if due.is_none() {
                due = self.first_due();
            }
            let now = self.settings.clock.now();
            let is_due = due.is_some_and(|due| now >= due);
            match self.board.begin(is_due) {
                Begin::Now => {}
                Begin::NotYet => continue,
                Begin::Never => return,
            }
            let (outcome, judged) = self.ask_once();
            if self.board.is_stopped() {
                return;
            }
            let phase = self.board.publish(outcome, judged);
            self.board.end();
            due = due.map(|due| self.next_due(due, now, phase));
        }
    }

    /// When a schedule's first run begins; `None` while it is held.
    fn first_due(&self) -> Option<Moment> {
        let Schedule::Every { first, .. } = self.settings.schedule else {
            return None;
        };
        if self.board.is_held() {
            return None;
        }
        let now = self.settings.clock.now();
        let first = first.after(now);
        self.board.begins(first);
        Some(first)
    }

    /// One run, and where the check stands after it.
    fn ask_once(&mut self) -> (Outcome, Option<Standing>) {
        let started = self.settings.clock.now();
        let check = &mut self.check;
        let asked = panic::catch_unwind(AssertUnwindSafe(|| (check.check(), check.standing())));
        let (outcome, judged) = asked.unwrap_or_else(|payload| (panicked(payload.as_ref()), None));
        let took = self.settings.clock.now().since(started);
        (outcome.with_took(took), judged)
    }

    /// The next start, after a run that began at `began` and left the check in this phase.
    ///
    /// A run that was due is on the grid of starts, whenever it began. One that somebody asked for
    /// leaves the grid as it is, unless what it found calls for a pace that brings the next start
    /// forward.
    fn next_due(&self, due: Moment, began: Moment, phase: Phase) -> Moment {
        let Schedule::Every { pace, .. } = self.settings.schedule else {
            return due;
        };
        let was_due = began >= due;
        let start = if was_due { due } else { began };
        let took = self.settings.clock.now().since(start);
        let (stride, missed) = stride(pace.after(phase), took);
        let next = start + stride;
        if !was_due && next >= due {
            return due;
        }
        self.board.skip(u64::from(missed));
        next
    }
}

fn panicked(payload: &(dyn Any + Send)) -> Outcome {
    let message = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_string())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    Outcome::new(Health::Unknown, Reason::CheckPanicked).with_detail(message)
}
