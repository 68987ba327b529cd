//! What the daemon does when something happens: track-files, what is to be kept, and the watchdog.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex};

use super::keep::Keep;
use crate::clock::{Clock, SystemClock, locked};
use crate::component::Components;
use crate::component::track::TrackFiles;
use crate::config::component::{ComponentPlan, Track};
use crate::error::Error;
use crate::event::{Event, What};
use crate::health::State;
use crate::log::{Complaints, Level, Log};
use crate::order;
use crate::server::HealthCheckServer;
use crate::sys::notify::Notifier;
use crate::sys::thread::{self, Stack};

/// Follows the components of the configuration that is in force.
pub(super) struct Watch(Arc<Shared>);

struct Shared {
    /// By name.
    followed: Mutex<Vec<Followed>>,
    /// Until the end.
    files: Mutex<Option<TrackFiles>>,
    keep: Arc<Keep>,
    components: Arc<Components>,
}

/// What is done about one component.
#[derive(Clone)]
struct Followed {
    name: String,
    track: Option<Track>,
    has_reset: bool,
}

impl Watch {
    /// Has the server tell of everything from its start on.
    ///
    /// # Errors
    /// No thread could be had.
    pub(super) fn start(
        server: &HealthCheckServer,
        keep: Arc<Keep>,
        log: &Log,
    ) -> Result<Watch, Error> {
        let shared = Arc::new(Shared {
            followed: Mutex::default(),
            files: Mutex::new(Some(TrackFiles::start(log.clone())?)),
            keep,
            components: server.components().clone(),
        });
        let listening = shared.clone();
        server.on_event(move |event| listening.happened(event));
        Ok(Watch(shared))
    }

    /// Follows these components from now on. A track-file of a component that is known already
    /// says its state at once.
    pub(super) fn follow(&self, plans: &[ComponentPlan]) {
        let followed = plans.iter().map(|plan| Followed {
            name: plan.name.clone(),
            track: plan.track.clone(),
            has_reset: plan.reset.is_some(),
        });
        let mut followed: Vec<Followed> = followed.collect();
        order::sort(&mut followed, |one, other| one.name.cmp(&other.name));
        // Held to the end, so that what happens meanwhile is written after what is known now.
        let mut current = locked(&self.0.followed);
        let before = std::mem::replace(&mut *current, followed);
        if let Some(files) = &*locked(&self.0.files) {
            let tracks = current.iter().filter_map(|one| one.track.as_ref());
            files.keep_only(&|path| tracks.clone().any(|track| track.path == path));
        }
        for new in current.iter() {
            let old = find(&before, &new.name).and_then(|old| old.track.as_ref());
            if let (Some(track), true) = (&new.track, old != new.track.as_ref()) {
                self.0.write_known(&new.name, track);
            }
        }
    }

    /// Has what is to be written yet written.
    pub(super) fn end(&self) {
        drop(locked(&self.0.files).take());
    }
}

fn find<'a>(followed: &'a [Followed], name: &str) -> Option<&'a Followed> {
    let at = followed.binary_search_by(|one| one.name.as_str().cmp(name));
    at.ok().map(|at| &followed[at])
}

impl Shared {
    fn happened(&self, event: &Event) {
        let name = event.component.as_str();
        let followed = find(&locked(&self.followed), name).cloned();
        let Some(followed) = followed else {
            return;
        };
        match &event.what {
            What::Changed(change) => self.track(&followed, change.to),
            What::Settled { state, .. } => self.track(&followed, *state),
            What::Maintenance { maint: None } => self.maint_ended(name),
            _ => {}
        }
        if followed.has_reset {
            if let Some(component) = self.components.find(name.as_bytes()) {
                // Told so late that it has failed again: that is a failure of its own.
                if matches!(
                    &event.what,
                    What::Changed(change) | What::Judged(change) if change.to == State::Ok
                ) {
                    self.keep.judged(name, State::Ok, event.at);
                }
                let state = component.board().judged();
                self.keep.judged(name, state, event.at);
            }
        }
    }

    fn track(&self, followed: &Followed, state: State) {
        if let Some(track) = &followed.track {
            self.write(track, state);
        }
    }

    fn write(&self, track: &Track, state: State) {
        let value = match state {
            State::Ok => &track.ok,
            State::Fail => &track.fail,
            // Nothing is claimed: the file stays as it is.
            State::Unknown => return,
        };
        if let Some(files) = &*locked(&self.files) {
            files.set(&track.path, value);
        }
    }

    /// A file that is new to a component which goes on.
    fn write_known(&self, name: &str, track: &Track) {
        let Some(component) = self.components.find(name.as_bytes()) else {
            return;
        };
        let published = component.board().published();
        if published.runs > 0 {
            self.write(track, published.standing.state);
        }
    }

    /// Unless it is in another by now.
    fn maint_ended(&self, name: &str) {
        let component = self.components.find(name.as_bytes());
        let Some(component) = component else {
            return;
        };
        self.keep
            .maint_ended(name, || component.board().published().maint.is_none());
    }
}

/// Tells systemd's watchdog that we are alive for as long as we are, if it wants to know.
///
/// # Errors
/// No thread could be had.
pub(super) fn feed_watchdog(
    server: &Arc<HealthCheckServer>,
    manager: &Arc<Notifier>,
    log: &Log,
) -> Result<(), Error> {
    let Some(within) = manager.watchdog_within() else {
        return Ok(());
    };
    let (server, manager, log) = (server.clone(), manager.clone(), log.clone());
    let feed = move || {
        let (complaints, mut waiter) = (Complaints::default(), SystemClock.waiter());
        loop {
            if server.is_live() {
                if let Err(error) = manager.watchdog() {
                    complaints.line(
                        &log,
                        Level::Warning,
                        format_args!("the watchdog could not be fed: {error}"),
                    );
                }
            }
            // Twice as often as it has to be (sd_watchdog_enabled(3)).
            waiter.wait(Some(SystemClock.now() + within / 2));
        }
    };
    thread::spawn("watchdog", Stack::Ours, feed)
        .map(drop)
        .map_err(|error| Error::system("no thread for the watchdog could be started", error))
}
