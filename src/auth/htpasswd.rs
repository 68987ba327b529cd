//! HTTP Basic authentication against an Apache htpasswd file: who asks, in which order things are
//! locked, and what one verification may cost.
//!
//! The hashes are other files' work. What is here must keep two promises: no more than one core
//! is ever busy with hashes, and a refusal tells nobody which users there are.
#![forbid(unsafe_code)]

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::basic::Credentials;
use super::content::Content;
use super::users::Users;
use super::{Access, shown};
use crate::error::Error;

/// HTTP Basic authentication (RFC 7617) against an Apache htpasswd file.
///
/// # The file
///
/// One `user:hash` a line; blank lines and lines that start with `#` are skipped, what follows a
/// second colon is a comment. These hashes are taken:
///
/// - bcrypt, `$2y$` `$2a$` `$2b$`, by `htpasswd -B`: the one to use. The cost may be 4 to 12: 12
///   holds a small router's CPU for seconds, and more is refused. As in Apache, only the first 72
///   bytes of a password count.
/// - `$apr1$`, by `htpasswd -m`: MD5 a thousand times, Apache's old default.
/// - `{SHA}`, by `htpasswd -s`: SHA-1 without a salt, weak.
///
/// DES crypt, SHA-crypt and plain text are refused by name. So are a user who appears twice, a
/// line over 1024 bytes, and a file over 1 MiB.
///
/// # Changes
///
/// The file is looked at with every verification and read again when it changed, whether it was
/// written in place or replaced; no restart is needed. A file with one bad line is bad as a whole:
///
/// - [`HtpasswdFile::open`] refuses it;
/// - after a later edit, or when the file cannot be read for a while, the last good content stays
///   in force, and [`HtpasswdFile::problem`] says what is wrong until it is mended;
/// - a file that is removed takes everybody's access away: the answer is [`Access::Unavailable`]
///   until it is back; so does one that takes over 2 s to be read, on a disk or server that hangs,
///   until it answers again.
///
/// # Cost
///
/// One verification runs at a time, so a flood of requests uses no more than one core. What was
/// right is remembered for 60 seconds (64 credentials at most, as salted digests, forgotten when
/// the content changes) and answered at once even during a flood. A refusal takes the same time
/// whether the user exists or not.
///
/// # Examples
///
/// ```
/// use failover::{Access, HtpasswdFile};
/// use std::fs;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let path = std::env::temp_dir().join(format!("failover-users-{}", std::process::id()));
/// // The user "bob" with the password "pass", as made by: htpasswd -nbs bob pass
/// fs::write(&path, "bob:{SHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ=\n")?;
///
/// let users = HtpasswdFile::open(&path)?;
/// // "Ym9iOnBhc3M=" is "bob:pass" in base64.
/// let access = users.verify(Some("Basic Ym9iOnBhc3M="));
/// assert_eq!(access, Access::Granted { user: "bob".to_string() });
/// assert_eq!(users.verify(None), Access::Denied);
///
/// fs::remove_file(&path)?;
/// assert!(matches!(users.verify(None), Access::Unavailable(_)));
/// # Ok(())
/// # }
/// ```
pub struct HtpasswdFile {
    /// Held for moments; never while a hash is computed.
    content: Mutex<Content>,
    /// Whoever computes hashes holds this; taken before `content`, never after it.
    turn: Mutex<()>,
}

impl HtpasswdFile {
    /// Reads the file at `path`, and watches it from then on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`](crate::ErrorKind::System) if the file cannot be read;
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if it is not a regular file, is over
    /// 1 MiB, or has a bad line. The message is in the form
    /// `/etc/failover/users:3: user "bob": DES crypt hashes are not supported; use htpasswd -B`
    /// and never shows a password or a hash.
    pub fn open(path: impl Into<PathBuf>) -> Result<HtpasswdFile, Error> {
        let content = Content::open(path.into(), Instant::now())?;
        Ok(HtpasswdFile {
            content: Mutex::new(content),
            turn: Mutex::new(()),
        })
    }

    /// Whether there is nobody in it, as it was read last.
    pub(super) fn is_empty(&self) -> bool {
        let content = locked(&self.content);
        content.users.as_ref().is_none_or(|users| users.len() == 0)
    }

    /// Decides about the value of an `Authorization` header, `None` if the request had none.
    ///
    /// The scheme is taken in any case; the credentials are `user:password` in canonical base64,
    /// of any bytes but control characters, 768 at most. Anything else is [`Access::Denied`].
    ///
    /// Blocks while a hash is computed, and while others wait for theirs: milliseconds to, with
    /// the dearest hashes on a small router, seconds.
    pub fn verify(&self, authorization: Option<&str>) -> Access {
        self.verify_at(authorization, Instant::now)
    }

    /// What is wrong with the file as it is now, in the form of the errors of
    /// [`HtpasswdFile::open`]; `None` if its content is in force. Looks at the file.
    pub fn problem(&self) -> Option<String> {
        let mut content = locked(&self.content);
        match content.refresh(Instant::now()) {
            Ok(()) => content.problem.clone(),
            Err(why) => Some(why),
        }
    }

    /// As [`HtpasswdFile::verify`], by the clock `now`, which is read again after every wait.
    fn verify_at(&self, authorization: Option<&str>, now: impl Fn() -> Instant) -> Access {
        let credentials = authorization.and_then(Credentials::parse);
        if let Look::Answer(access) = self.look(credentials.as_ref(), now()) {
            return access;
        }
        let _turn = locked(&self.turn);
        // Looked at again: another may have had the same credentials checked while this one
        // waited, or the file may have changed.
        match (self.look(credentials.as_ref(), now()), &credentials) {
            (Look::Answer(access), _) => access,
            (Look::Check(users), Some(credentials)) => self.check(&users, credentials, now()),
            // Without credentials, a look is an answer.
            (Look::Check(_), None) => Access::Denied,
        }
    }

    /// What can be said without computing a hash.
    fn look(&self, credentials: Option<&Credentials>, now: Instant) -> Look {
        let mut content = locked(&self.content);
        if let Err(why) = content.refresh(now) {
            return Look::Answer(Access::Unavailable(why));
        }
        let Some(users) = &content.users else {
            return Look::Answer(Access::Unavailable(
                content.problem.clone().unwrap_or_default(),
            ));
        };
        let Some(credentials) = credentials else {
            return Look::Answer(Access::Denied);
        };
        let print = content.memory.print(credentials.bytes());
        if content.memory.recalls(&print, now) {
            return Look::Answer(granted(credentials));
        }
        Look::Check(Arc::clone(users))
    }

    /// The dear part; only whoever holds `turn` may come here.
    fn check(&self, users: &Arc<Users>, credentials: &Credentials, now: Instant) -> Access {
        if !users.verify(credentials.user(), credentials.password()) {
            return Access::Denied;
        }
        let mut content = locked(&self.content);
        // What was right against content that has changed meanwhile is not remembered.
        if content
            .users
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, users))
        {
            let print = content.memory.print(credentials.bytes());
            content.memory.remember(print, now);
        }
        granted(credentials)
    }
}

impl fmt::Debug for HtpasswdFile {
    /// Shows the path and the number of users, nothing of what they are held against.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = locked(&self.content);
        f.debug_struct("HtpasswdFile")
            .field("path", &content.path())
            .field("users", &content.users.as_ref().map(|users| users.len()))
            .field("problem", &content.problem)
            .finish()
    }
}

/// What looking at the file and the memory came to.
enum Look {
    Answer(Access),
    /// A hash has to be computed, against these.
    Check(Arc<Users>),
}

fn granted(credentials: &Credentials) -> Access {
    Access::Granted {
        user: shown(credentials.user()),
    }
}

/// A panic while one of these locks was held leaves nothing half done: users are swapped whole,
/// and a remembered entry more or less is only a hash more or less. So poison says nothing here.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc::{self, RecvTimeoutError};
    use std::thread;
    use std::time::Duration;

    use super::super::tests::{BOB_PASS, BOB_WORD, Folder, hold_openers_of};
    use super::*;
    use crate::error::ErrorKind;
    use crate::wire::base64;

    fn header(credentials: &str) -> String {
        format!("Basic {}", base64::encode(credentials.as_bytes()))
    }

    fn verify(file: &HtpasswdFile, credentials: &str) -> Access {
        file.verify(Some(&header(credentials)))
    }

    fn bob() -> Access {
        Access::Granted {
            user: "bob".to_string(),
        }
    }

    /// Whether this is answered from memory, without a hash.
    fn remembered(file: &HtpasswdFile, credentials: &str, now: Instant) -> bool {
        let credentials = Credentials::parse(&header(credentials));
        matches!(
            file.look(credentials.as_ref(), now),
            Look::Answer(Access::Granted { .. })
        )
    }

    #[test]
    fn grants_what_is_right_and_nothing_else() {
        let folder = Folder::new("grants");
        let file = HtpasswdFile::open(folder.users(BOB_PASS)).unwrap();
        assert_eq!(verify(&file, "bob:pass"), bob());
        for wrong in [
            "bob:Pass",
            "bob:",
            "bob:pass ",
            "Bob:pass",
            "eve:pass",
            ":pass",
            "bob",
        ] {
            assert_eq!(verify(&file, wrong), Access::Denied, "{wrong}");
        }
        for header in [None, Some(""), Some("Basic"), Some("Bearer Ym9iOnBhc3M=")] {
            assert_eq!(file.verify(header), Access::Denied);
        }
        assert_eq!(file.problem(), None);
    }

    #[test]
    fn follows_the_file_and_says_what_is_wrong_with_it() {
        let folder = Folder::new("follows");
        let file = HtpasswdFile::open(folder.users(BOB_PASS)).unwrap();
        assert_eq!(verify(&file, "bob:pass"), bob());
        let path = folder.users(BOB_WORD);
        assert_eq!(verify(&file, "bob:pass"), Access::Denied);
        assert_eq!(verify(&file, "bob:word"), bob());
        folder.users("bob:hunter2");
        assert_eq!(verify(&file, "bob:word"), bob());
        let expected = format!(
            "{}:1: user \"bob\": plain-text passwords are not supported; use htpasswd -B",
            path.display()
        );
        assert_eq!(file.problem(), Some(expected));
        fs::remove_file(&path).unwrap();
        let gone = file.problem().unwrap();
        assert_eq!(verify(&file, "bob:word"), Access::Unavailable(gone.clone()));
        assert_eq!(file.verify(None), Access::Unavailable(gone));
        folder.users(BOB_PASS);
        assert_eq!(verify(&file, "bob:pass"), bob());
        assert_eq!(file.problem(), None);
    }

    #[test]
    fn a_file_that_hangs_lets_nobody_in_until_it_answers_again() {
        let folder = Folder::new("hangs");
        let path = folder.users(BOB_PASS);
        let file = HtpasswdFile::open(&path).unwrap();
        assert_eq!(verify(&file, "bob:pass"), bob());
        folder.users(BOB_WORD);
        let Some(holder) = hold_openers_of(&path) else {
            return;
        };
        let expected = format!(
            "{}: cannot be read: did not answer within 2 s",
            path.display()
        );
        for _ in 0..100 {
            let access = verify(&file, "bob:pass");
            assert_eq!(access, Access::Unavailable(expected.clone()));
        }
        assert_eq!(file.problem(), Some(expected));
        drop(holder);
        while verify(&file, "bob:word") != bob() {
            thread::yield_now();
        }
        assert_eq!(file.problem(), None);
    }

    #[test]
    fn open_refuses_what_is_bad_with_the_right_kind() {
        let folder = Folder::new("open");
        let missing = HtpasswdFile::open(folder.path("missing")).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::System);
        assert!(missing.to_string().ends_with("/missing: cannot be read"));
        let directory = HtpasswdFile::open(folder.path("")).unwrap_err();
        assert_eq!(directory.kind(), ErrorKind::Invalid);
        assert!(directory.to_string().ends_with(": not a regular file"));
        let bad = HtpasswdFile::open(folder.users("bob:hunter2")).unwrap_err();
        assert_eq!(bad.kind(), ErrorKind::Invalid);
        // Long lines, that take no time to read.
        let line = format!("#{}\n", " ".repeat(126));
        let huge = HtpasswdFile::open(folder.users(&line.repeat(1 << 13))).map(|_| ());
        assert!(huge.is_ok());
        let huge = HtpasswdFile::open(folder.users(&line.repeat(9_000))).unwrap_err();
        assert!(
            huge.to_string()
                .ends_with("/users: file over 1048576 bytes")
        );
    }

    #[test]
    fn remembers_what_was_right_until_time_or_the_file_says_otherwise() {
        let folder = Folder::new("remembers");
        let path = folder.users(BOB_PASS);
        let file = HtpasswdFile::open(&path).unwrap();
        let now = Instant::now();
        assert_eq!(
            file.verify_at(Some(&header("bob:word")), || now),
            Access::Denied
        );
        assert!(!remembered(&file, "bob:word", now));
        assert_eq!(file.verify_at(Some(&header("bob:pass")), || now), bob());
        assert!(remembered(&file, "bob:pass", now + Duration::from_secs(59)));
        assert!(!remembered(&file, "bob:pas", now));
        assert!(!remembered(
            &file,
            "bob:pass",
            now + Duration::from_secs(60)
        ));
        // The same content again, or a bad edit: what was right still is.
        folder.users(BOB_PASS);
        assert!(remembered(&file, "bob:pass", now));
        folder.users("bob");
        assert!(remembered(&file, "bob:pass", now));
        folder.users(BOB_WORD);
        assert!(!remembered(&file, "bob:pass", now));
        // And forgotten means forgotten, even if the old password comes back.
        folder.users(BOB_PASS);
        assert!(!remembered(&file, "bob:pass", now));
    }

    #[test]
    fn one_verification_at_a_time_and_the_remembered_do_not_wait() {
        let folder = Folder::new("one");
        let file = HtpasswdFile::open(folder.users(BOB_PASS)).unwrap();
        assert_eq!(verify(&file, "bob:pass"), bob());
        let turn = locked(&file.turn);
        let (answer, answered) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| answer.send(verify(&file, "bob:word")));
            let waited = answered.recv_timeout(Duration::from_millis(50));
            assert_eq!(waited, Err(RecvTimeoutError::Timeout));
            assert_eq!(verify(&file, "bob:pass"), bob());
            drop(turn);
            assert_eq!(
                answered.recv_timeout(Duration::from_secs(30)),
                Ok(Access::Denied)
            );
        });
    }

    #[test]
    fn debug_shows_no_hash() {
        let folder = Folder::new("debug");
        let path = folder.users(BOB_PASS);
        let file = HtpasswdFile::open(&path).unwrap();
        let text = format!("{file:?}");
        assert!(
            text.contains("users: Some(1)") && !text.contains("nU4e"),
            "{text}"
        );
    }

    /// Our own threads have 64 KiB in release and 256 KiB in debug builds.
    #[test]
    fn fits_the_stack_of_our_threads() {
        let folder = Folder::new("stack");
        let path = folder.users(concat!(
            "bob:$2y$04$yvzjN6L0d5nqLBHJoEY5fOLkdYsPfhvFw9iJ1CzZ/v9NWilnC8I6W\n",
            "dave:$apr1$vRaHYeSz$ZfmvEAVnXa1KyGSQ1e/CB/\n",
        ));
        let size = if cfg!(debug_assertions) { 256 } else { 64 } * 1024;
        let thread = thread::Builder::new().stack_size(size).spawn(move || {
            let file = HtpasswdFile::open(path).unwrap();
            ["bob:pass", "dave:pass", "bob:x", "dave:x", "eve:x"].map(|who| verify(&file, who))
        });
        let answers = thread.unwrap().join().unwrap();
        let granted = answers
            .iter()
            .filter(|access| **access != Access::Denied)
            .count();
        assert_eq!(granted, 2);
    }
}
