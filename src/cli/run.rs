//! `failover run`: the daemon, until a signal ends it.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process;

use super::options::Words;
use super::{Exit, complain_of, exit_of};
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
    // First of all, so that every thread that is started has them blocked.
    let kept = [
        Signal::Hangup,
        Signal::Interrupt,
        Signal::Terminate,
        Signal::ChildEnded,
    ];
    // Who is process 1, as in a container, has everybody's orphans to reap.
    let count = if process::id() == 1 { 4 } else { 3 };
    let signals = Signals::keep(&kept[..count])
        .map_err(|error| told(&Error::system("signals cannot be blocked", error)))?;
    // With fewer it works too, for fewer clients at a time.
    let _ = limits::raise_descriptors();
    on(words.config(), &signals)
}

/// The daemon on this configuration, until one of the signals ends it.
pub(super) fn on(path: PathBuf, signals: &Signals) -> Result<(), Exit> {
    let read = plan::read(&path);
    complain_of(read.report());
    let Some(plan) = read.plan else {
        return Err(Exit::Config);
    };
    daemon::run(path, plan, signals).map_err(|error| told(&error))
}

fn told(error: &Error) -> Exit {
    complain_of(format!("failover: run: {error:?}\n"));
    exit_of(error)
}
