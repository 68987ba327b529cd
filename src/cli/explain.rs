//! `failover explain`: what a configuration means in time and in odds, from the daemon's numbers.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::options::Words;
use super::{Exit, complain, ended, say};
use crate::check::traffic::rules::WINDOW;
use crate::component::Layer;
use crate::config::component::{Asks, ComponentPlan, LOOK_EVERY, Name, Others, Schedule};
use crate::config::names::{index, place_of};
use crate::config::plan;
use crate::decide::forecast::Forecast;
use crate::decide::forecast::text::{LEGEND, TRAFFIC, cell, compare, fill, judging, settings};
use crate::health::State;
use crate::server::settings::ANSWER_WITHIN;
use crate::units::{Rule, Threshold};

const USAGE: &str = "usage: failover explain [-c FILE] [NAME]...\n";

/// What is said of a component in the words of its own configuration.
const QUOTED: [&str; 5] = [
    "only-if",
    "depends-on",
    "non-critical",
    "track-file",
    "fail-status",
];

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
    let mut all = All {
        index: index(&plan.components),
        components: &plan.components,
        known: vec![None; plan.components.len()],
    };
    for name in &words.rest {
        if place_of(name, &all.index).is_none() {
            return Err(words.wrong(&format!("there is no component {name:?}")));
        }
    }
    let mut is_compared = false;
    for (at, component) in plan.components.iter().enumerate() {
        if words.rest.is_empty() || words.rest.contains(&component.name.as_str()) {
            say(&all.of(at));
            is_compared |= !component.about.heartbeat && component.about.every.is_some();
        }
    }
    if is_compared {
        say(LEGEND);
    }
    Ok(Exit::Ok)
}

/// At worst: until it fails, and until it is ok again. The longest time there is stands for what
/// does not come by itself.
type Worst = [Duration; 2];

/// All components, and the times of those that were asked for by now.
struct All<'a> {
    components: &'a [ComponentPlan],
    index: Vec<(&'a str, usize)>,
    known: Vec<Option<Worst>>,
}

impl All<'_> {
    /// One component: what it is, then its times and odds.
    fn of(&mut self, at: usize) -> String {
        let component = &self.components[at];
        let about = &component.about;
        let mut text = String::new();
        let mut add = |name: &str, what: &str| {
            if !what.is_empty() {
                for words in [name, ": ", what, "\n"] {
                    text += words;
                }
            }
        };
        add(&component.name, &about.asks);
        add("layer", about.layer.map_or("", Layer::word));
        add("why", &about.why);
        if !about.critical {
            add("not critical", "/health only warns when it fails");
        }
        for name in QUOTED {
            if let Some(setting) = component.setting(name) {
                add(name, &setting.text());
            }
        }
        match (&component.asks, forecast(component)) {
            (Some(Asks::Others(others)), _) => self.tell_members(&mut text, at, others),
            (Some(Asks::Heartbeat { silence_max, .. }), Some(own)) => {
                tell_heartbeat(&mut text, component, *silence_max, own);
            }
            (_, Some(own)) => self.tell_probed(&mut text, component, own),
            (_, None) => tell_on_request(&mut text, component),
        }
        text + "\n"
    }

    /// What is made of others: their times, and what its own thresholds add.
    fn tell_members(&mut self, text: &mut String, at: usize, others: &Others) {
        let total = self.worst(at);
        judging(text, Duration::ZERO, self.components[at].rules());
        *text += "It follows what it is made of, from memory, at every change. At worst:\n\
                  \x20                              to fail      to be ok\n";
        for name in &others.names {
            match self.member(name, others) {
                Some(member) => tell_times(text, &name.name, self.worst(member)),
                None => {
                    for words in ["  ", &name.name, ": only warns\n"] {
                        *text += words;
                    }
                }
            }
        }
        tell_times(text, "in all", total);
        *text += "\n";
        tell_stale(text, &self.components[at]);
        let failing = others.names.len() - others.needed + 1;
        if failing > 1 {
            *text += "A false alarm takes ";
            *text += &failing.to_string();
            *text += " of them that have one at a time.\n";
        } else if !others.is_not {
            *text += "A false alarm of one of them is one of its own.\n";
        }
        compare(text, total);
    }

    /// What asks by itself.
    fn tell_probed(&mut self, text: &mut String, component: &ComponentPlan, own: Forecast) {
        let Schedule::Every(pace) = component.judging.schedule else {
            return;
        };
        let timeout = component.judging.timeout.unwrap_or_default();
        settings(text, pace, timeout, component.rules());
        let mut notes = String::new();
        if let Some(delay) = component.judging.delay {
            fill(
                &mut notes,
                "The first check is # after the start.\n",
                &[delay],
            );
        }
        let ending = component
            .budget()
            .unwrap_or_default()
            .saturating_sub(timeout);
        if !ending.is_zero() {
            let words = "A program that hangs is given # more than its timeout to end.\n";
            fill(&mut notes, words, &[ending]);
        }
        if let Some(limit) = component.setting("fresher-than") {
            notes += "Where only its writer dies, fresher-than ";
            notes += &limit.text();
            notes += " passes before that.\n";
        }
        // What is asked only while others are ok may fail before they do.
        let best = own
            .failure()
            .refused
            .map_or(Duration::MAX, |times| times.best());
        for name in &component.only_if {
            let other = self.worst(place_of(&name.name, &self.index).unwrap_or_default())[0];
            if best <= other && other < Duration::MAX {
                notes += "That ";
                notes += &name.name;
                let words = " failed is seen after # at worst; this may have failed after #.\n";
                fill(&mut notes, words, &[other, best]);
            }
        }
        tell_stale(&mut notes, component);
        own.tell(text, &notes, sure_of(component));
    }

    /// Without recursion, since a chain may be as long as a configuration.
    fn worst(&mut self, at: usize) -> Worst {
        let (mut way, mut last) = (vec![at], Worst::default());
        while let Some(next) = way.last() {
            match self.computed(*next) {
                Err(unknown) => way.push(unknown),
                Ok(worst) => {
                    last = worst;
                    self.known[*next] = Some(worst);
                    way.pop();
                }
            }
        }
        last
    }

    /// One that it is made of and can fail by.
    fn member(&self, name: &Name, others: &Others) -> Option<usize> {
        let mut spared = others.non_critical.iter();
        if spared.any(|other| other.name == name.name) {
            return None;
        }
        place_of(&name.name, &self.index)
    }

    /// Of one whose members are known; or the first that is not.
    fn computed(&self, at: usize) -> Result<Worst, usize> {
        let component = &self.components[at];
        let judging = &component.judging;
        let mut worst = forecast(component).map_or([Duration::MAX; 2], |own| own.worst());
        match &component.asks {
            Some(Asks::Others(others)) => {
                let [mut failure, mut recovery] = Worst::default();
                for name in &others.names {
                    if let Some(member) = self.member(name, others) {
                        let [fails, recovers] = self.known[member].ok_or(member)?;
                        failure = failure.max(fails);
                        recovery = recovery.max(recovers);
                    }
                }
                if others.is_not {
                    (failure, recovery) = (recovery, failure);
                }
                worst[0] = failure.saturating_add(on_top(judging.fail_after));
                worst[1] = recovery.saturating_add(on_top(judging.ok_after));
            }
            Some(Asks::Heartbeat { silence_max, .. }) => {
                worst[0] = worst[0].saturating_add(*silence_max);
                worst[1] = on_top(judging.ok_after);
            }
            _ => {}
        }
        if component.reset.is_some() {
            worst[1] = Duration::MAX;
        }
        Ok(worst)
    }
}

/// What a threshold takes of one that is looked at whenever something changes, and every second.
fn on_top(threshold: Threshold) -> Duration {
    match threshold.0 {
        Rule::Duration(lasting) => lasting.saturating_add(LOOK_EVERY.duration()),
        _ => Duration::ZERO,
    }
}

fn tell_times(text: &mut String, name: &str, [failure, recovery]: Worst) {
    *text += "  ";
    *text += name;
    cell(text, failure, 35_usize.saturating_sub(name.len()));
    cell(text, recovery, 13);
    *text += "\n";
}

/// Why a probe that is lost is no failure of what is asked, where that is so.
fn sure_of(component: &ComponentPlan) -> &'static str {
    match component.kind {
        "haproxy-traffic" | "access-log" => TRAFFIC,
        "dns" if component.setting("server").is_none() => "Our own resolver's silence is unknown",
        _ if component.judging.timeout.is_none() => "Nothing is lost on the way to this machine",
        _ => "",
    }
}

/// What the component's own thresholds and pace come to; nothing where others set the pace.
fn forecast(component: &ComponentPlan) -> Option<Forecast> {
    let Schedule::Every(pace) = component.judging.schedule else {
        return None;
    };
    let sure = sure_of(component);
    let budget = component.budget().filter(|_| sure.is_empty());
    let forecast = Forecast::new(component.rules(), pace, budget.unwrap_or_default());
    Some(match sure {
        TRAFFIC => forecast.window(component.window.unwrap_or(WINDOW)),
        _ => forecast,
    })
}

fn tell_stale(text: &mut String, component: &ComponentPlan) {
    if let Some(limit) = component.rules().stale_after {
        let words = "After # without a known outcome its state is unknown: 500 ERROR.\n";
        fill(text, words, &[limit]);
    }
}

/// What asks when somebody asks it.
fn tell_on_request(text: &mut String, component: &ComponentPlan) {
    let within = component.about.answer_within.unwrap_or(ANSWER_WITHIN);
    fill(text, "on-request, answer-within #, ", &[within]);
    let rules = component.rules();
    let timeout = component.judging.timeout.unwrap_or_default();
    judging(text, timeout, rules);
    *text += "It is asked only when somebody asks. Asked every T";
    if !timeout.is_zero() {
        *text += " (its timeout at least)";
    }
    *text += ",\nit fails within ";
    tell_requests(text, rules.fail_after);
    if !timeout.is_zero() {
        fill(text, " + #", &[timeout]);
    }
    *text += " and is ok again ";
    if rules.manual_reset {
        *text += "when a human resets it";
    } else {
        *text += "within ";
        tell_requests(text, rules.ok_after);
    }
    *text += ".\n";
    tell_stale(text, component);
}

/// How long it takes by requests that are T apart.
fn tell_requests(text: &mut String, threshold: Threshold) {
    match threshold.0 {
        Rule::Count(n) | Rule::Window { needed: n, .. } => {
            *text += &n.to_string();
            *text += " x T";
        }
        Rule::Duration(lasting) => fill(text, "2 x T + #", &[lasting]),
    }
}

/// The last report may have come right before it fell silent, or as long before as one is due.
fn tell_heartbeat(
    text: &mut String,
    component: &ComponentPlan,
    silence_max: Duration,
    own: Forecast,
) {
    let best = own
        .failure()
        .refused
        .map_or(Duration::MAX, |times| times.best());
    let (every, worst) = (component.about.every.unwrap_or_default(), own.worst()[0]);
    let grace = silence_max.saturating_sub(every);
    fill(text, "every # grace #, ", &[every, grace]);
    judging(text, Duration::ZERO, component.rules());
    let words = "It waits for reports, and looks every second. When they end it fails after #\nat \
                 best, after # at worst: # + # + #.\n";
    let (first, last) = (
        grace.saturating_add(best),
        silence_max.saturating_add(worst),
    );
    fill(text, words, &[first, last, every, grace, worst]);
    if component.judging.start == State::Unknown {
        *text += "After a start of the daemon it is unknown until a report comes.\n";
    }
}
