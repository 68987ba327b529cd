//! The credentials that were right a moment ago, so that a client which sends them with every
//! request does not cost a bcrypt each time.
//!
//! Nothing here can be turned back into a password: what is kept is a SHA-1 over a random salt,
//! made when the process starts, and the credentials. SHA-1's weakness is in collisions, which
//! cannot be prepared against a salt that nobody knows.
#![forbid(unsafe_code)]

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use super::same;
use crate::wire::digest::Sha1;

/// What credentials are remembered by.
#[derive(Clone, Copy)]
pub(super) struct Print([u8; 20]);

/// The prints of what was right.
pub(super) struct Memory {
    salt: [u64; 2],
    /// At most `ENTRIES_MAX`, the oldest first, each with the moment it was found right.
    entries: Vec<(Print, Instant)>,
}

impl Memory {
    pub(super) fn new() -> Memory {
        // std seeds its hashers from the system's random numbers: two give 128 bits.
        let random = || RandomState::new().build_hasher().finish();
        Memory {
            salt: [random(), random()],
            entries: Vec::new(),
        }
    }

    /// Remembers for [`LIFETIME`] from `now`; of too many, the oldest goes.
    pub(super) fn remember(&mut self, print: Print, now: Instant) {
        self.entries.retain(|(_, since)| fresh(*since, now));
        if self.entries.len() >= ENTRIES_MAX {
            self.entries.remove(0);
        }
        self.entries.push((print, now));
    }

    /// Forgets all: what they were held against has changed.
    pub(super) fn forget(&mut self) {
        self.entries.clear();
    }

    /// The print of `credentials`; another process makes another.
    pub(super) fn print(&self, credentials: &[u8]) -> Print {
        let mut digest = Sha1::new();
        for word in self.salt {
            digest.update(&word.to_ne_bytes());
        }
        digest.update(credentials);
        Print(digest.finish())
    }

    /// Whether `print` was right not long before `now`. Looks at every entry, wherever it is.
    pub(super) fn recalls(&self, print: &Print, now: Instant) -> bool {
        let known =
            |(entry, since): &(Print, Instant)| same(&entry.0, &print.0) & fresh(*since, now);
        self.entries
            .iter()
            .fold(false, |found, entry| found | known(entry))
    }
}

/// A caller that has waited may come with an older `now`: that is fresh, too.
fn fresh(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < LIFETIME
}

/// Long enough for a page that is reloaded or a script that loops; a password that was taken away
/// elsewhere than in the file, which is noticed at once, is good no longer than this.
const LIFETIME: Duration = Duration::from_secs(60);

/// More people than change things on one host; about 3 KiB.
const ENTRIES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recalls_for_sixty_seconds_and_no_longer() {
        let mut memory = Memory::new();
        let start = Instant::now();
        let print = memory.print(b"bob:secret");
        assert!(!memory.recalls(&print, start));
        memory.remember(print, start);
        assert!(memory.recalls(&print, start));
        assert!(memory.recalls(&print, start + Duration::from_millis(59_999)));
        assert!(!memory.recalls(&print, start + Duration::from_secs(60)));
        assert!(!memory.recalls(&memory.print(b"bob:secret2"), start));
    }

    #[test]
    fn keeps_sixty_four_and_drops_the_oldest() {
        let mut memory = Memory::new();
        let start = Instant::now();
        let prints: Vec<Print> = (0..65_u8).map(|byte| memory.print(&[byte])).collect();
        for print in &prints {
            memory.remember(*print, start);
        }
        assert_eq!(memory.entries.len(), ENTRIES_MAX);
        assert!(!memory.recalls(&prints[0], start));
        assert!(prints[1..].iter().all(|print| memory.recalls(print, start)));
        memory.remember(prints[0], start + LIFETIME);
        assert_eq!(memory.entries.len(), 1);
        memory.forget();
        assert!(memory.entries.is_empty());
    }

    #[test]
    fn prints_differ_between_memories() {
        let (one, other) = (Memory::new(), Memory::new());
        assert!(one.salt != other.salt);
        assert!(one.print(b"a:b").0 != other.print(b"a:b").0);
    }
}
