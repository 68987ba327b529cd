//! `failover reset`: a manual reset of a component, by who may open the admin socket.
#![forbid(unsafe_code)]

use super::admin::{self, OPTIONS};
use super::options::Words;
use super::{Exit, ended};

const USAGE: &str = "usage: failover reset [-s SOCKET | -c FILE] NAME\n";

pub(super) fn run(words: &[String]) -> Exit {
    ended(reset(words))
}

fn reset(words: &[String]) -> Result<Exit, Exit> {
    let words = Words::read("reset", USAGE, &OPTIONS, words)?;
    let (name, rest) = admin::component(&words)?;
    if let Some(word) = rest.first() {
        return Err(words.wrong_as(format!("unexpected {word:?}")));
    }
    let target = format!("/-/reset/{name}");
    Ok(admin::ask(&admin::socket(&words)?, "POST", &target, ""))
}
