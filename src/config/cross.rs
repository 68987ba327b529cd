//! What is wrong only when everything is seen together: settings whose arithmetic does not work
//! out, and those that ask for what nobody does.
//!
//! Errors are what cannot work; a warning explains what will happen, with the numbers.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::blocks::Setting;
use super::component::{ComponentPlan, Schedule, as_count, shortest};
use super::names;
use super::problem::{At, Problems, Sources};
use super::server::ServerPlan;
use crate::check::prober::{Pace, stride};
use crate::units::{Rule, Threshold, print_duration};

/// All of a configuration.
pub(crate) struct Whole<'a> {
    pub(crate) server: &'a ServerPlan,
    /// Where the server's block begins, or the configuration.
    pub(crate) server_at: At,
    pub(crate) components: &'a [ComponentPlan],
    /// Their places in there, in the order of their names.
    pub(crate) index: Vec<(&'a str, usize)>,
    /// The names of components that could not be read, too: they are wrong, not missing.
    pub(crate) names: &'a [String],
    pub(crate) sources: &'a Sources,
    pub(crate) problems: &'a Problems,
}

impl Whole<'_> {
    /// Tells what is wrong with it.
    pub(crate) fn check(&self) {
        names::check(self);
        for component in self.components {
            self.feeds(component);
            self.resets(component);
            self.tells(component);
            self.arithmetic(component);
        }
        self.default();
    }

    /// The place of the component of that name.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        names::place_of(name, &self.index)
    }

    fn default(&self) {
        if self.problems.has_errors() {
            return;
        }
        let count = self.components.len();
        if count == 0 {
            let message = "there is no component; expected at least one: component NAME";
            self.problems.error(At::start_of(0), message);
        }
        if self.server.default.is_none() && count > 1 {
            let message = format!(
                "no \"default\" in \"server\": / answers every balancer \"200 alive\", whatever \
                 the {count} components say"
            );
            self.problems.warning(self.server_at, message);
        }
    }

    /// Nothing may follow what runs only when somebody asks.
    fn feeds(&self, component: &ComponentPlan) {
        for (keyword, name) in component.uses() {
            let Some(other) = self.find(&name.name).map(|it| &self.components[it]) else {
                continue;
            };
            if other.judging.schedule == Schedule::OnRequest {
                let message = format!(
                    "{keyword}: {:?} is on-request and is not asked by itself, so nothing can \
                     follow it; expected \"every\" there",
                    name.name
                );
                self.problems.error(name.at, message);
            }
        }
        if component.judging.schedule != Schedule::OnRequest {
            return;
        }
        for keyword in ["track-file", "notify", "delay"] {
            if let Some(setting) = component.setting(keyword) {
                let message = format!(
                    "{keyword:?} with \"on-request\": nobody may be asking; expected \"every\""
                );
                self.problems.error(setting.at, message);
            }
        }
    }

    fn resets(&self, component: &ComponentPlan) {
        let setting = component.setting("manual-reset");
        if let (Some(setting), None) = (setting, &self.server.state_dir) {
            let message =
                "\"manual-reset\" without \"state-dir\" in \"server\": a restart resets it";
            self.problems.warning(setting.at, message);
        }
    }

    /// Settings that ask for what nobody does.
    fn tells(&self, component: &ComponentPlan) {
        if let Some(setting) = component.setting("notify") {
            let message = format!("notify {}: this version tells nobody", setting.text());
            self.problems.warning(setting.at, message);
        }
        let members = component.about.members.len();
        if component.kind == "majority" && members < 3 {
            let message = format!(
                "a majority of {members} is all of them, so that one failure fails it; expected 3 \
                 or more, or all-of"
            );
            self.problems
                .warning(self.place(component, "majority"), message);
        }
        let is_on_request = component.judging.schedule == Schedule::OnRequest;
        if let (Some(setting), false) = (component.setting("answer-within"), is_on_request) {
            let message =
                "\"answer-within\" without \"on-request\": callers are answered from memory";
            self.problems.warning(setting.at, message);
        }
    }

    fn arithmetic(&self, component: &ComponentPlan) {
        if component.is_composite() || component.about.heartbeat {
            self.follows(component);
            return;
        }
        self.connect_timeout(component);
        self.recovery(component);
        let Schedule::Every(pace) = component.judging.schedule else {
            return;
        };
        self.fast(component, pace);
        self.timeout(component, pace);
        self.stale(component, pace);
        self.window(component, pace);
    }

    /// A count says nothing where outcomes come whenever something changes.
    fn follows(&self, component: &ComponentPlan) {
        let mut has_counts = false;
        for keyword in ["ok-after", "fail-after"] {
            let threshold = match keyword {
                "ok-after" => component.judging.ok_after,
                _ => component.judging.fail_after,
            };
            let is_plain = as_count(&threshold) == Some(1);
            if !is_plain && !matches!(threshold.0, Rule::Duration(_)) {
                let message = format!(
                    "{keyword} {threshold}: {:?} is looked at whenever something changes, so that \
                     a count says nothing; expected a duration",
                    component.kind
                );
                self.problems.error(self.place(component, keyword), message);
                has_counts = true;
            }
        }
        if !has_counts {
            self.recovery(component);
        }
    }

    fn fast(&self, component: &ComponentPlan, pace: Pace) {
        let (every, fast) = (pace.every.duration(), pace.fast.duration());
        if fast > every {
            let message = format!(
                "\"fast\" is {}, which is slower than every {}; expected less: it is the pace \
                 while the state is about to change",
                print_duration(fast),
                print_duration(every),
            );
            let at = self.place(component, "every");
            self.problems.warning(at, message);
        }
    }

    fn connect_timeout(&self, component: &ComponentPlan) {
        let connect = component.connect_timeout;
        let (Some(connect), Some(timeout)) = (connect, component.judging.timeout) else {
            return;
        };
        if connect > timeout {
            let message = format!(
                "connect-timeout {} is longer than timeout {}, which ends everything; expected \
                 less",
                print_duration(connect),
                print_duration(timeout),
            );
            let at = self.place(component, "connect-timeout");
            self.problems.warning(at, message);
        }
    }

    /// Traffic that no look ever sees.
    fn window(&self, component: &ComponentPlan, pace: Pace) {
        let slowest = pace.every.max(pace.fast).max(pace.down).duration();
        let Some(window) = component.window.filter(|window| *window < slowest) else {
            return;
        };
        let message = format!(
            "window {} is shorter than the slowest pace, {}: the traffic between two looks is not \
             seen",
            print_duration(window),
            print_duration(slowest),
        );
        self.problems
            .warning(self.place(component, "window"), message);
    }

    fn timeout(&self, component: &ComponentPlan, pace: Pace) {
        let shortest = shortest(pace);
        let Some(timeout) = component.judging.timeout.filter(|it| *it > shortest) else {
            return;
        };
        let message = format!(
            "timeout {} is longer than the shortest pace, {}: while a check hangs, starts are \
             skipped, and the check runs every {} at best; expected a timeout of at most {}",
            print_duration(timeout),
            print_duration(shortest),
            print_duration(stride(shortest, timeout).0),
            print_duration(shortest),
        );
        self.problems
            .warning(self.place(component, "timeout"), message);
    }

    fn stale(&self, component: &ComponentPlan, pace: Pace) {
        let Some(stale_after) = component.judging.stale_after else {
            return;
        };
        let slowest = pace.every.max(pace.fast).max(pace.down).duration();
        let at = self.place(component, "stale-after");
        if stale_after <= slowest {
            let message = format!(
                "stale-after {} is not longer than the slowest pace, {}: each outcome is stale \
                 before the next, nothing is ever counted, and the state is unknown most of the \
                 time; expected more than {}",
                print_duration(stale_after),
                print_duration(slowest),
                print_duration(
                    slowest.saturating_add(component.judging.timeout.unwrap_or_default())
                ),
            );
            self.problems.error(at, message);
        } else if component
            .judging
            .timeout
            .is_some_and(|timeout| stale_after < slowest + timeout)
        {
            let timeout = component.judging.timeout.unwrap_or_default();
            let message = format!(
                "stale-after {} is shorter than one pace and one timeout, {} + {}: one slow check \
                 makes the state unknown",
                print_duration(stale_after),
                print_duration(slowest),
                print_duration(timeout),
            );
            self.problems.warning(at, message);
        }
    }

    /// Recovery that is easier than failure makes a service flap, unless a human has to start it.
    fn recovery(&self, component: &ComponentPlan) {
        let judging = &component.judging;
        let (fail_after, ok_after) = (&judging.fail_after, &judging.ok_after);
        let (fail, recover) = match judging.schedule {
            Schedule::Every(pace) => {
                let pace = Some(pace.fast.duration());
                (least_time(fail_after, pace), least_time(ok_after, pace))
            }
            Schedule::OnRequest => (least_time(fail_after, None), least_time(ok_after, None)),
        };
        let (Some(fail), Some(recover)) = (fail, recover) else {
            return;
        };
        if recover >= fail || component.reset.is_some() {
            return;
        }
        let keyword = match component.setting("ok-after") {
            Some(_) => "ok-after",
            None => "fail-after",
        };
        let message = format!(
            "recovery is easier than failure: ok-after {ok_after} takes {}, fail-after \
             {fail_after} takes {}; a service that is half well will flap",
            print_duration(recover),
            print_duration(fail),
        );
        self.problems
            .warning(self.place(component, keyword), message);
    }

    /// Where a setting has its value, or where its component begins.
    fn place(&self, component: &ComponentPlan, keyword: &str) -> At {
        let setting = component.setting(keyword);
        setting.map_or(component.at, Setting::value_at)
    }
}

/// The least time from the first disagreeing outcome to the last that is needed; none where it
/// depends on who asks how often.
fn least_time(threshold: &Threshold, pace: Option<Duration>) -> Option<Duration> {
    match threshold.0 {
        Rule::Count(needed) | Rule::Window { needed, .. } => Some(pace?.saturating_mul(needed - 1)),
        Rule::Duration(duration) => Some(duration),
    }
}
