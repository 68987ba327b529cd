//! What is wrong only when everything is seen together: names that do not exist, circles, and
//! settings whose arithmetic does not work out.
//!
//! Errors are what cannot work; a warning explains what will happen, with the numbers.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::component::{ComponentPlan, Name, Schedule, as_count, shortest};
use super::problem::{At, Problems};
use super::schema::nearest;
use super::server::ServerPlan;
use crate::check::prober::{Pace, stride};
use crate::order;
use crate::units::{Rule, Threshold, print_duration};

/// Checks the whole. `names` has those of components that could not be read, too: they are wrong,
/// not missing.
pub(crate) fn check(
    server: &ServerPlan,
    components: &[ComponentPlan],
    names: &[String],
    problems: &Problems,
) {
    let all = All {
        components,
        names,
        problems,
    };
    all.names_once();
    all.names_exist(server);
    all.circles();
    for component in components {
        all.feeds(component);
        all.resets(component, server);
        all.arithmetic(component);
    }
    if components.is_empty() && !problems.has_errors() {
        let message = "there is no component; expected at least one: component NAME";
        problems.error(At::start_of(0), message);
    }
    if server.default.is_none() && components.len() > 1 {
        let message = format!(
            "no \"default\" in \"server\": / answers every balancer \"200 alive\", whatever the \
             {} components say",
            components.len()
        );
        problems.warning(At::start_of(0), message);
    }
}

struct All<'a> {
    components: &'a [ComponentPlan],
    names: &'a [String],
    problems: &'a Problems,
}

impl<'a> All<'a> {
    fn find(&self, name: &str) -> Option<&'a ComponentPlan> {
        self.components.iter().find(|it| it.name == name)
    }

    fn names_once(&self) {
        let mut names: Vec<(&str, At)> = self
            .components
            .iter()
            .map(|it| (&*it.name, it.at))
            .collect();
        order::sort(&mut names, Ord::cmp);
        for pair in names.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            let (name, first) = pair[0];
            let message = format!(
                "component {name:?} stands in line {} already; expected another name",
                first.line
            );
            self.problems.error(pair[1].1, message);
        }
        let mut files: Vec<_> = self
            .components
            .iter()
            .filter_map(|it| {
                it.track
                    .as_ref()
                    .map(|track| (&track.path, it.at, &it.name))
            })
            .collect();
        order::sort(&mut files, Ord::cmp);
        for pair in files.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            let message = format!(
                "track-file {:?} is that of component {:?} already; expected a file of its own",
                pair[0].0.display().to_string(),
                pair[0].2
            );
            self.problems.error(pair[1].1, message);
        }
    }

    fn names_exist(&self, server: &ServerPlan) {
        for component in self.components {
            for (keyword, name) in component.uses() {
                self.must_exist(keyword, &name.name, name.at);
            }
        }
        if let Some((name, at)) = &server.default {
            self.must_exist("default", name, *at);
        }
        for (name, at) in &server.agent_components {
            self.must_exist("agent-listen", name, *at);
        }
    }

    fn must_exist(&self, keyword: &str, name: &str, at: At) {
        if self.names.iter().any(|known| known == name) {
            return;
        }
        let known = self.names.iter().map(String::as_str);
        let hint = match nearest(name, known) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => String::from("expected the name of one"),
        };
        self.problems.error(
            at,
            format!("{keyword}: there is no component {name:?}; {hint}"),
        );
    }

    /// Nobody may wait for himself, through however many others.
    fn circles(&self) {
        for component in self.components {
            let mut path = vec![component.name.clone()];
            if let Some((circle, at)) = self.circle_from(component, &mut path) {
                // Each circle is told once, at its first component.
                if circle.iter().min() == Some(&component.name) {
                    let circle = circle.join(" -> ");
                    let message = format!(
                        "a circle: {circle} -> {}; expected components that do not need themselves",
                        component.name
                    );
                    self.problems.error(at, message);
                }
            }
        }
    }

    /// A way from the last of `path` back to its first.
    fn circle_from(
        &self,
        from: &ComponentPlan,
        path: &mut Vec<String>,
    ) -> Option<(Vec<String>, At)> {
        for (_, Name { name, at }) in from.uses() {
            if name == path[0] {
                return Some((path.clone(), at));
            }
            if path.contains(&name) {
                continue;
            }
            let Some(next) = self.find(&name) else {
                continue;
            };
            path.push(name);
            let found = self.circle_from(next, path);
            if found.is_some() {
                return found;
            }
            path.pop();
        }
        None
    }

    /// Nothing may follow what runs only when somebody asks.
    fn feeds(&self, component: &ComponentPlan) {
        for (keyword, name) in component.uses() {
            let Some(other) = self.find(&name.name) else {
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
            let setting = component.settings.iter();
            let setting = setting.filter(|setting| setting.keyword.name == keyword);
            for setting in setting {
                let message = format!(
                    "{keyword:?} with \"on-request\": nobody may be asking; expected \"every\""
                );
                self.problems.error(setting.at, message);
            }
        }
    }

    fn resets(&self, component: &ComponentPlan, server: &ServerPlan) {
        if component.reset.is_some() && server.state_dir.is_none() {
            let message = format!(
                "component {:?} has \"manual-reset\", and without \"state-dir\" in \"server\" a \
                 restart resets it",
                component.name
            );
            self.problems.warning(component.at, message);
        }
    }

    fn arithmetic(&self, component: &ComponentPlan) {
        if component.is_composite() || component.about.heartbeat {
            self.follows(component);
            return;
        }
        let Schedule::Every(pace) = component.judging.schedule else {
            return;
        };
        self.timeout(component, pace);
        self.stale(component, pace);
        self.recovery(component, pace);
    }

    /// A count says nothing where outcomes come whenever something changes.
    fn follows(&self, component: &ComponentPlan) {
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
            }
        }
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

    /// Recovery that is easier than failure makes a service flap.
    fn recovery(&self, component: &ComponentPlan, pace: Pace) {
        let judging = &component.judging;
        let fail = least_time(&judging.fail_after, pace.fast.duration());
        let recover = least_time(&judging.ok_after, pace.fast.duration());
        if recover >= fail {
            return;
        }
        let keyword = if self.has(component, "ok-after") {
            "ok-after"
        } else {
            "fail-after"
        };
        let message = format!(
            "recovery is easier than failure: ok-after {} takes {}, fail-after {} takes {}; a \
             service that is half well will flap",
            judging.ok_after,
            print_duration(recover),
            judging.fail_after,
            print_duration(fail),
        );
        self.problems
            .warning(self.place(component, keyword), message);
    }

    fn has(&self, component: &ComponentPlan, keyword: &str) -> bool {
        let mut settings = component.settings.iter();
        settings.any(|setting| setting.keyword.name == keyword)
    }

    /// Where a setting has its value, or where its component begins.
    fn place(&self, component: &ComponentPlan, keyword: &str) -> At {
        let mut settings = component.settings.iter();
        let setting = settings.find(|setting| setting.keyword.name == keyword);
        setting.map_or(component.at, |setting| setting.value_at())
    }
}

/// The least time from the first disagreeing outcome to the last that is needed.
fn least_time(threshold: &Threshold, pace: Duration) -> Duration {
    match threshold.0 {
        Rule::Count(count) => pace.saturating_mul(count - 1),
        Rule::Duration(duration) => duration,
        Rule::Window { needed, .. } => pace.saturating_mul(needed - 1),
    }
}
