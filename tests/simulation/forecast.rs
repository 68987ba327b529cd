//! What is promised of a component in advance, against what becomes of it.
//!
//! The bulk goes through a model that walks from probe to probe and judges whole histories; some go
//! through a real background on a clock that is moved by hand.

use std::sync::Arc;
use std::time::Duration;

use failover::{
    Background, Change, Check, Clock, Forecast, Health, Hysteresis, ManualClock, Moment, Outcome,
    Pace, Phase, Span, State, Times,
};

use crate::model;
use crate::random::Random;
use crate::rules::{Rule, Rules};
use crate::{same, seed};

const MILLISECOND: Duration = Duration::from_millis(1);

/// Generated settings that are swept.
const CONFIGURATIONS: u64 = 1_000;

/// Moments of an event in a sweep between two starts, besides the first and the last.
const MOMENTS: u32 = 9;

/// Probes after which nothing more is expected; more than any threshold here needs.
const PROBES_MAX: usize = 60;

/// The settings of a component.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) every: Duration,
    pub(crate) fast: Duration,
    pub(crate) down: Duration,
    pub(crate) timeout: Duration,
    pub(crate) rules: Rules,
}

impl Settings {
    fn random(random: &mut Random) -> Settings {
        let mut length =
            |lengths: &[u64]| Duration::from_millis(random.one_of(lengths) + random.below(3) % 2);
        let (every, fast) = (length(&[60, 500, 5_000]), length(&[20, 60, 100, 1_000]));
        let (down, timeout) = (
            length(&[40, 300, 10_000]),
            length(&[0, 10, 130, 1_000, 3_000]),
        );
        let rules = Rules {
            initial: random.one_of(&[State::Ok, State::Fail, State::Unknown]),
            ok_after: rule(fast, random),
            fail_after: rule(fast, random),
            stale_after: random.percent(30).then(|| {
                let lengths = [fast, every, timeout + fast, timeout.max(MILLISECOND)];
                random.one_of(&lengths) + MILLISECOND * random.count(0, 1)
            }),
        };
        Settings {
            every,
            fast,
            down,
            timeout,
            rules,
        }
    }

    pub(crate) fn forecast(&self) -> Forecast {
        let span = |length| Span::try_from(length).expect("more than no time");
        let pace = Pace {
            every: span(self.every),
            fast: span(self.fast),
            down: span(self.down),
        };
        let rules = failover::Rules {
            start: self.rules.initial,
            ok_after: self.rules.ok_after.threshold(),
            fail_after: self.rules.fail_after.threshold(),
            stale_after: self.rules.stale_after,
            manual_reset: false,
        };
        Forecast::new(rules, pace, self.timeout)
    }

    pub(crate) fn interval(&self, phase: Phase) -> Duration {
        match phase {
            Phase::Healthy => self.every,
            Phase::Unhealthy => self.down,
            Phase::Suspicious | Phase::Recovering | Phase::Unknown => self.fast,
        }
    }
}

/// A threshold that some probes at the fast pace reach.
fn rule(fast: Duration, random: &mut Random) -> Rule {
    match random.below(3) {
        0 => Rule::Count(random.count(1, 6)),
        1 => {
            let some = fast * random.count(1, 9);
            Rule::Lasting(random.one_of(&[MILLISECOND, some - MILLISECOND / 2, some, some * 2]))
        }
        _ => {
            let of = random.count(1, 7);
            Rule::Of(random.count(1, of), of)
        }
    }
}

/// What a target does, and until or since when. The state to start in is what it is before.
#[derive(Clone, Copy, Debug)]
struct Event {
    before: State,
    /// A probe that starts at this moment is the first to see what is new.
    at: Duration,
    is_silent: bool,
}

impl Event {
    fn probe(&self, settings: &Settings, start: Duration) -> (Duration, Health) {
        let is_alive = (start < self.at) == (self.before == State::Ok);
        match (is_alive, self.is_silent) {
            (true, _) => (Duration::ZERO, Health::Ok),
            (false, true) => (settings.timeout, Health::Fail),
            (false, false) => (Duration::ZERO, Health::Fail),
        }
    }
}

/// From the event to the state that it makes, for a component that starts like this.
fn walked(settings: &Settings, start: State, event: &Event) -> Option<Duration> {
    let rules = Rules {
        initial: start,
        ..settings.rules
    };
    let (mut history, mut next) = (Vec::new(), Duration::ZERO);
    while history.len() < PROBES_MAX {
        let (took, health) = event.probe(settings, next);
        let end = next + took;
        history.push((end, health));
        let judged = model::judged(&rules, Duration::ZERO, &history, end);
        if judged.state == event.before.opposite() {
            return Some(end - event.at);
        }
        let interval = settings.interval(judged.phase);
        (next, _) = model::next_start(next, interval, end);
    }
    None
}

/// The lengths of all the changes of a sweep from one start to the next, at `first`, best last.
fn sweep(
    first: Duration,
    mut change: impl FnMut(Duration) -> Option<Duration>,
) -> Vec<Option<Duration>> {
    let mut moments = vec![MILLISECOND];
    moments.extend((1..=MOMENTS).map(|part| first * part / (MOMENTS + 1)));
    moments.push(first);
    moments.into_iter().map(&mut change).collect()
}

/// The sweep against what was promised.
fn compare(promised: Option<Times>, found: &[Option<Duration>]) -> Result<(), String> {
    let Some(promised) = promised else {
        return same(
            "changes that never come",
            true,
            found.iter().all(Option::is_none),
        );
    };
    let mut lengths = Vec::new();
    for length in found {
        lengths.push(length.ok_or("it never came")?);
    }
    let (worst, best) = (lengths[0], lengths[lengths.len() - 1]);
    same("worst", promised.worst(), worst + MILLISECOND)?;
    same("best", promised.best(), best)?;
    same(
        "within both",
        true,
        lengths
            .iter()
            .all(|length| best <= *length && *length <= worst),
    )?;
    let mean = lengths[1..lengths.len() - 1].iter().sum::<Duration>() / MOMENTS;
    same(
        "typical",
        promised.typical().as_micros() / 10,
        mean.as_micros() / 10,
    )
}

/// Sweeps one configuration in both directions, against a target that refuses and a silent one.
fn check(settings: &Settings, forecast: &Forecast) -> Result<usize, String> {
    let mut nevers = 0;
    for is_silent in [false, true] {
        let of = |change: Change| {
            if is_silent {
                change.silent
            } else {
                change.refused
            }
        };
        let death = |at| Event {
            before: State::Ok,
            at,
            is_silent,
        };
        let walk = |start, event| walked(settings, start, &event);
        let found = sweep(settings.every, |at| walk(State::Ok, death(at)));
        compare(of(forecast.failure()), &found)?;
        nevers += usize::from(found[0].is_none());

        // The last probe of a dead target may outlast starts, and so bring the next one later.
        let took = if is_silent {
            settings.timeout
        } else {
            Duration::ZERO
        };
        let (first, _) = model::next_start(Duration::ZERO, settings.down, took);
        let rebirth = |at| Event {
            before: State::Fail,
            at,
            is_silent,
        };
        let found = sweep(first, |at| walk(State::Fail, rebirth(at)));
        compare(of(forecast.recovery()), &found)?;
        nevers += usize::from(found[0].is_none());

        let start = settings.rules.initial;
        let event = match start {
            State::Fail => rebirth(Duration::ZERO),
            State::Ok | State::Unknown => death(Duration::ZERO),
        };
        let promised = of(forecast.startup()).map(|times| times.worst());
        same("startup", promised, walk(start, event))?;
    }
    Ok(nevers)
}

fn each(mut check: impl FnMut(&Settings) -> Result<(), String>) -> Result<(), String> {
    let seed = seed();
    for episode in 0..CONFIGURATIONS {
        let settings = Settings::random(&mut Random::of(seed, episode));
        check(&settings)
            .map_err(|what| format!("seed {seed}, episode {episode}: {what}\nwith {settings:?}"))?;
    }
    Ok(())
}

#[test]
fn changes_take_as_long_as_was_promised() {
    let mut nevers = 0;
    let result = each(|settings| {
        nevers += check(settings, &settings.forecast())?;
        Ok(())
    });
    result.unwrap_or_else(|report| panic!("{report}"));
    assert!(nevers > 100, "{nevers} changes that never come");
}

macro_rules! caught {
    ($($name:ident: $bend:expr;)*) => {$(
        #[test]
        fn $name() {
            let bend: fn(&mut Settings) = $bend;
            let result = each(|settings| {
                let mut bent = *settings;
                bend(&mut bent);
                check(settings, &bent.forecast()).map(|_| ())
            });
            assert!(result.is_err(), "the planted mistake was not found");
        }
    )*};
}

caught! {
    a_forecast_without_the_fast_pace_is_caught: |settings| settings.fast = settings.every;
    a_forecast_without_the_pace_while_down_is_caught: |settings| settings.down = settings.every;
    a_forecast_without_timeouts_is_caught: |settings| settings.timeout = Duration::ZERO;
    a_forecast_without_staleness_is_caught: |settings| settings.rules.stale_after = None;
    a_forecast_of_one_outcome_more_is_caught: |settings| {
        if let Rule::Count(n) = &mut settings.rules.fail_after {
            *n += 1;
        }
    };
    a_forecast_of_a_duration_a_tick_longer_is_caught: |settings| {
        if let Rule::Lasting(duration) = &mut settings.rules.ok_after {
            *duration += Duration::from_nanos(1);
        }
    };
}

/// A target in the life of a real background.
struct Target {
    settings: Settings,
    event: Event,
    clock: ManualClock,
}

impl Check for Target {
    fn check(&mut self) -> Outcome {
        let start = self.clock.now().since(Moment::default());
        let (took, health) = self.event.probe(&self.settings, start);
        self.clock.advance(took);
        health.into()
    }

    fn budget(&self) -> Option<Duration> {
        Some(self.settings.timeout)
    }
}

/// The same as `walked`, by the real prober.
fn lived(settings: &Settings, event: &Event) -> Duration {
    let clock = ManualClock::new();
    let target = Target {
        settings: *settings,
        event: *event,
        clock: clock.clone(),
    };
    let rules = Rules {
        initial: event.before,
        stale_after: None,
        ..settings.rules
    };
    let judged = rules.set_on(Hysteresis::new(target).clock(Arc::new(clock.clone())));
    let background = Background::builder(judged, settings.every)
        .and_then(|builder| builder.fast(settings.fast)?.down(settings.down))
        .expect("usable intervals");
    let background = background
        .initial_state(event.before)
        .clock(Arc::new(clock.clone()))
        .start()
        .expect("a thread for the prober");
    clock.advance_and_settle(Duration::ZERO);
    loop {
        let published = background.published();
        if published.standing.state != event.before {
            return published.since.since(Moment::default() + event.at);
        }
        clock.advance_and_settle(settings.every + settings.down);
    }
}

#[test]
fn a_real_background_takes_as_long_as_was_promised() {
    for episode in 0..40 {
        let mut settings = Settings::random(&mut Random::of(seed(), episode));
        // The limit by default, with which nothing is ever too late to count.
        settings.rules.stale_after = None;
        // No run ends right at a start: it would move the clock on for good.
        settings.timeout += MILLISECOND / 2;
        let paces = [settings.every, settings.fast, settings.down];
        let next = |pace, took| model::next_start(Duration::ZERO, pace, took).0;
        while paces
            .iter()
            .any(|pace| next(*pace, settings.timeout) == settings.timeout)
        {
            settings.timeout += MILLISECOND;
        }
        let forecast = settings.forecast();
        let is_silent = episode % 2 == 0;
        let before = match episode % 4 {
            0 | 1 => State::Ok,
            _ => State::Fail,
        };
        let change = match before {
            State::Ok => forecast.failure(),
            _ => forecast.recovery(),
        };
        let times = if is_silent {
            change.silent
        } else {
            change.refused
        };
        let times = times.expect("nothing goes stale");
        for (at, expected) in [
            (MILLISECOND, times.worst() - MILLISECOND),
            (times.first / 2, times.worst() - times.first / 2),
            (times.first, times.best()),
        ] {
            let event = Event {
                before,
                at,
                is_silent,
            };
            let found = lived(&settings, &event);
            assert_eq!(
                found, expected,
                "episode {episode}: {event:?} with {settings:?}"
            );
        }
    }
}
