//! The dispatcher: one thread that tells what happened, in the order in which it happened.
//!
//! Boards hand their news over without waiting; whoever is told is told without any lock held. It
//! also looks at boards that nobody looks at, so that one that goes stale is told of in time.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, Weak};

use super::Component;
use crate::check::board::News;
use crate::clock::{Bell, Clock, Moment, Waiter, locked};
use crate::error::Error;
use crate::event::{Event, What};
use crate::log::{Level, Log};
use crate::sys::thread::{self, Stack};

/// Who is told.
pub(crate) type Listener = Box<dyn Fn(&Event) + Send>;

/// Events that wait to be told at most. Listeners that are slower than this many transitions lose
/// some, and the log says how many.
const EVENTS_MAX: usize = 1_024;

pub(crate) struct Dispatcher {
    queue: Mutex<Queue>,
    components: Mutex<Vec<Weak<Component>>>,
    waiter: Mutex<Option<Box<dyn Waiter>>>,
    bell: Bell,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Event>,
    dropped: usize,
    stopped: bool,
}

impl Dispatcher {
    pub(crate) fn new(clock: &dyn Clock) -> Dispatcher {
        let waiter = clock.waiter();
        Dispatcher {
            queue: Mutex::default(),
            components: Mutex::default(),
            bell: waiter.bell(),
            waiter: Mutex::new(Some(waiter)),
        }
    }

    /// Has what happens to a component told from now on.
    pub(crate) fn look_after(self: &Arc<Self>, component: &Arc<Component>) {
        locked(&self.components).push(Arc::downgrade(component));
        // Weak, since the board is the component's and would otherwise keep us for ever.
        let (dispatcher, name) = (Arc::downgrade(self), component.name().to_string());
        component.board().watch(Box::new(move |news| {
            if let Some(dispatcher) = dispatcher.upgrade() {
                dispatcher.take(event_of(&name, news));
            }
        }));
        self.bell.ring();
    }

    /// Starts telling, on a thread of its own; what happened before is told first. The thread ends
    /// after [`Dispatcher::stop`].
    ///
    /// # Errors
    /// No thread could be had.
    pub(crate) fn start(self: &Arc<Self>, listeners: Vec<Listener>, log: Log) -> Result<(), Error> {
        let Some(waiter) = locked(&self.waiter).take() else {
            return Ok(());
        };
        let dispatcher = self.clone();
        // The listeners may be a library user's.
        let run = move || dispatcher.tell_until_stopped(waiter, &listeners, &log);
        thread::spawn("events", Stack::Users, run)
            .map(drop)
            .map_err(|error| Error::system("no thread for events could be started", error))
    }

    /// Tells what has happened so far, and no more.
    pub(crate) fn stop(&self) {
        locked(&self.queue).stopped = true;
        self.bell.ring();
    }

    fn take(&self, event: Event) {
        let mut queue = locked(&self.queue);
        if queue.events.len() >= EVENTS_MAX {
            queue.dropped += 1;
            return;
        }
        queue.events.push_back(event);
        drop(queue);
        self.bell.ring();
    }

    fn tell_until_stopped(&self, mut waiter: Box<dyn Waiter>, listeners: &[Listener], log: &Log) {
        loop {
            let next_look = self.look();
            let (events, dropped, stopped) = {
                let mut queue = locked(&self.queue);
                let dropped = std::mem::take(&mut queue.dropped);
                (std::mem::take(&mut queue.events), dropped, queue.stopped)
            };
            for event in &events {
                log.line(Level::Notice, format_args!("{event}"));
                for listener in listeners {
                    // Others are to be told, and later events, too.
                    let told = panic::catch_unwind(AssertUnwindSafe(|| listener(event)));
                    if told.is_err() {
                        log.line(Level::Error, format_args!("an event listener panicked"));
                    }
                }
            }
            if dropped > 0 {
                log.line(
                    Level::Warning,
                    format_args!("{dropped} events were dropped"),
                );
            }
            if stopped && events.is_empty() {
                return;
            }
            if events.is_empty() {
                waiter.wait(next_look);
            }
        }
    }

    /// Looks at every board, and says when the next one could be stale.
    fn look(&self) -> Option<Moment> {
        let components: Vec<Arc<Component>> = {
            let mut components = locked(&self.components);
            components.retain(|component| component.strong_count() > 0);
            components.iter().filter_map(Weak::upgrade).collect()
        };
        let nanosecond = std::time::Duration::from_nanos(1);
        let next = components
            .iter()
            .filter_map(|component| component.board().look())
            .min()?;
        // A board is stale after that moment, not at it.
        Some(next + nanosecond)
    }
}

fn event_of(component: &str, news: News) -> Event {
    let component = component.to_string();
    match news {
        News::Changed {
            at,
            from,
            to,
            published,
        } => {
            let (phase, runs) = (published.standing.phase, published.runs);
            let what = What::Changed {
                from,
                to,
                phase,
                outcome: published.outcome,
                runs,
            };
            Event {
                at,
                component,
                what,
            }
        }
        News::Panicked { at, message } => Event {
            at,
            component,
            what: What::Panicked { message },
        },
    }
}
