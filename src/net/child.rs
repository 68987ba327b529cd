//! Other programs: started apart from us, given a time, and ended with all that they started.
//!
//! No shell is between us and the program. It runs in `/` with a clean environment, reads nothing,
//! and what it says on standard output and standard error comes through one pipe, of which the
//! beginning is kept. A run is over when the program itself has ended: a daemon that it leaves
//! behind and that keeps the pipe open delays nothing. What its end means is for the caller.
//!
//! How it ends (as keepalived does, `vrrp_scheduler.c`): when the time is up the group is told to
//! terminate, and after [`TERMINATE_WAIT`] it is killed. Whatever is left of the group when the
//! program has ended is killed, too, while the unreaped program still holds the group's number.
//! Only what has left the group lives on.
//!
//! Never two run at a time in one slot, and a slot may go from hand to hand: who has it next waits
//! for what the one before runs, as long as it would let its own program run, and then has that
//! end.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::account::Account;
use super::deadline::Deadline;
use super::program::SEARCH_PATH;
use crate::clock::locked;
use crate::sys::process::{self, Child, Ending, Program};
use crate::sys::socket::{Watch, wait_for_any};

/// Between telling a program to terminate and killing it: time to remove a lock file, and no more.
const TERMINATE_WAIT: Duration = Duration::from_secs(2);

/// How long a killed program may take to be gone. Who takes longer hangs in the kernel, on a dead
/// disk or server, and nobody can say for how long.
const KILL_WAIT: Duration = Duration::from_secs(1);

/// What a run may take beyond its timeout.
pub(crate) const ENDING_MAX: Duration =
    Duration::from_secs(TERMINATE_WAIT.as_secs() + KILL_WAIT.as_secs());

/// How often a child is looked at where the system cannot tell us of its end (before Linux 5.3);
/// nearly always the end of the pipe tells us first.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How often one that runs looks whether another waits for its end for too long.
const WANTED_LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long it takes at most until one that is wanted has ended or been given up, and a second for
/// a machine that is busy.
const WANTED_WAIT: Duration =
    Duration::from_secs(ENDING_MAX.as_secs() + WANTED_LOOK_EVERY.as_secs() + 1);

/// Read at once; a page, so that it fits the stack of a prober.
const CHUNK_LEN: usize = 4_096;

/// Reads after the program's end: more than a pipe holds by default (pipe(7)), 64 KiB, so that
/// somebody who goes on writing cannot keep us.
const LAST_READS_MAX: usize = 32;

/// How many of those who could not be killed are remembered after their slot is gone.
const LEFT_MAX: usize = 64;

/// What is to be run.
pub(crate) struct Run<'a> {
    /// Its absolute path.
    pub(crate) program: &'a Path,
    pub(crate) arguments: &'a [String],
    /// Besides `PATH`, `HOME`, `USER` and `LOGNAME`, which it may replace.
    pub(crate) environment: &'a [(String, String)],
    /// Whom it runs as, with that user's own group only; `None` is ourselves.
    pub(crate) account: Option<&'a Account>,
    pub(crate) timeout: Duration,
    /// How much of the output is kept, from its beginning.
    pub(crate) kept_max: usize,
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) end: End,
    pub(crate) output: Vec<u8>,
    /// Whether it said more than was to be kept.
    pub(crate) is_cut: bool,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself, with this code.
    Code(i32),
    /// By this signal, within its time.
    Signal(i32),
    /// By us, when its time was up; or not even then.
    Late,
    /// Somebody else has taken its status: the system, if SIGCHLD is ignored.
    Lost,
}

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
        let started = run.start().map_err(NotRun::NotStarted)?;
        let (ended, left) = Running::new(started, run.kept_max).until_end(run.timeout, on.0);
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

    fn is_wanted(&self) -> bool {
        locked(&self.state).is_wanted
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

impl Run<'_> {
    fn start(&self) -> io::Result<(Child, File)> {
        let mut environment = vec![("PATH".to_string(), SEARCH_PATH.to_string())];
        if let Some(account) = self.account {
            let (name, home) = (&account.name, &account.home);
            for (variable, value) in [("HOME", home), ("USER", name), ("LOGNAME", name)] {
                environment.push((variable.to_string(), value.clone()));
            }
        }
        let is_replaced = |name: &String| self.environment.iter().any(|(own, _)| own == name);
        environment.retain(|(name, _)| !is_replaced(name));
        environment.extend_from_slice(self.environment);
        let other = self.account.filter(|account| account.is_other());
        process::spawn_apart(&Program {
            path: self.program,
            arguments: self.arguments,
            environment: &environment,
            rights: other.map(|account| (account.uid, account.gid)),
        })
    }
}

/// What a look at a running program found.
enum Found {
    Ended,
    StillThere,
    Gone,
}

/// A program that runs.
struct Running {
    child: Child,
    /// Readable when it has ended, where the system can tell.
    exit: Option<OwnedFd>,
    /// Until its end has been read.
    output: Option<File>,
    kept: Vec<u8>,
    kept_max: usize,
    is_cut: bool,
}

impl Running {
    fn new((child, output): (Child, File), kept_max: usize) -> Running {
        Running {
            exit: process::exit_of(&child),
            output: Some(output),
            child,
            kept: Vec::new(),
            kept_max,
            is_cut: false,
        }
    }

    /// How it ended; and itself, if it could not even be killed.
    fn until_end(mut self, timeout: Duration, place: &Place) -> (Ended, Option<Child>) {
        let mut found = self.watch(timeout, Some(place));
        let is_late = matches!(found, Found::StillThere);
        let endings = [
            (Ending::Terminate, TERMINATE_WAIT),
            (Ending::Kill, KILL_WAIT),
        ];
        for (ending, wait) in endings {
            if matches!(found, Found::StillThere) {
                // A group that we may not signal is one that stays, which is seen below.
                let _ = process::end_group(&self.child, ending);
                found = self.watch(wait, None);
            }
        }
        let end = match found {
            Found::StillThere => return (self.ended(End::Late), Some(self.child)),
            Found::Gone => End::Lost,
            Found::Ended => self.reap(),
        };
        let end = if is_late { End::Late } else { end };
        (self.ended(end), None)
    }

    fn ended(&mut self, end: End) -> Ended {
        Ended {
            end,
            output: std::mem::take(&mut self.kept),
            is_cut: self.is_cut,
        }
    }

    /// Looks until it has ended, for so long at most, or until it is to end for another's sake, and
    /// reads what it says meanwhile.
    fn watch(&mut self, at_most: Duration, place: Option<&Place>) -> Found {
        let deadline = Deadline::after(at_most);
        loop {
            match process::has_ended(&self.child) {
                Ok(true) => return Found::Ended,
                Ok(false) => {}
                Err(_) => return Found::Gone,
            }
            let Some(left) = deadline.left() else {
                return Found::StillThere;
            };
            if place.is_some_and(Place::is_wanted) {
                return Found::StillThere;
            }
            let look_every = if self.exit.is_some() {
                WANTED_LOOK_EVERY
            } else {
                LOOK_EVERY
            };
            let wait = left.min(look_every);
            if self.wait(wait).is_err() {
                // Two descriptors are never too many; should it be so, do not spin.
                return Found::StillThere;
            }
        }
    }

    /// Waits until it says something or ends, and reads what it said.
    fn wait(&mut self, at_most: Duration) -> io::Result<()> {
        let output = self.output.as_ref().map(Watch::readable);
        let exit = self.exit.as_ref().map(Watch::readable);
        let has_output = output.is_some();
        let mut watches: Vec<Watch> = output.into_iter().chain(exit).collect();
        wait_for_any(&mut watches, at_most)?;
        if has_output && watches[0].is_ready() {
            self.read();
        }
        Ok(())
    }

    /// Reads what is there; called when something is, so that it does not wait. What is not kept
    /// is read all the same, so that a program that says much does not wait for us either.
    fn read(&mut self) {
        let Some(output) = &mut self.output else {
            return;
        };
        let mut chunk = [0; CHUNK_LEN];
        match output.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => self.output = None,
            Ok(len) => {
                let room = self.kept_max - self.kept.len();
                self.kept.extend_from_slice(&chunk[..len.min(room)]);
                self.is_cut |= len > room;
            }
        }
    }

    /// Ends those that it left behind, reads what is still in the pipe, and lets it go.
    fn reap(&mut self) -> End {
        // Nobody is left to be signalled, most often.
        let _ = process::end_group(&self.child, Ending::Kill);
        for _ in 0..LAST_READS_MAX {
            let Some(output) = &self.output else {
                break;
            };
            let mut watches = [Watch::readable(output)];
            let waited = wait_for_any(&mut watches, Duration::ZERO);
            if waited.is_err() || !watches[0].is_ready() || self.is_cut {
                break;
            }
            self.read();
        }
        match self.child.wait() {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => End::Code(code),
                (None, Some(signal)) => End::Signal(signal),
                (None, None) => End::Lost,
            },
            Err(_) => End::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// Far above what anything here takes.
    const LONG: Duration = Duration::from_secs(30);

    fn shell<'a>(arguments: &'a [String], timeout: Duration) -> Run<'a> {
        Run {
            program: Path::new("/bin/sh"),
            arguments,
            environment: &[],
            account: None,
            timeout,
            kept_max: 100,
        }
    }

    fn words(script: &str) -> [String; 2] {
        ["-c".to_string(), script.to_string()]
    }

    fn ended(script: &str, timeout: Duration) -> (End, String) {
        let arguments = words(script);
        let ended = Slot::default().run(&shell(&arguments, timeout)).unwrap();
        (ended.end, String::from_utf8(ended.output).unwrap())
    }

    /// As on a system that cannot tell us of a child's end.
    fn ended_unaided(script: &str, timeout: Duration) -> (End, String) {
        let arguments = words(script);
        let started = shell(&arguments, timeout).start().unwrap();
        let mut running = Running::new(started, 100);
        running.exit = None;
        let (ended, left) = running.until_end(timeout, &Place::default());
        assert!(left.is_none());
        (ended.end, String::from_utf8(ended.output).unwrap())
    }

    #[test]
    fn each_end_is_told_with_what_was_said() {
        for ended in [ended, ended_unaided] {
            assert_eq!(ended("true", LONG), (End::Code(0), String::new()));
            let both = "echo one; echo two >&2; echo three; exit 9";
            let said = "one\ntwo\nthree\n".to_string();
            assert_eq!(ended(both, LONG), (End::Code(9), said));
            assert_eq!(ended("kill -9 $$", LONG), (End::Signal(9), String::new()));
            let closes = "exec >/dev/null 2>&1; sleep 0.2; exit 3";
            assert_eq!(ended(closes, LONG), (End::Code(3), String::new()));
            let waits = "echo begun; sleep 1000";
            let (end, output) = ended(waits, Duration::from_millis(300));
            assert_eq!((end, output.as_str()), (End::Late, "begun\n"));
        }
    }

    #[test]
    fn the_beginning_is_kept_and_the_rest_does_not_hold_it_up() {
        for (len, is_cut) in [(100, false), (101, true), (1_000_000, true)] {
            let arguments = words(&format!("head -c {len} /dev/zero | tr '\\0' x; exit 4"));
            let ended = Slot::default().run(&shell(&arguments, LONG)).unwrap();
            assert_eq!((ended.end, ended.is_cut), (End::Code(4), is_cut), "{len}");
            assert_eq!(ended.output, [b'x'; 100]);
        }
    }

    #[test]
    fn who_left_the_group_and_holds_the_pipe_delays_nothing() {
        for ended in [ended, ended_unaided] {
            let started = Instant::now();
            let (end, output) = ended("setsid sleep 20 & echo started; exit 0", LONG);
            assert_eq!((end, output.as_str()), (End::Code(0), "started\n"));
            assert!(started.elapsed() < Duration::from_secs(15));
        }
    }

    #[test]
    fn who_ignores_being_told_is_killed() {
        let started = Instant::now();
        let (end, output) = ended(
            "trap 'echo no' TERM; while :; do sleep 0.1; done",
            Duration::from_millis(200),
        );
        assert_eq!(end, End::Late);
        assert!(output.contains("no\n"), "{output:?}");
        assert!(started.elapsed() >= TERMINATE_WAIT);
    }

    #[test]
    fn what_is_no_program_is_not_started() {
        let arguments = [];
        for program in ["/no/such/program", "/etc/passwd", "/etc"] {
            let run = Run {
                program: Path::new(program),
                ..shell(&arguments, LONG)
            };
            let not_run = Slot::default().run(&run).unwrap_err();
            assert!(matches!(not_run, NotRun::NotStarted(_)), "{not_run:?}");
        }
    }

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
            ended("true", LONG);
        }
    }
}
