//! SMTP: does a mail server greet us and answer a hello (RFC 5321)?
//!
//! It sends no mail and no more than a client that changes its mind: greeting, EHLO, QUIT. A mail
//! server's log shows an ordinary session.
#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

use crate::check::Check;
use crate::check::way::way_to_target;
use crate::client::smtp::{self, Reply};
use crate::error::Error;
use crate::health::{Health, Outcome, Reason};
use crate::net::conversation::{Conversation, converse};
use crate::net::dial::Target;
use crate::net::port::Port;
use crate::units::Span;

/// RFC 5321 section 3.8: the server says so and closes.
const SHUTTING_DOWN: u16 = 421;

/// Checks whether a mail server is ready to take mail: it greets us and answers `EHLO`, or `HELO`
/// if it is too old for that.
///
/// Reasons: `smtp ready`, with the greeting; failures `smtp refused` (a code of refusal, such as
/// 421 or 554, with its line), `answer malformed`, `answer timeout`, `answer ended early`, `answer
/// reset`, `answer too long`, `send timeout`; and those of [`TcpCheck`](crate::TcpCheck) when there
/// is no connection.
///
/// ```
/// use std::io::Write;
/// use failover::{Check, SmtpCheck, second};
///
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let port = listener.local_addr()?.port();
/// let mut check = SmtpCheck::new("127.0.0.1", port, second(10))?;
/// std::thread::spawn(move || listener.accept()?.0.write_all(b"421 too busy\r\n"));
/// assert_eq!(check.check().to_string(), "smtp refused: 421 too busy");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SmtpCheck {
    target: Target,
    timeout: Duration,
    pub(crate) helo: Option<String>,
}

impl SmtpCheck {
    /// Checks `host` (a name, an IPv4 or an IPv6 address) at `port` (1 to 65535, or the name of a
    /// service such as `smtp`) within `timeout` (a bare number is seconds), all of it included.
    ///
    /// # Errors
    /// A host, port or timeout that cannot be.
    pub fn new<P, T>(host: &str, port: P, timeout: T) -> Result<SmtpCheck, Error>
    where
        P: TryInto<Port>,
        T: TryInto<Span>,
        Error: From<P::Error> + From<T::Error>,
    {
        let timeout = timeout.try_into()?;
        let target = Target::new(host, port.try_into()?)?;
        Ok(SmtpCheck::to(target, timeout))
    }

    /// Checks a target that is known to be one.
    pub(crate) fn to(target: Target, timeout: Span) -> SmtpCheck {
        SmtpCheck {
            target,
            timeout: timeout.duration(),
            helo: None,
        }
    }

    /// The name to say hello with: a domain, or an address such as `[192.0.2.1]`. Default: this
    /// machine's name if that has a dot, else the address that the server sees.
    ///
    /// # Errors
    /// A name that is neither.
    pub fn helo(mut self, name: &str) -> Result<SmtpCheck, Error> {
        self.helo = Some(checked_helo(name)?);
        Ok(self)
    }

    fn talk(&self, conversation: &mut Conversation) -> Result<String, Box<Outcome>> {
        conversation.awaits("greeting");
        let greeting = accepted(conversation, smtp::read_reply)?;
        conversation.awaits("answer to EHLO");
        accepted(conversation, |conversation| match &self.helo {
            Some(name) => smtp::hello(conversation, name),
            None => smtp::hello(conversation, &smtp::own_name(conversation)),
        })?;
        smtp::quit(conversation);
        Ok(greeting.text)
    }
}

/// The reply to an exchange if it is a good one; after a refusal we leave as politely.
fn accepted(
    conversation: &mut Conversation,
    exchange: impl FnOnce(&mut Conversation) -> Result<Reply, Box<Outcome>>,
) -> Result<Reply, Box<Outcome>> {
    let reply = exchange(conversation)?;
    if reply.is_ok() {
        return Ok(reply);
    }
    if reply.code != SHUTTING_DOWN {
        smtp::quit(conversation);
    }
    Err(Outcome::new(Health::Fail, Reason::SmtpRefused)
        .with_detail(reply.text)
        .into())
}

/// # Errors
/// A name that is neither a domain nor an address.
pub(crate) fn checked_helo(name: &str) -> Result<String, Error> {
    if !smtp::is_name(name) {
        return Err(Error::invalid(format!(
            "{name:?} is not a name for HELO; expected a domain or an address in brackets"
        )));
    }
    Ok(name.to_string())
}

way_to_target!(SmtpCheck);

impl Check for SmtpCheck {
    fn check(&mut self) -> Outcome {
        converse(&self.target, self.timeout, |conversation| {
            match self.talk(conversation) {
                Ok(greeting) => Outcome::new(Health::Ok, Reason::SmtpReady).with_detail(greeting),
                Err(outcome) => *outcome,
            }
        })
    }

    fn budget(&self) -> Option<Duration> {
        Some(self.timeout)
    }
}

impl fmt::Debug for SmtpCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SmtpCheck({} within {:?})", self.target, self.timeout)
    }
}
