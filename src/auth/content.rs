//! What a watched htpasswd file says at the moment: its users, whether it has changed since, and
//! what is wrong with it.
//!
//! The file is looked at (`stat`) every time it matters and read only when it changed. Nothing
//! here spends time on a hash: the lock around a `Content` is held for moments, or, while the file
//! hangs, for as long as its answer is waited for.
#![forbid(unsafe_code)]

use std::error;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ANSWER_WITHIN;
use super::memory::Memory;
use super::users::Users;
use crate::error::{Error, ErrorKind};
use crate::sys::file::read_at_most;
use crate::sys::hang;

/// The file's last good content, and what belongs to it.
pub(super) struct Content {
    path: PathBuf,
    /// `None` after the file was removed, until it is back and good.
    pub(super) users: Option<Arc<Users>>,
    /// What was right against `users`; forgotten with them.
    pub(super) memory: Memory,
    /// Why the file is not in force as it is now.
    pub(super) problem: Option<String>,
    /// The file as it was when last read; `None` if it has to be read again.
    stamp: Option<Stamp>,
    /// When to read once more although nothing seems changed.
    confirm_at: Option<Instant>,
}

impl Content {
    /// Reads the file for the first time, when whatever is wrong with it is an error.
    pub(super) fn open(path: PathBuf, now: Instant) -> Result<Content, Error> {
        let look = look(&path, None).map_err(|error| unreadable(&path, error))?;
        let Look { stamp, users } = look;
        let users = users.transpose()?.map(Arc::new);
        Ok(Content {
            path,
            users,
            memory: Memory::new(),
            problem: None,
            stamp: Some(stamp),
            confirm_at: now.checked_add(SETTLED),
        })
    }

    /// Where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at the file, and reads it if it changed. A bad edit leaves the users as they were.
    ///
    /// # Errors
    /// The file does not answer, and nobody knows what it says.
    pub(super) fn refresh(&mut self, now: Instant) -> Result<(), String> {
        let is_settled = self.confirm_at.is_none_or(|at| now < at);
        let known = self.stamp.filter(|_| is_settled);
        match look(&self.path, known) {
            Ok(found) => self.take(found, now),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(described(&unreadable(&self.path, error)));
            }
            Err(error) => {
                if is_gone(&error) {
                    // Removing the file is how everybody's access is taken away.
                    self.users = None;
                    self.memory.forget();
                }
                self.stamp = None;
                self.problem = Some(described(&unreadable(&self.path, error)));
            }
        }
        Ok(())
    }

    fn take(&mut self, found: Look, now: Instant) {
        let Some(users) = found.users else {
            return;
        };
        let changed = self.stamp != Some(found.stamp);
        self.confirm_at = if changed {
            now.checked_add(SETTLED)
        } else {
            None
        };
        self.stamp = Some(found.stamp);
        match users {
            Ok(users) => {
                self.replace(users);
                self.problem = None;
            }
            Err(error) => {
                // What is bad stays bad until it changes; what could not be read may be readable
                // the next time.
                if error.kind() == ErrorKind::System {
                    self.stamp = None;
                }
                self.problem = Some(described(&error));
            }
        }
    }

    /// Puts new users in force. If they say the same as before, what is remembered stays good.
    fn replace(&mut self, users: Users) {
        if self.users.as_deref() != Some(&users) {
            self.users = Some(Arc::new(users));
            self.memory.forget();
        }
    }
}

/// What tells one state of a file from another. The time of the last change of status is among
/// it, since a copy may set the other time back.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(found: &Metadata) -> Stamp {
        Stamp {
            device: found.dev(),
            inode: found.ino(),
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

/// What a look at the file came to.
struct Look {
    stamp: Stamp,
    /// What it says; nothing if it is as it is known.
    users: Option<Result<Users, Error>>,
}

/// Looks at the file, and reads it unless it is as it is known.
fn look(path: &Path, known: Option<Stamp>) -> io::Result<Look> {
    let file = path.to_path_buf();
    let look = move || {
        let found = fs::metadata(&file)?;
        // Taken before the file is opened: if it is replaced in between, the stamp is the old
        // one's, and the next look reads again.
        let stamp = Stamp::of(&found);
        let is_known = known == Some(stamp);
        let users = (!is_known).then(|| read(&file, &found));
        Ok(Look { stamp, users })
    };
    hang::within(path, ANSWER_WITHIN, look).and_then(|found| found)
}

fn read(path: &Path, found: &Metadata) -> Result<Users, Error> {
    // Opening a named pipe would wait for its writer.
    if !found.is_file() {
        return Err(Error::invalid(format!(
            "{}: not a regular file",
            path.display()
        )));
    }
    let bytes = read_at_most(path, FILE_MAX + 1).map_err(|error| unreadable(path, error))?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(Error::invalid(format!(
            "{}: file over {FILE_MAX} bytes",
            path.display()
        )));
    }
    Users::parse(path, &bytes)
}

/// Whether the file is not there, rather than out of reach for a moment.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::system(format!("{}: cannot be read", path.display()), error)
}

/// The message with its cause, for where only a text is kept.
fn described(error: &Error) -> String {
    match error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Ten thousand users and more.
const FILE_MAX: u64 = 1 << 20;

/// Two writes within one tick of the file system's clock leave the same stamp, and the tick is a
/// second on JFFS2 and older ones, two on FAT: a file that just changed is read once more after it.
const SETTLED: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::tests::{BOB_PASS, BOB_WORD, Folder};
    use super::*;

    fn open(path: impl Into<PathBuf>) -> (Content, Instant) {
        let now = Instant::now();
        (Content::open(path.into(), now).unwrap(), now)
    }

    /// Which of the two passwords is in force, after a look at the file.
    fn in_force(content: &mut Content, now: Instant) -> Option<&'static str> {
        content.refresh(now).unwrap();
        let users = content.users.as_ref()?;
        ["pass", "word"]
            .into_iter()
            .find(|password| users.verify(b"bob", password.as_bytes()))
    }

    #[test]
    fn follows_edits_in_place_replacement_and_links() {
        let folder = Folder::new("content-follows");
        let path = folder.users(BOB_PASS);
        symlink(&path, folder.path("link")).unwrap();
        let (mut content, now) = open(folder.path("link"));
        assert_eq!(in_force(&mut content, now), Some("pass"));
        folder.users(BOB_WORD);
        assert_eq!(in_force(&mut content, now), Some("word"));
        fs::write(&path, format!("# longer\n{BOB_PASS}")).unwrap();
        assert_eq!(in_force(&mut content, now), Some("pass"));
        assert_eq!(content.problem, None);
    }

    #[test]
    fn a_change_that_leaves_no_trace_is_seen_a_little_later() {
        let folder = Folder::new("content-settles");
        let path = folder.users(BOB_PASS);
        let (mut content, now) = open(&path);
        fs::write(&path, BOB_WORD).unwrap();
        // As if the clock of the file system had not moved.
        content.stamp = fs::metadata(&path).ok().as_ref().map(Stamp::of);
        assert_eq!(in_force(&mut content, now), Some("pass"));
        assert_eq!(in_force(&mut content, now + SETTLED), Some("word"));
        assert_eq!(content.confirm_at, None);
    }

    #[test]
    fn a_bad_edit_keeps_the_last_good_content_and_says_why() {
        let folder = Folder::new("content-bad");
        let path = folder.users(BOB_PASS);
        let (mut content, now) = open(&path);
        folder.users(&format!("{BOB_WORD}eve:hunter2\n"));
        for _ in 0..2 {
            assert_eq!(in_force(&mut content, now), Some("pass"));
            let problem = content.problem.as_deref().unwrap();
            assert!(
                problem.contains("/users:2: user \"eve\": plain-text"),
                "{problem}"
            );
        }
        folder.users(BOB_WORD);
        assert_eq!(in_force(&mut content, now), Some("word"));
        assert_eq!(content.problem, None);
    }

    #[test]
    fn a_removed_file_leaves_nothing_until_it_is_back_and_good() {
        let folder = Folder::new("content-removed");
        let path = folder.users(BOB_PASS);
        let (mut content, now) = open(&path);
        let print = content.memory.print(b"bob:pass");
        content.memory.remember(print, now);
        fs::remove_file(&path).unwrap();
        assert_eq!(in_force(&mut content, now), None);
        let problem = content.problem.as_deref().unwrap();
        assert!(
            problem.ends_with("/users: cannot be read: No such file or directory (os error 2)")
        );
        folder.users("bob:hunter2");
        assert_eq!(in_force(&mut content, now), None);
        assert!(content.problem.as_deref().unwrap().contains("/users:1: "));
        folder.users(BOB_PASS);
        assert_eq!(in_force(&mut content, now), Some("pass"));
        assert!(!content.memory.recalls(&print, now));
        assert_eq!(content.problem, None);
    }

    #[test]
    fn what_is_no_file_or_too_long_keeps_the_last_good_content() {
        let folder = Folder::new("content-kinds");
        let path = folder.users(BOB_PASS);
        let (mut content, now) = open(&path);
        folder.users(&"#\n".repeat(600_000));
        assert_eq!(in_force(&mut content, now), Some("pass"));
        assert!(
            content
                .problem
                .as_deref()
                .unwrap()
                .ends_with("/users: file over 1048576 bytes")
        );
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(in_force(&mut content, now), Some("pass"));
        assert!(
            content
                .problem
                .as_deref()
                .unwrap()
                .ends_with("/users: not a regular file")
        );
    }

    #[test]
    fn what_is_not_a_regular_file_is_never_opened() {
        // A named pipe would hold its reader; the null device stands for all that is no file.
        let error = Content::open(PathBuf::from("/dev/null"), Instant::now())
            .err()
            .unwrap();
        assert_eq!(error.to_string(), "/dev/null: not a regular file");
    }
}
