//! `failover probe`: one check, said in one line and in the exit code.
//!
//! keepalived's MISC_CHECK reads an exit code of 2 and more as a success with a weight, so
//! everything that is not healthy is 1, a wrong command line too. With `--nagios` the codes are
//! those of monitoring plugins.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::{Exit, complain_of, say};
use crate::check::Check;
use crate::clock::{Clock, SystemClock};
use crate::config::plan;
use crate::health::{Health, Outcome};
use crate::number;

const USAGE: &str = "usage: failover probe [--nagios] tcp HOST:PORT | http URL | exec PROGRAM | \
                     ... [SETTING]...\n";

pub(super) fn run(words: &[String]) -> Exit {
    // Options come first, so that a program's own are not taken for ours.
    let is_option = |word: &String| word.starts_with('-');
    let begin = words.iter().position(|word| !is_option(word));
    let (options, settings) = words.split_at(begin.unwrap_or(words.len()));
    let is_nagios = options.iter().any(|option| *option == "--nagios");
    let wrong = if is_nagios {
        Exit::NagiosUnknown
    } else {
        Exit::Fail
    };
    if let Some(option) = options.iter().find(|option| **option != "--nagios") {
        complain_of(format!(
            "failover: probe: unknown option {option:?}\n{USAGE}"
        ));
        return wrong;
    }
    if options.len() > 1 {
        complain_of(format!(
            "failover: probe: \"--nagios\" stands twice\n{USAGE}"
        ));
        return wrong;
    }
    let mut check = match plan::probe(settings) {
        Ok(check) => check,
        Err(error) => {
            complain_of(format!("failover: probe: {error}\n{USAGE}"));
            return wrong;
        }
    };
    let started = SystemClock.now();
    let outcome = check.check();
    let outcome = outcome.with_took(SystemClock.now().since(started));
    if is_nagios {
        tell_nagios(&outcome)
    } else {
        tell(&outcome)
    }
}

fn tell(outcome: &Outcome) -> Exit {
    let (word, exit) = match outcome.health {
        Health::Ok | Health::Warn => ("OK", Exit::Ok),
        Health::Fail => ("FAIL", Exit::Fail),
        Health::Unknown => ("ERROR", Exit::Fail),
    };
    say(&format!(
        "{word} {outcome} ({})\n",
        milliseconds(outcome.took)
    ));
    exit
}

/// The one line of a monitoring plugin, with the time as performance data.
fn tell_nagios(outcome: &Outcome) -> Exit {
    let (word, exit) = match outcome.health {
        Health::Ok => ("OK", Exit::Ok),
        Health::Warn => ("WARNING", Exit::Fail),
        Health::Fail => ("CRITICAL", Exit::NagiosCritical),
        Health::Unknown => ("UNKNOWN", Exit::NagiosUnknown),
    };
    // A bar would end the text for the reader.
    let text = outcome.to_string().replace('|', "/");
    say(&format!(
        "FAILOVER {word} - {text} | time={}s\n",
        number::fixed(outcome.took.as_secs_f64(), 6)
    ));
    exit
}

fn milliseconds(took: Duration) -> String {
    format!("{} ms", number::fixed(took.as_secs_f64() * 1_000.0, 1))
}
