//! The daemon: the running system, from its configuration to its orderly end.
//!
//! It reads a configuration, gives each component its threads, has the server answer, keeps what
//! has to outlive a restart, and takes a new configuration without losing what it knows. It
//! decides nothing about health, and answers nobody itself.
//!
//! ```text
//! run -> Daemon::take (plans -> components, places, site) -> server.start -> signals, watchdog
//!                ^-- SIGHUP, POST /-/reload: all is built before anything is changed
//! ```
#![forbid(unsafe_code)]

mod hangup;
mod keep;
mod places;
mod watch;

use std::panic;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::check::prober::PROBER;
use crate::clock::{Clock, SystemClock, locked};
use crate::component::{Component, OnPost, Post, Reply};
use crate::config::build::{self, Resumed};
use crate::config::component::{ComponentPlan, Judging, Schedule};
use crate::config::plan::{self, Plan};
use crate::config::server::{Credential, ServerPlan};
use crate::error::Error;
use crate::health::{Maint, State};
use crate::log::{Level, Log};
use crate::server::{Admin, Config, HealthCheckServer, Site};
use crate::sys::notify::Notifier;
use crate::sys::signals::{Signal, Signals};
use hangup::Hangups;
use keep::Keep;
use places::Places;
use watch::Watch;

/// Runs until a signal ends it.
///
/// # Errors
/// An address that cannot be listened on, a file of credentials that cannot be read, a state
/// directory that another daemon has, no thread.
pub(crate) fn run(path: PathBuf, plan: Plan, signals: &Signals) -> Result<(), Error> {
    let log = Log::to_stderr();
    log_panics(&log);
    let manager = Notifier::from_environment()
        .map(Arc::new)
        .map_err(|error| Error::system("NOTIFY_SOCKET cannot be used", error))?;
    let keep = Arc::new(Keep::open(plan.server.state_dir.as_deref(), log.clone())?);
    let server = Arc::new(places::open(&plan.server, &log)?);
    let watch = Watch::start(&server, keep.clone(), &log)?;
    let daemon = Arc::new(Daemon {
        path,
        server: server.clone(),
        clock: Arc::new(SystemClock),
        log: log.clone(),
        keep,
        watch,
        changing: Mutex::default(),
        loaded: Mutex::new(Loaded {
            places: Places::of(&plan.server),
            at_start: AtStart::of(&plan.server),
            ..Loaded::default()
        }),
    });
    daemon.take(plan)?;
    server.administer(daemon.clone());
    let running = server.start()?;
    daemon.say_where();
    daemon
        .keep
        .tell_of_strangers(server.components(), SystemClock.now());
    tell_of(&log, manager.ready("answering"));
    watch::feed_watchdog(&server, &manager, &log)?;
    let hangups = Hangups::new(daemon.clone(), manager.clone());
    loop {
        let signal = signals.wait();
        if signal != Signal::Hangup {
            log.line(Level::Notice, format_args!("ending: signal={signal:?}"));
            break;
        }
        hangups.reload();
    }
    tell_of(&log, manager.stopping());
    server.handle().shutdown();
    running.wait();
    server.components().dispatcher().wait_for_end(TELL_WITHIN);
    daemon.watch.end();
    daemon.keep.end();
    log.flush(Duration::from_secs(1));
    Ok(())
}

/// How long the end waits for what happened last to be told; it is told in no time, unless a
/// listener hangs.
const TELL_WITHIN: Duration = Duration::from_secs(2);

/// A check that panics is told of as its outcome; what panics elsewhere is a line of the log, not a
/// page on the terminal.
fn log_panics(log: &Log) {
    let log = log.clone();
    panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or_default();
        if name != PROBER {
            log.line(Level::Error, format_args!("thread {name:?}: {panic}"));
        }
    }));
}

/// systemd that cannot be told is no reason to stop.
fn tell_of(log: &Log, told: std::io::Result<()>) {
    if let Err(error) = told {
        log.line(
            Level::Warning,
            format_args!("systemd could not be told: {error}"),
        );
    }
}

/// The running system.
struct Daemon {
    path: PathBuf,
    server: Arc<HealthCheckServer>,
    clock: Arc<dyn Clock>,
    log: Log,
    keep: Arc<Keep>,
    watch: Watch,
    /// Held while the configuration is read and taken, and while a component is changed by a
    /// human, so that neither undoes the other.
    changing: Mutex<()>,
    loaded: Mutex<Loaded>,
}

/// The configuration that is in force.
#[derive(Default)]
struct Loaded {
    generation: u64,
    plans: Vec<ComponentPlan>,
    places: Places,
    /// What was wrong with the last that was tried, if it was not taken.
    error: Option<String>,
    at_start: AtStart,
}

/// The settings that are read at the start only.
#[derive(Default, PartialEq)]
struct AtStart {
    state_dir: Option<PathBuf>,
    admin_socket: Option<PathBuf>,
    connections_max: Option<usize>,
}

impl AtStart {
    fn of(plan: &ServerPlan) -> AtStart {
        AtStart {
            state_dir: plan.state_dir.clone(),
            admin_socket: plan.admin_socket.clone(),
            connections_max: plan.connections_max,
        }
    }
}

impl Daemon {
    /// What an operator looks for first.
    fn say_where(&self) {
        let loaded = locked(&self.loaded);
        let (path, count) = (self.path.display(), loaded.plans.len());
        let socket = match &loaded.at_start.admin_socket {
            Some(socket) => socket.display().to_string(),
            None => String::from("none"),
        };
        let text = format_args!("configuration {path}: components={count} admin-socket={socket}");
        self.log.line(Level::Notice, text);
        for address in self.server.addresses() {
            self.log
                .line(Level::Notice, format_args!("listening on {address}"));
        }
    }

    /// Puts a configuration in force: all is built before anything is changed.
    ///
    /// # Errors
    /// What could not be built, or would drop a manual reset that is due.
    fn take(&self, plan: Plan) -> Result<u64, Error> {
        let mut loaded = locked(&self.loaded);
        self.refuse_to_forget(&loaded.plans, &plan.components)?;
        let site = site_of(&plan.server)?;
        if loaded.at_start != AtStart::of(&plan.server) {
            let text = "state-dir, admin-socket and max-connections change at the next start only";
            self.log.line(Level::Warning, format_args!("{text}"));
        }
        let mut plans = plan.components;
        let components = self.components_of(&mut plans, &loaded.plans)?;
        let places = Places::of(&plan.server);
        places.replace(&loaded.places, &self.server)?;
        self.watch.follow(&plans);
        self.server.set_site(site);
        self.server.components().replace(components)?;
        loaded.places = places;
        loaded.plans = plans;
        loaded.generation += 1;
        Ok(loaded.generation)
    }

    /// What runs already goes on; what is new gets its threads.
    fn components_of(
        &self,
        plans: &mut [ComponentPlan],
        before: &[ComponentPlan],
    ) -> Result<Vec<Arc<Component>>, Error> {
        let table = self.server.components();
        let (mut list, mut fresh) = (Vec::new(), Vec::new());
        for plan in plans {
            let old = before.iter().find(|old| old.name == plan.name);
            let running = table.find(plan.name.as_bytes());
            if let (Some(old), Some(running)) = (old, &running) {
                if old.runs_as(plan) {
                    list.push(running.clone());
                    continue;
                }
            }
            let posts = running.as_ref().and_then(|running| running.on_post());
            let resumed = Resumed {
                state: match old {
                    Some(old) => resumed(old, plan, running.as_deref()),
                    None => self.kept_state(plan),
                },
                reports: posts.and_then(OnPost::reports),
            };
            let mut built = build::build(plan, resumed, &Arc::downgrade(table), &self.clock)?;
            if plan.reset.is_some() {
                let (keep, name) = (self.keep.clone(), plan.name.clone());
                built.wrap_post(|inner| Box::new(KeptReset { inner, keep, name }));
            }
            fresh.push((built, plan.judging.clone(), running));
        }
        let count = fresh.len();
        for (index, (built, judging, old)) in fresh.into_iter().enumerate() {
            let settling = if old.is_some() {
                SETTLING
            } else {
                Duration::ZERO
            };
            let component = built.start(settling + first_delay(index, count, &judging))?;
            // What a human put the one before into goes on.
            let maint = match old {
                Some(old) => old.board().published().maint,
                None => self.keep.maint(component.name(), self.clock.now()),
            };
            component.board().maintain(maint);
            list.push(Arc::new(component));
        }
        Ok(list)
    }

    /// What was kept of a component before this start.
    fn kept_state(&self, plan: &ComponentPlan) -> Option<State> {
        let is_due = plan.reset.is_some() && self.keep.was_due(&plan.name);
        is_due.then_some(State::Fail)
    }

    /// A reset that is due is a human's to give, not an editor's.
    fn refuse_to_forget(&self, old: &[ComponentPlan], new: &[ComponentPlan]) -> Result<(), Error> {
        for plan in old.iter().filter(|plan| plan.reset.is_some()) {
            let stays = |new: &ComponentPlan| new.name == plan.name && new.reset.is_some();
            if self.is_due(&plan.name) && !new.iter().any(stays) {
                return Err(Error::invalid(format!(
                    "component {:?} awaits its manual reset, which this configuration would drop; \
                     expected the reset first, or a configuration that keeps it",
                    plan.name
                )));
            }
        }
        Ok(())
    }

    /// Also of one whose failure is so new that it was not told yet.
    fn is_due(&self, name: &str) -> bool {
        let running = self.server.components().find(name.as_bytes());
        let has_failed = running.is_some_and(|it| it.board().judged() == State::Fail);
        has_failed || self.keep.is_due(name)
    }

    fn read_and_take(&self) -> Result<u64, String> {
        if self.path.as_os_str() == plan::STDIN {
            let why = "the configuration came from standard input and cannot be read again";
            return Err(String::from(why));
        }
        let read = plan::read(&self.path);
        let first_error = read.first_error();
        let plan = read.plan.ok_or(first_error)?;
        self.take(plan).map_err(|error| format!("{error:?}"))
    }
}

impl Admin for Daemon {
    fn reload(&self) -> Result<u64, String> {
        let _one_at_a_time = locked(&self.changing);
        let taken = self.read_and_take();
        let mut loaded = locked(&self.loaded);
        loaded.error = taken.as_ref().err().cloned();
        match &taken {
            Ok(generation) => {
                let count = loaded.plans.len();
                self.log.line(
                    Level::Notice,
                    format_args!("configuration taken: generation={generation} components={count}"),
                );
                self.keep.forget_strangers(self.server.components());
            }
            Err(why) => self.log.line(
                Level::Error,
                format_args!("configuration refused, nothing was changed: {why}"),
            ),
        }
        taken
    }

    fn generation(&self) -> u64 {
        locked(&self.loaded).generation
    }

    fn config(&self) -> Config {
        Config {
            file: Some(self.path.display().to_string()),
            error: locked(&self.loaded).error.clone(),
        }
    }

    fn alone(&self) -> Option<MutexGuard<'_, ()>> {
        Some(locked(&self.changing))
    }

    fn maintain(&self, component: &Component, maint: Option<Maint>) -> Result<(), String> {
        let change = |maint| component.board().maintain(maint);
        let changed = self.keep.maintain(component.name(), maint, change);
        changed.map_err(|error| format!("{error:?}"))
    }
}

/// A manual reset that is on disk before anybody is told of it.
struct KeptReset {
    inner: Box<dyn OnPost>,
    keep: Arc<Keep>,
    name: String,
}

impl KeptReset {
    fn keep(&self, reply: Reply) -> Reply {
        if !reply.acts_on_state() {
            return reply;
        }
        match self.keep.reset(&self.name, SystemClock.now()) {
            Ok(()) => reply,
            Err(error) => Reply::new(
                500,
                format!("ERROR: reset, but only until a restart: {error:?}"),
            ),
        }
    }
}

impl OnPost for KeptReset {
    fn on_post(&self, post: &Post) -> Reply {
        self.keep(self.inner.on_post(post))
    }

    fn reset_by_admin(&self, state: State) -> Option<Reply> {
        let reply = self.inner.reset_by_admin(state)?;
        Some(self.keep(reply))
    }
}

fn site_of(plan: &ServerPlan) -> Result<Site, Error> {
    let guard = plan.admin.as_ref().map(Credential::open).transpose()?;
    Ok(Site {
        default_component: plan.default.as_ref().map(|(name, _)| name.clone()),
        server_names: plan.server_names.clone(),
        guards: guard.into_iter().map(Arc::new).collect(),
    })
}

/// The state that goes on in a component that takes the place of another: a reset that is due, and
/// what is known as long as the same question is asked.
fn resumed(old: &ComponentPlan, new: &ComponentPlan, running: Option<&Component>) -> Option<State> {
    let state = running?.board().judged();
    let is_due = state == State::Fail && old.reset.is_some() && new.reset.is_some();
    let goes_on = old.asks_as(new) && state != State::Unknown;
    (is_due || goes_on).then_some(state)
}

/// So much later than the one before the next of many checks begins, where its pace allows.
const SPREAD: Duration = Duration::from_millis(10);

/// Until everything of a new configuration is in its place; a check that begins before would run
/// beside the one whose place it takes.
const SETTLING: Duration = Duration::from_millis(20);

/// The delay of the first check of the one with that index among so many that begin.
fn first_delay(index: usize, count: usize, judging: &Judging) -> Duration {
    let Schedule::Every(pace) = judging.schedule else {
        return Duration::ZERO;
    };
    let parts = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let step = SPREAD.min(pace.every.duration() / parts(count.max(1)));
    step * parts(index)
}
