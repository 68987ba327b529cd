//! `failover status`: what the running daemon knows, a line for each component.
#![forbid(unsafe_code)]

use super::admin::{self, OPTIONS};
use super::options::Words;
use super::{Exit, ended};

const USAGE: &str = "usage: failover status [-s SOCKET | -c FILE] [--json]\n";

pub(super) fn run(words: &[String]) -> Exit {
    ended(status(words))
}

fn status(words: &[String]) -> Result<Exit, Exit> {
    let words = Words::read("status", USAGE, &[OPTIONS[0], OPTIONS[1], "--json"], words)?;
    words.no_more()?;
    let format = words.option("--json").map_or("text", |_| "json");
    let target = format!("/-/status?format={format}");
    Ok(admin::ask(&admin::socket(&words)?, "GET", &target, ""))
}
