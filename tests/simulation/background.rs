//! A check in the background, on a clock that is moved by hand, against its timetable.
//!
//! A run that takes time moves the clock itself, so that a late run needs no second thread.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use failover::{
    Background, Check, Clock, Health, Hysteresis, ManualClock, Moment, Outcome, Phase, State,
};

use crate::judge::answer;
use crate::model;
use crate::random::Random;
use crate::rules::{Rules, Weather};
use crate::tally::{Mark, Tally};
use crate::{Difference, Scene, assert_same, same};

pub(crate) const NANOSECOND: Duration = Duration::from_nanos(1);

/// One run as it is going to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) took: Duration,
    pub(crate) health: Health,
    /// Something that the check looks at changes meanwhile.
    pub(crate) is_nudged: bool,
}

/// How a background is set, and what its runs will be, over and over.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) every: Duration,
    pub(crate) fast: Duration,
    pub(crate) down: Duration,
    pub(crate) delay: Duration,
    pub(crate) initial: State,
    pub(crate) stale_after: Option<Duration>,
    pub(crate) budget: Option<Duration>,
    pub(crate) rules: Option<Rules>,
    pub(crate) script: Vec<Run>,
}

impl Plan {
    /// "default max(3 x every, every + 2 x timeout)", of the longest interval
    pub(crate) fn limit(&self) -> Duration {
        let timeout = self.budget.unwrap_or_default();
        let every = self.every.max(self.fast).max(self.down);
        let default = (every * 3).max(every + timeout * 2);
        self.stale_after.unwrap_or(default)
    }

    /// From a start to the next, by the phase after the run.
    pub(crate) fn interval(&self, phase: Phase) -> Duration {
        match phase {
            Phase::Healthy => self.every,
            Phase::Unhealthy => self.down,
            Phase::Suspicious | Phase::Recovering | Phase::Unknown => self.fast,
        }
    }

    fn random(random: &mut Random, aspect: Aspect) -> Plan {
        let every = random.one_of(&[10, 1_000, 5_000].map(Duration::from_millis));
        let rules = (aspect != Aspect::Plain).then(|| Rules {
            stale_after: None,
            ..Rules::random(random)
        });
        let is_delayed = rules.is_none() && random.percent(20);
        let stale_after = random.one_of(&[None, Some(every / 2), Some(every), Some(every * 3)]);
        let (fast, down) = match random.below(3) {
            0 => (every, every),
            1 => (every / 5, every * 2),
            _ => {
                let others = [every / 4, every / 2, every, every * 3];
                (random.one_of(&others), random.one_of(&others))
            }
        };
        let mut plan = Plan {
            every,
            fast,
            down,
            delay: if is_delayed {
                every / 3
            } else {
                Duration::ZERO
            },
            initial: random.one_of(&[State::Ok, State::Fail, State::Unknown]),
            stale_after,
            budget: random.percent(30).then_some(every * 2),
            rules,
            script: Vec::new(),
        };
        let rules = plan.rules.unwrap_or_else(|| Rules::random(random));
        let mut weather = Weather::of(&rules, random);
        plan.script = (0..20)
            .map(|_| Run {
                took: took(every, random),
                health: weather.health(random),
                is_nudged: false,
            })
            .collect();
        if !aspect.has_unknown() {
            plan.script.retain(|run| run.health != Health::Unknown);
        }
        // Never all of them: each nudge is a run more, at once.
        for run in plan.script.iter_mut().skip(1).step_by(2) {
            run.is_nudged = random.percent(25);
        }
        plan
    }
}

fn took(every: Duration, random: &mut Random) -> Duration {
    match random.below(10) {
        0..=5 => Duration::ZERO,
        6 => every / 2,
        7 => {
            let late = every + Duration::from_millis(100).min(every / 10);
            random.one_of(&[
                every - NANOSECOND,
                every,
                every + NANOSECOND,
                late,
                late + NANOSECOND,
            ])
        }
        8 => random.one_of(&[every * 2, every * 7 / 2]),
        _ => Duration::from_nanos(random.below(every.as_nanos() as u64)),
    }
}

/// What can be seen of a background.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) now: Duration,
    pub(crate) starts: Vec<Duration>,
    pub(crate) runs: u64,
    pub(crate) failures: u64,
    pub(crate) unknowns: u64,
    pub(crate) skipped: u64,
    pub(crate) changes: u64,
    pub(crate) state: State,
    pub(crate) phase: Phase,
    pub(crate) disagreeing: u32,
    pub(crate) answer: Health,
}

/// Whatever runs in the background: the real thing, and the mistaken ones.
pub(crate) trait Running {
    fn advance(&mut self, by: Duration);
    fn seen(&mut self) -> Seen;
}

/// A task that goes by its script, and notes when it was started.
struct Scripted {
    script: Vec<Run>,
    budget: Option<Duration>,
    clock: ManualClock,
    begin: Moment,
    starts: Arc<Mutex<Vec<Duration>>>,
    nudge: Arc<OnceLock<Nudge>>,
}

/// Nudges the background that the task runs in.
type Nudge = Box<dyn Fn() + Send + Sync>;

impl Scripted {
    fn nudge(&self) {
        loop {
            // The first runs may be over before who started the background has it in hand.
            match self.nudge.get() {
                Some(nudge) => return nudge(),
                None => thread::yield_now(),
            }
        }
    }
}

impl Check for Scripted {
    fn check(&mut self) -> Outcome {
        let turn = {
            let mut starts = self.starts.lock().unwrap();
            starts.push(self.clock.now().since(self.begin));
            starts.len() - 1
        };
        let run = self.script[turn % self.script.len()];
        self.clock.advance(run.took);
        if run.is_nudged {
            self.nudge();
        }
        run.health.into()
    }

    fn budget(&self) -> Option<Duration> {
        self.budget
    }
}

/// The real thing.
struct Real {
    clock: ManualClock,
    begin: Moment,
    starts: Arc<Mutex<Vec<Duration>>>,
    background: Background,
}

impl Real {
    fn new(plan: &Plan) -> Real {
        let clock = ManualClock::new();
        let begin = clock.now();
        let starts = Arc::new(Mutex::new(Vec::new()));
        let nudge = Arc::new(OnceLock::new());
        let task = Scripted {
            script: plan.script.clone(),
            budget: plan.budget,
            clock: clock.clone(),
            begin,
            starts: starts.clone(),
            nudge: nudge.clone(),
        };
        let task: Box<dyn Check> = match &plan.rules {
            None => Box::new(task),
            Some(rules) => {
                Box::new(rules.set_on(Hysteresis::new(task).clock(Arc::new(clock.clone()))))
            }
        };
        let mut builder = Background::builder(task, plan.every)
            .and_then(|builder| builder.fast(plan.fast)?.down(plan.down))
            .expect("usable intervals");
        if let Some(limit) = plan.stale_after {
            builder = builder.stale_after(limit).expect("a usable limit");
        }
        let builder = builder.clock(Arc::new(clock.clone())).delay(plan.delay);
        let background = builder.initial_state(plan.initial).start();
        let background = background.expect("a thread for the prober");
        let board = background.board().expect("a background has a board");
        let _ = nudge.set(Box::new(move || board.nudge()));
        clock.advance_and_settle(Duration::ZERO);
        Real {
            clock,
            begin,
            starts,
            background,
        }
    }
}

impl Running for Real {
    fn advance(&mut self, by: Duration) {
        self.clock.advance_and_settle(by);
    }

    fn seen(&mut self) -> Seen {
        let published = self.background.published();
        assert_eq!(self.background.state(), published.standing.state);
        Seen {
            now: self.clock.now().since(self.begin),
            starts: self.starts.lock().unwrap().clone(),
            runs: published.runs,
            failures: published.failures,
            unknowns: published.unknowns,
            skipped: published.skipped,
            changes: published.changes,
            state: published.standing.state,
            phase: published.standing.phase,
            disagreeing: published.standing.disagreeing,
            answer: self.background.check().health,
        }
    }
}

pub(crate) fn real(plan: &Plan) -> Box<dyn Running> {
    Box::new(Real::new(plan))
}

/// A run that was.
#[derive(Clone, Copy)]
struct Ran {
    start: Duration,
    end: Duration,
    health: Health,
}

/// All that was, worked out from the beginning.
struct Timetable {
    runs: Vec<Ran>,
    skipped: u64,
    /// When somebody looked, and after how many runs.
    looks: Vec<(Duration, usize)>,
    now: Duration,
}

/// "first run at once, then at fixed rate from start to start, never two at a time, late runs
/// skipped and counted"; the rate goes by the phase after each run, and a nudge is a run that is
/// not on the grid but may bring it forward.
fn timetable(plan: &Plan, advances: &[Duration]) -> Timetable {
    let (mut runs, mut skipped, mut looks) = (Vec::new(), 0, Vec::new());
    let (mut now, mut next, mut is_wanted) = (Duration::ZERO, plan.delay, false);
    for by in advances {
        now += *by;
        while next <= now || is_wanted {
            let run = plan.script[runs.len() % plan.script.len()];
            let free = runs.last().map_or(Duration::ZERO, |run: &Ran| run.end);
            let is_on_grid = !is_wanted || next <= free;
            let start = if is_on_grid { next.max(free) } else { free };
            let (end, health) = (start + run.took, run.health);
            is_wanted = run.is_nudged;
            runs.push(Ran { start, end, health });
            let phase = standing(plan, &runs, end).1.unwrap_or(Phase::Unknown);
            let interval = plan.interval(phase);
            let began = if is_on_grid { next } else { start };
            let (then, missed) = model::next_start(began, interval, end);
            if is_on_grid || then < next {
                next = then;
                skipped += missed;
            }
            now = now.max(end);
        }
        looks.push((now, runs.len()));
    }
    Timetable {
        runs,
        skipped,
        looks,
        now,
    }
}

/// State, phase and count after these runs.
fn standing(plan: &Plan, runs: &[Ran], now: Duration) -> (State, Option<Phase>, u32) {
    let history: Vec<_> = runs.iter().map(|run| (run.end, run.health)).collect();
    let known = |run: &&Ran| run.health != Health::Unknown;
    let last_known = runs.iter().rfind(known);
    let silence = now - last_known.map_or(plan.delay.min(now), |run| run.end);
    if silence > plan.limit() {
        return (State::Unknown, Some(Phase::Unknown), 0);
    }
    match (&plan.rules, runs.last(), last_known) {
        (_, None, _) => (plan.initial, None, 0),
        (Some(rules), Some(last), _) => {
            let stale_after = Some(plan.limit());
            let rules = Rules {
                stale_after,
                ..*rules
            };
            let judged = model::judged(&rules, Duration::ZERO, &history, last.end);
            let phase = (!judged.nothing_known).then_some(judged.phase);
            (judged.state, phase, judged.disagreeing)
        }
        (None, Some(_), None) => (plan.initial, None, 0),
        (None, Some(_), Some(known)) if known.health == Health::Fail => {
            (State::Fail, Some(Phase::Unhealthy), 0)
        }
        (None, Some(_), Some(_)) => (State::Ok, Some(Phase::Healthy), 0),
    }
}

/// The states that were, as far as anybody could see: before and after each run, and at looks.
fn states(plan: &Plan, table: &Timetable) -> Vec<State> {
    let mut states = vec![plan.initial];
    let mut done = 0;
    for (now, runs) in &table.looks {
        while done < *runs {
            let end = table.runs[done].end;
            states.push(standing(plan, &table.runs[..done], end).0);
            done += 1;
            states.push(standing(plan, &table.runs[..done], end).0);
        }
        states.push(standing(plan, &table.runs[..done], *now).0);
    }
    states.dedup();
    states
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aspect {
    /// A task that only reports.
    Plain,
    /// A judged task that always knows; counts while stale have a test of their own.
    Judged,
    /// The same, and counts while stale.
    CountWhileStale,
    /// A judged task that does not always know.
    JudgedUnknown,
}

impl Aspect {
    fn has_unknown(self) -> bool {
        matches!(self, Aspect::Plain | Aspect::JudgedUnknown)
    }
}

/// One background.
pub(crate) struct Watched {
    plan: Plan,
    aspect: Aspect,
    maker: fn(&Plan) -> Box<dyn Running>,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt(f)
    }
}

impl Scene for Watched {
    type Event = Duration;

    fn play(&self, events: &[Duration], tally: &mut Tally) -> Result<(), Difference> {
        let mut subject = (self.maker)(&self.plan);
        // Being made, it has had its first moment already.
        let mut advances = vec![Duration::ZERO];
        for (step, by) in events.iter().enumerate() {
            // What is seen before the first advance is seen in the first step.
            if step > 0 || *by > Duration::ZERO {
                subject.advance(*by);
                advances.push(*by);
            }
            let table = timetable(&self.plan, &advances);
            self.compare(&table, &subject.seen())
                .map_err(|what| Difference::at(step, what))?;
            if step + 1 == events.len() {
                self.count(&table, tally);
            }
        }
        Ok(())
    }
}

impl Watched {
    fn compare(&self, table: &Timetable, got: &Seen) -> Result<(), String> {
        let starts: Vec<Duration> = table.runs.iter().map(|run| run.start).collect();
        same("starts", &starts, &got.starts)?;
        same("now", table.now, got.now)?;
        same("runs", table.runs.len() as u64, got.runs)?;
        same("skipped", table.skipped, got.skipped)?;
        let (state, phase, disagreeing) = standing(&self.plan, &table.runs, table.now);
        same("state", state, got.state)?;
        if let Some(phase) = phase {
            same("phase", phase, got.phase)?;
        }
        if state != State::Unknown || self.aspect == Aspect::CountWhileStale {
            same("disagreeing", disagreeing, got.disagreeing)?;
        }
        let last = table.runs.last().map_or(Health::Unknown, |run| run.health);
        same("answer", answer(state, last), got.answer)?;
        if self.aspect == Aspect::Plain {
            let count = |health| table.runs.iter().filter(|run| run.health == health).count();
            same("failures", count(Health::Fail) as u64, got.failures)?;
            same("unknowns", count(Health::Unknown) as u64, got.unknowns)?;
        }
        // With unknown outcomes, what is compared is what can be seen now.
        if self.aspect == Aspect::JudgedUnknown {
            return Ok(());
        }
        let changes = states(&self.plan, table).len() - 1;
        same("changes", changes as u64, got.changes)
    }

    fn count(&self, table: &Timetable, tally: &mut Tally) {
        tally.add(Mark::Runs, table.runs.len());
        tally.add(Mark::Skipped, table.skipped as usize);
        let nudged = (0..table.runs.len()).filter(|run| {
            let script = &self.plan.script;
            script[run % script.len()].is_nudged
        });
        tally.add(Mark::Nudges, nudged.count());
        for pair in states(&self.plan, table).windows(2) {
            tally.note(match pair[1] {
                State::Ok => Mark::ToOk,
                State::Fail => Mark::ToFail,
                State::Unknown => Mark::WentStale,
            });
        }
    }
}

pub(crate) fn episode(
    maker: fn(&Plan) -> Box<dyn Running>,
    aspect: Aspect,
    random: &mut Random,
) -> (Watched, Vec<Duration>) {
    let plan = Plan::random(random, aspect);
    let (every, limit) = (plan.every, plan.limit());
    let advance = |_| match random.below(12) {
        0 => random.one_of(&[Duration::ZERO, NANOSECOND]),
        1..=3 => random.one_of(&[limit - NANOSECOND, limit, limit + NANOSECOND]),
        4..=6 => random.one_of(&[every - NANOSECOND, every + NANOSECOND, every / 2]),
        7 => every * random.count(2, 6),
        8 => Duration::from_nanos(random.below(every.as_nanos() as u64 * 2)),
        _ => every,
    };
    let events = (0..20).map(advance).collect();
    let scene = Watched {
        plan,
        aspect,
        maker,
    };
    (scene, events)
}

#[test]
fn a_background_keeps_to_its_timetable() {
    let tally = assert_same(500, |random| episode(real, Aspect::Plain, random));
    tally.assert_many(&[
        (Mark::Steps, 10_000),
        (Mark::Runs, 10_000),
        (Mark::Skipped, 1_000),
        (Mark::Nudges, 1_000),
        (Mark::ToOk, 1_000),
        (Mark::ToFail, 1_000),
        (Mark::WentStale, 1_000),
    ]);
}

#[test]
fn a_judge_in_the_background_does_what_the_whole_history_says() {
    let tally = assert_same(150, |random| episode(real, Aspect::Judged, random));
    tally.assert_many(&[
        (Mark::Steps, 3_000),
        (Mark::Runs, 3_000),
        (Mark::ToOk, 300),
        (Mark::ToFail, 300),
        (Mark::WentStale, 300),
    ]);
}

#[test]
fn a_stale_board_counts_nothing_against_its_state() {
    assert_same(100, |random| episode(real, Aspect::CountWhileStale, random));
}

#[test]
fn unknown_outcomes_of_a_judged_check_keep_no_board_fresh() {
    assert_same(100, |random| episode(real, Aspect::JudgedUnknown, random));
}
