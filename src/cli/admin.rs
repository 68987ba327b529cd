//! What the commands share that talk to a running daemon over its admin socket.
#![forbid(unsafe_code)]

use super::options::Words;
use super::{Exit, complain_of, exit_of, say};
use crate::client::admin::AdminSocket;
use crate::component::checked_name;
use crate::config::plan;

/// The options of all of them.
pub(super) const OPTIONS: [&str; 2] = ["-s", "-c"];

/// The socket that `-s` names, or that the configuration does.
///
/// # Errors
/// There is none; it has been said.
pub(super) fn socket(words: &Words<'_>) -> Result<AdminSocket, Exit> {
    if let Some(path) = words.option("-s") {
        return Ok(AdminSocket::new(path));
    }
    let file = words.config();
    let path = plan::admin_socket(&file).map_err(|why| {
        let text = format!("{why}; expected -s SOCKET, or -c FILE of the running daemon\n");
        complain_of(format!("failover: {text}"));
        Exit::Config
    })?;
    Ok(AdminSocket::new(path))
}

/// Asks the daemon, says what it answers, and what became of it.
pub(super) fn ask(socket: &AdminSocket, method: &str, target: &str, body: &str) -> Exit {
    match socket.request(method, target, body.as_bytes()) {
        Ok((200, answer)) => {
            let text = String::from_utf8_lossy(&answer);
            say(&text);
            if !text.is_empty() && !text.ends_with('\n') {
                say("\n");
            }
            Exit::Ok
        }
        Ok((status, answer)) => {
            let text = String::from_utf8_lossy(&answer);
            let text = text.strip_prefix("ERROR: ").unwrap_or(&text);
            complain_of(format!("failover: {text}\n"));
            exit_of_status(status)
        }
        Err(error) => {
            complain_of(format!("failover: {error:?}\n"));
            match exit_of(&error) {
                Exit::Config => Exit::Usage,
                Exit::System => Exit::Unavailable,
                other => other,
            }
        }
    }
}

fn exit_of_status(status: u16) -> Exit {
    match status {
        401 | 403 => Exit::NoPermission,
        409 | 503 => Exit::Unavailable,
        400..=499 => Exit::Usage,
        _ => Exit::Internal,
    }
}

/// The component that the next word names.
///
/// # Errors
/// There is none, or it can be nobody's name; it has been said.
pub(super) fn component<'a>(words: &'a Words<'_>) -> Result<(&'a str, &'a [&'a str]), Exit> {
    let Some((name, rest)) = words.rest.split_first() else {
        return Err(words.wrong("expected the NAME of a component"));
    };
    match checked_name(name) {
        Ok(_) => Ok((name, rest)),
        Err(error) => Err(words.wrong_as(format!("{error:?}"))),
    }
}

/// A form's value, with everything escaped that could mean something there.
pub(super) fn form_value(text: &str) -> String {
    let mut value = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            value.push(char::from(byte));
        } else {
            value += &format!("%{byte:02X}");
        }
    }
    value
}
