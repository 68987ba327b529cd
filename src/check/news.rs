//! What a board tells who watches it, in order. Whom it concerns is not known here.
#![forbid(unsafe_code)]

use crate::check::board::Published;
use crate::clock::Moment;
use crate::health::State;
use crate::health::maint::Maint;

/// What is told to who watches a board. What is large is boxed, since it goes through many hands on
/// the stack of a prober.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// The state changed.
    Changed {
        at: Moment,
        from: State,
        to: State,
        published: Box<Published>,
    },
    /// The first known outcome came, and left the state as it had started; or none came in time.
    Settled {
        at: Moment,
        published: Box<Published>,
    },
    /// It is in maintenance, and came to another state underneath.
    Judged {
        at: Moment,
        from: State,
        to: State,
        published: Box<Published>,
    },
    /// A human put it into maintenance, or that ended.
    Maintenance { at: Moment, maint: Option<Maint> },
    /// The check panicked, and had not the last time; the message is what it said.
    Panicked { at: Moment, message: String },
}
