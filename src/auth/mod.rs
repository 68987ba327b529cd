//! Who may change things over HTTP: credentials that arrive, and the files they are held against;
//! and the files that hold our own secrets.
//!
//! This room decides and never answers: it knows of no status code. It never logs, keeps or shows
//! a password or a hash, and no byte of a header or a file can make it panic.
#![forbid(unsafe_code)]

mod apr1;
mod basic;
mod bcrypt;
mod blowfish;
mod content;
mod hash;
mod htpasswd;
mod memory;
mod pi;
pub(crate) mod secret;
mod token;
mod users;

use std::hint;
use std::time::Duration;

pub use htpasswd::HtpasswdFile;
pub use token::TokenFile;

/// What a credential is worth: the answer of [`HtpasswdFile::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// The credentials are right.
    Granted {
        /// Who it is, for logs and events. Bytes that are not UTF-8 are shown as `\xNN`.
        user: String,
    },
    /// There are no credentials, or they are wrong. Over HTTP: `401` with `WWW-Authenticate`.
    Denied,
    /// There is nothing to hold credentials against, for the reason given, which names the file.
    /// Nobody is let in. Over HTTP: `500`, since other credentials would not help.
    Unavailable(String),
}

/// How long a file that credentials are held against may take: longer than a disk that is busy,
/// and shorter than others put up with who come after. One that takes longer is tried again at the
/// next request.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What a client is asked for that is to send a name and a password (RFC 7617).
pub(crate) const BASIC: &str = "Basic realm=\"failover\", charset=\"UTF-8\"";

/// Credentials that open something, of whichever kind.
#[derive(Debug)]
pub(crate) enum Guard {
    /// People: HTTP Basic.
    Users(HtpasswdFile),
    /// Programs: bearer tokens.
    Tokens(TokenFile),
}

impl Guard {
    /// Decides about the value of an `Authorization` header. Blocks as
    /// [`HtpasswdFile::verify`] does.
    pub(crate) fn verify(&self, authorization: Option<&str>) -> Access {
        match self {
            Guard::Users(file) => file.verify(authorization),
            Guard::Tokens(file) => file.verify(authorization),
        }
    }

    /// Whether it lets nobody in as it is now. A file of tokens has one at least.
    pub(crate) fn is_for_nobody(&self) -> bool {
        match self {
            Guard::Users(file) => file.is_empty(),
            Guard::Tokens(_) => false,
        }
    }

    /// What a client is asked for, as the value of `WWW-Authenticate`.
    pub(crate) fn challenge(&self) -> &'static str {
        match self {
            Guard::Users(_) => BASIC,
            Guard::Tokens(_) => "Bearer realm=\"failover\"",
        }
    }
}

/// Whether two secrets are equal, in a time that does not tell where they differ. Their lengths
/// are no secret.
pub(crate) fn same(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let differing = left
        .iter()
        .zip(right)
        .fold(0, |bits, (a, b)| bits | (a ^ b));
    // Kept from the optimizer, which might otherwise stop at the first difference.
    hint::black_box(differing) == 0
}

/// A name of any bytes, fit for a line of log: control characters are escaped, and bytes that are
/// not UTF-8 become `\xNN`.
fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                text.extend(c.escape_default());
            } else {
                text.push(c);
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::sys::file::hold_openers;

    /// `pass` and `word`, by `htpasswd -nbs`.
    pub(super) const BOB_PASS: &str = "bob:{SHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ=\n";
    pub(super) const BOB_WORD: &str = "bob:{SHA}PLzZCtxLGSqHpiWFC38jHK3fDrM=\n";

    /// A directory of its own for one test, removed at its end.
    pub(super) struct Folder(PathBuf);

    impl Folder {
        pub(super) fn new(test: &str) -> Folder {
            let name = format!("failover-auth-{}-{test}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        pub(super) fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        /// Replaces the file `users` as careful editors do.
        pub(super) fn users(&self, text: &str) -> PathBuf {
            let path = self.path("users");
            fs::write(self.path("new"), text).unwrap();
            fs::rename(self.path("new"), &path).unwrap();
            path
        }
    }

    /// Has whoever opens the file hang until this is dropped; none where that cannot be had.
    pub(super) fn hold_openers_of(path: &Path) -> Option<File> {
        let holder = File::options().read(true).write(true).open(path).unwrap();
        let is_held = hold_openers(&holder);
        if !is_held {
            println!("skipped: no lease on a file of {path:?}");
        }
        is_held.then_some(holder)
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn same_sees_every_single_difference() {
        let secret: Vec<u8> = (0..20).collect();
        assert!(same(&secret, &secret));
        assert!(same(&[], &[]));
        assert!(!same(&secret, &secret[1..]));
        for at in 0..secret.len() {
            for bit in 0..8 {
                let mut other = secret.clone();
                other[at] ^= 1 << bit;
                assert!(!same(&secret, &other));
            }
        }
    }

    #[test]
    fn shown_names_fit_one_line() {
        assert_eq!(shown("bob".as_bytes()), "bob");
        assert_eq!(shown("zoë".as_bytes()), "zoë");
        assert_eq!(shown(b"zo\xeb!"), "zo\\xeb!");
        assert_eq!(shown(b"a\nb"), "a\\nb");
    }
}
