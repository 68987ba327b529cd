//! bcrypt hashes, `$2y$cost$salthash`: what `htpasswd -B` writes.
//!
//! From the description in Provos and Mazières, "A Future-Adaptable Password Scheme" (1999).
//! `$2a$`, `$2b$` and `$2y$` are the same algorithm here: their differences are bugs of single
//! programs, long repaired. `$2x$` marks hashes made by one of those bugs, and is not taken.
#![forbid(unsafe_code)]

use super::blowfish::Blowfish;
use super::same;

/// One such hash.
#[derive(PartialEq, Eq)]
pub(super) struct Bcrypt {
    /// 2^cost, for a cost of `COST_MIN` to `COST_MAX`.
    rounds: u32,
    salt: [u8; SALT],
    hash: [u8; HASH],
}

impl Bcrypt {
    /// Reads what follows `$2y$`. The message never shows the text.
    pub(super) fn parse(text: &[u8]) -> Result<Bcrypt, String> {
        if text.len() != TEXT {
            let whole = text.len() + PREFIX;
            return Err(format!(
                "bcrypt hash has {whole} bytes, expected {}",
                TEXT + PREFIX
            ));
        }
        let malformed = "bcrypt hash is malformed, expected $2y$cost$salthash";
        let (cost, rest) = text.split_at(2);
        let (dollar, rest) = rest.split_at(1);
        let (salt, hash) = rest.split_at(SALT_DIGITS);
        if dollar != b"$" || !cost.iter().all(u8::is_ascii_digit) {
            return Err(malformed.to_string());
        }
        let cost = cost
            .iter()
            .fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
        if cost > COST_MAX {
            return Err(format!(
                "bcrypt cost {cost} would hold a small router's CPU for seconds, expected at most \
                 {COST_MAX}; use htpasswd -B -C 10"
            ));
        }
        if cost < COST_MIN {
            return Err(format!(
                "bcrypt cost {cost} is invalid, expected {COST_MIN} to {COST_MAX}"
            ));
        }
        match (decode(salt), decode(hash)) {
            (Some(salt), Some(hash)) => Ok(Bcrypt {
                rounds: 1 << cost,
                salt,
                hash,
            }),
            _ => Err(malformed.to_string()),
        }
    }

    /// Whether this is the hash of `password`.
    pub(super) fn matches(&self, password: &[u8]) -> bool {
        same(&self.hash, &hash(password, &self.salt, self.rounds))
    }

    /// How much work [`Bcrypt::matches`] is.
    pub(super) fn rounds(&self) -> u32 {
        self.rounds
    }
}

/// The hash of `password`: a Blowfish whose boxes were made by `rounds` rounds of password and
/// salt encrypts one fixed text, over and over.
pub(super) fn hash(password: &[u8], salt: &[u8; SALT], rounds: u32) -> [u8; HASH] {
    let key = key_words(password);
    let salt = words::<4>(salt.iter());
    let mut cipher = Blowfish::new();
    cipher.expand(&salt, &key);
    stir(&mut cipher, &salt, &key, rounds);
    let mut text = words::<6>(TEXT_TO_ENCRYPT.iter());
    for pair in text.chunks_exact_mut(2) {
        for _ in 0..64 {
            (pair[0], pair[1]) = cipher.encrypt(pair[0], pair[1]);
        }
    }
    let mut hash = [0; HASH];
    // One byte short, as everybody has followed.
    for (byte, from) in hash
        .iter_mut()
        .zip(text.iter().flat_map(|word| word.to_be_bytes()))
    {
        *byte = from;
    }
    hash
}

/// Does the work of `rounds` rounds and nothing else: what a cheaper hash lacks to a dearer one.
/// What it returns only keeps the work from being optimized away.
pub(super) fn burn(password: &[u8], rounds: u32) -> u32 {
    let mut cipher = Blowfish::new();
    stir(&mut cipher, &[0; 4], &key_words(password), rounds);
    cipher.encrypt(0, 0).0
}

/// The loop that makes bcrypt dear.
fn stir(cipher: &mut Blowfish, salt: &[u32; 4], key: &[u32; 18], rounds: u32) {
    // The salt takes the place of the key: its words, over and over.
    let salt_key: [u32; 18] = std::array::from_fn(|at| salt[at % 4]);
    #[cfg(test)]
    STIRRED.set(STIRRED.get() + rounds);
    for _ in 0..rounds {
        cipher.expand(&[0; 4], key);
        cipher.expand(&[0; 4], &salt_key);
    }
}

/// The password and its final zero, over and over, to the length that bcrypt uses: what is over
/// 72 bytes is not looked at.
fn key_words(password: &[u8]) -> [u32; 18] {
    words(password.iter().chain(&[0]).cycle())
}

/// `N` words of four bytes, the highest first. Too few bytes would count as zeros.
fn words<'a, const N: usize>(mut bytes: impl Iterator<Item = &'a u8>) -> [u32; N] {
    std::array::from_fn(|_| {
        bytes
            .by_ref()
            .take(4)
            .fold(0, |word, &byte| (word << 8) | u32::from(byte))
    })
}

/// bcrypt's own base64: another order of digits, no padding. `None` unless exactly `N` bytes and
/// no bit more.
fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    let mut pending = 0_u32;
    let mut bits = 0;
    for &digit in text {
        pending = (pending << 6) | value(digit)?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            *bytes.get_mut(filled)? = (pending >> bits) as u8;
            filled += 1;
            pending &= (1 << bits) - 1;
        }
    }
    (filled == N && pending == 0).then_some(bytes)
}

fn value(digit: u8) -> Option<u32> {
    match digit {
        b'.' => Some(0),
        b'/' => Some(1),
        b'A'..=b'Z' => Some(u32::from(digit - b'A') + 2),
        b'a'..=b'z' => Some(u32::from(digit - b'a') + 28),
        b'0'..=b'9' => Some(u32::from(digit - b'0') + 54),
        _ => None,
    }
}

/// A quarter of a second on a server's core, seconds on a small router's; every step doubles that.
const COST_MAX: u32 = 12;

/// The algorithm knows no less.
const COST_MIN: u32 = 4;

const HASH: usize = 23;
const SALT: usize = 16;
const SALT_DIGITS: usize = 22;

/// `$2y$`, which [`Bcrypt::parse`] is not given, and what follows: two digits, a dollar, and the
/// digits of salt and hash.
const PREFIX: usize = 4;
const TEXT: usize = 2 + 1 + SALT_DIGITS + 31;

const TEXT_TO_ENCRYPT: &[u8; 24] = b"OrpheanBeholderScryDoubt";

#[cfg(test)]
thread_local! {
    /// The rounds done on this thread: work that a test can count without a clock.
    pub(super) static STIRRED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `htpasswd -nbB -C 4`, and by the C library's crypt(3) where the salt is regular.
    const GOLDEN: [(&[u8], &str); 11] = [
        (
            b"",
            "$2y$04$.P6Wo0dbCI4HeDeCkMwcaenfuBg2KHfqxZB/5g7WE9nM4NOgfyyhm",
        ),
        (
            b"pass",
            "$2y$04$7CRBzOwid2O2x6Godh9Nz.GEL9oGSQoJVvF8keUGT8LL6y20tZ83W",
        ),
        (
            b"zo\xc3\xab",
            "$2y$04$B.9iaVIN91.tTVUpvoBIrell.KeH1M0OxlelEFOnxBBd97DcknEeq",
        ),
        (
            b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef01234567",
            "$2y$04$R.Pj4Om1M6nm2SScywqnb.Ns8AXeUbDHB3FLSEvEZUCD7fiLqBZfq",
        ),
        (
            b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456",
            "$2y$04$d1vh.xvs/QIvhY9GjfwRI.N/PqkSwBKGDO3246F5Zb9wm1K4faahy",
        ),
        (
            b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789",
            "$2y$04$eAnkY1F.NcL1.dZQgk63UeTsAFJTmfhx4/FwS8PHh0AzxXFvpOPMK",
        ),
        (
            b"U*U",
            "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        ),
        (
            b"U*U*",
            "$2b$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK",
        ),
        (
            b"\xff\xa3",
            "$2y$05$/OK.fbVrR/bpIqNJ5ianF.5CqIYeWKyKrQvL4vewlwTcTA89GLXaW",
        ),
        (
            b"\xff\xff\xa3",
            "$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e",
        ),
        (
            b"\x801\xff",
            "$2b$04$999999999999999999999ue8mVFoMYHwAugt5nRzF3RPk8YhEV6zG",
        ),
    ];

    fn parse(line: &str) -> Result<Bcrypt, String> {
        Bcrypt::parse(&line.as_bytes()[PREFIX..])
    }

    #[test]
    fn agrees_with_htpasswd_and_crypt() {
        for (password, line) in GOLDEN {
            let hash = parse(line).unwrap();
            assert!(hash.matches(password), "{line}");
            assert!(!hash.matches(&[b"x", password].concat()));
        }
    }

    #[test]
    fn only_the_first_72_bytes_of_a_password_count() {
        let (long, line) = GOLDEN[3];
        assert_eq!(long.len(), 72);
        let hash = parse(line).unwrap();
        assert!(hash.matches(&[long, b"y"].concat()));
        assert!(!hash.matches(&long[..71]));
    }

    /// Every text has its own meaning, so that what was damaged never passes for what it was.
    #[test]
    fn no_flip_or_cut_is_read_as_the_same_hash() {
        let (_, line) = GOLDEN[1];
        let text = &line.as_bytes()[PREFIX..];
        let whole = Bcrypt::parse(text).ok();
        assert!(whole.is_some());
        for at in 0..text.len() {
            assert!(Bcrypt::parse(&text[..at]).is_err());
            for byte in (0..=255).filter(|byte| *byte != text[at]) {
                let mut flipped = text.to_vec();
                flipped[at] = byte;
                assert!(Bcrypt::parse(&flipped).ok() != whole, "byte {at} as {byte}");
            }
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let rest = &GOLDEN[1].1[6..];
        let malformed = "bcrypt hash is malformed, expected $2y$cost$salthash";
        let wrong = [
            ("$2y$".to_string(), "bcrypt hash has 4 bytes, expected 60"),
            (
                format!("$2y$05{rest}x"),
                "bcrypt hash has 61 bytes, expected 60",
            ),
            (
                format!("$2y$03{rest}"),
                "bcrypt cost 3 is invalid, expected 4 to 12",
            ),
            (
                format!("$2y$13{rest}"),
                "bcrypt cost 13 would hold a small router's CPU for seconds, expected at most 12; \
                 use htpasswd -B -C 10",
            ),
            (format!("$2y$0x{rest}"), malformed),
            (format!("$2y$05.{}", &rest[1..]), malformed),
            (format!("$2y$05${}!", &rest[1..rest.len() - 1]), malformed),
            // Unused bits of the last digit.
            (format!("$2y$05${}z", &rest[1..rest.len() - 1]), malformed),
        ];
        for (line, message) in wrong {
            assert_eq!(parse(&line).err().as_deref(), Some(message));
        }
        assert!(parse(&format!("$2y$12{rest}")).is_ok());
    }
}
