//! One check on one thread: the only place where checks run.
//!
//! A prober runs its check when its schedule says so, when somebody asks, or both; never two runs
//! at a time. What it found is published on a [`Board`] that anybody may look at without waiting.
//! A caller who wants the run that is on, or the next one, leaves an [`Asker`] and needs no thread
//! of its own: the prober answers it when the run ends. A check that panics is an unknown outcome;
//! a check that hangs makes its board stale and harms nobody else.
#![forbid(unsafe_code)]

use std::any::Any;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::check::Check;
use crate::clock::{Bell, Clock, Moment, Waiter, locked};
use crate::error::Error;
use crate::health::{Health, Outcome, Phase, Reason, Standing, State};
use crate::sys::thread::{self, Stack};

/// When a check runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Schedule {
    /// From start to start, the first one after a delay; a run that is late skips the starts it
    /// missed.
    Every {
        /// From one start to the next; more than zero.
        period: Duration,
        /// Before the first.
        delay: Duration,
    },
    /// When somebody asks.
    OnRequest,
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
}

/// What is known of a check at some moment.
#[derive(Clone, Debug)]
pub struct Published {
    /// State, phase and how far it has got; the state is unknown while stale.
    pub standing: Standing,
    /// The last outcome.
    pub outcome: Outcome,
    /// Since when the state has been what it is.
    pub since: Moment,
    /// How many runs have ended, and how many of these failed or stayed unknown.
    pub runs: u64,
    /// Runs that ended in a failure.
    pub failures: u64,
    /// Runs after which nothing was known of the target.
    pub unknowns: u64,
    /// Starts that were skipped because the run before was still on.
    pub skipped: u64,
    /// How often the state has changed.
    pub changes: u64,
}

/// What is told to who watches a board.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// The state changed.
    Changed {
        at: Moment,
        from: State,
        to: State,
        published: Published,
    },
    /// The check panicked, and had not the last time; the message is what it said.
    Panicked { at: Moment, message: String },
}

/// Told the news, in order, under the board's lock: it must not block.
type Watcher = Box<dyn Fn(News) + Send + Sync>;

/// What a caller who waited gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The state after the run.
    State(State),
    /// The caller's time was up before the run ended.
    Late,
}

/// A caller who waits for a run to end, without a thread.
pub(crate) struct Asker {
    /// When it is answered even if the run has not ended.
    pub(crate) deadline: Instant,
    /// Called once.
    pub(crate) answer: Box<dyn FnOnce(Answer) + Send>,
}

/// Callers kept for one check at most. A server's limit on connections is reached long before.
const ASKERS_MAX: usize = 16_384;

/// What a prober publishes, and where callers leave their wishes.
pub struct Board {
    known: Mutex<Known>,
    turn: Mutex<Turn>,
    bell: Bell,
    clock: Arc<dyn Clock>,
    stale_after: Option<Duration>,
    initial_state: State,
    on_request: bool,
}

struct Known {
    published: Published,
    /// The standing that comes back when the board is no longer stale.
    held: Standing,
    fresh_until: Option<Moment>,
    stale: bool,
    watcher: Option<Watcher>,
}

#[derive(Default)]
struct Turn {
    running: bool,
    wanted: bool,
    stopped: bool,
    /// Wait for the run that is on.
    for_this: Vec<Asker>,
    /// Wait for the run that is next.
    for_next: Vec<Asker>,
}

impl Board {
    fn new(settings: &Settings, bell: Bell) -> Board {
        let now = settings.clock.now();
        let standing = Standing::plain(settings.initial_state);
        let published = Published {
            standing,
            outcome: Outcome::new(Health::Unknown, Reason::NotYetKnown),
            since: now,
            runs: 0,
            failures: 0,
            unknowns: 0,
            skipped: 0,
            changes: 0,
        };
        let on_request = settings.schedule == Schedule::OnRequest;
        let delay = match settings.schedule {
            Schedule::Every { delay, .. } => delay,
            Schedule::OnRequest => Duration::ZERO,
        };
        let fresh_until = settings.stale_after.map(|after| now + delay + after);
        let known = Known {
            published,
            held: standing,
            fresh_until,
            stale: false,
            watcher: None,
        };
        Board {
            known: Mutex::new(known),
            turn: Mutex::new(Turn::default()),
            bell,
            clock: settings.clock.clone(),
            stale_after: settings.stale_after,
            initial_state: settings.initial_state,
            on_request,
        }
    }

    /// Has every change told to `watcher`, which must not block: those from now on, and what the
    /// changes so far have come to.
    pub(crate) fn watch(&self, watcher: Watcher) {
        let mut known = locked(&self.known);
        let (from, published) = (self.initial_state, known.published.clone());
        let to = published.standing.state;
        if from != to {
            watcher(News::Changed {
                at: published.since,
                from,
                to,
                published,
            });
        }
        known.watcher = Some(watcher);
    }

    /// The state at this moment.
    pub(crate) fn state(&self) -> State {
        self.fresh().published.standing.state
    }

    /// All that is known at this moment.
    pub(crate) fn published(&self) -> Published {
        self.fresh().published.clone()
    }

    /// What a caller gets without waiting; `None` when it has to wait, for a run of its own or
    /// because nothing is known yet and the first outcome is to decide.
    pub(crate) fn glance(&self) -> Option<State> {
        if self.on_request {
            return None;
        }
        let known = self.fresh();
        let first_decides = known.published.runs == 0 && known.held.state == State::Unknown;
        (!first_decides || known.stale).then_some(known.published.standing.state)
    }

    /// Marks the board stale if it is, tells the watcher, and says when to look again.
    pub(crate) fn look(&self) -> Option<Moment> {
        let known = self.fresh();
        if known.stale { None } else { known.fresh_until }
    }

    fn fresh(&self) -> std::sync::MutexGuard<'_, Known> {
        let mut known = locked(&self.known);
        if !known.stale && known.fresh_until.is_some() {
            let now = self.clock.now();
            if known.fresh_until.is_some_and(|until| now > until) {
                known.go_stale(now);
            }
        }
        known
    }

    /// Waits for the run that is on, or else for the next, which starts at once.
    ///
    /// # Errors
    /// The asker itself, when too many wait already or the prober was stopped.
    pub(crate) fn ask(&self, asker: Asker) -> Result<(), Asker> {
        let mut turn = locked(&self.turn);
        if !turn.has_room() {
            return Err(asker);
        }
        if turn.running {
            turn.for_this.push(asker);
            return Ok(());
        }
        turn.for_next.push(asker);
        turn.wanted = true;
        drop(turn);
        self.bell.ring();
        Ok(())
    }

    /// Waits for a run that starts after now, and has it start as soon as may be.
    ///
    /// # Errors
    /// As [`Board::ask`].
    pub(crate) fn ask_afresh(&self, asker: Asker) -> Result<(), Asker> {
        let mut turn = locked(&self.turn);
        if !turn.has_room() {
            return Err(asker);
        }
        turn.for_next.push(asker);
        turn.wanted = true;
        drop(turn);
        self.bell.ring();
        Ok(())
    }

    /// Answers the callers whose deadline has come, and says how many still wait.
    pub(crate) fn expire(&self, now: Instant) -> usize {
        let (late, left) = {
            let mut turn = locked(&self.turn);
            let mut late = take_late(&mut turn.for_this, now);
            late.append(&mut take_late(&mut turn.for_next, now));
            (late, turn.for_this.len() + turn.for_next.len())
        };
        answer_all(late, Answer::Late);
        left
    }

    /// Runs no more; a run that is on ends in its own time. Who waits is answered now.
    pub(crate) fn stop(&self) {
        let askers = {
            let mut turn = locked(&self.turn);
            turn.stopped = true;
            let mut askers = mem::take(&mut turn.for_this);
            askers.append(&mut turn.for_next);
            askers
        };
        self.bell.ring();
        answer_all(askers, Answer::Late);
    }

    fn publish(&self, outcome: Outcome, judged: Option<Standing>) {
        let now = self.clock.now();
        // What went stale while the run was on is told before what the run found.
        let mut known = self.fresh();
        let health = outcome.health.known();
        let standing = match (judged, health) {
            (Some(standing), _) => standing,
            (None, Some(state)) => Standing::plain(state),
            // A schedule keeps the state it had; who asked for this very run must know.
            (None, None) if self.on_request => Standing::plain(State::Unknown),
            (None, None) => known.held,
        };
        if health.is_some() {
            known.stale = false;
            known.fresh_until = self.stale_after.map(|after| now + after);
        }
        known.published.runs += 1;
        known.published.failures += u64::from(health == Some(State::Fail));
        known.published.unknowns += u64::from(health.is_none());
        known.tell_of_panic(now, &outcome);
        known.published.outcome = outcome;
        known.held = standing;
        known.show(now);
    }

    fn skip(&self, starts: u64) {
        locked(&self.known).published.skipped += starts;
    }
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Board")
            .field("published", &self.published())
            .finish_non_exhaustive()
    }
}

impl Known {
    fn go_stale(&mut self, now: Moment) {
        self.stale = true;
        let detail = match self.published.runs {
            0 => String::from("no outcome since the start"),
            _ => format!("the last was {}", self.published.outcome),
        };
        self.published.outcome = Outcome::new(Health::Unknown, Reason::Stale).with_detail(detail);
        self.show(now);
    }

    fn tell_of_panic(&self, at: Moment, outcome: &Outcome) {
        let first = self.published.outcome.reason != Reason::CheckPanicked;
        if let (Reason::CheckPanicked, true, Some(watcher)) = (outcome.reason, first, &self.watcher)
        {
            watcher(News::Panicked {
                at,
                message: outcome.detail.clone(),
            });
        }
    }

    /// Publishes the held standing, or that it is stale, and tells of a change.
    fn show(&mut self, now: Moment) {
        let from = self.published.standing.state;
        self.published.standing = self.held;
        if self.stale {
            self.published.standing.state = State::Unknown;
            self.published.standing.phase = Phase::Unknown;
        }
        let to = self.published.standing.state;
        if from == to {
            return;
        }
        self.published.since = now;
        self.published.changes += 1;
        if let Some(watcher) = &self.watcher {
            watcher(News::Changed {
                at: now,
                from,
                to,
                published: self.published.clone(),
            });
        }
    }
}

impl Turn {
    fn has_room(&self) -> bool {
        !self.stopped && self.for_this.len() + self.for_next.len() < ASKERS_MAX
    }
}

fn take_late(askers: &mut Vec<Asker>, now: Instant) -> Vec<Asker> {
    let (late, left) = mem::take(askers)
        .into_iter()
        .partition(|asker| asker.deadline <= now);
    *askers = left;
    late
}

fn answer_all(askers: Vec<Asker>, answer: Answer) {
    for asker in askers {
        (asker.answer)(answer);
    }
}

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
        let waiter = settings.clock.waiter();
        let board = Arc::new(Board::new(&settings, waiter.bell()));
        let stack = settings.stack;
        let run = Run {
            check,
            waiter,
            settings,
            board: board.clone(),
        };
        thread::spawn("prober", stack, move || run.until_stopped())
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
    fn until_stopped(mut self) {
        let mut due = match self.settings.schedule {
            Schedule::Every { delay, .. } => Some(self.settings.clock.now() + delay),
            Schedule::OnRequest => None,
        };
        loop {
            self.waiter.wait(due);
            let is_due = due.is_some_and(|due| self.settings.clock.now() >= due);
            let Some(begin) = self.begin(is_due) else {
                return;
            };
            if begin == Begin::Nothing {
                continue;
            }
            let outcome = self.ask_once();
            self.board.publish(outcome, self.check.standing());
            self.end();
            if is_due {
                due = self.next_due(due);
            }
        }
    }

    fn begin(&self, is_due: bool) -> Option<Begin> {
        let mut turn = locked(&self.board.turn);
        if turn.stopped {
            return None;
        }
        if !is_due && !turn.wanted {
            return Some(Begin::Nothing);
        }
        turn.wanted = false;
        turn.running = true;
        turn.for_this = mem::take(&mut turn.for_next);
        Some(Begin::Run)
    }

    fn ask_once(&mut self) -> Outcome {
        let started = self.settings.clock.now();
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| self.check.check()))
            .unwrap_or_else(|payload| panicked(payload.as_ref()));
        outcome.with_took(self.settings.clock.now().since(started))
    }

    fn end(&self) {
        let askers = {
            let mut turn = locked(&self.board.turn);
            turn.running = false;
            mem::take(&mut turn.for_this)
        };
        if !askers.is_empty() {
            answer_all(askers, Answer::State(self.board.state()));
        }
    }

    /// The first start after now on the grid of starts; those that passed meanwhile are skipped.
    fn next_due(&self, due: Option<Moment>) -> Option<Moment> {
        let Schedule::Every { period, .. } = self.settings.schedule else {
            return None;
        };
        let next = due? + period;
        let late = self.settings.clock.now().since(next);
        let missed = late.as_nanos().div_ceil(period.as_nanos());
        // More missed starts than fit are more than a lifetime of them.
        let missed = u32::try_from(missed).unwrap_or(u32::MAX);
        self.board.skip(u64::from(missed));
        Some(next + period.saturating_mul(missed))
    }
}

#[derive(PartialEq, Eq)]
enum Begin {
    Nothing,
    Run,
}

fn panicked(payload: &(dyn Any + Send)) -> Outcome {
    let message = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_string())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    Outcome::new(Health::Unknown, Reason::CheckPanicked).with_detail(message)
}
