//! What std cannot ask of the system: signals, process groups, sockets bound before they connect,
//! waiting for many sockets, reading without waiting, the size of a listener's queue, limits,
//! resolver errors, random bytes, locks, what boot this is.
//!
//! This is the only room with unsafe code. No raw integer leaves it where a type can say what it
//! is, and every block says which contract it meets. It decides nothing. The constants are those
//! of Linux; MIPS differs from all others. Elsewhere what is missing answers `Unsupported`, or
//! std's own way is taken.

pub(crate) mod boot;
pub(crate) mod errno;
pub(crate) mod file;
pub(crate) mod hang;
#[cfg(feature = "lean")]
mod lean;
pub(crate) mod limits;
pub(crate) mod local;
pub(crate) mod notify;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod resolve;
pub(crate) mod signals;
pub(crate) mod socket;
pub(crate) mod thread;

use std::ffi::c_int;
use std::io;

/// Turns the -1 of a system call into the error it left.
fn cerr(result: c_int) -> io::Result<c_int> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
