//! Numbers that a stranger cannot guess: identifiers of questions, the noise of a handshake.
//!
//! Nothing secret may depend on them. std seeds its hashers from the system, once for each thread,
//! and gives each one a key of its own.
#![forbid(unsafe_code)]

use std::hash::{BuildHasher, Hasher, RandomState};

/// A number that differs from call to call, thread to thread and process to process.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ_in_all_their_bits() {
        let (mut ever, mut always) = (0, u64::MAX);
        for _ in 0..200 {
            let number = random();
            ever |= number;
            always &= number;
        }
        assert_eq!((ever, always), (u64::MAX, 0));
        assert_ne!(random(), random());
    }
}
