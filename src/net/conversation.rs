//! One conversation with a peer over TCP: all of it before one deadline, all of it bounded.
//!
//! It sends and reads; what the bytes mean is the business of who talks. However the peer dawdles,
//! the deadline is for the whole: a byte a second extends nothing. What goes wrong is an outcome
//! with the phase that ran out; in a box, since it is large and every step passes it on.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::deadline::Deadline;
use super::dial::Target;
use crate::health::{Health, Outcome, Reason};
use crate::sys::errno;
use crate::sys::socket::read_now;
use crate::units::print_duration;

/// Read at once; a page, so that it fits the stack of a prober.
const CHUNK_LEN: usize = 4_096;

/// What a peer may still have to say that is read before closing; a farewell is far shorter.
const FAREWELL_BYTES_MAX: usize = 4_096;

/// What a peer may still send while its end is waited for: a chain of certificates fits.
const LINGER_BYTES_MAX: usize = 64 * 1024;

/// Connects to a target and talks to it, all within `timeout`. With
/// [`Family::All`](super::dial::Family::All) that is done with every address of a name, and the
/// first outcome that does not pass is the result; otherwise with the first that accepts.
pub(crate) fn converse(
    target: &Target,
    timeout: Duration,
    mut talk: impl FnMut(&mut Conversation) -> Outcome,
) -> Outcome {
    with_each(target, timeout, &mut talk)
}

fn with_each(
    target: &Target,
    timeout: Duration,
    talk: &mut dyn FnMut(&mut Conversation) -> Outcome,
) -> Outcome {
    let deadline = Deadline::after(timeout);
    let mut result: Option<Outcome> = None;
    let connected = target.connect(deadline, &mut |stream, peer| {
        let mut conversation = Conversation::new(stream, peer, deadline);
        let mut outcome = talk(&mut conversation);
        if outcome.health == Health::Fail && outcome.detail.is_empty() {
            outcome.detail = conversation.place(outcome.reason, timeout);
        }
        conversation.close();
        if result.as_ref().is_none_or(passes) {
            // Of several that pass the last one speaks.
            result = Some(outcome);
        }
    });
    match (connected, result) {
        (Err(outcome), None) => *outcome,
        (Err(outcome), Some(result)) if passes(&result) => *outcome,
        (_, Some(result)) => result,
        // Invariant: without an error there was a connection, and with it a result.
        (Ok(()), None) => Outcome::new(Health::Unknown, Reason::TcpError),
    }
}

/// Whether an outcome lets the next address of several be asked.
pub(crate) fn passes(outcome: &Outcome) -> bool {
    matches!(outcome.health, Health::Ok | Health::Warn)
}

/// A connection, what it has received, and when it has to be over.
pub(crate) struct Conversation {
    stream: TcpStream,
    peer: SocketAddr,
    deadline: Deadline,
    received: Vec<u8>,
    /// What is waited for, in words.
    awaited: &'static str,
}

impl Conversation {
    pub(crate) fn new(stream: TcpStream, peer: SocketAddr, deadline: Deadline) -> Conversation {
        Conversation {
            stream,
            peer,
            deadline,
            received: Vec::new(),
            awaited: "answer",
        }
    }

    /// Says what is waited for from now on, so that whoever reads of an end knows how far it came.
    pub(crate) fn awaits(&mut self, what: &'static str) {
        self.awaited = what;
    }

    /// Where it ended, for an outcome without words of its own.
    fn place(&self, reason: Reason, timeout: Duration) -> String {
        let mut text = self.peer.to_string();
        match reason {
            Reason::AnswerTimeout | Reason::AnswerReset | Reason::AnswerEndedEarly => {
                text += ": no whole ";
                text += self.awaited;
            }
            Reason::SendTimeout => text += ": not taken",
            _ => {}
        }
        if matches!(reason, Reason::AnswerTimeout | Reason::SendTimeout) {
            // What is left of a time for several conversations is as good as whole.
            let whole = timeout.saturating_add(Duration::from_nanos(999_999));
            let millis = whole.subsec_millis();
            text += " within ";
            text += &print_duration(Duration::new(whole.as_secs(), millis * 1_000_000));
        }
        text
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether the deadline has passed.
    pub(crate) fn is_late(&self) -> bool {
        self.deadline.left().is_none()
    }

    /// The address of this machine that the peer sees.
    pub(crate) fn local_ip(&self) -> Option<IpAddr> {
        self.stream.local_addr().ok().map(|local| local.ip())
    }

    /// Sends all of it.
    ///
    /// # Errors
    /// The outcome that this comes to.
    pub(crate) fn send(&mut self, mut bytes: &[u8]) -> Result<(), Box<Outcome>> {
        while !bytes.is_empty() {
            let late = || fail(Reason::SendTimeout);
            let left = self.deadline.left().ok_or_else(late)?;
            let sent = self
                .stream
                .set_write_timeout(Some(left))
                .and_then(|()| self.stream.write(bytes));
            match sent {
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if errno::is_not_ready(&error) => return Err(late().into()),
                Err(error) => return Err(broken(&error).into()),
            }
        }
        Ok(())
    }

    /// What has been received and not yet taken.
    pub(crate) fn received(&self) -> &[u8] {
        &self.received
    }

    /// Takes the first `len` bytes out of what has been received; all, if there are fewer.
    pub(crate) fn take(&mut self, len: usize) -> Vec<u8> {
        let rest = self.received.split_off(len.min(self.received.len()));
        std::mem::replace(&mut self.received, rest)
    }

    /// Waits for more and says how many bytes came; 0 when the peer has closed. There are never
    /// more than `len_max` bytes kept.
    ///
    /// # Errors
    /// The outcome that this comes to: the deadline has passed, the connection was reset, there
    /// are `len_max` bytes already.
    pub(crate) fn receive(&mut self, len_max: usize) -> Result<usize, Box<Outcome>> {
        let room = len_max.saturating_sub(self.received.len()).min(CHUNK_LEN);
        if room == 0 {
            return Err(fail(Reason::AnswerTooLong)
                .with_detail(format!("over {len_max} bytes"))
                .into());
        }
        let mut chunk = [0; CHUNK_LEN];
        loop {
            let late = || fail(Reason::AnswerTimeout);
            let left = self.deadline.left().ok_or_else(late)?;
            let read = self
                .stream
                .set_read_timeout(Some(left))
                .and_then(|()| self.stream.read(&mut chunk[..room]));
            match read {
                Ok(len) => {
                    self.received.extend_from_slice(&chunk[..len]);
                    return Ok(len);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if errno::is_not_ready(&error) => return Err(late().into()),
                Err(error) => return Err(broken(&error).into()),
            }
        }
    }

    /// Receives until there are `len` bytes.
    ///
    /// # Errors
    /// As [`Conversation::receive`]; the peer closed before.
    pub(crate) fn receive_len(&mut self, len: usize, len_max: usize) -> Result<(), Box<Outcome>> {
        while self.received.len() < len {
            if self.receive(len_max)? == 0 {
                return Err(fail(Reason::AnswerEndedEarly).into());
            }
        }
        Ok(())
    }

    /// Takes a line without its end, CRLF or LF.
    ///
    /// # Errors
    /// As [`Conversation::receive`]; the peer closed before the line's end.
    pub(crate) fn receive_line(&mut self, len_max: usize) -> Result<Vec<u8>, Box<Outcome>> {
        let mut seen = 0;
        loop {
            if let Some(end) = self.received[seen..].iter().position(|byte| *byte == b'\n') {
                let mut line = self.take(seen + end + 1);
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(line);
            }
            seen = self.received.len();
            if self.receive(len_max)? == 0 {
                return Err(fail(Reason::AnswerEndedEarly).into());
            }
        }
    }

    /// Says that nothing more will be sent; a peer that reads to the end then sees it.
    pub(crate) fn end_sending(&mut self) {
        // An error here means that the peer closed first.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// From now on everything has to be over that soon, if that is before the deadline.
    pub(crate) fn hurry(&mut self, at_most: Duration) {
        self.deadline = self.deadline.earlier(at_most);
    }

    /// Waits for the peer to close and drops what it still says. Closing before that resets the
    /// connection as soon as an answer arrives.
    pub(crate) fn await_end(&mut self) {
        let mut dropped = 0;
        while dropped < LINGER_BYTES_MAX {
            self.received.clear();
            match self.receive(CHUNK_LEN) {
                Ok(len) if len > 0 => dropped += len,
                _ => return,
            }
        }
    }

    /// Closes at once and politely: closing with bytes unread would reset the connection, and many
    /// a service logs that as an error.
    pub(crate) fn close(mut self) {
        // First, so that what comes between the last read and the close resets a connection of
        // which the peer has seen the end.
        self.end_sending();
        // Every check ends here, with the least of stack left.
        let mut farewell = [0; 128];
        for _ in 0..FAREWELL_BYTES_MAX / farewell.len() {
            match read_now(&self.stream, &mut farewell) {
                Ok(len) if len > 0 => {}
                _ => return,
            }
        }
    }
}

/// The beginning of what a peer said, as the detail of an outcome.
pub(crate) fn excerpt(bytes: &[u8], len_max: usize) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(len_max)]).into_owned()
}

fn fail(reason: Reason) -> Outcome {
    Outcome::new(Health::Fail, reason)
}

/// Everything else that ends a connection is the peer's doing, or the network's.
fn broken(error: &io::Error) -> Outcome {
    let detail = match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => String::new(),
        _ => error.to_string(),
    };
    fail(Reason::AnswerReset).with_detail(detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::port::Port;
    use std::net::TcpListener;
    use std::thread;
    use std::time::Instant;

    /// A peer that does this with its one connection.
    fn peer(act: impl FnOnce(TcpStream) + Send + 'static) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || act(listener.accept().unwrap().0));
        Target::new("127.0.0.1", Port::try_from(port).unwrap()).unwrap()
    }

    fn line(conversation: &mut Conversation) -> Outcome {
        match conversation.receive_line(64) {
            Ok(line) => Outcome::from(true).with_detail(String::from_utf8_lossy(&line)),
            Err(outcome) => *outcome,
        }
    }

    #[test]
    fn a_line_may_come_in_pieces_and_keeps_what_follows() {
        let target = peer(|mut stream| {
            for piece in ["2", "20 hi", "\r", "\nnext\n"] {
                stream.write_all(piece.as_bytes()).unwrap();
            }
        });
        let outcome = converse(&target, Duration::from_secs(5), |conversation| {
            let first = line(conversation);
            let second = line(conversation);
            first.with_detail(second.detail)
        });
        assert_eq!(outcome.detail, "next");
    }

    #[test]
    fn each_way_to_end_has_its_reason() {
        let long = Duration::from_secs(5);
        let ends_early = peer(|mut stream| stream.write_all(b"220 hi").unwrap());
        assert_eq!(
            converse(&ends_early, long, line).reason,
            Reason::AnswerEndedEarly
        );
        let too_long = peer(|mut stream| stream.write_all(&[b'x'; 100]).unwrap());
        assert_eq!(
            converse(&too_long, long, line).reason,
            Reason::AnswerTooLong
        );
        let resets = peer(|mut stream| stream.read_exact(&mut [0; 2]).unwrap());
        let outcome = converse(&resets, long, |conversation| {
            conversation.send(b"four").unwrap();
            line(conversation)
        });
        assert_eq!(outcome.reason, Reason::AnswerReset);
        let silent = peer(|mut stream| {
            let _ = stream.read(&mut [0; 2]);
        });
        let outcome = converse(&silent, Duration::from_secs(1), line);
        assert_eq!(outcome.reason, Reason::AnswerTimeout);
        let silent = peer(|mut stream| {
            let _ = stream.read(&mut [0; 2]);
        });
        let outcome = converse(&silent, Duration::from_millis(50), |conversation| {
            conversation.awaits("greeting");
            line(conversation)
        });
        let detail = outcome.detail;
        assert!(detail.starts_with("127.0.0.1:"), "{detail}");
        assert!(
            detail.ends_with(": no whole greeting within 50ms"),
            "{detail}"
        );
    }

    #[test]
    fn a_byte_now_and_then_extends_nothing() {
        let target = peer(|mut stream| while stream.write_all(b"x").is_ok() {});
        let started = Instant::now();
        let outcome = converse(&target, Duration::from_secs(1), |conversation| {
            loop {
                let len = conversation.received().len();
                conversation.take(len);
                if let Err(outcome) = conversation.receive(64) {
                    return *outcome;
                }
            }
        });
        assert_eq!(outcome.reason, Reason::AnswerTimeout);
        assert!(started.elapsed() < Duration::from_secs(30));
    }
}
