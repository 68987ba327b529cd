//! The first words of a TLS handshake (RFC 5246): a hello, the server's answer, and an end that
//! servers take for what it is.
//!
//! It verifies nothing and agrees on nothing.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::health::{Health, Outcome, Reason};
use crate::net::conversation::Conversation;
use crate::net::random::random;
use crate::wire::tls::{CLOSE, Seen, client_hello, examine};

/// Read at most before the answer is understood; a ServerHello comes first and is far shorter.
const ANSWER_BYTES_MAX: usize = 4_096;

/// How long the server is given to close after it was told that this was all.
const PARTING: Duration = Duration::from_millis(500);

/// Says hello, and what the server answered: never `Partial`.
///
/// # Errors
/// The outcome that the conversation comes to when there is no answer to understand.
pub(crate) fn greet(
    conversation: &mut Conversation,
    server_name: Option<&str>,
) -> Result<Seen, Box<Outcome>> {
    let mut noise = [0; 32];
    for eight in noise.chunks_exact_mut(8) {
        eight.copy_from_slice(&random().to_be_bytes());
    }
    conversation.send(&client_hello(&noise, server_name))?;
    loop {
        let warning = match examine(conversation.received()) {
            Seen::Partial { warning } => warning,
            seen => return Ok(seen),
        };
        if conversation.receive(ANSWER_BYTES_MAX)? == 0 {
            // A warning that nothing followed was the server's answer.
            let ended = Outcome::new(Health::Fail, Reason::AnswerEndedEarly);
            return warning.map(Seen::Alert).ok_or(ended.into());
        }
    }
}

/// Ends a handshake that the server would go on with: a hello that is just dropped is an error in
/// many a log.
pub(crate) fn part(conversation: &mut Conversation) {
    conversation.hurry(PARTING);
    // The answer is known; a server that has gone is not told.
    if conversation.send(&CLOSE).is_ok() {
        conversation.end_sending();
        conversation.await_end();
    }
}
