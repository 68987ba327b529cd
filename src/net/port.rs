//! Ports by number or by service name.
//!
//! Names are looked up in `/etc/services` (services(5)); where that file is missing, as on
//! routers, or does not have them, in a small table of our own.
#![forbid(unsafe_code)]

use std::fmt;
use std::path::Path;

use crate::error::Error;
use crate::sys::file::read_at_most;

/// A TCP port, 1 to 65535, made from a number or a service name.
///
/// ```
/// use failover::Port;
/// assert_eq!(Port::try_from("smtp")?, Port::try_from(25)?);
/// assert!(Port::try_from(0).is_err());
/// # Ok::<(), failover::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(u16);

impl Port {
    /// The number; never 0.
    pub fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<i32> for Port {
    type Error = Error;

    fn try_from(number: i32) -> Result<Port, Error> {
        match u16::try_from(number) {
            Ok(number) if number > 0 => Ok(Port(number)),
            _ => Err(not_a_port(&number)),
        }
    }
}

impl TryFrom<u16> for Port {
    type Error = Error;

    fn try_from(number: u16) -> Result<Port, Error> {
        Port::try_from(i32::from(number))
    }
}

impl TryFrom<&str> for Port {
    type Error = Error;

    fn try_from(text: &str) -> Result<Port, Error> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return match text.parse() {
                Ok(number) if number > 0 => Ok(Port(number)),
                _ => Err(not_a_port(&text)),
            };
        }
        in_services_file(text)
            .or_else(|| in_table(text))
            .map(Port)
            .ok_or_else(|| not_a_port(&text))
    }
}

fn not_a_port(written: &dyn fmt::Debug) -> Error {
    Error::invalid(format!(
        "{written:?} is not a port; expected 1 to 65535 or the name of a TCP service"
    ))
}

/// Debian's file has 12 KiB; more than this is not a services file.
const SERVICES_BYTES_MAX: u64 = 1024 * 1024;

fn in_services_file(name: &str) -> Option<u16> {
    let bytes = read_at_most(Path::new("/etc/services"), SERVICES_BYTES_MAX).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    text.lines().find_map(|line| in_services_line(line, name))
}

/// `smtp  25/tcp  mail  # comment`
fn in_services_line(line: &str, name: &str) -> Option<u16> {
    let line = line.split('#').next()?;
    let mut words = line.split_whitespace();
    let (first, port) = (words.next()?, words.next()?);
    let number = port.strip_suffix("/tcp")?;
    let is_it = first == name || words.any(|alias| alias == name);
    is_it
        .then(|| number.parse().ok().filter(|number| *number > 0))
        .flatten()
}

fn in_table(name: &str) -> Option<u16> {
    TABLE
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, number)| *number)
}

/// What people check, under the names of IANA's registry and Debian's aliases.
const TABLE: [(&str, u16); 40] = [
    ("amqp", 5672),
    ("bgp", 179),
    ("domain", 53),
    ("epmd", 4369),
    ("ftp", 21),
    ("git", 9418),
    ("http", 80),
    ("http-alt", 8080),
    ("https", 443),
    ("imap", 143),
    ("imap2", 143),
    ("imaps", 993),
    ("ipp", 631),
    ("iscsi-target", 3260),
    ("kerberos", 88),
    ("ldap", 389),
    ("ldaps", 636),
    ("mail", 25),
    ("ms-sql-s", 1433),
    ("mysql", 3306),
    ("nfs", 2049),
    ("nntp", 119),
    ("nut", 3493),
    ("openvpn", 1194),
    ("pop3", 110),
    ("pop3s", 995),
    ("postgresql", 5432),
    ("puppet", 8140),
    ("redis", 6379),
    ("rsync", 873),
    ("sieve", 4190),
    ("sip", 5060),
    ("smtp", 25),
    ("smtps", 465),
    ("ssh", 22),
    ("submission", 587),
    ("submissions", 465),
    ("telnet", 23),
    ("xmpp-client", 5222),
    ("zabbix-agent", 10050),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_numbers_or_services() {
        assert_eq!(Port::try_from("25").unwrap().number(), 25);
        assert_eq!(Port::try_from(65_535).unwrap().number(), 65_535);
        assert_eq!(Port::try_from("smtp").unwrap().number(), 25);
        assert_eq!(Port::try_from("ssh").unwrap().number(), 22);
    }

    #[test]
    fn what_is_no_port_is_quoted() {
        for bad in [
            "0",
            "65536",
            "99999999999",
            "",
            "-1",
            "no-such-service",
            "2 5",
            "25/tcp",
        ] {
            let message = Port::try_from(bad).unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("{bad:?} is not a port")),
                "{message}"
            );
        }
        for bad in [0, -1, 65_536] {
            assert!(Port::try_from(bad).is_err());
        }
    }

    #[test]
    fn a_services_line_has_name_port_aliases_and_comment() {
        let line = "smtp\t\t25/tcp\t\tmail # simple mail";
        for (name, port) in [
            ("smtp", Some(25)),
            ("mail", Some(25)),
            ("simple", None),
            ("25/tcp", None),
        ] {
            assert_eq!(in_services_line(line, name), port, "{name}");
        }
        for odd in [
            "",
            "smtp",
            "# smtp 25/tcp",
            "smtp 25/udp",
            "smtp x/tcp",
            "smtp 0/tcp",
            "smtp 70000/tcp",
        ] {
            assert_eq!(in_services_line(odd, "smtp"), None, "{odd:?}");
        }
    }

    #[test]
    fn the_table_is_sorted_and_agrees_with_the_file_where_both_know() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (name, number) in TABLE {
            assert!(
                in_services_file(name).is_none_or(|found| found == number),
                "{name}"
            );
        }
    }
}
