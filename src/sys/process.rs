//! Programs that we start: cut loose from us, ended as a group, looked at without being reaped.
//!
//! std starts programs, and changes the user they run as. It lets them inherit our signal mask and
//! what was ignored for us, it signals one process and never a group, and what it waits for it
//! reaps, after which the group's number may belong to somebody else.

use std::ffi::{c_int, c_long, c_uint, c_ulong};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use super::{cerr, limits, signals};

/// `idtype_t` and options of waitid(2) on Linux.
const P_PID: c_uint = 1;
const WNOHANG: c_int = 1;
const WEXITED: c_int = 4;
const WNOWAIT: c_int = 0x0100_0000;

/// The ordinary signals end here; the C library has its own plans for some of those above.
const SIGNAL_LAST: c_int = 31;
/// `SIG_DFL`, a null pointer everywhere.
const SIG_DFL: usize = 0;

const SIGKILL: c_int = 9;
const SIGTERM: c_int = 15;

const PR_SET_PDEATHSIG: c_int = 1;
const CLOSE_RANGE_CLOEXEC: c_uint = 4;
/// Descriptors below are a program's own.
const FIRST_OTHER_DESCRIPTOR: c_uint = 3;

/// System calls that are too new for some C libraries; those since 2019 have one number on all
/// machines, but for the offsets of MIPS.
const SYSCALLS: c_long = if cfg!(any(target_arch = "mips", target_arch = "mips32r6")) {
    4_000
} else if cfg!(any(target_arch = "mips64", target_arch = "mips64r6")) {
    5_000
} else {
    0
};
const PIDFD_OPEN: c_long = SYSCALLS + 434;
const CLOSE_RANGE: c_long = SYSCALLS + 436;

/// `siginfo_t`, 128 bytes on Linux; its first member is the signal's number.
#[repr(C, align(8))]
struct SigInfo([c_int; 32]);

const _: () = assert!(size_of::<SigInfo>() == 128);

unsafe extern "C" {
    safe fn geteuid() -> c_uint;
    #[link_name = "kill"]
    safe fn kill_process(pid: c_int, signal: c_int) -> c_int;
    safe fn dup2(from: c_int, to: c_int) -> c_int;
    fn waitid(kind: c_uint, id: c_uint, info: *mut SigInfo, options: c_int) -> c_int;
    fn signal(number: c_int, handler: usize) -> usize;
    fn prctl(option: c_int, ...) -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
}

/// How a group is told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// SIGTERM, which a program may use to tidy up, or ignore.
    Terminate,
    /// SIGKILL.
    Kill,
}

/// The number of the user whose rights we have.
pub(crate) fn effective_user() -> u32 {
    geteuid()
}

/// Starts a program that shares nothing with us but what the command says: in a process group of
/// its own, with every signal as it is by default and none blocked, standard error going where
/// standard output does, our usual limit of descriptors, and no descriptor above 2 (before
/// Linux 5.11: none of ours; what we inherited ourselves stays open). It is told to terminate when
/// the thread that started it ends.
///
/// # Errors
/// The program cannot be started, or this is not Linux.
pub(crate) fn spawn_apart(command: &mut Command) -> io::Result<Child> {
    if !cfg!(target_os = "linux") {
        return Err(io::ErrorKind::Unsupported.into());
    }
    command.process_group(0);
    // SAFETY: between fork(2) and exec(2) only functions that are async-signal-safe may be called
    // (signal-safety(7)): `cut_loose` calls such functions only, and neither allocates nor locks.
    unsafe { command.pre_exec(cut_loose) };
    command.spawn()
}

/// What the new process does before it becomes the program.
fn cut_loose() -> io::Result<()> {
    for number in 1..=SIGNAL_LAST {
        // SAFETY: SIG_DFL is a valid disposition; the two signals that take none refuse it.
        unsafe { signal(number, SIG_DFL) };
    }
    signals::unblock_all()?;
    limits::restore_descriptors();
    cerr(dup2(1, 2))?;
    // SAFETY: PR_SET_PDEATHSIG takes one number (prctl(2)).
    unsafe { prctl(PR_SET_PDEATHSIG, SIGTERM as c_ulong) };
    // SAFETY: close_range(2) takes three numbers; here it closes nothing before exec(2). A system
    // that does not know it leaves everything as it is.
    unsafe {
        syscall(
            CLOSE_RANGE,
            FIRST_OTHER_DESCRIPTOR,
            c_uint::MAX,
            CLOSE_RANGE_CLOEXEC,
        )
    };
    Ok(())
}

/// Signals every process of the group that this child leads. The child must not have been reaped,
/// since its number is the group's.
///
/// # Errors
/// There is no such group, or none of it is ours to signal.
pub(crate) fn end_group(leader: &Child, ending: Ending) -> io::Result<()> {
    let number = match ending {
        Ending::Terminate => SIGTERM,
        Ending::Kill => SIGKILL,
    };
    // kill(2): 0, -0 and -1 would mean much more than one group.
    match c_int::try_from(leader.id()) {
        Ok(id) if id > 1 => cerr(kill_process(-id, number)).map(drop),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Whether a child has ended. It is left unreaped.
///
/// # Errors
/// There is no such child: it was reaped, by the system if SIGCHLD is ignored.
pub(crate) fn has_ended(child: &Child) -> io::Result<bool> {
    let mut info = SigInfo([0; 32]);
    let options = WEXITED | WNOHANG | WNOWAIT;
    // SAFETY: waitid(2) writes one siginfo_t, which `info` is.
    cerr(unsafe { waitid(P_PID, child.id(), &mut info, options) })?;
    Ok(info.0[0] != 0)
}

/// A descriptor that becomes readable when the child ends; `None` before Linux 5.3, and where
/// there is no descriptor to be had.
pub(crate) fn exit_of(child: &Child) -> Option<OwnedFd> {
    // SAFETY: pidfd_open(2) takes two numbers.
    let fd = unsafe { syscall(PIDFD_OPEN, child.id(), 0 as c_uint) };
    let fd = c_int::try_from(fd).ok().filter(|fd| *fd >= 0)?;
    // SAFETY: pidfd_open(2) just gave us this descriptor, and nobody else has it.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket::{Watch, wait_for_any};
    use std::process::Stdio;
    use std::time::Duration;

    fn start(script: &str) -> Child {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", script])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        spawn_apart(&mut command).unwrap()
    }

    #[test]
    fn the_end_of_a_child_is_seen_and_does_not_reap_it() {
        let mut child = start("exit 7");
        let Some(exit) = exit_of(&child) else {
            println!("skipped: this system has no pidfd_open");
            child.wait().unwrap();
            return;
        };
        while !has_ended(&child).unwrap() {
            wait_for_any(&mut [Watch::readable(&exit)], Duration::from_secs(30)).unwrap();
        }
        assert!(has_ended(&child).unwrap());
        assert_eq!(child.wait().unwrap().code(), Some(7));
        assert!(has_ended(&child).is_err());
    }

    #[test]
    fn a_group_ends_as_a_whole() {
        let mut child = start("sleep 1000 & sleep 1000 & wait");
        assert!(!has_ended(&child).unwrap());
        end_group(&child, Ending::Kill).unwrap();
        assert_eq!(child.wait().unwrap().code(), None);
    }
}
