//! `failover replay`: what a component's rules would have made of outcomes that were.
#![forbid(unsafe_code)]

use std::io::{BufReader, ErrorKind as Cause};

use super::options::Words;
use super::{Exit, cause_of, complain_of, ended};
use crate::config::plan;
use crate::decide::replay::replay;
use crate::error::{Error, ErrorKind};
use crate::sys::file::{standard_input, standard_output};

const USAGE: &str = "usage: failover replay [-c FILE] NAME < OUTCOMES\n";

pub(super) fn run(words: &[String]) -> Exit {
    ended(judge(words))
}

fn judge(words: &[String]) -> Result<Exit, Exit> {
    let words = Words::read("replay", USAGE, &["-c"], words)?;
    let [name] = words.rest[..] else {
        return Err(words.wrong("expected the NAME of one component"));
    };
    let read = plan::read(&words.config());
    let Some(plan) = &read.plan else {
        complain_of(read.report());
        return Err(Exit::Config);
    };
    let Some(component) = plan.components.iter().find(|it| it.name == *name) else {
        return Err(words.wrong_as(format!("there is no component {name:?}")));
    };
    let mut rules = component.rules();
    if component.is_composite() {
        // It is looked at between its changes, too, which nobody writes down.
        rules.stale_after = component.judging.stale_after;
    }
    let judged = standard_input()
        .and_then(|input| Ok((BufReader::new(input), standard_output()?)))
        .map_err(|error| Error::system("standard input or output cannot be used", error))
        .and_then(|(mut input, mut out)| replay(&mut input, &mut out, &rules));
    match judged {
        Ok(summary) => {
            complain_of(summary.to_string());
            Ok(Exit::Ok)
        }
        // Whoever reads it wants no more.
        Err(error) if cause_of(&error) == Some(Cause::BrokenPipe) => Ok(Exit::Ok),
        Err(error) => {
            complain_of(format!("failover: replay: {error:?}\n"));
            Err(match error.kind() {
                ErrorKind::Invalid => Exit::Usage,
                _ => Exit::Io,
            })
        }
    }
}
