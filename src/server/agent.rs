//! HAProxy's agent-check (its configuration manual, `agent-check`): a line in, a line out.
//!
//! HAProxy connects, sends its `agent-send` if it has one, and reads one line. Only `up` and `down`
//! are said by default. An agent that also says `ready` or a weight undoes what an operator set on
//! HAProxy's own socket, every two seconds; so it says these only where that control was handed to
//! it, and then the complete state every time, since HAProxy keeps the last word for each.
//!
//! What cannot be told is said with a comment alone, which HAProxy takes as `No status change`: a
//! component whose state is unknown, or one that there is not. That is also how HAProxy takes an
//! agent that does not answer at all, so that neither a restart nor a spelling mistake ever takes
//! a server down. An agent that dies after `down`, though, leaves its server down until another
//! says `up`.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use super::accept::{Then, asker, finish};
use super::listening::{Client, ListenSettings};
use super::park::{Phase, park};
use super::{ServerHandle, Shared};
use crate::check::board::{Answer, Published};
use crate::component::{Components, checked_name};
use crate::error::Error;
use crate::health::maint::Maint;
use crate::health::{Health, Mode, Reason, State};
use crate::log::Level;
use crate::net::cidr::Cidr;
use crate::sys::socket::read_now;
use crate::text::joined;

/// A component's name and a few blanks fit well.
pub(super) const LINE_BYTES_MAX: usize = 256;

/// How long the name is waited for. HAProxy sends it as soon as it is connected, or never; a lost
/// packet comes again after 200 ms, and without a name there is nothing to be said.
pub(super) const LINE_WITHIN: Duration = Duration::from_millis(500);

/// How long an answer waits for a check that runs on request: less than HAProxy's own patience,
/// which is `agent-inter`, 2 s unless it is told otherwise.
const ANSWER_WITHIN: Duration = Duration::from_millis(1_500);

/// A description's length at most; HAProxy keeps the first hundred or so in its statistics.
const REASON_LEN_MAX: usize = 100;

/// What an agent says about a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentReply {
    /// `up`, `down`, or nothing when it is unknown.
    pub state: State,
    /// Why it is down, for people.
    pub reason: String,
    /// Said only with [`AgentSettings::controls_admin`].
    pub admin: AgentAdmin,
    /// In percent of the weight in HAProxy's configuration, at most 100. Said only with
    /// [`AgentSettings::controls_weight`].
    pub weight_percent: u8,
}

/// What an operator means to do with a server; HAProxy's administrative states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentAdmin {
    /// In service.
    Ready,
    /// No new sessions, except those that persistence leads there; checks go on.
    Drain,
    /// No traffic and no checks.
    Maint,
}

impl AgentAdmin {
    fn word(self) -> &'static str {
        match self {
            AgentAdmin::Ready => "ready",
            AgentAdmin::Drain => "drain",
            AgentAdmin::Maint => "maint",
        }
    }
}

/// Knows what is to be said about a component.
pub trait AgentView: Send + Sync {
    /// What is said about the component of that name; `None` when there is none. Asked on a thread
    /// that answers HAProxy, so it has to answer from memory.
    fn reply(&self, component: &str) -> Option<AgentReply>;
}

impl AgentView for Components {
    fn reply(&self, component: &str) -> Option<AgentReply> {
        let component = self.find(component.as_bytes())?;
        let board = component.board();
        let published = board.published();
        let drains = matches!(&published.maint, Some(maint) if maint.mode == Mode::Drain);
        Some(AgentReply {
            // Where HAProxy is told to drain, the check's own word says whether sessions may stay.
            state: if drains {
                board.judged()
            } else {
                published.standing.state
            },
            reason: why_down(&published),
            admin: if drains {
                AgentAdmin::Drain
            } else {
                AgentAdmin::Ready
            },
            weight_percent: 100,
        })
    }
}

/// For a view of one's own that starts from what the server's components are.
impl AgentView for ServerHandle {
    fn reply(&self, component: &str) -> Option<AgentReply> {
        self.0.components.reply(component)
    }
}

/// The last outcome is the reason, unless it passed: then the component is on its way back, or a
/// human holds it.
fn why_down(published: &Published) -> String {
    let held = published.maint.as_ref().map(Maint::outcome);
    let held = held.filter(|outcome| outcome.reason == Reason::Held);
    let outcome = held.as_ref().unwrap_or(&published.outcome);
    let why = match outcome.health {
        Health::Fail | Health::Unknown => outcome.reason.words(),
        Health::Ok | Health::Warn => published.standing.phase.word(),
    };
    why.to_string()
}

/// Where HAProxy's agent-checks are answered.
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
/// use failover::{AgentSettings, HealthCheckServer};
///
/// let server = HealthCheckServer::bind("127.0.0.1:0")?;
/// let mail = failover::Background::new(|| true, failover::second(5), failover::ok)?;
/// server.add_component("mail", mail)?;
/// let agent = server.listen_also(AgentSettings::new("127.0.0.1:0")?)?.unwrap();
/// let running = server.start()?;
///
/// // As HAProxy does with `agent-send "mail\n"`.
/// let mut connection = TcpStream::connect(agent)?;
/// connection.write_all(b"mail\n")?;
/// let mut answer = String::new();
/// connection.read_to_string(&mut answer)?;
/// assert_eq!(answer, "up\n");
/// # server.handle().shutdown();
/// # running.wait();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct AgentSettings {
    listen: ListenSettings,
    agent: Agent,
}

impl AgentSettings {
    /// An address and a port of its own, since HAProxy does not speak HTTP there. The component is
    /// the one that HAProxy names with `agent-send "NAME\n"`.
    ///
    /// # Errors
    /// Not an address; a name that cannot be resolved.
    pub fn new(address: impl ToSocketAddrs + fmt::Debug) -> Result<AgentSettings, Error> {
        Ok(AgentSettings {
            listen: ListenSettings::new(address)?,
            agent: Agent {
                component: None,
                controls_admin: false,
                controls_weight: false,
                view: None,
            },
        })
    }

    /// Always answers for this component, without waiting for a name.
    ///
    /// # Errors
    /// No component can have that name.
    pub fn component(mut self, name: &str) -> Result<AgentSettings, Error> {
        self.agent.component = Some(checked_name(name)?);
        Ok(self)
    }

    /// Answers only peers in this range, as [`ListenSettings::allow`] says.
    pub fn allow(mut self, range: Cidr) -> AgentSettings {
        self.listen = self.listen.allow(range);
        self
    }

    /// Says `ready`, `drain` or `maint` every time. An operator's `set server ... state` lasts
    /// until the next answer then.
    pub fn controls_admin(mut self) -> AgentSettings {
        self.agent.controls_admin = true;
        self
    }

    /// Says the weight every time. An operator's `set server ... weight` lasts until the next
    /// answer then.
    pub fn controls_weight(mut self) -> AgentSettings {
        self.agent.controls_weight = true;
        self
    }

    /// Has another decide what is said. Default: the state of the server's components.
    pub fn view(mut self, view: impl AgentView + 'static) -> AgentSettings {
        self.agent.view = Some(Arc::new(view));
        self
    }
}

impl From<AgentSettings> for ListenSettings {
    fn from(settings: AgentSettings) -> ListenSettings {
        settings.listen.speaking(settings.agent)
    }
}

/// How one listener answers agent-checks.
#[derive(Clone)]
pub(super) struct Agent {
    component: Option<String>,
    controls_admin: bool,
    controls_weight: bool,
    view: Option<Arc<dyn AgentView>>,
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("component", &self.component)
            .field("controls_admin", &self.controls_admin)
            .field("controls_weight", &self.controls_weight)
            .finish_non_exhaustive()
    }
}

/// Answers a connection that was just accepted, or leaves it to the sweeper until its name comes.
pub(super) fn serve(shared: &Arc<Shared>, agent: &Arc<Agent>, stream: TcpStream, client: Client) {
    if let Some(name) = &agent.component {
        return answer(shared, agent, stream, name.as_bytes());
    }
    let mut line = [0; LINE_BYTES_MAX];
    let len = read_now(&stream, &mut line).unwrap_or(0);
    if is_whole(&line[..len]) {
        return answer(shared, agent, stream, &line[..len]);
    }
    let phase = Phase::Naming {
        line: line[..len].to_vec(),
        agent: agent.clone(),
    };
    park(shared, stream, client, phase);
}

/// Whether there is nothing more to wait for.
pub(super) fn is_whole(line: &[u8]) -> bool {
    line.len() >= LINE_BYTES_MAX || line.contains(&b'\n')
}

/// Answers, whatever came of a name.
pub(super) fn answer(shared: &Arc<Shared>, agent: &Arc<Agent>, stream: TcpStream, line: &[u8]) {
    let name = match &agent.component {
        Some(name) => name.clone(),
        None => asked_for(line),
    };
    let component = shared.components.find(name.as_bytes());
    let waits = component.filter(|component| component.board().glance().is_none());
    let Some(component) = waits else {
        return finish_with(shared, agent, stream, &name);
    };
    let (answering, agent) = (shared.clone(), agent.clone());
    let asker = asker(shared, ANSWER_WITHIN, move |_| {
        finish_with(&answering, &agent, stream, &name);
    });
    if let Err(asker) = component.board().ask(asker) {
        (asker.answer)(Answer::Late);
    }
}

/// The first line without the blanks around it; what is no text is nobody's name.
fn asked_for(line: &[u8]) -> String {
    let first = line.split(|byte| *byte == b'\n').next();
    let text = std::str::from_utf8(first.unwrap_or_default());
    text.unwrap_or_default().trim().to_string()
}

fn finish_with(shared: &Arc<Shared>, agent: &Agent, stream: TcpStream, name: &str) {
    let view: &dyn AgentView = agent.view.as_deref().unwrap_or(&*shared.components);
    // A view may be a library user's.
    let reply = panic::catch_unwind(AssertUnwindSafe(|| view.reply(name)));
    let text = match reply {
        Ok(Some(reply)) => agent.line_of(&reply),
        Ok(None) if name.is_empty() => String::from("# no component was named\n"),
        Ok(None) => {
            shared.complaints.line(
                &shared.log,
                Level::Warning,
                format_args!("an agent-check asks for {name:?}; there is no such component"),
            );
            String::from("# no such component\n")
        }
        Err(_) => {
            shared.complaints.line(
                &shared.log,
                Level::Error,
                format_args!("component={name} what an agent-check is told panicked"),
            );
            String::from("# cannot be told\n")
        }
    };
    // HAProxy may have sent something that was not read, or may do so yet.
    finish(shared, stream, Cow::Owned(text.into_bytes()), Then::Drain);
}

impl Agent {
    /// One line, with all that this listener was handed control of.
    fn line_of(&self, reply: &AgentReply) -> String {
        let mut words = Vec::new();
        let mut state = reply.state;
        if self.controls_admin {
            words.push(reply.admin.word().to_string());
        } else if reply.admin != AgentAdmin::Ready {
            // Without that control the one way to have traffic leave is to be down.
            state = State::Fail;
        }
        match state {
            State::Ok => words.push(String::from("up")),
            State::Fail => words.push(String::from("down")),
            State::Unknown => {}
        }
        if self.controls_weight {
            words.push(format!("{}%", reply.weight_percent.min(100)));
        }
        let why = match state {
            State::Fail if reply.state == State::Ok => reply.admin.word(),
            State::Ok => "",
            State::Fail => &reply.reason,
            State::Unknown => "state unknown",
        };
        let mut line = joined(words, " ");
        let why = why.chars().filter(|c| !c.is_control());
        let why: String = why.take(REASON_LEN_MAX).collect();
        if !why.is_empty() {
            let blank = if line.is_empty() { "" } else { " " };
            // Writing to a string cannot fail.
            let _ = write!(line, "{blank}#{why}");
        }
        line + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(settings: AgentSettings, state: State, reason: &str) -> String {
        let admin = if settings.agent.controls_admin {
            AgentAdmin::Drain
        } else {
            AgentAdmin::Ready
        };
        settings.agent.line_of(&AgentReply {
            state,
            reason: reason.to_string(),
            admin,
            weight_percent: 150,
        })
    }

    #[test]
    fn without_control_of_it_who_drains_is_down() {
        for state in [State::Ok, State::Fail, State::Unknown] {
            let line = plain().agent.line_of(&AgentReply {
                state,
                reason: String::from("why"),
                admin: AgentAdmin::Drain,
                weight_percent: 100,
            });
            assert!(line.starts_with("down #"), "{line}");
        }
    }

    fn plain() -> AgentSettings {
        AgentSettings::new("127.0.0.1:0").unwrap()
    }

    #[test]
    fn a_line_says_only_what_was_handed_over() {
        for (settings, state, expected) in [
            (plain(), State::Ok, "up\n"),
            (plain(), State::Fail, "down #why\n"),
            (plain(), State::Unknown, "#state unknown\n"),
            (plain().controls_admin(), State::Ok, "drain up\n"),
            (plain().controls_weight(), State::Fail, "down 100% #why\n"),
            (
                plain().controls_weight(),
                State::Unknown,
                "100% #state unknown\n",
            ),
            (
                plain().controls_admin().controls_weight(),
                State::Ok,
                "drain up 100%\n",
            ),
        ] {
            assert_eq!(line(settings, state, "why"), expected);
        }
    }

    #[test]
    fn a_hostile_reason_stays_a_comment_on_one_line() {
        let long = format!("a\r\nup ready\n{}", "é".repeat(1_000));
        let said = line(plain(), State::Fail, &long);
        assert!(said.starts_with("down #aup readyé"), "{said}");
        assert_eq!(said.matches('\n').count(), 1);
        assert!(said.chars().count() <= REASON_LEN_MAX + 7);
        assert_eq!(line(plain(), State::Fail, ""), "down\n");
    }

    #[test]
    fn names_come_in_many_ways_and_nonsense_is_none() {
        for (sent, name) in [
            (&b"web\n"[..], "web"),
            (b"web\r\n", "web"),
            (b"web", "web"),
            (b" a/b \nup ready\n", "a/b"),
            (b"", ""),
            (b"\n", ""),
            (b"\xff\xfe\n", ""),
            (b"\0\n", "\0"),
        ] {
            assert_eq!(asked_for(sent), name);
        }
    }
}
