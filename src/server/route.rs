//! From a request to what is done with it.
//!
//! Only looking up happens here: no run, no waiting, no writing.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Shared;
use super::admin::{Act, NOBODY_MAY, no_component};
use super::answers::{self, Asked, Style};
use super::listening::Client;
use super::reports::health::{self, Part};
use super::reports::{Format, Report};
use crate::component::Component;
use crate::text;
use crate::wire::http::{Head, Refusal, answer};

/// What is done with a request.
pub(super) enum Route {
    /// Answered at once.
    Answer(Cow<'static, [u8]>),
    /// Answered when the component's check has run.
    Run(Arc<Component>, Asked),
    /// Made at the desk for reports.
    Report(Report, Asked),
    /// Acted on at the desk for POSTs.
    Post(Arc<Component>),
    /// Done at the desk for POSTs, if its sender may.
    Act(Act),
}

/// Finds out what a request is for.
pub(super) fn route(shared: &Shared, client: Client, head: &Head<'_>) -> Route {
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let path = match head.path() {
        Ok(path) => path,
        Err(refusal) => {
            let to_head = head.method == "HEAD";
            return refusal_route(Refusal { to_head, ..refusal });
        }
    };
    if client.only_components && !path.is_empty() && find(shared, &path).is_none() {
        let asked = if head.method == "HEAD" {
            Asked::Head
        } else {
            Asked::Get
        };
        return Route::Answer(Cow::Borrowed(answers::not_found(asked)));
    }
    let asked = match head.method {
        "GET" => Asked::Get,
        "HEAD" => Asked::Head,
        "OPTIONS" => Asked::Options,
        "POST" => return route_post(shared, client, head, &path),
        _ => return route_other(shared, client, &path),
    };
    let is_browser = path.is_empty() && asked == Asked::Get && head.accepts_html();
    if is_browser && !client.only_components {
        return Route::Report(Report::Page, asked);
    }
    let Some(component) = find(shared, &path) else {
        if let Some(report) = report(shared, client, head, &path, asked) {
            return match asked {
                Asked::Head => bodiless(report),
                Asked::Get | Asked::Options => report,
            };
        }
        let is_root = path.is_empty() && shared.site().default_component.is_none();
        let bytes = if is_root {
            answers::alive(asked)
        } else {
            answers::not_found(asked)
        };
        return Route::Answer(Cow::Borrowed(bytes));
    };
    if let Some(said) = head.server_state() {
        component.seen_by_balancer(shared.components.now(), said);
    }
    // A target without a query is its path and a slash.
    if head.target.len() != path.len() + 1 && wants_json(client, head, asked) {
        let bytes = health::of_component(shared, component, asked);
        return Route::Answer(Cow::Owned(bytes));
    }
    match component.board().glance() {
        Some(state) => {
            let style = Style::of(&component);
            Route::Answer(Cow::Borrowed(answers::of_state(state, asked, style)))
        }
        None => Route::Run(component, asked),
    }
}

/// What a component found is not for those who may only know whether it is well.
fn wants_json(client: Client, head: &Head<'_>, asked: Asked) -> bool {
    let is_json = |field: &str| field == "format=json";
    asked != Asked::Options && !client.only_components && head.query().split('&').any(is_json)
}

/// What the server itself says under its own paths; `None` where it says nothing.
fn report(
    shared: &Shared,
    client: Client,
    head: &Head<'_>,
    path: &[u8],
    asked: Asked,
) -> Option<Route> {
    if client.only_components {
        return None;
    }
    if let Some(part) = part_of_health(path) {
        let bytes = health::answer(shared, part, asked);
        return Some(Route::Answer(Cow::Owned(bytes)));
    }
    let report = match path {
        b"metrics" => Report::Metrics,
        b"-/status" => Report::Status(format_of(head)),
        b"-/events" => match number_after(head.query()) {
            Some(number) => Report::Events(number, format_of(head)),
            None => return Some(refused(400, "expected after=NUMBER")),
        },
        _ if is_act(path) => return Some(not_allowed(ACTS)),
        _ => return None,
    };
    Some(match asked {
        Asked::Get | Asked::Head => Route::Report(report, asked),
        Asked::Options => not_allowed(REPORTS),
    })
}

fn format_of(head: &Head<'_>) -> Format {
    let is_text = |field: &str| field == "format=text";
    if head.query().split('&').any(is_text) {
        Format::Text
    } else {
        Format::Json
    }
}

fn part_of_health(path: &[u8]) -> Option<Part> {
    match path {
        b"health" => Some(Part::Whole),
        b"health/live" => Some(Part::Live),
        b"health/ready" => Some(Part::Ready),
        b"health/startup" => Some(Part::Startup),
        _ => None,
    }
}

/// The number in `after=7`; without any it is 0, and all events are meant.
fn number_after(query: &str) -> Option<u64> {
    match query
        .split('&')
        .find_map(|field| field.strip_prefix("after="))
    {
        Some(number) => number.parse().ok(),
        None => Some(0),
    }
}

fn is_report(path: &[u8]) -> bool {
    matches!(path, b"metrics" | b"-/status" | b"-/events")
}

fn is_act(path: &[u8]) -> bool {
    let has_name = |path: &[u8]| path.starts_with(b"-/maint/") || path.starts_with(b"-/reset/");
    path == b"-/reload" || has_name(path)
}

/// `/` is the default component, or the only one.
fn find(shared: &Shared, path: &[u8]) -> Option<Arc<Component>> {
    if !path.is_empty() {
        return shared.components.find(path);
    }
    match &shared.site().default_component {
        Some(name) => shared.components.find(name.as_bytes()),
        None => shared.components.only(),
    }
}

/// A method that nothing here acts on.
fn route_other(shared: &Shared, client: Client, path: &[u8]) -> Route {
    if let Some(component) = find(shared, path) {
        return match component.on_post() {
            Some(_) => not_allowed("GET, HEAD, OPTIONS, POST"),
            None => not_allowed(COMPONENTS),
        };
    }
    if path.is_empty() {
        return not_allowed(COMPONENTS);
    }
    match path {
        _ if client.only_components => Route::Answer(Cow::Borrowed(answers::not_found(Asked::Get))),
        _ if part_of_health(path).is_some() => not_allowed(COMPONENTS),
        _ if is_report(path) => not_allowed(REPORTS),
        _ if is_act(path) => not_allowed(ACTS),
        _ => Route::Answer(Cow::Borrowed(answers::not_found(Asked::Get))),
    }
}

fn route_post(shared: &Shared, client: Client, head: &Head<'_>, path: &[u8]) -> Route {
    if is_act(path) && !client.only_components {
        return route_act(shared, client, head, path);
    }
    match find(shared, path) {
        Some(component) if component.on_post().is_some() => match foreign(shared, client, head) {
            Some(refusal) => refusal,
            None => Route::Post(component),
        },
        _ => route_other(shared, client, path),
    }
}

/// An administrator's POST. Whether its sender may have it done is found out at the desk, unless
/// nobody may.
fn route_act(shared: &Shared, client: Client, head: &Head<'_>, path: &[u8]) -> Route {
    if let Some(refusal) = foreign(shared, client, head) {
        return refusal;
    }
    if !client.is_trusted && shared.site().guards.is_empty() {
        return refused(403, NOBODY_MAY);
    }
    if path == b"-/reload" {
        return Route::Act(Act::Reload);
    }
    let name = path.strip_prefix(b"-/maint/");
    let to_maint = name.is_some();
    let name = name.or_else(|| path.strip_prefix(b"-/reset/"));
    let name = name.unwrap_or_default();
    match shared.components.find(name) {
        Some(component) if to_maint => Route::Act(Act::Maint(component)),
        Some(component) => Route::Act(Act::Reset(component)),
        None => Route::Answer(Cow::Owned(answer(404, "", &no_component(name)))),
    }
}

/// The refusal of a POST that another site's page has a browser send.
fn foreign(shared: &Shared, client: Client, head: &Head<'_>) -> Option<Route> {
    // No browser reaches the admin socket.
    if client.is_trusted {
        return None;
    }
    let why = "a browser's POST is taken only from a page of this server, \
               under its address, localhost or a configured server name";
    (!is_same_site(head, &shared.site().server_names)).then(|| refused(403, why))
}

/// The methods for components and health, for what else may be looked at, and for what acts.
const COMPONENTS: &str = "GET, HEAD, OPTIONS";
const REPORTS: &str = "GET, HEAD";
const ACTS: &str = "POST";

fn not_allowed(methods: &str) -> Route {
    Route::Answer(Cow::Owned(answer(
        405,
        &format!("Allow: {methods}\r\n"),
        "ERROR: this method is not for this path",
    )))
}

/// The head of an answer, which is all that a HEAD gets of it, a refusal too.
fn bodiless(route: Route) -> Route {
    let Route::Answer(answer) = route else {
        return route;
    };
    let mut bytes = answer.into_owned();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    bytes.truncate(end.map_or(bytes.len(), |end| end + 4));
    Route::Answer(Cow::Owned(bytes))
}

fn refused(status: u16, why: &'static str) -> Route {
    refusal_route(Refusal {
        status,
        why,
        to_head: false,
    })
}

fn refusal_route(refusal: Refusal) -> Route {
    Route::Answer(Cow::Owned(refusal_answer(refusal)))
}

/// The answer to what is no request.
pub(super) fn refusal_answer(refusal: Refusal) -> Vec<u8> {
    let text = format!("ERROR: {}", refusal.why);
    let mut bytes = answer(refusal.status, "", &text);
    if refusal.to_head {
        bytes.truncate(bytes.len() - text.len());
    }
    bytes
}

/// Whether a POST does not come from another site's page in somebody's browser. Browsers name the
/// page's origin on every POST; other clients send none. An origin equal to the host proves little
/// when the host is any name that its owner points here (DNS rebinding), so the host has to be one
/// that nobody else can own.
fn is_same_site(head: &Head<'_>, server_names: &[String]) -> bool {
    let Some(origin) = head.header("origin") else {
        return head.header("sec-fetch-site") != Some("cross-site");
    };
    let Some(host) = head.header("host") else {
        return false;
    };
    let Some((_, authority)) = text::cut(origin, "://") else {
        return false;
    };
    authority.eq_ignore_ascii_case(host) && is_own_host(host, server_names)
}

fn is_own_host(host: &str, server_names: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || server_names
            .iter()
            .any(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::{Seen, examine};

    fn same_site(headers: &str) -> bool {
        let text = format!("POST /a HTTP/1.0\r\n{headers}\r\n");
        match examine(text.as_bytes(), 0) {
            Seen::Whole(request) => is_same_site(&request.head, &[String::from("lb.example")]),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_browser_may_post_only_from_our_own_page() {
        for headers in [
            "",
            "Host: evil.example\r\n",
            "Host: 10.0.0.1:8080\r\nOrigin: http://10.0.0.1:8080\r\n",
            "Host: [::1]:8080\r\nOrigin: http://[::1]:8080\r\n",
            "Host: localhost:8080\r\nOrigin: http://localhost:8080\r\n",
            "Host: LB.example\r\nOrigin: https://lb.example\r\n",
            "Host: lb.example\r\nSec-Fetch-Site: same-origin\r\n",
        ] {
            assert!(same_site(headers), "{headers:?}");
        }
        for headers in [
            "Host: 10.0.0.1:8080\r\nOrigin: http://evil.example\r\n",
            "Host: 10.0.0.1:8080\r\nOrigin: http://10.0.0.1:8081\r\n",
            "Host: 10.0.0.1:8080\r\nOrigin: null\r\n",
            "Host: rebound.example\r\nOrigin: http://rebound.example\r\n",
            "Host: localhost.evil.example\r\nOrigin: http://localhost.evil.example\r\n",
            "Origin: http://10.0.0.1\r\n",
            "Host: 10.0.0.1\r\nSec-Fetch-Site: cross-site\r\n",
        ] {
            assert!(!same_site(headers), "{headers:?}");
        }
    }
}
