//! `failover serve`: components from the command line, served until a signal ends it.
#![forbid(unsafe_code)]

use super::{Exit, complain, exit_of};
use crate::config::{build, words};
use crate::error::Error;
use crate::log::{Level, Log};
use crate::sys::limits;
use crate::sys::signals::{Signal, Signals};

const USAGE: &str = "usage: failover serve [listen ADDRESS:PORT] [default NAME] \
                     [answer-within DURATION] \\\n       component NAME tcp HOST:PORT [SETTING]... \
                     [component NAME ...]...\n";

pub(super) fn run(words: &[String]) -> Exit {
    match serve(words) {
        Ok(()) => Exit::Ok,
        Err(error) => {
            let exit = exit_of(&error);
            let usage = if exit == Exit::Usage { USAGE } else { "" };
            complain(&format!("failover: serve: {error:?}\n{usage}"));
            exit
        }
    }
}

fn serve(words: &[String]) -> Result<(), Error> {
    // First of all, so that every thread that is started has them blocked.
    let signals = Signals::keep(&[Signal::Interrupt, Signal::Terminate])
        .map_err(|error| Error::system("signals cannot be blocked", error))?;
    // With fewer it works too, for fewer clients at a time.
    let _ = limits::raise_descriptors();
    let settings = words::settings(words)?;
    let log = Log::to_stderr();
    let server = build::server(&settings, &log)?;
    log.line(
        Level::Notice,
        format_args!("listening on {}", server.local_addr()),
    );
    server.serve_until(&signals)
}
