//! Requests in HTTP/1.0 and 1.1 (RFC 9110, RFC 9112, RFC 1945).
//!
//! [`examine`] looks at the bytes that have come so far and says whether they are a request, the
//! beginning of one, or none. It keeps nothing, copies nothing and accepts no request that two
//! readers could understand in two ways.
#![forbid(unsafe_code)]

use std::borrow::Cow;

use super::ascii::{cut, place_of, without_return, without_slashes};
use super::target::{absolute_path, percent_decoded, query};
use crate::text;

/// A head longer than this is refused: eight times what browsers send without cookies.
pub(crate) const HEAD_BYTES_MAX: usize = 8 * 1024;

/// A request line longer than this is refused; names and queries here are short.
const LINE_BYTES_MAX: usize = 4 * 1024;

/// Header lines in one request; browsers send about 20.
const HEADERS_MAX: usize = 100;

/// What some bytes are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen<'a> {
    /// The beginning of a request. With `expects_continue` the head is whole and its sender waits
    /// for `100 Continue` before it sends the body.
    Partial { expects_continue: bool },
    /// A whole request.
    Whole(Request<'a>),
    /// No request that will be answered: the status and what was wrong.
    Refused(Refusal),
}

/// A whole request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request<'a> {
    pub(crate) head: Head<'a>,
    pub(crate) body: &'a [u8],
    /// Bytes came after the request; they have no meaning here.
    pub(crate) has_surplus: bool,
}

/// A request's line and headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    pub(crate) method: &'a str,
    /// As sent, in origin form, absolute form or `*`.
    pub(crate) target: &'a str,
    is_1_1: bool,
    /// The header lines, each with its line end.
    headers: &'a str,
    framing: Framing<'a>,
}

/// What the headers say about the request itself, found in one pass over them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Framing<'a> {
    hosts: usize,
    lengths: usize,
    /// The last of the lengths.
    length: &'a str,
    is_encoded: bool,
    expect: Option<&'a str>,
    /// What is accepted in answer, as the last such header has it.
    accept: &'a str,
    /// How HAProxy sees whom it asks.
    server_state: Option<&'a str>,
}

/// Why a request is not answered with what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) why: &'static str,
    /// Whether it answers a HEAD, and so has no body.
    pub(crate) to_head: bool,
}

const fn refused(status: u16, why: &'static str) -> Refusal {
    Refusal {
        status,
        why,
        to_head: false,
    }
}

/// Whether these bytes begin a HEAD request.
pub(crate) fn is_head(bytes: &[u8]) -> bool {
    bytes[leading_line_ends(bytes)..].starts_with(b"HEAD ")
}

/// Looks at what has come. A body longer than `body_max` is refused as soon as it is announced.
pub(crate) fn examine(bytes: &[u8], body_max: usize) -> Seen<'_> {
    match examine_whole(bytes, body_max) {
        Ok(seen) => seen,
        Err(refusal) => Seen::Refused(Refusal {
            to_head: is_head(bytes),
            ..refusal
        }),
    }
}

fn examine_whole(bytes: &[u8], body_max: usize) -> Result<Seen<'_>, Refusal> {
    let start = leading_line_ends(bytes);
    let bytes = &bytes[start..];
    let Some(head_len) = head_len(bytes) else {
        check_limits(bytes)?;
        return Ok(Seen::Partial {
            expects_continue: false,
        });
    };
    if head_len > HEAD_BYTES_MAX {
        return Err(refused(431, "the request's head is over 8 KiB"));
    }
    let (head, rest) = bytes.split_at(head_len);
    let head = parse_head(head)?;
    let body_len = head.body_len()?;
    if body_len > body_max {
        return Err(refused(413, "the body is longer than is taken here"));
    }
    let Some(body) = rest.get(..body_len) else {
        let expects_continue = rest.is_empty() && head.expects_continue()?;
        return Ok(Seen::Partial { expects_continue });
    };
    Ok(Seen::Whole(Request {
        head,
        body,
        has_surplus: rest.len() > body_len,
    }))
}

/// RFC 9112 section 2.2: empty lines before a request are skipped. Two are plenty.
fn leading_line_ends(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take(4)
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count()
}

/// The length of the head with its empty line, once that has come. Lines may end in a bare line
/// feed (RFC 9112 section 2.2).
pub(super) fn head_len(bytes: &[u8]) -> Option<usize> {
    let mut line_start = 0;
    while let Some(len) = bytes[line_start..].iter().position(|byte| *byte == b'\n') {
        let line = &bytes[line_start..line_start + len];
        line_start += len + 1;
        if line.is_empty() || line == b"\r" {
            return Some(line_start);
        }
    }
    None
}

fn check_limits(partial_head: &[u8]) -> Result<(), Refusal> {
    let line = partial_head
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(partial_head.len());
    if line > LINE_BYTES_MAX {
        return Err(refused(414, "the request line is over 4 KiB"));
    }
    if partial_head.len() >= HEAD_BYTES_MAX {
        return Err(refused(431, "the request's head is over 8 KiB"));
    }
    Ok(())
}

fn parse_head(head: &[u8]) -> Result<Head<'_>, Refusal> {
    // Checked as one: of control characters only tabs and line ends, a carriage return only before
    // a line feed. Anything else can be nothing but trouble.
    let is_bad = |(at, byte): (usize, &u8)| match byte {
        b' '..=b'~' | b'\n' | b'\t' | 0x80.. => false,
        b'\r' => head.get(at + 1) != Some(&b'\n'),
        _ => true,
    };
    if head.iter().enumerate().any(is_bad) {
        return Err(refused(400, "a control character in the request's head"));
    }
    let Ok(text) = std::str::from_utf8(head) else {
        return Err(refused(400, "the request's head is not UTF-8"));
    };
    let Some((line, headers)) = cut(text, b'\n') else {
        return Err(refused(400, "no request line"));
    };
    if line.len() > LINE_BYTES_MAX {
        return Err(refused(414, "the request line is over 4 KiB"));
    }
    let (method, target, is_1_1) = parse_line(without_return(line))?;
    let framing = read_framing(headers)?;
    match (is_1_1, framing.hosts) {
        (_, 1) | (false, 0) => {}
        (true, 0) => return Err(refused(400, "HTTP/1.1 without a Host header")),
        _ => return Err(refused(400, "more than one Host header")),
    }
    Ok(Head {
        method,
        target,
        is_1_1,
        headers,
        framing,
    })
}

/// Checks every header, and notes those that say how the request goes on.
fn read_framing(headers: &str) -> Result<Framing<'_>, Refusal> {
    let mut framing = Framing::default();
    for (index, line) in header_lines(headers).enumerate() {
        if index >= HEADERS_MAX {
            return Err(refused(431, "more than 100 headers"));
        }
        let Some((name, value)) = split_header(line).filter(|(name, _)| is_token(name)) else {
            return Err(refused(400, "a header is not NAME: VALUE"));
        };
        framing.note(name, value);
    }
    Ok(framing)
}

/// The header lines without their line ends, up to the empty one.
pub(super) fn header_lines(headers: &str) -> impl Iterator<Item = &str> {
    let mut rest = headers;
    std::iter::from_fn(move || {
        let (line, others) = cut(rest, b'\n')?;
        rest = others;
        let line = without_return(line);
        (!line.is_empty()).then_some(line)
    })
}

/// Name as sent, value without the blanks around it.
pub(super) fn split_header(line: &str) -> Option<(&str, &str)> {
    let (name, value) = cut(line, b':')?;
    Some((name, value.trim_ascii()))
}

impl<'a> Framing<'a> {
    fn note(&mut self, name: &str, value: &'a str) {
        // By length first: nearly every header is none of these.
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => self.hosts += 1,
            6 if name.eq_ignore_ascii_case("expect") => self.expect = Some(value),
            6 if name.eq_ignore_ascii_case("accept") => self.accept = value,
            14 if name.eq_ignore_ascii_case("content-length") => {
                self.lengths += 1;
                self.length = value;
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => self.is_encoded = true,
            22 if name.eq_ignore_ascii_case("x-haproxy-server-state") => {
                self.server_state = Some(value);
            }
            _ => {}
        }
    }
}

fn parse_line(line: &str) -> Result<(&str, &str, bool), Refusal> {
    let not_three = refused(400, "the request line is not METHOD TARGET HTTP/1.x");
    let (method, rest) = cut(line, b' ').ok_or(not_three)?;
    let (target, version) = cut(rest, b' ').ok_or(not_three)?;
    if cut(version, b' ').is_some() {
        return Err(not_three);
    }
    if !is_token(method) {
        return Err(refused(400, "the method is not a word"));
    }
    if target.is_empty() || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refused(
            400,
            "the target has characters that a URL cannot have",
        ));
    }
    match version.as_bytes() {
        b"HTTP/1.0" => Ok((method, target, false)),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor] if minor.is_ascii_digit() => {
            Ok((method, target, true))
        }
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(refused(505, "only HTTP/1.0 and HTTP/1.1 are spoken here"))
        }
        _ => Err(refused(
            400,
            "the request line does not end in HTTP/1.0 or HTTP/1.1",
        )),
    }
}

/// RFC 9110 section 5.6.2.
pub(super) fn is_token(text: &str) -> bool {
    let is_token_byte = |byte: u8| match byte {
        b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' => true,
        b'^'..=b'`' | b'|' | b'~' => true,
        _ => byte.is_ascii_alphanumeric(),
    };
    !text.is_empty() && text.bytes().all(is_token_byte)
}

impl<'a> Head<'a> {
    /// The headers in their order: name as sent, value without the blanks around it.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        header_lines(self.headers).filter_map(split_header)
    }

    /// The first header of that name, in whatever case.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers()
            .find(|(is, _)| is.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Whether a page is wanted: browsers name its type first, and nobody else names it.
    pub(crate) fn accepts_html(&self) -> bool {
        text::cut(self.framing.accept, "text/html").is_some()
    }

    /// What HAProxy says, with `http-check send-state`, of how it sees whom it asks.
    pub(crate) fn server_state(&self) -> Option<&'a str> {
        self.framing.server_state
    }

    /// What stands behind the path's `?`, as sent; empty when there is none.
    pub(crate) fn query(&self) -> &'a str {
        query(self.target)
    }

    /// RFC 9112 section 6: where two readers could differ, nobody reads.
    fn body_len(&self) -> Result<usize, Refusal> {
        let Framing {
            lengths,
            length,
            is_encoded,
            ..
        } = self.framing;
        match (lengths, is_encoded) {
            (0, false) => Ok(0),
            (0, true) => Err(refused(411, "a body needs a Content-Length here")),
            (1, true) => Err(refused(400, "Content-Length beside Transfer-Encoding")),
            // More digits than fit are more bytes than are taken.
            (1, false) if is_digits(length) => Ok(length.parse().unwrap_or(usize::MAX)),
            (1, false) => Err(refused(400, "the Content-Length is not a number")),
            _ => Err(refused(400, "more than one Content-Length")),
        }
    }

    fn expects_continue(&self) -> Result<bool, Refusal> {
        match self.framing.expect {
            // RFC 9110 section 10.1.1: from an HTTP/1.0 client it is to be ignored.
            None => Ok(false),
            Some(_) if !self.is_1_1 => Ok(false),
            Some(value) if value.eq_ignore_ascii_case("100-continue") => Ok(true),
            Some(_) => Err(refused(417, "only 100-continue can be expected")),
        }
    }

    /// The path without its leading slashes and query, percent-decoded once.
    ///
    /// # Errors
    /// A target of another form, or a `%` without two hexadecimal digits.
    pub(crate) fn path(&self) -> Result<Cow<'a, [u8]>, Refusal> {
        if self.target == "*" && self.method == "OPTIONS" {
            return Ok(Cow::Borrowed(b""));
        }
        let path = match self.target.as_bytes() {
            [b'/', ..] => self.target,
            _ => absolute_path(self.target)
                .ok_or(refused(400, "the target is neither a path nor an http URL"))?,
        };
        let end = place_of(path, |byte| byte == b'?' || byte == b'#');
        let path = &path[..end.unwrap_or(path.len())];
        percent_decoded(without_slashes(path))
            .ok_or(refused(400, "a % without two hexadecimal digits"))
    }
}

pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY_MAX: usize = 16;

    fn whole(text: &str) -> Request<'_> {
        match examine(text.as_bytes(), BODY_MAX) {
            Seen::Whole(request) => request,
            other => panic!("{text:?} is {other:?}"),
        }
    }

    fn status(text: &str) -> u16 {
        match examine(text.as_bytes(), BODY_MAX) {
            Seen::Refused(refusal) => refusal.status,
            other => panic!("{text:?} is {other:?}"),
        }
    }

    #[test]
    fn the_callers_that_matter_are_understood() {
        for (text, method, path) in [
            ("OPTIONS / HTTP/1.0\r\n\r\n", "OPTIONS", ""),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS", ""),
            ("GET /mail HTTP/1.0\r\n\r\n", "GET", "mail"),
            (
                "GET /mail HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: 10.0.0.1\r\n\r\n",
                "GET",
                "mail",
            ),
            ("HEAD //mail?x=%zz HTTP/1.1\nhost: a\n\n", "HEAD", "mail"),
            (
                "GET http://lb.example:80/a/b HTTP/1.1\r\nHost: x\r\n\r\n",
                "GET",
                "a/b",
            ),
            ("GET http://lb.example HTTP/1.0\r\n\r\n", "GET", ""),
            ("\r\nGET /m%61il%2541 HTTP/1.0\r\n\r\n", "GET", "mail%41"),
        ] {
            let request = whole(text);
            assert_eq!(request.head.method, method);
            assert_eq!(request.head.path().unwrap(), path.as_bytes(), "{text:?}");
            assert!(!request.has_surplus);
        }
    }

    #[test]
    fn headers_are_found_in_any_case_and_trimmed() {
        let head = whole("POST /a HTTP/1.0\r\nx-y:  b c \t\r\nCONTENT-LENGTH:2\r\n\r\nok").head;
        assert_eq!(head.header("X-Y"), Some("b c"));
        assert_eq!(head.header("nothing"), None);
        assert_eq!(head.headers().count(), 2);
    }

    #[test]
    fn what_few_callers_say_is_noted_in_passing() {
        let plain = whole("GET /a HTTP/1.0\r\n\r\n").head;
        assert!(!plain.accepts_html());
        assert_eq!((plain.server_state(), plain.query()), (None, ""));
        let head = whole(
            "GET /a?b=c?d#e HTTP/1.0\r\nAccept: text/html,*/*\r\n\
             X-Haproxy-Server-State: UP 2/3; name=bck/srv\r\n\r\n",
        )
        .head;
        assert!(head.accepts_html());
        assert_eq!(head.server_state(), Some("UP 2/3; name=bck/srv"));
        assert_eq!(head.query(), "b=c?d");
    }

    #[test]
    fn a_body_is_what_its_length_says() {
        let request = whole("POST /a HTTP/1.0\r\nContent-Length: 2\r\n\r\nokSURPLUS");
        assert_eq!((request.body, request.has_surplus), (&b"ok"[..], true));
        assert_eq!(whole("POST /a HTTP/1.1\r\nHost: a\r\n\r\n").body, b"");
    }

    #[test]
    fn who_waits_for_continue_is_told_apart() {
        let head =
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
        assert_eq!(
            examine(head.as_bytes(), BODY_MAX),
            Seen::Partial {
                expects_continue: true
            }
        );
        let begun = format!("{head}o");
        assert_eq!(
            examine(begun.as_bytes(), BODY_MAX),
            Seen::Partial {
                expects_continue: false
            }
        );
        let old = head.replace("HTTP/1.1", "HTTP/1.0");
        assert_eq!(
            examine(old.as_bytes(), BODY_MAX),
            Seen::Partial {
                expects_continue: false
            }
        );
        assert_eq!(status(&head.replace("100-continue", "a miracle")), 417);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (text, expected) in [
            (
                "POST / HTTP/1.0\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
                400,
            ),
            (
                "POST / HTTP/1.0\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na",
                400,
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                411,
            ),
            ("POST / HTTP/1.0\r\nContent-Length: +1\r\n\r\na", 400),
            ("POST / HTTP/1.0\r\nContent-Length: 1, 1\r\n\r\na", 400),
            ("POST / HTTP/1.0\r\nContent-Length: \r\n\r\na", 400),
            ("POST / HTTP/1.0\r\nContent-Length: 17\r\n\r\n", 413),
            (
                "POST / HTTP/1.0\r\nContent-Length: 99999999999999999999999\r\n\r\n",
                413,
            ),
            ("GET / HTTP/1.0\r\nA : b\r\n\r\n", 400),
            ("GET / HTTP/1.0\r\n folded: b\r\n\r\n", 400),
            ("GET / HTTP/1.0\r\nno colon\r\n\r\n", 400),
            ("GET / HTTP/1.0\r\nA: b\rc\r\n\r\n", 400),
            ("GET / HTTP/1.0\r\nA: b\0c\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            ("GET /\r\n\r\n", 400),
            ("GET  / HTTP/1.0\r\n\r\n", 400),
            ("GET / HTTP/1.0 \r\n\r\n", 400),
            ("GET / http/1.0\r\n\r\n", 400),
            ("G(T / HTTP/1.0\r\n\r\n", 400),
            ("GET /\u{e9} HTTP/1.0\r\n\r\n", 400),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ] {
            assert_eq!(status(text), expected, "{text:?}");
        }
    }

    #[test]
    fn limits_hold_before_the_end_has_come() {
        let long_line = format!("GET /{}", "a".repeat(LINE_BYTES_MAX));
        assert_eq!(status(&long_line), 414);
        assert_eq!(status(&format!("{long_line} HTTP/1.0\r\n\r\n")), 414);
        let endless = format!("GET / HTTP/1.0\r\nA: {}", "b".repeat(HEAD_BYTES_MAX));
        assert_eq!(status(&endless), 431);
        assert_eq!(status(&format!("{endless}\r\n\r\n")), 431);
        let many = format!(
            "GET / HTTP/1.0\r\n{}\r\n",
            "A: b\r\n".repeat(HEADERS_MAX + 1)
        );
        assert_eq!(status(&many), 431);
        let enough = format!("GET / HTTP/1.0\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_MAX));
        assert_eq!(whole(&enough).head.headers().count(), HEADERS_MAX);
    }

    #[test]
    fn targets_of_other_forms_are_refused() {
        for target in [
            "*",
            "a",
            "lb:80",
            "ftp://a/b",
            "http://",
            "/%",
            "/%4",
            "/%zz",
        ] {
            let text = format!("GET {target} HTTP/1.0\r\n\r\n");
            assert!(whole(&text).head.path().is_err(), "{target}");
        }
    }

    #[test]
    fn no_bytes_bring_it_down_and_no_prefix_is_taken_for_the_whole() {
        let golden: [&[u8]; 3] = [
            b"GET /a%20b?c HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
            b"POST /a HTTP/1.0\r\nContent-Length: 4\r\n\r\nbody",
            b"OPTIONS * HTTP/1.0\n\n",
        ];
        for message in golden {
            for len in 0..message.len() {
                let seen = examine(&message[..len], BODY_MAX);
                assert!(
                    matches!(seen, Seen::Partial { .. }),
                    "{len} of {message:?}: {seen:?}"
                );
            }
            assert!(matches!(examine(message, BODY_MAX), Seen::Whole(_)));
            for position in 0..message.len() {
                for byte in 0..=255 {
                    let mut flipped = message.to_vec();
                    flipped[position] = byte;
                    if let Seen::Whole(request) = examine(&flipped, BODY_MAX) {
                        let _ = request.head.path();
                    }
                }
            }
        }
    }
}
