//! Answers in HTTP/1.0 and 1.1 as a client gets them: the head (RFC 9112 sections 4 to 6).
//!
//! [`examine_answer`] looks at the bytes that have come so far. What follows the head is the
//! business of [`Body`](super::Body). An answer that two readers could understand in two ways is
//! malformed, as it is to the proxies that would stand between.
#![forbid(unsafe_code)]

use super::request::{head_len, header_lines, is_digits, is_token, split_header};

/// A head longer than this is not read; HAProxy's and nginx's buffers for it are as large or less.
pub(crate) const ANSWER_HEAD_BYTES_MAX: usize = 16 * 1024;

/// Header lines in one answer; servers send about 20.
const HEADERS_MAX: usize = 100;

/// Of a reason phrase no more is kept than a person reads.
const PHRASE_CHARS_MAX: usize = 60;

/// How the end of a body is told (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is no body.
    None,
    /// So many bytes.
    Length(u64),
    /// In chunks, the last of which says so.
    Chunked,
    /// All that comes until the connection is closed.
    UntilClose,
}

/// A status line and headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AnswerHead {
    pub(crate) status: u16,
    phrase: String,
    /// The header lines, each with its line end.
    headers: String,
    pub(crate) framing: Framing,
}

/// The head and its length once it is whole, `None` while it is not. `to_head` says that the
/// request was a HEAD.
///
/// # Errors
/// Why these bytes cannot be, or begin, an answer.
pub(crate) fn examine_answer(
    bytes: &[u8],
    to_head: bool,
) -> Result<Option<(AnswerHead, usize)>, &'static str> {
    // Told at once: who speaks something else may be waiting for us to go on.
    if !bytes
        .iter()
        .zip(b"HTTP/1.")
        .all(|(is, expected)| is == expected)
    {
        return Err("it does not begin with HTTP/1");
    }
    let Some(len) = head_len(bytes) else {
        return Ok(None);
    };
    if has_bad_bytes(&bytes[..len]) {
        return Err("a control character in its head");
    }
    // Some servers write Latin-1; what matters here is ASCII.
    let text = String::from_utf8_lossy(&bytes[..len]);
    let (line, headers) = text.split_once('\n').unwrap_or((&text, ""));
    let line = line.strip_suffix('\r').unwrap_or(line);
    let (is_1_1, status, phrase) =
        parse_line(line).ok_or("its first line is not HTTP/1.x STATUS PHRASE")?;
    let framing = read_framing(headers, is_1_1)?;
    let has_none = to_head || (100..200).contains(&status) || matches!(status, 204 | 304);
    let head = AnswerHead {
        status,
        phrase: phrase.chars().take(PHRASE_CHARS_MAX).collect(),
        headers: headers.to_string(),
        framing: if has_none { Framing::None } else { framing },
    };
    Ok(Some((head, len)))
}

/// Of control characters only tabs and line ends, a carriage return only before a line feed.
fn has_bad_bytes(head: &[u8]) -> bool {
    let is_bad = |(at, byte): (usize, &u8)| match byte {
        b' '..=b'~' | b'\n' | b'\t' | 0x80.. => false,
        b'\r' => head.get(at + 1) != Some(&b'\n'),
        _ => true,
    };
    head.iter().enumerate().any(is_bad)
}

/// RFC 9112 section 4. The blank before a phrase that is missing is missing in many servers, too.
fn parse_line(line: &str) -> Option<(bool, u16, &str)> {
    let (version, rest) = line.split_once(' ')?;
    let minor = version.strip_prefix("HTTP/1.")?;
    if minor.len() != 1 || !is_digits(minor) {
        return None;
    }
    let (status, phrase) = rest.split_once(' ').unwrap_or((rest, ""));
    if status.len() != 3 || !is_digits(status) || status.starts_with('0') {
        return None;
    }
    Some((minor != "0", status.parse().ok()?, phrase.trim()))
}

/// Checks every header, and reads those that say how the answer goes on.
fn read_framing(headers: &str, is_1_1: bool) -> Result<Framing, &'static str> {
    let mut length = None;
    let mut is_chunked = false;
    for (index, line) in header_lines(headers).enumerate() {
        if index >= HEADERS_MAX {
            return Err("more than 100 headers");
        }
        // RFC 9112 section 5.2: a folded line, which belongs to the value before it.
        if line.starts_with([' ', '\t']) && index > 0 {
            continue;
        }
        let Some((name, value)) = split_header(line).filter(|(name, _)| is_token(name)) else {
            return Err("a header that is not NAME: VALUE");
        };
        if name.eq_ignore_ascii_case("content-length") {
            // More digits than fit are more bytes than are kept.
            let value = is_digits(value).then(|| value.parse().unwrap_or(u64::MAX));
            let value = value.ok_or("a Content-Length that is not a number")?;
            if length.replace(value).is_some_and(|before| before != value) {
                return Err("two lengths");
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            // No other coding was asked for, and HTTP/1.0 has none.
            if !value.eq_ignore_ascii_case("chunked") || is_chunked || !is_1_1 {
                return Err("a Transfer-Encoding other than chunked");
            }
            is_chunked = true;
        }
    }
    match (length, is_chunked) {
        (Some(_), true) => Err("Content-Length beside Transfer-Encoding"),
        (Some(length), false) => Ok(Framing::Length(length)),
        (None, true) => Ok(Framing::Chunked),
        (None, false) => Ok(Framing::UntilClose),
    }
}

impl AnswerHead {
    /// Status and phrase, such as `200 OK`.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.status, self.phrase)
            .trim_end()
            .to_string()
    }

    /// The first header of that name, in whatever case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header_lines(&self.headers)
            .filter_map(split_header)
            .find(|(is, _)| is.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Whether another answer follows this one (RFC 9110 section 15.2). After 101 none does.
    pub(crate) fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> AnswerHead {
        match examine_answer(text.as_bytes(), false) {
            Ok(Some((head, len))) if len == text.len() => head,
            other => panic!("{text:?} is {other:?}"),
        }
    }

    fn why(text: &str) -> &'static str {
        match examine_answer(text.as_bytes(), false) {
            Err(why) => why,
            other => panic!("{text:?} is {other:?}"),
        }
    }

    #[test]
    fn status_lines_of_real_servers_are_understood() {
        for (text, status, line) in [
            ("HTTP/1.1 200 OK\r\n\r\n", 200, "200 OK"),
            ("HTTP/1.0 503 FAIL\r\n\r\n", 503, "503 FAIL"),
            ("HTTP/1.1 404 \r\n\r\n", 404, "404"),
            ("HTTP/1.1 404\r\n\r\n", 404, "404"),
            ("HTTP/1.9 999 Not  Known\n\n", 999, "999 Not  Known"),
            ("HTTP/1.1 500 \u{e9}\r\n\r\n", 500, "500 \u{e9}"),
        ] {
            let head = head(text);
            assert_eq!((head.status, head.line().as_str()), (status, line));
        }
        let long = format!("HTTP/1.1 200 {}\r\n\r\n", "é".repeat(1_000));
        assert_eq!(head(&long).line().chars().count(), 4 + PHRASE_CHARS_MAX);
        let latin = examine_answer(b"HTTP/1.1 200 \xe9\r\nA: \xff\r\n\r\n", false);
        assert!(matches!(latin, Ok(Some(_))));
    }

    #[test]
    fn the_end_of_a_body_is_told_in_four_ways() {
        for (status, headers, framing) in [
            ("200", "", Framing::UntilClose),
            ("200", "Content-Length: 5\r\n", Framing::Length(5)),
            (
                "200",
                "content-length:0\r\nContent-LENGTH: 0\r\n",
                Framing::Length(0),
            ),
            (
                "200",
                "Content-Length: 99999999999999999999\r\n",
                Framing::Length(u64::MAX),
            ),
            ("200", "Transfer-Encoding: Chunked\r\n", Framing::Chunked),
            ("204", "Content-Length: 5\r\n", Framing::None),
            ("304", "Transfer-Encoding: chunked\r\n", Framing::None),
            ("100", "", Framing::None),
        ] {
            let text = format!("HTTP/1.1 {status} X\r\n{headers}\r\n");
            assert_eq!(head(&text).framing, framing, "{text:?}");
            let to_head = examine_answer(text.as_bytes(), true).unwrap().unwrap();
            assert_eq!(to_head.0.framing, Framing::None);
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_malformed() {
        for headers in [
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: -1\r\n",
            "Content-Length:\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: gzip\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            " folded: first\r\n",
            "no colon\r\n",
            "a b: c\r\n",
            "a : b\r\n",
            ": b\r\n",
            "a: b\0c\r\n",
            "a: b\rc\r\n",
        ] {
            why(&format!("HTTP/1.1 200 OK\r\n{headers}\r\n"));
        }
        why("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        why(&format!(
            "HTTP/1.1 200 OK\r\n{}\r\n",
            "A: b\r\n".repeat(HEADERS_MAX + 1)
        ));
    }

    #[test]
    fn other_protocols_are_told_by_their_first_bytes() {
        for bytes in [
            &b"220 mail.example ESMTP\r\n"[..],
            b"SSH-2.0-OpenSSH\r\n",
            b"\x15\x03\x01\x00\x02\x02\x46",
            b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
            b"HTTP/2.0 200 OK\r\n\r\n",
            b"http/1.1 200 OK\r\n\r\n",
            b"\r\nHTTP/1.1 200 OK\r\n\r\n",
            b"<html>",
        ] {
            assert!(examine_answer(bytes, false).is_err());
        }
        for line in [
            "HTTP/1. 200 OK",
            "HTTP/1.10 200 OK",
            "HTTP/1.x 200 OK",
            "HTTP/1.1  200 OK",
            "HTTP/1.1 20 OK",
            "HTTP/1.1 2000 OK",
            "HTTP/1.1 099 OK",
            "HTTP/1.1 2x0 OK",
            "HTTP/1.1 200OK",
            "HTTP/1.1",
            "HTTP/1.1\t200 OK",
            "HTTP/1.1 -20 OK",
        ] {
            why(&format!("{line}\r\n\r\n"));
        }
    }

    #[test]
    fn headers_are_found_in_any_case() {
        let head = head("HTTP/1.1 302 Found\r\nA: x\r\n  y\r\nLOCATION:  /b \r\n\r\n");
        assert_eq!(head.header("Location"), Some("/b"));
        assert_eq!(head.header("nothing"), None);
    }

    #[test]
    fn interim_answers_are_known() {
        for (status, is_interim) in [(100, true), (103, true), (101, false), (200, false)] {
            let text = format!("HTTP/1.1 {status} X\r\n\r\n");
            assert_eq!(head(&text).is_interim(), is_interim);
        }
    }

    #[test]
    fn no_bytes_bring_it_down_and_no_prefix_is_taken_for_the_whole() {
        let golden: [&[u8]; 2] = [
            b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nA: b\r\n c\r\n\r\n",
            b"HTTP/1.1 503 \nTransfer-Encoding: chunked\n\n",
        ];
        for message in golden {
            for len in 0..message.len() {
                assert_eq!(examine_answer(&message[..len], false), Ok(None), "{len}");
            }
            for position in 0..message.len() {
                for byte in 0..=255 {
                    let mut flipped = message.to_vec();
                    flipped[position] = byte;
                    if let Ok(Some((head, _))) = examine_answer(&flipped, false) {
                        head.header("a");
                        head.line();
                    }
                }
            }
        }
    }
}
