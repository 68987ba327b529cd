//! Reports: what the server says of its components beside their answers.
//!
//! Reports only look. No check runs for one, no count advances, and no state that is shown is
//! decided here: all of it is copied from the boards. `/health` and its parts are short, however
//! many components there are, and are answered on the spot; what may be long (`/metrics`,
//! `/-/status`, `/-/events`, the page) is made and written at a desk of its own.
#![forbid(unsafe_code)]

pub(super) mod health;
mod metrics;
mod status;
#[cfg(test)]
mod tests;
mod text;

use crate::units::whole_millis;

pub use metrics::METRICS;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use super::answers::Asked;
use super::desk::{Caller, Work};
use super::listening::Client;
use super::{Config, Shared, admin, page};
use crate::check::board::Published;
use crate::clock::{Moment, locked};
use crate::component::Component;
use crate::health::{Health, State};
use crate::log;
use crate::wire::http::answer_as;
use crate::wire::json::Writer;

/// What is long enough to be made at the desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    Page,
    Metrics,
    Status(Format),
    /// What happened after the event of that number.
    Events(u64, Format),
}

/// For whom a report is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Programs.
    Json,
    /// People, at the command line.
    Text,
}

/// How much of a free text a report shows, in bytes: enough for a sentence of a peer's, not enough
/// for a page of it.
const DETAIL_LEN_MAX: usize = 512;

/// What is not a page is nothing for a browser to do anything with.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

const TEXT: &str = "text/plain; charset=utf-8";

/// Makes a report, and answers.
pub(super) fn work(
    report: Report,
    asked: Asked,
    client: Client,
    credentials: Option<&str>,
) -> Work {
    let credentials = credentials.map(String::from);
    Box::new(move |shared, caller| {
        let is_status = matches!(report, Report::Status(_));
        let may_matter = is_status && !client.is_trusted && credentials.is_some();
        if !may_matter || shared.admin().config().error.is_none() {
            return make(shared, caller, report, asked, client.is_trusted);
        }
        // To look at credentials may take long, and is done where others are looked at.
        let look = move |shared: &Arc<Shared>, caller| {
            let by = admin::permission(shared, client, credentials.as_deref());
            let is_admin = by.is_ok();
            let work = move |shared: &Arc<Shared>, caller| {
                make(shared, caller, report, asked, is_admin);
            };
            shared.reports.submit(shared, caller, Box::new(work));
        };
        shared.posts.submit(shared, caller, Box::new(look));
    })
}

fn make(shared: &Arc<Shared>, caller: Caller, report: Report, asked: Asked, is_admin: bool) {
    let json = "application/json";
    let bytes = match report {
        Report::Page => in_form(200, "text/html; charset=utf-8", page::page(), asked),
        Report::Metrics => in_form(200, metrics::MEDIA_TYPE, &metrics::text(shared), asked),
        Report::Status(format) => {
            let config = config(shared, is_admin);
            match format {
                Format::Json => in_form(200, json, &status::json(shared, &config), asked),
                Format::Text => in_form(200, TEXT, &text::status(shared, &config), asked),
            }
        }
        Report::Events(after, Format::Json) => {
            in_form(200, json, &status::events(shared, after), asked)
        }
        Report::Events(after, Format::Text) => {
            in_form(200, TEXT, &text::events(shared, after), asked)
        }
    };
    caller.answer_at_length(shared, &bytes);
}

/// What is known of the configuration. What is wrong with one names files and quotes what is in
/// them, which is for administrators.
fn config(shared: &Shared, is_admin: bool) -> Config {
    let mut config = shared.admin().config();
    if let (Some(error), false) = (&mut config.error, is_admin) {
        *error = String::from(REFUSED);
    }
    config
}

/// What is said to others.
const REFUSED: &str = "the log, 'failover status' and 'failover check-config' say why";

/// An answer as it was asked for.
pub(super) fn in_form(status: u16, media_type: &str, body: &str, asked: Asked) -> Vec<u8> {
    let is_page = media_type.starts_with("text/html");
    let policy = if is_page { page::POLICY } else { POLICY };
    let allow = match asked {
        Asked::Options => "Allow: GET, HEAD, OPTIONS\r\n",
        Asked::Get | Asked::Head => "",
    };
    let extra = format!(
        "Content-Security-Policy: {policy}\r\nX-Content-Type-Options: nosniff\r\n\
         X-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n{allow}"
    );
    let body_is_sent = asked != Asked::Options;
    let mut bytes = answer_as(
        status,
        media_type,
        &extra,
        if body_is_sent { body } else { "" },
    );
    if asked == Asked::Head {
        bytes.truncate(bytes.len() - body.len());
    }
    bytes
}

/// A component, and what was published of it when the report began.
struct Row {
    component: Arc<Component>,
    published: Published,
}

fn rows(shared: &Shared) -> Vec<Row> {
    let components = shared.components.all().into_iter();
    components.map(Row::of).collect()
}

impl Row {
    fn of(component: Arc<Component>) -> Row {
        let published = component.board().published();
        Row {
            component,
            published,
        }
    }

    fn name(&self) -> &str {
        self.component.name()
    }

    fn state(&self) -> State {
        self.published.standing.state
    }

    /// What it is to people: its state, and `Warn` when it passes with a warning.
    fn health(&self) -> Health {
        match (self.state(), self.published.outcome.health) {
            (State::Ok, Health::Warn) => Health::Warn,
            (state, _) => Health::from(state),
        }
    }

    /// The detail of the last outcome, cut to this many bytes.
    fn detail(&self, len_max: usize) -> &str {
        cut(&self.published.outcome.detail, len_max)
    }
}

/// The beginning of a text, whole characters of it.
fn cut(text: &str, len_max: usize) -> &str {
    let ends = (0..=len_max.min(text.len())).rev();
    let mut ends = ends.filter(|end| text.is_char_boundary(*end));
    &text[..ends.next().unwrap_or(0)]
}

/// What time it is, on the clock that decides and on the wall.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    now: Moment,
    /// Since the beginning of 1970; `None` while the wall clock is not set.
    wall: Option<Duration>,
}

/// The clocks are never read at the same instant, and run a little apart. As long as the wall clock
/// was not set anew by more than this, what happened at one moment keeps its one date.
const APART_MAX: Duration = Duration::from_secs(1);

impl Times {
    fn of(shared: &Shared) -> Times {
        let now = shared.components.now();
        let wall = log::since_1970(SystemTime::now());
        let mut last = locked(&shared.times);
        let times = match (last.and_then(|last| last.wall_at(now)), wall) {
            (Some(expected), Some(wall)) if expected.abs_diff(wall) < APART_MAX => Times {
                now,
                wall: Some(expected),
            },
            _ => Times { now, wall },
        };
        *last = Some(times);
        times
    }

    /// What the wall clock would have said then, in time since 1970.
    fn wall_at(&self, then: Moment) -> Option<Duration> {
        let (before, after) = (self.now.since(then), then.since(self.now));
        self.wall.map(|wall| (wall + after).saturating_sub(before))
    }

    /// The same as people and programs read it.
    fn date_at(&self, then: Moment) -> Option<String> {
        Some(log::date(self.wall_at(then)?.as_secs()))
    }
}

/// Writes a length of time as seconds, to the millisecond.
fn seconds(json: &mut Writer, duration: Duration) {
    json.decimal(duration.as_secs(), duration.subsec_millis());
}

/// Writes a length of time as milliseconds, to the microsecond.
fn milliseconds(json: &mut Writer, duration: Duration) {
    json.decimal(whole_millis(duration), duration.subsec_micros() % 1_000);
}

/// Why the server itself is not well; `None` when it is. Only what is ours is looked at: a check
/// that hangs makes its component stale, and not the server dead.
pub(super) fn ailment(shared: &Shared) -> Option<&'static str> {
    if !shared.pulse.is_lately() {
        return Some("the thread that holds waiting connections has not passed lately");
    }
    if !shared.components.dispatcher().is_alive() {
        return Some("the thread that tells events has not passed lately");
    }
    None
}

/// Whether every component that runs by itself has had its first outcome, or went without one for
/// too long. Once so it stays so: a component that comes with a reload does not undo it.
fn has_started_up(shared: &Shared, rows: &[Row]) -> bool {
    if !shared.started_up.load(Ordering::Relaxed) && rows.iter().all(|row| !row.is_awaited()) {
        shared.started_up.store(true, Ordering::Relaxed);
    }
    shared.started_up.load(Ordering::Relaxed)
}
