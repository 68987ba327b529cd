//! `/-/status?format=text` and `/-/events?format=text`: the same as in JSON, as lines for people.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::time::Duration;

use super::health::state_of_whole;
use super::{DETAIL_LEN_MAX, Row, Times, cut, rows};
use crate::health::Maint;
use crate::server::{Config, Shared};
use crate::units::print_duration;

/// One line for the whole, one for each component, and one below for each in maintenance.
pub(super) fn status(shared: &Shared, config: &Config) -> String {
    let (rows, times) = (rows(shared), Times::of(shared));
    let mut text = format!(
        "failover {} {}, generation {} of {}, up {}\n",
        env!("CARGO_PKG_VERSION"),
        state_of_whole(&rows).word(),
        shared.admin().generation(),
        config.file.as_deref().unwrap_or("no file"),
        in_seconds(shared.pulse.age()),
    );
    if let Some(error) = &config.error {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "not taken: {error}");
    }
    let width = rows.iter().map(|row| row.name().len()).max().unwrap_or(0);
    for row in &rows {
        line(&mut text, row, width, &times);
    }
    text
}

fn line(text: &mut String, row: &Row, width: usize, times: &Times) {
    let published = &row.published;
    let since = times.now.since(published.since);
    let outcome = published.outcome.to_string();
    // All of it, in one line: a terminal wraps it, and whoever searches it finds it.
    let outcome = cut(&outcome, DETAIL_LEN_MAX);
    let _ = writeln!(
        text,
        "{:<8} {:<width$}  {:<11} {:>7}  {outcome}",
        row.health().word(),
        row.name(),
        published.standing.phase.word(),
        in_seconds(since),
    );
    if let Some(maint) = &published.maint {
        let _ = writeln!(text, "{:<8} {:<width$}  {}", "", "", in_words(maint, times));
    }
}

fn in_words(maint: &Maint, times: &Times) -> String {
    let left = match maint.until {
        Some(until) => format!("for {} more", in_seconds(until.since(times.now))),
        None => String::from("until it is ended"),
    };
    let (mode, because) = (maint.mode.word(), &maint.because);
    format!("maintenance: {mode} {left}, because {because:?}")
}

/// The two largest units, as people say it.
fn in_seconds(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let whole = |unit: u64| Duration::from_secs(seconds - seconds % unit);
    print_duration(match seconds {
        0..600 => whole(1),
        600..36_000 => whole(60),
        _ => whole(3_600),
    })
}

/// One line for each event, as in the log, with its number in front.
pub(super) fn events(shared: &Shared, after: u64) -> String {
    let times = Times::of(shared);
    let (events, _) = shared.components.dispatcher().events_after(after);
    let mut text = String::new();
    for event in events {
        let date = times.date_at(event.at).unwrap_or_default();
        let _ = writeln!(text, "{} {date} {event}", event.sequence);
    }
    text
}
