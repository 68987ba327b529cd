//! `failover events`: the last events of the running daemon, and with `--follow` those to come.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};
use std::time::Duration;

use super::admin::{self, OPTIONS};
use super::options::Words;
use super::{Exit, cause_of, complain_of, ended, is_lost, say};
use crate::client::admin::AdminSocket;
use crate::error::Error;
use crate::sys::socket::{Watch, wait_for_any};

const USAGE: &str = "usage: failover events [-s SOCKET | -c FILE] [--follow]\n";

/// How long after an event it is shown at the latest: at once, to people.
const ASK_EVERY: Duration = Duration::from_millis(500);

pub(super) fn run(words: &[String]) -> Exit {
    ended(events(words))
}

fn events(words: &[String]) -> Result<Exit, Exit> {
    let words = Words::read(
        "events",
        USAGE,
        &[OPTIONS[0], OPTIONS[1], "--follow"],
        words,
    )?;
    words.no_more()?;
    let socket = admin::socket(&words)?;
    if words.option("--follow").is_none() {
        return Ok(admin::ask(&socket, "GET", "/-/events?format=text", ""));
    }
    follow_events(&socket)
}

/// Shows events as they come, until whoever reads them is gone; daemons that end are waited for.
fn follow_events(socket: &AdminSocket) -> Result<Exit, Exit> {
    let mut shown = show_after(socket, None).map_err(|error| told(&error, ""))?;
    let mut is_silent = false;
    loop {
        let mut reader = [Watch::gone(&io::stdout())];
        // Where that cannot be waited for, the next event tells.
        let _ = wait_for_any(&mut reader, ASK_EVERY);
        if reader[0].is_ready() || is_lost() {
            return Ok(Exit::Ok);
        }
        match show_after(socket, shown.as_deref()) {
            Ok(last) => (shown, is_silent) = (last, false),
            Err(error) => {
                if !is_silent {
                    told(&error, "; waiting for one that does");
                }
                is_silent = true;
                // One that is gone is not the one that comes.
                if is_nobody(&error) {
                    shown = None;
                }
            }
        }
    }
}

/// Whether nobody listens on the socket, rather than somebody who takes long.
fn is_nobody(error: &Error) -> bool {
    let is_gone = |kind| matches!(kind, ErrorKind::NotFound | ErrorKind::ConnectionRefused);
    cause_of(error).is_some_and(is_gone)
}

fn told(error: &Error, more: &str) -> Exit {
    complain_of(format!("failover: {error:?}{more}\n"));
    Exit::Unavailable
}

/// Shows what came after that line, and says which was the last. Numbers begin anew with every
/// daemon, so that line is asked for as well: a daemon that does not have it is another one, and
/// all that it tells is new.
fn show_after(socket: &AdminSocket, shown: Option<&str>) -> Result<Option<String>, Error> {
    let ask = |after: u64| {
        let target = format!("/-/events?format=text&after={after}");
        let answer = socket.request("GET", &target, b"");
        answer.map(|(_, body)| String::from_utf8_lossy(&body).into_owned())
    };
    let number = shown.and_then(|line| line.split(' ').next()?.parse::<u64>().ok());
    let after = number.unwrap_or_default().saturating_sub(1);
    let mut text = ask(after)?;
    let new = match text.split_once('\n') {
        Some((first, new)) if Some(first) == shown => new,
        _ if after == 0 => &text,
        _ => {
            text = ask(0)?;
            &text
        }
    };
    // A reader that is gone is seen before the next look.
    say(new);
    Ok(text.lines().last().map(String::from))
}
