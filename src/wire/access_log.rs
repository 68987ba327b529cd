//! Lines of access logs: HAProxy's `option httplog`, and the common and combined formats of nginx
//! and Apache (mod_log_config), each with or without what a syslog server puts in front.
//!
//! What a client chose (its request, its agent, its name) stands in these lines, too, and must
//! not pass for what the proxy says: a line is taken apart in the order in which its author wrote
//! it, and what is quoted is never searched. Only the status, the error and the time are taken.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::number;
use crate::text::cut;

/// What a line says of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Answered with a status from 500 to 599, whoever made the answer.
    pub(crate) is_server_error: bool,
    /// The proxy says that the connection to the server, or the answer of it, failed.
    pub(crate) is_error: bool,
    /// How long it took, if the line says so.
    pub(crate) took: Option<Duration>,
}

/// Reads a line without its end; `None` if it is of no format known here.
pub(crate) fn parse(line: &str) -> Option<Request> {
    // nginx and Apache escape the quotes in a client's name, so that the first bracket with a
    // quote behind it is their own. HAProxy's lines have no such bracket: it escapes quotes, too.
    // Never both for one line, since the name could hold a whole line of HAProxy.
    match cut(line, REQUEST_BEGINS) {
        Some((_, rest)) => common(rest),
        None => httplog(line),
    }
}

const REQUEST_BEGINS: &str = "] \"";

/// What follows the date and a quote:
/// `127.0.0.1 - - [21/Nov/2026:06:26:41 +0000] "GET / HTTP/1.1" 200 2 "-" "curl" rt=0.001`
fn common(rest: &str) -> Option<Request> {
    let rest = &rest[quoted_len(rest)?..];
    let mut words = Words(rest.strip_prefix(' ')?);
    let status = status_of(words.next()?)?;
    let bytes = words.next()?;
    if bytes != "-" && !is_number(bytes) {
        return None;
    }
    Some(Request {
        is_server_error: is_server_error(status),
        // The two that a proxy makes up when the server could not be asked or did not answer. 503
        // is as often a limit of its own, and 499 is a client that went away.
        is_error: matches!(status, 502 | 504),
        took: words.find_map(seconds),
    })
}

/// The names under which `$request_time` is usually written, and none that a client can choose.
const TIME_NAMES: [&str; 2] = ["rt=", "request_time="];

/// `rt=0.123`, of nginx's `$request_time` or Apache's `%{s}T`-like numbers of seconds.
fn seconds(word: &str) -> Option<Duration> {
    let value = TIME_NAMES.iter().find_map(|name| word.strip_prefix(name))?;
    let value = value.trim_matches('"');
    if !value
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return None;
    }
    Duration::try_from_secs_f64(number::parse(value)?).ok()
}

/// `10.0.1.2:33317 [06/Feb/2009:12:14:14.655] front back/one 10/0/30/69/109 200 2750 - - ---- ...`
/// (configuration.txt, section 8.2.3).
fn httplog(line: &str) -> Option<Request> {
    // The structured data of RFC 5424 has brackets before those of the date.
    let mut rest = line;
    (0..BRACKETS_MAX).find_map(|_| {
        rest = cut(rest, "] ").map_or("", |(_, behind)| behind);
        after_date(rest)
    })
}

/// A syslog server puts one or two bracketed things in front of a line.
const BRACKETS_MAX: usize = 4;

fn after_date(rest: &str) -> Option<Request> {
    let mut words = rest.split(' ');
    let _frontend = words.next()?;
    words.next()?.split_once('/')?;
    let timers = words.next()?;
    let status = words.next()?;
    let _bytes = words.next().filter(|bytes| is_number(unsigned(bytes)))?;
    let _cookies = (words.next()?, words.next()?);
    let ended = words.next().filter(|ended| ended.len() == 4)?;
    // The last two tell of cookies.
    let (by, during) = (ended.as_bytes()[0], ended.as_bytes()[1]);
    let status = match status {
        "-1" => None,
        status => Some(status_of(status)?),
    };
    let mut timers = timers.split('/').map(milliseconds);
    let (_request, _queue, _connect) = (timers.next()??, timers.next()??, timers.next()??);
    let (response, all) = (timers.next()??, timers.next()??);
    if timers.next().is_some() {
        return None;
    }
    let is_error = is_of_server(by, during) || (status.is_none() && !b"Cc".contains(&by));
    let took = match (response, all) {
        (Some(response), _) => Some(response),
        // It never answered: what the client waited for is what counts.
        (None, all) if is_error => all,
        _ => None,
    };
    Some(Request {
        is_server_error: status.is_some_and(is_server_error),
        is_error,
        took,
    })
}

/// Who ended the session, and when (configuration.txt, section 8.5): the server broke off or
/// refused (S), was too slow (s), was found dead (D), or answered what HAProxy had to hold back.
fn is_of_server(by: u8, during: u8) -> bool {
    matches!((by, during), (b'S' | b's' | b'D', _) | (b'P', b'H'))
}

/// A timer: `-1` for what was not reached, `+` in front for what was not over yet. Outer `None` if
/// it is no timer.
fn milliseconds(text: &str) -> Option<Option<Duration>> {
    if text == "-1" {
        return Some(None);
    }
    let text = unsigned(text);
    if !is_number(text) {
        return None;
    }
    Some(text.parse().ok().map(Duration::from_millis))
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix('+').unwrap_or(text)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn status_of(text: &str) -> Option<u16> {
    if text.len() != 3 || !is_number(text) {
        return None;
    }
    text.parse().ok()
}

fn is_server_error(status: u16) -> bool {
    (500..600).contains(&status)
}

/// The length of what is quoted, with its closing quote. A quote inside has a backslash before it.
fn quoted_len(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some(at + 1),
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
    None
}

/// Words between blanks; what is quoted stays one word, with its quotes.
struct Words<'a>(&'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start_matches(' ');
        if text.is_empty() {
            return None;
        }
        let mut end = 0;
        while let Some(len) = text[end..].find(['"', ' ']) {
            end += len;
            if text[end..].starts_with(' ') {
                self.0 = &text[end..];
                return Some(&text[..end]);
            }
            end += 1;
            // A quote that is never closed takes all that follows.
            let Some(len) = quoted_len(&text[end..]) else {
                break;
            };
            end += len;
        }
        self.0 = "";
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(is_server_error: bool, is_error: bool, ms: Option<u64>) -> Option<Request> {
        Some(Request {
            is_server_error,
            is_error,
            took: ms.map(Duration::from_millis),
        })
    }

    const COMBINED: &str = "127.0.0.1 - al [21/Nov/2026:06:26:41 +0000] \"GET /a HTTP/1.1\" 200 2 \
                            \"http://a/\" \"curl/8 (x)\" rt=0.250 uct=\"0.001\"";

    const HTTPLOG: &str = "127.0.0.1:37488 [21/Nov/2026:06:26:41.104] front~ back/one \
                           0/0/1/25/30 200 51 - - ---- 1/1/0/0/0 0/0 {a b|c} \"GET /ok HTTP/1.1\"";

    #[test]
    fn common_and_combined_lines_are_read() {
        assert_eq!(parse(COMBINED), request(false, false, Some(250)));
        let head = "h - - [21/Nov/2026:06:26:41 +0000] ";
        for (tail, expected) in [
            ("\"GET / HTTP/1.0\" 500 12", request(true, false, None)),
            ("\"GET / HTTP/1.0\" 502 -", request(true, true, None)),
            ("\"GET / HTTP/1.0\" 503 1", request(true, false, None)),
            ("\"GET / HTTP/1.0\" 504 1", request(true, true, None)),
            ("\"GET / HTTP/1.0\" 499 0", request(false, false, None)),
            ("\"-\" 408 -", request(false, false, None)),
            (
                "\"\\x16\\x03 \\\"a\\\\\" 400 157",
                request(false, false, None),
            ),
            (
                "\"\" 400 0 request_time=1.5",
                request(false, false, Some(1_500)),
            ),
            ("\"GET /\" 200 1 rt=-", request(false, false, None)),
            (
                "\"GET /\" 200 1 rt=\"0.1\"",
                request(false, false, Some(100)),
            ),
            ("\"GET /\" 200 1 rt=inf", request(false, false, None)),
        ] {
            assert_eq!(parse(&format!("{head}{tail}")), expected, "{tail}");
        }
    }

    #[test]
    fn lines_of_haproxy_are_read() {
        assert_eq!(parse(HTTPLOG), request(false, false, Some(25)));
        let line = |timers: &str, status: &str, ended: &str| {
            format!("1.2.3.4:5 [x] f b/s {timers} {status} 5 - - {ended} 1/1/0/0/+1 0/0 \"GET /\"")
        };
        // The first seven are what HAProxy 2.6.12 wrote of such servers.
        for (timers, status, ended, expected) in [
            ("0/0/0/0/0", "503", "----", request(true, false, Some(0))),
            ("0/0/0/-1/0", "502", "PH--", request(true, true, Some(0))),
            ("0/0/0/0/0", "200", "SD--", request(false, true, Some(0))),
            ("0/0/0/-1/0", "502", "SH--", request(true, true, Some(0))),
            (
                "0/0/0/-1/1002",
                "504",
                "sH--",
                request(true, true, Some(1_002)),
            ),
            ("0/0/-1/-1/7", "503", "SC--", request(true, true, Some(7))),
            ("0/0/0/0/+42", "200", "--NI", request(false, false, Some(0))),
            ("0/-1/-1/-1/9", "-1", "CC--", request(false, false, None)),
            ("0/-1/-1/-1/9", "-1", "R---", request(false, true, Some(9))),
            ("-1/-1/-1/-1/9", "408", "cR--", request(false, false, None)),
            ("0/-1/-1/-1/9", "503", "sQ--", request(true, true, Some(9))),
        ] {
            assert_eq!(parse(&line(timers, status, ended)), expected, "{ended}");
        }
    }

    #[test]
    fn what_syslog_puts_in_front_changes_nothing() {
        for front in [
            "Nov 21 06:26:41 lb haproxy[99]: ",
            "2026-11-21T06:26:41.104+00:00 lb haproxy[99]: ",
            "<134>Nov 21 06:26:41 haproxy[99]: ",
            "<134>1 2026-11-21T06:26:41.104+00:00 lb haproxy 99 - - ",
            "<134>1 2026-11-21T06:26:41+00:00 lb haproxy 99 - [a@1 b=\"c\"][d@2 e=\"f\"] ",
        ] {
            assert_eq!(
                parse(&format!("{front}{HTTPLOG}")),
                request(false, false, Some(25)),
                "{front}"
            );
            assert_eq!(
                parse(&format!("{front}{COMBINED}")),
                request(false, false, Some(250)),
                "{front}"
            );
        }
    }

    #[test]
    fn a_client_cannot_forge_what_the_proxy_says() {
        let forged = "x] f b/s 0/0/0/-1/9 503 5 - - SC--";
        for line in [
            // In the name, as nginx and Apache write a quote in it.
            format!("h - {forged} [d] \"GET / HTTP/1.1\" 200 2 \"-\" \"-\""),
            "h - a] \\x22b\\x22 502 1 [d] \"GET / HTTP/1.1\" 200 2".to_string(),
            "h - \"a] \\\"b\\\" 502 1\" [d] \"GET / HTTP/1.1\" 200 2".to_string(),
            // In the request, the referer and the agent.
            format!("h - - [d] \"GET /{forged} HTTP/1.1\" 200 2 \"{forged}\" \"{forged}\""),
            "h - - [d] \"GET /\\\" 502 1 \\\"\" 200 2 \"rt=9\" \"a rt=9 \\\" rt=9\"".to_string(),
            "h - - [d] \"GET /\" 200 2 \"never closed rt=9".to_string(),
        ] {
            assert_eq!(parse(&line), request(false, false, None), "{line}");
        }
        let line = "1.2.3.4:5 [x] f b/s 0/0/0/1/1 200 5 - - ---- 1/1/0/0/0 0/0 {y] f b/s \
                    0/0/0/-1/9 503 5 - - SC--} \"GET /x] f b/s 0/0/0/-1/9 503 5 - - SC--\"";
        assert_eq!(parse(line), request(false, false, Some(1)));
    }

    #[test]
    fn other_lines_are_of_no_format() {
        for line in [
            "",
            "] \"",
            "Proxy front started.",
            "Server back/one is DOWN, reason: Layer4 connection problem",
            "{\"status\":200,\"request\":\"GET / HTTP/1.1\"}",
            "h - - [d] \"GET /",
            "h - - [d] \"GET /\"",
            "h - - [d] \"GET /\" 200",
            "h - - [d] \"GET /\" 2000 1",
            "h - - [d] \"GET /\" 200 x",
            "1.2.3.4:5 [x] f b/s 1/0/489 40 -- 1/1/0/0/0 0/0",
            "1.2.3.4:5 [x] f b/s 0/0/0/0 200 5 - - ---- 1/1",
            "1.2.3.4:5 [x] f b/s 0/0/0/0/0/0 200 5 - - ---- 1/1",
            "1.2.3.4:5 [x] f b 0/0/0/0/0 200 5 - - ---- 1/1",
            "1.2.3.4:5 [x] f b/s 0/0/0/0/x 200 5 - - ---- 1/1",
            "1.2.3.4:5 [x] f b/s 0/0/0/0/0 2 5 - - ---- 1/1",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn no_prefix_and_no_flip_panics() {
        for golden in [COMBINED, HTTPLOG] {
            for len in 0..golden.len() {
                let _ = parse(&golden[..len]);
            }
            let mut bytes = golden.as_bytes().to_vec();
            for at in 0..bytes.len() {
                for bit in 0..8 {
                    bytes[at] ^= 1 << bit;
                    let _ = parse(&String::from_utf8_lossy(&bytes));
                    bytes[at] ^= 1 << bit;
                }
            }
        }
    }
}
