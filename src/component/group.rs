//! Components that look at other components: by name, from memory, as those answer.
//!
//! What is followed may be replaced by another of the same name while the program runs, so it is
//! looked up each time. Nothing here probes, and nobody waits.
#![forbid(unsafe_code)]

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Components;
use crate::check::Check;
use crate::health::{Health, Outcome, Phase, Reason, Standing, State};

/// The other component as a check: what it answers is what is found.
pub(crate) struct Follow {
    pub(crate) components: Weak<Components>,
    pub(crate) name: String,
    /// Whether its failure counts as one; otherwise nothing of it is more than a warning.
    pub(crate) critical: bool,
}

impl Check for Follow {
    fn check(&mut self) -> Outcome {
        let Some(component) = find(&self.components, &self.name) else {
            return Outcome::new(Health::Unknown, Reason::NotYetKnown);
        };
        let published = component.board().published();
        let health = match published.standing.state {
            State::Ok if published.outcome.health == Health::Warn => Health::Warn,
            State::Fail | State::Unknown if !self.critical => Health::Warn,
            state => Health::from(state),
        };
        let Outcome { reason, detail, .. } = published.why();
        // What was found last is not why it is still failed.
        let detail = match published.standing.phase {
            Phase::Recovering if published.maint.is_none() => {
                format!("still recovering; {detail}")
            }
            _ => detail,
        };
        Outcome::new(health, reason).with_detail(detail)
    }

    fn budget(&self) -> Option<Duration> {
        Some(Duration::ZERO)
    }
}

/// A check that is made only while other components are ok; in between nothing is known.
pub(crate) struct OnlyIf {
    pub(crate) components: Weak<Components>,
    pub(crate) names: Vec<String>,
    pub(crate) check: Box<dyn Check>,
}

impl Check for OnlyIf {
    fn check(&mut self) -> Outcome {
        let is_ok = |name: &str| {
            find(&self.components, name).is_some_and(|other| other.board().state() == State::Ok)
        };
        match self.names.iter().find(|name| !is_ok(name)) {
            Some(name) => Outcome::new(Health::Unknown, Reason::ConditionNotMet)
                .with_detail(format!("{name} is not ok")),
            None => self.check.check(),
        }
    }

    fn reset(&mut self, to: State) {
        self.check.reset(to);
    }

    fn budget(&self) -> Option<Duration> {
        self.check.budget()
    }

    fn standing(&self) -> Option<Standing> {
        self.check.standing()
    }

    fn limit_silence(&mut self, stale_after: Duration) {
        self.check.limit_silence(stale_after);
    }
}

fn find(components: &Weak<Components>, name: &str) -> Option<Arc<super::Component>> {
    components.upgrade()?.find(name.as_bytes())
}
