//! TCP: does a service accept connections?
//!
//! It connects and closes, and says nothing on the connection. One timeout bounds resolving and
//! connecting together. What the service said first is read before closing, so that the close is
//! an orderly one and the service's log stays clean.
#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

use crate::check::Check;
use crate::error::Error;
use crate::health::{Health, Outcome, Reason};
use crate::net::conversation::converse;
use crate::net::dial::{Family, Target, checked_host};
use crate::net::port::Port;
use crate::units::Span;

/// Checks whether a TCP service is accepting connections (seed 001).
///
/// Reasons: `tcp connected`; failures `tcp connect timeout`, `tcp connect refused`, `tcp connect
/// reset`, `tcp host unreachable`, `tcp network unreachable`, `resolve no such name`, `resolve no
/// address`; unknown `resolve timeout`, `resolve failure`, `resolve queue full`, `tcp source
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
        Ok(TcpCheck {
            target,
            timeout: timeout.duration(),
            name: None,
        })
    }

    /// The same for a target that is made already.
    pub(crate) fn to(target: Target, timeout: Span) -> TcpCheck {
        TcpCheck {
            target,
            timeout: timeout.duration(),
            name: None,
        }
    }

    /// Connects from this address of the machine, or from the one that this name has. Default: the
    /// one that the system chooses.
    ///
    /// # Errors
    /// A host that cannot be.
    pub fn source_host(mut self, host: &str) -> Result<TcpCheck, Error> {
        self.target.source_host = Some(checked_host(host)?);
        Ok(self)
    }

    /// Connects from this port. Default: any. The connection is then reset when it is closed,
    /// since an orderly close would keep the port from being used again for a minute.
    ///
    /// # Errors
    /// A port that cannot be.
    pub fn source_port<P>(mut self, port: P) -> Result<TcpCheck, Error>
    where
        P: TryInto<Port>,
        Error: From<P::Error>,
    {
        self.target.source_port = Some(port.try_into()?);
        Ok(self)
    }

    /// Which addresses of a name count. Default: any.
    pub fn family(mut self, family: Family) -> TcpCheck {
        self.target.family = family;
        self
    }

    /// What `Debug` prints, to tell one from another.
    pub fn name(mut self, name: impl Into<String>) -> TcpCheck {
        self.name = Some(name.into());
        self
    }
}

impl Check for TcpCheck {
    fn check(&mut self) -> Outcome {
        let mut reached = Vec::new();
        converse(&self.target, self.timeout, |conversation| {
            reached.push(conversation.peer().to_string());
            Outcome::new(Health::Ok, Reason::TcpConnected).with_detail(reached.join(" "))
        })
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
