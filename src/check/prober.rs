//! One check on one thread: the only place where checks run.
//!
//! A prober runs its check when its schedule says so, when somebody asks, or both; never two runs
//! at a time. What it found is published on a [`Board`], and the prober answers the callers who
//! waited there for the run. A check that panics is an unknown outcome; a check that hangs makes
//! its board stale and harms nobody else.
#![forbid(unsafe_code)]

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
        /// The first.
        first: Moment,
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

/// From a start to the first start on its grid that a run does not outlast, and how many starts it
/// missed. The interval is more than zero.
pub(crate) fn stride(interval: Duration, took: Duration) -> (Duration, u32) {
    let strides = took.as_nanos().div_ceil(interval.as_nanos()).max(1);
    // More missed starts than fit are more than a lifetime of them.
    let strides = u32::try_from(strides).unwrap_or(u32::MAX);
    (interval.saturating_mul(strides), strides - 1)
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
        let mut due = match self.settings.schedule {
            Schedule::Every { first, .. } => Some(first),
            Schedule::OnRequest => None,
        };
        loop {
            self.waiter.wait(due);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::board::{Answer, Asker, News};
    use crate::clock::{ManualClock, locked};
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Instant;

    const SECOND: Duration = Duration::from_secs(1);

    /// A check that says when it is asked, and waits to be told what it finds.
    fn puppet() -> (Box<dyn Check>, Receiver<()>, Sender<Health>) {
        let (asked, is_asked) = channel();
        let (tell, told) = channel();
        let told = Mutex::new(told);
        let check = move || {
            asked.send(()).expect("the test listens");
            locked(&told).recv().unwrap_or(Health::Unknown)
        };
        (Box::new(check), is_asked, tell)
    }

    fn settings(schedule: Schedule, clock: &ManualClock) -> Settings {
        Settings {
            schedule,
            initial_state: State::Unknown,
            stale_after: Some(SECOND * 3),
            clock: Arc::new(clock.clone()),
            stack: Stack::Users,
        }
    }

    fn on_request(check: Box<dyn Check>) -> Prober {
        Prober::start(check, settings(Schedule::OnRequest, &ManualClock::new())).unwrap()
    }

    fn every_second() -> Schedule {
        Schedule::Every {
            pace: Pace::even(Span::try_from(1).unwrap()),
            first: Moment::default(),
        }
    }

    fn asker(answers: &Sender<Answer>) -> Asker {
        let answers = answers.clone();
        let answer = Box::new(move |answer| answers.send(answer).expect("the test listens"));
        Asker {
            deadline: Instant::now() + SECOND * 600,
            answer,
        }
    }

    #[test]
    fn all_who_ask_at_the_same_time_share_one_run() {
        let (check, is_asked, tell) = puppet();
        let prober = on_request(check);
        let (answers, answered) = channel();
        let ask = || prober.board().ask(asker(&answers)).is_ok();
        assert!(ask());
        is_asked.recv().unwrap();
        assert!((0..100).all(|_| ask()));
        tell.send(Health::Fail).unwrap();
        for _ in 0..101 {
            assert_eq!(answered.recv().unwrap(), Answer::State(State::Fail));
        }
        assert_eq!(prober.board().published().runs, 1);
    }

    #[test]
    fn who_comes_after_the_first_outcome_of_a_schedule_starts_no_run() {
        let (check, is_asked, tell) = puppet();
        let clock = ManualClock::new();
        let prober = Prober::start(check, settings(every_second(), &clock)).unwrap();
        let (answers, answered) = channel();
        is_asked.recv().unwrap();
        assert_eq!(prober.board().glance(), None);
        assert!(prober.board().ask(asker(&answers)).is_ok());
        tell.send(Health::Ok).unwrap();
        assert_eq!(answered.recv().unwrap(), Answer::State(State::Ok));
        // As a caller does that looked before that outcome and asks after it.
        assert!(prober.board().ask(asker(&answers)).is_err());
        clock.advance_and_settle(Duration::ZERO);
        assert_eq!(prober.board().published().runs, 1);
    }

    #[test]
    fn who_waits_for_the_first_known_outcome_waits_over_runs_that_find_nothing_out() {
        let (check, is_asked, tell) = puppet();
        let clock = ManualClock::new();
        let prober = Prober::start(check, settings(every_second(), &clock)).unwrap();
        let (answers, answered) = channel();
        is_asked.recv().unwrap();
        assert!(prober.board().ask(asker(&answers)).is_ok());
        tell.send(Health::Unknown).unwrap();
        clock.advance_and_settle(Duration::ZERO);
        // Nobody starts a run by asking: the schedule goes on.
        assert_eq!(prober.board().glance(), None);
        assert!(prober.board().ask(asker(&answers)).is_ok());
        clock.advance_and_settle(Duration::ZERO);
        assert!(is_asked.try_recv().is_err() && answered.try_recv().is_err());
        clock.advance(SECOND);
        is_asked.recv().unwrap();
        tell.send(Health::Ok).unwrap();
        for _ in 0..2 {
            assert_eq!(answered.recv().unwrap(), Answer::State(State::Ok));
        }
        assert_eq!(prober.board().published().runs, 2);
    }

    #[test]
    fn who_asks_afresh_waits_for_a_run_that_starts_later() {
        let (check, is_asked, tell) = puppet();
        let prober = on_request(check);
        let (answers, answered) = channel();
        assert!(prober.board().ask(asker(&answers)).is_ok());
        is_asked.recv().unwrap();
        assert!(prober.board().ask_afresh(asker(&answers)).is_ok());
        tell.send(Health::Fail).unwrap();
        assert_eq!(answered.recv().unwrap(), Answer::State(State::Fail));
        is_asked.recv().unwrap();
        tell.send(Health::Ok).unwrap();
        assert_eq!(answered.recv().unwrap(), Answer::State(State::Ok));
    }

    #[test]
    fn who_has_waited_long_enough_is_answered_without_the_run() {
        let (check, is_asked, _tell) = puppet();
        let prober = on_request(check);
        let (answers, answered) = channel();
        assert!(prober.board().ask(asker(&answers)).is_ok());
        is_asked.recv().unwrap();
        assert_eq!(prober.board().expire(Instant::now()), 1);
        assert_eq!(prober.board().expire(Instant::now() + SECOND * 600), 0);
        assert_eq!(answered.recv().unwrap(), Answer::Late);
    }

    #[test]
    fn who_waits_for_one_that_is_replaced_gets_the_other_s_answer() {
        let (check, is_asked, _tell) = puppet();
        let (old, (check_of_new, new_is_asked, tell_new)) = (on_request(check), puppet());
        let new = on_request(check_of_new);
        let (answers, answered) = channel();
        let ask = || old.board().ask(asker(&answers)).is_ok();
        assert!(ask());
        is_asked.recv().unwrap();
        assert!(old.board().ask_afresh(asker(&answers)).is_ok());
        old.board().hand_over(new.board());
        assert!(ask(), "who had looked it up before comes through it");
        new_is_asked.recv().unwrap();
        tell_new.send(Health::Fail).unwrap();
        for _ in 0..2 {
            assert_eq!(answered.recv().unwrap(), Answer::State(State::Fail));
        }
        // Whoever came while the run was on, or before it, has its answer or that of the next.
        let _ = tell_new.send(Health::Fail);
        assert_eq!(answered.recv().unwrap(), Answer::State(State::Fail));
    }

    #[test]
    fn a_closed_prober_runs_for_those_who_wait_and_for_nobody_more() {
        let (check, is_asked, tell) = puppet();
        let prober = on_request(check);
        let (answers, answered) = channel();
        assert!(prober.board().ask(asker(&answers)).is_ok());
        is_asked.recv().unwrap();
        assert!(prober.board().ask_afresh(asker(&answers)).is_ok());
        prober.board().close();
        assert!(prober.board().ask(asker(&answers)).is_err());
        for health in [Health::Ok, Health::Fail] {
            tell.send(health).unwrap();
        }
        assert_eq!(answered.recv().unwrap(), Answer::State(State::Ok));
        assert_eq!(answered.recv().unwrap(), Answer::State(State::Fail));
        is_asked.recv().unwrap();
        prober.board().nudge();
        assert!(is_asked.recv().is_err(), "its thread has ended");
    }

    #[test]
    fn nobody_waits_for_a_first_outcome_that_is_overdue() {
        let (check, is_asked, _tell) = puppet();
        let clock = ManualClock::new();
        let prober = Prober::start(check, settings(every_second(), &clock)).unwrap();
        let (answers, answered) = channel();
        is_asked.recv().unwrap();
        assert!(prober.board().ask(asker(&answers)).is_ok());
        assert_eq!(prober.board().expire(Instant::now()), 1);
        clock.advance(SECOND * 4);
        assert_eq!(prober.board().expire(Instant::now()), 0);
        assert_eq!(answered.recv().unwrap(), Answer::Late);
    }

    #[test]
    fn a_stopped_prober_answers_who_waits_and_takes_nobody_more() {
        let (check, is_asked, _tell) = puppet();
        let prober = on_request(check);
        let (answers, answered) = channel();
        assert!(prober.board().ask(asker(&answers)).is_ok());
        is_asked.recv().unwrap();
        prober.board().stop();
        assert_eq!(answered.recv().unwrap(), Answer::Late);
        assert!(prober.board().ask(asker(&answers)).is_err());
    }

    #[test]
    fn a_run_that_hangs_makes_the_board_stale_once_and_its_end_makes_it_known_again() {
        let clock = ManualClock::new();
        let (check, is_asked, tell) = puppet();
        let prober = Prober::start(check, settings(every_second(), &clock)).unwrap();
        let (told, news) = channel();
        prober.board().watch(Box::new(move |item| {
            told.send(item).expect("the test listens")
        }));
        is_asked.recv().unwrap();
        tell.send(Health::Ok).unwrap();
        assert!(matches!(
            news.recv(),
            Ok(News::Changed { to: State::Ok, .. })
        ));
        clock.advance(SECOND);
        is_asked.recv().unwrap();
        clock.advance(SECOND * 2);
        assert_eq!(
            prober.board().state(),
            State::Ok,
            "three seconds are not longer than three"
        );
        clock.advance(Duration::from_nanos(1));
        assert_eq!(prober.board().state(), State::Unknown);
        assert_eq!(prober.board().published().outcome.reason, Reason::Stale);
        assert!(matches!(
            news.recv(),
            Ok(News::Changed {
                to: State::Unknown,
                ..
            })
        ));
        tell.send(Health::Ok).unwrap();
        assert!(matches!(
            news.recv(),
            Ok(News::Changed { to: State::Ok, .. })
        ));
        assert!(news.try_recv().is_err());
        assert_eq!(prober.board().published().changes, 3);
    }

    #[test]
    fn starts_that_a_long_run_missed_are_skipped_and_counted() {
        let clock = ManualClock::new();
        let (check, is_asked, tell) = puppet();
        let prober = Prober::start(check, settings(every_second(), &clock)).unwrap();
        is_asked.recv().unwrap();
        // The starts at 1 s and 2 s are missed, the one at 3 s is not.
        clock.advance(Duration::from_millis(2_500));
        tell.send(Health::Ok).unwrap();
        while prober.board().published().runs == 0 {
            std::thread::yield_now();
        }
        clock.advance_and_settle(Duration::ZERO);
        clock.advance(Duration::from_millis(499));
        assert!(is_asked.try_recv().is_err());
        clock.advance(Duration::from_millis(1));
        is_asked.recv().unwrap();
        assert_eq!(prober.board().published().skipped, 2);
        tell.send(Health::Ok).unwrap();
    }

    /// Waits until so many runs have ended and the prober waits again.
    fn settle(clock: &ManualClock, prober: &Prober, runs: u64) {
        while prober.board().published().runs < runs {
            std::thread::yield_now();
        }
        clock.advance_and_settle(Duration::ZERO);
    }

    #[test]
    fn a_nudge_runs_at_once_and_again_after_a_run_that_is_on_and_leaves_the_grid_alone() {
        let clock = ManualClock::new();
        let (check, is_asked, tell) = puppet();
        let prober = Prober::start(check, settings(every_second(), &clock)).unwrap();
        is_asked.recv().unwrap();
        // The run that is on may have looked before the change.
        prober.board().nudge();
        prober.board().nudge();
        tell.send(Health::Ok).unwrap();
        is_asked.recv().unwrap();
        tell.send(Health::Ok).unwrap();
        settle(&clock, &prober, 2);
        clock.advance(SECOND / 2);
        prober.board().nudge();
        is_asked.recv().unwrap();
        tell.send(Health::Ok).unwrap();
        while prober.board().published().runs < 3 {
            std::thread::yield_now();
        }
        clock.advance(SECOND / 2 - Duration::from_nanos(1));
        assert!(is_asked.try_recv().is_err());
        clock.advance(Duration::from_nanos(1));
        is_asked.recv().unwrap();
        tell.send(Health::Ok).unwrap();
        settle(&clock, &prober, 4);
        assert_eq!(prober.board().published().skipped, 0);
        prober.board().stop();
        prober.board().nudge();
        clock.advance_and_settle(SECOND * 10);
        assert_eq!(prober.board().published().runs, 4);
    }

    #[test]
    fn what_a_nudge_finds_brings_the_next_start_forward() {
        let clock = ManualClock::new();
        let (check, is_asked, tell) = puppet();
        let mut pace = Pace::even(Span::try_from(60).unwrap());
        pace.down = Span::try_from(2).unwrap();
        let schedule = Schedule::Every {
            pace,
            first: Moment::default(),
        };
        let prober = Prober::start(check, settings(schedule, &clock)).unwrap();
        is_asked.recv().unwrap();
        tell.send(Health::Ok).unwrap();
        settle(&clock, &prober, 1);
        clock.advance(SECOND * 30);
        prober.board().nudge();
        is_asked.recv().unwrap();
        // It began at 30 s and missed the start at 32 s; the one at 34 s is next.
        clock.advance(SECOND * 3);
        tell.send(Health::Fail).unwrap();
        while prober.board().published().skipped == 0 {
            std::thread::yield_now();
        }
        clock.advance(SECOND - Duration::from_nanos(1));
        assert!(is_asked.try_recv().is_err());
        clock.advance(Duration::from_nanos(1));
        is_asked.recv().unwrap();
        assert_eq!(prober.board().published().skipped, 1);
        tell.send(Health::Ok).unwrap();
    }

    #[test]
    fn a_stride_ends_at_the_first_start_that_the_run_does_not_outlast() {
        for (took, stride_seconds, missed) in [
            (Duration::ZERO, 1, 0),
            (SECOND, 1, 0),
            (SECOND + Duration::from_nanos(1), 2, 1),
            (SECOND * 3, 3, 2),
        ] {
            assert_eq!(stride(SECOND, took), (SECOND * stride_seconds, missed));
        }
    }

    #[test]
    fn a_panic_is_unknown_and_told_once() {
        let clock = ManualClock::new();
        let check = Box::new(|| -> bool { panic!("no such thing") });
        let prober = Prober::start(check, settings(Schedule::OnRequest, &clock)).unwrap();
        let (told, news) = channel();
        prober.board().watch(Box::new(move |item| {
            told.send(item).expect("the test listens")
        }));
        let (answers, answered) = channel();
        for _ in 0..3 {
            assert!(prober.board().ask(asker(&answers)).is_ok());
            assert_eq!(answered.recv().unwrap(), Answer::State(State::Unknown));
        }
        let told: Vec<News> = news.try_iter().collect();
        assert!(
            matches!(&told[..], [News::Panicked { message, .. }] if message == "no such thing"),
            "{told:?}"
        );
    }
}
