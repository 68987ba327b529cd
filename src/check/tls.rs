//! TLS: does a service speak it?
//!
//! It says the first word of a handshake and understands the answer, which comes in the clear. It
//! verifies nothing: no name, no chain, no date, no key (RFC 5246, RFC 8446).
#![forbid(unsafe_code)]

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::check::Check;
use crate::check::way::way_to_target;
use crate::client::tls;
use crate::error::Error;
use crate::health::{Health, Outcome, Reason};
use crate::net::conversation::{Conversation, converse, excerpt};
use crate::net::dial::{Target, checked_host};
use crate::net::port::Port;
use crate::units::Span;
use crate::wire::tls::{PROTOCOL_VERSION, Seen, alert_name, version_name};

/// What a detail quotes of an answer that is not TLS.
const QUOTED_MAX: usize = 100;

/// Checks whether a service speaks TLS. **It verifies nothing**: any certificate will do, expired,
/// for another name, or of a stranger. To verify, run a program such as `curl`.
///
/// It offers TLS 1.2 at most, because a server of that version answers in the clear; a server that
/// speaks TLS 1.3 only refuses that in a way of its own, and passes as well. The name of the host
/// is sent to the server (SNI), unless it is an address.
///
/// Reasons: `tls spoken`, with the version; failures `tls alert` (it speaks TLS and refused this
/// handshake, with the number and the name of RFC 8446), `tls not spoken`, `answer timeout`,
/// `answer ended early`, `answer reset`, `answer too long`, `send timeout`; and those of
/// [`TcpCheck`](crate::TcpCheck) when there is no connection.
///
/// ```
/// use std::io::Write;
/// use failover::{Check, Health, TlsCheck, second};
///
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let port = listener.local_addr()?.port();
/// let mut check = TlsCheck::new("127.0.0.1", port, second(10))?;
/// std::thread::spawn(move || listener.accept()?.0.write_all(b"220 mail.example ESMTP\r\n"));
/// let outcome = check.check();
/// assert_eq!(outcome.health, Health::Fail);
/// assert!(outcome.to_string().starts_with("tls not spoken: plain text: 220 mail.example"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TlsCheck {
    target: Target,
    timeout: Duration,
    pub(crate) sni: Option<String>,
}

impl TlsCheck {
    /// Checks `host` (a name, an IPv4 or an IPv6 address) at `port` (1 to 65535, or the name of a
    /// service) within `timeout` (a bare number is seconds), resolving and connecting included.
    ///
    /// # Errors
    /// A host, port or timeout that cannot be.
    pub fn new<P, T>(host: &str, port: P, timeout: T) -> Result<TlsCheck, Error>
    where
        P: TryInto<Port>,
        T: TryInto<Span>,
        Error: From<P::Error> + From<T::Error>,
    {
        let timeout = timeout.try_into()?;
        let target = Target::new(host, port.try_into()?)?;
        Ok(TlsCheck::to(target, timeout))
    }

    /// Checks a target that is known to be one.
    pub(crate) fn to(target: Target, timeout: Span) -> TlsCheck {
        TlsCheck {
            sni: name_for(target.host()),
            target,
            timeout: timeout.duration(),
        }
    }

    /// Asks for the server of this name. Default: the host, unless that is an address, since RFC
    /// 6066 section 3 allows no address there.
    ///
    /// # Errors
    /// A name that cannot be, or an address.
    pub fn sni(mut self, name: &str) -> Result<TlsCheck, Error> {
        self.sni = Some(checked_server_name(name)?);
        Ok(self)
    }

    fn talk(&self, conversation: &mut Conversation) -> Outcome {
        match tls::greet(conversation, self.sni.as_deref()) {
            Ok(Seen::Hello { version }) => {
                tls::part(conversation);
                spoken(version_name(version))
            }
            Ok(Seen::Alert(PROTOCOL_VERSION)) => spoken("alert protocol version: TLS 1.3 only"),
            Ok(Seen::Alert(description)) => fail(Reason::TlsAlert)
                .with_detail(format!("{description} {}", alert_name(description))),
            Ok(Seen::Foreign | Seen::Partial { .. }) => {
                fail(Reason::TlsNotSpoken).with_detail(hint(conversation.received()))
            }
            Err(outcome) => *outcome,
        }
    }
}

/// # Errors
/// A name that cannot be, or an address.
pub(crate) fn checked_server_name(name: &str) -> Result<String, Error> {
    name_for(&checked_host(name)?).ok_or_else(|| {
        Error::invalid(format!(
            "{name:?} is an address; expected the name of a server"
        ))
    })
}

/// RFC 6066 section 3: the name without its last dot; no address.
fn name_for(host: &str) -> Option<String> {
    let is_address = host.contains(':') || host.parse::<IpAddr>().is_ok();
    (!is_address).then(|| host.trim_end_matches('.').to_string())
}

fn spoken(detail: &str) -> Outcome {
    Outcome::new(Health::Ok, Reason::TlsSpoken).with_detail(detail)
}

fn fail(reason: Reason) -> Outcome {
    Outcome::new(Health::Fail, reason)
}

/// What it looks like instead.
fn hint(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| b"\r\n".contains(byte));
    let line = &bytes[..end.unwrap_or(bytes.len())];
    let is_text = !line.is_empty() && line.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    let what = match is_text {
        true if line.starts_with(b"HTTP/") => "plain HTTP",
        true => "plain text",
        false => "bytes of another protocol",
    };
    format!("{what}: {}", excerpt(line, QUOTED_MAX))
}

way_to_target!(TlsCheck);

impl Check for TlsCheck {
    fn check(&mut self) -> Outcome {
        converse(&self.target, self.timeout, |conversation| {
            self.talk(conversation)
        })
    }

    fn budget(&self) -> Option<Duration> {
        Some(self.timeout)
    }
}

impl fmt::Debug for TlsCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsCheck({} within {:?})", self.target, self.timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_asked_for() {
        assert_eq!(name_for("mail.example.").as_deref(), Some("mail.example"));
        for address in ["192.0.2.1", "::1", "fe80::1%eth0"] {
            assert_eq!(name_for(address), None);
        }
        let check = TlsCheck::new("192.0.2.1", 443, 3).unwrap();
        assert!(check.clone().sni("www.example").is_ok());
        for bad in ["", "a b", "192.0.2.1", "[::1]", "a/b"] {
            assert!(check.clone().sni(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_hint_says_what_it_looks_like() {
        for (bytes, text) in [
            (
                &b"HTTP/1.1 400 Bad\r\nA: b"[..],
                "plain HTTP: HTTP/1.1 400 Bad",
            ),
            (b"220 mail\r\n", "plain text: 220 mail"),
            (b"\0\x01\n", "bytes of another protocol: \0\u{1}"),
            (b"", "bytes of another protocol: "),
        ] {
            assert_eq!(hint(bytes), text);
        }
    }
}
