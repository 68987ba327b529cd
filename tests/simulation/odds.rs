//! False alarms as they were promised, against those of a judge that is given lost probes.

use std::time::Duration;

use failover::{Health, State};

use crate::forecast::Settings;
use crate::judge::moment;
use crate::random::Random;
use crate::rules::{Rule, Rules};
use crate::seed;

/// Alarms that are waited for: their number strays by one part in a hundred.
const ALARMS: u32 = 10_000;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Per day, of a target that is always well, with the real judge and probes lost by lot.
fn alarms_per_day(settings: &Settings, loss: f64, random: &mut Random) -> f64 {
    let mut judge = settings.rules.judge(moment(Duration::ZERO));
    let (mut next, mut alarms, mut state) = (Duration::ZERO, 0, State::Ok);
    while alarms < ALARMS {
        let is_lost = (random.next() as f64) < loss * u64::MAX as f64;
        let (took, health) = match is_lost {
            true => (settings.timeout, Health::Fail),
            false => (Duration::ZERO, Health::Ok),
        };
        let end = next + took;
        judge.step(moment(end), health);
        let standing = judge.standing(moment(end));
        alarms += u32::from(state == State::Ok && standing.state == State::Fail);
        state = standing.state;
        let interval = settings.interval(standing.phase);
        next += interval;
        while next < end {
            next += interval;
        }
    }
    f64::from(ALARMS) / (next.as_secs_f64() / 86_400.0)
}

fn settings(pace: [u32; 3], timeout: u32, fail_after: Rule, ok_after: Rule) -> Settings {
    let [every, fast, down] = pace.map(|millis| MILLISECOND * millis);
    Settings {
        every,
        fast,
        down,
        timeout: MILLISECOND * timeout,
        rules: Rules {
            initial: State::Ok,
            ok_after,
            fail_after,
            stale_after: None,
        },
    }
}

#[test]
fn false_alarms_come_as_often_as_was_promised() {
    use Rule::{Count, Lasting, Of};
    let paces = [
        [5_000, 1_000, 10_000],
        [1_000, 1_000, 1_000],
        [2_000, 300, 700],
    ];
    let rules = [
        // The largest and the smallest losses that are printed, where they are common enough.
        (Count(1), Count(3), 0.01),
        (Count(2), Count(1), 0.05),
        (Of(2, 5), Count(3), 0.05),
        (Count(3), Count(3), 0.3),
        (Lasting(SECOND * 2), Count(2), 0.4),
        (Count(2), Lasting(SECOND * 3), 0.3),
        (Of(3, 5), Of(2, 4), 0.2),
        (Of(4, 10), Of(9, 16), 0.15),
        (Of(6, 6), Of(5, 8), 0.5),
    ];
    for (number, (fail_after, ok_after, loss)) in rules.into_iter().enumerate() {
        let (pace, timeout) = (paces[number % 3], [1_000, 3_000][number % 2]);
        let settings = settings(pace, timeout, fail_after, ok_after);
        let promised = settings.forecast().false_alarms_per_day(loss);
        let promised = promised.expect("all of these are computed");
        let found = alarms_per_day(&settings, loss, &mut Random::of(seed(), number as u64));
        let off = (found / promised - 1.0).abs();
        assert!(
            off < 0.05,
            "{promised} promised, {found} found: {loss} {settings:?}"
        );
    }
}
