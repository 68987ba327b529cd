//! Dialling: a host, a port, and what else is said of how to get there, to a connection.
//!
//! One deadline bounds resolving and connecting together, and is shared out among the addresses of
//! a name. What ends an attempt is told in the fixed words of [`Reason`].
#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::Error;
use crate::health::{Health, Outcome, Reason};
use crate::net::deadline::Deadline;
use crate::net::port::Port;
use crate::net::resolve::resolve;
use crate::sys::{errno, socket};
use crate::text::cut_last;

/// Which addresses of a name count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// The first that answers, of either family, in the system's order.
    #[default]
    Any,
    /// The first IPv4 address that answers.
    V4,
    /// The first IPv6 address that answers.
    V6,
    /// Every address has to answer: half a service is not up.
    All,
}

impl Family {
    fn has(self, address: &SocketAddr) -> bool {
        match self {
            Family::Any | Family::All => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        }
    }
}

impl TryFrom<&str> for Family {
    type Error = Error;

    fn try_from(text: &str) -> Result<Family, Error> {
        match text {
            "any" => Ok(Family::Any),
            "4" => Ok(Family::V4),
            "6" => Ok(Family::V6),
            "all" => Ok(Family::All),
            _ => Err(Error::invalid(format!(
                "{text:?} is not a family; expected any, 4, 6 or all"
            ))),
        }
    }
}

/// Where to connect to, and from where.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: Port,
    pub(crate) family: Family,
    pub(crate) source_host: Option<String>,
    pub(crate) source_port: Option<Port>,
    /// How long resolving and connecting may take, where that is less than the whole.
    pub(crate) connect_timeout: Option<Duration>,
}

impl Target {
    /// A target that any address of the machine may reach.
    ///
    /// # Errors
    /// A host that no name or address can look like.
    pub(crate) fn new(host: &str, port: Port) -> Result<Target, Error> {
        Ok(Target {
            host: checked_host(host)?,
            port,
            family: Family::Any,
            source_host: None,
            source_port: None,
            connect_timeout: None,
        })
    }

    /// Connects to the first address that answers, or to each with [`Family::All`], and hands the
    /// connections to `each` as they are made.
    ///
    /// # Errors
    /// The outcome that the attempt comes to.
    pub(crate) fn connect(
        &self,
        deadline: Deadline,
        each: &mut dyn FnMut(TcpStream, SocketAddr),
    ) -> Result<(), Box<Outcome>> {
        let deadline = match self.connect_timeout {
            Some(timeout) => deadline.earlier(timeout),
            None => deadline,
        };
        let addresses = self.addresses(deadline)?;
        let mut problem = None;
        for (index, address) in addresses.iter().enumerate() {
            let result = match deadline.share(addresses.len() - index) {
                Some(share) => self.connect_to(*address, share),
                None => Err(io::ErrorKind::TimedOut.into()),
            };
            match result {
                Ok(stream) => {
                    each(stream, *address);
                    if self.family != Family::All {
                        return Ok(());
                    }
                }
                Err(error) => {
                    let outcome = outcome_of(&error).with_detail(address.to_string());
                    if self.family == Family::All {
                        return Err(outcome.into());
                    }
                    problem = Some(worse(problem, outcome));
                }
            }
        }
        problem.map_or(Ok(()), |problem| Err(problem.into()))
    }

    /// The addresses of the host that count, with the port.
    ///
    /// # Errors
    /// The outcome that looking for them comes to; never an empty list.
    pub(crate) fn addresses(&self, deadline: Deadline) -> Result<Vec<SocketAddr>, Box<Outcome>> {
        let mut addresses = resolve(&self.host, deadline)?;
        addresses.retain(|address| self.family.has(address));
        for address in &mut addresses {
            address.set_port(self.port.number());
        }
        if addresses.is_empty() {
            let detail = format!("{} has none of this family", self.host);
            return Err(Outcome::new(Health::Fail, Reason::ResolveNoAddress)
                .with_detail(detail)
                .into());
        }
        Ok(addresses)
    }

    fn connect_to(&self, address: SocketAddr, deadline: Deadline) -> io::Result<TcpStream> {
        let source = self.source_for(address, deadline)?;
        let left = deadline.left().ok_or(io::ErrorKind::TimedOut)?;
        let stream = match source {
            None => TcpStream::connect_timeout(&address, left)?,
            Some(source) => socket::connect_from(source, address, left)?,
        };
        if self.source_port.is_some() {
            socket::reset_on_close(&stream)?;
        }
        // TCP's simultaneous open connects a socket to itself when the port of a dead service is
        // among the ephemeral ones. Nobody listens there. Its two ports are the same then.
        let local = stream.local_addr()?;
        if local.port() == address.port() && local == stream.peer_addr()? {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        Ok(stream)
    }

    /// The local address to use for a peer of that family.
    ///
    /// # Errors
    /// The one that was asked for cannot be used for that peer.
    pub(crate) fn source_for(
        &self,
        peer: SocketAddr,
        deadline: Deadline,
    ) -> io::Result<Option<SocketAddr>> {
        if self.source_host.is_none() && self.source_port.is_none() {
            return Ok(None);
        }
        let unspecified = if peer.is_ipv4() { "0.0.0.0" } else { "::" };
        let host = self.source_host.as_deref().unwrap_or(unspecified);
        let found = resolve(host, deadline).unwrap_or_default();
        let matching = found
            .into_iter()
            .find(|source| source.is_ipv4() == peer.is_ipv4());
        let mut source = matching.ok_or(io::ErrorKind::AddrNotAvailable)?;
        source.set_port(self.source_port.map_or(0, Port::number));
        Ok(Some(source))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// RFC 1035 allows 253 characters; a zone may follow an address.
const HOST_LEN_MAX: usize = 253;

/// A host that can be asked for: a name or an address, with or without the brackets of a URL.
///
/// A name does not end in a number (RFC 1123 section 2.1): what does and is no address is one that
/// was misspelt, or written as only some resolvers read it.
///
/// # Errors
/// Text that is neither.
pub(crate) fn checked_host(host: &str) -> Result<String, Error> {
    let inner = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte);
    let is_written = !inner.is_empty() && inner.bytes().all(allowed) && inner.len() <= HOST_LEN_MAX;
    let is_six = inner.contains(':');
    let address = inner.split('%').next().unwrap_or_default();
    let is_address = address.parse::<IpAddr>().is_ok();
    let undotted = inner.trim_end_matches('.');
    let last = cut_last(undotted, b'.').map_or(undotted, |(_, last)| last);
    let why = if !is_written || is_six && !is_address {
        "a host; expected a name, an IPv4 address or an IPv6 address"
    } else if !is_address && last.bytes().all(|byte| byte.is_ascii_digit()) {
        "an IPv4 address, and a name does not end in a number"
    } else {
        return Ok(inner.to_string());
    };
    Err(Error::invalid(format!("{host:?} is not {why}")))
}

/// Of several attempts the one to tell: our own trouble says nothing of the target, so a clear
/// failure of another address does not outweigh it.
pub(crate) fn worse(before: Option<Outcome>, outcome: Outcome) -> Outcome {
    match before {
        Some(before) if before.health == Health::Unknown => before,
        _ => outcome,
    }
}

/// What a failed connection, or a failed datagram, comes to.
pub(crate) fn outcome_of(error: &io::Error) -> Outcome {
    let (health, reason) = classify(error);
    Outcome::new(health, reason)
}

/// The table of what a failed connection means. Only what the target or the way to it did is a
/// failure; what this machine lacks is unknown.
fn classify(error: &io::Error) -> (Health, Reason) {
    if errno::is_out_of_descriptors(error) {
        return (Health::Unknown, Reason::OutOfDescriptors);
    }
    if errno::is_out_of_memory(error) {
        return (Health::Unknown, Reason::OutOfMemory);
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => (Health::Fail, Reason::TcpConnectRefused),
        io::ErrorKind::TimedOut => (Health::Fail, Reason::TcpConnectTimeout),
        io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected => {
            (Health::Fail, Reason::TcpConnectReset)
        }
        io::ErrorKind::HostUnreachable => (Health::Fail, Reason::TcpHostUnreachable),
        io::ErrorKind::NetworkUnreachable => (Health::Fail, Reason::TcpNetworkUnreachable),
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => {
            (Health::Unknown, Reason::TcpSourceUnavailable)
        }
        io::ErrorKind::PermissionDenied => (Health::Unknown, Reason::TcpNotPermitted),
        _ => (Health::Unknown, Reason::TcpError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses() {
        for (host, kept) in [
            ("a.example", "a.example"),
            ("[::1]", "::1"),
            ("fe80::1%eth0.100", "fe80::1%eth0.100"),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
            ("10.0.0.255", "10.0.0.255"),
            ("4.example.", "4.example."),
            ("host-4", "host-4"),
        ] {
            assert_eq!(checked_host(host).unwrap(), kept);
        }
        let long = "a".repeat(254);
        let bad = ["", "a b", "http://a", "a/b", "é", &long];
        for bad in bad
            .into_iter()
            .chain(["[2001:db8:::1]", "::ffff:192.0.2.256", "a:b"])
        {
            let said = checked_host(bad).unwrap_err().to_string();
            assert!(
                said.ends_with(
                    "is not a host; expected a name, an IPv4 address or an IPv6 address"
                )
            );
        }
        for number in [
            "10.0.0.256",
            "10.0.1",
            "127.1",
            "010.0.0.1",
            "10.0.0.1.2",
            "25",
            "a.25.",
        ] {
            let said = checked_host(number).unwrap_err().to_string();
            let why = "an IPv4 address, and a name does not end in a number";
            assert_eq!(said, format!("{number:?} is not {why}"));
        }
    }

    #[test]
    fn our_own_trouble_is_unknown_and_theirs_is_a_failure() {
        for (number, health, words) in [
            (111, Health::Fail, "tcp connect refused"),
            (110, Health::Fail, "tcp connect timeout"),
            (104, Health::Fail, "tcp connect reset"),
            (113, Health::Fail, "tcp host unreachable"),
            (101, Health::Fail, "tcp network unreachable"),
            (99, Health::Unknown, "tcp source unavailable"),
            (98, Health::Unknown, "tcp source unavailable"),
            (24, Health::Unknown, "out of descriptors"),
            (23, Health::Unknown, "out of descriptors"),
            (105, Health::Unknown, "out of memory"),
            (12, Health::Unknown, "out of memory"),
            (1, Health::Unknown, "tcp not permitted"),
            (5, Health::Unknown, "tcp error"),
        ] {
            let (got, reason) = classify(&io::Error::from_raw_os_error(number));
            assert_eq!((got, reason.words()), (health, words), "errno {number}");
        }
    }
}
