//! The dispatcher: one thread that tells what happened, in the order in which it happened.
//!
//! Boards hand their news over without waiting; whoever is told is told without any lock held. It
//! also looks at boards that nobody looks at, so that one that goes stale is told of in time, has
//! what is made of a component that changed look again, and keeps the last events for who asks
//! later. Its pulse says that it still does all that.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::Duration;

use super::fold::{self, Fold};
use super::{Component, blamed};
use crate::clock::{Bell, Clock, Moment, Waiter, locked};
use crate::error::Error;
use crate::event::{Event, What};
use crate::health::State;
use crate::log::{Level, Log};
use crate::sys::thread::{self, Stack};

/// Who is told.
pub(crate) type Listener = Box<dyn Fn(&Event) + Send>;

/// Events that wait to be told at most, besides those of [`EVENTS_EACH`]. Listeners that are slower
/// than this many transitions lose some, and the log says how many.
const EVENTS_MAX: usize = 1_024;

/// So many more for each component: after a pause of the whole machine all go stale at one moment,
/// and are known again at the next, and a track-file that is not told of it would be wrong for good.
const EVENTS_EACH: usize = 4;

/// Events that are kept for who asks later: an eventful night, and some 50 KB at most.
const KEPT_MAX: usize = 256;

/// It passes at least this often, so that its pulse tells something.
const PASS_EVERY: Duration = Duration::from_secs(1);

/// Ten passes that did not happen are no hiccup. What it waits for in between are listeners.
const PULSE_MAX: Duration = Duration::from_secs(10);

pub(crate) struct Dispatcher {
    queue: Mutex<Queue>,
    watched: Mutex<Vec<Watched>>,
    kept: Mutex<Kept>,
    /// The second on the clock at which it last passed.
    pulse: AtomicU32,
    waiter: Mutex<Option<Box<dyn Waiter>>>,
    /// Its thread has told everything, and is gone.
    has_ended: Mutex<bool>,
    ended: Condvar,
    bell: Bell,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Event>,
    /// The number of the last event, whether it was told or dropped.
    last: u64,
    dropped: u64,
    /// How many components may have events here.
    components: usize,
    stopped: bool,
}

/// A component that is looked after.
struct Watched {
    component: Weak<Component>,
    fold: Fold,
}

/// The last events that were told, oldest first.
#[derive(Default)]
struct Kept {
    events: VecDeque<Arc<Event>>,
    last: u64,
    dropped: u64,
}

impl Dispatcher {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Dispatcher {
        let waiter = clock.waiter();
        let dispatcher = Dispatcher {
            queue: Mutex::default(),
            watched: Mutex::default(),
            kept: Mutex::default(),
            pulse: AtomicU32::new(0),
            bell: waiter.bell(),
            waiter: Mutex::new(Some(waiter)),
            has_ended: Mutex::new(false),
            ended: Condvar::new(),
            clock,
        };
        dispatcher.beat();
        dispatcher
    }

    /// Has what happens to a component told from now on.
    pub(crate) fn look_after(self: &Arc<Self>, component: &Arc<Component>) {
        let mut watched = locked(&self.watched);
        watched.push(Watched {
            component: Arc::downgrade(component),
            fold: Fold::default(),
        });
        let count = watched.len();
        drop(watched);
        locked(&self.queue).components = count;
        // Weak, since the board is the component's and would otherwise keep us for ever.
        let (dispatcher, name) = (Arc::downgrade(self), component.name().to_string());
        component.board().watch(Box::new(move |at, what| {
            if let Some(dispatcher) = dispatcher.upgrade() {
                dispatcher.take(Event {
                    at,
                    component: name.clone(),
                    what,
                    sequence: 0,
                    blamed: None,
                });
            }
        }));
        self.bell.ring();
    }

    /// Forgets a component that is mounted no more.
    pub(crate) fn forget(&self, component: &Arc<Component>) {
        let component = Arc::downgrade(component);
        locked(&self.watched).retain(|watched| !watched.component.ptr_eq(&component));
    }

    /// Starts telling, on a thread of its own; what happened before is told first. The thread ends
    /// after [`Dispatcher::stop`].
    ///
    /// # Errors
    /// No thread could be had.
    pub(crate) fn start(self: &Arc<Self>, listeners: Vec<Listener>, log: Log) -> Result<(), Error> {
        let Some(mut waiter) = locked(&self.waiter).take() else {
            return Ok(());
        };
        waiter.announce();
        self.beat();
        let dispatcher = self.clone();
        // The listeners may be a library user's.
        let run = move || {
            dispatcher.tell_until_stopped(waiter, &listeners, &log);
            *locked(&dispatcher.has_ended) = true;
            dispatcher.ended.notify_all();
        };
        thread::spawn("events", Stack::Users, run)
            .map(drop)
            .map_err(|error| Error::system("no thread for events could be started", error))
    }

    /// Tells what has happened so far, and no more.
    pub(crate) fn stop(&self) {
        locked(&self.queue).stopped = true;
        self.bell.ring();
    }

    /// After [`Dispatcher::stop`]: waits until all is told, at most that long. To be called of one
    /// that was started.
    pub(crate) fn wait_for_end(&self, at_most: Duration) {
        let goes_on = |has_ended: &mut bool| !*has_ended;
        let has_ended = locked(&self.has_ended);
        let _ = self.ended.wait_timeout_while(has_ended, at_most, goes_on);
    }

    /// The kept events after that number, and the number of the last that was told. Numbers begin
    /// anew with the program: who asks for what comes after a number that was never given has the
    /// numbers of another run, and gets all that is kept. A gap in the numbers are events that were
    /// dropped.
    pub(crate) fn events_after(&self, number: u64) -> (Vec<Arc<Event>>, u64) {
        let kept = locked(&self.kept);
        let number = if number > kept.last { 0 } else { number };
        let after = kept.events.iter().filter(|event| event.sequence > number);
        (after.cloned().collect(), kept.last)
    }

    /// How many events were dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        locked(&self.kept).dropped
    }

    /// Whether its thread has passed lately.
    pub(crate) fn is_alive(&self) -> bool {
        let pulse = Duration::from_secs(u64::from(self.pulse.load(Ordering::Relaxed)));
        self.clock.now().since(Moment::default() + pulse) <= PULSE_MAX
    }

    fn beat(&self) {
        let now = self.clock.now().since(Moment::default()).as_secs();
        // In 136 years; then it would be seen as dead.
        self.pulse
            .store(u32::try_from(now).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    fn take(&self, event: Event) {
        let mut queue = locked(&self.queue);
        queue.last += 1;
        if queue.events.len() >= EVENTS_MAX + EVENTS_EACH * queue.components {
            queue.dropped += 1;
            return;
        }
        let sequence = queue.last;
        queue.events.push_back(Event { sequence, ..event });
        drop(queue);
        self.bell.ring();
    }

    fn tell_until_stopped(&self, mut waiter: Box<dyn Waiter>, listeners: &[Listener], log: &Log) {
        loop {
            self.beat();
            let components = self.components();
            let mut next = self.clock.now() + PASS_EVERY;
            if let Some(stale_at) = next_look(&components) {
                next = next.min(stale_at);
            }
            let (events, dropped, stopped) = {
                let mut queue = locked(&self.queue);
                let dropped = mem::take(&mut queue.dropped);
                (mem::take(&mut queue.events), dropped, queue.stopped)
            };
            let has_events = !events.is_empty();
            for event in &events {
                nudge_followers(event, &components);
            }
            for event in events {
                self.tell(event, &components, listeners, log);
            }
            if dropped > 0 {
                locked(&self.kept).dropped += dropped;
                log.line(
                    Level::Warning,
                    format_args!("{dropped} events were dropped"),
                );
            }
            self.log_folded(log, self.clock.now());
            // Not kept alive while nothing happens.
            drop(components);
            if stopped && !has_events {
                self.log_folded(log, self.clock.now() + fold::WINDOW);
                return;
            }
            if !has_events {
                waiter.wait(Some(next));
            }
        }
    }

    fn tell(
        &self,
        mut event: Event,
        components: &[Arc<Component>],
        listeners: &[Listener],
        log: &Log,
    ) {
        event.blamed = blamed_for(&event, components);
        if self.is_logged(&event) {
            log.line(Level::Notice, format_args!("{event}"));
        }
        let event = Arc::new(event);
        {
            let mut kept = locked(&self.kept);
            if kept.events.len() == KEPT_MAX {
                kept.events.pop_front();
            }
            kept.last = event.sequence;
            kept.events.push_back(event.clone());
        }
        for listener in listeners {
            // Others are to be told, and later events, too.
            let told = panic::catch_unwind(AssertUnwindSafe(|| listener(&event)));
            if told.is_err() {
                log.line(Level::Error, format_args!("an event listener panicked"));
            }
            self.beat();
        }
    }

    /// Whether it has a line of its own.
    fn is_logged(&self, event: &Event) -> bool {
        if matches!(event.what, What::Maintenance { .. } | What::Settled { .. }) {
            // Humans do not flap, and want to find what they did; the other happens once.
            return true;
        }
        let mut watched = locked(&self.watched);
        // From the end: the newest of that name is the one that is mounted.
        let mut newest = watched.iter_mut().rev();
        let is_it = |watched: &&mut Watched| watched.is_named(&event.component);
        // What is mounted no more flaps no more.
        newest
            .find(is_it)
            .is_none_or(|watched| watched.fold.admits(event.at))
    }

    /// One line for each component that flapped in a minute that is over.
    fn log_folded(&self, log: &Log, now: Moment) {
        let mut flapped = Vec::new();
        for watched in locked(&self.watched).iter_mut() {
            let folded = watched.fold.close(now);
            if let (1.., Some(component)) = (folded, watched.component.upgrade()) {
                flapped.push((component, folded));
            }
        }
        for (component, folded) in flapped {
            let standing = component.board().published().standing;
            let text = fold::line(component.name(), folded, standing.state, standing.phase);
            log.line(Level::Warning, format_args!("{text}"));
        }
    }

    /// All that are looked after, in the order of their coming.
    fn components(&self) -> Vec<Arc<Component>> {
        let mut watched = locked(&self.watched);
        watched.retain(|watched| watched.component.strong_count() > 0);
        let components = watched.iter();
        components
            .filter_map(|watched| watched.component.upgrade())
            .collect()
    }
}

impl Watched {
    fn is_named(&self, name: &str) -> bool {
        let component = self.component.upgrade();
        component.is_some_and(|component| component.name() == name)
    }
}

/// Looks at every board, and says when the next one could be stale.
fn next_look(components: &[Arc<Component>]) -> Option<Moment> {
    let looks = components.iter().filter_map(|one| one.board().look());
    // A board is stale after that moment, not at it.
    Some(looks.min()? + Duration::from_nanos(1))
}

/// Has what is made of a component that changed look again.
fn nudge_followers(event: &Event, components: &[Arc<Component>]) {
    if !matches!(event.what, What::Changed(_)) {
        return;
    }
    for component in components {
        if component.about().members.contains(&event.component) {
            component.board().nudge();
        }
    }
}

/// Which component explains a change for the worse.
fn blamed_for(event: &Event, components: &[Arc<Component>]) -> Option<String> {
    let is_worse = matches!(&event.what, What::Changed(change) if change.to != State::Ok);
    let is_it = |component: &&Arc<Component>| component.name() == event.component;
    let component = components.iter().rev().find(is_it)?;
    if is_worse {
        blamed(component, components)
    } else {
        None
    }
}
