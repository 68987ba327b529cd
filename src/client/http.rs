//! One request of HTTP/1.1 and its answer (RFC 9110, RFC 9112), over plain TCP.
//!
//! The answer is over when its framing says so, and not only when the server closes. A connection
//! is used once. Statuses have no meaning here, except that interim answers are skipped.
#![forbid(unsafe_code)]

use crate::health::{Health, Outcome, Reason};
use crate::net::conversation::Conversation;
use crate::wire::http::{ANSWER_HEAD_BYTES_MAX, AnswerHead, Body, Progress, examine_answer};

/// How much of a body is kept by default; HAProxy's buffer for it is a quarter of that.
pub(crate) const BODY_BYTES_KEPT: usize = 64 * 1024;

/// Interim answers (100, 102, 103) before the real one; a server sends one or two.
const INTERIM_MAX: usize = 8;

/// What came of a body.
#[derive(Debug)]
pub(crate) struct Received {
    /// Its beginning.
    pub(crate) bytes: Vec<u8>,
    /// There was more than is kept, and it was not read.
    pub(crate) is_cut: bool,
    /// Why there is not all of it that should be.
    pub(crate) problem: Option<Outcome>,
}

/// Sends a request and reads the head of its answer. `is_head` says that the request is a HEAD.
///
/// # Errors
/// The outcome that this comes to without a head.
pub(crate) fn ask(
    conversation: &mut Conversation,
    request: &[u8],
    is_head: bool,
) -> Result<AnswerHead, Box<Outcome>> {
    conversation.awaits("head");
    conversation.send(request)?;
    for _ in 0..=INTERIM_MAX {
        let head = receive_head(conversation, is_head)?;
        if !head.is_interim() {
            return Ok(head);
        }
    }
    Err(malformed("too many interim answers").into())
}

fn receive_head(
    conversation: &mut Conversation,
    is_head: bool,
) -> Result<AnswerHead, Box<Outcome>> {
    loop {
        let seen = examine_answer(conversation.received(), is_head).map_err(malformed)?;
        if let Some((head, len)) = seen {
            conversation.take(len);
            return Ok(head);
        }
        if conversation.receive(ANSWER_HEAD_BYTES_MAX)? == 0 {
            return Err(Outcome::new(Health::Fail, Reason::AnswerEndedEarly).into());
        }
    }
}

/// Reads the body that belongs to that head, up to `kept_max` bytes of it.
pub(crate) fn receive_body(
    conversation: &mut Conversation,
    head: &AnswerHead,
    kept_max: usize,
) -> Received {
    conversation.awaits("body");
    let mut body = Body::new(head.framing, kept_max);
    let end = receive_rest(conversation, &mut body);
    Received {
        bytes: body.kept,
        is_cut: end == Ok(Progress::Full),
        problem: end.err().map(|problem| *problem),
    }
}

fn receive_rest(
    conversation: &mut Conversation,
    body: &mut Body,
) -> Result<Progress, Box<Outcome>> {
    loop {
        let bytes = conversation.take(usize::MAX);
        let progress = body.feed(&bytes).map_err(malformed)?;
        if progress != Progress::More {
            return Ok(progress);
        }
        // All that came has been taken, so that there is always room.
        if conversation.receive(ANSWER_HEAD_BYTES_MAX)? == 0 {
            return if body.may_end_here() {
                Ok(Progress::Over)
            } else {
                Err(Outcome::new(Health::Fail, Reason::AnswerEndedEarly).into())
            };
        }
    }
}

fn malformed(why: &str) -> Outcome {
    Outcome::new(Health::Fail, Reason::AnswerMalformed).with_detail(why)
}
