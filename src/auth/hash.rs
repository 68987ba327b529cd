//! One hash of an htpasswd file: which kind it is, and whether a password is behind it.
//!
//! A message says what kind a text is, or what is wrong with it, and never shows it.
#![forbid(unsafe_code)]

use super::apr1::Apr1;
use super::bcrypt::Bcrypt;
use super::same;
use crate::wire::base64;
use crate::wire::digest::sha1;

/// What a password is held against.
#[derive(PartialEq, Eq)]
pub(super) enum Hash {
    Apr1(Apr1),
    Bcrypt(Bcrypt),
    Sha1([u8; 20]),
}

impl Hash {
    /// Reads what stands after the colon. The message never shows it.
    pub(super) fn parse(text: &[u8]) -> Result<Hash, String> {
        if let Some(rest) = text.strip_prefix(b"{SHA}") {
            return parse_sha1(rest).map(Hash::Sha1);
        }
        if let Some(rest) = text.strip_prefix(b"$apr1$") {
            return Apr1::parse(rest).map(Hash::Apr1);
        }
        for prefix in [b"$2y$", b"$2a$", b"$2b$"] {
            if let Some(rest) = text.strip_prefix(prefix) {
                return Bcrypt::parse(rest).map(Hash::Bcrypt);
            }
        }
        Err(unsupported(text))
    }

    /// Whether this is the hash of `password`.
    pub(super) fn matches(&self, password: &[u8]) -> bool {
        match self {
            Hash::Apr1(hash) => hash.matches(password),
            Hash::Bcrypt(hash) => hash.matches(password),
            Hash::Sha1(hash) => same(hash, &sha1(password)),
        }
    }
}

fn parse_sha1(text: &[u8]) -> Result<[u8; 20], String> {
    let bytes = base64::decode(text, SHA1_DIGITS).map_err(|flaw| format!("SHA hash: {flaw}"))?;
    let length = bytes.len();
    bytes
        .try_into()
        .map_err(|_| format!("SHA hash has {length} bytes, expected 20"))
}

/// Why a text is none of the hashes that are taken. Of the text, only what tells its kind is said.
fn unsupported(text: &[u8]) -> String {
    if text.is_empty() {
        return "no hash after the colon; use htpasswd -B".to_string();
    }
    let known = UNSUPPORTED
        .iter()
        .find(|(prefix, _)| text.starts_with(prefix.as_bytes()));
    let kind = match known {
        Some((_, kind)) => kind,
        None if text.len() == DES_DIGITS && text.iter().all(is_crypt_digit) => "DES crypt hashes",
        None => "plain-text passwords",
    };
    format!("{kind} are not supported; use htpasswd -B")
}

fn is_crypt_digit(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/')
}

/// What others write, by its beginning. SHA-crypt is new in htpasswd 2.4.55.
const UNSUPPORTED: [(&str, &str); 7] = [
    ("$1$", "MD5 crypt hashes"),
    ("$2x$", "bcrypt hashes of the faulty kind $2x$"),
    ("$5$", "SHA-256 crypt hashes"),
    ("$6$", "SHA-512 crypt hashes"),
    ("$7$", "scrypt hashes"),
    ("$y$", "yescrypt hashes"),
    ("{SSHA}", "salted SHA hashes"),
];

/// Two of salt, eleven of hash.
const DES_DIGITS: usize = 13;

/// 20 bytes in base64.
const SHA1_DIGITS: usize = 28;

#[cfg(test)]
mod tests {
    use super::*;

    fn flaw(text: &str) -> Option<String> {
        Hash::parse(text.as_bytes()).err()
    }

    #[test]
    fn names_the_kind_of_what_is_not_supported() {
        let refused = [
            // Made by `htpasswd -nbd`.
            ("Bsadn7D6nHirE", "DES crypt hashes are not supported"),
            ("hunter2hunter", "DES crypt hashes are not supported"),
            ("hunter2", "plain-text passwords are not supported"),
            ("$hunter2", "plain-text passwords are not supported"),
            ("{sha}hunter2", "plain-text passwords are not supported"),
            ("$1$salt$hunter2", "MD5 crypt hashes are not supported"),
            (
                "$2x$05$hunter2",
                "bcrypt hashes of the faulty kind $2x$ are not supported",
            ),
            ("$5$salt$hunter2", "SHA-256 crypt hashes are not supported"),
            ("$6$salt$hunter2", "SHA-512 crypt hashes are not supported"),
            ("$7$salt$hunter2", "scrypt hashes are not supported"),
            ("$y$salt$hunter2", "yescrypt hashes are not supported"),
            ("{SSHA}hunter2", "salted SHA hashes are not supported"),
            ("", "no hash after the colon"),
        ];
        for (text, what) in refused {
            assert_eq!(flaw(text), Some(format!("{what}; use htpasswd -B")));
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_hash_of_each_kind() {
        let wrong = [
            ("{SHA}Zm9v", "SHA hash has 3 bytes, expected 20"),
            (
                "{SHA}Zm9",
                "SHA hash: base64 length 3 is not a multiple of four",
            ),
            (
                "{SHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ=====",
                "SHA hash: base64 over 28 bytes",
            ),
            ("$2y$05$hunter2", "bcrypt hash has 14 bytes, expected 60"),
            (
                "$apr1$hunter2",
                "apr1 hash is malformed, expected $apr1$salt$hash",
            ),
        ];
        for (text, what) in wrong {
            assert_eq!(flaw(text).as_deref(), Some(what));
        }
    }

    /// The vector of <https://httpd.apache.org/docs/2.4/misc/password_encryptions.html>.
    #[test]
    fn takes_sha() {
        let hash = Hash::parse(b"{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=")
            .ok()
            .unwrap();
        assert!(hash.matches(b"myPassword"));
        assert!(!hash.matches(b"mypassword"));
        assert!(!hash.matches(b""));
    }
}
