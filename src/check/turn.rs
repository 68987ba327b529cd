//! Whose turn it is at a board, and who waits for it. Nothing here waits.
#![forbid(unsafe_code)]

use std::mem;
use std::sync::Weak;
use std::time::Instant;

use crate::check::board::Board;
use crate::health::State;

/// What a caller who waited gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The state after the run.
    State(State),
    /// The caller's time was up before the run ended.
    Late,
}

/// A caller who waits for a run to end, without a thread.
pub(crate) struct Asker {
    /// When it is answered even if the run has not ended.
    pub(crate) deadline: Instant,
    /// Called once.
    pub(crate) answer: Box<dyn FnOnce(Answer) + Send>,
}

/// Callers kept for one check at most. A server's limit on connections is reached long before.
const ASKERS_MAX: usize = 16_384;

#[derive(Default)]
pub(super) struct Turn {
    pub(super) running: bool,
    pub(super) wanted: bool,
    /// Nothing runs yet, whoever wants it.
    pub(super) held: bool,
    pub(super) stopped: bool,
    /// Only who waits already is answered yet.
    pub(super) closing: bool,
    /// Whose callers these are, since this one was stopped for its sake. Not kept alive by it: a run
    /// that hangs keeps this one, and with it would keep all that come after, one behind the other.
    pub(super) successor: Weak<Board>,
    /// Wait for the run that is on.
    pub(super) for_this: Vec<Asker>,
    /// Wait for the run that is next.
    pub(super) for_next: Vec<Asker>,
}

impl Turn {
    pub(super) fn has_room(&self) -> bool {
        let is_open = !self.stopped && !self.closing;
        is_open && self.for_this.len() + self.for_next.len() < ASKERS_MAX
    }

    /// Takes everybody who waits.
    pub(super) fn all(&mut self) -> Vec<Asker> {
        let mut askers = mem::take(&mut self.for_this);
        askers.append(&mut self.for_next);
        askers
    }
}

pub(super) fn take_late(askers: &mut Vec<Asker>, now: Instant) -> Vec<Asker> {
    let (late, left) = mem::take(askers)
        .into_iter()
        .partition(|asker| asker.deadline <= now);
    *askers = left;
    late
}

pub(super) fn answer_all(askers: Vec<Asker>, answer: Answer) {
    for asker in askers {
        (asker.answer)(answer);
    }
}
