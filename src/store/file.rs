//! One file of the state directory: its name, its head line, and what is wrong with it.
//!
//! ```text
//! failover-store 1 boot=4f6b...-... uptime=12345678 len=17 crc32=0a1b2c3d
//! the value's bytes
//! ```
//!
//! `uptime` is in milliseconds; it and `boot` are `-` where they are not known. The checksum is
//! CRC-32 (ISO 3309) over the head before it and the value. Only bytes are looked at here.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::error::Error;
use crate::units::whole_millis;

/// The head's length at most; a whole one has about 120 bytes.
pub(super) const HEAD_BYTES_MAX: usize = 256;

/// A name's length at most, so that with its ending it fits every file system's 255 bytes.
const NAME_LEN_MAX: usize = 200;

/// The name of the file for a name, without its ending.
pub(super) fn file_name(name: &str) -> Result<String, Error> {
    let is_part = |part: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !part.is_empty() && part.bytes().all(allowed)
    };
    if name.len() > NAME_LEN_MAX || !name.split('/').all(is_part) {
        return Err(Error::invalid(format!(
            "{name:?} cannot be stored under; expected 1 to {NAME_LEN_MAX} letters, digits, \
             '.', '_', '-', and '/' between them"
        )));
    }
    Ok(name.replace('/', "+"))
}

/// A whole file.
pub(super) fn render(boot_id: Option<&str>, uptime: Option<Duration>, value: &[u8]) -> Vec<u8> {
    let boot_id = boot_id.unwrap_or("-");
    let uptime = match uptime {
        Some(uptime) => whole_millis(uptime).to_string(),
        None => String::from("-"),
    };
    let head = format!("{MAGIC} boot={boot_id} uptime={uptime} len={}", value.len());
    let checksum = crc32(&[head.as_bytes(), value]);
    let mut bytes = format!("{head} crc32={checksum:08x}\n").into_bytes();
    bytes.extend_from_slice(value);
    bytes
}

/// What a file is, and which version of it.
const MAGIC: &str = "failover-store 1";

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parsed<'a> {
    pub(super) boot_id: Option<&'a str>,
    pub(super) uptime: Option<Duration>,
    pub(super) value: &'a [u8],
}

/// Takes a whole file apart, or says what is wrong with it.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed<'_>, &'static str> {
    let head = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let end = head.iter().position(|byte| *byte == b'\n');
    let (head, value) = match end {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => return Err("it has no head line"),
    };
    let head = std::str::from_utf8(head).map_err(|_| "its head line is no text")?;
    let fields = head.strip_prefix(MAGIC).ok_or("it is of another format")?;
    let field = |name: &str| {
        let mut words = fields.split(' ');
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    };
    let (Some(boot_id), Some(uptime)) = (field("boot"), field("uptime")) else {
        return Err("its head line lacks something");
    };
    let boot_id = Some(boot_id).filter(|id| *id != "-");
    let uptime = uptime.parse().ok().map(Duration::from_millis);
    // What would be written for this is what has to be there.
    if render(boot_id, uptime, value) != bytes {
        return Err("its checksum or length is wrong");
    }
    Ok(Parsed {
        boot_id,
        uptime,
        value,
    })
}

/// CRC-32 of ISO 3309, bit by bit: a table would cost more than a few KiB a minute are worth.
fn crc32(pieces: &[&[u8]]) -> u32 {
    let mut crc = u32::MAX;
    for byte in pieces.iter().copied().flatten() {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let lowest = crc & 1;
            crc = (crc >> 1) ^ (lowest * 0xEDB8_8320);
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: &str = "01234567-89ab-cdef-0123-456789abcdef";

    fn golden() -> Vec<u8> {
        render(Some(BOOT), Some(Duration::from_millis(12_345)), b"a\nvalue")
    }

    #[test]
    fn a_file_is_as_documented() {
        // The checksum is the one of everybody's CRC-32.
        assert_eq!(crc32(&[b"1234", b"56789"]), 0xCBF4_3926);
        let text = String::from_utf8(golden()).unwrap();
        let head = format!("failover-store 1 boot={BOOT} uptime=12345 len=7 crc32=");
        assert!(text.starts_with(&head), "{text}");
        assert!(text.ends_with("\na\nvalue"), "{text}");
    }

    #[test]
    fn what_is_rendered_is_parsed() {
        for value in [&b""[..], b"a\nvalue", b"\0\xff", &[b'x'; 10_000]] {
            for boot_id in [None, Some(BOOT)] {
                for uptime in [None, Some(Duration::from_millis(1))] {
                    let bytes = render(boot_id, uptime, value);
                    let parsed = Parsed {
                        boot_id,
                        uptime,
                        value,
                    };
                    assert_eq!(parse(&bytes).unwrap(), parsed);
                }
            }
        }
    }

    #[test]
    fn every_prefix_and_every_flipped_bit_is_seen() {
        let golden = golden();
        for len in 0..golden.len() {
            assert!(parse(&golden[..len]).is_err(), "{len} bytes");
            for bit in 0..8 {
                let mut flipped = golden.clone();
                flipped[len] ^= 1 << bit;
                assert!(parse(&flipped).is_err(), "bit {bit} of byte {len}");
            }
        }
        let longer = [&golden[..], b"x"].concat();
        assert!(parse(&longer).is_err());
    }

    #[test]
    fn names_become_files_that_cannot_meet() {
        for (name, file) in [
            ("web", "web"),
            ("a/b.new/C_9", "a+b.new+C_9"),
            ("..", ".."),
            (".x", ".x"),
        ] {
            assert_eq!(file_name(name).unwrap(), file);
        }
        let too_long = "a".repeat(NAME_LEN_MAX + 1);
        for name in ["", "/a", "a/", "a//b", "a+b", "a b", "é", "a\0", &too_long] {
            let error = file_name(name).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name:?} cannot be stored")));
        }
    }
}
