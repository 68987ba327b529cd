//! Combining checks: all, any, at least k, a majority, and not.
//!
//! The first four are one rule, a quorum of `k` out of `n`: it is met when `k` pass whatever the
//! unknown ones are, missed when even they could not make up `k`, and open in between. An unknown
//! check is never a vote.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::check::Check;
use crate::error::Error;
use crate::health::{Health, Outcome, Reason, State};

/// What `k` of these being well comes to. Met with dissent, or with a warning, it is a warning: a
/// failing minority is not to go unseen.
pub fn quorum(k: usize, healths: impl IntoIterator<Item = Health>) -> Health {
    let (mut passed, mut unknown, mut dissent) = (0, 0, false);
    for health in healths {
        passed += usize::from(matches!(health, Health::Ok | Health::Warn));
        unknown += usize::from(health == Health::Unknown);
        dissent |= matches!(health, Health::Warn | Health::Fail);
    }
    match () {
        () if passed >= k && dissent => Health::Warn,
        () if passed >= k => Health::Ok,
        () if passed + unknown >= k => Health::Unknown,
        () => Health::Fail,
    }
}

/// The checks that are combined. They are asked one after the other, in their order, all of them
/// each time; what is slow belongs behind a [`Background`](crate::Background).
struct Quorum {
    k: usize,
    checks: Vec<Box<dyn Check>>,
    /// What they are called; `check 1` and so on where there is nothing.
    names: Vec<String>,
}

impl Quorum {
    fn new(k: usize, checks: Vec<Box<dyn Check>>) -> Result<Quorum, Error> {
        if k == 0 || k > checks.len() {
            return Err(Error::invalid(format!(
                "at least {k} of {} checks cannot be; expected 1 <= k <= the number of checks",
                checks.len()
            )));
        }
        Ok(Quorum {
            k,
            checks,
            names: Vec::new(),
        })
    }
}

impl Check for Quorum {
    fn check(&mut self) -> Outcome {
        let outcomes: Vec<Outcome> = self.checks.iter_mut().map(|check| check.check()).collect();
        let health = quorum(self.k, outcomes.iter().map(|outcome| outcome.health));
        Outcome::new(health, met(health)).with_detail(tally(self.k, &outcomes, &self.names))
    }

    fn reset(&mut self, to: State) {
        for check in &mut self.checks {
            check.reset(to);
        }
    }

    fn budget(&self) -> Option<Duration> {
        self.checks.iter().map(|check| check.budget()).sum()
    }

    fn limit_silence(&mut self, stale_after: Duration) {
        for check in &mut self.checks {
            check.limit_silence(stale_after);
        }
    }
}

/// `2 of 3 pass, 2 needed; check 3: tcp connect refused`: the first that does not pass, or that
/// only warns. Details stay as they are, to be escaped where they are shown.
fn tally(k: usize, outcomes: &[Outcome], names: &[String]) -> String {
    let passes = |outcome: &Outcome| matches!(outcome.health, Health::Ok | Health::Warn);
    let warns = |outcome: &Outcome| outcome.health == Health::Warn;
    let passed = outcomes.iter().filter(|it| passes(it)).count();
    let mut text = format!("{passed} of {} pass, {k} needed", outcomes.len());
    let worst = outcomes.iter().position(|it| !passes(it));
    if let Some(index) = worst.or_else(|| outcomes.iter().position(warns)) {
        let name = match names.get(index) {
            Some(name) => name.clone(),
            None => format!("check {}", index + 1),
        };
        text += &format!("; {name}: ");
        add_words(&mut text, &outcomes[index]);
    }
    text
}

fn met(health: Health) -> Reason {
    match health {
        Health::Ok | Health::Warn => Reason::QuorumMet,
        Health::Fail => Reason::QuorumMissed,
        Health::Unknown => Reason::QuorumOpen,
    }
}

/// The outcome in words, as it is: whoever shows it escapes it.
fn add_words(text: &mut String, outcome: &Outcome) {
    *text += outcome.reason.words();
    if !outcome.detail.is_empty() {
        *text += ": ";
        *text += &outcome.detail;
    }
}

macro_rules! quorum_check {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name(Quorum);

        impl Check for $name {
            fn check(&mut self) -> Outcome {
                self.0.check()
            }

            fn reset(&mut self, to: State) {
                self.0.reset(to);
            }

            fn budget(&self) -> Option<Duration> {
                self.0.budget()
            }

            fn limit_silence(&mut self, stale_after: Duration) {
                self.0.limit_silence(stale_after);
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({} of {})", stringify!($name), self.0.k, self.0.checks.len())
            }
        }
    };
}

quorum_check! {
    /// Passes when all pass; fails when one fails; else unknown.
    ///
    /// ```
    /// use failover::{All, Check, Health};
    /// let mut site = All::of(vec![Box::new(|| true), Box::new(|| false)])?;
    /// assert_eq!(site.check().health, Health::Fail);
    /// # Ok::<(), failover::Error>(())
    /// ```
    All
}

quorum_check! {
    /// Passes when one passes; fails when all fail; else unknown.
    Any
}

quorum_check! {
    /// Passes when `k` pass; fails when that cannot be any more; else unknown.
    AtLeast
}

quorum_check! {
    /// Passes when more than half of those configured pass; an unknown one is no vote.
    Majority
}

impl All {
    /// All of these.
    ///
    /// # Errors
    /// No checks.
    pub fn of(checks: Vec<Box<dyn Check>>) -> Result<All, Error> {
        Quorum::new(checks.len(), checks).map(All)
    }
}

impl Any {
    /// Any of these.
    ///
    /// # Errors
    /// No checks.
    pub fn of(checks: Vec<Box<dyn Check>>) -> Result<Any, Error> {
        Quorum::new(1, checks).map(Any)
    }
}

impl AtLeast {
    /// At least `k` of these.
    ///
    /// # Errors
    /// `k` of 0, or more than there are checks.
    pub fn of(k: usize, checks: Vec<Box<dyn Check>>) -> Result<AtLeast, Error> {
        Quorum::new(k, checks).map(AtLeast)
    }
}

impl AtLeast {
    /// The same for checks with names, which are told instead of their numbers.
    ///
    /// # Errors
    /// As [`AtLeast::of`].
    pub(crate) fn of_named(
        k: usize,
        names: Vec<String>,
        checks: Vec<Box<dyn Check>>,
    ) -> Result<AtLeast, Error> {
        let quorum = Quorum::new(k, checks)?;
        Ok(AtLeast(Quorum { names, ..quorum }))
    }
}

impl Majority {
    /// More than half of these.
    ///
    /// # Errors
    /// No checks.
    pub fn of(checks: Vec<Box<dyn Check>>) -> Result<Majority, Error> {
        Quorum::new(checks.len() / 2 + 1, checks).map(Majority)
    }
}

/// Passes when the check inside fails, fails when it passes; unknown stays unknown.
pub struct Not {
    check: Box<dyn Check>,
    name: Option<String>,
}

impl Not {
    /// The opposite of a check.
    pub fn new(task: impl Check + 'static) -> Not {
        Not::named(None, Box::new(task))
    }

    /// The same for a check with a name.
    pub(crate) fn named(name: Option<String>, check: Box<dyn Check>) -> Not {
        Not { check, name }
    }
}

impl Check for Not {
    fn check(&mut self) -> Outcome {
        let seen = self.check.check();
        let health = seen.health.opposite();
        // The words for how the other ended would say the opposite of what this comes to.
        let mut text = match &self.name {
            Some(name) => format!("{name}: "),
            None => String::new(),
        };
        add_words(&mut text, &seen);
        Outcome::new(health, met(health))
            .with_detail(text)
            .with_took(seen.took)
    }

    fn reset(&mut self, to: State) {
        self.check.reset(to.opposite());
    }

    fn budget(&self) -> Option<Duration> {
        self.check.budget()
    }

    fn limit_silence(&mut self, stale_after: Duration) {
        self.check.limit_silence(stale_after);
    }
}

impl std::fmt::Debug for Not {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Not")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Health::{Fail, Ok, Unknown, Warn};

    const ALL_HEALTHS: [Health; 4] = [Ok, Warn, Fail, Unknown];

    /// Every way that three checks can be.
    fn triples() -> impl Iterator<Item = [Health; 3]> {
        (0..64).map(|n| {
            [
                ALL_HEALTHS[n % 4],
                ALL_HEALTHS[n / 4 % 4],
                ALL_HEALTHS[n / 16],
            ]
        })
    }

    /// The rule by its definition: try every way the unknown ones could turn out.
    fn by_trying(k: usize, healths: [Health; 3]) -> Option<bool> {
        let mut results = std::collections::HashSet::new();
        for guess in 0..8 {
            let passes = |(i, health): (usize, Health)| match health {
                Ok | Warn => true,
                Fail => false,
                Unknown => guess >> i & 1 == 1,
            };
            results.insert(
                healths
                    .into_iter()
                    .enumerate()
                    .filter(|x| passes(*x))
                    .count()
                    >= k,
            );
        }
        (results.len() == 1).then(|| results.contains(&true))
    }

    #[test]
    fn a_quorum_is_decided_only_when_the_unknown_ones_cannot_change_it() {
        for k in 1..=3 {
            for healths in triples() {
                let decided = match quorum(k, healths) {
                    Ok | Warn => Some(true),
                    Fail => Some(false),
                    Unknown => None,
                };
                assert_eq!(decided, by_trying(k, healths), "{k} of {healths:?}");
            }
        }
    }

    #[test]
    fn a_met_quorum_with_dissent_warns() {
        assert_eq!(quorum(2, [Ok, Ok, Fail]), Warn);
        assert_eq!(quorum(2, [Ok, Warn, Unknown]), Warn);
        assert_eq!(quorum(2, [Ok, Ok, Unknown]), Ok);
    }

    #[test]
    fn quorums_that_cannot_be_are_refused() {
        assert!(All::of(Vec::new()).is_err());
        assert!(Majority::of(Vec::new()).is_err());
        let error = AtLeast::of(2, vec![Box::new(|| true)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "at least 2 of 1 checks cannot be; expected 1 <= k <= the number of checks"
        );
    }

    #[test]
    fn not_turns_round_what_is_known() {
        for (health, turned) in [(Ok, Fail), (Warn, Fail), (Fail, Ok), (Unknown, Unknown)] {
            assert_eq!(Not::new(move || health).check().health, turned);
            let words = format!("{}: said {}", met(turned).words(), health.word());
            assert_eq!(Not::new(move || health).check().to_string(), words);
        }
    }

    #[test]
    fn the_first_that_does_not_pass_is_named() {
        let checks: Vec<Box<dyn Check>> =
            vec![Box::new(|| true), Box::new(|| false), Box::new(|| true)];
        let outcome = Majority::of(checks).unwrap().check();
        assert_eq!(outcome.reason, Reason::QuorumMet);
        assert_eq!(outcome.detail, "2 of 3 pass, 2 needed; check 2: said fail");
        let checks: Vec<Box<dyn Check>> = vec![Box::new(|| true), Box::new(|| Warn)];
        let outcome = All::of(checks).unwrap().check();
        assert_eq!(outcome.health, Warn);
        assert_eq!(outcome.detail, "2 of 2 pass, 2 needed; check 2: said warn");
    }

    #[test]
    fn what_the_first_said_is_left_as_it_was_and_a_warning_is_named_too() {
        let said = |health, reason, detail: &str| {
            let outcome = Outcome::new(health, reason).with_detail(detail);
            Box::new(move || outcome.clone()) as Box<dyn Check>
        };
        let warns = || said(Warn, Reason::PostgresReady, "read-only");
        let outcome = All::of(vec![Box::new(|| true), warns()]).unwrap().check();
        let detail = "2 of 2 pass, 2 needed; check 2: postgres ready: read-only";
        assert_eq!(outcome.detail, detail);
        // Escaped where it is shown, and only there: this may be quoted once more above.
        let quotes = || said(Fail, Reason::HttpStatusUnexpected, "500: {\"a\": \"\n\"}");
        let outcome = All::of(vec![warns(), quotes()]).unwrap().check();
        let detail =
            "1 of 2 pass, 2 needed; check 2: http status not expected: 500: {\"a\": \"\n\"}";
        assert_eq!(outcome.detail, detail);
    }
}
