//! Domain names (RFC 1035 sections 3.1, 4.1.4 and 5.1), and the reader of a message.
#![forbid(unsafe_code)]

use std::fmt;
use std::net::IpAddr;

use super::Malformed;

/// RFC 1035 section 2.3.4, with the root's empty label.
const NAME_LEN_MAX: usize = 255;
const LABEL_LEN_MAX: usize = 63;

const CUT_SHORT: Malformed = Malformed("cut short");

/// A domain name. Labels may have any bytes in them; upper and lower case are kept and mean the
/// same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// Length and bytes of each label, without the root's; at most 254 bytes.
    labels: Vec<u8>,
}

impl Name {
    /// Reads `mail.example`, with or without a dot at its end; `\.` and `\046` are bytes that mean
    /// nothing, `.` alone is the root.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub(crate) fn parse(text: &str) -> Result<Name, Malformed> {
        let mut name = Name { labels: Vec::new() };
        let mut label = Vec::new();
        let mut rest = text.as_bytes();
        if rest == b"." {
            return Ok(name);
        }
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                b'.' => name.push(&std::mem::take(&mut label))?,
                b'\\' => {
                    let (meant, after) = unescaped(rest).ok_or(Malformed("a \\ alone"))?;
                    label.push(meant);
                    rest = after;
                }
                _ => label.push(byte),
            }
        }
        if !label.is_empty() || name.labels.is_empty() {
            name.push(&label)?;
        }
        Ok(name)
    }

    /// The name that has an address's name (RFC 1035 section 3.5, RFC 3596 section 2.5).
    pub(crate) fn reverse(ip: IpAddr) -> Name {
        let mut labels = Vec::new();
        let mut push = |label: &str| {
            labels.push(label.len() as u8);
            labels.extend_from_slice(label.as_bytes());
        };
        match ip {
            IpAddr::V4(ip) => {
                let octets = ip.octets();
                octets
                    .iter()
                    .rev()
                    .for_each(|octet| push(&octet.to_string()));
                push("in-addr");
            }
            IpAddr::V6(ip) => {
                for octet in ip.octets().iter().rev() {
                    push(&format!("{:x}", octet & 0xf));
                    push(&format!("{:x}", octet >> 4));
                }
                push("ip6");
            }
        }
        push("arpa");
        Name { labels }
    }

    /// Adds a label at the end.
    fn push(&mut self, label: &[u8]) -> Result<(), Malformed> {
        if label.is_empty() {
            return Err(Malformed("an empty label"));
        }
        if label.len() > LABEL_LEN_MAX {
            return Err(Malformed("a label of more than 63 bytes"));
        }
        // One for its length, one for the root's.
        if self.labels.len() + label.len() + 2 > NAME_LEN_MAX {
            return Err(Malformed("a name of more than 255 bytes"));
        }
        self.labels.push(label.len() as u8);
        self.labels.extend_from_slice(label);
        Ok(())
    }

    /// Whether it is the same name, in whatever case. The lengths are below the letters.
    pub(crate) fn is(&self, other: &Name) -> bool {
        self.labels.eq_ignore_ascii_case(&other.labels)
    }

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.labels);
        bytes.push(0);
    }
}

/// What follows a backslash: three digits, or a byte that stands for itself.
fn unescaped(rest: &[u8]) -> Option<(u8, &[u8])> {
    let (&first, after) = rest.split_first()?;
    if !first.is_ascii_digit() {
        return Some((first, after));
    }
    let (digits, after) = rest.split_first_chunk::<3>()?;
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((number, after))
}

/// As it is written in a zone, with its last dot.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = &self.labels[..];
        if rest.is_empty() {
            return f.write_str(".");
        }
        while let Some((&len, after)) = rest.split_first() {
            let (label, next) = after.split_at(usize::from(len).min(after.len()));
            for &byte in label {
                match byte {
                    b'.' | b'\\' => write!(f, "\\{}", char::from(byte))?,
                    b'!'..=b'~' => write!(f, "{}", char::from(byte))?,
                    _ => write!(f, "\\{byte:03}")?,
                }
            }
            f.write_str(".")?;
            rest = next;
        }
        Ok(())
    }
}

/// Reads a message, or a part of one, in which names may point to what came before.
pub(super) struct Reader<'a> {
    message: &'a [u8],
    /// `at <= end <= message.len()`.
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(message: &'a [u8]) -> Reader<'a> {
        Reader {
            message,
            at: 0,
            end: message.len(),
        }
    }

    /// A reader of the next `len` bytes only, which this one skips.
    pub(super) fn part(&mut self, len: usize) -> Result<Reader<'a>, Malformed> {
        let at = self.at;
        self.take(len)?;
        Ok(Reader {
            message: self.message,
            at,
            end: self.at,
        })
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at + len;
        if end > self.end {
            return Err(CUT_SHORT);
        }
        let bytes = &self.message[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    pub(super) fn array<const LEN: usize>(&mut self) -> Result<[u8; LEN], Malformed> {
        self.take(LEN)?.try_into().map_err(|_| CUT_SHORT)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        let bytes = &self.message[self.at..self.end];
        self.at = self.end;
        bytes
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.end
    }

    /// A name, of which the end may be that of an earlier one.
    pub(super) fn name(&mut self) -> Result<Name, Malformed> {
        let mut name = Name { labels: Vec::new() };
        let mut start = self.at;
        // Reads on elsewhere once a pointer was followed.
        let mut away: Option<Reader> = None;
        loop {
            let reader = away.as_mut().unwrap_or(self);
            let len = reader.u8()?;
            match len >> 6 {
                0 if len == 0 => return Ok(name),
                0 => {
                    let label = reader.take(usize::from(len))?;
                    name.push(label)?;
                }
                3 => {
                    let low = reader.u8()?;
                    let target = usize::from(u16::from_be_bytes([len & 0x3f, low]));
                    // Only backwards, so that it ends: each jump is below the one before.
                    if target >= start {
                        return Err(Malformed("a pointer that does not point backwards"));
                    }
                    start = target;
                    away = Some(Reader {
                        message: self.message,
                        at: target,
                        end: self.message.len(),
                    });
                }
                _ => return Err(Malformed("a label of a kind that is not in use")),
            }
        }
    }
}
