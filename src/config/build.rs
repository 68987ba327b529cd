//! From a component's plan to what is mounted on the server.
//!
//! ```text
//! check -> only-if -> hysteresis -> manual reset -> background, or on request
//! ```
#![forbid(unsafe_code)]

use std::sync::{Arc, Weak};

use super::component::{Asks, ComponentPlan, Judging, Others, Schedule};
use crate::check::Check;
use crate::check::heartbeat::{HeartbeatCheck, Reports};
use crate::check::prober::FirstStart;
use crate::clock::Clock;
use crate::component::group::{Follow, OnlyIf};
use crate::component::guarded::Guarded;
use crate::component::{Component, Components, Mount, OnPost};
use crate::decide::background::Builder;
use crate::decide::combine::{AtLeast, Not};
use crate::decide::hysteresis::Hysteresis;
use crate::decide::oneshot::Oneshot;
use crate::decide::toggle::Toggle;
use crate::error::Error;
use crate::health::State;
use crate::sys::thread::Stack;

/// A component that is built, without a thread yet.
pub(crate) struct Built {
    mount: Mount,
    start: State,
    judging: Judging,
    clock: Arc<dyn Clock>,
}

/// What goes on of the one whose place a component takes.
#[derive(Default)]
pub(crate) struct Resumed {
    pub(crate) state: Option<State>,
    /// A heartbeat's: the next may be due tomorrow.
    pub(crate) reports: Option<Reports>,
}

/// Builds what a plan says; what goes on of the one whose place it takes does so here.
/// The plan's check is used up, and who may act on it, which has to be open.
///
/// # Errors
/// A plan that was used up before.
pub(crate) fn build(
    plan: &mut ComponentPlan,
    resumed: Resumed,
    components: &Weak<Components>,
    clock: &Arc<dyn Clock>,
) -> Result<Built, Error> {
    let (check, mut acts) = asked(plan, resumed.reports, components, clock)?;
    let check: Box<dyn Check> = if plan.only_if.is_empty() {
        check
    } else {
        Box::new(OnlyIf {
            components: components.clone(),
            names: plan.only_if.iter().map(|it| it.name.clone()).collect(),
            check,
        })
    };
    let start = resumed.state.unwrap_or(plan.judging.start);
    let mut check: Box<dyn Check> = Box::new(judged(check, start, &plan.judging)?);
    if plan.reset.is_some() {
        let reset = Oneshot::new(State::Fail);
        check = Box::new(Toggle::new(check, reset.clone()).initial_state(start));
        acts = Some(Box::new(reset));
    }
    // Without a credential of its own it acts for administrators only.
    let guard = plan.guard.take();
    let on_post = acts.map(|inner| Box::new(Guarded { guard, inner }) as Box<dyn OnPost>);
    Ok(Built {
        mount: Mount {
            name: plan.name.clone(),
            check,
            on_post,
            about: plan.about.clone(),
        },
        start,
        judging: plan.judging.clone(),
        clock: clock.clone(),
    })
}

impl Built {
    /// Puts something around what acts on a POST.
    pub(crate) fn wrap_post(&mut self, wrap: impl FnOnce(Box<dyn OnPost>) -> Box<dyn OnPost>) {
        self.mount.on_post = self.mount.on_post.take().map(wrap);
    }

    /// Starts its thread. It asks nothing before it is released, and first then, unless its plan
    /// has a delay of its own.
    ///
    /// # Errors
    /// No thread could be had.
    pub(crate) fn start(self, first: FirstStart) -> Result<Component, Error> {
        let mut mount = self.mount;
        if let Schedule::Every(pace) = self.judging.schedule {
            let own = self.judging.delay.map(FirstStart::delayed);
            let mut background = Builder::of(mount.check, pace.every);
            background.pace = pace;
            background.initial_state = self.start;
            background.first = own.unwrap_or(first);
            background.clock = self.clock.clone();
            // Its check is all our own, and known to need little.
            background.stack = Stack::Ours;
            background.stale_after = self.judging.stale_after;
            background.held = true;
            mount.check = Box::new(background.start()?);
        }
        Component::new(mount, self.clock)
    }
}

/// The check itself, and what takes reports for it, from whomever.
type Asked = (Box<dyn Check>, Option<Box<dyn OnPost>>);

fn asked(
    plan: &mut ComponentPlan,
    reports: Option<Reports>,
    components: &Weak<Components>,
    clock: &Arc<dyn Clock>,
) -> Result<Asked, Error> {
    match plan.asks.take() {
        Some(Asks::Check(check)) => Ok((check, None)),
        Some(Asks::Heartbeat { silence_max, .. }) => {
            let check = match reports {
                Some(reports) => HeartbeatCheck::after(silence_max, reports),
                None => HeartbeatCheck::with(silence_max, clock.clone()),
            };
            let reports = Box::new(check.reports());
            Ok((Box::new(check), Some(reports)))
        }
        Some(Asks::Others(others)) => Ok((made_of(&others, components)?, None)),
        // Invariant: a plan is mounted once.
        None => Err(Error::invalid("a component was mounted twice")),
    }
}

fn made_of(others: &Others, components: &Weak<Components>) -> Result<Box<dyn Check>, Error> {
    let mut follow = others.names.iter().map(|it| {
        let critical = !others
            .non_critical
            .iter()
            .any(|other| other.name == it.name);
        let follow = Follow {
            components: components.clone(),
            name: it.name.clone(),
            critical,
        };
        Box::new(follow) as Box<dyn Check>
    });
    let mut names = others.names.iter().map(|it| it.name.clone());
    if others.is_not {
        // Invariant: `not` has one name.
        let other = follow
            .next()
            .ok_or_else(|| Error::invalid("not of nothing"))?;
        return Ok(Box::new(Not::named(names.next(), other)));
    }
    let check = AtLeast::of_named(others.needed, names.collect(), follow.collect())?;
    Ok(Box::new(check))
}

fn judged(check: Box<dyn Check>, start: State, judging: &Judging) -> Result<Hysteresis, Error> {
    let mut check = Hysteresis::around(check)
        .initial_state(start)
        .ok_after(judging.ok_after)?
        .fail_after(judging.fail_after)?;
    if let Some(limit) = judging.stale_after {
        check = check.stale_after(limit)?;
    }
    Ok(check)
}
