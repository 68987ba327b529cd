//! The data of records: RFC 1035 section 3.3, RFC 3596 (AAAA), RFC 2782 (SRV).
#![forbid(unsafe_code)]

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::name::{Name, Reader};
use super::{Malformed, two_bytes};

pub(crate) const A: u16 = 1;
const NS: u16 = 2;
pub(crate) const CNAME: u16 = 5;
const SOA: u16 = 6;
pub(crate) const PTR: u16 = 12;
const MX: u16 = 15;
pub(crate) const TXT: u16 = 16;
const AAAA: u16 = 28;
const SRV: u16 = 33;

const KINDS: [(&str, u16); 9] = [
    ("A", A),
    ("AAAA", AAAA),
    ("MX", MX),
    ("NS", NS),
    ("TXT", TXT),
    ("CNAME", CNAME),
    ("SOA", SOA),
    ("SRV", SRV),
    ("PTR", PTR),
];

/// The number of a kind of record, by its name in whatever case.
pub(crate) fn kind_of(text: &str) -> Option<u16> {
    let known = KINDS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text));
    known.map(|(_, number)| *number)
}

/// The name of a kind of record.
pub(crate) fn kind_name(kind: u16) -> &'static str {
    let known = KINDS.iter().find(|(_, number)| *number == kind);
    known.map_or("another type", |(name, _)| name)
}

/// What a record says of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    /// That of CNAME, NS and PTR.
    Name(Name),
    Mx {
        preference: u16,
        exchange: Name,
    },
    /// Strings of at most 255 bytes each.
    Txt(Vec<Vec<u8>>),
    Soa(Box<Soa>),
    Srv {
        priority: u16,
        weight: u16,
        port: u16,
        target: Name,
    },
    /// Of another type or class, or none.
    Other(Vec<u8>),
}

/// Where a zone comes from, and how it is to be kept; times in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Soa {
    primary: Name,
    mailbox: Name,
    /// Serial, refresh, retry, expire, minimum.
    numbers: [u32; 5],
}

impl Data {
    /// Reads all that the reader has.
    pub(super) fn decode(kind: u16, reader: &mut Reader) -> Result<Data, Malformed> {
        let data = match kind {
            A => Data::A(reader.array::<4>()?.into()),
            AAAA => Data::Aaaa(reader.array::<16>()?.into()),
            CNAME | NS | PTR => Data::Name(reader.name()?),
            MX => Data::Mx {
                preference: reader.u16()?,
                exchange: reader.name()?,
            },
            TXT => {
                let mut strings = Vec::new();
                while !reader.is_at_end() {
                    let len = reader.u8()?;
                    strings.push(reader.take(usize::from(len))?.to_vec());
                }
                Data::Txt(strings)
            }
            SOA => Data::Soa(Box::new(Soa {
                primary: reader.name()?,
                mailbox: reader.name()?,
                numbers: [
                    reader.u32()?,
                    reader.u32()?,
                    reader.u32()?,
                    reader.u32()?,
                    reader.u32()?,
                ],
            })),
            SRV => Data::Srv {
                priority: reader.u16()?,
                weight: reader.u16()?,
                port: reader.u16()?,
                target: reader.name()?,
            },
            _ => Data::Other(reader.rest().to_vec()),
        };
        if !reader.is_at_end() {
            return Err(Malformed("data longer than a record of its type has"));
        }
        Ok(data)
    }

    /// Writes names in full, as RFC 3597 section 4 asks of all but the oldest types.
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) -> Result<(), Malformed> {
        match self {
            Data::A(ip) => bytes.extend_from_slice(&ip.octets()),
            Data::Aaaa(ip) => bytes.extend_from_slice(&ip.octets()),
            Data::Name(name) => name.encode(bytes),
            Data::Mx {
                preference,
                exchange,
            } => {
                bytes.extend_from_slice(&preference.to_be_bytes());
                exchange.encode(bytes);
            }
            Data::Txt(strings) => {
                for string in strings {
                    let [0, len] = two_bytes(string.len())? else {
                        return Err(Malformed("a string of more than 255 bytes"));
                    };
                    bytes.push(len);
                    bytes.extend_from_slice(string);
                }
            }
            Data::Soa(soa) => {
                soa.primary.encode(bytes);
                soa.mailbox.encode(bytes);
                bytes.extend(soa.numbers.iter().flat_map(|number| number.to_be_bytes()));
            }
            Data::Srv {
                priority,
                weight,
                port,
                target,
            } => {
                for number in [priority, weight, port] {
                    bytes.extend_from_slice(&number.to_be_bytes());
                }
                target.encode(bytes);
            }
            Data::Other(raw) => bytes.extend_from_slice(raw),
        }
        Ok(())
    }
}

/// As in a zone file, but for text: its strings are one, without quotes (RFC 7208 section 3.3).
impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Data::A(ip) => ip.fmt(f),
            Data::Aaaa(ip) => ip.fmt(f),
            Data::Name(name) => name.fmt(f),
            Data::Mx {
                preference,
                exchange,
            } => write!(f, "{preference} {exchange}"),
            Data::Txt(strings) => f.write_str(&String::from_utf8_lossy(&strings.concat())),
            Data::Soa(soa) => {
                write!(f, "{} {}", soa.primary, soa.mailbox)?;
                soa.numbers
                    .iter()
                    .try_for_each(|number| write!(f, " {number}"))
            }
            Data::Srv {
                priority,
                weight,
                port,
                target,
            } => write!(f, "{priority} {weight} {port} {target}"),
            // RFC 3597 section 5, without the bytes.
            Data::Other(raw) => write!(f, "\\# {}", raw.len()),
        }
    }
}
