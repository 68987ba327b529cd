//! Random bytes from the system.

use std::fs::File;
use std::io::{self, Read};

/// Never waits on Linux, and is there on the BSDs and macOS as well.
const SOURCE: &str = "/dev/urandom";

/// Bytes that nobody can guess.
///
/// # Errors
/// There is no such device, as in a chroot that lacks it, or no descriptor for it. Nothing weaker
/// takes its place.
pub(crate) fn random<const LEN: usize>() -> io::Result<[u8; LEN]> {
    let mut bytes = [0; LEN];
    File::open(SOURCE)?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_never_the_same() {
        assert_ne!(random::<16>().unwrap(), random::<16>().unwrap());
    }
}
