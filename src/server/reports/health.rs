//! `/health`, its parts, and `/NAME?format=json`: health+json
//! (<https://datatracker.ietf.org/doc/html/draft-inadarei-api-health-check-05>).
//!
//! | path | passes when |
//! |---|---|
//! | `/health/live` | this server's own threads go on; no component ever changes it |
//! | `/health/startup` | every component had its first outcome once, whatever it was |
//! | `/health/ready` | it has started up, and `/health` passes |
//! | `/health` | no critical component fails or is unknown |
//!
//! What does not pass is `503`. The whole *warns*, with `200`, when a component warns or one that
//! is not critical is not ok. A critical component that is unknown fails the whole: alone it is
//! answered `500`, which no balancer takes for well, and what is made of it is not to say more
//! than it does. A component that is part of another counts there and not twice. One that runs
//! only on request does not count: looking does not run it, and what it found is as old as its
//! last caller.
//!
//! Answers stay short, so that what keeps the beginning of one only (4 KB in Consul, 5 in Route
//! 53) keeps what matters: the worst components come first, and few are listed.
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::{Row, Times, ailment, cut, has_started_up, in_form, milliseconds, rows};
use crate::component::Component;
use crate::health::{Health, Outcome, Reason, State};
use crate::order;
use crate::server::Shared;
use crate::server::answers::{Asked, Style};
use crate::text::joined;
use crate::wire::json::Writer;

/// Which part of it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Part {
    Whole,
    Live,
    Ready,
    Startup,
}

const MEDIA_TYPE: &str = "application/health+json";

/// Components that one answer lists: with typical names and details 4 KB.
const LISTED_MAX: usize = 16;

/// Components that one sentence names.
const NAMED_MAX: usize = 8;

/// How much of a detail is shown, in bytes.
const DETAIL_LEN_MAX: usize = 120;

/// What a health+json answer says first.
struct Verdict {
    health: Health,
    /// Why it is not ok.
    output: String,
}

/// The answer to one of the paths.
pub(in crate::server) fn answer(shared: &Shared, part: Part, asked: Asked) -> Vec<u8> {
    let rows = match part {
        Part::Live => Vec::new(),
        Part::Whole | Part::Ready | Part::Startup => rows(shared),
    };
    let verdict = match part {
        Part::Live => live(shared),
        Part::Startup => startup(shared, &rows),
        Part::Whole => whole(&rows),
        Part::Ready => match startup(shared, &rows) {
            started if started.health == Health::Ok => whole(&rows),
            not_yet => not_yet,
        },
    };
    let mut json = Writer::new();
    json.begin_object();
    say(&mut json, &verdict);
    json.key("releaseId").text(env!("CARGO_PKG_VERSION"));
    json.key("serviceId").text("failover");
    if matches!(part, Part::Whole | Part::Ready) {
        list(&mut json, &rows, &Times::of(shared));
    }
    json.end_object();
    let status = if passes(verdict.health) { 200 } else { 503 };
    in_form(status, MEDIA_TYPE, &json.finish(), asked)
}

/// The answer for one component: its own, explained.
pub(in crate::server) fn of_component(
    shared: &Shared,
    component: Arc<Component>,
    asked: Asked,
) -> Vec<u8> {
    let row = Row::of(component);
    let about = row.component.about();
    let status = Style::of(&row.component).status(row.state());
    let verdict = Verdict {
        health: row.health(),
        output: output(&row),
    };
    let mut json = Writer::new();
    json.begin_object();
    say(&mut json, &verdict);
    json.key("serviceId").text(row.name());
    if !about.asks.is_empty() {
        json.key("description").text(&about.asks);
    }
    json.key("notes").begin_array();
    if !about.why.is_empty() {
        json.text(&about.why);
    }
    if row.component.board().is_on_request() {
        json.text("runs only when it is asked for, and not for this answer");
    }
    if let Some(maint) = &row.published.maint {
        let because = cut(&maint.because, DETAIL_LEN_MAX);
        json.text(&format!("in maintenance, {}: {because}", maint.mode.word()));
    }
    json.end_array();
    json.key("checks").begin_object();
    entry(&mut json, &row, &Times::of(shared));
    json.end_object();
    json.end_object();
    in_form(status, MEDIA_TYPE, &json.finish(), asked)
}

/// The whole, as one word for people and programs.
pub(super) fn state_of_whole(rows: &[Row]) -> Health {
    whole(rows).health
}

fn passes(health: Health) -> bool {
    matches!(health, Health::Ok | Health::Warn)
}

fn status_word(health: Health) -> &'static str {
    match health {
        Health::Ok => "pass",
        Health::Warn => "warn",
        // There is no word for what nobody knows, and saying that it passes would be worse.
        Health::Fail | Health::Unknown => "fail",
    }
}

const WORST_FIRST: [Health; 4] = [Health::Fail, Health::Unknown, Health::Warn, Health::Ok];

fn live(shared: &Shared) -> Verdict {
    match ailment(shared) {
        None => Verdict::ok(),
        Some(why) => Verdict {
            health: Health::Fail,
            output: why.to_string(),
        },
    }
}

fn startup(shared: &Shared, rows: &[Row]) -> Verdict {
    if has_started_up(shared, rows) {
        return Verdict::ok();
    }
    let awaited = rows.iter().filter(|row| row.is_awaited());
    Verdict {
        health: Health::Fail,
        output: format!("no outcome yet: {}", names(awaited.map(Row::name))),
    }
}

fn whole(rows: &[Row]) -> Verdict {
    let members = rows.iter().flat_map(|row| &row.component.about().members);
    let mut parts: Vec<&str> = members.map(String::as_str).collect();
    order::sort(&mut parts, Ord::cmp);
    let counts = |row: &&Row| {
        !row.component.board().is_on_request() && parts.binary_search(&row.name()).is_err()
    };
    let counting: Vec<&Row> = rows.iter().filter(counts).collect();
    let weighs = |health: &Health| counting.iter().any(|row| row.weight() == *health);
    let worst = WORST_FIRST.into_iter().find(weighs).unwrap_or(Health::Ok);
    if worst == Health::Ok {
        return Verdict::ok();
    }
    let at_fault = counting.iter().filter(|row| row.weight() == worst);
    let named = at_fault.map(|row| row.name());
    Verdict {
        health: worst,
        output: format!("{}: {}", worst.word(), names(named)),
    }
}

impl Verdict {
    fn ok() -> Verdict {
        Verdict {
            health: Health::Ok,
            output: String::new(),
        }
    }
}

impl Row {
    /// Whether it runs by itself and has had no outcome yet, nor gone without one for too long.
    pub(super) fn is_awaited(&self) -> bool {
        let published = &self.published;
        !self.component.board().is_on_request()
            && published.runs == 0
            && published.outcome.reason != Reason::Stale
    }

    /// Whether it is a heartbeat that nobody has reported to; also where that is told as stale.
    fn is_first_report_awaited(&self) -> bool {
        let (published, about) = (&self.published, self.component.about());
        let is_why = matches!(
            published.outcome.reason,
            Reason::HeartbeatAwaited | Reason::Stale
        );
        let was_never_known = published.unknowns == published.runs;
        self.state() == State::Unknown && about.heartbeat && was_never_known && is_why
    }

    /// What it makes of the whole.
    fn weight(&self) -> Health {
        if self.is_first_report_awaited() {
            // A start is no failure, and the first report may be due tomorrow.
            return Health::Warn;
        }
        match self.health() {
            Health::Fail | Health::Unknown if !self.component.about().critical => Health::Warn,
            health => health,
        }
    }
}

/// A few names, and how many more there are.
fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let mut text = joined(names.iter().take(NAMED_MAX), ", ");
    if names.len() > NAMED_MAX {
        text += &format!(" and {} more", names.len() - NAMED_MAX);
    }
    text
}

/// Status first, and why.
fn say(json: &mut Writer, verdict: &Verdict) {
    json.key("status").text(status_word(verdict.health));
    if verdict.health != Health::Ok {
        json.key("output").text(&verdict.output);
    }
}

/// Components as `checks`, the worst first.
fn list(json: &mut Writer, rows: &[Row], times: &Times) {
    // By name within a rank, as they come.
    let worst_first = WORST_FIRST
        .iter()
        .flat_map(|health| rows.iter().filter(|row| row.weight() == *health));
    if rows.len() > LISTED_MAX {
        let more = rows.len() - LISTED_MAX;
        json.key("notes").begin_array();
        json.text(&format!("{more} more components are in /-/status"));
        json.end_array();
    }
    json.key("checks").begin_object();
    for row in worst_first.take(LISTED_MAX) {
        entry(json, row, times);
    }
    json.end_object();
}

fn entry(json: &mut Writer, row: &Row, times: &Times) {
    let published = &row.published;
    json.key(&format!("{}:responseTime", row.name()))
        .begin_array();
    json.begin_object();
    json.key("componentId").text(row.name());
    json.key("status").text(status_word(row.health()));
    json.key("state").text(row.state().word());
    json.key("phase").text(published.standing.phase.word());
    if published.runs > 0 {
        json.key("observedValue");
        milliseconds(json, published.outcome.took);
        json.key("observedUnit").text("ms");
    }
    let ended = row.component.board().history().last().map(|run| run.at);
    if let Some(date) = ended.and_then(|ended| times.date_at(ended)) {
        json.key("time").text(&date);
    }
    if row.health() != Health::Ok {
        json.key("output").text(&output(row));
    }
    json.end_object();
    json.end_array();
}

fn output(row: &Row) -> String {
    let Outcome { reason, detail, .. } = row.published.why();
    match cut(&detail, DETAIL_LEN_MAX) {
        "" => reason.to_string(),
        detail => format!("{reason}: {detail}"),
    }
}
