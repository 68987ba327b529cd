//! Components: named checks, and the table of them.
//!
//! A component is a name mounted on the server and what is published of the check behind it. The
//! table is guarded by a `Mutex`, and so is each check and each board; nobody holds two of them
//! while a probe runs. What happens to components is told by one dispatcher, in order, without
//! locks. This room does not know how a component is asked for over the network.
#![forbid(unsafe_code)]

mod about;
mod dispatch;
mod fold;
pub(crate) mod group;
pub(crate) mod guarded;
mod post;
pub(crate) mod track;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Instant;

pub(crate) use about::{About, Layer};
pub(crate) use dispatch::{Dispatcher, Listener};
pub use post::{OnPost, Post, Reply};

use crate::check::Check;
use crate::check::board::Board;
use crate::check::prober::{Prober, Schedule, Settings};
use crate::clock::{Clock, Moment, locked};
use crate::error::Error;
use crate::health::State;
use crate::order;
use crate::sys::thread::Stack;
use crate::text::joined;

/// First parts of paths that mean something else to the server.
const RESERVED: [&str; 5] = ["health", "metrics", "healthchecker", "role", "-"];

/// A name's length in bytes at most.
const NAME_LEN_MAX: usize = 128;

/// A component's name, checked: parts of `[A-Za-z0-9._-]` joined by `/`.
///
/// # Errors
/// Anything else, a leading slash among it, and names whose first part is reserved.
pub(crate) fn checked_name(name: &str) -> Result<String, Error> {
    let refuse = |expected: &str| {
        Err(Error::invalid(format!(
            "component name {name:?} cannot be used; expected {expected}"
        )))
    };
    if name.starts_with('/') {
        return refuse("no leading slash");
    }
    if name.is_empty() || name.len() > NAME_LEN_MAX {
        return refuse("1 to 128 characters");
    }
    let is_part = |part: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        part.bytes().all(allowed)
    };
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return refuse("no part that is empty, '.' or '..'");
    }
    if !name.split('/').all(is_part) {
        return refuse("letters, digits, '.', '_', '-', and '/' between them");
    }
    match name.split('/').next() {
        Some(first) if RESERVED.contains(&first) => refuse(&format!(
            "a name that does not begin with one of {}",
            joined(RESERVED, " ")
        )),
        _ => Ok(name.to_string()),
    }
}

/// A named check and what is published of it.
pub(crate) struct Component {
    name: String,
    board: Arc<Board>,
    on_post: Option<Box<dyn OnPost>>,
    about: About,
    /// What a HAProxy that checks us last said of how it sees us.
    balancer: Mutex<Option<Sighting>>,
    /// Keeps what publishes on the board alive; nobody looks inside.
    _source: Source,
}

/// What a balancer said of how it sees a component, and when.
#[derive(Clone, Debug)]
pub(crate) struct Sighting {
    pub(crate) at: Moment,
    /// Free text from the network.
    pub(crate) text: String,
}

/// The longest that is kept of it, in bytes; HAProxy's has some 150.
const SIGHTING_LEN_MAX: usize = 512;

/// A component that is yet to be mounted.
pub(crate) struct Mount {
    pub(crate) name: String,
    pub(crate) check: Box<dyn Check>,
    pub(crate) on_post: Option<Box<dyn OnPost>>,
    pub(crate) about: About,
}

/// Who publishes on a component's board.
enum Source {
    /// A prober that runs when somebody asks.
    OnRequest { _prober: Prober },
    /// A check that has a prober of its own.
    Itself { _check: Mutex<Box<dyn Check>> },
}

impl Component {
    /// Checks the name and gives the check a prober, if it has none yet.
    ///
    /// # Errors
    /// A name that cannot be used; no thread for the check.
    pub(crate) fn new(mount: Mount, clock: Arc<dyn Clock>) -> Result<Component, Error> {
        let name = checked_name(&mount.name)?;
        let (board, source) = match mount.check.board() {
            Some(board) => {
                let check = Mutex::new(mount.check);
                (board, Source::Itself { _check: check })
            }
            None => {
                let prober = on_request(mount.check, clock)?;
                (
                    prober.board().clone(),
                    Source::OnRequest { _prober: prober },
                )
            }
        };
        Ok(Component {
            name,
            board,
            on_post: mount.on_post,
            about: mount.about,
            balancer: Mutex::default(),
            _source: source,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn board(&self) -> &Arc<Board> {
        &self.board
    }

    pub(crate) fn on_post(&self) -> Option<&dyn OnPost> {
        self.on_post.as_deref()
    }

    pub(crate) fn about(&self) -> &About {
        &self.about
    }

    /// Keeps what a balancer said of how it sees this component.
    pub(crate) fn seen_by_balancer(&self, at: Moment, said: &str) {
        let mut len = said.len().min(SIGHTING_LEN_MAX);
        while !said.is_char_boundary(len) {
            len -= 1;
        }
        let text = said[..len].to_string();
        *locked(&self.balancer) = Some(Sighting { at, text });
    }

    pub(crate) fn sighting(&self) -> Option<Sighting> {
        locked(&self.balancer).clone()
    }
}

/// A check that runs when somebody asks.
fn on_request(check: Box<dyn Check>, clock: Arc<dyn Clock>) -> Result<Prober, Error> {
    let standing = check.standing();
    let settings = Settings {
        schedule: Schedule::OnRequest,
        initial_state: standing.map_or(State::Unknown, |standing| standing.state),
        stale_after: None,
        clock,
        stack: Stack::Users,
        held: false,
    };
    Prober::start(check, settings)
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Components that can stand together, sorted by name.
pub(crate) struct Table(Vec<Arc<Component>>);

impl Table {
    /// # Errors
    /// Two of the same name.
    pub(crate) fn of(mut components: Vec<Arc<Component>>) -> Result<Table, Error> {
        order::sort(&mut components, |one, other| one.name().cmp(other.name()));
        let mut pairs = components.windows(2);
        match pairs.find(|pair| pair[0].name() == pair[1].name()) {
            Some(pair) => Err(in_use(pair[0].name())),
            None => Ok(Table(components)),
        }
    }
}

/// All components, by name.
pub(crate) struct Components {
    /// Sorted by name.
    table: Mutex<Vec<Arc<Component>>>,
    dispatcher: Arc<Dispatcher>,
    clock: Arc<dyn Clock>,
}

impl Components {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Components {
        let dispatcher = Arc::new(Dispatcher::new(clock.clone()));
        Components {
            table: Mutex::default(),
            dispatcher,
            clock,
        }
    }

    /// Mounts a component under its name.
    ///
    /// # Errors
    /// A name that cannot be used or is in use; no thread for the check.
    pub(crate) fn add(&self, mount: Mount) -> Result<(), Error> {
        let component = Arc::new(Component::new(mount, self.clock.clone())?);
        let mut table = locked(&self.table);
        match position(&table, component.name().as_bytes()) {
            Ok(_) => Err(in_use(component.name())),
            Err(place) => {
                self.dispatcher.look_after(&component);
                table.insert(place, component);
                Ok(())
            }
        }
    }

    /// Puts these in the place of all that are mounted now. Those that are in both go on as they
    /// are; those that are not any more are stopped; those that are new and held begin then.
    pub(crate) fn replace(&self, Table(components): Table) {
        let is_in = |list: &[Arc<Component>], one: &Arc<Component>| {
            let place = position(list, one.name().as_bytes());
            place.is_ok_and(|place| Arc::ptr_eq(&list[place], one))
        };
        let gone = {
            let mut table = locked(&self.table);
            for component in components.iter().filter(|one| !is_in(&table, one)) {
                self.dispatcher.look_after(component);
            }
            std::mem::replace(&mut *table, components)
        };
        let stays = locked(&self.table).clone();
        for component in gone.iter().filter(|one| !is_in(&stays, one)) {
            self.dispatcher.forget(component);
            component.board().unwatch();
            match position(&stays, component.name().as_bytes()) {
                Ok(place) => component.board().hand_over(stays[place].board()),
                Err(_) => component.board().stop(),
            }
        }
        for component in stays.iter().filter(|one| !is_in(&gone, one)) {
            component.board().release();
        }
    }

    /// The component of that name.
    pub(crate) fn find(&self, name: &[u8]) -> Option<Arc<Component>> {
        let table = locked(&self.table);
        position(&table, name)
            .ok()
            .map(|place| table[place].clone())
    }

    /// The component if there is one only.
    pub(crate) fn only(&self) -> Option<Arc<Component>> {
        match locked(&self.table).as_slice() {
            [only] => Some(only.clone()),
            _ => None,
        }
    }

    pub(crate) fn dispatcher(&self) -> &Arc<Dispatcher> {
        &self.dispatcher
    }

    /// Now, on the clock that decides.
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Answers the callers whose time is up, and says how many still wait.
    pub(crate) fn expire(&self, now: Instant) -> usize {
        self.all()
            .iter()
            .map(|component| component.board().expire(now))
            .sum()
    }

    /// Runs nothing more but for the callers who wait already.
    pub(crate) fn close(&self) {
        for component in self.all() {
            component.board().close();
        }
    }

    /// Answers every caller that waits and runs nothing more.
    pub(crate) fn stop(&self) {
        for component in self.all() {
            component.board().stop();
        }
        self.dispatcher.stop();
    }

    /// Every component, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Component>> {
        locked(&self.table).clone()
    }
}

/// Which other component's failure explains this one's: the first it depends on that is not ok.
/// Probing goes on and the state changes all the same; only the telling is softened by it.
pub(crate) fn blamed(component: &Component, components: &[Arc<Component>]) -> Option<String> {
    let is_not_ok = |name: &&String| {
        // From the end: the newest of that name is the one that is mounted.
        let mut newest = components.iter().rev();
        let other = newest.find(|other| other.name() == name.as_str());
        other.is_some_and(|other| other.board().state() != State::Ok)
    };
    component.about().depends_on.iter().find(is_not_ok).cloned()
}

fn in_use(name: &str) -> Error {
    Error::invalid(format!(
        "component name {name:?} is in use; expected another"
    ))
}

fn position(table: &[Arc<Component>], name: &[u8]) -> Result<usize, usize> {
    table.binary_search_by(|component| component.name().as_bytes().cmp(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Maint, Mode};
    use crate::log::Log;
    use std::time::Duration;

    #[test]
    fn names_are_parts_of_a_path() {
        for name in ["mail", "example-u3", "a/b.c/D_9", "health-2", "x/health"] {
            assert_eq!(checked_name(name).unwrap(), name);
        }
    }

    #[test]
    fn bad_names_are_quoted_with_what_was_expected() {
        for (name, expected) in [
            ("/mail", "expected no leading slash"),
            ("", "expected 1 to 128 characters"),
            (&*"a".repeat(129), "expected 1 to 128 characters"),
            ("a//b", "expected no part that is empty, '.' or '..'"),
            ("a/", "expected no part that is empty, '.' or '..'"),
            ("../a", "expected no part that is empty, '.' or '..'"),
            ("a b", "expected letters, digits"),
            ("a?b", "expected letters, digits"),
            ("é", "expected letters, digits"),
            ("health", "does not begin with one of health metrics"),
            ("health/live", "does not begin with one of health metrics"),
            ("-", "does not begin with one of health metrics"),
        ] {
            let message = checked_name(name).unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("component name {name:?} cannot")),
                "{message}"
            );
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_name_is_used_once() {
        let components = Components::new(Arc::new(crate::clock::SystemClock));
        let add = |name: &str| {
            components.add(Mount {
                name: name.to_string(),
                check: Box::new(|| true),
                on_post: None,
                about: About::default(),
            })
        };
        add("b").unwrap();
        assert!(components.only().is_some());
        add("a").unwrap();
        let error = add("b").unwrap_err();
        assert_eq!(
            error.to_string(),
            "component name \"b\" is in use; expected another"
        );
        assert_eq!(components.find(b"b").unwrap().name(), "b");
        assert!(components.find(b"c").is_none());
        assert!(components.only().is_none());
    }

    #[test]
    fn nothing_is_told_any_more_of_one_that_was_replaced() {
        let components = Components::new(Arc::new(crate::clock::SystemClock));
        let component = || {
            let mount = Mount {
                name: String::from("a"),
                check: Box::new(|| true),
                on_post: None,
                about: About::default(),
            };
            Arc::new(Component::new(mount, components.clock.clone()).unwrap())
        };
        let (old, new) = (component(), component());
        let drain = Maint {
            mode: Mode::Drain,
            since: components.now(),
            until: None,
            because: String::new(),
        };
        for component in [&old, &new] {
            components.replace(Table::of(vec![component.clone()]).unwrap());
        }
        // As a run does that ends just then.
        old.board().maintain(Some(drain.clone()));
        let (tell, told) = std::sync::mpsc::channel();
        let listener = Box::new(move |event: &crate::event::Event| {
            let _ = tell.send(event.sequence);
        });
        let dispatcher = components.dispatcher();
        dispatcher.start(vec![listener], Log::none()).unwrap();
        new.board().maintain(Some(drain));
        dispatcher.stop();
        dispatcher.wait_for_end(Duration::from_secs(30));
        // That it is drained, and that its state is fail now.
        assert_eq!(told.try_iter().collect::<Vec<u64>>(), [1, 2]);
        let error = Table::of(vec![old, new])
            .err()
            .map(|error| error.to_string());
        let expected = "component name \"a\" is in use; expected another";
        assert_eq!(error.as_deref(), Some(expected));
    }
}
