//! What a service says of itself in `application/health+json`
//! (draft-inadarei-api-health-check-05, and the spellings that it allows for older services).
//!
//! Only the status of the whole and its output are read, or that of the first check that has one,
//! which those that pass should not have (section 4.8); whether the HTTP status was expected is
//! told elsewhere.
#![forbid(unsafe_code)]

use crate::health::{Health, Outcome, Reason};
use crate::wire::json::{Found, Value, find};

/// Of the service's own words no more is told than a person reads.
const OUTPUT_CHARS_MAX: usize = 200;

/// Whether a Content-Type is that of health+json; earlier drafts had a vendor's name for it.
pub(crate) fn is_health_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    ["application/health+json", "application/vnd.health+json"]
        .iter()
        .any(|known| media_type.eq_ignore_ascii_case(known))
}

/// What the service says: `Ok`, `Warn` or `Fail`, the latter two with its output. `is_cut` says
/// that the text is only the beginning of one.
pub(crate) fn judge(text: &[u8], is_cut: bool) -> Outcome {
    let Found { value, is_whole } = find(text, "status");
    let word = match value {
        Some(Value::String(word)) if is_whole || is_cut => word,
        None if is_cut => {
            let detail = format!("no status in the first {} bytes", text.len());
            return Outcome::new(Health::Fail, Reason::AnswerTooLong).with_detail(detail);
        }
        _ => return malformed("health+json without a status"),
    };
    let (health, reason) = match word.to_ascii_lowercase().as_str() {
        "pass" | "ok" | "up" => (Health::Ok, Reason::HttpAnswered),
        "warn" => (Health::Warn, Reason::HttpSaysWarn),
        "fail" | "error" | "down" => (Health::Fail, Reason::HttpSaysFail),
        other => {
            let word: String = other.chars().take(OUTPUT_CHARS_MAX).collect();
            return malformed(&format!("health+json with the status {word:?}"));
        }
    };
    let output =
        ["output", "checks.*.*.output"]
            .iter()
            .find_map(|path| match find(text, path).value {
                Some(Value::String(output)) if health != Health::Ok => Some(output),
                _ => None,
            });
    let output = output.unwrap_or_default();
    let output: String = output.chars().take(OUTPUT_CHARS_MAX).collect();
    Outcome::new(health, reason).with_detail(output)
}

fn malformed(why: &str) -> Outcome {
    Outcome::new(Health::Fail, Reason::AnswerMalformed).with_detail(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        let outcome = judge(text.as_bytes(), false);
        format!("{:?} {outcome}", outcome.health)
    }

    #[test]
    fn the_words_of_the_draft_and_of_older_services_are_understood() {
        for word in ["pass", "ok", "up", "UP", "Pass"] {
            assert_eq!(
                said(&format!("{{\"status\":\"{word}\"}}")),
                "Ok http answered"
            );
        }
        for (text, expected) in [
            (
                "{\"status\":\"warn\",\"output\":\"disk 91 % full\"}",
                "Warn http says warn: disk 91 % full",
            ),
            (
                "{\"output\":\"no db\",\"status\":\"fail\"}",
                "Fail http says fail: no db",
            ),
            ("{\"status\":\"DOWN\",\"output\":{}}", "Fail http says fail"),
            ("{\"status\":\"error\"}", "Fail http says fail"),
            (
                "{\"status\":\"warn\",\"checks\":{\"cpu\":[{\"status\":\"pass\"}],\
                 \"disk\":[{\"status\":\"pass\"},{\"status\":\"warn\",\"output\":\"91 % full\"}]}}",
                "Warn http says warn: 91 % full",
            ),
            (
                "{\"status\":\"fail\",\"checks\":{\"a\":[{\"output\":\"x\"}]},\"output\":\"y\"}",
                "Fail http says fail: y",
            ),
            (
                "{\"status\":\"pass\",\"output\":\"fine\"}",
                "Ok http answered",
            ),
        ] {
            assert_eq!(said(text), expected);
        }
        let long = format!(
            "{{\"status\":\"fail\",\"output\":\"{}\"}}",
            "é".repeat(1_000)
        );
        assert_eq!(
            judge(long.as_bytes(), false).detail.chars().count(),
            OUTPUT_CHARS_MAX
        );
    }

    #[test]
    fn what_says_nothing_is_malformed() {
        for text in [
            "",
            "OK",
            "{}",
            "[]",
            "{\"status\":1}",
            "{\"status\":\"pass\"",
            "{\"status\":\"fine\"}",
            "{\"status\":\"pass\"}}",
            "{\"checks\":{\"status\":\"pass\"}}",
        ] {
            assert!(said(text).starts_with("Fail answer malformed: "), "{text}");
        }
    }

    #[test]
    fn of_a_text_that_is_cut_the_beginning_is_enough() {
        assert_eq!(
            judge(b"{\"status\":\"pass\",\"che", true).health,
            Health::Ok
        );
        assert_eq!(
            judge(b"{\"status\":\"pa", true).reason,
            Reason::AnswerTooLong
        );
        assert_eq!(
            judge(b"{\"status\":3,\"", true).reason,
            Reason::AnswerMalformed
        );
    }

    #[test]
    fn the_media_type_is_known_in_any_case_with_parameters() {
        for (value, expected) in [
            ("application/health+json", true),
            ("Application/Health+JSON; charset=utf-8", true),
            ("application/vnd.health+json", true),
            ("application/json", false),
            ("text/plain; x=application/health+json", false),
        ] {
            assert_eq!(is_health_json(value), expected, "{value}");
        }
    }
}
