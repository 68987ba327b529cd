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
//! Only what has left the group lives on. When we end ourselves, all that runs is ended so first.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
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

/// How one is ended that has not ended by itself, and how long that may take.
const ENDINGS: [(Ending, Duration); 2] = [
    (Ending::Terminate, TERMINATE_WAIT),
    (Ending::Kill, KILL_WAIT),
];

/// How often a child is looked at where the system cannot tell us of its end (before Linux 5.3);
/// nearly always the end of the pipe tells us first.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How often one that runs looks whether another waits for its end for too long.
pub(super) const WANTED_LOOK_EVERY: Duration = Duration::from_secs(1);

/// Read at once; a page, so that it fits the stack of a prober.
const CHUNK_LEN: usize = 4_096;

/// Reads after the program's end: more than a pipe holds by default (pipe(7)), 64 KiB, so that
/// somebody who goes on writing cannot keep us.
const LAST_READS_MAX: usize = 32;

/// All that runs.
static ALL: Mutex<All> = Mutex::new(All {
    is_over: false,
    starting: 0,
    started: Vec::new(),
});

/// Something ended, or was not started.
static ENDED: Condvar = Condvar::new();

struct All {
    /// Nothing more is to run.
    is_over: bool,
    /// How many are being started.
    starting: usize,
    /// Those whose number nobody else can have, since they were not reaped.
    started: Vec<Child>,
}

/// Ends all that runs and has nothing more run, for good: to be called before our own end. Returns
/// when all has ended, or [`ENDING_MAX`] has passed.
pub(crate) fn end_all() {
    let mut all = locked(&ALL);
    all.is_over = true;
    for (ending, wait) in ENDINGS {
        for child in &all.started {
            let _ = process::end_group(child, ending);
        }
        let runs = |all: &mut All| all.starting + all.started.len() > 0;
        let waited = ENDED.wait_timeout_while(all, wait, runs);
        all = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}

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

impl Run<'_> {
    /// Runs it and waits for its end, for its timeout and [`ENDING_MAX`] at most, or until it is to
    /// end for another's sake. How it ended; and itself, if it could not even be killed.
    ///
    /// # Errors
    /// It could not be started.
    pub(super) fn to_end(
        &self,
        is_wanted: &dyn Fn() -> bool,
    ) -> io::Result<(Ended, Option<Child>)> {
        let running = Running::new(self.start_one()?, self.kept_max);
        Ok(running.until_end(self.timeout, is_wanted))
    }

    /// Starts it as one of all.
    fn start_one(&self) -> io::Result<(Child, File)> {
        let mut all = locked(&ALL);
        if all.is_over {
            return Err(io::ErrorKind::Interrupted.into());
        }
        all.starting += 1;
        drop(all);
        let result = self.start();
        let mut all = locked(&ALL);
        all.starting -= 1;
        if let Ok((child, _)) = &result {
            all.started.push(child.clone());
            if all.is_over {
                // It missed being told, and has done nothing yet.
                let _ = process::end_group(child, Ending::Kill);
            }
        }
        ENDED.notify_all();
        result
    }

    pub(super) fn start(&self) -> io::Result<(Child, File)> {
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
    fn until_end(
        mut self,
        timeout: Duration,
        is_wanted: &dyn Fn() -> bool,
    ) -> (Ended, Option<Child>) {
        let mut found = self.watch(timeout, is_wanted);
        let is_late = matches!(found, Found::StillThere);
        for (ending, wait) in ENDINGS {
            if matches!(found, Found::StillThere) {
                // A group that we may not signal is one that stays, which is seen below.
                let _ = process::end_group(&self.child, ending);
                found = self.watch(wait, &|| false);
            }
        }
        if matches!(found, Found::Ended) {
            self.end_rest();
        }
        let mut all = locked(&ALL);
        all.started.retain(|one| one.id() != self.child.id());
        // Not before: from here on its number may be anybody's.
        let end = match found {
            Found::Ended => status_of(&self.child),
            Found::Gone => End::Lost,
            Found::StillThere => End::Late,
        };
        drop(all);
        ENDED.notify_all();
        let left = matches!(found, Found::StillThere).then(|| self.child.clone());
        let end = if is_late { End::Late } else { end };
        (self.ended(end), left)
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
    fn watch(&mut self, at_most: Duration, is_wanted: &dyn Fn() -> bool) -> Found {
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
            if is_wanted() {
                return Found::StillThere;
            }
            let look_every = if self.exit.is_some() {
                WANTED_LOOK_EVERY
            } else {
                LOOK_EVERY
            };
            let wait = left.min(look_every);
            // Want of memory passes, and is no fault of the program's. What needs none waits yet.
            if self.wait(wait).is_err() && wait_for_any(&mut [], LOOK_EVERY).is_err() {
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

    /// Ends those that it left behind, and reads what is still in the pipe.
    fn end_rest(&mut self) {
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
    }
}

/// Takes the status of one that has ended.
fn status_of(child: &Child) -> End {
    let status = child.wait().ok();
    let code = status.and_then(|it| it.code()).map(End::Code);
    let signal = status.and_then(|it| it.signal()).map(End::Signal);
    code.or(signal).unwrap_or(End::Lost)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::time::Instant;

    /// Far above what anything here takes.
    pub(in crate::net) const LONG: Duration = Duration::from_secs(30);

    pub(in crate::net) fn shell<'a>(arguments: &'a [String], timeout: Duration) -> Run<'a> {
        Run {
            program: Path::new("/bin/sh"),
            arguments,
            environment: &[],
            account: None,
            timeout,
            kept_max: 100,
        }
    }

    pub(in crate::net) fn words(script: &str) -> [String; 2] {
        ["-c".to_string(), script.to_string()]
    }

    fn ended(script: &str, timeout: Duration) -> (End, String) {
        let arguments = words(script);
        let ended = shell(&arguments, timeout).to_end(&|| false).unwrap().0;
        (ended.end, String::from_utf8(ended.output).unwrap())
    }

    /// As on a system that cannot tell us of a child's end.
    fn ended_unaided(script: &str, timeout: Duration) -> (End, String) {
        let arguments = words(script);
        let started = shell(&arguments, timeout).start().unwrap();
        let mut running = Running::new(started, 100);
        running.exit = None;
        let (ended, left) = running.until_end(timeout, &|| false);
        assert!(left.is_none());
        (ended.end, String::from_utf8(ended.output).unwrap())
    }

    /// With as much time as it takes to get as far as to say something.
    fn once_it_speaks(ended: impl Fn(Duration) -> (End, String)) -> (End, String) {
        let mut timeout = Duration::from_millis(200);
        loop {
            let (end, output) = ended(timeout);
            if !output.is_empty() || timeout > LONG {
                return (end, output);
            }
            timeout *= 4;
        }
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
            let (end, output) = once_it_speaks(|timeout| ended(waits, timeout));
            assert_eq!((end, output.as_str()), (End::Late, "begun\n"));
        }
    }

    #[test]
    fn the_beginning_is_kept_and_the_rest_does_not_hold_it_up() {
        for (len, is_cut) in [(100, false), (101, true), (1_000_000, true)] {
            let arguments = words(&format!("head -c {len} /dev/zero | tr '\\0' x; exit 4"));
            let ended = shell(&arguments, LONG).to_end(&|| false).unwrap().0;
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
        let script = "trap 'echo no' TERM; echo yes; while :; do sleep 0.1; done";
        let (end, output) = once_it_speaks(|timeout| ended(script, timeout));
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
            assert!(run.to_end(&|| false).is_err(), "{program}");
        }
    }
}
