//! A forecast in words, for whoever wants to know at night what the settings mean.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::time::Duration;

use super::{Change, Forecast, Times};
use crate::check::prober::{Pace, stride};
use crate::decide::rules::Rules;
use crate::health::State;
use crate::number;
use crate::units::{Rule, print_duration, whole_millis};

/// A known way to set such a check, and how long it takes to detect a failure
/// (seed 002); [`LEGEND`] says so, too.
struct Way {
    name: &'static str,
    millis: (u64, u64),
}

const WAYS: [Way; 3] = [
    Way {
        name: "Aggressive",
        millis: (2_000, 3_000),
    },
    Way {
        name: "Balanced",
        millis: (15_000, 20_000),
    },
    Way {
        name: "Conservative",
        millis: (50_000, 60_000),
    },
];

/// Losses of single probes for which the odds are printed.
const LOSSES: [(&str, f64); 3] = [
    ("  0.1%   ", 0.001),
    ("    1%   ", 0.01),
    ("    5%   ", 0.05),
];

/// Told of windows over [`odds::WINDOW_MAX`](super::odds).
const NOT_COMPUTED: &str = "  not computed for M of N with N over 16\n";

/// Who usually asks us, and how many seconds it takes them at worst to act on what we answer: down
/// and up, from the change of our state. They are in [`LEGEND`], with others.
const ASKERS: [(&str, [u64; 2]); 2] = [
    ("With HAProxy's usual check", [6, 4]),
    ("With keepalived's vrrp_script", [1, 1]),
];

/// What is true of every forecast, and what they are compared with.
///
/// Who asks us acts on what we answer, after the change of our state, at best and at worst:
///
/// - HAProxy (configuration.txt 5.2): `inter` 2 s, which `fastinter` is, too; `fall` 3, `rise` 2.
///   An agent is believed at once.
/// - keepalived (keepalived.conf(5)): a `vrrp_script` runs every second, `fall` 1, `rise` 1. An
///   `HTTP_GET` asks every `delay_loop`, 60 s by default, once more 3 s after a failure, and after
///   one for its failed URL all of them once more, another `delay_loop` later.
pub(crate) const LEGEND: &str = "\
Best is an event right before a probe, worst is right after one. A target that
is silent (a dead host, a dropping firewall) costs its last probe the whole
timeout. Round trips of answers come on top. False alarms are those of a target
that is always well, in the long run, if single probes are lost at random.

Known ways to detect a failure            within   risk of false alarms
  Aggressive    (1s x 2)                    2-3s   high
  Balanced      (5s x 3)                  15-20s   medium
  Conservative  (10s x 5)                 50-60s   low

Who asks us takes time of its own:       to down      to up
  HAProxy, inter 2s fall 3 rise 2           4-6s       2-4s
  HAProxy, inter 1s fall 1 rise 1           0-1s       0-1s
  HAProxy agent-check, agent-inter 2s       0-2s       0-2s
  keepalived vrrp_script, interval 1        0-1s       0-1s
  keepalived HTTP_GET, delay_loop 6         3-9s      6-12s
  keepalived HTTP_GET, delay_loop 60       3-63s    60-120s
";

/// Why what judges traffic has no odds.
pub(crate) const TRAFFIC: &str = "It judges all traffic of its window, the worse the sooner; too \
                                  little of it\nis unknown, no failure";

impl Forecast {
    /// All of it as lines, each with its end, 80 columns wide unless settings or times are long.
    pub fn text(&self) -> String {
        let sure = match () {
            () if !self.window.is_zero() => TRAFFIC,
            // What looks at this machine waits for nobody.
            () if self.timeout.is_zero() => "Nobody is waited for",
            () => "",
        };
        let mut text = String::new();
        settings(&mut text, self.pace, self.timeout, self.rules);
        self.tell(&mut text, "", sure);
        text + "\n" + LEGEND
    }

    /// The same without its settings and what is true of all, with notes of its component; there
    /// are no odds where it is said why not.
    pub(crate) fn tell(&self, text: &mut String, notes: &str, sure: &str) {
        *text += "                             best   typical     worst   worst case is\n";
        self.write_times(text);
        self.write_startup(text);
        self.write_notes(text);
        *text += notes;
        *text += "\n";
        if sure.is_empty() {
            self.write_odds(text);
        } else {
            *text += sure;
            *text += ": there are no odds of false alarms.\n";
        }
        compare(text, self.worst());
    }

    /// What a change takes at worst: to fail, and to be ok again; the longest time there is where
    /// it does not come by itself.
    pub(crate) fn worst(&self) -> [Duration; 2] {
        [self.failure().silent, self.recovery().silent].map(worst)
    }

    fn write_times(&self, text: &mut String) {
        let Change { refused, silent } = self.failure();
        if worst(refused) == worst(silent) {
            row(text, "it fails", refused);
        } else {
            row(text, "it fails and says so", refused);
            row(text, "it fails in silence", silent);
        }
        let Change { refused, silent } = self.recovery();
        if self.rules.manual_reset {
            *text += "it recovers                 when a human resets it\n";
            return;
        }
        row(text, "it recovers", refused);
        if worst(refused) != worst(silent) {
            row(text, "it recovers from silence", silent);
        }
    }

    fn write_startup(&self, text: &mut String) {
        let Change { refused, silent } = self.startup();
        let words = match self.rules.start {
            State::Unknown => "the first outcome decides",
            State::Ok => "it is OK; a dead target is FAIL after #",
            State::Fail if self.rules.manual_reset => "it is FAIL until a human resets it",
            State::Fail => "it is FAIL; one that is well is OK after #",
        };
        let (refused, silent) = (worst(refused), worst(silent));
        *text += "\nAt the start ";
        fill(text, words, &[refused]);
        if refused != silent && self.rules.start != State::Fail {
            fill(text, " (in silence after #)", &[silent]);
        }
        *text += ".\n";
    }

    /// Whatever is not as one would think.
    fn write_notes(&self, text: &mut String) {
        let (fast, rules) = (self.pace.fast.duration(), &self.rules);
        let (between, missed) = stride(fast, self.timeout);
        if missed > 0 {
            let words = "A silent target's probe takes # and outlasts fast #: the starts that\n\
                         it misses are skipped, and such probes are # apart.\n";
            fill(text, words, &[self.timeout, fast, between]);
        }
        if let Rule::Duration(lasting) = rules.fail_after.0 {
            let words = "fail-after # is from the end of the first failed probe to the end of the \
                         last;\nit takes two at least.\n";
            fill(text, words, &[lasting]);
        }
        if let Some(limit) = rules.stale_after.filter(|_| self.goes_stale()) {
            let words = "Warning: stale-after # is shorter than a pace and a timeout: in between \
                         the\nstate is unknown (500 ERROR), and what was counted is lost.\n";
            fill(text, words, &[limit]);
        }
        if rules.fail_after.0 == Rule::Count(1) {
            *text += "With fail-after 1 a single failed probe is a failure.\n";
        }
    }

    fn write_odds(&self, text: &mut String) {
        *text += "False alarms, where so many probes are lost:\n";
        for (words, loss) in LOSSES {
            let Some(per_day) = self.false_alarms_per_day(loss) else {
                *text += match self.goes_stale() {
                    true => "  not computed: outcomes go stale between probes\n",
                    false => NOT_COMPUTED,
                };
                return;
            };
            *text += words;
            *text += &how_often(per_day);
            *text += "\n";
        }
    }
}

/// What is set, in the words of the configuration, and an empty line.
pub(crate) fn settings(text: &mut String, pace: Pace, timeout: Duration, rules: Rules) {
    let Pace { every, fast, down } = pace;
    // A String takes any text.
    let _ = write!(text, "every {every} fast {fast} down {down}, ");
    judging(text, timeout, rules);
}

/// The end of that.
pub(crate) fn judging(text: &mut String, timeout: Duration, rules: Rules) {
    if !timeout.is_zero() {
        fill(text, "timeout #, ", &[timeout]);
    }
    let _ = write!(text, "{rules}\n\n");
}

/// A worst detection among the known ways, and what those who usually ask us make of it and of the
/// recovery.
pub(crate) fn compare(text: &mut String, [down, up]: [Duration; 2]) {
    if down == Duration::MAX {
        return;
    }
    fill(text, "Detection within #: ", &[down]);
    place(text, down);
    for (who, [to_down, to_up]) in ASKERS {
        let later = |own: Duration, seconds| own.saturating_add(Duration::from_secs(seconds));
        *text += who;
        fill(text, ": down within #", &[later(down, to_down)]);
        if up < Duration::MAX {
            fill(text, ", up within #", &[later(up, to_up)]);
        }
        *text += ".\n";
    }
}

fn worst(times: Option<Times>) -> Duration {
    times.map_or(Duration::MAX, |times| times.worst())
}

fn row(text: &mut String, what: &str, times: Option<Times>) {
    *text += what;
    let Some(times) = times else {
        *text += ": never, since outcomes go stale before they count\n";
        return;
    };
    let mut width = 32 - what.len();
    for time in [times.best(), times.typical(), times.worst()] {
        cell(text, time, width);
        width = 9;
    }
    *text += "   ";
    if !times.before.is_zero() {
        fill(text, "# + ", &[times.before]);
    }
    fill(text, "#", &[times.first]);
    if times.outcomes > 1 {
        *text += " + ";
        *text += &(times.outcomes - 1).to_string();
        fill(text, " x #", &[times.between]);
    }
    if !times.last.is_zero() {
        fill(text, " + #", &[times.last]);
    }
    *text += "\n";
}

/// A blank and a time, at the right of so many columns more; the longest there is never comes.
pub(crate) fn cell(text: &mut String, time: Duration, width: usize) {
    let words = match time {
        Duration::MAX => String::from("not by itself"),
        _ => short(time),
    };
    for _ in words.len()..width + 1 {
        text.push(' ');
    }
    *text += &words;
}

/// Adds words, of ASCII, in which each `#` is the next of these times.
pub(crate) fn fill(text: &mut String, words: &str, times: &[Duration]) {
    let mut times = times.iter();
    for letter in words.bytes() {
        if letter != b'#' {
            text.push(char::from(letter));
        } else if let Some(time) = times.next() {
            *text += &short(*time);
        }
    }
}

/// Less than two minutes in seconds, with a fraction where there is one; what is longer in all its
/// units.
fn short(duration: Duration) -> String {
    const MINUTE: Duration = Duration::from_secs(60);
    let (mut text, mut rest) = (String::new(), duration);
    for unit in [86_400, 3_600, 60] {
        let part = Duration::from_secs(rest.as_secs() / unit * unit);
        if duration >= MINUTE * 2 && !part.is_zero() {
            text += &print_duration(part);
            text.push(' ');
            rest -= part;
        }
    }
    if rest.as_secs() > 0 && rest.subsec_nanos() > 0 {
        let seconds = number::fixed(rest.as_secs_f64(), 3);
        text += seconds.trim_end_matches('0').trim_end_matches('.');
        text.push('s');
    } else if text.is_empty() || !rest.is_zero() {
        text += &print_duration(rest);
    } else {
        text.pop();
    }
    text
}

/// Where among the known ways a worst detection is.
fn place(text: &mut String, worst: Duration) {
    let worst = whole_millis(worst);
    let below = WAYS.iter().rfind(|way| way.millis.0 <= worst);
    let above = WAYS.iter().find(|way| worst <= way.millis.1);
    let mut add = |before: &str, way: &Way| {
        *text += before;
        *text += way.name;
    };
    match (below, above) {
        (Some(below), Some(above)) if below.name == above.name => add("", below),
        (Some(below), Some(above)) => {
            let is_nearer_below = worst - below.millis.1 <= above.millis.0 - worst;
            add("between ", below);
            add(" and ", above);
            add(", nearer to ", if is_nearer_below { below } else { above });
        }
        (None, Some(above)) => add("faster than ", above),
        (Some(below), None) => add("slower than ", below),
        // Every length is above the begin of one or below the end of another.
        (None, None) => {}
    }
    *text += ".\n";
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
    use crate::decide::forecast::odds::WINDOW_MAX;
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
it fails and says so           2s      4.5s        7s   5s + 2 x 1s
it fails in silence            3s      5.5s        8s   5s + 2 x 1s + 1s
it recovers                    2s        7s       12s   10s + 2 x 1s

At the start the first outcome decides (in silence after 1s).

False alarms, where so many probes are lost:
  0.1%   once in 158 years
    1%   once in 58 days (0.017 a day)
    5%   2.1 times a day
Detection within 8s: between Aggressive and Balanced, nearer to Aggressive.
With HAProxy's usual check: down within 14s, up within 16s.
With keepalived's vrrp_script: down within 9s, up within 13s.

";

    #[test]
    fn says_all_of_it() {
        let forecast = forecast(["5s", "1s", "10s"], "1s", ["3", "3"]);
        assert_eq!(forecast.text(), [WHOLE, LEGEND].concat());
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
                        let fits = |line: &str| line.len() <= 90 && !line.ends_with(' ');
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
            "A silent target's probe takes 3s and outlasts fast 1s",
            "such probes are 3s apart",
            "With fail-after 1 a single failed probe is a failure.",
            "stale-after 2s is shorter",
            "it recovers                 when a human resets it\n",
            "not computed: outcomes go stale between probes",
        ] {
            assert!(text.contains(words), "{words:?} is not in {text}");
        }
        silent.rules.stale_after = None;
        silent.rules.manual_reset = false;
        let text = silent.text();
        assert_eq!(text.matches("not computed").count(), 1, "{text}");
        assert!(text.contains(&format!("N over {WINDOW_MAX}\n")), "{text}");
        let mut never = forecast(["5s", "1s", "5s"], "10s", ["2", "2"]);
        never.rules.stale_after = Some(Duration::from_secs(6));
        let text = never.text();
        let row = "it fails in silence: never, since outcomes go stale before they count\n";
        assert!(text.contains(row), "{text}");
        assert!(!text.contains("Detection within"), "{text}");
    }

    #[test]
    fn without_anybody_to_wait_for_there_are_no_odds() {
        let mut here = forecast(["5s", "1s", "5s"], "1s", ["3", "3"]);
        here.timeout = Duration::ZERO;
        for (forecast, why) in [
            (here, "Nobody is waited for"),
            (
                here.window(Duration::from_secs(30)),
                "It judges all traffic",
            ),
        ] {
            let text = forecast.text();
            assert!(text.contains(why), "{text}");
            assert!(
                text.contains(": there are no odds of false alarms.\n"),
                "{text}"
            );
            assert!(
                !text.contains("0.1%") && !text.contains("in silence"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_detection_is_placed_among_the_known_ways() {
        let both = "between Aggressive and Balanced, nearer to";
        for (millis, words) in [
            (1_000, "faster than Aggressive"),
            (2_000, "Aggressive"),
            (9_000, &format!("{both} Aggressive")),
            (10_000, &format!("{both} Balanced")),
            (15_000, "Balanced"),
            (20_000, "Balanced"),
            (
                20_001,
                "between Balanced and Conservative, nearer to Balanced",
            ),
            (
                49_000,
                "between Balanced and Conservative, nearer to Conservative",
            ),
            (60_000, "Conservative"),
            (61_000, "slower than Conservative"),
        ] {
            let mut text = String::new();
            place(&mut text, Duration::from_millis(millis));
            assert_eq!(text, format!("{words}.\n"), "{millis}");
        }
    }

    #[test]
    fn the_legend_says_what_is_computed_with() {
        for way in WAYS {
            let (from, to) = (way.millis.0 / 1_000, way.millis.1 / 1_000);
            let line = LEGEND.lines().find(|line| line.contains(way.name)).unwrap();
            assert!(line.contains(&format!(" {from}-{to}s ")), "{line}");
        }
        for ((_, [down, up]), usual) in ASKERS.iter().zip(["inter 2s fall 3", "vrrp_script"]) {
            let line = LEGEND.lines().find(|line| line.contains(usual)).unwrap();
            assert!(line.contains(&format!("-{down}s ")), "{line}");
            assert!(line.ends_with(&format!("-{up}s")), "{line}");
        }
        assert!(LEGEND.lines().all(|line| line.len() <= 80));
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
            (60_000, "1m"),
            (60_500, "60.5s"),
            (90_000, "90s"),
            (7_533, "7.533s"),
            (119_999, "119.999s"),
            (120_000, "2m"),
            (150_250, "2m 30.25s"),
            (90_001_000, "1d 1h 1s"),
            (3_600_500, "1h 500ms"),
        ] {
            assert_eq!(short(Duration::from_millis(millis)), words);
        }
    }
}
