//! One request over the admin socket of a running `failover`, in HTTP/1.0 (RFC 1945).
//!
//! For the command line: it says what the daemon answered, or why there is no answer. It is no
//! client for other servers: it knows only answers that end with the connection.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::Error;
use crate::net::deadline::Deadline;
use crate::sys::errno;
use crate::sys::local::connect_now;
use crate::sys::socket::wait_for_any;
use crate::text::place_of;
use crate::units::Span;

/// The daemon answers from memory; a reload with many names to resolve is the slowest.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The longest answer that is taken: a status of thousands of components is a tenth of it.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The daemon's own heads have a few hundred bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The longest line of those that come one by one.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Read at once; it fits the smallest stack.
const CHUNK_LEN: usize = 4_096;

/// The pause before a full queue is tried again.
const QUEUE_PAUSE: Duration = Duration::from_millis(10);

/// The admin socket of a `failover` that runs.
///
/// ```
/// use failover::{AdminSocket, HealthCheckServer};
///
/// let path = std::env::temp_dir().join(format!("failover-doc-{}", std::process::id()));
/// let server = HealthCheckServer::builder().admin_socket(&path).open()?;
/// server.add_component("mail", || true)?;
/// let running = server.start()?;
///
/// let (status, body) = AdminSocket::new(&path).request("GET", "/mail", b"")?;
/// assert_eq!((status, &body[..]), (200, &b"OK"[..]));
///
/// server.handle().shutdown();
/// running.wait();
/// assert!(!path.exists());
/// # Ok::<(), failover::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct AdminSocket {
    path: PathBuf,
    timeout: Duration,
}

impl AdminSocket {
    /// The socket at this path. Nothing happens before a request.
    pub fn new(path: impl Into<PathBuf>) -> AdminSocket {
        AdminSocket {
            path: path.into(),
            timeout: TIMEOUT,
        }
    }

    /// How long connecting, the request and the answer may take together. Default: 30 s.
    ///
    /// # Errors
    /// No time at all, or more than ten years.
    pub fn timeout<T>(mut self, timeout: T) -> Result<AdminSocket, Error>
    where
        T: TryInto<Span>,
        Error: From<T::Error>,
    {
        let timeout: Span = timeout.try_into()?;
        self.timeout = timeout.duration();
        Ok(self)
    }

    /// Asks, and reads the whole answer: its status and its body, 16 MiB at most.
    ///
    /// # Errors
    /// A method or target with blanks in it; nobody answers there, or not in time, or not in full.
    pub fn request(
        &self,
        method: &str,
        target: &str,
        body: &[u8],
    ) -> Result<(u16, Vec<u8>), Error> {
        let mut answer = self.begin(method, target, body)?;
        let asked = answer.whole_body();
        let body = asked.map_err(|error| failed(&self.path, error))?;
        Ok((answer.status, body))
    }

    /// Asks, and hands out the answer's lines as they come, however long that takes. The timeout
    /// is for the answer's beginning only.
    ///
    /// # Errors
    /// As for [`request`](AdminSocket::request).
    pub fn follow(&self, target: &str) -> Result<(u16, AdminLines), Error> {
        let mut answer = self.begin("GET", target, b"")?;
        answer.deadline = None;
        let lines = AdminLines {
            path: self.path.clone(),
            has_ended: false,
            answer,
        };
        Ok((lines.answer.status, lines))
    }

    fn begin(&self, method: &str, target: &str, body: &[u8]) -> Result<Answer, Error> {
        for word in [method, target] {
            if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(Error::invalid(format!(
                    "{word:?} cannot be part of a request line; expected letters without blanks"
                )));
            }
        }
        let mut request = format!(
            "{method} {target} HTTP/1.0\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        Answer::to(&self.path, &request, Deadline::after(self.timeout))
            .map_err(|error| failed(&self.path, error))
    }
}

fn failed(path: &Path, error: io::Error) -> Error {
    let what = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => "no failover answers on",
        _ => "cannot ask the failover on",
    };
    Error::system(format!("{what} {path:?}"), error)
}

/// An answer of which the head has come.
#[derive(Debug)]
struct Answer {
    stream: UnixStream,
    /// Without one there is all the time in the world.
    deadline: Option<Deadline>,
    status: u16,
    body_len: Option<usize>,
    /// What has come of the body and is not taken yet.
    received: Vec<u8>,
}

impl Answer {
    fn to(path: &Path, request: &[u8], deadline: Deadline) -> io::Result<Answer> {
        let mut answer = Answer {
            stream: connect(path, deadline)?,
            deadline: Some(deadline),
            status: 0,
            body_len: None,
            received: Vec::new(),
        };
        answer.send(request, deadline)?;
        let head_len = loop {
            if let Some(end) = place_of(&answer.received, b"\r\n\r\n") {
                break end + 4;
            }
            if answer.receive(HEAD_BYTES_MAX)? == 0 {
                return Err(bad("it closed before its answer was whole"));
            }
        };
        let body = answer.received.split_off(head_len);
        let head = std::mem::replace(&mut answer.received, body);
        let (status, body_len) = parse_head(&head).ok_or_else(|| bad("it does not speak HTTP"))?;
        (answer.status, answer.body_len) = (status, body_len);
        Ok(answer)
    }

    fn send(&mut self, mut bytes: &[u8], deadline: Deadline) -> io::Result<()> {
        while !bytes.is_empty() {
            let left = deadline.left().ok_or(io::ErrorKind::TimedOut)?;
            self.stream.set_write_timeout(Some(left))?;
            match self.stream.write(bytes) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A refusal may have been sent before all was read.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                Err(error) => return Err(late(error)),
            }
        }
        Ok(())
    }

    /// Waits for more and says how many bytes came; 0 at the end.
    fn receive(&mut self, len_max: usize) -> io::Result<usize> {
        if self.received.len() >= len_max {
            return Err(bad(&format!("it sent over {len_max} bytes")));
        }
        let mut chunk = [0; CHUNK_LEN];
        loop {
            let left = match self.deadline {
                Some(deadline) => Some(deadline.left().ok_or(io::ErrorKind::TimedOut)?),
                None => None,
            };
            self.stream.set_read_timeout(left)?;
            match self.stream.read(&mut chunk) {
                Ok(len) => {
                    self.received.extend_from_slice(&chunk[..len]);
                    return Ok(len);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(late(error)),
            }
        }
    }

    fn whole_body(&mut self) -> io::Result<Vec<u8>> {
        let len_max = self.body_len.unwrap_or(ANSWER_BYTES_MAX);
        if len_max > ANSWER_BYTES_MAX {
            return Err(bad(&format!("it would send over {ANSWER_BYTES_MAX} bytes")));
        }
        // Without a length it ends where the connection does.
        let is_whole = |answer: &Answer| {
            answer
                .body_len
                .is_some_and(|it| answer.received.len() >= it)
        };
        while !is_whole(self) && self.receive(len_max)? > 0 {}
        let body = std::mem::take(&mut self.received);
        match self.body_len {
            Some(len) if len != body.len() => Err(bad("it closed before its answer was whole")),
            _ => Ok(body),
        }
    }

    /// The next line without its end; `None` after the last.
    fn line(&mut self) -> io::Result<Option<String>> {
        loop {
            let end = self.received.iter().position(|byte| *byte == b'\n');
            let has_ended = end.is_none() && self.receive(LINE_BYTES_MAX)? == 0;
            if has_ended && self.received.is_empty() {
                return Ok(None);
            }
            let len = match end {
                Some(end) => end + 1,
                None if has_ended => self.received.len(),
                None => continue,
            };
            let rest = self.received.split_off(len);
            let line = std::mem::replace(&mut self.received, rest);
            let text = String::from_utf8_lossy(&line);
            return Ok(Some(text.trim_end_matches(['\r', '\n']).to_string()));
        }
    }
}

/// The lines of an answer, as they come.
#[derive(Debug)]
pub struct AdminLines {
    path: PathBuf,
    answer: Answer,
    has_ended: bool,
}

impl Iterator for AdminLines {
    type Item = Result<String, Error>;

    fn next(&mut self) -> Option<Result<String, Error>> {
        if self.has_ended {
            return None;
        }
        let line = self.answer.line();
        self.has_ended = !matches!(line, Ok(Some(_)));
        line.map_err(|error| failed(&self.path, error)).transpose()
    }
}

/// Connects; a queue that is full is tried again while there is time.
fn connect(path: &Path, deadline: Deadline) -> io::Result<UnixStream> {
    loop {
        match connect_now(path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
        let left = deadline.left().ok_or(io::ErrorKind::TimedOut)?;
        // An error of waiting is a shorter pause.
        let _ = wait_for_any(&mut [], QUEUE_PAUSE.min(left));
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

/// A socket's own time limit is not "resource temporarily unavailable" to people.
fn late(error: io::Error) -> io::Error {
    if errno::is_not_ready(&error) {
        io::ErrorKind::TimedOut.into()
    } else {
        error
    }
}

/// The status and the body's length, from the lines before the blank one.
fn parse_head(head: &[u8]) -> Option<(u16, Option<usize>)> {
    let mut lines = std::str::from_utf8(head).ok()?.lines();
    let mut words = lines.next()?.strip_prefix("HTTP/1.")?.split(' ');
    let code = words.nth(1).filter(|code| code.len() == 3)?;
    let status = code.parse().ok().filter(|status| *status >= 100)?;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if name.eq_ignore_ascii_case("content-length") {
            return Some((status, Some(value.trim().parse().ok()?)));
        }
    }
    Some((status, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_status_and_length() {
        for (head, expected) in [
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 12\r\n\r\n",
                Some((200, Some(12))),
            ),
            ("HTTP/1.1 503 FAIL\r\n\r\n", Some((503, None))),
            (
                "HTTP/1.0 404\r\ncontent-length:0\r\n\r\n",
                Some((404, Some(0))),
            ),
            ("HTTP/1.0 20 OK\r\n\r\n", None),
            ("HTTP/1.0 +20 OK\r\n\r\n", None),
            ("HTTP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n", None),
            ("SSH-2.0-OpenSSH\r\n\r\n", None),
            ("\r\n\r\n", None),
        ] {
            assert_eq!(parse_head(head.as_bytes()), expected, "{head:?}");
        }
    }

    #[test]
    fn no_head_makes_it_panic() {
        let golden = b"HTTP/1.0 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\n";
        for len in 0..golden.len() {
            let _ = parse_head(&golden[..len]);
            for bit in 0..8 {
                let mut flipped = golden.to_vec();
                flipped[len] ^= 1 << bit;
                let _ = parse_head(&flipped);
            }
        }
    }

    #[test]
    fn a_request_is_one_request() {
        let socket = AdminSocket::new("/nowhere/at/all");
        for (method, target) in [("GET", "/a b"), ("GET\r\n", "/"), ("", "/"), ("GET", "")] {
            let error = socket.request(method, target, b"").unwrap_err();
            assert!(error.to_string().contains("request line"), "{error}");
        }
        let error = socket.request("GET", "/", b"").unwrap_err();
        assert_eq!(
            error.to_string(),
            "no failover answers on \"/nowhere/at/all\""
        );
    }
}
