//! Which boot of the machine this is, how long it has lasted, and what its monotonic clock says.
//!
//! A process that ended cannot hand its `Instant`s on; what is to be judged by its age after a
//! restart needs a time line that both processes share. It has no meaning across boots.

use std::ffi::{c_int, c_long};
use std::path::Path;
use std::time::Duration;

use super::file::read_at_most;

/// The name of this boot, a random UUID (random(4)). `None` where /proc is missing.
pub(crate) fn boot_id() -> Option<String> {
    let id = line_of("/proc/sys/kernel/random/boot_id")?;
    let id = id.trim();
    let is_one = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    (id.len() == 36 && id.bytes().all(is_one)).then(|| id.to_string())
}

/// How long the machine has been up, suspended times included (proc(5)). `None` where /proc is
/// missing. In a container that fakes it it may start again within one boot: then what is
/// reckoned with it comes out younger than it is, never older.
pub(crate) fn uptime() -> Option<Duration> {
    let text = line_of("/proc/uptime")?;
    let (seconds, rest) = text.split_once('.')?;
    let hundredths = rest.split(' ').next().filter(|digits| digits.len() == 2)?;
    let hundredths: u64 = hundredths.parse().ok()?;
    let whole = Duration::from_secs(seconds.parse().ok()?);
    Some(whole + Duration::from_millis(hundredths * 10))
}

/// What the kernel says in one line, which is never as long as this.
fn line_of(path: &str) -> Option<String> {
    String::from_utf8(read_at_most(Path::new(path), 1_024).ok()?).ok()
}

/// On Linux.
const CLOCK_MONOTONIC: c_int = 1;

unsafe extern "C" {
    fn clock_gettime(clock: c_int, time: *mut c_long) -> c_int;
}

/// The machine's monotonic clock in microseconds, as other processes see it (clock_gettime(2)).
pub(crate) fn monotonic_micros() -> Option<u64> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    // A timespec is two longs wherever this symbol is the old one; twice the room is for systems
    // of 32 bits that know the new one only. There the second long is not the nanoseconds but the
    // upper half of the seconds, and zero.
    let mut time: [c_long; 4] = [0; 4];
    // SAFETY: clock_gettime(2) writes one struct timespec, at most 16 bytes, and `time` has as
    // many on systems of 32 bits, and 32 on those of 64.
    if unsafe { clock_gettime(CLOCK_MONOTONIC, time.as_mut_ptr()) } != 0 {
        return None;
    }
    let seconds = u64::try_from(time[0]).ok()?;
    let nanoseconds = u64::try_from(time[1]).ok()?;
    Some(seconds * 1_000_000 + nanoseconds / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_boot_has_a_name_and_lasts() {
        assert_eq!(boot_id().unwrap().len(), 36);
        assert_eq!(boot_id(), boot_id());
        let before = uptime().unwrap();
        assert!(before > Duration::ZERO);
        assert!(uptime().unwrap() >= before);
    }

    #[test]
    fn the_monotonic_clock_goes_on() {
        let first = monotonic_micros().unwrap();
        assert!(first > 0);
        assert!(monotonic_micros().unwrap() >= first);
    }
}
