//! Oneshot: says one thing, and once, when fired, the other.
//!
//! Fired by a person through a POST, it is the way back of a manual reset. Who may fire it over
//! the network is decided by its credentials; what it is asked about is decided by the
//! [`Toggle`](crate::Toggle) that it belongs to.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::auth::HtpasswdFile;
use crate::check::Check;
use crate::health::{Health, Outcome, Reason, State};

/// A check that answers `default_state`, and once after [`fire`](Oneshot::fire) the opposite.
/// Clones are the same oneshot: one goes into a [`Toggle`](crate::Toggle), another is fired.
///
/// ```
/// use failover::{Check, Health, Oneshot, fail};
///
/// let reset = Oneshot::new(fail);
/// let mut check = reset.clone();
/// reset.fire();
/// assert_eq!(check.check().health, Health::Ok);
/// assert_eq!(check.check().health, Health::Fail);
/// ```
#[derive(Clone)]
pub struct Oneshot(Arc<Shot>);

struct Shot {
    default_state: State,
    armed: AtomicBool,
    auth: Option<HtpasswdFile>,
}

impl Oneshot {
    /// A oneshot that anybody who can reach it may fire.
    pub fn new(default_state: State) -> Oneshot {
        Oneshot::with(default_state, None)
    }

    /// A oneshot that a POST fires only with credentials of that file.
    pub fn with_auth(default_state: State, auth: HtpasswdFile) -> Oneshot {
        Oneshot::with(default_state, Some(auth))
    }

    fn with(default_state: State, auth: Option<HtpasswdFile>) -> Oneshot {
        Oneshot(Arc::new(Shot {
            default_state,
            armed: AtomicBool::new(false),
            auth,
        }))
    }

    /// Arms it: the next time it is asked it answers the opposite. For the program itself; what
    /// comes over the network is asked for credentials first.
    pub fn fire(&self) {
        self.0.armed.store(true, Ordering::SeqCst);
    }

    /// Whether it is armed.
    pub fn is_armed(&self) -> bool {
        self.0.armed.load(Ordering::SeqCst)
    }

    /// Whose credentials are wanted.
    pub(crate) fn auth(&self) -> Option<&HtpasswdFile> {
        self.0.auth.as_ref()
    }
}

impl Check for Oneshot {
    fn check(&mut self) -> Outcome {
        let health = Health::from(self.0.default_state);
        if self.0.armed.swap(false, Ordering::SeqCst) {
            return Outcome::new(health.opposite(), Reason::Reset);
        }
        Outcome::from(health)
    }

    fn reset(&mut self, _to: State) {
        self.0.armed.store(false, Ordering::SeqCst);
    }

    fn budget(&self) -> Option<std::time::Duration> {
        Some(std::time::Duration::ZERO)
    }
}

impl fmt::Debug for Oneshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oneshot")
            .field("armed", &self.is_armed())
            .finish_non_exhaustive()
    }
}
