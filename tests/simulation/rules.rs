//! Settings and histories for whatever judges, made at random around the places where `>=` and
//! `>` differ.

use std::time::Duration;

use failover::{Health, Hysteresis, Judge, Moment, State, Threshold, count};

use crate::random::Random;

const NANOSECOND: Duration = Duration::from_nanos(1);
const SECOND: Duration = Duration::from_secs(1);

/// Lengths of time that thresholds and limits are made of; each has a half.
const LENGTHS: [Duration; 5] = [
    Duration::from_nanos(2),
    Duration::from_millis(10),
    Duration::from_secs(4),
    Duration::from_secs(60),
    Duration::from_secs(86_400),
];

/// A threshold, in words of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    Count(u32),
    Lasting(Duration),
    Of(u32, u32),
}

impl Rule {
    pub(crate) fn threshold(self) -> Threshold {
        match self {
            Rule::Count(n) => Threshold::try_from(count(n)),
            Rule::Lasting(duration) => Threshold::try_from(duration),
            Rule::Of(needed, of) => Threshold::try_from(count(needed).of(of)),
        }
        .expect("only rules that can be are made")
    }

    fn random(random: &mut Random) -> Rule {
        match random.below(20) {
            0..=7 => Rule::Count(random.count(1, 4)),
            8 => Rule::Count(random.count(5, 20)),
            9..=13 => Rule::Lasting(random.one_of(&LENGTHS)),
            14 => Rule::large_window(random),
            _ => {
                let of = random.count(1, 6);
                Rule::Of(random.count(1, of), of)
            }
        }
    }

    fn large_window(random: &mut Random) -> Rule {
        let of = random.count(7, 64);
        Rule::Of(random.count(1, of.min(24)), of)
    }

    fn is_large(self) -> bool {
        matches!(self, Rule::Count(5..) | Rule::Of(_, 7..))
    }
}

/// How something judges.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) initial: State,
    pub(crate) ok_after: Rule,
    pub(crate) fail_after: Rule,
    pub(crate) stale_after: Option<Duration>,
}

impl Rules {
    pub(crate) fn random(random: &mut Random) -> Rules {
        let stale = random.percent(60);
        Rules {
            initial: random.one_of(&[State::Ok, State::Fail, State::Unknown]),
            ok_after: Rule::random(random),
            fail_after: Rule::random(random),
            stale_after: stale.then(|| random.one_of(&LENGTHS)),
        }
    }

    pub(crate) fn judge(&self, now: Moment) -> Judge {
        let (ok_after, fail_after) = (self.ok_after.threshold(), self.fail_after.threshold());
        let mut judge = Judge::new(self.initial, ok_after, fail_after, now);
        judge.set_stale_after(self.stale_after);
        judge
    }

    pub(crate) fn set_on(&self, check: Hysteresis) -> Hysteresis {
        let set = || {
            let check = check
                .initial_state(self.initial)
                .ok_after(self.ok_after.threshold())?
                .fail_after(self.fail_after.threshold())?;
            match self.stale_after {
                Some(limit) => check.stale_after(limit),
                None => Ok(check),
            }
        };
        set().expect("only rules that can be are made")
    }

    /// Long enough for what is needed to come together a few times.
    pub(crate) fn episode_length(&self, random: &mut Random) -> usize {
        if self.ok_after.is_large() || self.fail_after.is_large() {
            random.size(60, 120)
        } else {
            random.size(10, 40)
        }
    }

    /// Each threshold and limit to the nanosecond, and its half.
    fn telling_gaps(&self) -> Vec<Duration> {
        let lasting = |rule| match rule {
            Rule::Lasting(duration) => Some(duration),
            _ => None,
        };
        let all = [
            lasting(self.ok_after),
            lasting(self.fail_after),
            self.stale_after,
        ];
        let around = |d: Duration| [d - NANOSECOND, d, d + NANOSECOND, d / 2];
        let mut gaps: Vec<Duration> = all.into_iter().flatten().flat_map(around).collect();
        gaps.extend([Duration::ZERO, NANOSECOND, SECOND]);
        gaps
    }
}

/// Gaps and outcomes that go together: stretches of the same outcome, with others strewn in.
pub(crate) struct Weather {
    gaps: Vec<Duration>,
    passes: bool,
}

impl Weather {
    pub(crate) fn of(rules: &Rules, random: &mut Random) -> Weather {
        let mut gaps = rules.telling_gaps();
        // Some episodes keep to one gap, so that rows of equal gaps meet a threshold exactly.
        if random.percent(10) {
            gaps = vec![random.one_of(&gaps)];
        }
        let passes = random.percent(50);
        Weather { gaps, passes }
    }

    pub(crate) fn gap(&self, random: &mut Random) -> Duration {
        match random.below(10) {
            0 => Duration::from_nanos(random.below(10_000_000_000)),
            1..=3 => Duration::from_nanos(random.below(2)),
            _ => random.one_of(&self.gaps),
        }
    }

    pub(crate) fn health(&mut self, random: &mut Random) -> Health {
        if random.percent(15) {
            self.passes = !self.passes;
        }
        match random.below(100) {
            0..=11 => Health::Unknown,
            12..=19 => random.one_of(&[Health::Ok, Health::Fail]),
            _ if !self.passes => Health::Fail,
            20..=30 => Health::Warn,
            _ => Health::Ok,
        }
    }
}
