//! `failover run`: the daemon, until a signal ends it.
#![forbid(unsafe_code)]

use super::options::Words;
use super::{Exit, complain, exit_of};
use crate::config::plan;
use crate::daemon;
use crate::error::Error;
use crate::sys::limits;
use crate::sys::signals::{Signal, Signals};

const USAGE: &str = "usage: failover run [-c FILE]\n";

pub(super) fn run(words: &[String]) -> Exit {
    match start(words) {
        Ok(()) => Exit::Ok,
        Err(exit) => exit,
    }
}

fn start(words: &[String]) -> Result<(), Exit> {
    let words = Words::read("run", USAGE, &["-c"], words)?;
    words.no_more()?;
    let told = |error: Error| {
        complain(&format!("failover: run: {error:?}\n"));
        exit_of(&error)
    };
    // First of all, so that every thread that is started has them blocked.
    let kept = [Signal::Hangup, Signal::Interrupt, Signal::Terminate];
    let signals = Signals::keep(&kept)
        .map_err(|error| told(Error::system("signals cannot be blocked", error)))?;
    // With fewer it works too, for fewer clients at a time.
    let _ = limits::raise_descriptors();
    let path = words.config();
    let read = plan::read(&path);
    complain(&read.report());
    let Some(plan) = read.plan else {
        return Err(Exit::Config);
    };
    daemon::run(path, plan, &signals).map_err(told)
}
