//! A forecast in words, for whoever wants to know at night what the settings mean.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::time::Duration;

use super::odds::WINDOW_MAX;
use super::{Change, Forecast, Times};
use crate::check::prober::stride;
use crate::health::State;
use crate::number;
use crate::units::{Rule, print_duration};

/// Known ways to set such a check, with how long each takes to detect a failure, in seconds
/// (seed 002).
const ROWS: [Row; 3] = [
    Row {
        name: "Aggressive (1s x 2)",
        seconds: (2, 3),
        risk: "high",
    },
    Row {
        name: "Balanced (5s x 3)",
        seconds: (15, 20),
        risk: "medium",
    },
    Row {
        name: "Conservative (10s x 5)",
        seconds: (50, 60),
        risk: "low",
    },
];

struct Row {
    name: &'static str,
    seconds: (u64, u64),
    /// Of a false alarm.
    risk: &'static str,
}

impl Row {
    fn words(&self) -> String {
        let ((from, to), risk) = (self.seconds, self.risk);
        format!("{from}-{to}s, its risk of false alarms {risk}")
    }
}

/// Losses of single probes for which the odds are printed.
const LOSSES: [(&str, f64); 3] = [("0.1%", 0.001), ("1%", 0.01), ("5%", 0.05)];

/// Who may ask us, and how long it takes them to act on what we answer, in seconds from the change
/// of our state: down at best and at worst, up at best and at worst.
///
/// - HAProxy (configuration.txt 5.2): `inter` 2 s, which `fastinter` is, too; `fall` 3, `rise` 2.
///   An agent is believed at once.
/// - keepalived (keepalived.conf(5)): a `vrrp_script` runs every second, `fall` 1, `rise` 1. An
///   `HTTP_GET` asks every `delay_loop`, 60 s by default, once more 3 s after a failure, and after
///   one for its failed URL all of them once more, another `delay_loop` later.
const ASKERS: [(&str, [u32; 4]); 5] = [
    ("HAProxy, inter 2s fall 3 rise 2", [4, 6, 2, 4]),
    ("HAProxy agent-check, agent-inter 2s", [0, 2, 0, 2]),
    ("keepalived vrrp_script, interval 1", [0, 1, 0, 1]),
    ("keepalived HTTP_GET, delay_loop 6", [3, 9, 6, 12]),
    ("keepalived HTTP_GET, delay_loop 60", [3, 63, 60, 120]),
];

impl Forecast {
    /// All of it as lines, each with its end, 80 columns wide unless the settings are long.
    pub fn text(&self) -> String {
        let mut text = self.settings();
        text += "\n\n                           best   typical     worst   worst case is\n";
        self.write_times(&mut text);
        text += "\nBest is an event right before a probe, worst is right after one. A silent \
                 target\ncosts its last probe the whole timeout. Round trips of answers come on \
                 top.\n";
        text += &self.startup_words();
        self.write_notes(&mut text);
        self.write_odds(&mut text);
        self.write_place(&mut text);
        write_askers(&mut text);
        text
    }

    fn settings(&self) -> String {
        let pace = &self.pace;
        // What looks at this machine waits for nobody.
        let timeout = match self.timeout.is_zero() {
            true => String::new(),
            false => format!("timeout {}, ", print_duration(self.timeout)),
        };
        format!(
            "every {} fast {} down {}, {timeout}{}",
            pace.every, pace.fast, pace.down, self.rules
        )
    }

    fn write_times(&self, text: &mut String) {
        let Change { refused, silent } = self.failure();
        *text += "it dies\n";
        row(text, "  and refuses", refused);
        row(text, "  and is silent", silent);
        let Change { refused, silent } = self.recovery();
        if self.rules.manual_reset {
            *text += "it recovers               when a human resets it\n";
        } else if refused == silent {
            row(text, "it recovers", refused);
        } else {
            *text += "it recovers\n";
            row(text, "  from refusing", refused);
            row(text, "  from silence", silent);
        }
    }

    fn startup_words(&self) -> String {
        let Change { refused, silent } = self.startup();
        let (refused, silent) = (within(refused), within(silent));
        match self.rules.start {
            State::Unknown => format!(
                "At the start the first answer decides; a silent target is known {silent}.\n"
            ),
            State::Ok => format!(
                "At the start it is OK; a target that is dead by then is FAIL {refused},\n\
                 one that is silent {silent}.\n"
            ),
            State::Fail if self.rules.manual_reset => {
                String::from("At the start it is FAIL until a human resets it.\n")
            }
            State::Fail => {
                format!("At the start it is FAIL; a target that is well by then is OK {refused}.\n")
            }
        }
    }

    /// Whatever is not as one would think.
    fn write_notes(&self, text: &mut String) {
        let fast = self.pace.fast.duration();
        let (between, missed) = stride(fast, self.timeout);
        if missed > 0 {
            *text += &format!(
                "A probe that waits out its timeout of {} outlasts fast {}: starts that it\n\
                 misses are skipped, and probes of a silent target are {} apart.\n",
                print_duration(self.timeout),
                print_duration(fast),
                print_duration(between)
            );
        }
        if let Rule::Duration(lasting) = self.rules.fail_after.0 {
            *text += &format!(
                "fail-after {} is from the end of the first failed probe to the end of the last;\n\
                 it takes two at least.\n",
                print_duration(lasting)
            );
        }
        if self.rules.fail_after.0 == Rule::Count(1) {
            *text += "With fail-after 1 every single lost probe is a failure.\n";
        }
        let longest_wait = self.pace.every.duration().saturating_add(self.timeout);
        if let Some(limit) = self.rules.stale_after.filter(|limit| *limit < longest_wait) {
            *text += &format!(
                "Warning: stale-after {} is shorter than every and timeout together, so the\n\
                 state is unknown (500 ERROR) in between, and what was counted is lost.\n",
                print_duration(limit)
            );
        }
    }

    fn write_odds(&self, text: &mut String) {
        if !self.window.is_zero() {
            // A look that is lost is no failure.
            *text += &format!(
                "It judges the traffic of the last {}; too little of it tells nothing.\n",
                print_duration(self.window)
            );
            return;
        }
        *text += "\nFalse alarms in the long run, if the target is always well and single probes \
                  are\nlost at random, each of them for its whole timeout:\n";
        for (words, loss) in LOSSES {
            let odds = match self.false_alarms_per_day(loss) {
                Some(per_day) => how_often(per_day),
                None if self.has_large_window() => {
                    format!("not computed for M of N with N over {WINDOW_MAX}")
                }
                None => String::from("not computed: outcomes go stale between probes"),
            };
            *text += &format!("  {words:>4} lost   {odds}\n");
        }
    }

    fn has_large_window(&self) -> bool {
        let is_large = |rule| matches!(rule, Rule::Window { of, .. } if of > WINDOW_MAX);
        is_large(self.rules.fail_after.0) || is_large(self.rules.ok_after.0)
    }

    fn write_place(&self, text: &mut String) {
        if let Some(times) = self.failure().silent {
            let worst = times.worst();
            *text += &format!("\nDetection within {} is {}.\n", short(worst), place(worst));
        }
    }
}

fn write_askers(text: &mut String) {
    *text += "\nWho asks us needs time of its own after that:           to down        to up\n";
    for (who, [down_best, down_worst, up_best, up_worst]) in ASKERS {
        let span = |best, worst| format!("{best}-{worst}s");
        let (down, up) = (span(down_best, down_worst), span(up_best, up_worst));
        *text += &format!("  {who:<48}{down:>13}{up:>13}\n");
    }
}

fn row(text: &mut String, what: &str, times: Option<Times>) {
    *text += &match times {
        None => format!(
            "{what:<21}{:>10}   outcomes go stale before they count\n",
            "never"
        ),
        Some(times) => format!(
            "{what:<21}{:>10}{:>10}{:>10}   {}\n",
            short(times.best()),
            short(times.typical()),
            short(times.worst()),
            formula(&times)
        ),
    };
}

/// `5s + 2 x 1s + 1s`.
fn formula(times: &Times) -> String {
    let mut text = print_duration(times.first);
    if !times.before.is_zero() {
        text = print_duration(times.before) + " + " + &text;
    }
    if times.outcomes > 1 {
        let between = print_duration(times.between);
        // A String takes any text.
        let _ = write!(text, " + {} x {between}", times.outcomes - 1);
    }
    if !times.last.is_zero() {
        text = text + " + " + &print_duration(times.last);
    }
    text
}

fn within(times: Option<Times>) -> String {
    match times.map(|times| times.worst()) {
        None => String::from("never"),
        Some(Duration::ZERO) => String::from("at once"),
        Some(worst) => format!("after {}", short(worst)),
    }
}

/// In seconds with a fraction where that says more than thousands of milliseconds.
pub(crate) fn short(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 || duration < Duration::from_secs(1) {
        return print_duration(duration);
    }
    let fraction = format!("{:03}", duration.subsec_millis());
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}s", duration.as_secs())
}

/// Where among the known ways a worst detection is.
fn place(worst: Duration) -> String {
    let low = |row: &Row| Duration::from_secs(row.seconds.0);
    let high = |row: &Row| Duration::from_secs(row.seconds.1);
    let below = ROWS.iter().rfind(|row| low(row) <= worst);
    let above = ROWS.iter().find(|row| worst <= high(row));
    match (below, above) {
        (Some(below), Some(above)) if below.name == above.name => {
            format!("{}: {}", below.name, below.words())
        }
        (Some(below), Some(above)) => {
            let is_nearer_below = worst - high(below) <= low(above) - worst;
            let nearer = if is_nearer_below { below } else { above };
            format!(
                "between {} and {},\nnearer to {}: {}",
                below.name,
                above.name,
                nearer.name,
                nearer.words()
            )
        }
        (None, Some(above)) => format!("faster than\n{}: {}", above.name, above.words()),
        (Some(below), None) => format!("slower than\n{}: {}", below.name, below.words()),
        // Every length is above the begin of one or below the end of another.
        (None, None) => String::new(),
    }
}

/// `once in 9.3 days (0.11 a day)`.
fn how_often(per_day: f64) -> String {
    const YEAR: f64 = 365.25;
    let days = 1.0 / per_day;
    let (many, unit) = match days {
        _ if days < 1.0 => return format!("{} times a day", digits(per_day)),
        _ if days < 60.0 => (days, "days"),
        _ if days < 2.0 * YEAR => (days / YEAR * 12.0, "months"),
        _ if days < 1e6 * YEAR => (days / YEAR, "years"),
        _ => return "less than once in a million years".to_string(),
    };
    let rate = match per_day {
        _ if per_day < 0.001 => String::new(),
        _ => format!(" ({} a day)", digits(per_day)),
    };
    format!("once in {} {unit}{rate}", digits(many))
}

/// Two digits, or all those before the point.
fn digits(number: f64) -> String {
    // Where two digits end: a thousandth is the smallest that is shown.
    let places = match number {
        _ if number >= 9.95 => 0,
        _ if number >= 0.995 => 1,
        _ if number >= 0.0995 => 2,
        _ if number >= 0.00995 => 3,
        _ => 4,
    };
    number::fixed(number, places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::prober::Pace;
    use crate::decide::rules::Rules;
    use crate::units::{Span, Threshold};

    fn forecast(pace: [&str; 3], timeout: &str, rules: [&str; 2]) -> Forecast {
        let [every, fast, down] = pace.map(|text| Span::try_from(text).unwrap());
        let [fail_after, ok_after] = rules.map(|text| Threshold::try_from(text).unwrap());
        let rules = Rules {
            start: State::Unknown,
            ok_after,
            fail_after,
            stale_after: None,
            manual_reset: false,
        };
        let timeout = Span::try_from(timeout).unwrap().duration();
        Forecast::new(rules, Pace { every, fast, down }, timeout)
    }

    const WHOLE: &str = "\
every 5s fast 1s down 10s, timeout 1s, start probe, fail-after 3, ok-after 3

                           best   typical     worst   worst case is
it dies
  and refuses                2s      4.5s        7s   5s + 2 x 1s
  and is silent              3s      5.5s        8s   5s + 2 x 1s + 1s
it recovers                  2s        7s       12s   10s + 2 x 1s

Best is an event right before a probe, worst is right after one. A silent target
costs its last probe the whole timeout. Round trips of answers come on top.
At the start the first answer decides; a silent target is known after 1s.

False alarms in the long run, if the target is always well and single probes are
lost at random, each of them for its whole timeout:
  0.1% lost   once in 158 years
    1% lost   once in 58 days (0.017 a day)
    5% lost   2.1 times a day

Detection within 8s is between Aggressive (1s x 2) and Balanced (5s x 3),
nearer to Aggressive (1s x 2): 2-3s, its risk of false alarms high.

Who asks us needs time of its own after that:           to down        to up
  HAProxy, inter 2s fall 3 rise 2                          4-6s         2-4s
  HAProxy agent-check, agent-inter 2s                      0-2s         0-2s
  keepalived vrrp_script, interval 1                       0-1s         0-1s
  keepalived HTTP_GET, delay_loop 6                        3-9s        6-12s
  keepalived HTTP_GET, delay_loop 60                      3-63s      60-120s
";

    #[test]
    fn says_all_of_it() {
        let forecast = forecast(["5s", "1s", "10s"], "1s", ["3", "3"]);
        assert_eq!(forecast.text(), WHOLE);
    }

    #[test]
    fn whatever_it_says_fits_on_a_console() {
        for (pace, timeout, rules) in [
            (["5s", "1s", "5s"], "3s", ["30s", "2 of 17"]),
            (["500ms", "500ms", "1s"], "3s", ["1", "1"]),
            (["1h", "10m", "1d"], "1m", ["64 of 64", "2h"]),
            (["1s", "1s", "1s"], "500ms", ["100", "1m"]),
        ] {
            let mut forecast = forecast(pace, timeout, rules);
            for start in [State::Ok, State::Fail, State::Unknown] {
                forecast.rules.start = start;
                for stale_after in [None, Some(Duration::from_millis(700))] {
                    forecast.rules.stale_after = stale_after;
                    for manual_reset in [false, true] {
                        forecast.rules.manual_reset = manual_reset;
                        let text = forecast.text();
                        let fits = |line: &str| line.len() <= 80 && !line.ends_with(' ');
                        // The first line repeats the settings.
                        assert!(text.lines().skip(1).all(fits), "{text}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_not_as_one_would_think_is_said() {
        let mut silent = forecast(["5s", "1s", "5s"], "3s", ["1", "2 of 17"]);
        silent.rules.stale_after = Some(Duration::from_secs(2));
        silent.rules.manual_reset = true;
        let text = silent.text();
        for words in [
            "outlasts fast 1s",
            "are 3s apart",
            "With fail-after 1 every",
            "stale-after 2s is shorter",
            "when a human resets it",
            "not computed for M of N with N over 16",
        ] {
            assert!(text.contains(words), "{words:?} is not in {text}");
        }
    }

    #[test]
    fn a_detection_is_placed_among_the_known_ways() {
        for (seconds, words) in [
            (1, "faster than\nAggressive"),
            (2, "Aggressive (1s x 2): 2-3s"),
            (
                9,
                "between Aggressive (1s x 2) and Balanced (5s x 3),\nnearer to Aggressive",
            ),
            (
                10,
                "between Aggressive (1s x 2) and Balanced (5s x 3),\nnearer to Balanced",
            ),
            (15, "Balanced (5s x 3): 15-20s"),
            (20, "Balanced (5s x 3): 15-20s"),
            (
                49,
                "between Balanced (5s x 3) and Conservative (10s x 5),\nnearer to Conservative",
            ),
            (60, "Conservative (10s x 5): 50-60s"),
            (61, "slower than\nConservative"),
        ] {
            let place = place(Duration::from_secs(seconds));
            assert!(place.starts_with(words), "{seconds}: {place}");
        }
    }

    #[test]
    fn rates_are_said_as_people_say_them() {
        for (per_day, words) in [
            (0.0, "less than once in a million years"),
            (1e-5, "once in 274 years"),
            (1.0 / 100.0, "once in 3.3 months (0.010 a day)"),
            (1.0 / 9.3, "once in 9.3 days (0.11 a day)"),
            (1.5, "1.5 times a day"),
            (86_400.0, "86400 times a day"),
        ] {
            assert_eq!(how_often(per_day), words);
        }
    }

    #[test]
    fn lengths_are_short() {
        for (millis, words) in [
            (0, "0s"),
            (250, "250ms"),
            (4_500, "4.5s"),
            (90_000, "90s"),
            (7_533, "7.533s"),
            (120_000, "2m"),
        ] {
            assert_eq!(short(Duration::from_millis(millis)), words);
        }
    }
}
