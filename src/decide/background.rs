//! Background: the check runs by itself, and whoever asks gets what was found last, at once.
//!
//! A [`Prober`] on a schedule, with the face of a check. Callers never wait for a probe here.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::check::Check;
use crate::check::board::{Board, Published};
use crate::check::prober::{FirstStart, Pace, Prober, Schedule, Settings};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::health::{Health, Outcome, Standing, State};
use crate::sys::thread::Stack;
use crate::units::Span;

/// A check that runs on a thread of its own every so often, the first time at once, and answers
/// from memory. It stops when it is dropped.
///
/// ```
/// use failover::{Background, Check, Health, fail, second};
///
/// let mut background = Background::new(|| true, second(60), fail)?;
/// // Before the first run has ended it answers its initial state.
/// assert!(matches!(background.check().health, Health::Fail | Health::Ok));
/// # Ok::<(), failover::Error>(())
/// ```
pub struct Background {
    prober: Prober,
}

impl Background {
    /// Runs `task` every `every` (a bare number is seconds), answering `initial_state` until the
    /// first outcome.
    ///
    /// # Errors
    /// An `every` of nothing or of more than ten years; no thread could be had.
    pub fn new<T>(
        task: impl Check + 'static,
        every: T,
        initial_state: State,
    ) -> Result<Background, Error>
    where
        T: TryInto<Span>,
        Error: From<T::Error>,
    {
        Ok(Background::builder(task, every)?.initial_state(initial_state)).and_then(Builder::start)
    }

    /// The same with more to set.
    ///
    /// # Errors
    /// An `every` of nothing or of more than ten years.
    pub fn builder<T>(task: impl Check + 'static, every: T) -> Result<Builder, Error>
    where
        T: TryInto<Span>,
        Error: From<T::Error>,
    {
        Ok(Builder::of(Box::new(task), every.try_into()?))
    }

    /// Runs no more. It returns at once even while a run hangs, which then ends in its own time
    /// and tells nobody.
    pub fn stop(&self) {
        self.prober.board().stop();
    }

    /// All that is known at this moment.
    pub fn published(&self) -> Published {
        self.prober.board().published()
    }

    /// The state at this moment; unknown when the last known outcome is too old.
    pub fn state(&self) -> State {
        self.prober.board().state()
    }
}

/// The schedule and the start of a [`Background`].
pub struct Builder {
    task: Box<dyn Check>,
    pub(crate) pace: Pace,
    pub(crate) first: FirstStart,
    pub(crate) initial_state: State,
    pub(crate) stale_after: Option<Duration>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stack: Stack,
    /// Runs nothing before its board is released.
    pub(crate) held: bool,
}

impl Builder {
    /// One for a check that is in a box already and needs no second one.
    pub(crate) fn of(task: Box<dyn Check>, every: Span) -> Builder {
        Builder {
            task,
            pace: Pace::even(every),
            first: FirstStart::default(),
            initial_state: State::Unknown,
            stale_after: None,
            clock: Arc::new(SystemClock),
            stack: Stack::Users,
            held: false,
        }
    }

    /// What is answered until the first outcome. Default: unknown.
    pub fn initial_state(mut self, state: State) -> Builder {
        self.initial_state = state;
        self
    }

    /// How long after the start the first run begins. Default: at once; many checks are better
    /// spread over their interval.
    pub fn delay(mut self, delay: Duration) -> Builder {
        self.first = FirstStart::delayed(delay);
        self
    }

    /// From one start to the next while the task is suspicious, recovering or unknown. Default:
    /// the same as while it is healthy.
    ///
    /// # Errors
    /// No time at all, or more than ten years.
    pub fn fast<T>(mut self, interval: T) -> Result<Builder, Error>
    where
        T: TryInto<Span>,
        Error: From<T::Error>,
    {
        self.pace.fast = interval.try_into()?;
        Ok(self)
    }

    /// From one start to the next while the task is unhealthy. Default: the same as while it is
    /// healthy.
    ///
    /// # Errors
    /// No time at all, or more than ten years.
    pub fn down<T>(mut self, interval: T) -> Result<Builder, Error>
    where
        T: TryInto<Span>,
        Error: From<T::Error>,
    {
        self.pace.down = interval.try_into()?;
        Ok(self)
    }

    /// How long a known outcome is good for; after that the state is unknown. Default: three of
    /// the longest interval, or one and two of the task's own timeouts if that is longer.
    ///
    /// # Errors
    /// No time at all, or more than ten years.
    pub fn stale_after<T>(mut self, limit: T) -> Result<Builder, Error>
    where
        T: TryInto<Span>,
        Error: From<T::Error>,
    {
        let limit: Span = limit.try_into()?;
        self.stale_after = Some(limit.duration());
        Ok(self)
    }

    /// Whose time decides. Default: the system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Builder {
        self.clock = clock;
        self
    }

    /// Starts the thread and the first run.
    ///
    /// # Errors
    /// No thread could be had.
    pub fn start(self) -> Result<Background, Error> {
        let default = self.pace.stale_after(self.task.budget());
        let stale_after = self.stale_after.unwrap_or(default);
        let settings = Settings {
            schedule: Schedule::Every {
                pace: self.pace,
                first: self.first,
            },
            initial_state: self.initial_state,
            stale_after: Some(stale_after),
            clock: self.clock,
            stack: self.stack,
            held: self.held,
        };
        Ok(Background {
            prober: Prober::start(self.task, settings)?,
        })
    }
}

impl Check for Background {
    fn check(&mut self) -> Outcome {
        let published = self.prober.board().published();
        let health = match (published.standing.state, published.outcome.health) {
            (State::Ok, Health::Warn) => Health::Warn,
            (state, _) => state.into(),
        };
        Outcome {
            health,
            ..published.outcome
        }
    }

    fn budget(&self) -> Option<Duration> {
        // From memory; the task's own time is the prober's affair.
        Some(Duration::ZERO)
    }

    fn standing(&self) -> Option<Standing> {
        Some(self.prober.board().published().standing)
    }

    fn board(&self) -> Option<Arc<Board>> {
        Some(self.prober.board().clone())
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Background")
            .field(self.prober.board())
            .finish()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}
