//! `failover events`: the last events of the running daemon, and with `--follow` those to come.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::admin::{self, OPTIONS};
use super::options::Words;
use super::{Exit, complain, ended, say};
use crate::client::admin::AdminSocket;
use crate::clock::{Clock, SystemClock};

const USAGE: &str = "usage: failover events [-s SOCKET | -c FILE] [--follow]\n";

/// How long after an event it is shown at the latest: at once, to people.
const ASK_EVERY: Duration = Duration::from_millis(500);

pub(super) fn run(words: &[String]) -> Exit {
    ended(events(words))
}

fn events(words: &[String]) -> Result<Exit, Exit> {
    let (follow, words): (Vec<String>, Vec<String>) =
        words.iter().cloned().partition(|word| word == "--follow");
    let words = Words::read("events", USAGE, &OPTIONS, &words)?;
    words.no_more()?;
    let socket = admin::socket(&words)?;
    if follow.is_empty() {
        return Ok(admin::ask(&socket, "GET", "/-/events?format=text", ""));
    }
    let mut waiter = SystemClock.waiter();
    let mut last = 0;
    loop {
        last = show_after(&socket, last)?;
        waiter.wait(Some(SystemClock.now() + ASK_EVERY));
    }
}

/// Shows the events after that number, and says the number of the last.
fn show_after(socket: &AdminSocket, after: u64) -> Result<u64, Exit> {
    let target = format!("/-/events?format=text&after={after}");
    let answer = socket.request("GET", &target, b"");
    let (_, body) = answer.map_err(|error| {
        complain(&format!("failover: {error:?}\n"));
        Exit::Unavailable
    })?;
    let text = String::from_utf8_lossy(&body);
    let number = |line: &str| line.split(' ').next()?.parse().ok();
    let last = text.lines().last().and_then(number);
    // A reader that is gone wants no more.
    if !say(&text) {
        return Err(Exit::Ok);
    }
    Ok(last.unwrap_or(after))
}
