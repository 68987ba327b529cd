//! Signals as values: blocked in every thread and taken from a queue by one that waits.
//!
//! No handler ever runs, so nothing has to be safe inside one, and `struct sigaction`, whose
//! layout differs on nearly every machine, is not needed.

use std::ffi::c_int;
use std::io;

/// The signals that a daemon obeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP: read the configuration again.
    Hangup,
    /// SIGINT: stop, from a terminal.
    Interrupt,
    /// SIGTERM: stop.
    Terminate,
    /// SIGCHLD: a child has ended, of whichever thread.
    ChildEnded,
}

impl Signal {
    const ALL: [Signal; 4] = [
        Signal::Hangup,
        Signal::Interrupt,
        Signal::Terminate,
        Signal::ChildEnded,
    ];

    /// All but the last have the same numbers everywhere.
    fn number(self) -> c_int {
        match self {
            Signal::Hangup => 1,
            Signal::Interrupt => 2,
            Signal::Terminate => 15,
            Signal::ChildEnded => SIGCHLD,
        }
    }
}

const SIGCHLD: c_int = match () {
    _ if cfg!(any(
        target_arch = "mips",
        target_arch = "mips32r6",
        target_arch = "mips64"
    )) =>
    {
        18
    }
    _ if cfg!(any(target_arch = "sparc", target_arch = "sparc64")) => 20,
    _ if cfg!(target_os = "linux") => 17,
    _ => 20,
};

/// Signals that are kept for [`wait`](Signals::wait) instead of ending the process.
#[derive(Debug)]
pub struct Signals {
    set: SigSet,
}

/// At least as large as any system's `sigset_t` (128 bytes on Linux).
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
struct SigSet([u8; 128]);

#[cfg(any(
    target_arch = "mips",
    target_arch = "mips32r6",
    target_arch = "mips64",
    target_arch = "mips64r6"
))]
const SIG_BLOCK: c_int = 1;
#[cfg(all(
    target_os = "linux",
    not(any(
        target_arch = "mips",
        target_arch = "mips32r6",
        target_arch = "mips64",
        target_arch = "mips64r6"
    ))
))]
const SIG_BLOCK: c_int = 0;
#[cfg(not(target_os = "linux"))]
const SIG_BLOCK: c_int = 1;

#[cfg(any(
    target_arch = "mips",
    target_arch = "mips32r6",
    target_arch = "mips64",
    target_arch = "mips64r6"
))]
const SIG_SETMASK: c_int = 3;
#[cfg(all(
    target_os = "linux",
    not(any(
        target_arch = "mips",
        target_arch = "mips32r6",
        target_arch = "mips64",
        target_arch = "mips64r6"
    ))
))]
const SIG_SETMASK: c_int = 2;
#[cfg(not(target_os = "linux"))]
const SIG_SETMASK: c_int = 3;

unsafe extern "C" {
    fn sigemptyset(set: *mut SigSet) -> c_int;
    fn sigaddset(set: *mut SigSet, signal: c_int) -> c_int;
    fn pthread_sigmask(how: c_int, set: *const SigSet, old: *mut SigSet) -> c_int;
    fn sigwait(set: *const SigSet, signal: *mut c_int) -> c_int;
}

impl Signals {
    /// Keeps these signals from now on, in this thread and in those that it starts: so call it
    /// first in `main`. For the rest of the process's life they do nothing but end a
    /// [`wait`](Signals::wait).
    ///
    /// # Errors
    /// The system refuses, which no known one does.
    pub fn keep(signals: &[Signal]) -> io::Result<Signals> {
        let mut set = SigSet([0; 128]);
        // SAFETY: sigemptyset(3) initialises one sigset_t; `set` is at least that large.
        super::cerr(unsafe { sigemptyset(&mut set) })?;
        for signal in signals {
            // SAFETY: `set` was initialised above, and the number is a valid signal's.
            super::cerr(unsafe { sigaddset(&mut set, signal.number()) })?;
        }
        // SAFETY: `set` is initialised; a null pointer asks for no old mask (pthread_sigmask(3)).
        match unsafe { pthread_sigmask(SIG_BLOCK, &set, std::ptr::null_mut()) } {
            0 => Ok(Signals { set }),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// Waits for one of them.
    pub fn wait(&self) -> Signal {
        loop {
            let mut number = 0;
            // SAFETY: `set` is initialised and its signals are blocked; `number` receives an int
            // (sigwait(3)).
            let result = unsafe { sigwait(&self.set, &mut number) };
            let signal = Signal::ALL
                .into_iter()
                .find(|signal| signal.number() == number);
            // EINTR, on systems that say so, is no signal of ours: wait on.
            if let (0, Some(signal)) = (result, signal) {
                return signal;
            }
        }
    }
}

/// Lets every signal through to this thread again: for a new process, which inherits the mask of
/// the thread that made it. Safe between fork(2) and exec(2).
///
/// # Errors
/// The system refuses, which no known one does.
pub(super) fn unblock_all() -> io::Result<()> {
    let mut none = SigSet([0; 128]);
    // SAFETY: sigemptyset(3) initialises one sigset_t; `none` is at least that large.
    super::cerr(unsafe { sigemptyset(&mut none) })?;
    // SAFETY: `none` is initialised; a null pointer asks for no old mask (pthread_sigmask(3)).
    match unsafe { pthread_sigmask(SIG_SETMASK, &none, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
