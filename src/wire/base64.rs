//! Base64 in its standard alphabet, RFC 4648 section 4: what Basic credentials, SMTP AUTH and SCRAM
//! are written in.
//!
//! Only the canonical form is accepted: padding is required, the bits that padding leaves over are
//! zero, and nothing else stands between, so that one value has one spelling. A flaw names a
//! position and never the text, which may be a password.
#![forbid(unsafe_code)]

use std::fmt;

/// Why a text is not canonical base64. Positions count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The byte at this position is not in the alphabet.
    Alphabet(usize),
    /// The last character carries bits that no byte uses.
    Bits,
    /// The length is not a multiple of four: something is missing, or the padding is.
    Length(usize),
    /// An `=` stands where no padding belongs.
    Padding(usize),
    /// The text is longer than the caller takes; the value is what it takes.
    TooLong(usize),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Alphabet(at) => write!(f, "base64 byte {at} is not in the alphabet"),
            Flaw::Bits => write!(f, "base64 has unused bits set in its last character"),
            Flaw::Length(length) => {
                write!(f, "base64 length {length} is not a multiple of four")
            }
            Flaw::Padding(at) => write!(f, "base64 has misplaced padding at byte {at}"),
            Flaw::TooLong(limit) => write!(f, "base64 over {limit} bytes"),
        }
    }
}

/// The bytes that `text` stands for. A text of more than `limit` bytes is refused before any work.
pub(crate) fn decode(text: &[u8], limit: usize) -> Result<Vec<u8>, Flaw> {
    if text.len() > limit {
        return Err(Flaw::TooLong(limit));
    }
    if text.len() % 4 != 0 {
        return Err(Flaw::Length(text.len()));
    }
    let padding = text
        .iter()
        .rev()
        .take(2)
        .take_while(|&&byte| byte == PAD)
        .count();
    let digits = &text[..text.len() - padding];
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let mut pending = 0_u32;
    let mut bits = 0;
    for (at, &byte) in digits.iter().enumerate() {
        pending = (pending << 6) | digit(byte, at)?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((pending >> bits) as u8);
            pending &= (1 << bits) - 1;
        }
    }
    if pending != 0 {
        return Err(Flaw::Bits);
    }
    Ok(bytes)
}

/// `bytes` in base64, with padding.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut group = 0_u32;
        for at in 0..3 {
            group = (group << 8) | u32::from(chunk.get(at).copied().unwrap_or(0));
        }
        // One byte makes two digits, two make three, three make four.
        for at in 0..4 {
            let index = (group >> (18 - 6 * at)) & 0x3f;
            let byte = if at <= chunk.len() {
                ALPHABET[index as usize]
            } else {
                PAD
            };
            text.push(char::from(byte));
        }
    }
    text
}

/// The value of one digit; `at` is its position, for the flaw.
fn digit(byte: u8, at: usize) -> Result<u32, Flaw> {
    match byte {
        b'A'..=b'Z' => Ok(u32::from(byte - b'A')),
        b'a'..=b'z' => Ok(u32::from(byte - b'a') + 26),
        b'0'..=b'9' => Ok(u32::from(byte - b'0') + 52),
        b'+' => Ok(62),
        b'/' => Ok(63),
        PAD => Err(Flaw::Padding(at)),
        _ => Err(Flaw::Alphabet(at)),
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const PAD: u8 = b'=';

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648 section 10.
    const VECTORS: [(&str, &str); 7] = [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ];

    #[test]
    fn agrees_with_the_vectors_of_the_rfc() {
        for (plain, text) in VECTORS {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text.as_bytes(), 64).unwrap(), plain.as_bytes());
        }
    }

    #[test]
    fn round_trips_every_byte_at_every_place() {
        for length in 0..9 {
            for byte in 0..=255_u8 {
                let bytes: Vec<u8> = (0..length)
                    .map(|at| byte.wrapping_add(at).wrapping_mul(37))
                    .collect();
                assert_eq!(decode(encode(&bytes).as_bytes(), 64).unwrap(), bytes);
            }
        }
    }

    /// Whatever is accepted is the one spelling of its value.
    #[test]
    fn accepts_only_the_canonical_spelling_after_any_flip_or_cut() {
        for (_, text) in VECTORS {
            for end in 0..=text.len() {
                canonical_or_refused(&text.as_bytes()[..end]);
            }
            for at in 0..text.len() {
                for byte in 0..=255_u8 {
                    let mut flipped = text.as_bytes().to_vec();
                    flipped[at] = byte;
                    canonical_or_refused(&flipped);
                }
            }
        }
    }

    fn canonical_or_refused(text: &[u8]) {
        if let Ok(bytes) = decode(text, 64) {
            assert_eq!(encode(&bytes).as_bytes(), text);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let wrong: [(&[u8], Flaw, &str); 10] = [
            (
                b"Zg",
                Flaw::Length(2),
                "base64 length 2 is not a multiple of four",
            ),
            (
                b"Zg=",
                Flaw::Length(3),
                "base64 length 3 is not a multiple of four",
            ),
            (
                b"Zh==",
                Flaw::Bits,
                "base64 has unused bits set in its last character",
            ),
            (
                b"Zm9=",
                Flaw::Bits,
                "base64 has unused bits set in its last character",
            ),
            (
                b"Zm 8",
                Flaw::Alphabet(2),
                "base64 byte 2 is not in the alphabet",
            ),
            (
                b"Zm_8",
                Flaw::Alphabet(2),
                "base64 byte 2 is not in the alphabet",
            ),
            (
                b"Z===",
                Flaw::Padding(1),
                "base64 has misplaced padding at byte 1",
            ),
            (
                b"====",
                Flaw::Padding(0),
                "base64 has misplaced padding at byte 0",
            ),
            (
                b"Zg==Zg==",
                Flaw::Padding(2),
                "base64 has misplaced padding at byte 2",
            ),
            (b"Zm9vZm9vZm9v", Flaw::TooLong(8), "base64 over 8 bytes"),
        ];
        for (text, flaw, message) in wrong {
            assert_eq!(decode(text, 8), Err(flaw));
            assert_eq!(flaw.to_string(), message);
        }
    }
}
