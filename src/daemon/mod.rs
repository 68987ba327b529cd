//! The daemon: the running system, from its configuration to its orderly end.
//!
//! It reads a configuration, gives each component its threads, has the server answer, and takes a
//! new configuration without losing what it knows. It decides nothing about health, and answers
//! nobody itself.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clock::{Clock, SystemClock, locked};
use crate::component::{Component, Components};
use crate::config::build;
use crate::config::component::{ComponentPlan, Judging, Schedule};
use crate::config::plan::{self, Plan};
use crate::error::Error;
use crate::health::State;
use crate::log::{Level, Log};
use crate::server::HealthCheckServer;
use crate::sys::signals::{Signal, Signals};

/// Runs until a signal ends it.
///
/// # Errors
/// An address that cannot be listened on, a file of credentials that cannot be read, no thread.
pub(crate) fn run(path: PathBuf, plan: Plan, signals: &Signals) -> Result<(), Error> {
    let log = Log::to_stderr();
    let mut builder = HealthCheckServer::builder().log(log.clone());
    if let Some((default, _)) = &plan.server.default {
        builder = builder.default_component(default);
    }
    for name in &plan.server.server_names {
        builder = builder.server_name(name);
    }
    if let Some(connections) = plan.server.connections_max {
        builder = builder.max_connections(connections);
    }
    // Invariant: there is always one; the default if no other.
    let address = plan.server.listens.first().map(|listen| listen.address);
    let address = address.ok_or_else(|| Error::invalid("no address to listen on"))?;
    let server = builder.bind(address)?;
    let daemon = Daemon::new(path, &server, log.clone());
    daemon.take(plan)?;
    let running = server.start()?;
    log.line(
        Level::Notice,
        format_args!("listening on {}", server.local_addr()),
    );
    loop {
        match signals.wait() {
            Signal::Hangup => {
                let _ = daemon.reload();
            }
            Signal::Interrupt | Signal::Terminate => break,
        }
    }
    server.handle().shutdown();
    running.wait();
    Ok(())
}

/// The running system.
struct Daemon {
    path: PathBuf,
    components: Arc<Components>,
    clock: Arc<dyn Clock>,
    log: Log,
    loaded: Mutex<Loaded>,
}

/// The configuration that is in force.
#[derive(Default)]
struct Loaded {
    generation: u64,
    plans: Vec<ComponentPlan>,
    /// What was wrong with the last that was tried, if it was not taken.
    error: Option<String>,
}

impl Daemon {
    fn new(path: PathBuf, server: &HealthCheckServer, log: Log) -> Daemon {
        Daemon {
            path,
            components: server.components().clone(),
            clock: Arc::new(SystemClock),
            log,
            loaded: Mutex::default(),
        }
    }

    /// Reads the configuration again; one that is wrong changes nothing.
    ///
    /// # Errors
    /// What is wrong.
    fn reload(&self) -> Result<u64, String> {
        if self.path.as_os_str() == plan::STDIN {
            return Err(String::from(
                "the configuration came from standard input and cannot be read again",
            ));
        }
        let read = plan::read(&self.path);
        let first_error = read.first_error();
        let taken = match read.plan {
            None => Err(first_error),
            Some(plan) => self.take(plan).map_err(|error| format!("{error:?}")),
        };
        let mut loaded = locked(&self.loaded);
        loaded.error = taken.as_ref().err().cloned();
        match &taken {
            Ok(generation) => {
                let count = loaded.plans.len();
                self.log.line(
                    Level::Notice,
                    format_args!("configuration taken: generation={generation} components={count}"),
                );
            }
            Err(why) => self.log.line(
                Level::Error,
                format_args!("configuration refused, nothing was changed: {why}"),
            ),
        }
        taken
    }

    /// Puts a configuration in force: all is built before anything is changed.
    ///
    /// # Errors
    /// What could not be built, or would drop a manual reset that is due.
    fn take(&self, plan: Plan) -> Result<u64, Error> {
        let mut loaded = locked(&self.loaded);
        self.refuse_to_forget(&loaded.plans, &plan.components)?;
        let mut list = Vec::new();
        let mut fresh = Vec::new();
        let mut plans = plan.components;
        for new in &mut plans {
            let old = loaded.plans.iter().find(|old| old.name == new.name);
            let running = self.components.find(new.name.as_bytes());
            match (old, running) {
                (Some(old), Some(running)) if old.runs_as(new) => list.push(running),
                (old, running) => {
                    let resumed = resumed(old, new, running.as_deref());
                    let components = Arc::downgrade(&self.components);
                    let built = build::build(new, resumed, &components, &self.clock)?;
                    fresh.push((built, new.judging.clone(), running));
                }
            }
        }
        let count = fresh.len();
        for (index, (built, judging, old)) in fresh.into_iter().enumerate() {
            let component = built.start(first_delay(index, count, &judging))?;
            // What a human put the one before into goes on.
            let maint = old.and_then(|old| old.board().published().maint);
            component.board().maintain(maint);
            list.push(Arc::new(component));
        }
        self.components.replace(list)?;
        loaded.plans = plans;
        loaded.generation += 1;
        Ok(loaded.generation)
    }

    /// A reset that is due is a human's to give, not an editor's.
    fn refuse_to_forget(&self, old: &[ComponentPlan], new: &[ComponentPlan]) -> Result<(), Error> {
        for plan in old.iter().filter(|plan| plan.reset.is_some()) {
            let running = self.components.find(plan.name.as_bytes());
            let is_due = running.is_some_and(|it| it.board().judged() == State::Fail);
            let stays = |new: &&ComponentPlan| new.name == plan.name && new.reset.is_some();
            if is_due && !new.iter().any(|new| stays(&new)) {
                return Err(Error::invalid(format!(
                    "component {:?} awaits its manual reset, which this configuration would drop; \
                     expected the reset first, or a configuration that keeps it",
                    plan.name
                )));
            }
        }
        Ok(())
    }
}

/// The state that goes on in a component that takes the place of another: a reset that is due, and
/// what is known as long as the same question is asked.
fn resumed(
    old: Option<&ComponentPlan>,
    new: &ComponentPlan,
    running: Option<&Component>,
) -> Option<State> {
    let (old, state) = (old?, running?.board().judged());
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
    let Schedule::Every(speeds) = judging.schedule else {
        return Duration::ZERO;
    };
    let parts = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let step = SPREAD.min(speeds.every / parts(count.max(1)));
    SETTLING + step * parts(index)
}
