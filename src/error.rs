//! The error of everything that is neither a check's outcome nor a configuration's diagnostic.
//!
//! A dead target is never an `Error`: it is an outcome. An `Error` says that a value cannot be
//! used, or that the system refused something, with the offending thing quoted and what was
//! expected. Display shows the message only; `source()` has the cause.
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::error;
use std::fmt;
use std::io;

/// What went wrong, for code; the message is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A value that the caller gave cannot be used; the message quotes it and says what was
    /// expected.
    Invalid,
    /// The system refused something: an address in use, a missing file, no thread to be had.
    System,
    /// Another process has what only one can have: it holds the lock of the state directory, or
    /// answers on the admin socket.
    Taken,
}

/// An error with its kind, a message in the form `outer: inner`, and its cause. `Debug` prints the
/// message and the cause in one line, so that a `main` that returns it reads well.
pub struct Error(Box<Report>);

/// In a box, so that passing an error on, which is written in hundreds of places, moves one word.
struct Report {
    kind: ErrorKind,
    message: String,
    source: Option<io::Error>,
}

impl Error {
    /// A value cannot be used. The message quotes it and says what was expected.
    pub(crate) fn invalid(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Invalid, message.into(), None)
    }

    /// The system refused something; `source` is shown by [`error::Error::source`], not here.
    pub(crate) fn system(message: impl Into<String>, source: io::Error) -> Error {
        Error::new(ErrorKind::System, message.into(), Some(source))
    }

    /// Another process has it.
    pub(crate) fn taken(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Taken, message.into(), None)
    }

    fn new(kind: ErrorKind, message: String, source: Option<io::Error>) -> Error {
        Error(Box::new(Report {
            kind,
            message,
            source,
        }))
    }

    /// What kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
}

// So that what is already checked can be given where what is yet to be checked may be.
impl From<Infallible> for Error {
    fn from(never: Infallible) -> Error {
        match never {}
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        self.0
            .source
            .as_ref()
            .map_or(Ok(()), |source| write!(f, ": {source}"))
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.0
            .source
            .as_ref()
            .map(|source| source as &(dyn error::Error + 'static))
    }
}
