//! POSTs to components, acted on at a desk of their own, one at a time.
//!
//! What a POST does may take long (a password hash by design does), and may be a library user's
//! code. Here it is also found out what is answered to it, and when.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::accept::{asker, finish};
use super::admin::permission;
use super::desk::{Caller, Work};
use super::listening::Client;
use crate::check::board::Answer;
use crate::component::{Component, Post, Reply};
use crate::log::Level;
use crate::wire::http::{Request, answer};

/// How long an answer waits for the run that it brought about.
const RUN_WITHIN: Duration = Duration::from_secs(2);

/// A POST as whoever acts on it sees it.
pub(super) fn post_of(request: &Request<'_>, client: Client, component: &Component) -> Post {
    let owned = |(name, value): (&str, &str)| (name.to_string(), value.to_string());
    Post {
        path: request.head.target.to_string(),
        headers: request.head.headers().map(owned).collect(),
        body: request.body.to_vec(),
        peer: client.peer,
        state: component.board().judged(),
        is_admin: client.is_trusted,
    }
}

/// Acts on a POST, and answers.
pub(super) fn work(component: Arc<Component>, mut post: Post, client: Client) -> Work {
    Box::new(move |shared, caller| {
        // A reset is a human's, and a reload that goes on is not to undo it.
        let is_reset = component.about().manual_reset;
        let alone = is_reset.then(|| shared.admin().alone());
        // Another configuration may have come meanwhile.
        let Some(component) = shared.components.find(component.name().as_bytes()) else {
            return caller.answer(shared, answer(404, "", "ERROR"));
        };
        if is_for_admins(shared, &component, client) {
            let permitted = permission(shared, client, post.header("authorization"));
            if let Err(refused) = permitted {
                return caller.answer(shared, refused);
            }
            post.is_admin = true;
        }
        let acted = panic::catch_unwind(AssertUnwindSafe(|| {
            component.on_post().map(|on_post| on_post.on_post(&post))
        }));
        let reply = match acted {
            Ok(Some(reply)) => reply,
            Ok(None) => Reply::new(405, "ERROR: this method is not for this path"),
            Err(_) => {
                let name = component.name();
                shared.log.line(
                    Level::Error,
                    format_args!("component={name} what a POST does panicked"),
                );
                Reply::new(500, "ERROR")
            }
        };
        drop(alone);
        if let Some(why) = &reply.trouble {
            let name = component.name();
            shared.complaints.line(
                &shared.log,
                Level::Error,
                format_args!("component={name} no credentials to compare: {why}"),
            );
        }
        let bytes = bytes_of(&reply);
        if reply.acts_on_state() {
            answer_after_run(shared, caller, &component, bytes);
        } else {
            caller.answer(shared, bytes);
        }
    })
}

/// Whether an administrator's credentials are to be shown here, and can be.
fn is_for_admins(shared: &Shared, component: &Component, client: Client) -> bool {
    let on_post = component.on_post();
    !client.only_components
        && !shared.site().guards.is_empty()
        && on_post.is_some_and(|on_post| on_post.is_for_admins())
}

/// Answers once the component's check has run, or has not in time.
pub(super) fn answer_after_run(
    shared: &Arc<Shared>,
    caller: Caller,
    component: &Component,
    bytes: Vec<u8>,
) {
    let answering = shared.clone();
    let (stream, then, kept) = caller.leave();
    let asker = asker(shared, RUN_WITHIN, move |_| {
        finish(&answering, stream, Cow::Owned(bytes), then);
    });
    drop(kept);
    if let Err(asker) = component.board().ask_afresh(asker) {
        (asker.answer)(Answer::Late);
    }
}

fn bytes_of(reply: &Reply) -> Vec<u8> {
    let header = |challenge| format!("WWW-Authenticate: {challenge}\r\n");
    let challenge = reply.challenge.map(header);
    answer(reply.status, &challenge.unwrap_or_default(), &reply.text)
}
