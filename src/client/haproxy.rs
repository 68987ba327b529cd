//! HAProxy's runtime API: one command, and its whole reply (management.txt, section 9.3).
//!
//! The API listens on a Unix socket or on a TCP port. It reads one line, replies and closes. A
//! reply is handed on as it came; what it says is not looked at here.
#![forbid(unsafe_code)]

use std::fmt;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::Error;
use crate::health::{Health, Outcome, Reason};
use crate::net::conversation::{Conversation, converse};
use crate::net::deadline::Deadline;
use crate::net::dial::Target;
use crate::net::port::Port;
use crate::sys::errno;
use crate::sys::socket::{UNIX_PATH_LEN_MAX, connect_unix};
use crate::text::cut_last;

/// The longest reply that is read. A server is some 500 bytes of `show stat`: 2,000 of them.
const REPLY_LEN_MAX: usize = 1024 * 1024;

/// Where the runtime API listens.
#[derive(Clone, Debug)]
pub(crate) enum StatsSocket {
    Unix(PathBuf),
    Tcp(Target),
}

impl StatsSocket {
    /// Text with a slash is the path of a Unix socket, other text `HOST:PORT`.
    ///
    /// # Errors
    /// Text that is neither.
    pub(crate) fn parse(text: &str) -> Result<StatsSocket, Error> {
        if text.contains('/') {
            if text.len() > UNIX_PATH_LEN_MAX || text.contains('\0') {
                return Err(Error::invalid(format!(
                    "{text:?} is not the path of a socket; \
                     expected at most {UNIX_PATH_LEN_MAX} bytes and no NUL"
                )));
            }
            return Ok(StatsSocket::Unix(PathBuf::from(text)));
        }
        match cut_last(text, b':') {
            Some((host, port)) if !host.contains(':') || host.starts_with('[') => {
                let port = Port::try_from(port)?;
                Ok(StatsSocket::Tcp(Target::new(host, port)?))
            }
            _ => Err(Error::invalid(format!(
                "{text:?} is not a stats socket; \
                 expected a path such as /run/haproxy/admin.sock, or HOST:PORT"
            ))),
        }
    }

    /// Sends a command, without a line end, and reads the reply to its end.
    ///
    /// # Errors
    /// The outcome of the conversation that did not come about or to its end.
    pub(crate) fn ask(&self, command: &str, timeout: Duration) -> Result<String, Box<Outcome>> {
        let mut reply = None;
        let talk = |conversation: &mut Conversation| match exchange(conversation, command) {
            Ok(bytes) => {
                reply = Some(bytes);
                Outcome::from(Health::Ok)
            }
            Err(outcome) => *outcome,
        };
        let outcome = match self {
            StatsSocket::Tcp(target) => converse(target, timeout, talk),
            StatsSocket::Unix(path) => converse_unix(path, timeout, talk),
        };
        match reply {
            Some(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            None => Err(outcome.into()),
        }
    }
}

impl fmt::Display for StatsSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StatsSocket::Unix(path) => path.display().fmt(f),
            StatsSocket::Tcp(target) => target.fmt(f),
        }
    }
}

fn exchange(conversation: &mut Conversation, command: &str) -> Result<Vec<u8>, Box<Outcome>> {
    conversation.send(format!("{command}\n").as_bytes())?;
    while conversation.receive(REPLY_LEN_MAX)? > 0 {}
    Ok(conversation.take(REPLY_LEN_MAX))
}

fn converse_unix(
    path: &Path,
    timeout: Duration,
    talk: impl FnOnce(&mut Conversation) -> Outcome,
) -> Outcome {
    let deadline = Deadline::after(timeout);
    let stream = match connect_unix(path, timeout) {
        Ok(stream) => stream,
        Err(error) => {
            let detail = if errno::is_not_ready(&error) {
                "nobody accepts".to_string()
            } else {
                error.to_string()
            };
            return Outcome::new(Health::Unknown, Reason::TcpError).with_detail(detail);
        }
    };
    // Reading, writing and closing are the same for both kinds of stream; the peer of a Unix
    // socket has no address.
    let stream = TcpStream::from(OwnedFd::from(stream));
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let mut conversation = Conversation::new(stream, nowhere, deadline);
    let outcome = talk(&mut conversation);
    conversation.close();
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_makes_it_a_path() {
        for (text, shown) in [
            ("/run/haproxy/admin.sock", "/run/haproxy/admin.sock"),
            ("./stats:9", "./stats:9"),
            ("127.0.0.1:9999", "127.0.0.1:9999"),
            ("[::1]:9999", "[::1]:9999"),
            ("lb.example:http", "lb.example:80"),
        ] {
            assert_eq!(StatsSocket::parse(text).unwrap().to_string(), shown);
        }
        let long = format!("/{}", "x".repeat(UNIX_PATH_LEN_MAX));
        for bad in ["", "admin.sock", "::1:9", "a:0", "a b:9", "/a\0b", &long] {
            assert!(StatsSocket::parse(bad).is_err(), "{bad:?}");
        }
    }
}
