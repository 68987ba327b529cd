//! Locking a file against other processes (flock(2)); std has it only from Rust 1.89 on. For tests
//! also a file that holds whoever opens it (F_SETLEASE in fcntl(2)).

use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use super::cerr;

/// The same everywhere.
const LOCK_EX: c_int = 2;
const LOCK_NB: c_int = 4;
const LOCK_UN: c_int = 8;

unsafe extern "C" {
    safe fn flock(fd: c_int, operation: c_int) -> c_int;
}

/// Locks a file for this process alone, until the last copy of it is closed, however that comes
/// about. `false` when another has it.
///
/// # Errors
/// The file system cannot lock.
pub(crate) fn lock_now(file: &File) -> io::Result<bool> {
    match cerr(flock(file.as_raw_fd(), LOCK_EX | LOCK_NB)) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives the lock back, also for copies of the file, such as those that a child has which was just
/// started and has not closed them yet.
///
/// # Errors
/// The file system cannot lock.
pub(crate) fn unlock(file: &File) -> io::Result<()> {
    cerr(flock(file.as_raw_fd(), LOCK_UN)).map(drop)
}

/// Has everybody who opens this file hang until it is closed, or for a while (45 s by default).
/// `false` where the system or the file system cannot.
#[cfg(test)]
pub(crate) fn hold_openers(file: &File) -> bool {
    const F_SETSIG: c_int = 10;
    const F_SETLEASE: c_int = 1_024;
    const F_WRLCK: c_int = 1;
    /// Whoever has the lease is sent a signal; this one does nothing.
    const SIGURG: c_int = 23;

    unsafe extern "C" {
        safe fn fcntl(fd: c_int, operation: c_int, ...) -> c_int;
    }
    let fd = file.as_raw_fd();
    cerr(fcntl(fd, F_SETSIG, SIGURG))
        .and_then(|_| cerr(fcntl(fd, F_SETLEASE, F_WRLCK)))
        .is_ok()
}
