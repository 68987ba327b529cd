//! Making a directory, asking whether one may be written, reading files that may be longer than
//! they should be, and locking a file against other processes (flock(2)); std has that only from
//! Rust 1.89 on. For tests also a file that holds whoever opens it (F_SETLEASE in fcntl(2)).

use std::ffi::{CString, c_char, c_int, c_uint};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::cerr;

/// A whole file, or the first `len_max` bytes of it.
///
/// # Errors
/// It cannot be opened or read.
pub(crate) fn read_at_most(path: &Path, len_max: u64) -> io::Result<Vec<u8>> {
    take_at_most(File::open(path)?, len_max)
}

/// What is left of a file, or the first `len_max` bytes of that.
///
/// # Errors
/// It cannot be read.
pub(crate) fn take_at_most(file: File, len_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(len_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Standard input, as a file like any other.
///
/// # Errors
/// It is closed, or there is no descriptor to be had.
pub(crate) fn standard_input() -> io::Result<File> {
    copy_of(0)
}

/// Standard output, as a file like any other: what is written is written at once.
///
/// # Errors
/// As for [`standard_input`].
pub(crate) fn standard_output() -> io::Result<File> {
    copy_of(1)
}

fn copy_of(standard: RawFd) -> io::Result<File> {
    // SAFETY: the descriptor is lent for this one call, and nothing here ever closes it.
    let lent = unsafe { BorrowedFd::borrow_raw(standard) };
    lent.try_clone_to_owned().map(File::from)
}

/// The same everywhere.
const LOCK_EX: c_int = 2;
const LOCK_NB: c_int = 4;
const LOCK_UN: c_int = 8;

unsafe extern "C" {
    fn mkdir(path: *const c_char, mode: c_uint) -> c_int;
    fn access(path: *const c_char, mode: c_int) -> c_int;
    safe fn flock(fd: c_int, operation: c_int) -> c_int;
}

/// Makes a directory with this mode, less the umask. std's way has one for all above it within,
/// which is 2.6 KB.
///
/// # Errors
/// Something of that name is there, or the file system refuses.
pub(crate) fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: mkdir(2) reads a string, which this is.
    cerr(unsafe { mkdir(path.as_ptr(), mode) }).map(drop)
}

/// Whether we may write there (access(2)), be it a file or a directory.
///
/// # Errors
/// Why we may not: `ReadOnlyFilesystem` where it is mounted so, for root, too.
pub(crate) fn may_write(path: &Path) -> io::Result<()> {
    /// The same everywhere.
    const W_OK: c_int = 2;
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: access(2) reads a string, which this is.
    cerr(unsafe { access(path.as_ptr(), W_OK) }).map(drop)
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
    /// Whoever has the lease is sent a signal; this one does nothing.
    const SIGURG: c_int = 23;
    let fd = file.as_raw_fd();
    cerr(fcntl(fd, F_SETSIG, SIGURG))
        .and_then(|_| cerr(fcntl(fd, F_SETLEASE, F_WRLCK)))
        .is_ok()
}

/// Whether somebody hangs who opens a file that is held so.
#[cfg(test)]
pub(crate) fn holds_one(file: &File) -> bool {
    const F_GETLEASE: c_int = 1_025;
    // It says what the lease is to become for whoever waits (`fcntl_getlease`, fs/locks.c).
    fcntl(file.as_raw_fd(), F_GETLEASE) != F_WRLCK
}

#[cfg(test)]
const F_WRLCK: c_int = 1;

#[cfg(test)]
unsafe extern "C" {
    safe fn fcntl(fd: c_int, operation: c_int, ...) -> c_int;
}
