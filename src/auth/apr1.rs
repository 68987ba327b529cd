//! Apache's MD5 hashes, `$apr1$salt$hash`: what `htpasswd -m` writes.
//!
//! The algorithm is Poul-Henning Kamp's MD5 crypt with another magic word, as
//! <https://httpd.apache.org/docs/2.4/misc/password_encryptions.html> describes it.
#![forbid(unsafe_code)]

use super::same;
use crate::wire::digest::{Md5, md5};

/// One such hash.
#[derive(PartialEq, Eq)]
pub(super) struct Apr1 {
    /// 1 to 8 bytes.
    salt: Vec<u8>,
    /// In its own base64, which is never decoded: what is computed is encoded and compared.
    hash: [u8; HASH],
}

impl Apr1 {
    /// Reads what follows `$apr1$`. The message never shows the text.
    pub(super) fn parse(text: &[u8]) -> Result<Apr1, String> {
        let malformed = "apr1 hash is malformed, expected $apr1$salt$hash";
        let dollar = text
            .iter()
            .position(|&byte| byte == b'$')
            .ok_or(malformed)?;
        let (salt, hash) = (&text[..dollar], &text[dollar + 1..]);
        if salt.is_empty() || salt.len() > SALT_MAX {
            return Err(format!(
                "apr1 salt has {} bytes, expected 1 to {SALT_MAX}",
                salt.len()
            ));
        }
        if !salt.iter().all(u8::is_ascii_graphic) {
            return Err("apr1 salt has a byte that is not printable ASCII".to_string());
        }
        let Ok(hash) = <[u8; HASH]>::try_from(hash) else {
            return Err(format!(
                "apr1 hash has {} bytes, expected {HASH}",
                hash.len()
            ));
        };
        // The last digit stands for two bits only.
        let digits = hash.iter().all(|byte| DIGITS.contains(byte));
        if !digits || !DIGITS[..4].contains(&hash[HASH - 1]) {
            return Err(malformed.to_string());
        }
        Ok(Apr1 {
            salt: salt.to_vec(),
            hash,
        })
    }

    /// Whether this is the hash of `password`.
    pub(super) fn matches(&self, password: &[u8]) -> bool {
        same(&self.hash, &hash(password, &self.salt))
    }
}

/// The hash of `password`: the two stages of MD5 crypt, in its own base64.
pub(super) fn hash(password: &[u8], salt: &[u8]) -> [u8; HASH] {
    let mut digest = first_stage(password, salt);
    for round in 0..ROUNDS {
        let odd = round % 2 == 1;
        let mut next = Md5::new();
        next.update(if odd { password } else { &digest });
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(if odd { &digest } else { password });
        digest = next.finish();
    }
    encode(&digest)
}

fn first_stage(password: &[u8], salt: &[u8]) -> [u8; 16] {
    let inner = md5(&[password, salt, password].concat());
    let mut outer = Md5::new();
    outer.update(password);
    outer.update(b"$apr1$");
    outer.update(salt);
    for chunk in password.chunks(inner.len()) {
        outer.update(&inner[..chunk.len()]);
    }
    // By the binary digits of the length: a zero byte for a one, the first byte for a zero. The
    // original meant otherwise, and everybody has followed what it did.
    let mut length = password.len();
    while length != 0 {
        outer.update(if length % 2 == 1 {
            &[0]
        } else {
            &password[..1]
        });
        length /= 2;
    }
    outer.finish()
}

/// Three bytes to four digits, lowest bits first, in an order that is the algorithm's own.
fn encode(digest: &[u8; 16]) -> [u8; HASH] {
    let mut text = [0; HASH];
    for (digits, places) in text.chunks_mut(4).zip(ORDER) {
        let mut bits = places
            .iter()
            .fold(0, |bits, &at| (bits << 8) | usize::from(digest[at]));
        for digit in digits {
            *digit = DIGITS[bits % 64];
            bits /= 64;
        }
    }
    text
}

/// Which bytes of the digest make each group of digits.
const ORDER: [&[usize]; 6] = [
    &[0, 6, 12],
    &[1, 7, 13],
    &[2, 8, 14],
    &[3, 9, 15],
    &[4, 10, 5],
    &[11],
];

const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The digits of a hash: 128 bits by six.
const HASH: usize = 22;

const ROUNDS: u32 = 1000;

/// The algorithm uses no more of a salt.
const SALT_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `htpasswd -nbm`.
    const GOLDEN: [(&str, &str); 7] = [
        ("", "$apr1$WOwSyQTJ$GhvgaodwcoYOBRPI.7Yh8."),
        ("pass", "$apr1$KQ3oYbXL$IYUSCL41fedzpfTwYGBYC1"),
        ("a:b \"c\"", "$apr1$EdXiqtST$.VAjwzvhbdUEv.D.GVWlG."),
        ("zoë", "$apr1$VSLM.UNZ$j.1CSZHvbxUu1bsYS.3Q1/"),
        ("0123456789abcdef", "$apr1$22p4cys3$tOnf9A2iFzeEgmBOwlepf."),
        ("0123456789abcdef0", "$apr1$StRjJ1B/$aty5jCyiMtOz4Vy1AKELg0"),
        (
            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789",
            "$apr1$yTozHu4c$eOIiy2pB.MIV1wzCEwl8v0",
        ),
    ];

    fn parse(line: &str) -> Result<Apr1, String> {
        Apr1::parse(line.strip_prefix("$apr1$").unwrap().as_bytes())
    }

    #[test]
    fn agrees_with_htpasswd() {
        for (password, line) in GOLDEN {
            let hash = parse(line).unwrap();
            assert!(hash.matches(password.as_bytes()), "{password}");
            assert!(!hash.matches(format!("{password}x").as_bytes()));
        }
    }

    /// Every text has its own meaning, so that what was damaged never passes for what it was.
    #[test]
    fn no_flip_or_cut_is_read_as_the_same_hash() {
        let (_, line) = GOLDEN[1];
        let text = line.strip_prefix("$apr1$").unwrap().as_bytes();
        let whole = Apr1::parse(text).ok();
        assert!(whole.is_some());
        for at in 0..text.len() {
            assert!(Apr1::parse(&text[..at]).is_err());
            for byte in (0..=255).filter(|byte| *byte != text[at]) {
                let mut flipped = text.to_vec();
                flipped[at] = byte;
                assert!(Apr1::parse(&flipped).ok() != whole, "byte {at} as {byte}");
            }
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let hash = "qZrrt2Rp2f7tMoJ.j5RIw1";
        let wrong = [
            (
                "$apr1$".to_string(),
                "apr1 hash is malformed, expected $apr1$salt$hash",
            ),
            (
                format!("$apr1$${hash}"),
                "apr1 salt has 0 bytes, expected 1 to 8",
            ),
            (
                format!("$apr1$123456789${hash}"),
                "apr1 salt has 9 bytes, expected 1 to 8",
            ),
            (
                format!("$apr1$a b${hash}"),
                "apr1 salt has a byte that is not printable ASCII",
            ),
            (
                format!("$apr1$salt${hash}x"),
                "apr1 hash has 23 bytes, expected 22",
            ),
            (
                "$apr1$salt$qZrrt2Rp2f7tMoJ.j5RIw2".to_string(),
                "apr1 hash is malformed, expected $apr1$salt$hash",
            ),
        ];
        for (line, message) in wrong {
            assert_eq!(parse(&line).err().as_deref(), Some(message));
        }
    }
}
