//! The daemon: the running system, from its configuration to its orderly end.
//!
//! It reads a configuration, gives each component its threads, has the server answer, keeps what
//! has to outlive a restart, and takes a new configuration without losing what it knows. It
//! decides nothing about health, and answers nobody itself.
//!
//! ```text
//! run -> Daemon::take (plans -> components, places, site) -> server.start -> signals, watchdog
//!                ^-- Daemon::read (files -> plan, credentials) <- SIGHUP, POST /-/reload
//! ```
//!
//! A reload goes like this, and one goes on at a time:
//!
//! 1. The configuration's files are read, and those of the credentials that it names. They may lie
//!    on a server that never answers: nobody waits for this but who asked for it.
//! 2. From here on no human changes a component. What is new is built with what goes on of the one
//!    whose place it takes: its state, a reset that is due, maintenance, a heartbeat's reports. It
//!    is given its threads, which are held: none of them asks anything yet.
//! 3. The new addresses are listened on. This is the last that can go wrong; whatever did until
//!    here, all is as it was, and the held threads end.
//! 4. The table of components is swapped. Those that are gone run no more, and their callers wait
//!    for the new ones, which are released; the delays of their first checks begin.
#![forbid(unsafe_code)]

mod hangup;
mod keep;
mod places;
mod watch;

use std::panic;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use crate::check::prober::{FirstStart, PROBER};
use crate::clock::{Clock, SystemClock, locked};
use crate::component::{Component, OnPost, Post, Reply, Table};
use crate::config::build::{self, Resumed};
use crate::config::component::{ComponentPlan, Schedule};
use crate::config::plan::{self, Plan};
use crate::config::server::{Credential, ServerPlan};
use crate::error::Error;
use crate::health::{Maint, State};
use crate::log::{Level, Log};
use crate::net::child;
use crate::server::{Admin, Config, HealthCheckServer, Site};
use crate::sys::notify::Notifier;
use crate::sys::process::reap_orphans;
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
    let places = Places::of(&plan.server);
    let server = Arc::new(places.open(&plan.server, &log)?);
    let watch = Watch::start(&server, keep.clone(), &log)?;
    let daemon = Arc::new(Daemon {
        path,
        server: server.clone(),
        clock: Arc::new(SystemClock),
        log: log.clone(),
        keep,
        watch,
        in_force: Mutex::new(InForce {
            plans: Vec::new(),
            places,
            at_start: AtStart::of(&plan.server),
        }),
        changing: Mutex::default(),
        told: Mutex::default(),
    });
    let (count, socket) = {
        let mut in_force = locked(&daemon.in_force);
        let ready = Ready::of(plan, &in_force)?;
        daemon.take(&mut in_force, ready)?;
        (in_force.plans.len(), in_force.at_start.admin_socket.clone())
    };
    server.administer(daemon.clone());
    let running = server.start()?;
    // From here on a reload may hold what is in force, and its files may hang.
    daemon.say_where(count, socket.as_deref());
    daemon
        .keep
        .tell_of_strangers(server.components(), SystemClock.now());
    tell_of(&log, manager.ready("answering"));
    watch::feed_watchdog(&server, &manager, &log)?;
    let hangups = Hangups::new(daemon.clone(), manager.clone());
    loop {
        match signals.wait() {
            Signal::Hangup => hangups.reload(),
            Signal::ChildEnded => reap_orphans(),
            signal => {
                log.line(Level::Notice, format_args!("ending: signal={signal:?}"));
                break;
            }
        }
    }
    tell_of(&log, manager.stopping());
    server.handle().shutdown();
    running.wait();
    // What comes of it is nobody's outcome any more.
    child::end_all();
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
    /// What the next configuration is compared with. Held by a reload from its first file to its
    /// end, which may never come; nobody but another reload waits for it.
    in_force: Mutex<InForce>,
    /// Held while a configuration is taken, and while a component is changed by a human, so that
    /// neither undoes the other; never while a file of a configuration is read.
    changing: Mutex<()>,
    /// Held for moments.
    told: Mutex<Told>,
}

/// The configuration that is in force.
struct InForce {
    plans: Vec<ComponentPlan>,
    places: Places,
    at_start: AtStart,
}

/// What is told of configurations.
#[derive(Default)]
struct Told {
    generation: u64,
    /// What was wrong with the last that was tried, if it was not taken.
    error: Option<String>,
}

/// A configuration of which every file was read.
struct Ready {
    plan: Plan,
    site: Site,
}

impl Ready {
    /// Opens the credentials of what is not in force already.
    ///
    /// # Errors
    /// A file that cannot be read, or that is none.
    fn of(mut plan: Plan, in_force: &InForce) -> Result<Ready, Error> {
        let guard = plan
            .server
            .admin
            .as_ref()
            .map(Credential::open)
            .transpose()?;
        for new in &mut plan.components {
            let Some(credential) = new.credential() else {
                continue;
            };
            let goes_on = |old: &ComponentPlan| old.name == new.name && old.runs_as(new);
            if !in_force.plans.iter().any(goes_on) {
                new.guard = Some(credential.open()?);
            }
        }
        let site = Site {
            default_component: plan.server.default.as_ref().map(|(name, _)| name.clone()),
            server_names: plan.server.server_names.clone(),
            guards: guard.into_iter().map(Arc::new).collect(),
        };
        Ok(Ready { plan, site })
    }
}

/// The settings that are read at the start only.
#[derive(PartialEq)]
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
    fn say_where(&self, count: usize, socket: Option<&Path>) {
        let path = self.path.display();
        let socket = socket.unwrap_or(Path::new("none")).display();
        self.log.line(
            Level::Notice,
            format_args!("configuration {path}: components={count} admin-socket={socket}"),
        );
        for address in self.server.addresses() {
            self.log
                .line(Level::Notice, format_args!("listening on {address}"));
        }
    }

    /// Puts a configuration in force: all is built before anything is changed.
    ///
    /// # Errors
    /// What could not be built or listened on, or would drop a manual reset that is due.
    fn take(&self, in_force: &mut InForce, ready: Ready) -> Result<u64, Error> {
        let _alone = locked(&self.changing);
        let Ready { plan, site } = ready;
        self.refuse_to_forget(&in_force.plans, &plan.components)?;
        if in_force.at_start != AtStart::of(&plan.server) {
            let text = "state-dir, admin-socket and max-connections change at the next start only";
            self.log.line(Level::Warning, format_args!("{text}"));
        }
        let mut plans = plan.components;
        let table = Table::of(self.components_of(&mut plans, &in_force.plans)?)?;
        let mut places = Places::of(&plan.server);
        places.replace(&in_force.places, &self.server)?;
        // Nobody is told of a component before it is known what is done about it.
        self.watch.follow(&plans);
        self.server.set_site(site);
        self.server.components().replace(table);
        in_force.places = places;
        in_force.plans = plans;
        let mut told = locked(&self.told);
        told.generation += 1;
        Ok(told.generation)
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
                state: self.resumed(old, plan, running.as_deref()),
                reports: posts.and_then(OnPost::reports),
            };
            let mut built = build::build(plan, resumed, &Arc::downgrade(table), &self.clock)?;
            if plan.reset.is_some() {
                let (keep, name) = (self.keep.clone(), plan.name.clone());
                built.wrap_post(|inner| Box::new(KeptReset { inner, keep, name }));
            }
            fresh.push((built, plan.judging.schedule, running));
        }
        let count = fresh.len();
        for (index, (built, schedule, old)) in fresh.into_iter().enumerate() {
            let component = built.start(first_start(index, count, schedule))?;
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

    /// The state that goes on in a component that is new or takes the place of another: a reset
    /// that is due, or is kept for who has none yet, and what is known as long as the same question
    /// is asked.
    fn resumed(
        &self,
        old: Option<&ComponentPlan>,
        new: &ComponentPlan,
        running: Option<&Component>,
    ) -> Option<State> {
        let had_reset = old.is_some_and(|old| old.reset.is_some());
        let is_due = |name| {
            if had_reset {
                self.is_due(name)
            } else {
                self.keep.was_due(name)
            }
        };
        if new.reset.is_some() && is_due(&new.name) {
            return Some(State::Fail);
        }
        let state = running?.board().judged();
        (old?.asks_as(new) && state != State::Unknown).then_some(state)
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

    /// Reads the configuration again and takes it.
    fn reload_from(&self, in_force: &mut InForce) -> Result<u64, String> {
        let taken = self.read(in_force).and_then(|ready| {
            let taken = self.take(in_force, ready);
            taken.map_err(|error| format!("{error:?}"))
        });
        locked(&self.told).error = taken.as_ref().err().cloned();
        match &taken {
            Ok(generation) => {
                let count = in_force.plans.len();
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

    fn read(&self, in_force: &InForce) -> Result<Ready, String> {
        if self.path.as_os_str() == plan::STDIN {
            let why = "the configuration came from standard input and cannot be read again";
            return Err(String::from(why));
        }
        let read = plan::read(&self.path);
        let first_error = read.first_error();
        let plan = read.plan.ok_or(first_error)?;
        Ready::of(plan, in_force).map_err(|error| format!("{error:?}"))
    }

    /// The turn to reload, if it comes soon.
    fn turn(&self) -> Option<MutexGuard<'_, InForce>> {
        for _ in 0..TURN_LOOKS {
            match self.in_force.try_lock() {
                Ok(in_force) => return Some(in_force),
                Err(TryLockError::Poisoned(poison)) => return Some(poison.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
            let next = self.clock.now() + TURN_LOOK_EVERY;
            self.clock.waiter().wait(Some(next));
        }
        None
    }
}

/// How long a reload waits for one that a signal asked for: a second in all.
const TURN_LOOKS: u32 = 20;
const TURN_LOOK_EVERY: Duration = Duration::from_millis(50);

impl Admin for Daemon {
    fn reload(&self) -> Result<u64, String> {
        let why = "another reload goes on, and its files take long to read; nothing was read";
        let mut in_force = self.turn().ok_or(why)?;
        self.reload_from(&mut in_force)
    }

    fn generation(&self) -> u64 {
        locked(&self.told).generation
    }

    fn config(&self) -> Config {
        Config {
            file: Some(self.path.display().to_string()),
            error: locked(&self.told).error.clone(),
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

    fn is_for_admins(&self) -> bool {
        self.inner.is_for_admins()
    }
}

/// So much later than the one before the next of many checks begins, where its pace allows.
const SPREAD: Duration = Duration::from_millis(10);

/// Of many checks so many begin together, since a processor that is woken for each alone takes a
/// third more. The last of them waits for the others, a fifth of a millisecond in all.
const TOGETHER: u32 = 5;

/// For less than that many in this time none waits for another.
const TOGETHER_WITHIN: Duration = Duration::from_millis(5);

/// When the one with that index first begins of so many that are released at one moment.
fn first_start(index: usize, count: usize, schedule: Schedule) -> FirstStart {
    let (Schedule::Every(pace), 1..) = (schedule, index) else {
        return FirstStart::default();
    };
    let parts = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let step = SPREAD.min(pace.every.duration() / parts(count.max(1)));
    FirstStart {
        delay: step * parts(index),
        beat: TOGETHER_WITHIN.min(step * TOGETHER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::prober::Pace;
    use crate::clock::Moment;
    use crate::units::Span;

    /// How long after the first one each of so many checks a second first begins.
    fn begins(count: usize) -> Vec<Duration> {
        let now = Moment::default() + Duration::from_nanos(1_234_567_891);
        let every_second = Schedule::Every(Pace::even(Span::try_from(1).unwrap()));
        let begin = |index| first_start(index, count, every_second).after(now);
        (0..count).map(|index| begin(index).since(now)).collect()
    }

    #[test]
    fn of_a_thousand_checks_a_second_five_begin_together_and_of_a_hundred_none() {
        for (count, together) in [(100, 1), (1_000, 5), (4_000, 5)] {
            let begins = begins(count);
            assert_eq!(begins[0], Duration::ZERO, "at once");
            let groups = begins[1..].chunk_by(|one, next| one == next);
            let mut groups: Vec<usize> = groups.map(<[_]>::len).collect();
            // The first and the last may be cut off.
            groups.pop();
            assert!(
                groups[1..].iter().all(|len| *len == together),
                "{count}: {groups:?}"
            );
            let step = Duration::from_secs(1) / count as u32;
            for (index, begin) in begins.iter().enumerate() {
                let later = begin.saturating_sub(step * index as u32);
                assert!(later < TOGETHER_WITHIN, "{index} of {count}: {later:?}");
            }
        }
    }
}
