//! Counts and lengths of time, as people write them and as the rest of the program uses them.
//!
//! A caller writes `count(5)`, `second(0.5)`, a bare number where the meaning is plain, or text
//! such as `"10s"`; what is made of it, a [`Span`] or a [`Threshold`], has been checked once and
//! needs no check again. Nothing here reads a clock.
//!
//! ```text
//! DURATION  = NUMBER UNIT          500ms  10s  5m  2h  1d  0.5s
//! UNIT      = ms | s | m | h | d
//! THRESHOLD = COUNT | DURATION | COUNT "of" COUNT     3  1m  "3 of 5"
//! ```
#![forbid(unsafe_code)]

pub(crate) mod size;

use std::fmt;
use std::time::Duration;

use crate::error::Error;

/// A number of outcomes, made by [`count`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(u32);

/// A length of time as the caller wrote it, made by [`second`], [`minute`], [`hour`] or [`day`].
/// It is checked where it is used, so that a wrong one is an error there and never a panic here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantity {
    seconds: f64,
}

/// `n` consecutive outcomes; `count(3).of(5)` is three of the last five.
///
/// ```
/// use failover::{Threshold, count};
/// assert_eq!(Threshold::try_from(count(3))?.to_string(), "3");
/// assert_eq!(Threshold::try_from(count(3).of(5))?.to_string(), "3 of 5");
/// assert!(Threshold::try_from(count(0)).is_err());
/// # Ok::<(), failover::Error>(())
/// ```
pub fn count(n: u32) -> Count {
    Count(n)
}

/// `n` seconds; fractions are fine.
///
/// ```
/// use failover::{Span, second};
/// assert_eq!(Span::try_from(second(0.5))?.to_string(), "500ms");
/// # Ok::<(), failover::Error>(())
/// ```
pub fn second(n: impl Into<f64>) -> Quantity {
    Quantity { seconds: n.into() }
}

/// `n` minutes of 60 seconds.
pub fn minute(n: impl Into<f64>) -> Quantity {
    second(n.into() * 60.0)
}

/// `n` hours of 3,600 seconds.
pub fn hour(n: impl Into<f64>) -> Quantity {
    second(n.into() * 3_600.0)
}

/// `n` days of 86,400 seconds.
pub fn day(n: impl Into<f64>) -> Quantity {
    second(n.into() * 86_400.0)
}

impl Count {
    /// This many of the last `n` outcomes instead of this many in a row.
    pub fn of(self, n: u32) -> Window {
        Window {
            needed: self.0,
            of: n,
        }
    }
}

/// `M of N`, made by [`Count::of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    needed: u32,
    of: u32,
}

/// A length of time that is more than zero and at most [`Span::MAX`]: a timeout, an interval.
///
/// Made from [`second`] and its like, from a [`Duration`], from text (`"10s"`), and from a bare
/// number, which is taken as seconds.
///
/// ```
/// use failover::{Span, minute};
/// assert_eq!(Span::try_from(10)?, Span::try_from("10s")?);
/// assert_eq!(Span::try_from(minute(1.5))?.to_string(), "90s");
/// assert_eq!(
///     Span::try_from("10").unwrap_err().to_string(),
///     "\"10\" is not a duration; expected a number and a unit, such as 500ms 10s 5m 2h 1d"
/// );
/// # Ok::<(), failover::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

impl Span {
    /// Ten years: longer than anything that is waited for, short enough never to overflow a sum.
    pub const MAX: Duration = Duration::from_secs(3_650 * 86_400);

    /// A constant of the program's own, of at least one second.
    pub(crate) const fn seconds(n: u32) -> Span {
        assert!(n > 0);
        Span(Duration::from_secs(n as u64))
    }

    /// The length as std's type.
    pub fn duration(self) -> Duration {
        self.0
    }

    fn checked(duration: Duration, written: impl fmt::Display) -> Result<Span, Error> {
        if duration.is_zero() || duration > Span::MAX {
            let message =
                format!("{written} cannot be used; expected more than 0 and at most 3650d");
            return Err(Error::invalid(message));
        }
        Ok(Span(duration))
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Duration {
        span.0
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&print_duration(self.0))
    }
}

impl TryFrom<Duration> for Span {
    type Error = Error;

    fn try_from(duration: Duration) -> Result<Span, Error> {
        Span::checked(
            duration,
            format_args!("a duration of {}", print_duration(duration)),
        )
    }
}

impl TryFrom<Quantity> for Span {
    type Error = Error;

    fn try_from(quantity: Quantity) -> Result<Span, Error> {
        // Not a number and negative numbers have no Duration; zero stands in for them and is
        // refused with the number that was written.
        let duration = Duration::try_from_secs_f64(quantity.seconds).unwrap_or(Duration::ZERO);
        Span::checked(
            duration,
            format_args!("a duration of {} seconds", quantity.seconds),
        )
    }
}

impl TryFrom<i32> for Span {
    type Error = Error;

    fn try_from(seconds: i32) -> Result<Span, Error> {
        Span::try_from(second(seconds))
    }
}

impl TryFrom<f64> for Span {
    type Error = Error;

    fn try_from(seconds: f64) -> Result<Span, Error> {
        Span::try_from(second(seconds))
    }
}

impl TryFrom<&str> for Span {
    type Error = Error;

    fn try_from(text: &str) -> Result<Span, Error> {
        Span::checked(parse_duration(text)?, format_args!("a duration of {text}"))
    }
}

/// How much consistent disagreement it takes to change a state: a count in a row, a length of
/// time, or `M of N`.
///
/// Made from [`count`], `count(3).of(5)`, [`second`] and its like, a [`Duration`], text (`"3"`,
/// `"1m"`, `"3 of 5"`), and from a bare whole number, which is taken as a count. A count is at
/// least 1; a window has `1 <= M <= N <= 64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold(pub(crate) Rule);

/// What a [`Threshold`] asks for, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// That many in a row; at least 1.
    Count(u32),
    /// Disagreement for that long; more than zero.
    Duration(Duration),
    /// `1 <= needed <= of <= 64`.
    Window { needed: u32, of: u32 },
}

/// The window is kept as the bits of one `u64`.
const WINDOW_MAX: u32 = 64;

impl Threshold {
    /// The library's default: the first disagreeing outcome decides (seed 001).
    pub const ONE: Threshold = Threshold(Rule::Count(1));
}

impl TryFrom<Count> for Threshold {
    type Error = Error;

    fn try_from(count: Count) -> Result<Threshold, Error> {
        if count.0 == 0 {
            return Err(Error::invalid(
                "a count of 0 cannot be used; expected at least 1",
            ));
        }
        Ok(Threshold(Rule::Count(count.0)))
    }
}

impl TryFrom<Window> for Threshold {
    type Error = Error;

    fn try_from(Window { needed, of }: Window) -> Result<Threshold, Error> {
        if needed == 0 || needed > of || of > WINDOW_MAX {
            return Err(Error::invalid(format!(
                "\"{needed} of {of}\" cannot be used; \
                 expected M of N with 1 <= M <= N <= {WINDOW_MAX}"
            )));
        }
        Ok(Threshold(Rule::Window { needed, of }))
    }
}

impl From<Span> for Threshold {
    fn from(span: Span) -> Threshold {
        Threshold(Rule::Duration(span.duration()))
    }
}

impl TryFrom<Quantity> for Threshold {
    type Error = Error;

    fn try_from(quantity: Quantity) -> Result<Threshold, Error> {
        Ok(Span::try_from(quantity)?.into())
    }
}

impl TryFrom<Duration> for Threshold {
    type Error = Error;

    fn try_from(duration: Duration) -> Result<Threshold, Error> {
        Ok(Span::try_from(duration)?.into())
    }
}

impl TryFrom<i32> for Threshold {
    type Error = Error;

    fn try_from(n: i32) -> Result<Threshold, Error> {
        match u32::try_from(n) {
            Ok(n) => Threshold::try_from(count(n)),
            Err(_) => Err(Error::invalid(format!(
                "a count of {n} cannot be used; expected at least 1"
            ))),
        }
    }
}

impl TryFrom<&str> for Threshold {
    type Error = Error;

    fn try_from(text: &str) -> Result<Threshold, Error> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            [n] if is_number(n) => Threshold::try_from(count(parse_count(n)?)),
            [m, "of", n] => Threshold::try_from(count(parse_count(m)?).of(parse_count(n)?)),
            [duration] => match Span::try_from(duration) {
                Ok(span) => Ok(span.into()),
                // The span's own words, where the text was a duration but an unusable one.
                Err(error) if parse_duration(duration).is_ok() => Err(error),
                Err(_) => Err(not_a_threshold(text)),
            },
            _ => Err(not_a_threshold(text)),
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Rule::Count(n) => write!(f, "{n}"),
            Rule::Duration(duration) => f.write_str(&print_duration(duration)),
            Rule::Window { needed, of } => write!(f, "{needed} of {of}"),
        }
    }
}

fn not_a_threshold(text: &str) -> Error {
    Error::invalid(format!(
        "{text:?} is not a threshold; \
         expected a count (3), a duration (500ms 10s 5m 2h 1d) or M of N (3 of 5)"
    ))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn parse_count(text: &str) -> Result<u32, Error> {
    let expected = || {
        Error::invalid(format!(
            "{text:?} is not a count; expected a whole number from 1"
        ))
    };
    if !is_number(text) {
        return Err(expected());
    }
    text.parse().map_err(|_| expected())
}

const SECOND_NANOS: u64 = 1_000_000_000;

/// Units from the largest to the smallest, with their nanoseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", SECOND_NANOS),
    ("ms", 1_000_000),
];

/// Digits kept on each side of the point: enough for any usable value, too few to overflow.
const DIGITS_MAX: usize = 12;

/// Reads `500ms 10s 5m 2h 1d`, fractions included; finer than a nanosecond is cut off.
///
/// # Errors
/// Text of any other form, quoted.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, Error> {
    exact_duration(text).ok_or_else(|| {
        Error::invalid(format!(
            "{text:?} is not a duration; expected a number and a unit, such as 500ms 10s 5m 2h 1d"
        ))
    })
}

fn exact_duration(text: &str) -> Option<Duration> {
    let number_len = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(number_len);
    let (_, unit_nanos) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) if is_number(fraction) => (whole, fraction),
        Some(_) => return None,
        None => (number, ""),
    };
    if !is_number(whole) || whole.len() > DIGITS_MAX || fraction.len() > DIGITS_MAX {
        return None;
    }
    let parts = 10_u64.pow(fraction.len() as u32);
    let fraction: u64 = format!("0{fraction}").parse().ok()?;
    let scaled = u128::from(whole.parse::<u64>().ok()?) * u128::from(parts) + u128::from(fraction);
    let nanos = scaled * u128::from(*unit_nanos) / u128::from(parts);
    Some(Duration::new(
        u64::try_from(nanos / 1_000_000_000).ok()?,
        (nanos % 1_000_000_000) as u32,
    ))
}

/// Prints in the largest unit that divides evenly; what is finer than a millisecond is a fraction
/// of milliseconds. [`parse_duration`] reads it back to the same value.
pub(crate) fn print_duration(duration: Duration) -> String {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    if duration.is_zero() {
        return "0s".to_string();
    }
    for (unit, unit_nanos) in UNITS {
        let unit_seconds = unit_nanos / SECOND_NANOS;
        if nanos == 0 && unit_seconds > 0 && seconds % unit_seconds == 0 {
            return format!("{}{unit}", seconds / unit_seconds);
        }
    }
    let mut text = whole_millis(duration).to_string();
    if nanos % 1_000_000 > 0 {
        text += format!(".{:06}", nanos % 1_000_000).trim_end_matches('0');
    }
    text + "ms"
}

/// In milliseconds, cut off; the most there is for half a billion years and more.
pub(crate) fn whole_millis(duration: Duration) -> u64 {
    let millis = duration.as_secs().saturating_mul(1_000);
    millis.saturating_add(duration.subsec_millis().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_unit() {
        for (text, expected) in [
            ("500ms", Duration::from_millis(500)),
            ("10s", Duration::from_secs(10)),
            ("5m", Duration::from_secs(300)),
            ("2h", Duration::from_secs(7_200)),
            ("1d", Duration::from_secs(86_400)),
            ("0.5s", Duration::from_millis(500)),
            ("1.000000001s", Duration::from_nanos(1_000_000_001)),
        ] {
            assert_eq!(parse_duration(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_printed_reads_back_the_same() {
        for nanos in [
            1,
            999,
            1_000_000,
            1_500_000,
            90_000_000_000,
            86_400_000_000_000,
            123_456_789,
        ] {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(parse_duration(&print_duration(duration)).unwrap(), duration);
        }
        assert_eq!(print_duration(Duration::from_secs(90)), "90s");
        assert_eq!(print_duration(Duration::from_micros(1_500)), "1.5ms");
    }

    #[test]
    fn bad_durations_are_quoted() {
        for text in [
            "",
            "s",
            "10",
            "10 s",
            "-1s",
            "1.s",
            ".5s",
            "1.2.3s",
            "10S",
            "1w",
            "9999999999999s",
            "é",
        ] {
            let message = parse_duration(text).unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("{text:?} is not a duration")),
                "{message}"
            );
        }
    }

    #[test]
    fn spans_are_more_than_zero_and_bounded() {
        for bad in [
            second(0),
            second(-1.0),
            second(f64::NAN),
            second(f64::INFINITY),
            day(3651),
        ] {
            assert!(Span::try_from(bad).is_err(), "{bad:?}");
        }
        assert!(Span::try_from("0s").is_err());
        assert!(Span::try_from("3650d").is_ok());
        assert!(Span::try_from(Duration::ZERO).is_err());
        assert_eq!(
            Span::try_from(hour(2)).unwrap(),
            Span::try_from(minute(120)).unwrap()
        );
    }

    #[test]
    fn thresholds_are_counts_durations_or_windows() {
        for (text, printed) in [
            ("3", "3"),
            ("60s", "1m"),
            ("3 of 5", "3 of 5"),
            ("64 of 64", "64 of 64"),
        ] {
            assert_eq!(Threshold::try_from(text).unwrap().to_string(), printed);
        }
        assert_eq!(
            Threshold::try_from(3).unwrap(),
            Threshold::try_from(count(3)).unwrap()
        );
        assert_eq!(
            Threshold::try_from(second(3)).unwrap(),
            Threshold::try_from("3s").unwrap()
        );
    }

    #[test]
    fn bad_thresholds_say_what_was_expected() {
        for (text, message) in [
            ("0", "a count of 0 cannot be used; expected at least 1"),
            (
                "0s",
                "a duration of 0s cannot be used; expected more than 0 and at most 3650d",
            ),
            (
                "6 of 5",
                "\"6 of 5\" cannot be used; expected M of N with 1 <= M <= N <= 64",
            ),
            (
                "1 of 65",
                "\"1 of 65\" cannot be used; expected M of N with 1 <= M <= N <= 64",
            ),
            (
                "0 of 5",
                "\"0 of 5\" cannot be used; expected M of N with 1 <= M <= N <= 64",
            ),
            (
                "99999999999",
                "\"99999999999\" is not a count; expected a whole number from 1",
            ),
        ] {
            assert_eq!(Threshold::try_from(text).unwrap_err().to_string(), message);
        }
        for text in ["", "x", "3 off 5", "3 of", "-1", "1 of 2 of 3"] {
            let message = Threshold::try_from(text).unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("{text:?} is not a threshold")),
                "{message}"
            );
        }
        assert!(Threshold::try_from(-3).is_err());
    }
}
