//! PostgreSQL's protocol 3.0 as a client speaks it, the part that a check needs: startup,
//! authentication, simple queries (PostgreSQL manual, "Frontend/Backend Protocol", "Message
//! Formats").
//!
//! A message is a byte for its kind, four for its length with themselves, and the body; the
//! startup alone has no kind. Nothing here knows who sends what when: that is the conversation's.
#![forbid(unsafe_code)]

pub(crate) mod scram;

use std::fmt;

use crate::wire::digest::Md5;

/// The kind and the length of a message.
pub(crate) const HEADER_LEN: usize = 5;

/// The body of one message. What a server says at startup has a few hundred bytes; the rest is for
/// rows of an operator's own query.
pub(crate) const BODY_LEN_MAX: usize = 64 * 1024;

/// What is kept of the text of an error: it is shown to people.
const TEXT_LEN_MAX: usize = 200;

/// Kinds of messages from the server.
pub(crate) const AUTHENTICATION: u8 = b'R';
pub(crate) const COMMAND_COMPLETE: u8 = b'C';
pub(crate) const DATA_ROW: u8 = b'D';
pub(crate) const EMPTY_QUERY: u8 = b'I';
pub(crate) const ERROR: u8 = b'E';
pub(crate) const KEY_DATA: u8 = b'K';
pub(crate) const NEGOTIATE_VERSION: u8 = b'v';
pub(crate) const NOTICE: u8 = b'N';
pub(crate) const NOTIFICATION: u8 = b'A';
pub(crate) const PARAMETER_STATUS: u8 = b'S';
pub(crate) const READY: u8 = b'Z';
pub(crate) const ROW_DESCRIPTION: u8 = b'T';

/// Protocol 3.0.
const VERSION: u32 = 3 << 16;

/// What a server that asks for SCRAM calls it, without the channel binding that needs TLS.
const SCRAM_SHA_256: &str = "SCRAM-SHA-256";

/// Opens the conversation. The name of the application is what the server's log and
/// `pg_stat_activity` show of us. Neither name may contain a zero byte.
pub(crate) fn startup(user: &str, database: &str) -> Vec<u8> {
    let mut body = VERSION.to_be_bytes().to_vec();
    for text in [
        "user",
        user,
        "database",
        database,
        "application_name",
        "failover",
        "",
    ] {
        push_text(&mut body, text.as_bytes());
    }
    message(None, &body)
}

/// A password as it is, or as [`md5_password`] makes it.
pub(crate) fn password(password: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(password.len() + 1);
    push_text(&mut body, password);
    message(Some(b'p'), &body)
}

/// What `md5` asks for: the digest of the stored digest and the salt.
pub(crate) fn md5_password(user: &str, password: &[u8], salt: [u8; 4]) -> Vec<u8> {
    let stored = hex_md5(password, user.as_bytes());
    [b"md5", hex_md5(stored.as_bytes(), &salt).as_bytes()].concat()
}

fn hex_md5(first: &[u8], second: &[u8]) -> String {
    let mut digest = Md5::new();
    digest.update(first);
    digest.update(second);
    let mut text = String::with_capacity(32);
    for byte in digest.finish() {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    text
}

/// Chooses SCRAM-SHA-256 and begins it.
pub(crate) fn sasl_initial(response: &str) -> Vec<u8> {
    let mut body = Vec::new();
    push_text(&mut body, SCRAM_SHA_256.as_bytes());
    body.extend_from_slice(&(response.len() as u32).to_be_bytes());
    body.extend_from_slice(response.as_bytes());
    message(Some(b'p'), &body)
}

/// Goes on with SCRAM.
pub(crate) fn sasl_response(response: &str) -> Vec<u8> {
    message(Some(b'p'), response.as_bytes())
}

/// A simple query, which may be several statements. It must not contain a zero byte.
pub(crate) fn query(text: &str) -> Vec<u8> {
    let mut body = Vec::with_capacity(text.len() + 1);
    push_text(&mut body, text.as_bytes());
    message(Some(b'Q'), &body)
}

/// Says goodbye.
pub(crate) fn terminate() -> Vec<u8> {
    message(Some(b'X'), &[])
}

fn push_text(body: &mut Vec<u8>, text: &[u8]) {
    body.extend_from_slice(text);
    body.push(0);
}

fn message(kind: Option<u8>, body: &[u8]) -> Vec<u8> {
    let len = (body.len() + 4) as u32;
    let mut bytes = Vec::with_capacity(body.len() + HEADER_LEN);
    bytes.extend(kind);
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Why bytes are no message of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// The kind of a message and the length of its body, out of its header.
pub(crate) fn header(bytes: [u8; HEADER_LEN]) -> Result<(u8, usize), Malformed> {
    let [kind, a, b, c, d] = bytes;
    let len = u32::from_be_bytes([a, b, c, d]) as usize;
    match len.checked_sub(4) {
        Some(len) if len <= BODY_LEN_MAX => Ok((kind, len)),
        _ => Err(Malformed("a message with an impossible length")),
    }
}

/// What the server wants before it lets us in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authentication<'a> {
    /// Nothing more.
    Ok,
    /// The password as it is.
    Cleartext,
    /// [`md5_password`] with this salt.
    Md5([u8; 4]),
    /// SCRAM-SHA-256 is among the mechanisms.
    Scram,
    /// None of the mechanisms is one that we speak.
    Sasl,
    /// The server's part of SCRAM.
    SaslContinue(&'a [u8]),
    /// The server's last part of SCRAM.
    SaslFinal(&'a [u8]),
    /// GSSAPI, SSPI, Kerberos and whatever comes after them, by number.
    Other(u32),
}

impl<'a> Authentication<'a> {
    /// Reads the body of an [`AUTHENTICATION`].
    pub(crate) fn read(body: &'a [u8]) -> Result<Authentication<'a>, Malformed> {
        let wrong = Malformed("an authentication request of the wrong length");
        let (code, rest) = body.split_first_chunk().ok_or(wrong)?;
        match (u32::from_be_bytes(*code), rest) {
            (0, []) => Ok(Authentication::Ok),
            (3, []) => Ok(Authentication::Cleartext),
            (5, rest) => {
                let salt = rest.try_into().map_err(|_| wrong)?;
                Ok(Authentication::Md5(salt))
            }
            (10, rest) => {
                let mut mechanisms = rest.split(|byte| *byte == 0);
                let is_there = mechanisms.any(|name| name == SCRAM_SHA_256.as_bytes());
                Ok(if is_there {
                    Authentication::Scram
                } else {
                    Authentication::Sasl
                })
            }
            (11, rest) => Ok(Authentication::SaslContinue(rest)),
            (12, rest) => Ok(Authentication::SaslFinal(rest)),
            (0 | 3, _) => Err(wrong),
            (other, _) => Ok(Authentication::Other(other)),
        }
    }
}

impl fmt::Display for Authentication<'_> {
    /// What it is called in pg_hba.conf.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Authentication::Ok => "trust",
            Authentication::Cleartext => "password",
            Authentication::Md5(_) => "md5",
            Authentication::Scram => "scram-sha-256",
            Authentication::Sasl => "an unknown SASL mechanism",
            Authentication::SaslContinue(_) | Authentication::SaslFinal(_) => {
                "a later step of SASL"
            }
            Authentication::Other(2) => "krb5",
            Authentication::Other(7 | 8) => "gss",
            Authentication::Other(9) => "sspi",
            Authentication::Other(other) => return write!(f, "authentication {other}"),
        };
        f.write_str(name)
    }
}

/// What the server says when it refuses something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The SQLSTATE: five capital letters and digits ("PostgreSQL Error Codes").
    pub(crate) code: String,
    /// For people, in the server's language.
    text: String,
}

impl Refusal {
    /// Reads the body of an [`ERROR`]: fields, each a letter and a text, until a zero byte.
    pub(crate) fn read(body: &[u8]) -> Result<Refusal, Malformed> {
        let (mut code, mut text) = (None, String::new());
        for field in body.split(|byte| *byte == 0) {
            match field.split_first() {
                None => break,
                Some((b'C', value)) => code = Some(value),
                Some((b'M', value)) => text = shortened(value),
                Some(_) => {}
            }
        }
        let is_code = |code: &[u8]| code.len() == 5 && code.iter().all(u8::is_ascii_alphanumeric);
        match code {
            Some(code) if is_code(code) => Ok(Refusal {
                code: String::from_utf8_lossy(code).into_owned(),
                text,
            }),
            _ => Err(Malformed("an error without an error code")),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

/// What a server says that could not even start a process for us: an `E` and a text, as in the
/// protocol before 3.0 (`report_fork_failure_to_client` in its sources). The bytes are all that
/// came, which do not make a message.
pub(crate) fn bare_error(bytes: &[u8]) -> Option<String> {
    let text = bytes.strip_prefix(b"E")?;
    let end = text.iter().position(|byte| *byte == 0)?;
    Some(shortened(text[..end].trim_ascii_end()))
}

fn shortened(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(TEXT_LEN_MAX)]).into_owned()
}

/// The columns of a row; `None` is NULL.
pub(crate) type Row = Vec<Option<String>>;

/// Reads the body of a [`DATA_ROW`] whose columns are text.
pub(crate) fn row(body: &[u8]) -> Result<Row, Malformed> {
    let wrong = Malformed("a row of the wrong length");
    let (count, mut rest) = body.split_first_chunk().ok_or(wrong)?;
    let mut columns = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (len, after) = rest.split_first_chunk().ok_or(wrong)?;
        let len = i32::from_be_bytes(*len);
        if len == -1 {
            columns.push(None);
            rest = after;
            continue;
        }
        let len = usize::try_from(len).map_err(|_| wrong)?;
        let (value, after) = after.split_at_checked(len).ok_or(wrong)?;
        columns.push(Some(String::from_utf8_lossy(value).into_owned()));
        rest = after;
    }
    if rest.is_empty() {
        Ok(columns)
    } else {
        Err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRONG_PASSWORD: &[u8] = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for \
        user \"bob\"\0Fauth.c\0L326\0Rauth_failed\0\0";

    #[test]
    fn what_is_sent_is_as_the_manual_says() {
        assert_eq!(
            startup("bob", "shop"),
            b"\0\0\0\x3a\0\x03\0\0user\0bob\0database\0shop\0application_name\0failover\0\0"
        );
        assert_eq!(password(b"pass"), b"p\0\0\0\x09pass\0");
        assert_eq!(
            sasl_initial("n,,n=,r=x"),
            b"p\0\0\0\x1fSCRAM-SHA-256\0\0\0\0\x09n,,n=,r=x"
        );
        assert_eq!(sasl_response("c=biws"), b"p\0\0\0\x0ac=biws");
        assert_eq!(query("SELECT 1"), b"Q\0\0\0\x0dSELECT 1\0");
        assert_eq!(terminate(), b"X\0\0\0\x04");
    }

    /// The stored digest is the one that `CREATE ROLE bob PASSWORD 'pass'` makes with
    /// `password_encryption = md5`.
    #[test]
    fn an_md5_password_is_the_digest_of_the_stored_digest() {
        let stored = hex_md5(b"pass", b"bob");
        assert_eq!(stored, "f7a0fb31391e2bde3d1771742531615e");
        let sent = md5_password("bob", b"pass", [1, 2, 3, 4]);
        assert_eq!(
            String::from_utf8(sent).unwrap(),
            "md538fa035214555d5bd81869bb13e8aaf5"
        );
    }

    #[test]
    fn headers_have_a_length_that_can_be() {
        assert_eq!(header(*b"R\0\0\0\x08"), Ok((b'R', 4)));
        assert_eq!(header(*b"Z\0\0\0\x04"), Ok((b'Z', 0)));
        assert_eq!(header(*b"S\0\x01\0\x04"), Ok((b'S', BODY_LEN_MAX)));
        for bad in [
            b"S\0\x01\0\x05",
            b"R\0\0\0\x03",
            b"R\xff\xff\xff\xff",
            b"SSH-2",
        ] {
            assert!(header(*bad).is_err());
        }
    }

    #[test]
    fn every_request_for_authentication_is_known() {
        for (body, expected, name) in [
            (&b"\0\0\0\0"[..], Authentication::Ok, "trust"),
            (b"\0\0\0\x03", Authentication::Cleartext, "password"),
            (
                b"\0\0\0\x05\x01\x02\x03\x04",
                Authentication::Md5([1, 2, 3, 4]),
                "md5",
            ),
            (
                b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0",
                Authentication::Scram,
                "scram-sha-256",
            ),
            (
                b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0\0",
                Authentication::Sasl,
                "an unknown SASL mechanism",
            ),
            (
                b"\0\0\0\x0br=x",
                Authentication::SaslContinue(b"r=x"),
                "a later step of SASL",
            ),
            (b"\0\0\0\x07", Authentication::Other(7), "gss"),
            (b"\0\0\0\x09", Authentication::Other(9), "sspi"),
            (
                b"\0\0\0\x63",
                Authentication::Other(99),
                "authentication 99",
            ),
        ] {
            let request = Authentication::read(body).unwrap();
            assert_eq!((request, request.to_string().as_str()), (expected, name));
        }
        for bad in [&b""[..], b"\0\0\0", b"\0\0\0\0x", b"\0\0\0\x05\x01\x02\x03"] {
            assert!(Authentication::read(bad).is_err());
        }
    }

    #[test]
    fn refusals_have_a_code_and_a_text() {
        let refusal = Refusal::read(WRONG_PASSWORD).unwrap();
        assert_eq!(refusal.code, "28P01");
        assert_eq!(
            refusal.to_string(),
            "28P01 password authentication failed for user \"bob\""
        );
        let long = [b"C28P01\0M", &[b'x'; 1_000][..], b"\0\0"].concat();
        assert_eq!(Refusal::read(&long).unwrap().to_string().len(), 206);
        for bad in [
            &b""[..],
            b"\0",
            b"MText\0\0",
            b"C28P0\0\0",
            b"C28P0\x1b\0\0",
        ] {
            assert!(Refusal::read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_error_of_the_old_form_is_a_text() {
        let sent = b"Ecould not fork new process for connection: No memory\n\0";
        let text = "could not fork new process for connection: No memory";
        assert_eq!(bare_error(sent).as_deref(), Some(text));
        assert_eq!(bare_error(b"Ecould"), None);
        assert_eq!(bare_error(b"HTTP/1.1 400 Bad Request\r\n\0"), None);
    }

    #[test]
    fn rows_have_columns_and_nulls() {
        let body = b"\0\x03\0\0\0\x01t\xff\xff\xff\xff\0\0\0\0";
        let expected = vec![Some("t".to_string()), None, Some(String::new())];
        assert_eq!(row(body), Ok(expected));
        assert_eq!(row(b"\0\0"), Ok(vec![]));
        for bad in [
            &b"\0"[..],
            b"\0\x01",
            b"\0\x01\0\0\0\x02t",
            b"\0\x01\xff\xff\xff\xfe",
            b"\0\0x",
        ] {
            assert!(row(bad).is_err(), "{bad:?}");
        }
    }

    /// Whatever the server sends, there is an answer and no panic.
    #[test]
    fn every_prefix_and_every_flip_of_a_message_is_read() {
        let golden: [&[u8]; 4] = [
            WRONG_PASSWORD,
            b"\0\0\0\x0aSCRAM-SHA-256\0\0",
            b"\0\x03\0\0\0\x01t\xff\xff\xff\xff\0\0\0\0",
            b"Ecould not fork\n\0",
        ];
        let read = |bytes: &[u8]| {
            let _ = Refusal::read(bytes);
            let _ = Authentication::read(bytes).map(|request| request.to_string());
            let _ = row(bytes);
            let _ = bare_error(bytes);
            if let Some((first, _)) = bytes.split_first_chunk() {
                let _ = header(*first);
            }
        };
        for bytes in golden {
            for end in 0..=bytes.len() {
                read(&bytes[..end]);
            }
            for at in 0..bytes.len() {
                for byte in 0..=255 {
                    let mut flipped = bytes.to_vec();
                    flipped[at] = byte;
                    read(&flipped);
                }
            }
        }
    }
}
