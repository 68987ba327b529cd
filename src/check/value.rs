//! A number in a text, judged against a limit.
//!
//! The text is JSON (RFC 8259) when it begins like an object or an array, and else lines in the
//! format that Prometheus reads (its manual's page "Exposition formats"). Where the text comes
//! from is the business of the check that has it.
#![forbid(unsafe_code)]

use crate::error::Error;
use crate::health::{Health, Outcome, Reason};
use crate::number;
use crate::wire::json::{self, Value};

/// Longer than any name or path that people write.
const KEY_LEN_MAX: usize = 256;

/// On which side of its limit a number has to be, strictly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Less than the limit.
    Below,
    /// More than the limit.
    Above,
}

impl Side {
    fn word(self) -> &'static str {
        match self {
            Side::Below => "below",
            Side::Above => "above",
        }
    }
}

impl TryFrom<&str> for Side {
    type Error = Error;

    fn try_from(text: &str) -> Result<Side, Error> {
        match text {
            "below" => Ok(Side::Below),
            "above" => Ok(Side::Above),
            _ => Err(Error::invalid(format!(
                "{text:?} is no side of a limit; expected below or above"
            ))),
        }
    }
}

/// Finds a number by its key, and holds it to a limit.
///
/// In JSON the key is a path (`checks.queue:depth.0.observedValue`). Otherwise it is the name of a
/// sample, alone or with labels (`jobs_waiting{queue="mail"}`): the first sample of that name that
/// has those labels, perhaps among others. What is not a number is missing.
#[derive(Clone, Debug)]
pub(crate) struct ValueRule {
    key: String,
    side: Side,
    limit: f64,
}

impl ValueRule {
    /// # Errors
    /// A key that can be neither a path nor a sample, a limit that is not a number.
    pub(crate) fn new(key: &str, side: Side, limit: f64) -> Result<ValueRule, Error> {
        let is_path = !key.split('.').any(str::is_empty) && !key.contains(char::is_control);
        let is_good = selector(key).is_some() || (is_path && !key.contains('{'));
        if !is_good || key.len() > KEY_LEN_MAX {
            return Err(Error::invalid(format!(
                "{key:?} is not a key; expected a path in JSON such as queue.depth, \
                 or a sample such as jobs_waiting{{queue=\"mail\"}}"
            )));
        }
        if !limit.is_finite() {
            return Err(Error::invalid(format!(
                "{} cannot be a limit; expected a finite number",
                number::print(limit)
            )));
        }
        Ok(ValueRule {
            key: key.to_string(),
            side,
            limit,
        })
    }

    /// Judges the number in that text. A number that is missing is a failure: the text is not what
    /// it was expected to be.
    pub(crate) fn judge(&self, text: &[u8]) -> Outcome {
        let text = text.trim_ascii_start();
        let number = if begins_json(text) {
            in_json(text, &self.key)
        } else {
            in_samples(text, &self.key)
        };
        let key = &self.key;
        let Some(number) = number.filter(|number| !number.is_nan()) else {
            let detail = format!("no number {key}");
            return Outcome::new(Health::Fail, Reason::ValueMissing).with_detail(detail);
        };
        let is_within = match self.side {
            Side::Below => number < self.limit,
            Side::Above => number > self.limit,
        };
        let found = format!("{key} is {}", number::print(number));
        if is_within {
            return Outcome::new(Health::Ok, Reason::ValueWithin).with_detail(found);
        }
        let detail = format!(
            "{found}, expected {} {}",
            self.side.word(),
            number::print(self.limit)
        );
        Outcome::new(Health::Fail, Reason::ValueBeyond).with_detail(detail)
    }

    /// The same for a text that was not kept to its end: what is missing may have come later.
    pub(crate) fn judge_beginning(&self, text: &[u8]) -> Outcome {
        let is_json = begins_json(text.trim_ascii_start());
        // The last line may be half a line, and half a number is another number.
        let end = text.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        let outcome = self.judge(if is_json { text } else { &text[..end] });
        match outcome.reason {
            Reason::ValueMissing => Outcome::new(Health::Fail, Reason::AnswerTooLong).with_detail(
                format!("{} in the first {} bytes", outcome.detail, text.len()),
            ),
            _ => outcome,
        }
    }
}

fn begins_json(text: &[u8]) -> bool {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    matches!(text.first(), Some(b'{' | b'['))
}

fn in_json(text: &[u8], path: &str) -> Option<f64> {
    match json::find(text, path).value {
        Some(Value::Number(number)) => Some(number),
        _ => None,
    }
}

/// `None` also for a number that cannot be read.
fn in_samples(text: &[u8], key: &str) -> Option<f64> {
    let wanted = selector(key)?;
    let mut lines = text.split(|byte| *byte == b'\n');
    lines.find_map(|line| {
        // Cheap first: a page of metrics has thousands of lines.
        let line = line.trim_ascii();
        if !line.starts_with(wanted.name.as_bytes()) {
            return None;
        }
        let sample = sample(std::str::from_utf8(line).ok()?)?;
        let has = |label: &Label| sample.labels.contains(label);
        (sample.name == wanted.name && wanted.labels.iter().all(has))
            .then(|| number(sample.rest).unwrap_or(f64::NAN))
    })
}

/// A value, perhaps with a time behind it. What Prometheus writes for infinities and for what is
/// no number is read as such.
fn number(text: &str) -> Option<f64> {
    number::parse(text.split_ascii_whitespace().next()?)
}

/// Name and value, without its escapes.
type Label = (String, String);

/// The beginning of a line, and what follows.
struct Sample<'a> {
    name: &'a str,
    labels: Vec<Label>,
    rest: &'a str,
}

/// A key that is a sample's name, with labels or without.
fn selector(key: &str) -> Option<Sample<'_>> {
    sample(key).filter(|sample| sample.rest.is_empty())
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let (name, rest) = line.split_at(line.find(|c| !is_name(c)).unwrap_or(line.len()));
    if name.is_empty() {
        return None;
    }
    let (labels, rest) = match rest.trim_start().strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None => (Vec::new(), rest),
    };
    Some(Sample { name, labels, rest })
}

/// Labels up to the brace that closes them, and what follows it.
fn labels(mut text: &str) -> Option<(Vec<Label>, &str)> {
    let mut labels = Vec::new();
    loop {
        text = text.trim_start();
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, rest) = text.split_once('=')?;
        let (value, rest) = quoted(rest.trim_start().strip_prefix('"')?)?;
        labels.push((name.trim_end().to_string(), value));
        let rest = rest.trim_start();
        // A comma before the brace is allowed, and so is none.
        text = match rest.strip_prefix(',') {
            Some(rest) => rest,
            None if rest.starts_with('}') => rest,
            None => return None,
        };
    }
}

/// A label's value up to its closing quote, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(match chars.next()? {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "# HELP queue_depth Depth.\n# TYPE queue_depth gauge\n\
        queue_depth_total 7\nqueue_depth{queue=\"mail\",host=\"a\\\"b\\n\\\\\"} 12 1700000000\n\
        queue_depth { host = \"c\" , } 3.5e1\r\nbroken{a=\"b} 1\nnot_a_number NaN\n\
        endless +Inf\nlast -4";

    fn rule(key: &str, side: Side, limit: f64) -> ValueRule {
        ValueRule::new(key, side, limit).unwrap()
    }

    fn judged(key: &str, side: Side, limit: f64, text: &str) -> String {
        let outcome = rule(key, side, limit).judge(text.as_bytes());
        format!("{:?} {outcome}", outcome.health)
    }

    #[test]
    fn limits_are_strict() {
        for (side, number, expected) in [
            (Side::Below, "9.9", "Ok value within limit: n is 9.9"),
            (
                Side::Below,
                "10",
                "Fail value beyond limit: n is 10, expected below 10",
            ),
            (
                Side::Above,
                "10",
                "Fail value beyond limit: n is 10, expected above 10",
            ),
            (Side::Above, "1e300", "Ok value within limit: n is 1e300"),
            (
                Side::Below,
                "1e999",
                "Fail value beyond limit: n is inf, expected below 10",
            ),
        ] {
            let json = format!(" {{\"n\": {number}}}");
            assert_eq!(judged("n", side, 10.0, &json), expected);
            assert_eq!(judged("n", side, 10.0, &format!("n {number}\n")), expected);
        }
    }

    #[test]
    fn numbers_in_json_are_found_by_path() {
        let text = r#"{"checks": {"queue:depth": [{"observedValue": 120}]}, "up": true, "s": "1"}"#;
        assert_eq!(
            judged(
                "checks.queue:depth.0.observedValue",
                Side::Below,
                100.0,
                text
            ),
            "Fail value beyond limit: checks.queue:depth.0.observedValue is 120, \
             expected below 100"
        );
        for key in [
            "checks",
            "up",
            "s",
            "gone",
            "checks.queue:depth.1.observedValue",
        ] {
            assert_eq!(
                judged(key, Side::Below, 1.0, text),
                format!("Fail value missing: no number {key}")
            );
        }
    }

    #[test]
    fn samples_are_found_by_name_and_labels() {
        for (key, expected) in [
            ("queue_depth", "queue_depth is 12"),
            ("queue_depth{}", "queue_depth{} is 12"),
            ("queue_depth_total", "queue_depth_total is 7"),
            (
                "queue_depth{queue=\"mail\"}",
                "queue_depth{queue=\"mail\"} is 12",
            ),
            ("queue_depth{host=\"c\"}", "queue_depth{host=\"c\"} is 35"),
            ("last", "last is -4"),
            ("endless", "endless is inf"),
        ] {
            let outcome = rule(key, Side::Above, -5.0).judge(METRICS.as_bytes());
            assert_eq!(
                (outcome.health, outcome.detail.as_str()),
                (Health::Ok, expected)
            );
        }
        let both = "queue_depth{host=\"a\\\"b\\n\\\\\", queue=\"mail\"}";
        assert_eq!(
            rule(both, Side::Below, 13.0)
                .judge(METRICS.as_bytes())
                .health,
            Health::Ok
        );
        for key in [
            "queue",
            "gone",
            "broken",
            "not_a_number",
            "queue_depth{queue=\"x\"}",
            "HELP",
        ] {
            let outcome = rule(key, Side::Above, -5.0).judge(METRICS.as_bytes());
            assert_eq!(outcome.reason, Reason::ValueMissing, "{key}");
        }
    }

    #[test]
    fn of_half_a_text_no_half_number_is_taken() {
        for (text, reason) in [
            ("n 12\nm 3", Reason::ValueWithin),
            ("m 3\nn 12", Reason::AnswerTooLong),
            ("n 12", Reason::AnswerTooLong),
            ("", Reason::AnswerTooLong),
            ("{\"n\": 12, \"m", Reason::ValueWithin),
            ("{\"n\": 12", Reason::AnswerTooLong),
        ] {
            let outcome = rule("n", Side::Below, 100.0).judge_beginning(text.as_bytes());
            assert_eq!(outcome.reason, reason, "{text:?}: {outcome}");
        }
    }

    #[test]
    fn keys_and_limits_that_cannot_be_are_refused() {
        for bad in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a{",
            "a{b}",
            "a{b=\"c\"} 1",
            "{a=\"b\"}",
            "a\n",
        ] {
            let message = ValueRule::new(bad, Side::Below, 1.0)
                .unwrap_err()
                .to_string();
            assert!(
                message.starts_with(&format!("{bad:?} is not a key")),
                "{message}"
            );
        }
        assert!(ValueRule::new(&"a".repeat(257), Side::Below, 1.0).is_err());
        for bad in [f64::NAN, f64::INFINITY] {
            assert!(ValueRule::new("a", Side::Above, bad).is_err());
        }
        assert_eq!(Side::try_from("above").unwrap(), Side::Above);
        assert!(Side::try_from("over").is_err());
    }

    #[test]
    fn no_text_brings_it_down() {
        let rules = [
            rule("queue_depth{host=\"c\"}", Side::Below, 1.0),
            rule("queue_depth", Side::Below, 1.0),
        ];
        let golden = METRICS.as_bytes();
        for len in 0..golden.len() {
            rules[0].judge(&golden[..len]);
            rules[0].judge_beginning(&golden[..len]);
        }
        for position in 0..golden.len() {
            for byte in 0..=255 {
                let mut flipped = golden.to_vec();
                flipped[position] = byte;
                for rule in &rules {
                    rule.judge(&flipped);
                }
            }
        }
    }
}
