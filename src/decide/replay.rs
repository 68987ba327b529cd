//! Replay: what other rules would have made of outcomes that were.
//!
//! Lines of outcomes are judged by the judge of the running program, on the time that they bring
//! with them; no clock is read and nothing is asked. What is written can be replayed again, since
//! what follows an outcome on its line is free text.
//!
//! ```text
//! LINE    = SECONDS OUTCOME [ANYTHING] | SECONDS "reset" [ANYTHING] | "#" ANYTHING | blank
//! OUTCOME = ok | warn | fail | unknown
//! WRITTEN = SECONDS OUTCOME (OK | FAIL | ERROR) PHASE
//! ```
#![forbid(unsafe_code)]

use std::fmt;
use std::io::{BufRead, Read, Write};
use std::time::Duration;

use crate::clock::Moment;
use crate::decide::hysteresis::Judge;
use crate::decide::rules::Rules;
use crate::error::Error;
use crate::health::{Health, Standing, State};
use crate::number;

/// The longest line in bytes: far more than a time, an outcome and a reason.
const LINE_LEN_MAX: usize = 4_096;

/// Changes of state that a summary keeps, from the first; more than anybody reads.
const CHANGES_MAX: usize = 1_000;

/// What became of the outcomes, all in all. Its `Display` is lines for people.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// How many outcomes were ok, warn, fail and unknown.
    pub outcomes: [u64; 4],
    /// How long it was in the states ok, fail and unknown, from the first line to the last.
    pub time_in: [Duration; 3],
    /// How often the state changed.
    pub changes: u64,
    /// When, and from what to what: the first thousand of them.
    pub changed: Vec<(Duration, State, State)>,
}

impl Summary {
    /// The share of the time in which it was ok, from 0 to 1; `None` when no time passed.
    pub fn availability(&self) -> Option<f64> {
        let total: Duration = self.time_in.iter().sum();
        (!total.is_zero()).then(|| self.time_in[0].as_secs_f64() / total.as_secs_f64())
    }
}

/// Judges the outcomes in `input` by these rules, and writes a line for each to `out`. The first
/// line's time is the start. With a manual reset it stays failed until a line says `reset`; without
/// one, such a line is an error.
///
/// ```
/// use failover::{Rules, State, count, replay};
/// let rules = Rules {
///     start: State::Unknown,
///     ok_after: count(1).try_into()?,
///     fail_after: count(2).try_into()?,
///     stale_after: None,
///     manual_reset: false,
/// };
/// let mut out = Vec::new();
/// let summary = replay(&mut &b"0 ok\n5 fail refused\n10 fail refused\n"[..], &mut out, &rules)?;
/// assert_eq!(out, b"0 ok OK healthy\n5 fail OK suspicious\n10 fail FAIL unhealthy\n");
/// assert_eq!(summary.changes, 2);
/// # Ok::<(), failover::Error>(())
/// ```
///
/// # Errors
/// A line that is none of the above, with its number; seconds that go backwards; what could not be
/// read or written.
pub fn replay(
    input: &mut dyn BufRead,
    out: &mut dyn Write,
    rules: &Rules,
) -> Result<Summary, Error> {
    let unwritten = |error| Error::system("what was judged could not be written", error);
    let mut replayed = None;
    let mut number = 0;
    while let Some(text) = line(input, number + 1)? {
        number += 1;
        let at_line = |what: String| Error::invalid(format!("line {number}: {what}"));
        let Some(event) = parse(&text).map_err(at_line)? else {
            continue;
        };
        let replayed = replayed.get_or_insert_with(|| Replay::new(rules, event.at));
        let standing = replayed.step(&event).map_err(at_line)?;
        let line = format!(
            "{} {} {} {}\n",
            event.seconds,
            event.what,
            answer(standing.state),
            standing.phase
        );
        out.write_all(line.as_bytes()).map_err(unwritten)?;
    }
    let summary = replayed
        .map(|replayed| replayed.summary)
        .unwrap_or_default();
    out.flush().map_err(unwritten)?;
    Ok(summary)
}

/// The next line without its end; `None` at the end of the input.
fn line(input: &mut dyn BufRead, number: u64) -> Result<Option<String>, Error> {
    let mut bytes = Vec::new();
    let mut limited = input.take(LINE_LEN_MAX as u64 + 1);
    limited
        .read_until(b'\n', &mut bytes)
        .map_err(|error| Error::system(format!("line {number} could not be read"), error))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.len() > LINE_LEN_MAX {
        return Err(Error::invalid(format!(
            "line {number}: over {LINE_LEN_MAX} bytes; expected SECONDS OUTCOME"
        )));
    }
    // A reason in some old encoding is free text, too.
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// What a line says.
#[derive(Debug, PartialEq)]
struct Event<'a> {
    /// As it is written.
    seconds: &'a str,
    at: Duration,
    /// The word.
    what: &'a str,
    /// `None` is a reset.
    health: Option<Health>,
}

/// What a line says, if anything.
fn parse(text: &str) -> Result<Option<Event<'_>>, String> {
    let mut words = text.trim_start_matches('\u{feff}').split_whitespace();
    let Some(seconds) = words.next().filter(|word| !word.starts_with('#')) else {
        return Ok(None);
    };
    let at = parse_seconds(seconds).ok_or_else(|| {
        format!("{seconds:?} is not a time; expected seconds such as 0 or 1700000000.25")
    })?;
    let Some(what) = words.next() else {
        return Err("no outcome; expected SECONDS and ok, warn, fail, unknown or reset".into());
    };
    let health = match what {
        "reset" => None,
        _ => Some(parse_health(what).ok_or_else(|| {
            format!("{what:?} is not an outcome; expected ok, warn, fail, unknown or reset")
        })?),
    };
    Ok(Some(Event {
        seconds,
        at,
        what,
        health,
    }))
}

const HEALTHS: [Health; 4] = [Health::Ok, Health::Warn, Health::Fail, Health::Unknown];

fn parse_health(word: &str) -> Option<Health> {
    HEALTHS.into_iter().find(|health| health.word() == word)
}

/// Whole seconds, and up to nine digits of a fraction.
fn parse_seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanos: u32 = format!("{fraction:0<9}").parse().ok()?;
    Some(Duration::new(whole.parse().ok()?, nanos))
}

fn print_seconds(at: Duration) -> String {
    let text = format!("{}.{:09}", at.as_secs(), at.subsec_nanos());
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// What a balancer is answered.
fn answer(state: State) -> &'static str {
    match state {
        State::Ok => "OK",
        State::Fail => "FAIL",
        State::Unknown => "ERROR",
    }
}

/// A judge on its way through the lines.
struct Replay<'a> {
    rules: &'a Rules,
    judge: Judge,
    /// When the last line was.
    now: Duration,
    /// When the last known outcome was, or the start.
    last_known: Duration,
    /// Failed until a human resets it.
    is_latched: bool,
    state: State,
    summary: Summary,
}

impl Replay<'_> {
    fn new(rules: &Rules, start: Duration) -> Replay<'_> {
        Replay {
            rules,
            judge: rules.judge(moment(start)),
            now: start,
            last_known: start,
            is_latched: rules.manual_reset && rules.start == State::Fail,
            state: rules.start,
            summary: Summary::default(),
        }
    }

    fn step(&mut self, event: &Event) -> Result<Standing, String> {
        if event.at < self.now {
            return Err(format!(
                "{:?} is before the line above; expected seconds that never go backwards",
                event.seconds
            ));
        }
        if event.health.is_none() && !self.rules.manual_reset {
            return Err("\"reset\" without a manual reset; expected an outcome".to_string());
        }
        self.pass_to(event.at);
        match event.health {
            Some(health) => self.see(health),
            None => self.reset(),
        }
        let standing = self.standing();
        self.change_to(standing.state);
        Ok(standing)
    }

    /// Lets time pass; on the way it may go stale, as it would have for whoever asked then.
    fn pass_to(&mut self, at: Duration) {
        let stale_at = match self.rules.stale_after {
            Some(limit) if !self.is_latched => self.last_known.saturating_add(limit),
            _ => Duration::MAX,
        };
        if stale_at < at && self.state != State::Unknown {
            self.spend_until(stale_at.max(self.now));
            self.change_to(State::Unknown);
        }
        self.spend_until(at);
    }

    fn spend_until(&mut self, at: Duration) {
        let place = match self.state {
            State::Ok => 0,
            State::Fail => 1,
            State::Unknown => 2,
        };
        self.summary.time_in[place] += at.saturating_sub(self.now);
        self.now = self.now.max(at);
    }

    fn see(&mut self, health: Health) {
        let place = HEALTHS.iter().position(|known| *known == health);
        self.summary.outcomes[place.unwrap_or_default()] += 1;
        // A latch asks nobody while it is failed.
        if self.is_latched {
            return;
        }
        self.judge.step(moment(self.now), health);
        if health != Health::Unknown {
            self.last_known = self.now;
        }
        let state = self.judge.standing(moment(self.now)).state;
        self.is_latched = self.rules.manual_reset && state == State::Fail;
    }

    /// While it is not failed, a reset changes nothing.
    fn reset(&mut self) {
        if self.is_latched {
            self.judge.reset(State::Ok, moment(self.now));
            (self.is_latched, self.last_known) = (false, self.now);
        }
    }

    fn standing(&self) -> Standing {
        if self.is_latched {
            return Standing::plain(State::Fail);
        }
        self.judge.standing(moment(self.now))
    }

    fn change_to(&mut self, state: State) {
        if state == self.state {
            return;
        }
        self.summary.changes += 1;
        if self.summary.changed.len() < CHANGES_MAX {
            self.summary.changed.push((self.now, self.state, state));
        }
        self.state = state;
    }
}

fn moment(at: Duration) -> Moment {
    Moment::default() + at
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [ok, warn, fail, unknown] = self.outcomes;
        let total = ok + warn + fail + unknown;
        writeln!(
            f,
            "# {total} outcomes: {ok} ok, {warn} warn, {fail} fail, {unknown} unknown"
        )?;
        for (at, from, to) in &self.changed {
            let (from, to) = (answer(*from), answer(*to));
            writeln!(f, "# {} {from} -> {to}", print_seconds(*at))?;
        }
        let unlisted = self.changes - self.changed.len() as u64;
        if unlisted > 0 {
            writeln!(f, "# and {unlisted} changes more")?;
        }
        let [ok, fail, unknown] = self.time_in.map(print_seconds);
        let changes = self.changes;
        writeln!(
            f,
            "# {changes} changes; OK for {ok}s, FAIL {fail}s, ERROR {unknown}s"
        )?;
        match self.availability() {
            Some(share) => writeln!(f, "# availability {}%", number::fixed(share * 100.0, 3)),
            None => writeln!(f, "# availability not known: no time passed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::units::Threshold;

    fn rules(fail_after: &str, stale_after: Option<u64>) -> Rules {
        Rules {
            start: State::Unknown,
            ok_after: Threshold::ONE,
            fail_after: Threshold::try_from(fail_after).unwrap(),
            stale_after: stale_after.map(Duration::from_secs),
            manual_reset: false,
        }
    }

    fn replayed(rules: &Rules, input: &str) -> String {
        let mut out = Vec::new();
        let summary = replay(&mut input.as_bytes(), &mut out, rules).unwrap();
        String::from_utf8(out).unwrap() + &summary.to_string()
    }

    fn refused(input: &[u8]) -> String {
        let input = &mut &*input;
        let error = replay(input, &mut Vec::new(), &rules("1", None)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        error.to_string()
    }

    #[test]
    fn each_line_says_where_it_stands_then() {
        let input = "# from the log\n\n0.5 ok\r\n 5\twarn slow\n10 fail tcp connect refused\n\
                     12 unknown\n15.25 fail\n20 ok";
        assert_eq!(
            replayed(&rules("2", None), input),
            "0.5 ok OK healthy\n\
             5 warn OK healthy\n\
             10 fail OK suspicious\n\
             12 unknown OK suspicious\n\
             15.25 fail FAIL unhealthy\n\
             20 ok OK healthy\n\
             # 6 outcomes: 2 ok, 1 warn, 2 fail, 1 unknown\n\
             # 0.5 ERROR -> OK\n\
             # 15.25 OK -> FAIL\n\
             # 20 FAIL -> OK\n\
             # 3 changes; OK for 14.75s, FAIL 4.75s, ERROR 0s\n\
             # availability 75.641%\n"
        );
    }

    #[test]
    fn what_was_written_can_be_replayed_to_the_same() {
        let rules = rules("2 of 3", Some(7));
        let once = replayed(&rules, "0 ok\n1 fail x\n2 ok\n3 fail\n4.5 ok\n20 fail\n");
        assert_eq!(replayed(&rules, &once), once);
    }

    #[test]
    fn a_gap_is_an_error_from_when_it_was_too_long_and_forgets_the_count() {
        let text = replayed(&rules("2", Some(10)), "0 ok\n5 fail\n25 fail\n26 fail\n");
        assert_eq!(
            text,
            "0 ok OK healthy\n\
             5 fail OK suspicious\n\
             25 fail OK suspicious\n\
             26 fail FAIL unhealthy\n\
             # 4 outcomes: 1 ok, 0 warn, 3 fail, 0 unknown\n\
             # 0 ERROR -> OK\n\
             # 15 OK -> ERROR\n\
             # 25 ERROR -> OK\n\
             # 26 OK -> FAIL\n\
             # 4 changes; OK for 16s, FAIL 0s, ERROR 10s\n\
             # availability 61.538%\n"
        );
        let unknown = replayed(&rules("2", Some(10)), "0 ok\n10 unknown\n10.1 unknown\n");
        let expected = "0 ok OK healthy\n10 unknown OK healthy\n10.1 unknown ERROR unknown\n";
        assert!(unknown.starts_with(expected), "{unknown}");
    }

    #[test]
    fn a_latch_holds_until_it_is_reset() {
        let mut rules = rules("2", Some(3));
        rules.manual_reset = true;
        let input =
            "0 ok\n1 reset\n2 fail\n3 fail\n4 ok\n50 ok\n51 reset by hand\n52 fail\n53 fail\n";
        let text = replayed(&rules, input);
        let expected = "0 ok OK healthy\n1 reset OK healthy\n2 fail OK suspicious\n\
                        3 fail FAIL unhealthy\n4 ok FAIL unhealthy\n50 ok FAIL unhealthy\n\
                        51 reset OK unknown\n52 fail OK suspicious\n53 fail FAIL unhealthy\n";
        assert!(text.starts_with(expected), "{text}");
        assert!(
            text.contains("# 4 changes; OK for 5s, FAIL 48s, ERROR 0s"),
            "{text}"
        );
    }

    #[test]
    fn bad_lines_are_quoted_with_what_was_expected() {
        let long = [b"0 ok ", &[b'x'; LINE_LEN_MAX][..]].concat();
        for (input, message) in [
            (
                &b"0 ok\n#\nx ok"[..],
                "line 3: \"x\" is not a time; expected seconds such as 0 or 1700000000.25",
            ),
            (b"-1 ok", "line 1: \"-1\" is not a time"),
            (b"1. ok", "line 1: \"1.\" is not a time"),
            (b"1.0000000001 ok", "line 1: \"1.0000000001\" is not a time"),
            (
                b"99999999999999999999 ok",
                "line 1: \"99999999999999999999\" is not a time",
            ),
            (b"1", "line 1: no outcome; expected SECONDS and ok"),
            (
                b"1 up",
                "line 1: \"up\" is not an outcome; expected ok, warn, fail, unknown or reset",
            ),
            (b"1 \xff", "line 1: \"\u{fffd}\" is not an outcome"),
            (
                b"2 ok\n1.9 ok",
                "line 2: \"1.9\" is before the line above; expected seconds",
            ),
            (
                b"1 reset",
                "line 1: \"reset\" without a manual reset; expected an outcome",
            ),
            (&long, "line 1: over 4096 bytes; expected SECONDS OUTCOME"),
        ] {
            let said = refused(input);
            assert!(said.starts_with(message), "{said}");
        }
    }

    #[test]
    fn nothing_comes_to_nothing() {
        let text = replayed(&rules("1", None), "# only a comment\n");
        assert!(
            text.ends_with("# availability not known: no time passed\n"),
            "{text}"
        );
    }

    #[test]
    fn a_summary_keeps_the_first_of_very_many_changes() {
        let input: String = (0..3_000)
            .map(|n| format!("{n} {}\n", if n % 2 == 0 { "ok" } else { "fail" }))
            .collect();
        let mut out = Vec::new();
        let rules = rules("1", None);
        let summary = replay(&mut input.as_bytes(), &mut out, &rules).unwrap();
        assert_eq!(
            (summary.changes, summary.changed.len()),
            (3_000, CHANGES_MAX)
        );
        assert!(summary.to_string().contains("# and 2000 changes more\n"));
    }

    #[test]
    fn a_closed_pipe_is_an_error_of_the_system() {
        let full = &mut [0_u8; 3][..];
        let mut out: &mut [u8] = full;
        let error = replay(&mut &b"0 ok\n"[..], &mut out, &rules("1", None)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::System);
    }

    #[test]
    fn no_line_makes_it_panic() {
        let golden = "0 ok\n1.25 warn x\n# x\n2 fail\n18446744073709551615 unknown\n".as_bytes();
        let rules = rules("2 of 3", Some(1));
        let try_it = |bytes: &[u8]| {
            let _ = replay(&mut &*bytes, &mut Vec::new(), &rules);
        };
        for end in 0..golden.len() {
            try_it(&golden[..end]);
            for bit in 0..8 {
                let mut flipped = golden.to_vec();
                flipped[end] ^= 1 << bit;
                try_it(&flipped);
            }
        }
    }
}
