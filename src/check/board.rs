//! A board: what a prober publishes of its check, and where callers leave their wishes.
//!
//! Anybody may look at a board without waiting. A caller who wants the run that is on, or the next
//! one, leaves an [`Asker`] and needs no thread of its own. Two locks, never held together with
//! anything that waits: one for what is known, one for whose turn it is.
#![forbid(unsafe_code)]

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use crate::check::history::{History, Run};
use crate::check::prober::{Schedule, Settings};
pub(crate) use crate::check::turn::{Answer, Asker};
use crate::check::turn::{Turn, answer_all, take_late};
use crate::clock::{Bell, Clock, Moment, locked};
use crate::event::{Transition, What};
use crate::health::maint::{Maint, Mode};
use crate::health::{Health, Outcome, Phase, Reason, Standing, State};

/// What is known of a check at some moment.
#[derive(Clone, Debug)]
pub struct Published {
    /// State, phase and how far it has got; the state is unknown while stale.
    pub standing: Standing,
    /// What the last run found, before that was judged.
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
    /// What a human has put it into, if anything.
    pub maint: Option<Maint>,
}

impl Published {
    /// Why the state is what it is: what a human said, where one did, or else the last outcome.
    pub(crate) fn why(&self) -> Outcome {
        match &self.maint {
            Some(maint) => maint.outcome(),
            None => self.outcome.clone(),
        }
    }
}

/// Told the news, in order, under the board's lock: it must not block.
type Watcher = Box<dyn Fn(Moment, What) + Send + Sync>;

/// What is known of one check, and who waits for it.
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
    /// Some outcome was known.
    settled: bool,
    history: History,
    watcher: Option<Watcher>,
}

impl Board {
    pub(super) fn new(settings: &Settings, bell: Bell) -> Board {
        let now = settings.clock.now();
        let standing = Standing::unknown(settings.initial_state);
        let published = Published {
            standing,
            outcome: Outcome::new(Health::Unknown, Reason::NotYetKnown),
            since: now,
            runs: 0,
            failures: 0,
            unknowns: 0,
            skipped: 0,
            changes: 0,
            maint: None,
        };
        let on_request = settings.schedule == Schedule::OnRequest;
        let delay = match settings.schedule {
            Schedule::Every { first, .. } => first.delay,
            Schedule::OnRequest => Duration::ZERO,
        };
        let stale_after = settings.stale_after.filter(|_| !settings.held);
        let fresh_until = stale_after.map(|after| now + delay + after);
        let known = Known {
            published,
            held: standing,
            fresh_until,
            stale: false,
            settled: false,
            history: History::new(),
            watcher: None,
        };
        Board {
            known: Mutex::new(known),
            turn: Mutex::new(Turn {
                held: settings.held,
                ..Turn::default()
            }),
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
        let (from, to) = (self.initial_state, known.published.standing.state);
        if from != to {
            watcher(known.published.since, known.change(from, to));
        }
        known.watcher = Some(watcher);
    }

    /// Has nobody told any more: another publishes under the same name from now on.
    pub(crate) fn unwatch(&self) {
        locked(&self.known).watcher = None;
    }

    /// The state at this moment.
    pub(crate) fn state(&self) -> State {
        self.fresh().published.standing.state
    }

    /// The state that the check has come to and comes back to, stale or in maintenance or not.
    pub(crate) fn judged(&self) -> State {
        let known = self.fresh();
        if known.stale {
            State::Unknown
        } else {
            known.held.state
        }
    }

    /// The state that a hold keeps: what is answered, and of one that is drained what is judged.
    pub(crate) fn state_to_hold(&self) -> State {
        let is_drained = |maint: Maint| maint.mode == Mode::Drain;
        if self.published().maint.is_some_and(is_drained) {
            self.judged()
        } else {
            self.state()
        }
    }

    /// All that is known at this moment.
    pub(crate) fn published(&self) -> Published {
        self.fresh().published.clone()
    }

    /// What a caller gets without waiting; `None` when it has to wait, for a run of its own or
    /// because nothing is known yet and the first outcome is to decide.
    pub(crate) fn glance(&self) -> Option<State> {
        let known = self.fresh();
        if known.published.maint.is_some() {
            return Some(known.published.standing.state);
        }
        if self.on_request {
            return None;
        }
        (!known.is_awaited()).then_some(known.published.standing.state)
    }

    /// Marks the board stale if it is, tells the watcher, and says when to look again.
    pub(crate) fn look(&self) -> Option<Moment> {
        let known = self.fresh();
        let stale_at = known.fresh_until.filter(|_| !known.stale);
        let maint_ends = known.published.maint.as_ref().and_then(|maint| maint.until);
        match (stale_at, maint_ends) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Puts it into maintenance, or ends that. What its check finds is judged on underneath.
    pub(crate) fn maintain(&self, maint: Option<Maint>) {
        let now = self.clock.now();
        let mut known = self.fresh();
        let was = known.published.maint.take();
        if maint.is_none() && was.is_none() {
            return;
        }
        known.published.maint = maint.clone();
        known.tell(now, What::Maintenance { maint });
        known.show(now);
    }

    /// Whether it runs only when somebody asks.
    pub(crate) fn is_on_request(&self) -> bool {
        self.on_request
    }

    /// The last runs that have ended, oldest first.
    pub(crate) fn history(&self) -> Vec<Run> {
        locked(&self.known).history.runs()
    }

    fn fresh(&self) -> MutexGuard<'_, Known> {
        let mut known = locked(&self.known);
        let maint_ends = known.published.maint.as_ref().and_then(|maint| maint.until);
        if (known.stale || known.fresh_until.is_none()) && maint_ends.is_none() {
            return known;
        }
        let now = self.clock.now();
        if maint_ends.is_some_and(|until| now > until) {
            known.published.maint = None;
            known.tell(now, What::Maintenance { maint: None });
            known.show(now);
        }
        if !known.stale && known.fresh_until.is_some_and(|until| now > until) {
            known.go_stale(now);
        }
        known
    }

    /// Waits for the run that is on, or else for the next, which starts at once.
    ///
    /// # Errors
    /// The asker itself, when the first outcome of a schedule has come meanwhile, which is all that
    /// it could wait for; when too many wait already; when the prober was stopped.
    pub(crate) fn ask(&self, asker: Asker) -> Result<(), Asker> {
        let mut turn = locked(&self.turn);
        if let Some(successor) = turn.successor.upgrade() {
            drop(turn);
            return successor.ask(asker);
        }
        if turn.running && turn.has_room() {
            turn.for_this.push(asker);
            return Ok(());
        }
        if self.on_request {
            return self.ask_next(turn, asker);
        }
        // What a run found is published before the run is over, so with no run on this is settled;
        // another run would count once more than the schedule says.
        let (is_awaited, has_run) = {
            let known = locked(&self.known);
            (known.is_awaited(), known.published.runs > 0)
        };
        match (is_awaited && turn.has_room(), has_run) {
            (false, _) => Err(asker),
            (true, false) => self.ask_next(turn, asker),
            (true, true) => {
                turn.for_next.push(asker);
                Ok(())
            }
        }
    }

    /// Waits for a run that starts after now, and has it start as soon as may be.
    ///
    /// # Errors
    /// As [`Board::ask`].
    pub(crate) fn ask_afresh(&self, asker: Asker) -> Result<(), Asker> {
        self.ask_next(locked(&self.turn), asker)
    }

    /// Has the check run once more, as soon as may be, because something that it looks at has
    /// changed: at once, or after the run that is on, which may have looked before the change. The
    /// schedule goes on as it was, unless what is found calls for a faster pace.
    pub fn nudge(&self) {
        locked(&self.turn).wanted = true;
        self.bell.ring();
    }

    fn ask_next(&self, mut turn: MutexGuard<'_, Turn>, asker: Asker) -> Result<(), Asker> {
        if !turn.has_room() {
            return Err(asker);
        }
        turn.for_next.push(asker);
        turn.wanted = true;
        drop(turn);
        self.bell.ring();
        Ok(())
    }

    /// Answers the callers whose deadline has come, and says how many still wait. Nobody waits for
    /// a first outcome that is overdue: those who come later do not, either.
    pub(crate) fn expire(&self, now: Instant) -> usize {
        let is_overdue = {
            let known = self.fresh();
            known.stale && !known.settled
        };
        let (late, left) = {
            let mut turn = locked(&self.turn);
            if is_overdue {
                let late = turn.all();
                drop(turn);
                answer_all(late, Answer::Late);
                return 0;
            }
            let mut late = take_late(&mut turn.for_this, now);
            late.append(&mut take_late(&mut turn.for_next, now));
            (late, turn.for_this.len() + turn.for_next.len())
        };
        answer_all(late, Answer::Late);
        left
    }

    /// Lets one that is held begin.
    pub(crate) fn release(&self) {
        locked(&self.turn).held = false;
        self.bell.ring();
    }

    /// Runs no more; a run that is on ends in its own time. Who waits is answered now.
    pub(crate) fn stop(&self) {
        answer_all(self.retire(Weak::new()), Answer::Late);
    }

    /// Runs no more but for those who wait already, and takes nobody more.
    pub(crate) fn close(&self) {
        locked(&self.turn).closing = true;
        self.bell.ring();
    }

    /// Runs no more, since another has taken its place: who waits, waits for that one's run.
    pub(crate) fn hand_over(&self, to: &Arc<Board>) {
        for asker in self.retire(Arc::downgrade(to)) {
            if let Err(asker) = to.ask(asker) {
                (asker.answer)(Answer::State(to.state()));
            }
        }
    }

    /// Runs no more, and says who waits.
    fn retire(&self, successor: Weak<Board>) -> Vec<Asker> {
        let askers = {
            let mut turn = locked(&self.turn);
            turn.stopped = true;
            turn.successor = successor;
            turn.all()
        };
        self.bell.ring();
        askers
    }

    /// Whether nobody wants to know any more.
    pub(super) fn is_stopped(&self) -> bool {
        locked(&self.turn).stopped
    }

    /// Publishes what a run found, and says where the check stands after it. Never inlined: what it
    /// needs of the stack is not to be there while the check runs.
    #[inline(never)]
    pub(super) fn publish(&self, mut outcome: Outcome, judged: Option<Standing>) -> Phase {
        let now = self.clock.now();
        // What went stale while the run was on is told before what the run found.
        let mut known = self.fresh();
        // The standing says what the run came to; what it found is counted and shown as it was.
        if let Some(seen) = judged.and_then(|standing| standing.seen) {
            outcome.health = seen;
        }
        let health = outcome.health.known();
        let standing = match (judged, health) {
            (Some(standing), _) => standing,
            (None, Some(state)) => Standing::plain(state),
            // A schedule keeps the state it had; who asked for this very run must know.
            (None, None) if self.on_request => Standing::plain(State::Unknown),
            (None, None) => known.held,
        };
        let is_heard = judged.map_or(health.is_some(), |standing| standing.heard);
        let is_first = is_heard && !known.settled;
        known.settled |= is_heard;
        if is_heard {
            known.stale = false;
            known.fresh_until = self.stale_after.map(|after| now + after);
        }
        known.published.runs += 1;
        known.published.failures += u64::from(health == Some(State::Fail));
        known.published.unknowns += u64::from(health.is_none());
        known.tell_of_panic(now, &outcome);
        known.history.add(Run {
            at: now,
            health: outcome.health,
            took: outcome.took,
        });
        known.published.outcome = outcome;
        let from = mem::replace(&mut known.held, standing).state;
        let changes = known.published.changes;
        known.show(now);
        if known.published.changes == changes {
            known.tell_of_unseen(now, is_first, from);
        }
        if known.stale {
            Phase::Unknown
        } else {
            standing.phase
        }
    }

    pub(super) fn skip(&self, starts: u64) {
        locked(&self.known).published.skipped += starts;
    }

    pub(super) fn is_held(&self) -> bool {
        locked(&self.turn).held
    }

    /// The first run of a schedule begins then; what was held was not to be stale before.
    pub(super) fn begins(&self, first: Moment) {
        let mut known = locked(&self.known);
        if known.fresh_until.is_none() {
            known.fresh_until = self.stale_after.map(|after| first + after);
        }
    }

    /// Whether the prober is to run now, because its schedule says so or somebody asked.
    pub(super) fn begin(&self, is_due: bool) -> Begin {
        let mut turn = locked(&self.turn);
        let is_over = turn.closing && turn.for_next.is_empty();
        if turn.stopped || is_over {
            return Begin::Never;
        }
        if turn.held || (!is_due && !turn.wanted) {
            return Begin::NotYet;
        }
        turn.wanted = false;
        turn.running = true;
        turn.for_this = mem::take(&mut turn.for_next);
        Begin::Now
    }

    /// Answers who waited for the run, which has been published.
    pub(super) fn end(&self) {
        let askers = {
            let mut turn = locked(&self.turn);
            turn.running = false;
            let mut askers = mem::take(&mut turn.for_this);
            // A run that found nothing out decides nothing: the next one may.
            if !self.on_request && locked(&self.known).is_awaited() {
                turn.for_next.append(&mut askers);
            }
            askers
        };
        if !askers.is_empty() {
            answer_all(askers, Answer::State(self.state()));
        }
    }
}

/// Whether a prober runs its check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    Now,
    /// Nothing is due and nobody asked.
    NotYet,
    /// It was stopped.
    Never,
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Board")
            .field("published", &self.published())
            .finish_non_exhaustive()
    }
}

impl Known {
    /// Whether the first known outcome is to decide, and has not come. A report comes when it
    /// comes: nobody waits for that.
    fn is_awaited(&self) -> bool {
        let is_open = !self.settled && self.held.state == State::Unknown && !self.stale;
        is_open && self.published.outcome.reason != Reason::HeartbeatAwaited
    }

    fn go_stale(&mut self, now: Moment) {
        self.stale = true;
        let detail = match self.published.runs {
            0 => String::from("no outcome since the start"),
            _ => format!("the last was {}", self.published.outcome),
        };
        self.published.outcome = Outcome::new(Health::Unknown, Reason::Stale).with_detail(detail);
        let changes = self.published.changes;
        self.show(now);
        let is_new = self.published.changes > changes;
        if !is_new && self.published.standing.state == State::Unknown {
            // Nothing was ever known, so nothing changes; that it stays so is told all the same.
            self.tell_of_settling(now);
        }
    }

    fn tell(&self, at: Moment, what: What) {
        if let Some(watcher) = &self.watcher {
            watcher(at, what);
        }
    }

    fn change(&self, from: State, to: State) -> What {
        What::Changed(Transition {
            outcome: self.published.why(),
            ..self.transition(from, to)
        })
    }

    fn transition(&self, from: State, to: State) -> Transition {
        Transition {
            from,
            to,
            phase: self.published.standing.phase,
            outcome: self.published.outcome.clone(),
            runs: self.published.runs,
        }
    }

    fn tell_of_settling(&self, at: Moment) {
        let settled = What::Settled {
            state: self.published.standing.state,
            phase: self.published.standing.phase,
            outcome: self.published.outcome.clone(),
        };
        self.tell(at, settled);
    }

    fn tell_of_panic(&self, at: Moment, outcome: &Outcome) {
        let first = self.published.outcome.reason != Reason::CheckPanicked;
        if first && outcome.reason == Reason::CheckPanicked {
            let message = outcome.detail.clone();
            self.tell(at, What::Panicked { message });
        }
    }

    /// Tells of what an outcome brought about though the state that is answered is the same.
    fn tell_of_unseen(&self, at: Moment, is_first: bool, from: State) {
        let to = self.held.state;
        if is_first {
            self.tell_of_settling(at);
        } else if from != to && self.published.maint.is_some() {
            self.tell(at, What::Judged(self.transition(from, to)));
        }
    }

    /// Publishes the held standing, or that it is stale, and tells of a change.
    fn show(&mut self, now: Moment) {
        let from = self.published.standing.state;
        self.published.standing = self.held;
        if self.stale {
            self.published.standing = Standing::unknown(State::Unknown);
        }
        if let Some(maint) = &self.published.maint {
            // The phase stays what the check makes of it: that is what the human is waiting for.
            self.published.standing.state = maint.state();
        }
        let to = self.published.standing.state;
        if from == to {
            return;
        }
        self.published.since = now;
        self.published.changes += 1;
        self.tell(now, self.change(from, to));
    }
}
