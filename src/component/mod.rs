//! Components: named checks, and the table of them.
//!
//! A component is a name mounted on the server and what is published of the check behind it. The
//! table is guarded by a `Mutex`, and so is each check and each board; nobody holds two of them
//! while a probe runs. What happens to components is told by one dispatcher, in order, without
//! locks. This room does not know how a component is asked for over the network.
#![forbid(unsafe_code)]

mod dispatch;
mod post;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Instant;

pub(crate) use dispatch::{Dispatcher, Listener};
pub use post::{OnPost, Post, Reply};

use crate::check::Check;
use crate::check::board::Board;
use crate::check::prober::{Prober, Schedule, Settings};
use crate::clock::{Clock, locked};
use crate::error::Error;
use crate::health::State;
use crate::sys::thread::Stack;

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
        !part.is_empty() && part != "." && part != ".." && part.bytes().all(allowed)
    };
    if !name.split('/').all(is_part) {
        return refuse("letters, digits, '.', '_', '-', and '/' between them");
    }
    match name.split('/').next() {
        Some(first) if RESERVED.contains(&first) => refuse(&format!(
            "a name that does not begin with one of {}",
            RESERVED.join(" ")
        )),
        _ => Ok(name.to_string()),
    }
}

/// A named check and what is published of it.
pub(crate) struct Component {
    name: String,
    board: Arc<Board>,
    on_post: Option<Box<dyn OnPost>>,
    /// Keeps what publishes on the board alive; nobody looks inside.
    _source: Source,
}

/// Who publishes on a component's board.
enum Source {
    /// A prober that runs when somebody asks.
    OnRequest { _prober: Prober },
    /// A check that has a prober of its own.
    Itself { _check: Mutex<Box<dyn Check>> },
}

impl Component {
    fn new(
        name: String,
        check: Box<dyn Check>,
        on_post: Option<Box<dyn OnPost>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Component, Error> {
        if let Some(board) = check.board() {
            let source = Source::Itself {
                _check: Mutex::new(check),
            };
            return Ok(Component {
                name,
                board,
                on_post,
                _source: source,
            });
        }
        let settings = Settings {
            schedule: Schedule::OnRequest,
            initial_state: check
                .standing()
                .map_or(State::Unknown, |standing| standing.state),
            stale_after: None,
            clock,
            stack: Stack::Users,
        };
        let prober = Prober::start(check, settings)?;
        let board = prober.board().clone();
        Ok(Component {
            name,
            board,
            on_post,
            _source: Source::OnRequest { _prober: prober },
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
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component")
            .field("name", &self.name)
            .finish_non_exhaustive()
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
        let dispatcher = Arc::new(Dispatcher::new(&*clock));
        Components {
            table: Mutex::default(),
            dispatcher,
            clock,
        }
    }

    /// Mounts a check under a name.
    ///
    /// # Errors
    /// A name that cannot be used or is in use; no thread for the check.
    pub(crate) fn add(
        &self,
        name: &str,
        check: Box<dyn Check>,
        on_post: Option<Box<dyn OnPost>>,
    ) -> Result<(), Error> {
        let name = checked_name(name)?;
        let component = Arc::new(Component::new(name, check, on_post, self.clock.clone())?);
        let mut table = locked(&self.table);
        match position(&table, component.name().as_bytes()) {
            Ok(_) => {
                let name = component.name();
                Err(Error::invalid(format!(
                    "component name {name:?} is in use; expected another"
                )))
            }
            Err(place) => {
                self.dispatcher.look_after(&component);
                table.insert(place, component);
                Ok(())
            }
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

    /// Answers the callers whose time is up, and says how many still wait.
    pub(crate) fn expire(&self, now: Instant) -> usize {
        self.all()
            .iter()
            .map(|component| component.board().expire(now))
            .sum()
    }

    /// Answers every caller that waits and runs nothing more.
    pub(crate) fn stop(&self) {
        for component in self.all() {
            component.board().stop();
        }
        self.dispatcher.stop();
    }

    fn all(&self) -> Vec<Arc<Component>> {
        locked(&self.table).clone()
    }
}

fn position(table: &[Arc<Component>], name: &[u8]) -> Result<usize, usize> {
    table.binary_search_by(|component| component.name().as_bytes().cmp(name))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("a//b", "expected letters, digits"),
            ("a/", "expected letters, digits"),
            ("../a", "expected letters, digits"),
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
        components.add("b", Box::new(|| true), None).unwrap();
        assert!(components.only().is_some());
        components.add("a", Box::new(|| true), None).unwrap();
        let error = components.add("b", Box::new(|| true), None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "component name \"b\" is in use; expected another"
        );
        assert_eq!(components.find(b"b").unwrap().name(), "b");
        assert!(components.find(b"c").is_none());
        assert!(components.only().is_none());
    }
}
