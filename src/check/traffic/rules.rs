//! How much trouble in the real traffic is too much.
//!
//! The rules are the same for every source. They judge counts that somebody else has taken; where
//! the counts come from is not known here.
#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

use crate::error::Error;
use crate::health::{Health, Outcome, Reason};
use crate::text::joined;
use crate::units::{Span, print_duration, whole_millis};

/// Six samples of a component that is checked every 5 s.
pub(crate) const WINDOW: Duration = Duration::from_secs(30);

/// With the default limit of 5 %, the fewest requests of which one alone is not too much.
pub(crate) const MIN_REQUESTS: u32 = 20;

/// The limit of both rates where no limit is set at all.
pub(crate) const RATE: Percent = Percent(50_000);

/// A share from 0 % to 100 %, to a ten-thousandth of a percent.
///
/// ```
/// use failover::Percent;
/// assert_eq!(Percent::try_from("0.5%")?.to_string(), "0.5%");
/// assert_eq!(Percent::try_from(5)?, Percent::try_from("5%")?);
/// assert_eq!(
///     Percent::try_from("5").unwrap_err().to_string(),
///     "\"5\" is not a percentage; expected 0% to 100%, such as 5% or 0.5%"
/// );
/// # Ok::<(), failover::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent(u32);

/// [`Percent`] counts in millionths of the whole.
const WHOLE: u32 = 1_000_000;

impl Percent {
    /// Whether so many of so many are more than this.
    fn is_exceeded_by(self, part: u64, whole: u64) -> bool {
        u128::from(part) * u128::from(WHOLE) > u128::from(whole) * u128::from(self.0)
    }
}

impl TryFrom<&str> for Percent {
    type Error = Error;

    fn try_from(text: &str) -> Result<Percent, Error> {
        millionths(text)
            .filter(|millionths| *millionths <= WHOLE)
            .map(Percent)
            .ok_or_else(|| {
                Error::invalid(format!(
                    "{text:?} is not a percentage; expected 0% to 100%, such as 5% or 0.5%"
                ))
            })
    }
}

/// `5%`, `0.5%`: digits, and up to four behind a point.
fn millionths(text: &str) -> Option<u32> {
    let number = text.strip_suffix('%')?;
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (number, ""),
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 3 || fraction.len() > 4 {
        return None;
    }
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    format!("{whole}{fraction:0<4}").parse().ok()
}

impl TryFrom<i32> for Percent {
    type Error = Error;

    fn try_from(percent: i32) -> Result<Percent, Error> {
        Percent::try_from(format!("{percent}%").as_str())
    }
}

impl TryFrom<f64> for Percent {
    type Error = Error;

    fn try_from(percent: f64) -> Result<Percent, Error> {
        Percent::try_from(format!("{percent}%").as_str())
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / 10_000, self.0 % 10_000);
        if fraction == 0 {
            return write!(f, "{whole}%");
        }
        let fraction = format!("{fraction:04}");
        write!(f, "{whole}.{}%", fraction.trim_end_matches('0'))
    }
}

/// When real traffic is too bad: the limits of [`HaproxyTrafficCheck`](crate::HaproxyTrafficCheck)
/// and [`AccessLogCheck`](crate::AccessLogCheck).
///
/// Only the limits that are set are held; if none is, both rates may be 5 % at most. What is
/// exactly at its limit is not too much.
///
/// ```
/// use failover::TrafficRules;
/// let rules = TrafficRules::new().window("1m")?.errors("0.5%")?.latency("500ms")?;
/// # Ok::<(), failover::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TrafficRules {
    pub(crate) window: Duration,
    pub(crate) server_errors: Option<Percent>,
    pub(crate) errors: Option<Percent>,
    pub(crate) latency: Option<Duration>,
    pub(crate) min_requests: u32,
}

impl Default for TrafficRules {
    fn default() -> TrafficRules {
        TrafficRules::new()
    }
}

impl TrafficRules {
    /// A window of 30 s, at least 20 requests, and no limit set.
    pub fn new() -> TrafficRules {
        TrafficRules {
            window: WINDOW,
            server_errors: None,
            errors: None,
            latency: None,
            min_requests: MIN_REQUESTS,
        }
    }

    /// How far back requests count (a bare number is seconds). Default: 30 s. A check that runs
    /// less often than this judges what came since its last run. A longer window is calmer and
    /// later, both to fail and to recover.
    ///
    /// # Errors
    /// A length of time that cannot be.
    pub fn window<T>(mut self, span: T) -> Result<TrafficRules, Error>
    where
        T: TryInto<Span>,
        Error: From<T::Error>,
    {
        self.window = span.try_into()?.duration();
        Ok(self)
    }

    /// The most requests that may be answered with a 5xx (`"5%"`; a bare number is percent).
    ///
    /// # Errors
    /// A share that cannot be.
    pub fn server_errors<P>(mut self, limit: P) -> Result<TrafficRules, Error>
    where
        P: TryInto<Percent>,
        Error: From<P::Error>,
    {
        self.server_errors = Some(limit.try_into()?);
        Ok(self)
    }

    /// The most requests for which the server may not be reached, or not answer to the end.
    ///
    /// # Errors
    /// A share that cannot be.
    pub fn errors<P>(mut self, limit: P) -> Result<TrafficRules, Error>
    where
        P: TryInto<Percent>,
        Error: From<P::Error>,
    {
        self.errors = Some(limit.try_into()?);
        Ok(self)
    }

    /// The longest that a request may take on the average.
    ///
    /// # Errors
    /// A length of time that cannot be.
    pub fn latency<T>(mut self, limit: T) -> Result<TrafficRules, Error>
    where
        T: TryInto<Span>,
        Error: From<T::Error>,
    {
        self.latency = Some(limit.try_into()?.duration());
        Ok(self)
    }

    /// With fewer requests than this in the window nothing is said of them. Default: 20.
    ///
    /// # Errors
    /// 0, since of no requests nothing can be said.
    pub fn min_requests(mut self, count: u32) -> Result<TrafficRules, Error> {
        if count == 0 {
            return Err(Error::invalid(
                "a minimum of 0 requests cannot be used; expected at least 1",
            ));
        }
        self.min_requests = count;
        Ok(self)
    }

    pub(super) fn span(&self) -> Duration {
        self.window
    }

    /// Whether a limit of 5xx answers was asked for, and is not only the default.
    pub(super) fn asks_for_server_errors(&self) -> bool {
        self.server_errors.is_some()
    }

    /// The limits of both rates, with the default where nothing at all is set.
    fn rates(&self) -> (Option<Percent>, Option<Percent>) {
        match (self.server_errors, self.errors, self.latency) {
            (None, None, None) => (Some(RATE), Some(RATE)),
            (server_errors, errors, _) => (server_errors, errors),
        }
    }

    pub(super) fn is_too_little(&self, requests: u64) -> bool {
        requests < u64::from(self.min_requests)
    }

    /// Judges the traffic of a window.
    pub(super) fn judge(&self, traffic: &Traffic) -> Outcome {
        let (requests, time) = (traffic.requests, rounded(traffic.time));
        if self.is_too_little(requests) {
            let least = self.min_requests;
            let detail = format!("{requests} requests in {time}, expected at least {least}");
            return Outcome::new(Health::Unknown, Reason::TrafficTooLittle).with_detail(detail);
        }
        let (server_errors, errors) = self.rates();
        let rates = [
            (
                Reason::TrafficServerErrors,
                "5xx",
                server_errors,
                traffic.server_errors,
            ),
            (
                Reason::TrafficErrors,
                "errors",
                errors,
                Some(traffic.errors),
            ),
        ];
        let mut seen = vec![format!("{requests} requests in {time}")];
        let mut problems = Problems::default();
        for (reason, what, limit, count) in rates {
            let (Some(limit), Some(count)) = (limit, count) else {
                continue;
            };
            let rate = share(count, requests);
            if limit.is_exceeded_by(count, requests) {
                let of = format!("{what} {count} of {requests} requests in {time}");
                problems.add(reason, format!("{of} ({rate}), expected at most {limit}"));
            }
            seen.push(format!("{what} {rate}"));
        }
        if let (Some(limit), Some(latency)) = (self.latency, traffic.latency) {
            let (latency_ms, limit_text) = (whole_millis(latency), print_duration(limit));
            if latency > limit {
                let text = format!("latency {latency_ms}ms, expected at most {limit_text}");
                problems.add(Reason::TrafficSlow, text);
            }
            seen.push(format!("latency {latency_ms}ms"));
        }
        if let Some(outcome) = problems.outcome() {
            return outcome;
        }
        if self.latency.is_some() && traffic.latency.is_none() {
            return malformed(NO_TIMES);
        }
        Outcome::new(Health::Ok, Reason::TrafficNormal).with_detail(joined(seen, ", "))
    }
}

/// Told when a latency is to be held and no line has one.
const NO_TIMES: &str = "no request says how long it took; expected HAProxy's option httplog, or \
                        rt=$request_time at the end of nginx's log_format";

/// Unknown, since the source cannot be understood.
pub(super) fn malformed(detail: impl Into<String>) -> Outcome {
    Outcome::new(Health::Unknown, Reason::TrafficSourceMalformed).with_detail(detail)
}

/// What came in a window.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    pub(super) requests: u64,
    /// `None` where the protocol has none.
    pub(super) server_errors: Option<u64>,
    pub(super) errors: u64,
    /// On the average, where it is known.
    pub(super) latency: Option<Duration>,
    pub(super) time: Duration,
}

/// What exceeds its limit: the first gives the reason, all are told.
#[derive(Default)]
struct Problems(Vec<(Reason, String)>);

impl Problems {
    fn add(&mut self, reason: Reason, text: String) {
        self.0.push((reason, text));
    }

    fn outcome(self) -> Option<Outcome> {
        let (reason, _) = self.0.first()?;
        let outcome = Outcome::new(Health::Fail, *reason);
        let texts = self.0.iter().map(|(_, text)| text);
        Some(outcome.with_detail(joined(texts, "; ")))
    }
}

/// `6.0%`, rounded.
fn share(part: u64, whole: u64) -> String {
    let whole = whole.max(1);
    let tenths = part.saturating_mul(1_000).saturating_add(whole / 2) / whole;
    format!("{}.{}%", tenths / 10, tenths % 10)
}

/// A length of time as people take it in: whole seconds, or milliseconds below one.
fn rounded(time: Duration) -> String {
    let seconds = (time + Duration::from_millis(500)).as_secs();
    if time < Duration::from_secs(1) {
        return format!("{}ms", whole_millis(time));
    }
    print_duration(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(requests: u64, server_errors: u64, errors: u64, latency_ms: u64) -> Traffic {
        Traffic {
            requests,
            server_errors: Some(server_errors),
            errors,
            latency: Some(Duration::from_millis(latency_ms)),
            time: Duration::from_millis(29_997),
        }
    }

    #[test]
    fn percentages_are_read_and_printed() {
        for (text, millionths, printed) in [
            ("5%", 50_000, "5%"),
            ("0.5%", 5_000, "0.5%"),
            ("0%", 0, "0%"),
            ("100%", 1_000_000, "100%"),
            ("99.9999%", 999_999, "99.9999%"),
            ("0.0100%", 100, "0.01%"),
        ] {
            let percent = Percent::try_from(text).unwrap();
            assert_eq!(
                (percent.0, percent.to_string().as_str()),
                (millionths, printed)
            );
        }
        assert_eq!(Percent::try_from(0.5).unwrap(), Percent(5_000));
        for bad in [
            "", "%", "5", "5 %", "-1%", "101%", "100.1%", ".5%", "5.%", "1.2.3%", "0.00001%",
            "1e2%", "+5%", "٣%",
        ] {
            assert!(Percent::try_from(bad).is_err(), "{bad:?}");
        }
        for bad in [f64::NAN, f64::INFINITY, -0.5] {
            assert!(Percent::try_from(bad).is_err(), "{bad:?}");
        }
        assert!(Percent::try_from(-1).is_err());
        assert!(TrafficRules::new().min_requests(0).is_err());
        assert!(TrafficRules::new().window(0).is_err());
    }

    #[test]
    fn without_limits_both_rates_have_one() {
        let rules = TrafficRules::new();
        for (traffic, shown) in [
            (
                traffic(200, 12, 0, 9),
                "traffic 5xx rate: 5xx 12 of 200 requests in 30s (6.0%), expected at most 5%",
            ),
            (
                traffic(200, 10, 11, 9),
                "traffic error rate: errors 11 of 200 requests in 30s (5.5%), expected at most 5%",
            ),
            (
                traffic(200, 10, 10, 99_999),
                "traffic normal: 200 requests in 30s, 5xx 5.0%, errors 5.0%",
            ),
            (
                traffic(19, 19, 19, 9),
                "traffic too little: 19 requests in 30s, expected at least 20",
            ),
        ] {
            assert_eq!(rules.judge(&traffic).to_string(), shown);
        }
    }

    #[test]
    fn only_the_limits_that_are_set_are_held_and_all_that_are_exceeded_are_told() {
        let rules = TrafficRules::new().latency("500ms").unwrap();
        assert_eq!(
            rules.judge(&traffic(20, 20, 20, 500)).to_string(),
            "traffic normal: 20 requests in 30s, latency 500ms"
        );
        let rules = rules.errors(0).unwrap();
        assert_eq!(
            rules.judge(&traffic(20, 20, 1, 501)).to_string(),
            "traffic error rate: errors 1 of 20 requests in 30s (5.0%), expected at most 0%; \
             latency 501ms, expected at most 500ms"
        );
        let unknown_latency = Traffic {
            latency: None,
            ..traffic(20, 0, 0, 0)
        };
        let outcome = rules.judge(&unknown_latency);
        assert_eq!(outcome.health, Health::Unknown);
        assert_eq!(outcome.reason, Reason::TrafficSourceMalformed);
        // A limit that is exceeded needs no other number.
        let errors = Traffic {
            errors: 1,
            ..unknown_latency
        };
        assert_eq!(rules.judge(&errors).health, Health::Fail);
        let all = traffic(u64::MAX, u64::MAX, u64::MAX, u64::MAX);
        assert_eq!(rules.judge(&all).health, Health::Fail);
    }
}
