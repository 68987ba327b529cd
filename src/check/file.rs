//! File: is it there, was it written lately, does it say what it should?
//!
//! Opening and reading may hang, on a dead file server or a pipe that nobody writes: then the
//! check hangs, its component becomes stale, and that is the answer. Nothing is written.
#![forbid(unsafe_code)]

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::check::Check;
use crate::error::Error;
use crate::health::{Health, Outcome, Reason};
use crate::text::place_of;
use crate::units::Span;

/// How much of a file is searched: status files are short, and a log that grows without end must
/// not take longer and longer.
const SEARCHED_BYTES_MAX: u64 = 1_048_576;

/// Read at once; a page, so that it fits the stack of a prober.
const CHUNK_LEN: usize = 4_096;

/// Longer than a text can usefully be, and short enough to be kept from chunk to chunk.
const TEXT_BYTES_MAX: usize = 1_024;

/// Checks that a file is there: a mark that a backup has run, a disk that is mounted, what another
/// program reports of itself.
///
/// Reasons: `file as expected`; failures `file missing`, `file too old`, `text missing`; unknown
/// `file unreadable`. It has no timeout: on a file server that is gone it hangs, and its component
/// becomes stale.
///
/// ```
/// use failover::{Check, FileCheck, minute};
///
/// let check = FileCheck::new("/proc/self/status")?;
/// let mut check = check.fresher_than(minute(5))?.contains("Name:")?;
/// assert_eq!(check.check().to_string(), "file as expected: /proc/self/status");
///
/// let mut check = FileCheck::new("/proc/self/no-such-file")?;
/// assert_eq!(check.check().to_string(), "file missing: /proc/self/no-such-file");
/// # Ok::<(), failover::Error>(())
/// ```
#[derive(Clone)]
pub struct FileCheck {
    path: PathBuf,
    pub(crate) fresher_than: Option<Duration>,
    pub(crate) text: Option<Vec<u8>>,
}

impl FileCheck {
    /// Checks that something is at `path`, whatever it is; links are followed.
    ///
    /// # Errors
    /// A path that is not absolute, or has a NUL in it.
    pub fn new(path: &str) -> Result<FileCheck, Error> {
        Ok(FileCheck {
            path: checked_path(path)?,
            fresher_than: None,
            text: None,
        })
    }

    /// Also that it was written within this time (a bare number is seconds), by its time of
    /// modification and the wall clock. A time in the future counts as fresh: clocks of two
    /// machines differ, and on a machine whose clock is not set yet nothing is old.
    ///
    /// # Errors
    /// A time that cannot be.
    pub fn fresher_than<T>(mut self, span: T) -> Result<FileCheck, Error>
    where
        T: TryInto<Span>,
        Error: From<T::Error>,
    {
        self.fresher_than = Some(span.try_into()?.duration());
        Ok(self)
    }

    /// Also that this text is in it, byte for byte, within its first 1 MiB. The file is then opened
    /// and read, which waits for a writer if it is a named pipe.
    ///
    /// # Errors
    /// A text that is empty or longer than 1,024 bytes.
    pub fn contains(mut self, text: &str) -> Result<FileCheck, Error> {
        self.text = Some(checked_text(text)?);
        Ok(self)
    }

    fn look(&self) -> io::Result<Outcome> {
        let Some(text) = &self.text else {
            return Ok(self.age(&fs::metadata(&self.path)?));
        };
        let mut file = File::open(&self.path)?;
        let outcome = self.age(&file.metadata()?);
        if outcome.health == Health::Ok && !has_text(&mut file, text)? {
            return Ok(self.outcome(Health::Fail, Reason::TextMissing));
        }
        Ok(outcome)
    }

    fn age(&self, about: &Metadata) -> Outcome {
        // Without a time of modification there is nothing to hold against it; Linux always has one.
        let age = about
            .modified()
            .ok()
            .and_then(|written| SystemTime::now().duration_since(written).ok());
        match (age, self.fresher_than) {
            (Some(age), Some(limit)) if age > limit => {
                Outcome::new(Health::Fail, Reason::FileTooOld).with_detail(format!(
                    "{} is {} s old",
                    self.path.display(),
                    age.as_secs()
                ))
            }
            _ => self.outcome(Health::Ok, Reason::FileFresh),
        }
    }

    fn outcome(&self, health: Health, reason: Reason) -> Outcome {
        Outcome::new(health, reason).with_detail(self.path.display().to_string())
    }
}

/// A daemon's own directory is `/`, so that a relative path means nothing.
pub(super) fn checked_path(path: &str) -> Result<PathBuf, Error> {
    if !path.starts_with('/') || path.contains('\0') {
        let message = format!("path {path:?} cannot be used; expected an absolute path");
        return Err(Error::invalid(message));
    }
    Ok(PathBuf::from(path))
}

/// Whether nothing is there, as opposed to what we may not see.
pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Whether the text is in the first [`SEARCHED_BYTES_MAX`] of what is read.
fn has_text(file: &mut impl Read, text: &[u8]) -> io::Result<bool> {
    let mut limited = file.take(SEARCHED_BYTES_MAX);
    let mut seen = Vec::with_capacity(CHUNK_LEN + TEXT_BYTES_MAX);
    let mut chunk = [0; CHUNK_LEN];
    loop {
        let len = match limited.read(&mut chunk) {
            Ok(0) => return Ok(false),
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        seen.extend_from_slice(&chunk[..len]);
        if place_of(&seen, text).is_some() {
            return Ok(true);
        }
        // What the text may have begun in.
        let done = seen.len().saturating_sub(text.len() - 1);
        seen.drain(..done);
    }
}

/// # Errors
/// A text that is empty or longer than 1,024 bytes.
pub(crate) fn checked_text(text: &str) -> Result<Vec<u8>, Error> {
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        let message = format!(
            "a text of {} bytes cannot be looked for; expected 1 to {TEXT_BYTES_MAX}",
            text.len()
        );
        return Err(Error::invalid(message));
    }
    Ok(text.as_bytes().to_vec())
}

impl Check for FileCheck {
    fn check(&mut self) -> Outcome {
        match self.look() {
            Ok(outcome) => outcome,
            Err(error) if is_missing(&error) => self.outcome(Health::Fail, Reason::FileMissing),
            Err(error) => Outcome::new(Health::Unknown, Reason::FileUnreadable)
                .with_detail(format!("{}: {error}", self.path.display())),
        }
    }
}

impl fmt::Debug for FileCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileCheck({})", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives what it has in pieces of this size.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let piece = self.1.min(self.0.len());
            let len = buffer.len().min(piece);
            buffer[..len].copy_from_slice(&self.0[..len]);
            self.0 = &self.0[len..];
            Ok(len)
        }
    }

    #[test]
    fn a_text_is_found_however_it_is_cut() {
        let mut content = vec![b'a'; 10_000];
        content[8_190..8_196].copy_from_slice(b"needle");
        for piece in [1, 2, 5, 6, 7, 4_095, 4_096, 100_000] {
            for (text, is_there) in [("needle", true), ("aneedlea", true), ("needles", false)] {
                let found = has_text(&mut Pieces(&content, piece), text.as_bytes()).unwrap();
                assert_eq!(found, is_there, "{text} in pieces of {piece}");
            }
        }
        assert!(!has_text(&mut Pieces(b"", 1), b"a").unwrap());
        assert!(has_text(&mut Pieces(b"a", 1), b"a").unwrap());
    }

    #[test]
    fn only_so_much_is_searched() {
        let before = io::repeat(b'a').take(SEARCHED_BYTES_MAX - 1);
        assert!(has_text(&mut before.chain(&b"bc"[..]), b"b").unwrap());
        let before = io::repeat(b'a').take(SEARCHED_BYTES_MAX - 1);
        assert!(!has_text(&mut before.chain(&b"bc"[..]), b"bc").unwrap());
        assert!(!has_text(&mut io::repeat(b'a'), b"b").unwrap());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for path in ["", "relative", "./a", "/a\0b"] {
            let message = FileCheck::new(path).unwrap_err().to_string();
            assert!(
                message.ends_with("expected an absolute path"),
                "{path:?}: {message}"
            );
        }
        let check = FileCheck::new("/").unwrap();
        assert!(check.clone().contains("").is_err());
        assert!(check.clone().contains(&"x".repeat(1_025)).is_err());
        assert!(check.fresher_than(0).is_err());
    }
}
