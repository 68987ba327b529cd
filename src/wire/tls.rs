//! The clear beginning of a TLS handshake: a ClientHello, and what a server says to it.
//!
//! No cryptography, so nothing is verified and no secret is agreed on. The hello asks for TLS 1.2
//! at most, since a server of that version answers it in the clear (RFC 5246 section 7.4.1); a
//! server of TLS 1.3 only refuses it with an alert of its own (RFC 8446 section 6). Names and
//! numbers are those of IANA's registry "TLS Parameters".
#![forbid(unsafe_code)]

/// RFC 5246 section 6.2.1: no record carries more.
const RECORD_LEN_MAX: usize = 1 << 14;

/// RFC 5246 section 7.4.1.3: version, random, an empty session, a suite, a compression.
const SERVER_HELLO_LEN_MIN: usize = 38;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const WARNING: u8 = 1;
const FATAL: u8 = 2;
const CLOSE_NOTIFY: u8 = 0;

/// The alert of a server that speaks no version as old as the hello's.
pub(crate) const PROTOCOL_VERSION: u8 = 70;

/// Forward secrecy first, then what old servers and those with RSA keys alone know.
const SUITES: [u16; 16] = [
    0xc02b, // ECDHE-ECDSA with AES-128-GCM
    0xc02f, // ECDHE-RSA with AES-128-GCM
    0xc02c, // ECDHE-ECDSA with AES-256-GCM
    0xc030, // ECDHE-RSA with AES-256-GCM
    0xcca9, // ECDHE-ECDSA with ChaCha20-Poly1305
    0xcca8, // ECDHE-RSA with ChaCha20-Poly1305
    0xc009, // ECDHE-ECDSA with AES-128-CBC and SHA-1
    0xc00a, // ECDHE-ECDSA with AES-256-CBC and SHA-1
    0xc013, // ECDHE-RSA with AES-128-CBC and SHA-1
    0xc014, // ECDHE-RSA with AES-256-CBC and SHA-1
    0x009e, // DHE-RSA with AES-128-GCM
    0x009f, // DHE-RSA with AES-256-GCM
    0x009c, // RSA with AES-128-GCM
    0x009d, // RSA with AES-256-GCM
    0x002f, // RSA with AES-128-CBC and SHA-1
    0x0035, // RSA with AES-256-CBC and SHA-1
];

/// x25519, secp256r1, secp384r1, secp521r1.
const GROUPS: [u16; 4] = [0x001d, 0x0017, 0x0018, 0x0019];

/// ECDSA, Ed25519, RSA-PSS and RSA with SHA-2, and last RSA and ECDSA with SHA-1.
const SIGNATURES: [u16; 12] = [
    0x0403, 0x0503, 0x0603, 0x0807, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0201, 0x0203,
];

/// A whole record with a ClientHello that offers TLS 1.2 and nothing newer.
pub(crate) fn client_hello(random: &[u8; 32], server_name: Option<&str>) -> Vec<u8> {
    let mut hello = vec![3, 3];
    hello.extend_from_slice(random);
    // No session to resume.
    hello.push(0);
    push_list(&mut hello, &sixteens(&SUITES));
    // One way to compress: none.
    hello.extend_from_slice(&[1, 0]);
    push_list(&mut hello, &extensions(server_name));
    let mut handshake = vec![CLIENT_HELLO, 0];
    push_list(&mut handshake, &hello);
    // RFC 5246 appendix E.1: the oldest version in the record, the newest in the hello.
    let mut record = vec![HANDSHAKE, 3, 1];
    push_list(&mut record, &handshake);
    record
}

fn extensions(server_name: Option<&str>) -> Vec<u8> {
    let mut all = Vec::new();
    if let Some(name) = server_name {
        // RFC 6066 section 3: a list of names, each with its kind, 0 for a host.
        let mut entry = vec![0];
        push_list(&mut entry, name.as_bytes());
        push_extension(&mut all, 0, &list(&entry));
    }
    push_extension(&mut all, 10, &list(&sixteens(&GROUPS)));
    // Points in their uncompressed form.
    push_extension(&mut all, 11, &[1, 0]);
    push_extension(&mut all, 13, &list(&sixteens(&SIGNATURES)));
    // RFC 7627: some servers insist on the extended master secret.
    push_extension(&mut all, 23, &[]);
    // RFC 5746: no handshake came before this one.
    push_extension(&mut all, 0xff01, &[0]);
    all
}

fn push_extension(all: &mut Vec<u8>, kind: u16, body: &[u8]) {
    all.extend_from_slice(&kind.to_be_bytes());
    push_list(all, body);
}

/// Bytes with their length in two bytes before them. Everything here is far shorter than 64 KiB.
fn push_list(to: &mut Vec<u8>, bytes: &[u8]) {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    to.extend_from_slice(&len.to_be_bytes());
    to.extend_from_slice(&bytes[..usize::from(len)]);
}

fn list(bytes: &[u8]) -> Vec<u8> {
    let mut made = Vec::new();
    push_list(&mut made, bytes);
    made
}

fn sixteens(numbers: &[u16]) -> Vec<u8> {
    let bytes = numbers.iter().flat_map(|number| number.to_be_bytes());
    bytes.collect()
}

/// A record with the warning that this handshake goes no further (RFC 5246 section 7.2.1).
pub(crate) const CLOSE: [u8; 7] = [ALERT, 3, 3, 0, 2, WARNING, CLOSE_NOTIFY];

/// What the first bytes of a server are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The beginning of an answer; `warning` is an alert that came with it and ends nothing.
    Partial { warning: Option<u8> },
    /// A ServerHello of this version, such as 0x0303 for TLS 1.2.
    Hello { version: u16 },
    /// An alert that ends the handshake.
    Alert(u8),
    /// Something that is not TLS.
    Foreign,
}

/// Looks at what a server has said so far to a ClientHello.
pub(crate) fn examine(bytes: &[u8]) -> Seen {
    let mut rest = bytes;
    let mut warning = None;
    // A handshake message may come in pieces, down to a byte a record.
    let mut message = Vec::new();
    loop {
        if rest
            .first()
            .is_some_and(|kind| ![ALERT, HANDSHAKE].contains(kind))
            || rest.get(1).is_some_and(|major| *major != 3)
        {
            return Seen::Foreign;
        }
        let Some((&[kind, _, _, high, low], after)) = rest.split_first_chunk() else {
            return Seen::Partial { warning };
        };
        let len = usize::from(u16::from_be_bytes([high, low]));
        if len == 0 || len > RECORD_LEN_MAX || (kind == ALERT && len != 2) {
            return Seen::Foreign;
        }
        let body = &after[..len.min(after.len())];
        match (kind, body) {
            (ALERT, &[WARNING, description]) if description != CLOSE_NOTIFY => {
                warning = Some(description);
            }
            (ALERT, &[WARNING | FATAL, description]) => return Seen::Alert(description),
            (ALERT, &[level]) if level == WARNING || level == FATAL => {}
            (ALERT, []) => {}
            (ALERT, _) => return Seen::Foreign,
            (_, piece) => message.extend_from_slice(piece),
        }
        if let Some(seen) = hello(&message) {
            return seen;
        }
        let Some(next) = after.get(len..) else {
            return Seen::Partial { warning };
        };
        rest = next;
    }
}

/// Whether this begins a ServerHello, once that can be told.
fn hello(message: &[u8]) -> Option<Seen> {
    if *message.first()? != SERVER_HELLO {
        return Some(Seen::Foreign);
    }
    let &[_, a, b, c, major, minor, ..] = message else {
        return None;
    };
    let len = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
    if len < SERVER_HELLO_LEN_MIN || major != 3 {
        return Some(Seen::Foreign);
    }
    let version = u16::from_be_bytes([major, minor]);
    Some(Seen::Hello { version })
}

/// The name that people know a version by.
pub(crate) fn version_name(version: u16) -> &'static str {
    match version {
        0x0300 => "SSL 3.0",
        0x0301 => "TLS 1.0",
        0x0302 => "TLS 1.1",
        0x0303 => "TLS 1.2",
        0x0304 => "TLS 1.3",
        _ => "TLS of an unknown version",
    }
}

/// The name of an alert in RFC 8446 section 6 and RFC 5246 section 7.2.
pub(crate) fn alert_name(description: u8) -> &'static str {
    let known = ALERTS.iter().find(|(number, _)| *number == description);
    known.map_or("unknown", |(_, name)| name)
}

const ALERTS: [(u8, &str); 27] = [
    (CLOSE_NOTIFY, "close_notify"),
    (10, "unexpected_message"),
    (20, "bad_record_mac"),
    (22, "record_overflow"),
    (40, "handshake_failure"),
    (42, "bad_certificate"),
    (43, "unsupported_certificate"),
    (44, "certificate_revoked"),
    (45, "certificate_expired"),
    (46, "certificate_unknown"),
    (47, "illegal_parameter"),
    (48, "unknown_ca"),
    (49, "access_denied"),
    (50, "decode_error"),
    (51, "decrypt_error"),
    (PROTOCOL_VERSION, "protocol_version"),
    (71, "insufficient_security"),
    (80, "internal_error"),
    (86, "inappropriate_fallback"),
    (90, "user_canceled"),
    (100, "no_renegotiation"),
    (109, "missing_extension"),
    (110, "unsupported_extension"),
    (112, "unrecognized_name"),
    (115, "unknown_psk_identity"),
    (116, "certificate_required"),
    (120, "no_application_protocol"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Seen = Seen::Partial { warning: None };

    /// The head of a ServerHello as OpenSSL 3 sends it, in one record.
    fn server_hello() -> Vec<u8> {
        let mut record = vec![HANDSHAKE, 3, 3, 0, 61, SERVER_HELLO, 0, 0, 57, 3, 3];
        record.resize(5 + 61, 0x5a);
        record
    }

    #[test]
    fn the_hello_has_the_lengths_that_it_says_and_offers_nothing_newer_than_1_2() {
        for name in [None, Some("mail.example"), Some("a")] {
            let hello = client_hello(&[7; 32], name);
            assert_eq!(hello[..3], [22, 3, 1]);
            let len = |at: usize| usize::from(u16::from_be_bytes([hello[at], hello[at + 1]]));
            assert_eq!(len(3), hello.len() - 5);
            assert_eq!(hello[5..7], [1, 0]);
            assert_eq!(len(7), hello.len() - 9);
            assert_eq!(hello[9..11], [3, 3]);
            assert_eq!(len(44), 2 * SUITES.len());
            let mut at = 46 + len(44) + 2;
            assert_eq!(len(at), hello.len() - at - 2);
            at += 2;
            let mut kinds = Vec::new();
            while at < hello.len() {
                kinds.push(len(at));
                at += 4 + len(at + 2);
            }
            assert_eq!(at, hello.len());
            assert_eq!(kinds.contains(&0), name.is_some());
            assert!(!kinds.contains(&43), "supported_versions asks for TLS 1.3");
        }
        let named = client_hello(&[7; 32], Some("mail.example"));
        let extension = b"\0\0\0\x11\0\x0f\0\0\x0cmail.example";
        assert!(named.windows(extension.len()).any(|part| part == extension));
    }

    #[test]
    fn a_server_hello_is_known_however_it_is_cut() {
        let whole = server_hello();
        assert_eq!(examine(&whole), Seen::Hello { version: 0x0303 });
        for len in 0..11 {
            assert_eq!(examine(&whole[..len]), NOTHING, "{len}");
        }
        let mut byte_a_record = Vec::new();
        for byte in &whole[5..] {
            byte_a_record.extend_from_slice(&[HANDSHAKE, 3, 1, 0, 1, *byte]);
        }
        assert_eq!(examine(&byte_a_record), Seen::Hello { version: 0x0303 });
    }

    #[test]
    fn an_alert_ends_it_and_a_warning_does_not() {
        let alert = |level, description| [ALERT, 3, 3, 0, 2, level, description];
        assert_eq!(examine(&alert(FATAL, 40)), Seen::Alert(40));
        assert_eq!(examine(&alert(WARNING, 0)), Seen::Alert(0));
        let warned = alert(WARNING, 112);
        let warning = Some(112);
        assert_eq!(examine(&warned), Seen::Partial { warning });
        let then_hello = [warned.to_vec(), server_hello()].concat();
        assert_eq!(examine(&then_hello), Seen::Hello { version: 0x0303 });
        assert_eq!(examine(&alert(3, 40)), Seen::Foreign);
        for len in 0..7 {
            assert_eq!(examine(&alert(FATAL, 40)[..len]), NOTHING);
        }
    }

    #[test]
    fn what_is_not_tls_is_told_by_its_first_bytes() {
        for bytes in [
            &b"HTTP/1.1 400 Bad Request"[..],
            b"220 mail.example ESMTP",
            b"SSH-2.0-x",
            b"\0",
            b"\x16\x02",
            b"\x16\x03\x03\0\0",
            b"\x16\x03\x03\xff\xff",
            b"\x16\x03\x03\0\x04\x0b",
            b"\x15\x03\x03\0\x03",
            b"\x16\x03\x03\0\x40\x02\0\0\x05\x03\x03",
        ] {
            assert_eq!(examine(bytes), Seen::Foreign, "{bytes:?}");
        }
    }

    #[test]
    fn no_bytes_panic() {
        let warned = [vec![ALERT, 3, 3, 0, 2, WARNING, 112], server_hello()].concat();
        for golden in [server_hello(), warned, client_hello(&[0; 32], Some("a"))] {
            for len in 0..golden.len() {
                examine(&golden[..len]);
            }
            for at in 0..golden.len() {
                for flip in 1..=255 {
                    let mut bytes = golden.clone();
                    bytes[at] ^= flip;
                    examine(&bytes);
                }
            }
        }
    }

    #[test]
    fn alerts_and_versions_have_names() {
        assert!(ALERTS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(alert_name(40), "handshake_failure");
        assert_eq!(alert_name(255), "unknown");
        assert_eq!(version_name(0x0303), "TLS 1.2");
    }
}
