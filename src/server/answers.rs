//! The answers that are the same every time, as bytes that are ready to be written.
#![forbid(unsafe_code)]

use crate::health::State;

/// How a component is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The answer with its body.
    Get,
    /// The same without the body.
    Head,
    /// What HAProxy's bare `option httpchk` sends: the answer's status, and what may be asked.
    Options,
}

/// One answer in its three forms. The status line carries the word too, since a HEAD, and a
/// balancer's log, see nothing else of it.
struct Word {
    get: &'static [u8],
    head: &'static [u8],
    options: &'static [u8],
    options_with_post: &'static [u8],
}

macro_rules! word {
    ($status:literal, $phrase:literal, $body:literal, $len:literal) => {
        Word {
            get: concat!(word!(@ $status, $phrase, $len, ""), $body).as_bytes(),
            head: word!(@ $status, $phrase, $len, "").as_bytes(),
            options: word!(@ $status, $phrase, "0", "Allow: GET, HEAD, OPTIONS\r\n").as_bytes(),
            options_with_post:
                word!(@ $status, $phrase, "0", "Allow: GET, HEAD, OPTIONS, POST\r\n").as_bytes(),
        }
    };
    (@ $status:literal, $phrase:literal, $len:literal, $extra:literal) => {
        concat!(
            "HTTP/1.0 ", $status, " ", $phrase,
            "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ", $len,
            "\r\nConnection: close\r\nCache-Control: no-store\r\n", $extra, "\r\n"
        )
    };
}

static OK: Word = word!("200", "OK", "OK", "2");
static FAIL: Word = word!("503", "FAIL", "FAIL", "4");
static UNKNOWN: Word = word!("500", "ERROR", "ERROR", "5");
static NOT_FOUND: Word = word!("404", "ERROR", "ERROR", "5");
static ALIVE: Word = word!("200", "OK", "alive", "5");

/// The answer for a component in that state.
pub(super) fn of_state(state: State, asked: Asked, takes_post: bool) -> &'static [u8] {
    let word = match state {
        State::Ok => &OK,
        State::Fail => &FAIL,
        State::Unknown => &UNKNOWN,
    };
    word.form(asked, takes_post)
}

/// The answer where there is no component of that name.
pub(super) fn not_found(asked: Asked) -> &'static [u8] {
    NOT_FOUND.form(asked, false)
}

/// The answer for the server itself.
pub(super) fn alive(asked: Asked) -> &'static [u8] {
    ALIVE.form(asked, false)
}

impl Word {
    fn form(&self, asked: Asked, takes_post: bool) -> &'static [u8] {
        match (asked, takes_post) {
            (Asked::Get, _) => self.get,
            (Asked::Head, _) => self.head,
            (Asked::Options, false) => self.options,
            (Asked::Options, true) => self.options_with_post,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_its_exact_length() {
        for word in [&OK, &FAIL, &UNKNOWN, &NOT_FOUND, &ALIVE] {
            let get = std::str::from_utf8(word.get).unwrap();
            let (head, body) = get.split_once("\r\n\r\n").unwrap();
            assert!(
                head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())),
                "{get}"
            );
            assert_eq!(word.head, format!("{head}\r\n\r\n").as_bytes());
            for options in [word.options, word.options_with_post] {
                let options = std::str::from_utf8(options).unwrap();
                assert!(options.contains("\r\nContent-Length: 0\r\n"), "{options}");
                assert!(options.ends_with("\r\n\r\n"));
            }
        }
        assert_eq!(
            OK.get,
            b"HTTP/1.0 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\n\
              Connection: close\r\nCache-Control: no-store\r\n\r\nOK"
        );
        assert!(FAIL.get.starts_with(b"HTTP/1.0 503 FAIL\r\n"));
    }
}
