//! The answers that are the same every time, as bytes that are ready to be written.
//!
//! Those that everybody needs are in the program; a failure with a status of its own (`404 FAIL`
//! to a HAProxy with `disable-on-404`) is made once, when the first component needs it.
#![forbid(unsafe_code)]

use std::sync::OnceLock;

use crate::component::Component;
use crate::health::State;
use crate::text;

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
#[derive(Clone, Copy)]
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

/// How a component wants to be answered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style {
    takes_post: bool,
    fail_status: u16,
}

impl Style {
    pub(super) fn of(component: &Component) -> Style {
        Style {
            takes_post: component.on_post().is_some(),
            fail_status: component.about().fail_status,
        }
    }

    /// The status of a component in that state.
    pub(super) fn status(self, state: State) -> u16 {
        let statuses = FAIL_STATUS_MIN..FAIL_STATUS_MIN + FAIL_STATUSES as u16;
        match state {
            State::Ok => 200,
            State::Fail if statuses.contains(&self.fail_status) => self.fail_status,
            State::Fail => FAIL_STATUS,
            State::Unknown => 500,
        }
    }
}

/// What every balancer understands.
const FAIL_STATUS: u16 = 503;

static OK: Word = word!("200", "OK", "OK", "2");
const FAIL: Word = word!("503", "FAIL", "FAIL", "4");
static UNKNOWN: Word = word!("500", "ERROR", "ERROR", "5");
static NOT_FOUND: Word = word!("404", "ERROR", "ERROR", "5");
static ALIVE: Word = word!("200", "OK", "alive", "5");

/// The answer for a component in that state.
pub(super) fn of_state(state: State, asked: Asked, style: Style) -> &'static [u8] {
    let word = match state {
        State::Ok => &OK,
        State::Fail if style.fail_status == FAIL_STATUS => &FAIL,
        State::Fail => return failed_with(style).form(asked, style.takes_post),
        State::Unknown => &UNKNOWN,
    };
    word.form(asked, style.takes_post)
}

/// The first status that a failure may have, and how many there are.
const FAIL_STATUS_MIN: u16 = 400;
const FAIL_STATUSES: usize = 200;

/// A failure with a status of its own, made the first time that it is needed.
fn failed_with(style: Style) -> Word {
    static MADE: OnceLock<Vec<OnceLock<Box<[String; 4]>>>> = OnceLock::new();
    let made = MADE.get_or_init(|| vec![OnceLock::new(); FAIL_STATUSES]);
    let status = style.status(State::Fail);
    let Some(place) = made.get(usize::from(status.saturating_sub(FAIL_STATUS_MIN))) else {
        return FAIL;
    };
    let made = place.get_or_init(|| Box::new(failure_with(status)));
    let [get, head, options, options_with_post] = &**made;
    Word {
        get: get.as_bytes(),
        head: head.as_bytes(),
        options: options.as_bytes(),
        options_with_post: options_with_post.as_bytes(),
    }
}

/// [`FAIL`] with another status, in the order of [`Word`]'s fields.
fn failure_with(status: u16) -> [String; 4] {
    [FAIL.get, FAIL.head, FAIL.options, FAIL.options_with_post].map(|form| {
        let form = String::from_utf8_lossy(form);
        let (before, behind) = text::cut(&form, "503").unwrap_or_default();
        format!("{before}{status}{behind}")
    })
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
    fn a_failure_may_have_a_status_of_its_own() {
        let style = |fail_status| Style {
            takes_post: false,
            fail_status,
        };
        let answer = of_state(State::Fail, Asked::Get, style(404));
        assert_eq!(
            String::from_utf8_lossy(answer),
            String::from_utf8_lossy(FAIL.get).replace("503 FAIL", "404 FAIL")
        );
        let again = of_state(State::Fail, Asked::Get, style(404));
        assert_eq!(answer.as_ptr(), again.as_ptr(), "made once");
        assert!(of_state(State::Fail, Asked::Head, style(404)).ends_with(b"\r\n\r\n"));
        for (status, line) in [(400, "400 FAIL"), (599, "599 FAIL"), (503, "503 FAIL")] {
            let answer = of_state(State::Fail, Asked::Options, style(status));
            let answer = String::from_utf8_lossy(answer);
            assert!(
                answer.starts_with(&format!("HTTP/1.0 {line}\r\n")),
                "{answer}"
            );
        }
        for none in [0, 399, 600, u16::MAX] {
            assert_eq!(of_state(State::Fail, Asked::Get, style(none)), FAIL.get);
        }
        for state in [State::Ok, State::Unknown] {
            let usual = of_state(state, Asked::Get, style(503));
            assert_eq!(of_state(state, Asked::Get, style(404)), usual);
        }
    }

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
