//! Time: what the monotonic clock says, and waiting for it.
//!
//! Only a [`Clock`] decides when something is due. It also owns waiting, so that a test with a
//! [`ManualClock`] makes time pass without any real time passing. The deadlines of sockets are
//! real time by nature and are not asked of this room, and nothing here reads the wall clock.
#![forbid(unsafe_code)]

use std::fmt;
use std::ops::Add;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// A point on a clock's monotonic time line. Only differences mean something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// How much later than `earlier` this is; zero if it is not later.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// This moment if it is a whole number of beats since the start, or else the next that is one.
    pub(crate) fn on_beat(self, beat: Duration) -> Moment {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let over = nanos(self.0) % nanos(beat).max(1);
        match over {
            0 => self,
            over => self + beat.saturating_sub(Duration::from_nanos(over)),
        }
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_add(duration))
    }
}

/// Tells the time and is waited on. [`SystemClock`] outside tests, [`ManualClock`] in them.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Now, never earlier than an answer before.
    fn now(&self) -> Moment;

    /// A place for one thread to wait at.
    fn waiter(&self) -> Box<dyn Waiter>;
}

/// One thread's place to wait; its bell wakes it early.
pub trait Waiter: Send {
    /// Blocks until `until` has come, or for good if there is none, or until the bell is rung. A
    /// ring while nobody waits is kept, and several are one.
    fn wait(&mut self, until: Option<Moment>) -> Woken;

    /// A handle that other threads ring.
    fn bell(&self) -> Bell;

    /// Says that a thread is about to come and wait here, so that
    /// [`ManualClock::advance_and_settle`] waits for it, too.
    fn announce(&mut self) {}
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The moment came.
    Due,
    /// Somebody rang, perhaps before the wait began.
    Rung,
}

/// Wakes a [`Waiter`] from any thread.
#[derive(Clone)]
pub struct Bell(Arc<dyn Ring>);

impl Bell {
    /// Ends the wait that is on, or the next one at once.
    pub fn ring(&self) {
        self.0.ring();
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bell")
    }
}

trait Ring: Send + Sync {
    fn ring(&self);
}

/// Takes a lock whatever happened to its holder before: every value kept under a lock in this
/// program is whole at each point where its holder could panic, so poison tells nothing.
pub(crate) fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The machine's monotonic clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        // All system clocks share one start, so that their moments compare.
        static START: OnceLock<Instant> = OnceLock::new();
        Moment(START.get_or_init(Instant::now).elapsed())
    }

    fn waiter(&self) -> Box<dyn Waiter> {
        Box::new(SystemWaiter(Arc::new(Place::default())))
    }
}

#[derive(Default)]
struct Place {
    rung: Mutex<bool>,
    changed: Condvar,
}

struct SystemWaiter(Arc<Place>);

impl Ring for Place {
    fn ring(&self) {
        *locked(&self.rung) = true;
        self.changed.notify_one();
    }
}

impl Waiter for SystemWaiter {
    fn wait(&mut self, until: Option<Moment>) -> Woken {
        let mut rung = locked(&self.0.rung);
        loop {
            if std::mem::take(&mut *rung) {
                return Woken::Rung;
            }
            let Some(until) = until else {
                rung = self
                    .0
                    .changed
                    .wait(rung)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = until.since(SystemClock.now());
            if left.is_zero() {
                return Woken::Due;
            }
            let waited = self.0.changed.wait_timeout(rung, left);
            rung = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn bell(&self) -> Bell {
        Bell(self.0.clone())
    }
}

/// A clock that stands still until it is told to go on. Clones are the same clock.
///
/// ```
/// use std::time::Duration;
/// use failover::{Clock, ManualClock};
///
/// let clock = ManualClock::new();
/// let before = clock.now();
/// clock.advance_and_settle(Duration::from_secs(60));
/// assert_eq!(clock.now().since(before), Duration::from_secs(60));
/// ```
#[derive(Clone, Default)]
pub struct ManualClock(Arc<Manual>);

#[derive(Default)]
struct Manual {
    time: Mutex<ManualTime>,
    changed: Condvar,
}

#[derive(Default)]
struct ManualTime {
    now: Duration,
    /// One entry for each waiter that lives, in the order of their making.
    places: Vec<ManualPlace>,
    next_id: usize,
}

struct ManualPlace {
    id: usize,
    rung: bool,
    at: At,
}

/// Where the thread of a place is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// Not waiting, for reasons of its own.
    Away,
    /// Waiting, until then if there is a time.
    Waiting(Option<Moment>),
    /// Woken by an advance, or announced, and not back yet.
    Woken,
}

impl ManualClock {
    /// A clock of its own, at its start.
    pub fn new() -> ManualClock {
        ManualClock::default()
    }

    /// Lets time pass and wakes who is due, without waiting for what they do.
    pub fn advance(&self, by: Duration) {
        let mut time = locked(&self.0.time);
        let target = Moment(time.now) + by;
        time.pass_to(target);
        self.0.changed.notify_all();
    }

    /// Lets time pass from one due waiter to the next, and returns when every waiter that the
    /// advance woke, or that was announced, has gone back to waiting, or is gone. What wakes at
    /// one moment has done its work before the next comes, as with real time and a fast machine.
    ///
    /// # Panics
    /// When a woken waiter has not come back after 60 seconds of real time: a test that hangs
    /// should say where.
    pub fn advance_and_settle(&self, by: Duration) {
        // Who was announced belongs to this moment, before any time passes.
        let mut time = self.settled(locked(&self.0.time));
        let target = Moment(time.now) + by;
        loop {
            let next = time.next_due().filter(|due| *due <= target);
            time.pass_to(next.unwrap_or(target));
            self.0.changed.notify_all();
            time = self.settled(time);
            if next.is_none() {
                return;
            }
        }
    }

    fn settled<'a>(&'a self, time: MutexGuard<'a, ManualTime>) -> MutexGuard<'a, ManualTime> {
        const PATIENCE: Duration = Duration::from_secs(60);
        let busy = |time: &mut ManualTime| time.places.iter().any(|place| place.at == At::Woken);
        let (time, result) = self
            .0
            .changed
            .wait_timeout_while(time, PATIENCE, busy)
            .unwrap_or_else(PoisonError::into_inner);
        // Invariant: documented; only a test that is broken gets here.
        assert!(
            !result.timed_out(),
            "a waiter woken by the clock has not come back to wait"
        );
        time
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualClock").field(&self.now()).finish()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Moment {
        Moment(locked(&self.0.time).now)
    }

    fn waiter(&self) -> Box<dyn Waiter> {
        let mut time = locked(&self.0.time);
        let id = time.next_id;
        time.next_id += 1;
        time.places.push(ManualPlace {
            id,
            rung: false,
            at: At::Away,
        });
        Box::new(ManualWaiter {
            clock: self.0.clone(),
            id,
        })
    }
}

impl ManualTime {
    fn next_due(&self) -> Option<Moment> {
        let due = |place: &ManualPlace| match place.at {
            At::Waiting(until) => until,
            At::Away | At::Woken => None,
        };
        self.places.iter().filter_map(due).min()
    }

    fn pass_to(&mut self, target: Moment) {
        self.now = self.now.max(target.0);
        let now = Moment(self.now);
        for place in &mut self.places {
            if matches!(place.at, At::Waiting(Some(until)) if until <= now) {
                place.at = At::Woken;
            }
        }
    }

    fn place(&mut self, id: usize) -> Option<&mut ManualPlace> {
        self.places.iter_mut().find(|place| place.id == id)
    }
}

struct ManualWaiter {
    clock: Arc<Manual>,
    id: usize,
}

struct ManualBell {
    clock: Arc<Manual>,
    id: usize,
}

impl Ring for ManualBell {
    fn ring(&self) {
        if let Some(place) = locked(&self.clock.time).place(self.id) {
            place.rung = true;
        }
        self.clock.changed.notify_all();
    }
}

impl Waiter for ManualWaiter {
    fn wait(&mut self, until: Option<Moment>) -> Woken {
        let mut time = locked(&self.clock.time);
        loop {
            let now = Moment(time.now);
            // The place lives as long as this waiter.
            let Some(place) = time.place(self.id) else {
                return Woken::Rung;
            };
            if place.rung || until.is_some_and(|until| until <= now) {
                // Who was woken by the clock stays so until it waits for something to come.
                if place.at != At::Woken {
                    place.at = At::Away;
                }
                let rung = std::mem::take(&mut place.rung);
                return if rung { Woken::Rung } else { Woken::Due };
            }
            place.at = At::Waiting(until);
            self.clock.changed.notify_all();
            time = self
                .clock
                .changed
                .wait(time)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn announce(&mut self) {
        if let Some(place) = locked(&self.clock.time).place(self.id) {
            place.at = At::Woken;
        }
    }

    fn bell(&self) -> Bell {
        Bell(Arc::new(ManualBell {
            clock: self.clock.clone(),
            id: self.id,
        }))
    }
}

impl Drop for ManualWaiter {
    fn drop(&mut self) {
        locked(&self.clock.time)
            .places
            .retain(|place| place.id != self.id);
        self.clock.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{self, Sender};
    use std::thread::{self, JoinHandle};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_system_clock_goes_on_and_its_wait_ends_when_due() {
        let clock = SystemClock;
        let until = clock.now() + Duration::from_millis(20);
        assert_eq!(clock.waiter().wait(Some(until)), Woken::Due);
        assert!(clock.now() >= until);
    }

    #[test]
    fn what_is_on_the_beat_stays_and_the_rest_comes_with_the_next() {
        let moment = |micros| Moment(SECOND * 7 + Duration::from_micros(micros));
        for (micros, on_beat) in [
            (0, 0),
            (1, 5_000),
            (5_000, 5_000),
            (5_001, 10_000),
            (999_999, 1_000_000),
        ] {
            let beat = Duration::from_millis(5);
            assert_eq!(moment(micros).on_beat(beat), moment(on_beat));
            assert_eq!(moment(micros).on_beat(Duration::ZERO), moment(micros));
        }
    }

    #[test]
    fn a_ring_before_the_wait_is_kept() {
        for clock in [&SystemClock as &dyn Clock, &ManualClock::new()] {
            let mut waiter = clock.waiter();
            let bell = waiter.bell();
            bell.ring();
            bell.ring();
            assert_eq!(waiter.wait(None), Woken::Rung);
            // Two rings were one.
            assert_eq!(waiter.wait(Some(clock.now())), Woken::Due);
        }
    }

    #[test]
    fn a_ring_from_another_thread_ends_a_wait_without_end() {
        for clock in [
            Arc::new(SystemClock) as Arc<dyn Clock>,
            Arc::new(ManualClock::new()),
        ] {
            let mut waiter = clock.waiter();
            let bell = waiter.bell();
            let thread = thread::spawn(move || waiter.wait(None));
            bell.ring();
            assert_eq!(thread.join().unwrap(), Woken::Rung);
        }
    }

    /// A thread that waits for each multiple of a period and sends when it was woken, until the
    /// bell is rung.
    fn every(clock: &ManualClock, period: Duration, sender: Sender<u64>) -> (Bell, JoinHandle<()>) {
        let mut waiter = clock.waiter();
        waiter.announce();
        let (bell, clock) = (waiter.bell(), clock.clone());
        let thread = thread::spawn(move || {
            let mut due = Moment::default() + period;
            while waiter.wait(Some(due)) == Woken::Due {
                sender
                    .send(clock.now().since(Moment::default()).as_secs())
                    .unwrap();
                due = due + period;
            }
        });
        (bell, thread)
    }

    #[test]
    fn a_settled_advance_wakes_each_at_its_moment_and_waits_for_its_work() {
        let clock = ManualClock::new();
        let (sender, receiver) = mpsc::channel();
        let waiters = [2, 3].map(|period| every(&clock, SECOND * period, sender.clone()));
        for (advance, woken) in [
            (1, vec![]),
            (3, vec![2, 3, 4]),
            (2, vec![6, 6]),
            (0, vec![]),
        ] {
            clock.advance_and_settle(SECOND * advance);
            assert_eq!(receiver.try_iter().collect::<Vec<_>>(), woken);
        }
        for (bell, thread) in waiters {
            bell.ring();
            thread.join().unwrap();
        }
    }

    #[test]
    fn a_waiter_that_is_gone_holds_nobody_up() {
        let clock = ManualClock::new();
        drop(clock.waiter());
        clock.advance_and_settle(SECOND);
        assert_eq!(clock.now().since(Moment::default()), SECOND);
    }
}
