//! Locking a file against other processes (flock(2)); std has it only from Rust 1.89 on.

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
