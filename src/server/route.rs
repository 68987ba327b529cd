//! From a request to what is done with it.
//!
//! Only looking up happens here: no run, no waiting, no writing.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use super::Shared;
use super::answers::{self, Asked};
use super::listening::Client;
use crate::component::Component;
use crate::wire::http::{Head, Refusal, answer};

/// What is done with a request.
pub(super) enum Route {
    /// Answered at once.
    Answer(Cow<'static, [u8]>),
    /// Answered when the component's check has run.
    Run(Arc<Component>, Asked),
    /// Acted on by the worker.
    Post(Arc<Component>),
}

/// Finds out what a request is for.
pub(super) fn route(shared: &Shared, client: Client, head: &Head<'_>) -> Route {
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
        _ => return route_other(shared, &path),
    };
    let Some(component) = find(shared, &path) else {
        let is_root = path.is_empty() && shared.settings.default_component.is_none();
        let bytes = if is_root {
            answers::alive(asked)
        } else {
            answers::not_found(asked)
        };
        return Route::Answer(Cow::Borrowed(bytes));
    };
    match component.board().glance() {
        Some(state) => {
            let takes_post = component.on_post().is_some();
            Route::Answer(Cow::Borrowed(answers::of_state(state, asked, takes_post)))
        }
        None => Route::Run(component, asked),
    }
}

/// `/` is the default component, or the only one.
fn find(shared: &Shared, path: &[u8]) -> Option<Arc<Component>> {
    if !path.is_empty() {
        return shared.components.find(path);
    }
    match &shared.settings.default_component {
        Some(name) => shared.components.find(name.as_bytes()),
        None => shared.components.only(),
    }
}

/// A method that nothing here acts on.
fn route_other(shared: &Shared, path: &[u8]) -> Route {
    match find(shared, path) {
        None if !path.is_empty() => Route::Answer(Cow::Borrowed(answers::not_found(Asked::Get))),
        component => not_allowed(component.as_deref()),
    }
}

fn route_post(shared: &Shared, client: Client, head: &Head<'_>, path: &[u8]) -> Route {
    let Some(component) = find(shared, path) else {
        return route_other(shared, path);
    };
    if component.on_post().is_none() {
        return not_allowed(Some(&component));
    }
    // No browser reaches the admin socket.
    if !client.is_trusted && !is_same_site(head, &shared.settings.server_names) {
        return refusal_route(Refusal {
            status: 403,
            why: "a browser's POST is taken only from a page of this server, \
                  under its address, localhost or a configured server name",
            to_head: false,
        });
    }
    Route::Post(component)
}

fn not_allowed(component: Option<&Component>) -> Route {
    let allow = match component.and_then(Component::on_post) {
        Some(_) => "Allow: GET, HEAD, OPTIONS, POST\r\n",
        None => "Allow: GET, HEAD, OPTIONS\r\n",
    };
    Route::Answer(Cow::Owned(answer(
        405,
        allow,
        "ERROR: this method is not for this path",
    )))
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
    let Some((_, authority)) = origin.split_once("://") else {
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
