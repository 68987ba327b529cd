//! TCP: does a service accept connections?
//!
//! It connects and closes, and says nothing on the connection unless it is told to; it may wait for
//! a text. One timeout bounds all of it together. What the service said is read before closing, so
//! that the close is an orderly one and the service's log stays clean.
#![forbid(unsafe_code)]

use std::fmt::{self, Write};
use std::time::Duration;

use crate::check::Check;
use crate::check::way::way_to_target;
use crate::error::Error;
use crate::health::{Health, Outcome, Reason};
use crate::net::conversation::{Conversation, converse, excerpt};
use crate::net::dial::Target;
use crate::net::port::Port;
use crate::text::place_of;
use crate::units::Span;

/// What is read of an answer while the expected text is looked for; a text longer than this cannot
/// be found. HAProxy reads as much.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// What a detail quotes of an answer that is not the expected one.
const QUOTED_MAX: usize = 100;

/// An IPv6 address with its port, seldom more.
const ADDRESS_LEN_USUAL: usize = 48;

/// How long a service is given to end the connection when something was sent to it that it may
/// answer: long enough for one that is near, short for one that never does.
const PARTING: Duration = Duration::from_millis(200);

/// Checks whether a TCP service is accepting connections (seed 001), and, if that is asked for,
/// whether it says a certain text: `+PONG` to `PING`, or `* OK` as its greeting.
///
/// Reasons: `tcp connected`, `text found`; failures `tcp connect timeout`, `tcp connect refused`,
/// `tcp connect reset`, `tcp host unreachable`, `tcp network unreachable`, `resolve no such name`,
/// `resolve no address`, and of a conversation `text missing`, `answer timeout`, `answer reset`,
/// `send timeout`; unknown `resolve timeout`, `resolve failure`, `resolve queue full`, `tcp source
/// unavailable`, `tcp not permitted`, `tcp error`, `out of descriptors`, `out of memory`.
///
/// ```
/// use failover::{Check, Health, TcpCheck, second};
///
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let port = listener.local_addr()?.port();
/// let mut check = TcpCheck::new("127.0.0.1", port, second(10))?;
/// assert_eq!(check.check().health, Health::Ok);
/// drop(listener);
/// assert_eq!(check.check().to_string(), format!("tcp connect refused: 127.0.0.1:{port}"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TcpCheck {
    target: Target,
    timeout: Duration,
    /// Nothing when empty.
    pub(crate) send: Vec<u8>,
    /// Nothing when empty.
    pub(crate) expect: Vec<u8>,
    name: Option<String>,
}

impl TcpCheck {
    /// Checks `host` (a name, an IPv4 or an IPv6 address) at `port` (1 to 65535, or the name of a
    /// service) within `timeout` (a bare number is seconds).
    ///
    /// # Errors
    /// A host, port or timeout that cannot be.
    pub fn new<P, T>(host: &str, port: P, timeout: T) -> Result<TcpCheck, Error>
    where
        P: TryInto<Port>,
        T: TryInto<Span>,
        Error: From<P::Error> + From<T::Error>,
    {
        let timeout: Span = timeout.try_into()?;
        let target = Target::new(host, port.try_into()?)?;
        Ok(TcpCheck::to(target, timeout))
    }

    /// Checks a target that is known to be one.
    pub(crate) fn to(target: Target, timeout: Span) -> TcpCheck {
        TcpCheck {
            target,
            timeout: timeout.duration(),
            send: Vec::new(),
            expect: Vec::new(),
            name: None,
        }
    }

    /// Sends these bytes as soon as it is connected, just as they are. Default: nothing.
    ///
    /// # Errors
    /// No bytes, or more than 16 KiB.
    pub fn send(mut self, bytes: impl AsRef<[u8]>) -> Result<TcpCheck, Error> {
        self.send = checked_text(bytes.as_ref(), "send")?;
        Ok(self)
    }

    /// Passes only when these bytes are somewhere in what the service says, within its first 16
    /// KiB and the timeout. Without [`send`](TcpCheck::send) it waits for the greeting. Default:
    /// it need not say anything.
    ///
    /// ```
    /// use failover::{TcpCheck, second};
    /// let redis = TcpCheck::new("192.0.2.1", 6379, second(3))?
    ///     .send("PING\r\n")?
    ///     .expect("+PONG")?;
    /// let imap = TcpCheck::new("192.0.2.1", "imap", second(3))?.expect("* OK")?;
    /// # Ok::<(), failover::Error>(())
    /// ```
    ///
    /// # Errors
    /// No bytes, or more than 16 KiB.
    pub fn expect(mut self, bytes: impl AsRef<[u8]>) -> Result<TcpCheck, Error> {
        self.expect = checked_text(bytes.as_ref(), "expect")?;
        Ok(self)
    }

    /// What `Debug` prints, to tell one from another.
    pub fn name(mut self, name: impl Into<String>) -> TcpCheck {
        self.name = Some(name.into());
        self
    }

    fn talk(&self, conversation: &mut Conversation) -> Result<Reason, Box<Outcome>> {
        conversation.send(&self.send)?;
        if !self.expect.is_empty() {
            return self.await_text(conversation);
        }
        if !self.send.is_empty() {
            // An answer that arrives after the close would be answered with a reset.
            conversation.end_sending();
            conversation.hurry(PARTING);
            conversation.await_end();
        }
        Ok(Reason::TcpConnected)
    }

    fn await_text(&self, conversation: &mut Conversation) -> Result<Reason, Box<Outcome>> {
        let mut seen = 0;
        loop {
            let received = conversation.received();
            if place_of(&received[seen..], &self.expect).is_some() {
                return Ok(Reason::TextFound);
            }
            // The text may have begun to come.
            seen = (received.len() + 1).saturating_sub(self.expect.len());
            let outcome = match conversation.receive(TEXT_BYTES_MAX) {
                Ok(len) if len > 0 => continue,
                Err(outcome) if outcome.reason != Reason::AnswerTooLong => *outcome,
                // It has ended, or has said as much as is listened to.
                _ => Outcome::new(Health::Fail, Reason::TextMissing),
            };
            let said = excerpt(conversation.received(), QUOTED_MAX);
            return Err(outcome.with_detail(said).into());
        }
    }
}

/// # Errors
/// No bytes, or more than 16 KiB.
pub(crate) fn checked_text(bytes: &[u8], what: &str) -> Result<Vec<u8>, Error> {
    if bytes.is_empty() || bytes.len() > TEXT_BYTES_MAX {
        return Err(Error::invalid(format!(
            "{} bytes to {what} cannot be used; expected 1 to {TEXT_BYTES_MAX}",
            bytes.len()
        )));
    }
    Ok(bytes.to_vec())
}

way_to_target!(TcpCheck);

impl Check for TcpCheck {
    fn check(&mut self) -> Outcome {
        let (mut last, mut detail) = (None, String::new());
        let outcome = converse(&self.target, self.timeout, |conversation| {
            // Seldom more than one, which is told when the stack is not as deep.
            if let Some(before) = last.replace(conversation.peer()) {
                // Invariant: writing to a string does not fail.
                let _ = write!(detail, "{before} ");
            }
            match self.talk(conversation) {
                Ok(reason) => Outcome::new(Health::Ok, reason),
                Err(outcome) => *outcome,
            }
        });
        if outcome.health != Health::Ok {
            return outcome;
        }
        if let Some(peer) = last {
            detail.reserve(ADDRESS_LEN_USUAL);
            let _ = write!(detail, "{peer}");
        }
        outcome.with_detail(detail)
    }

    fn budget(&self) -> Option<Duration> {
        Some(self.timeout)
    }
}

impl fmt::Debug for TcpCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => write!(f, "TcpCheck({} within {:?})", self.target, self.timeout),
        }
    }
}
