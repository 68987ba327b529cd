//! `/-/status` and `/-/events`: all that is known, as JSON, for the page, the command line and
//! whoever else administrates.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::health::state_of_whole;
use super::{DETAIL_LEN_MAX, Row, Times, ailment, cut, milliseconds, rows, seconds};
use crate::clock::Moment;
use crate::component::{About, Sighting, blamed};
use crate::event::{Event, Transition, What};
use crate::health::maint::Maint;
use crate::health::{Outcome, Phase, Reason, State};
use crate::server::{Config, Shared};
use crate::wire::json::Writer;

/// The status of everything.
pub(super) fn json(shared: &Shared, config: &Config) -> String {
    let (rows, times) = (rows(shared), Times::of(shared));
    let mut json = Writer::new();
    json.begin_object();
    json.key("name").text("failover");
    json.key("version").text(env!("CARGO_PKG_VERSION"));
    json.key("pid").whole(u64::from(std::process::id()));
    seconds(json.key("uptime_s"), shared.pulse.age());
    json.key("generation").whole(shared.admin().generation());
    date(&mut json, "now", times.now, &times);
    json.key("live").flag(ailment(shared).is_none());
    json.key("state").text(state_of_whole(&rows).word());
    json.key("config").begin_object();
    json.key("file").text_or_null(config.file.as_deref());
    json.key("error").text_or_null(config.error.as_deref());
    json.end_object();
    let components: Vec<_> = rows.iter().map(|row| row.component.clone()).collect();
    json.key("components").begin_array();
    for row in &rows {
        let blamed = match row.state() {
            State::Ok => None,
            State::Fail | State::Unknown => blamed(&row.component, &components),
        };
        component(&mut json, row, blamed.as_deref(), &times);
    }
    json.end_array();
    json.end_object();
    json.finish()
}

fn component(json: &mut Writer, row: &Row, blamed: Option<&str>, times: &Times) {
    let (published, about) = (&row.published, row.component.about());
    let (standing, outcome) = (&published.standing, &published.outcome);
    json.begin_object();
    json.key("name").text(row.name());
    json.key("state").text(standing.state.word());
    json.key("phase").text(standing.phase.word());
    json.key("health").text(outcome.health.word());
    json.key("reason").text(outcome.reason.words());
    json.key("detail").text(row.detail(DETAIL_LEN_MAX));
    date(json, "since", published.since, times);
    seconds(json.key("since_s"), times.now.since(published.since));
    milliseconds(json.key("took_ms"), outcome.took);
    for (key, count) in [
        ("runs", published.runs),
        ("failures", published.failures),
        ("unknowns", published.unknowns),
        ("skipped", published.skipped),
        ("changes", published.changes),
        ("disagreeing", u64::from(standing.disagreeing)),
    ] {
        json.key(key).whole(count);
    }
    seconds(json.key("disagreeing_s"), standing.disagreeing_for);
    let needed = standing.needed.map(|needed| needed.to_string());
    json.key("needed").text_or_null(needed.as_deref());
    describe(json, about);
    json.key("blamed").text_or_null(blamed);
    maintenance(json.key("maint"), published.maint.as_ref(), times);
    json.key("manual_reset").flag(about.manual_reset);
    json.key("heartbeat").flag(about.heartbeat);
    sighting(json.key("balancer"), row.component.sighting(), times);
    history(json.key("history"), row);
    json.end_object();
}

fn describe(json: &mut Writer, about: &About) {
    json.key("asks").text(&about.asks);
    match about.every {
        Some(every) => seconds(json.key("every_s"), every),
        None => json.key("every_s").null(),
    }
    let layer = about.layer.map(|layer| layer.word());
    json.key("layer").text_or_null(layer);
    json.key("why").text(&about.why);
    json.key("critical").flag(about.critical);
    json.key("members").texts(&about.members);
    json.key("depends_on").texts(&about.depends_on);
}

fn maintenance(json: &mut Writer, maint: Option<&Maint>, times: &Times) {
    let Some(maint) = maint else {
        return json.null();
    };
    json.begin_object();
    json.key("mode").text(maint.mode.word());
    date(json, "since", maint.since, times);
    match maint.until {
        Some(until) => date(json, "until", until, times),
        None => json.key("until").null(),
    }
    json.key("because").text(&maint.because);
    json.end_object();
}

fn sighting(json: &mut Writer, sighting: Option<Sighting>, times: &Times) {
    let Some(sighting) = sighting else {
        return json.null();
    };
    json.begin_object();
    date(json, "at", sighting.at, times);
    json.key("text").text(&sighting.text);
    json.end_object();
}

/// Pairs of a health and how many milliseconds its run took, oldest first.
fn history(json: &mut Writer, row: &Row) {
    json.begin_array();
    for run in row.component.board().history() {
        json.begin_array();
        json.text(run.health.word());
        milliseconds(json, run.took);
        json.end_array();
    }
    json.end_array();
}

/// A date, or null while the wall clock is not set.
fn date(json: &mut Writer, key: &str, at: Moment, times: &Times) {
    let date = times.date_at(at);
    json.key(key).text_or_null(date.as_deref());
}

/// The events after that number.
pub(super) fn events(shared: &Shared, after: u64) -> String {
    let times = Times::of(shared);
    let (events, last) = shared.components.dispatcher().events_after(after);
    let mut json = Writer::new();
    json.begin_object();
    json.key("events").begin_array();
    for one in events {
        event(&mut json, &one, &times);
    }
    json.end_array();
    json.key("last").whole(last);
    json.end_object();
    json.finish()
}

/// Every event has every key, so that readers need not ask which are there.
fn event(json: &mut Writer, event: &Event, times: &Times) {
    let said = Said::of(&event.what);
    json.begin_object();
    json.key("seq").whole(event.sequence);
    date(json, "at", event.at, times);
    json.key("component").text(&event.component);
    json.key("what").text(said.what);
    for (key, word) in [
        ("from", said.from.map(State::word)),
        ("to", said.to.map(State::word)),
        ("phase", said.phase.map(Phase::word)),
    ] {
        json.key(key).text_or_null(word);
    }
    json.key("reason").text(said.reason);
    json.key("detail").text(cut(said.detail, DETAIL_LEN_MAX));
    match said.took {
        Some(took) => milliseconds(json.key("took_ms"), took),
        None => json.key("took_ms").null(),
    }
    match said.run {
        Some(run) => json.key("run").whole(run),
        None => json.key("run").null(),
    }
    json.key("blamed").text_or_null(event.blamed.as_deref());
    json.end_object();
}

/// What the kinds of events have to say.
#[derive(Default)]
struct Said<'a> {
    what: &'static str,
    from: Option<State>,
    to: Option<State>,
    phase: Option<Phase>,
    reason: &'static str,
    detail: &'a str,
    took: Option<Duration>,
    run: Option<u64>,
}

impl<'a> Said<'a> {
    fn of_transition(what: &'static str, change: &'a Transition) -> Said<'a> {
        Said {
            from: Some(change.from),
            run: Some(change.runs),
            ..Said::of_outcome(what, change.to, change.phase, &change.outcome)
        }
    }

    fn of_outcome(what: &'static str, to: State, phase: Phase, outcome: &'a Outcome) -> Said<'a> {
        Said {
            what,
            to: Some(to),
            phase: Some(phase),
            reason: outcome.reason.words(),
            detail: &outcome.detail,
            took: Some(outcome.took),
            ..Said::default()
        }
    }

    fn of(what: &'a What) -> Said<'a> {
        match what {
            What::Changed(change) => Said::of_transition("changed", change),
            What::Judged(change) => Said::of_transition("judged", change),
            What::Settled {
                state,
                phase,
                outcome,
            } => Said::of_outcome("settled", *state, *phase, outcome),
            What::Maintenance { maint } => Said {
                what: "maintenance",
                reason: maint.as_ref().map_or("off", |maint| maint.mode.word()),
                detail: maint.as_ref().map_or("", |maint| &maint.because),
                ..Said::default()
            },
            What::Panicked { message } => Said {
                what: "panicked",
                reason: Reason::CheckPanicked.words(),
                detail: message,
                ..Said::default()
            },
        }
    }
}
