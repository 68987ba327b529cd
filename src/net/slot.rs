//! Slots: places for one program at a time.
//!
//! Never two run at a time in one slot, and a slot may go from hand to hand: who has it next waits
//! for what the one before runs, as long as it would let its own program run, and then has that
//! end. One that was killed and has not ended keeps its place, too. How programs are started and
//! ended is [`child`](super::child)'s.
#![forbid(unsafe_code)]

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::child::{ENDING_MAX, Ended, Run, WANTED_LOOK_EVERY};
use crate::clock::locked;
use crate::sys::process::{self, Child, Ending};

/// How many of those who could not be killed are remembered after their slot is gone.
const LEFT_MAX: usize = 64;

/// How long it takes at most until one that is wanted has ended or been given up, and a second for
/// a machine that is busy.
const WANTED_WAIT: Duration =
    Duration::from_secs(ENDING_MAX.as_secs() + WANTED_LOOK_EVERY.as_secs() + 1);

/// Why a program did not run.
#[derive(Debug)]
pub(crate) enum NotRun {
    /// The one before could not be killed; its process number.
    Occupied(u32),
    /// Another has the slot: what it runs has not ended, or it is the next.
    Taken,
    /// It could not be started.
    NotStarted(io::Error),
}

/// A place for one program at a time.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    place: Arc<Place>,
    /// Whose the place is: of those who share it the last that came to run something. 0 for one
    /// that has not come yet.
    number: u32,
}

#[derive(Debug, Default)]
struct Place {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The number of whom the place belongs to.
    owner: u32,
    is_on: bool,
    /// What is on is to end: its time is over by the rules of who comes next.
    is_wanted: bool,
    /// One that was killed and has not ended.
    left: Option<Child>,
}

/// The places that have a name.
static NAMED: Mutex<Vec<(String, Weak<Place>)>> = Mutex::new(Vec::new());

/// Those whose place is gone, so that they do not stay zombies for good.
static LEFT: Mutex<Vec<Child>> = Mutex::new(Vec::new());

impl Slot {
    /// Shares its place with all of that name, as long as one of them is there or runs something.
    pub(crate) fn of(name: &str) -> Slot {
        let mut named = locked(&NAMED);
        named.retain(|(_, place)| place.strong_count() > 0);
        let known = named.iter().find(|(known, _)| known == name);
        let place = known.and_then(|(_, place)| place.upgrade());
        let place = place.unwrap_or_else(|| {
            let place = Arc::new(Place::default());
            named.push((name.to_string(), Arc::downgrade(&place)));
            place
        });
        Slot { place, number: 0 }
    }

    /// Runs a program and waits for its end, for [`Run::timeout`] and [`ENDING_MAX`] at most; the
    /// first time also for the end of what another runs in this place.
    ///
    /// # Errors
    /// It did not run.
    pub(crate) fn run(&mut self, run: &Run) -> Result<Ended, NotRun> {
        let on = self.enter(run.timeout)?;
        let is_wanted = || locked(&on.0.state).is_wanted;
        let (ended, left) = run.to_end(&is_wanted).map_err(NotRun::NotStarted)?;
        locked(&on.0.state).left = left;
        Ok(ended)
    }

    /// Never two at a time: the one before has to be gone.
    fn enter(&mut self, timeout: Duration) -> Result<On<'_>, NotRun> {
        let place = &*self.place;
        let mut state = locked(&place.state);
        if self.number == 0 {
            state.owner += 1;
            self.number = state.owner;
            // Who was next until now is not any more.
            place.changed.notify_all();
        }
        let number = self.number;
        state = place.wait(state, number, timeout);
        if state.is_on && state.owner == number {
            state.is_wanted = true;
            state = place.wait(state, number, WANTED_WAIT);
        }
        if state.is_on || state.owner != number {
            return Err(NotRun::Taken);
        }
        state.clear()?;
        state.is_on = true;
        Ok(On(place))
    }
}

/// Somebody's run is on until this is dropped.
struct On<'a>(&'a Place);

impl Drop for On<'_> {
    fn drop(&mut self) {
        let mut state = locked(&self.0.state);
        (state.is_on, state.is_wanted) = (false, false);
        self.0.changed.notify_all();
    }
}

impl Place {
    /// Until what is on has ended, or another comes next, for so long at most.
    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        number: u32,
        at_most: Duration,
    ) -> MutexGuard<'a, State> {
        let waits = |state: &mut State| state.is_on && state.owner == number;
        let waited = self.changed.wait_timeout_while(state, at_most, waits);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl State {
    /// Lets go of the one that was killed, if it has ended.
    fn clear(&mut self) -> Result<(), NotRun> {
        locked(&LEFT).retain(is_there);
        let Some(child) = &self.left else {
            return Ok(());
        };
        if is_there(child) {
            // Signals do not pile up, and it may have been a matter of rights.
            let _ = process::end_group(child, Ending::Kill);
            return Err(NotRun::Occupied(child.id()));
        }
        self.left = None;
        Ok(())
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let mut left = locked(&LEFT);
        if left.len() < LEFT_MAX {
            left.extend(self.left.take());
        }
    }
}

/// Whether a child has not ended; if it has, it is reaped.
fn is_there(child: &Child) -> bool {
    matches!(child.try_wait(), Ok(None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::child::End;
    use crate::net::child::tests::{LONG, shell, words};
    use std::path::Path;
    use std::time::Instant;

    /// A slot in which this one could not be killed.
    fn left_with(child: Child) -> Slot {
        let slot = Slot::default();
        locked(&slot.place.state).left = Some(child);
        slot
    }

    /// Runs this in the slot of that name on a thread of its own.
    fn runs_in(name: &'static str, script: String, timeout: Duration) -> Elsewhere {
        std::thread::spawn(move || Slot::of(name).run(&shell(&words(&script), timeout)))
    }

    type Elsewhere = std::thread::JoinHandle<Result<Ended, NotRun>>;

    /// Waits until the place of that name is like this.
    fn comes_to(name: &str, is_so: impl Fn(&State) -> bool) {
        let slot = Slot::of(name);
        let until = Instant::now() + LONG;
        while !is_so(&locked(&slot.place.state)) {
            assert!(Instant::now() < until, "it does not come to that");
            std::thread::yield_now();
        }
    }

    #[test]
    fn who_shares_a_slot_waits_for_the_other_s_end() {
        let folder = std::env::temp_dir().join(format!("failover-slot-{}", std::process::id()));
        let script = format!(
            "mkdir {0} || exit 3; sleep 0.3; rmdir {0}",
            folder.display()
        );
        let first = runs_in("waits", script.clone(), LONG);
        comes_to("waits", |state| state.is_on);
        let second = runs_in("waits", script, LONG);
        for run in [first, second] {
            assert_eq!(run.join().unwrap().unwrap().end, End::Code(0));
        }
    }

    #[test]
    fn who_would_not_let_it_run_so_long_has_the_other_end() {
        let first = runs_in("wanted", "exec sleep 1000".to_string(), LONG * 100);
        comes_to("wanted", |state| state.is_on);
        let second = runs_in(
            "wanted",
            "echo next".to_string(),
            Duration::from_millis(300),
        );
        assert_eq!(first.join().unwrap().unwrap().end, End::Late);
        assert_eq!(second.join().unwrap().unwrap().output, b"next\n");
    }

    #[test]
    fn whose_place_was_taken_while_it_waited_runs_nothing() {
        let first = runs_in("next", "sleep 1".to_string(), LONG);
        comes_to("next", |state| state.is_on);
        let second = runs_in("next", "true".to_string(), LONG);
        comes_to("next", |state| state.owner == 2);
        let third = runs_in("next", "exit 5".to_string(), LONG);
        let refused = second.join().unwrap().unwrap_err();
        assert!(matches!(refused, NotRun::Taken), "{refused:?}");
        assert_eq!(third.join().unwrap().unwrap().end, End::Code(5));
        assert_eq!(first.join().unwrap().unwrap().end, End::Code(0));
    }

    #[test]
    fn none_is_started_while_the_one_before_is_there() {
        let arguments = words("echo next");
        let next = shell(&arguments, LONG);
        let (before, _) = shell(&words("exec sleep 1000"), LONG).start().unwrap();
        let id = before.id();
        let mut slot = left_with(before);
        let refused = slot.run(&next).unwrap_err();
        assert!(matches!(refused, NotRun::Occupied(number) if number == id));
        let until = Instant::now() + LONG;
        while slot.run(&next).is_err() {
            assert!(Instant::now() < until, "it was killed and is still there");
        }
        assert_eq!(slot.run(&next).unwrap().output, b"next\n");
    }

    #[test]
    fn one_whose_slot_is_gone_is_reaped_by_the_next_to_run() {
        let (before, _) = shell(&words("true"), LONG).start().unwrap();
        let status = format!("/proc/{}/status", before.id());
        drop(left_with(before));
        let until = Instant::now() + LONG;
        while Path::new(&status).exists() {
            assert!(Instant::now() < until, "it is a zombie still");
            let _ = Slot::default().run(&shell(&words("true"), LONG));
        }
    }
}
