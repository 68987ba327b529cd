//! `failover explain`: what a configuration means in time and in odds, from the daemon's numbers.
#![forbid(unsafe_code)]

use super::options::Words;
use super::{Exit, complain, ended, say};
use crate::config::component::{ComponentPlan, Schedule};
use crate::config::plan;
use crate::decide::forecast::Forecast;

const USAGE: &str = "usage: failover explain [-c FILE] [NAME]...\n";

pub(super) fn run(words: &[String]) -> Exit {
    ended(explain(words))
}

fn explain(words: &[String]) -> Result<Exit, Exit> {
    let words = Words::read("explain", USAGE, &["-c"], words)?;
    let read = plan::read(&words.config());
    let Some(plan) = &read.plan else {
        complain(&read.report());
        return Err(Exit::Config);
    };
    for name in words.rest {
        if !plan.components.iter().any(|it| it.name == *name) {
            return Err(words.wrong(&format!("there is no component {name:?}")));
        }
    }
    for component in &plan.components {
        if words.rest.is_empty() || words.rest.contains(&component.name) {
            say(&of(component));
        }
    }
    Ok(Exit::Ok)
}

/// One component: what it is, then its times and odds where it has any of its own.
fn of(component: &ComponentPlan) -> String {
    let about = &component.about;
    let mut text = format!("{}: {}\n", component.name, about.asks);
    if let Some(layer) = about.layer {
        text += &format!("layer: {}\n", layer.word());
    }
    if !about.why.is_empty() {
        text += &format!("why: {}\n", about.why);
    }
    if !about.critical {
        text += "not critical: /health only warns when it fails\n";
    }
    text += &match component.judging.schedule {
        _ if component.is_composite() => String::from(
            "It follows the components that it is made of, from memory, at every change: add\n\
             its own thresholds to their times.\n",
        ),
        _ if about.heartbeat => String::from(
            "It waits for reports: silence fails it when 'every' and 'grace' are over.\n",
        ),
        Schedule::OnRequest => String::from(
            "It is asked only when somebody asks, so that its times are its callers' to know.\n",
        ),
        Schedule::Every(pace) => {
            let budget = component.budget().unwrap_or_default();
            Forecast::new(component.rules(), pace, budget).text()
        }
    };
    text + "\n"
}
