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
use crate::health::{Health, Outcome, Reason, Standing, State};
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
            match self.board.begin(is_due) {
                Begin::Now => {}
                Begin::NotYet => continue,
                Begin::Never => return,
            }
            let (outcome, judged) = self.ask_once();
            if self.board.is_stopped() {
                return;
            }
            self.board.publish(outcome, judged);
            self.board.end();
            if is_due {
                due = self.next_due(due);
            }
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
            period: SECOND,
            delay: Duration::ZERO,
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
