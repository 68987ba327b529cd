//! `/metrics`: the text format of Prometheus, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
//!
//! Names, types and the codes in their helps are fixed and never change meaning; there is one
//! label, `component`. Numbers are written without floating point.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Row, Times, ailment, rows};
use crate::health::maint::Mode;
use crate::health::{Reason, State};
use crate::server::Shared;
use crate::wire::json::push_decimal;

pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every metric of `/metrics`, in its order: its name, its type, and what it says.
pub const METRICS: &[(&str, &str, &str)] = &[
    (
        "failover_build_info",
        "gauge",
        "The version, as a label; always 1.",
    ),
    (
        "failover_start_time_seconds",
        "gauge",
        "When the server was started, in seconds since 1970. \
         Missing while the wall clock is not set.",
    ),
    (
        "failover_live",
        "gauge",
        "Whether the server's own threads go on, as /health/live says it: 1 yes, 0 no.",
    ),
    (
        "failover_config_generation",
        "gauge",
        "How many configurations have been in force so far.",
    ),
    (
        "failover_config_last_reload_successful",
        "gauge",
        "Whether the configuration that was read last is in force: 1 yes, 0 no.",
    ),
    (
        "failover_http_requests_total",
        "counter",
        "Requests that came in full and were well-formed.",
    ),
    (
        "failover_connections_held",
        "gauge",
        "Connections that wait: unfinished, for a run, or for a free thread.",
    ),
    (
        "failover_connections_refused_total",
        "counter",
        "Connections that were closed because no allowed range held their peer.",
    ),
    (
        "failover_events_dropped_total",
        "counter",
        "Events that nobody was told of, because too many came at once.",
    ),
    (
        "failover_component_state",
        "gauge",
        "What the component answers: 1 ok, 0 fail, -1 unknown. So below 1 is not ok.",
    ),
    (
        "failover_component_transitions_total",
        "counter",
        "How often the state has changed.",
    ),
    (
        "failover_component_last_change_timestamp_seconds",
        "gauge",
        "Since when the state is what it is, in seconds since 1970. \
         Missing while the wall clock is not set.",
    ),
    (
        "failover_component_maintenance",
        "gauge",
        "What a human has put the component into: 0 nothing, 1 drain, 2 hold.",
    ),
    (
        "failover_check_up",
        "gauge",
        "Whether the last run passed: 1 yes, 0 no or not known. Missing before the first.",
    ),
    (
        "failover_check_runs_total",
        "counter",
        "Runs of the check that have ended.",
    ),
    (
        "failover_check_failures_total",
        "counter",
        "Runs of the check that ended in a failure.",
    ),
    (
        "failover_check_indeterminate_total",
        "counter",
        "Runs of the check after which nothing was known of the target.",
    ),
    (
        "failover_check_skipped_total",
        "counter",
        "Starts that were skipped because the run before was still on.",
    ),
    (
        "failover_check_duration_seconds",
        "gauge",
        "How long the last run took. Missing before the first.",
    ),
];

/// A sample's value.
enum Value {
    Whole(i64),
    Length(Duration),
}

/// All metrics.
pub(super) fn text(shared: &Shared) -> String {
    let (rows, times) = (rows(shared), Times::of(shared));
    let mut text = String::new();
    for (name, kind, help) in METRICS {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        if *name == "failover_build_info" {
            let label = ("version", env!("CARGO_PKG_VERSION"));
            sample(&mut text, name, Some(label), &Value::Whole(1));
        }
        if let Some(value) = of_server(name, shared, &times) {
            sample(&mut text, name, None, &value);
        }
        for row in &rows {
            if let Some(value) = of_component(name, row, &times) {
                sample(&mut text, name, Some(("component", row.name())), &value);
            }
        }
    }
    text
}

/// One line.
fn sample(text: &mut String, name: &str, label: Option<(&str, &str)>, value: &Value) {
    text.push_str(name);
    if let Some((key, label)) = label {
        text.extend(["{", key, "=\""]);
        escape(text, label);
        text.push_str("\"}");
    }
    text.push(' ');
    match value {
        Value::Whole(number) => {
            // Writing to a String cannot fail.
            let _ = write!(text, "{number}");
        }
        Value::Length(length) => push_decimal(text, length.as_secs(), length.subsec_micros(), 6),
    }
    text.push('\n');
}

/// What the format has other meanings for inside a label's quotes.
fn escape(text: &mut String, label: &str) {
    for c in label.chars() {
        match c {
            '\\' | '"' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}

fn of_server(name: &str, shared: &Shared, times: &Times) -> Option<Value> {
    let number = match name {
        "failover_start_time_seconds" => {
            return times.wall_at(shared.started).map(in_seconds);
        }
        "failover_live" => u64::from(ailment(shared).is_none()),
        "failover_config_generation" => shared.admin().generation(),
        "failover_config_last_reload_successful" => {
            u64::from(shared.admin().config().error.is_none())
        }
        "failover_http_requests_total" => shared.requests.load(Ordering::Relaxed) as u64,
        "failover_connections_held" => shared.held.load(Ordering::Relaxed) as u64,
        "failover_connections_refused_total" => shared.refused.load(Ordering::Relaxed) as u64,
        "failover_events_dropped_total" => shared.components.dispatcher().dropped(),
        _ => return None,
    };
    Some(whole(number))
}

fn of_component(name: &str, row: &Row, times: &Times) -> Option<Value> {
    let (published, outcome) = (&row.published, &row.published.outcome);
    let has_run = published.runs > 0 && outcome.reason != Reason::Stale;
    let number = match name {
        "failover_component_state" => {
            return Some(Value::Whole(match row.state() {
                State::Ok => 1,
                State::Fail => 0,
                State::Unknown => -1,
            }));
        }
        "failover_component_transitions_total" => published.changes,
        "failover_component_last_change_timestamp_seconds" => {
            return times.wall_at(published.since).map(in_seconds);
        }
        "failover_component_maintenance" => match published.maint.as_ref().map(|it| it.mode) {
            None => 0,
            Some(Mode::Drain) => 1,
            Some(Mode::Hold(_)) => 2,
        },
        "failover_check_up" if published.runs > 0 => {
            u64::from(outcome.health.known() == Some(State::Ok))
        }
        "failover_check_runs_total" => published.runs,
        "failover_check_failures_total" => published.failures,
        "failover_check_indeterminate_total" => published.unknowns,
        "failover_check_skipped_total" => published.skipped,
        "failover_check_duration_seconds" if has_run => {
            return Some(Value::Length(outcome.took));
        }
        _ => return None,
    };
    Some(whole(number))
}

/// A point in time: finer than a second it is not known by how much the wall clock is wrong.
fn in_seconds(since_1970: Duration) -> Value {
    whole(since_1970.as_secs())
}

/// What does not fit has long lost its meaning.
fn whole(number: u64) -> Value {
    Value::Whole(i64::try_from(number).unwrap_or(i64::MAX))
}
