//! What the sentences about judging make of a whole history, worked out from its beginning each
//! time. Slow on purpose; there is no state here that could go wrong.

use std::time::Duration;

use failover::{Health, Phase, State};

use crate::rules::{Rule, Rules};

/// Where a judge stands.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) state: State,
    pub(crate) phase: Phase,
    pub(crate) disagreeing: u32,
    pub(crate) disagreeing_for: Duration,
    /// What it takes to leave the state, where there is one.
    pub(crate) needed: Option<Rule>,
    /// Nothing but unknown outcomes so far.
    pub(crate) nothing_known: bool,
}

/// When the next run begins after one that was to begin at `start` and ended at `end`, and how many
/// starts that missed: "from start to start, late runs skipped"; but one that ends right after a
/// start, by a tenth of the interval or 100 ms, begins it late.
pub(crate) fn next_start(start: Duration, interval: Duration, end: Duration) -> (Duration, u64) {
    let late = Duration::from_millis(100).min(interval / 10);
    let (mut next, mut missed) = (start + interval, 0);
    while next + late < end {
        next += interval;
        missed += 1;
    }
    (next.max(end), missed)
}

/// A known outcome.
#[derive(Clone, Copy)]
struct Known {
    at: Duration,
    state: State,
}

/// Where a judge stands at `now` that began at `start` and has seen this since.
pub(crate) fn judged(
    rules: &Rules,
    start: Duration,
    history: &[(Duration, Health)],
    now: Duration,
) -> Expected {
    let (mut known, mut held, mut first) = (Vec::new(), rules.initial, 0);
    let mut last_known = start;
    for (at, health) in history {
        // "Unknown neither counts nor resets."
        let Some(state) = state_of(*health) else {
            continue;
        };
        if is_silence(rules, *at - last_known) {
            // "restarts the run of disagreement (and empties a window)"
            first = known.len();
        }
        last_known = *at;
        known.push(Known { at: *at, state });
        if state == held {
            continue;
        }
        if held == State::Unknown || is_enough(rules, held, &known[first..]) {
            // "the first known outcome decides at once"; "cleared at a transition"
            held = state;
            first = known.len();
        }
    }
    let is_stale = is_silence(rules, now - last_known);
    let counted = match is_stale {
        true => Vec::new(),
        false => counted(rules, held, &known[first..]),
    };
    let state = if is_stale { State::Unknown } else { held };
    Expected {
        state,
        phase: phase(state, counted.len(), known.is_empty()),
        disagreeing: counted.len() as u32,
        disagreeing_for: counted
            .last()
            .map_or(Duration::ZERO, |oldest| now - oldest.at),
        needed: rule(rules, state),
        nothing_known: known.is_empty(),
    }
}

fn state_of(health: Health) -> Option<State> {
    match health {
        // "Warn agrees with ok."
        Health::Ok | Health::Warn => Some(State::Ok),
        Health::Fail => Some(State::Fail),
        Health::Unknown => None,
    }
}

/// "silence or Unknown for longer than stale-after"
fn is_silence(rules: &Rules, lasting: Duration) -> bool {
    match rules.stale_after {
        Some(limit) => lasting > limit,
        None => false,
    }
}

/// What it takes to leave a state.
fn rule(rules: &Rules, held: State) -> Option<Rule> {
    match held {
        State::Ok => Some(rules.fail_after),
        State::Fail => Some(rules.ok_after),
        State::Unknown => None,
    }
}

/// The disagreeing outcomes that count, newest first: those in the window, or else those in a row
/// at the end.
fn counted(rules: &Rules, held: State, evidence: &[Known]) -> Vec<Known> {
    let (length, is_row) = match rule(rules, held) {
        None => (0, true),
        Some(Rule::Of(_, of)) => (evidence.len().min(of as usize), false),
        Some(_) => (evidence.len(), true),
    };
    let mut counted = Vec::new();
    for outcome in evidence[evidence.len() - length..].iter().rev() {
        if outcome.state != held {
            counted.push(*outcome);
        } else if is_row {
            break;
        }
    }
    counted
}

fn is_enough(rules: &Rules, held: State, evidence: &[Known]) -> bool {
    let counted = counted(rules, held, evidence);
    match rule(rules, held) {
        None => false,
        Some(Rule::Count(needed) | Rule::Of(needed, _)) => counted.len() >= needed as usize,
        // "A duration needs at least two disagreeing outcomes."
        Some(Rule::Lasting(duration)) => match counted[..] {
            [newest, .., oldest] => newest.at - oldest.at >= duration,
            _ => false,
        },
    }
}

/// "ok and none healthy; ok with some suspicious; fail with none unhealthy; fail with some
/// recovering; unknown before the first known outcome and when stale"
fn phase(state: State, disagreeing: usize, nothing_known: bool) -> Phase {
    match (state, disagreeing) {
        _ if nothing_known => Phase::Unknown,
        (State::Unknown, _) => Phase::Unknown,
        (State::Ok, 0) => Phase::Healthy,
        (State::Ok, _) => Phase::Suspicious,
        (State::Fail, 0) => Phase::Unhealthy,
        (State::Fail, _) => Phase::Recovering,
    }
}
