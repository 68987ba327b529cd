//! A range of addresses, as `192.0.2.0/24` says it (RFC 4632, RFC 4291 section 2.3).
#![forbid(unsafe_code)]

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::Error;

/// A range of addresses of one family.
///
/// ```
/// use failover::Cidr;
///
/// let balancers = Cidr::try_from("192.0.2.0/24")?;
/// assert!(balancers.contains("192.0.2.7".parse()?));
/// // How a peer over IPv4 looks to a listener on [::].
/// assert!(balancers.contains("::ffff:192.0.2.7".parse()?));
/// assert!(!balancers.contains("192.0.3.7".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    base: IpAddr,
    /// At most 32 or 128, as the family has bits.
    prefix_len: u8,
}

impl Cidr {
    /// Whether the address is in it. An IPv4 address that is mapped into IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.base.is_ipv4() && masked(address, self.prefix_len) == self.base
    }
}

/// The address with all bits after the prefix zero.
fn masked(address: IpAddr, prefix_len: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix_len.min(32)));
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask.unwrap_or(0)))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix_len.min(128)));
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask.unwrap_or(0)))
        }
    }
}

impl TryFrom<&str> for Cidr {
    type Error = Error;

    /// `192.0.2.0/24`, `2001:db8::/32`, or an address, which is a range of one. Bits after the
    /// prefix have to be zero: who writes `192.0.2.7/24` may mean one address or all 256, and an
    /// access list is no place to guess.
    fn try_from(text: &str) -> Result<Cidr, Error> {
        let refuse = |expected: &str| {
            Err(Error::invalid(format!(
                "{text:?} is no range of addresses; expected {expected}"
            )))
        };
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let Ok(written) = address.parse::<IpAddr>() else {
            return refuse("one such as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.7");
        };
        let bits = if written.is_ipv4() { 32 } else { 128 };
        let is_number = |len: &&str| !len.is_empty() && len.bytes().all(|b| b.is_ascii_digit());
        let prefix_len = match len {
            None => bits,
            Some(len) => match Some(len).filter(is_number).and_then(|len| len.parse().ok()) {
                Some(len) if len <= bits => len,
                _ => return refuse(&format!("a prefix length of 0 to {bits}")),
            },
        };
        let base = masked(written, prefix_len);
        if base != written {
            return refuse(&format!("{base}/{prefix_len} or {written}"));
        }
        match base.to_canonical() {
            IpAddr::V4(v4) if bits == 128 && prefix_len >= 96 => Ok(Cidr {
                base: IpAddr::V4(v4),
                prefix_len: prefix_len - 96,
            }),
            _ => Ok(Cidr { base, prefix_len }),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix_len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_its_own_and_nothing_else() {
        for (range, inside, outside) in [
            (
                "192.0.2.0/24",
                "192.0.2.0 192.0.2.255",
                "192.0.1.255 192.0.3.0 ::",
            ),
            (
                "192.0.2.7",
                "192.0.2.7 ::ffff:192.0.2.7",
                "192.0.2.6 192.0.2.8",
            ),
            ("192.0.2.6/31", "192.0.2.6 192.0.2.7", "192.0.2.5 192.0.2.8"),
            (
                "0.0.0.0/0",
                "0.0.0.0 255.255.255.255 ::ffff:1.2.3.4",
                ":: ::1",
            ),
            ("::/0", ":: ::1 2001:db8::1", "192.0.2.1 ::ffff:192.0.2.1"),
            (
                "2001:db8::/32",
                "2001:db8:: 2001:db8:ffff::1",
                "2001:db9:: 2001:db7::",
            ),
            ("fe80::1", "fe80::1", "fe80::2 fe80::"),
            (
                "::ffff:192.0.2.0/120",
                "192.0.2.9 ::ffff:192.0.2.9",
                "192.0.3.0 ::192.0.2.9",
            ),
        ] {
            let cidr = Cidr::try_from(range).unwrap();
            for address in inside.split(' ') {
                assert!(cidr.contains(address.parse().unwrap()), "{range} {address}");
            }
            for address in outside.split(' ') {
                assert!(
                    !cidr.contains(address.parse().unwrap()),
                    "{range} {address}"
                );
            }
        }
    }

    #[test]
    fn what_is_none_is_quoted_with_what_was_expected() {
        for (text, expected) in [
            ("", "one such as"),
            ("banana", "one such as"),
            ("192.0.2/24", "one such as"),
            ("192.0.2.0/", "a prefix length of 0 to 32"),
            ("192.0.2.0/33", "a prefix length of 0 to 32"),
            ("192.0.2.0/+8", "a prefix length of 0 to 32"),
            ("192.0.2.0/24/8", "a prefix length of 0 to 32"),
            ("192.0.2.0/255.255.255.0", "a prefix length of 0 to 32"),
            ("2001:db8::/129", "a prefix length of 0 to 128"),
            ("192.0.2.7/24", "192.0.2.0/24 or 192.0.2.7"),
            ("2001:db8::1/32", "2001:db8::/32 or 2001:db8::1"),
        ] {
            let error = Cidr::try_from(text).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("{text:?} is no range")),
                "{error}"
            );
            assert!(error.ends_with(&format!("expected {expected}")) || expected == "one such as");
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn it_is_shown_as_it_is_written() {
        for text in ["192.0.2.0/24", "2001:db8::/32", "0.0.0.0/0", "::1/128"] {
            assert_eq!(Cidr::try_from(text).unwrap().to_string(), text);
        }
    }
}
