//! The Authorization header of HTTP Basic, RFC 7617: bytes to credentials.
//!
//! Nothing here says why a header is refused: the answer to the client is the same, and a reason
//! would quote a password.
#![forbid(unsafe_code)]

use crate::wire::base64;

/// A user and a password as a client sent them. There is no `Debug`, so that neither is shown by
/// accident.
pub(super) struct Credentials {
    /// `user:password`, of any bytes but control characters.
    bytes: Vec<u8>,
    /// Where the first colon is: `colon < bytes.len()`.
    colon: usize,
}

impl Credentials {
    /// Reads the value of the header. `None` for another scheme, and for anything malformed.
    pub(super) fn parse(header: &str) -> Option<Credentials> {
        let (scheme, token) = header.trim_matches([' ', '\t']).split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let token = token.trim_start_matches(' ').as_bytes();
        let bytes = base64::decode(token, TOKEN_MAX).ok()?;
        // RFC 7617 section 2: neither may contain control characters. The zero byte among them
        // would end a password early for what hashes C strings.
        if bytes.iter().any(u8::is_ascii_control) {
            return None;
        }
        let colon = bytes.iter().position(|&byte| byte == b':')?;
        Some(Credentials { bytes, colon })
    }

    /// Both, with the colon between: what tells these credentials from all others.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Up to the first colon.
    pub(super) fn user(&self) -> &[u8] {
        &self.bytes[..self.colon]
    }

    /// After the first colon; it may contain more of them.
    pub(super) fn password(&self) -> &[u8] {
        &self.bytes[self.colon + 1..]
    }
}

/// Takes 768 bytes of user and password. htpasswd knows 255 for each, and the work of a hash grows
/// with the length of the password.
const TOKEN_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(credentials: &[u8]) -> String {
        format!("Basic {}", base64::encode(credentials))
    }

    fn accepted(credentials: &[u8]) -> bool {
        Credentials::parse(&header(credentials)).is_some()
    }

    #[test]
    fn splits_at_the_first_colon() {
        // The example of RFC 7617 section 2.
        let read = Credentials::parse("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").unwrap();
        assert_eq!(
            (read.user(), read.password()),
            (&b"Aladdin"[..], &b"open sesame"[..])
        );
        let cases: [(&[u8], &[u8], &[u8]); 5] = [
            (b"a:b:c", b"a", b"b:c"),
            (b"a:", b"a", b""),
            (b":b", b"", b"b"),
            (b":", b"", b""),
            (b"\xff\xc3\xa9:\xe9", b"\xff\xc3\xa9", b"\xe9"),
        ];
        for (sent, user, password) in cases {
            let read = Credentials::parse(&header(sent)).unwrap();
            assert_eq!(
                (read.bytes(), read.user(), read.password()),
                (sent, user, password)
            );
        }
    }

    #[test]
    fn takes_the_scheme_in_any_case_and_blanks_around() {
        for header in ["basic YTpi", "BASIC YTpi", "Basic  YTpi", " bAsIc YTpi\t"] {
            assert!(Credentials::parse(header).is_some(), "{header:?}");
        }
    }

    #[test]
    fn refuses_what_is_not_basic_credentials() {
        let refused = [
            "",
            " ",
            "Basic",
            "Basic ",
            "BasicYTpi",
            "Basic YTp",
            "Basic YTpi=",
            "Basic YTpi x",
            "Basic\tYTpi",
            "Basic =",
            "Bearer YTpi",
            "Digest username=\"a\"",
            "Basic YT pi",
            "Basic YTpi, Basic YTpi",
            "é YTpi",
            "Basic é",
        ];
        for header in refused {
            assert!(Credentials::parse(header).is_none(), "{header:?}");
        }
        assert!(!accepted(b"no colon"));
    }

    #[test]
    fn refuses_every_control_character_on_both_sides() {
        for byte in (0..0x20).chain([0x7f]) {
            assert!(!accepted(&[b'a', byte, b':', b'b']));
            assert!(!accepted(&[b'a', b':', b'b', byte]));
        }
        assert!(accepted(b"a :b "));
    }

    #[test]
    fn is_bounded() {
        assert!(accepted(&[b':'; 768]));
        assert!(!accepted(&[b':'; 769]));
        assert!(!accepted(&[b':'; 1 << 20]));
    }

    #[test]
    fn no_prefix_or_flip_panics() {
        let golden = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
        for at in 0..golden.len() {
            let _ = Credentials::parse(&golden[..at]);
            for byte in 0..=255_u8 {
                let mut flipped = golden.as_bytes().to_vec();
                flipped[at] = byte;
                let _ = Credentials::parse(&String::from_utf8_lossy(&flipped));
            }
        }
    }
}
