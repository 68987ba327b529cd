//! Administration: `/-/reload`, `/-/maint/NAME` and `/-/reset/NAME`, and who may.
//!
//! Whoever asks over a trusted listener may; anybody else needs an administrator's credentials,
//! and where none are configured nobody may. What is done is done by an [`Admin`], one thing at a
//! time, and one line of log says what and who. A reload has a desk of its own, since nobody knows
//! how long its files take to read. Answers are plain text, a line for people; the
//! status is for programs:
//!
//! | status | means |
//! |---|---|
//! | `200` | it is done, and what is kept of it is on disk |
//! | `400` | a field is missing, unknown or cannot be read |
//! | `401` | no credentials, or wrong ones |
//! | `403` | there is nobody who may, or it comes from another site's page |
//! | `404` | there is no such component, or not any more, or it has no manual reset |
//! | `409` | it cannot be done as things are, or another reload goes on; nothing has changed |
//! | `500` | there is nothing to hold the credentials against |
#![forbid(unsafe_code)]

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, MutexGuard};

use super::Shared;
use super::desk::{Caller, Work};
use super::listening::Client;
use super::posts::answer_after_run;
use crate::auth::{Access, Guard};
use crate::component::{Component, Reply};
use crate::health::State;
use crate::health::maint::{BECAUSE_LEN_MAX, Maint, mode_of};
use crate::log::Level;
use crate::text::joined;
use crate::units::{Span, print_duration};
use crate::wire::form;
use crate::wire::http::{Request, answer};

/// What runs the server, as far as administrators may change it. What it answers `Ok` to is kept:
/// it outlives a restart. `Err` is a sentence for people, and nothing has changed.
pub(crate) trait Admin: Send + Sync {
    /// Reads the configuration again and puts it in force. The generation that it then has. It may
    /// take for ever to read, and is called on a thread that nobody else needs; while another goes
    /// on it is refused.
    fn reload(&self) -> Result<u64, String>;

    /// How many configurations have been in force so far.
    fn generation(&self) -> u64;

    /// Where the configuration is, and what was wrong with it when it was read last.
    fn config(&self) -> Config;

    /// While this is held nothing else is changed, neither by a human nor by a reload. Not for
    /// [`Admin::reload`], which sees to that itself.
    fn alone(&self) -> Option<MutexGuard<'_, ()>> {
        None
    }

    /// Puts a component into maintenance, or ends that.
    fn maintain(&self, component: &Component, maint: Option<Maint>) -> Result<(), String> {
        component.board().maintain(maint);
        Ok(())
    }

    /// Resets a component whose failure waits for a human. What is answered.
    fn reset(&self, component: &Component) -> Result<Reply, String> {
        let state = component.board().judged();
        let reset = component
            .on_post()
            .and_then(|on_post| on_post.reset_by_admin(state));
        reset.ok_or_else(|| {
            let name = component.name();
            format!("{name:?} has no manual reset; expected one with \"manual-reset\"")
        })
    }
}

/// What is known of the configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    /// `None` where there is none.
    pub(crate) file: Option<String>,
    /// Why what was read last is not in force.
    pub(crate) error: Option<String>,
}

/// A server that nothing runs but its program: nothing is read again, nothing is kept.
pub(super) struct NoConfig;

impl Admin for NoConfig {
    fn reload(&self) -> Result<u64, String> {
        Err(String::from("there is no configuration to be read"))
    }

    fn generation(&self) -> u64 {
        1
    }

    fn config(&self) -> Config {
        Config::default()
    }
}

/// What an administrator can have done.
pub(super) enum Act {
    Reload,
    Maint(Arc<Component>),
    Reset(Arc<Component>),
}

/// What an act is asked for with.
struct Asked {
    authorization: Option<String>,
    client: Client,
    body: Vec<u8>,
    query: String,
}

/// Why nobody may over this listener.
pub(super) const NOBODY_MAY: &str = "over TCP nothing can be changed here until `admin token-file \
                                     FILE` or `admin htpasswd FILE` is configured; `failover \
                                     maint` and `failover reset` go over the admin socket and \
                                     need neither";

/// What is answered to who names what is not there.
pub(super) fn no_component(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    format!("ERROR: there is no component {name:?}")
}

/// Does it if its sender may have it done, and answers.
pub(super) fn work(act: Act, request: &Request<'_>, client: Client) -> Work {
    let asked = Asked {
        authorization: request.head.header("authorization").map(String::from),
        client,
        body: request.body.to_vec(),
        query: request.head.query().to_string(),
    };
    Box::new(move |shared, caller| {
        let by = match permission(shared, asked.client, asked.authorization.as_deref()) {
            Ok(by) => by,
            Err(bytes) => return caller.answer(shared, bytes),
        };
        let is_reload = matches!(act, Act::Reload);
        let doing: Work = Box::new(move |shared, caller| {
            // What a panic leaves half done is its own room's affair; the desk goes on.
            let (act, reply) = act.alone(shared, &asked);
            let (name, what) = act.words();
            let (status, text) = (reply.status(), reply.text().escape_debug());
            shared.log.line(
                Level::Notice,
                format_args!("{what}{name} by=\"{by}\" status={status} said=\"{text}\""),
            );
            answer_act(shared, caller, &act, &reply);
        });
        if is_reload {
            // Its files may lie on a server that is gone, and others are not to wait for that.
            shared.reloads.submit(shared, caller, doing);
        } else {
            doing(shared, caller);
        }
    })
}

/// Who it is, for the log; or the answer to who may not. Blocks as [`Guard::verify`] does.
pub(super) fn permission(
    shared: &Shared,
    client: Client,
    authorization: Option<&str>,
) -> Result<String, Vec<u8>> {
    if client.is_trusted {
        return Ok(String::from("admin socket"));
    }
    let mut unavailable = None;
    let site = shared.site();
    for guard in &site.guards {
        match guard.verify(authorization) {
            Access::Granted { user } => return Ok(format!("{user} from {}", client.peer)),
            Access::Denied => {}
            Access::Unavailable(why) => unavailable = Some(why),
        }
    }
    if let Some(why) = unavailable {
        // The file's name is for the log, and not for strangers.
        shared.complaints.line(
            &shared.log,
            Level::Error,
            format_args!("nothing to hold an administrator's credentials against: {why}"),
        );
        return Err(answer(500, "", "ERROR: no credentials to compare"));
    }
    if site.guards.is_empty() {
        return Err(answer(403, "", &format!("ERROR: {NOBODY_MAY}")));
    }
    let challenge = |guard: &Arc<Guard>| format!("WWW-Authenticate: {}\r\n", guard.challenge());
    let challenges: String = site.guards.iter().map(challenge).collect();
    Err(answer(401, &challenges, "Invalid credentials"))
}

fn answer_act(shared: &Arc<Shared>, caller: Caller, act: &Act, reply: &Reply) {
    let bytes = answer(reply.status(), "", reply.text());
    match act {
        Act::Reset(component) if reply.acts_on_state() => {
            answer_after_run(shared, caller, component, bytes);
        }
        _ => caller.answer(shared, bytes),
    }
}

impl Act {
    /// Has it done to what is mounted by then: a reload may go on, and whatever a human did to a
    /// component whose place is about to be taken would be lost.
    fn alone(self, shared: &Shared, asked: &Asked) -> (Act, Reply) {
        let is_reload = matches!(self, Act::Reload);
        let _alone = if is_reload {
            None
        } else {
            shared.admin().alone()
        };
        // Another configuration may have come meanwhile.
        let now = |component: &Component| {
            let name = component.name().as_bytes();
            shared
                .components
                .find(name)
                .ok_or_else(|| no_component(name))
        };
        let act = match &self {
            Act::Reload => Ok(Act::Reload),
            Act::Maint(component) => now(component).map(Act::Maint),
            Act::Reset(component) => now(component).map(Act::Reset),
        };
        let act = match act {
            Ok(act) => act,
            Err(why) => return (self, Reply::new(404, why)),
        };
        let done = panic::catch_unwind(AssertUnwindSafe(|| act.done(shared, asked)));
        let reply = done.unwrap_or_else(|_| Reply::new(500, "ERROR: it panicked"));
        (act, reply)
    }

    /// Its fields in a line of log.
    fn words(&self) -> (String, &'static str) {
        let named = |component: &Component| format!(" component={}", component.name());
        match self {
            Act::Reload => (String::new(), "reload"),
            Act::Maint(component) => (named(component), "maintenance"),
            Act::Reset(component) => (named(component), "reset"),
        }
    }

    fn done(&self, shared: &Shared, asked: &Asked) -> Reply {
        let done = match self {
            Act::Reload => reload(shared, asked),
            Act::Maint(component) => maintain(shared, component, asked),
            Act::Reset(component) => reset(shared, component, asked),
        };
        done.unwrap_or_else(|reply| *reply)
    }
}

fn reload(shared: &Shared, asked: &Asked) -> Result<Reply, Box<Reply>> {
    Fields::read(asked, &[])?;
    let generation = shared.admin().reload().map_err(|why| conflict(&why))?;
    Ok(Reply::new(
        200,
        format!("Generation {generation} is in force"),
    ))
}

fn reset(shared: &Shared, component: &Component, asked: &Asked) -> Result<Reply, Box<Reply>> {
    Fields::read(asked, &[])?;
    let reset = shared.admin().reset(component);
    let refused = |why: String| match component.about().manual_reset {
        true => conflict(&why),
        // There is nothing here to be had by asking again.
        false => Box::new(Reply::new(404, format!("ERROR: {why}"))),
    };
    let reply = reset.map_err(refused)?;
    if !reply.acts_on_state() {
        return Ok(reply);
    }
    // What a program is told by a POST to the component is one word.
    let said = format!("{} is reset: ok, and judged afresh", component.name());
    Ok(Reply::new(200, said).after_next_run())
}

fn maintain(shared: &Shared, component: &Component, asked: &Asked) -> Result<Reply, Box<Reply>> {
    let fields = Fields::read(asked, &["mode", "for", "because"])?;
    let name = component.name();
    let Some(word) = fields.value("mode") else {
        return Err(unusable("no mode; expected mode=drain, hold or off"));
    };
    if word == "off" {
        if fields.0.len() > 1 {
            return Err(unusable("mode=off takes nothing beside it"));
        }
        let was_in = component.board().published().maint.is_some();
        let done = shared.admin().maintain(component, None);
        done.map_err(|why| conflict(&why))?;
        let said = if was_in {
            "is not in maintenance any more"
        } else {
            "was not in maintenance"
        };
        return Ok(Reply::new(200, format!("{name} {said}")));
    }
    let state = component.board().state_to_hold();
    let mode = mode_of(word, state).map_err(|error| unusable(&error.to_string()))?;
    if word == "hold" && state == State::Unknown {
        return Err(conflict(&format!(
            "the state of {name:?} is unknown; expected one to hold"
        )));
    }
    let span = fields.value("for").map(Span::try_from).transpose();
    let span = span.map_err(|error| unusable(&format!("for: {error}")))?;
    let because = fields.value("because").unwrap_or_default();
    if because.len() > BECAUSE_LEN_MAX {
        let why = format!("because: over {BECAUSE_LEN_MAX} bytes");
        return Err(unusable(&why));
    }
    let since = shared.components.now();
    let maint = Maint {
        mode,
        since,
        until: span.map(|span| since + span.duration()),
        because: because.to_string(),
    };
    let done = shared.admin().maintain(component, Some(maint));
    done.map_err(|why| conflict(&why))?;
    let until = match span {
        Some(span) => format!("for {}", print_duration(span.duration())),
        None => String::from("until a human ends that"),
    };
    let state = component.board().state();
    Ok(Reply::new(
        200,
        format!("{name} is in maintenance ({word}) and answers {state} {until}"),
    ))
}

fn conflict(why: &str) -> Box<Reply> {
    Box::new(Reply::new(409, format!("ERROR: {why}")))
}

fn unusable(why: &str) -> Box<Reply> {
    Box::new(Reply::new(400, format!("ERROR: {why}")))
}

/// The fields of a form, from the body and the query together.
struct Fields(Vec<(String, String)>);

impl Fields {
    /// # Errors
    /// The answer to what is no form, and to fields that are unknown or stand twice: a `for` that
    /// was misspelt must not become a maintenance without an end.
    fn read(asked: &Asked, known: &[&str]) -> Result<Fields, Box<Reply>> {
        let read = |text: &[u8]| {
            form::fields(text.trim_ascii()).ok_or_else(|| unusable("the fields cannot be read"))
        };
        let mut fields = read(&asked.body)?;
        fields.append(&mut read(asked.query.as_bytes())?);
        for (index, (name, _)) in fields.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let expected = match known {
                    [] => String::from("none"),
                    known => joined(known, ", "),
                };
                return Err(unusable(&format!(
                    "unknown field {name:?}; expected {expected}"
                )));
            }
            if fields[..index].iter().any(|(before, _)| before == name) {
                return Err(unusable(&format!("{name} stands twice")));
            }
        }
        Ok(Fields(fields))
    }

    fn value(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.iter();
        fields
            .find(|(is, _)| is == name)
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process;

    use super::*;
    use crate::client::admin::AdminSocket;
    use crate::component::{About, Components, Mount, Table};
    use crate::decide::oneshot::Oneshot;
    use crate::log::Log;
    use crate::server::HealthCheckServer;

    /// A server behind an admin socket of its own, with components that can be reset.
    struct Site {
        server: HealthCheckServer,
        path: PathBuf,
    }

    impl Site {
        fn new(test: &str, names: &[&str]) -> Site {
            let name = format!("failover-{test}-{}.sock", process::id());
            let path = std::env::temp_dir().join(name);
            let builder = HealthCheckServer::builder().log(Log::none());
            let server = builder.admin_socket(&path).open().unwrap();
            for name in names {
                let reset = Oneshot::new(State::Fail);
                let mount = Mount {
                    name: name.to_string(),
                    check: Box::new(reset.clone()),
                    on_post: Some(Box::new(reset)),
                    about: About {
                        manual_reset: true,
                        ..About::default()
                    },
                };
                server.components().add(mount).unwrap();
            }
            Site { server, path }
        }

        fn post(&self, target: &str, fields: &str) -> (u16, String) {
            let socket = AdminSocket::new(&self.path);
            let answer = socket.request("POST", target, fields.as_bytes());
            let (status, text) = answer.unwrap();
            (status, String::from_utf8(text).unwrap())
        }
    }

    /// Where what waits for its turn finds another configuration, without any component.
    struct Reloaded(Arc<Components>);

    impl Admin for Reloaded {
        fn reload(&self) -> Result<u64, String> {
            Ok(2)
        }

        fn generation(&self) -> u64 {
            2
        }

        fn config(&self) -> Config {
            Config::default()
        }

        fn alone(&self) -> Option<MutexGuard<'_, ()>> {
            let left = self.0.all().into_iter().skip(1).collect();
            self.0.replace(Table::of(left).unwrap());
            None
        }
    }

    #[test]
    fn what_is_gone_when_its_turn_comes_is_not_there() {
        let site = Site::new("gone", &["a", "b", "c"]);
        let components = site.server.components().clone();
        site.server.administer(Arc::new(Reloaded(components)));
        let running = site.server.start().unwrap();
        let gone = |name: &str| (404, no_component(name.as_bytes()));
        assert_eq!(site.post("/-/maint/a", "mode=drain"), gone("a"));
        assert_eq!(site.post("/-/reset/b", ""), gone("b"));
        assert_eq!(site.post("/c", "").0, 404);
        // As for what was never there.
        assert_eq!(site.post("/-/maint/a", "mode=drain"), gone("a"));
        site.server.handle().shutdown();
        running.wait();
    }
}
