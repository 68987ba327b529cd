//! `failover explain`: what a configuration means in time and in odds, from the daemon's numbers.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::options::Words;
use super::{Exit, complain, ended, say};
use crate::check::traffic::rules::WINDOW;
use crate::config::component::{Asks, ComponentPlan, Schedule};
use crate::config::plan::{self, Plan};
use crate::decide::forecast::text::short;
use crate::decide::forecast::{Change, Forecast};
use crate::server::settings::ANSWER_WITHIN;
use crate::units::print_duration;

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
    for name in &words.rest {
        if !plan.components.iter().any(|it| it.name == *name) {
            return Err(words.wrong(&format!("there is no component {name:?}")));
        }
    }
    for component in &plan.components {
        if words.rest.is_empty() || words.rest.contains(&component.name.as_str()) {
            say(&of(component, plan));
        }
    }
    Ok(Exit::Ok)
}

/// One component: what it is, then its times and odds.
fn of(component: &ComponentPlan, plan: &Plan) -> String {
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
    for setting in ["only-if", "depends-on"] {
        if let Some(names) = component.setting(setting) {
            text += &[setting, ": ", &names.text(), "\n"].concat();
        }
    }
    text += &match (&component.asks, component.judging.schedule) {
        (Some(Asks::Others(_)), _) => of_members(component, plan),
        (Some(Asks::Heartbeat { silence_max, .. }), _) => of_heartbeat(component, *silence_max),
        (_, Schedule::OnRequest) => {
            let within = about.answer_within.unwrap_or(ANSWER_WITHIN);
            let (within, rules) = (print_duration(within), component.rules().to_string());
            let about = "\n\nIt is asked only when somebody asks, so that its times are its \
                         callers' to know.\n";
            ["on-request, answer-within ", &within, ", ", &rules, about].concat()
        }
        _ => forecast(component).map_or(String::new(), |it| of_probed(component, &it)),
    };
    text + "\n"
}

/// What the component's own thresholds and pace come to; nothing where others set the pace.
fn forecast(component: &ComponentPlan) -> Option<Forecast> {
    let Schedule::Every(pace) = component.judging.schedule else {
        return None;
    };
    let budget = component.budget().unwrap_or_default();
    let window = match component.kind {
        "haproxy-traffic" | "access-log" => component.window.unwrap_or(WINDOW),
        _ => Duration::ZERO,
    };
    Some(Forecast::new(component.rules(), pace, budget).window(window))
}

/// What asks by itself.
fn of_probed(component: &ComponentPlan, forecast: &Forecast) -> String {
    let mut text = forecast.text();
    let (judging, budget) = (&component.judging, component.budget().unwrap_or_default());
    let mut add = |before: &str, duration: Duration, after: &str| {
        text += &[before, &print_duration(duration), after].concat();
    };
    if let Some(timeout) = judging.timeout.filter(|timeout| *timeout < budget) {
        add("\nAs timeout ", budget, " stands here for ");
        let after = " and the time that a program is given\nto end after that.\n";
        add("timeout ", timeout, after);
    }
    if let Some(delay) = judging.delay {
        add("\nThe first check is ", delay, " after the start.\n");
    }
    if let Some(stale_after) = component.rules().stale_after {
        let after = " without a known outcome its state is unknown: 500 ERROR.\n";
        add("\nAfter ", stale_after, after);
    }
    text
}

/// The last report may have come right before it fell silent, or as long before as one is due.
fn of_heartbeat(component: &ComponentPlan, silence_max: Duration) -> String {
    let own = forecast(component).and_then(|own| own.failure().refused);
    let (best, worst) = own.map_or_else(Default::default, |own| (own.best(), own.worst()));
    let every = component.about.every.unwrap_or_default();
    let grace = silence_max.saturating_sub(every);
    [
        "every ",
        &print_duration(every),
        " grace ",
        &print_duration(grace),
        ", ",
        &component.rules().to_string(),
        "\n\nIt waits for reports. When they end it fails after ",
        &short(grace.saturating_add(best)),
        " at best, ",
        &short(silence_max.saturating_add(worst)),
        " at worst.\n",
    ]
    .concat()
}

/// What is made of others: their times, and what its own thresholds add.
fn of_members(component: &ComponentPlan, plan: &Plan) -> String {
    let mut text = component.rules().to_string();
    text += "\n\nIt follows the components that it is made of, from memory, at every change. \
             That\nis, at worst:             to fail     to be ok\n";
    let worst = |change: Change| change.silent.map(|times| times.worst());
    for name in &component.about.members {
        let member = plan.components.iter().find(|it| it.name == *name);
        let probed = member.filter(|it| matches!(it.asks, Some(Asks::Check(_))));
        let times = probed.and_then(forecast);
        let times = times.map(|it| (worst(it.failure()), worst(it.recovery())));
        text += &match times {
            Some((failure, recovery)) => row(name, failure, recovery),
            None => ["  ", name.as_str(), ": as it says itself\n"].concat(),
        };
    }
    let own = forecast(component);
    let added = |change: Change| change.refused.map(|times| times.best());
    let own = own.map(|it| (added(it.failure()), added(it.recovery())));
    if let Some((failure, recovery)) = own {
        text += &row("and itself, on top", failure, recovery);
    }
    text
}

/// What does not come by itself is a human's to do.
fn row(name: &str, failure: Option<Duration>, recovery: Option<Duration>) -> String {
    let words = |time: Option<Duration>| time.map_or(String::from("never"), short);
    format!(
        "  {name:<20}{:>11}{:>13}\n",
        words(failure),
        words(recovery)
    )
}
