//! How many file descriptors this process may have, and how many processors.

use std::ffi::{c_int, c_long};
use std::io;
use std::sync::OnceLock;

use super::cerr;

/// `_SC_OPEN_MAX`: the soft limit as a plain number, without a structure that varies.
#[cfg(target_os = "linux")]
const SC_OPEN_MAX: c_int = 4;
#[cfg(not(target_os = "linux"))]
const SC_OPEN_MAX: c_int = 5;

/// `_SC_NPROCESSORS_ONLN`.
#[cfg(target_os = "linux")]
const SC_PROCESSORS: c_int = 84;
#[cfg(not(target_os = "linux"))]
const SC_PROCESSORS: c_int = 58;

/// What POSIX promises every process; taken when the system does not say.
const OPEN_MAX_LEAST: usize = 20;

#[cfg(any(
    target_arch = "mips",
    target_arch = "mips32r6",
    target_arch = "mips64",
    target_arch = "mips64r6"
))]
const RLIMIT_NOFILE: c_int = 5;
#[cfg(not(any(
    target_arch = "mips",
    target_arch = "mips32r6",
    target_arch = "mips64",
    target_arch = "mips64r6"
)))]
const RLIMIT_NOFILE: c_int = 7;

/// `rlim_t`, which is a long in 32-bit glibc and 64 bits wide elsewhere.
#[cfg(all(target_pointer_width = "32", target_env = "gnu"))]
type Limit = std::ffi::c_ulong;
#[cfg(not(all(target_pointer_width = "32", target_env = "gnu")))]
type Limit = u64;

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Rlimit {
    soft: Limit,
    hard: Limit,
}

unsafe extern "C" {
    safe fn sysconf(name: c_int) -> c_long;
    fn getrlimit(resource: c_int, limit: *mut Rlimit) -> c_int;
    fn setrlimit(resource: c_int, limit: *const Rlimit) -> c_int;
}

/// The limits before they were raised, for the programs that we start: some close every
/// descriptor that they might have, one by one, and few expect more than the usual.
static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// How many descriptors this process may have open.
pub(crate) fn descriptors() -> usize {
    usize::try_from(sysconf(SC_OPEN_MAX))
        .unwrap_or(OPEN_MAX_LEAST)
        .max(OPEN_MAX_LEAST)
}

/// How many processors there are for this process. Shares of one are not looked for, as the
/// standard library does by reading the files of control groups.
pub(crate) fn processors() -> usize {
    usize::try_from(sysconf(SC_PROCESSORS)).map_or(1, |processors| processors.max(1))
}

/// Raises the limit as far as it may be without privilege. A program does this for itself at its
/// start; a library must not.
///
/// # Errors
/// The system refuses, or this is not Linux, whose limit it is.
pub(crate) fn raise_descriptors() -> io::Result<()> {
    if !cfg!(target_os = "linux") {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let mut limit = Rlimit::default();
    // SAFETY: getrlimit(2) writes one struct rlimit, which `limit` is.
    cerr(unsafe { getrlimit(RLIMIT_NOFILE, &mut limit) })?;
    BEFORE.get_or_init(|| limit);
    limit.soft = limit.hard;
    // SAFETY: setrlimit(2) reads one struct rlimit, which `limit` is.
    cerr(unsafe { setrlimit(RLIMIT_NOFILE, &limit) })?;
    Ok(())
}

/// Takes back what [`raise_descriptors`] did, as far as possible: for a new process before it
/// becomes another program. Safe between fork(2) and exec(2).
pub(super) fn restore_descriptors() {
    if let Some(limit) = BEFORE.get() {
        // SAFETY: setrlimit(2) reads one struct rlimit, which `limit` is.
        unsafe { setrlimit(RLIMIT_NOFILE, limit) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::{Program, spawn_apart};
    use std::io::Read;
    use std::path::Path;

    #[test]
    fn the_limit_is_the_one_the_system_keeps() {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max open files"))
            .unwrap();
        let soft = line.split_whitespace().nth(3).unwrap();
        assert_eq!(descriptors().to_string(), soft);
        raise_descriptors().unwrap();
        let hard = line.split_whitespace().nth(4).unwrap();
        assert_eq!(descriptors().to_string(), hard);
        let ask = Program {
            path: Path::new("/bin/sh"),
            arguments: &["-c".to_string(), "ulimit -n".to_string()],
            environment: &[],
            rights: None,
        };
        let (child, mut output) = spawn_apart(&ask).unwrap();
        let mut told = String::new();
        output.read_to_string(&mut told).unwrap();
        child.wait().unwrap();
        assert_eq!(told.trim(), soft);
    }
}
