//! `failover check-config`: everything that is wrong with a configuration, in one run.
#![forbid(unsafe_code)]

use super::options::Words;
use super::{Exit, complain_of, ended, say};
use crate::config::plan;
use crate::config::problem::Severity;

const USAGE: &str = "usage: failover check-config [-c FILE]\n";

pub(super) fn run(words: &[String]) -> Exit {
    ended(check(words))
}

fn check(words: &[String]) -> Result<Exit, Exit> {
    let words = Words::read("check-config", USAGE, &["-c"], words)?;
    words.no_more()?;
    let path = words.config();
    let read = plan::read(&path);
    complain_of(read.report());
    let name = path.display();
    let errors = read.count(Severity::Error);
    let warnings = counted(read.count(Severity::Warning), "warning");
    let Some(plan) = read.plan else {
        complain_of(format!("{name}: {errors} wrong, {warnings}\n"));
        return Ok(Exit::Config);
    };
    let components = counted(plan.components.len(), "component");
    say(&format!("{name}: can be used; {components}, {warnings}\n"));
    Ok(Exit::Ok)
}

fn counted(count: usize, one: &str) -> String {
    let more = if count == 1 { "" } else { "s" };
    format!("{count} {one}{more}")
}
