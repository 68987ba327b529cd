//! False alarms as they were promised, against those of a judge that is given lost probes.

use std::time::Duration;

use failover::{Health, State};

use crate::forecast::Settings;
use crate::judge::moment;
use crate::model;
use crate::random::Random;
use crate::rules::{Rule, Rules};
use crate::seed;

/// Alarms that are waited for: their number strays by one part in a hundred.
const ALARMS: u32 = 10_000;

/// Those that are waited for where a thousand settings are looked at: more where they are off,
/// which the first are by chance once in ten times.
const ALARMS_IN_TURN: [u32; 3] = [1_000, 4_000, 16_000];

/// Generated settings.
const CONFIGURATIONS: u64 = 1_000;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Per day, of a target that is always well, with the real judge and probes lost by lot.
fn alarms_per_day(settings: &Settings, loss: f64, wanted: u32, random: &mut Random) -> f64 {
    let mut judge = settings.rules.judge(moment(Duration::ZERO));
    let (mut next, mut alarms, mut state) = (Duration::ZERO, 0, State::Ok);
    while alarms < wanted {
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
        (next, _) = model::next_start(next, interval, end);
    }
    f64::from(wanted) / (next.as_secs_f64() / 86_400.0)
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
        let found = alarms_per_day(
            &settings,
            loss,
            ALARMS,
            &mut Random::of(seed(), number as u64),
        );
        let off = (found / promised - 1.0).abs();
        assert!(
            off < 0.05,
            "{promised} promised, {found} found: {loss} {settings:?}"
        );
    }
}

/// A rule, and a chance with which one of ten or so runs of the check begins what satisfies it.
fn rule_and_chance(needed_max: u32, random: &mut Random) -> (Rule, f64) {
    let needed = random.count(1, needed_max);
    let chance = random.one_of(&[10, 20, 40]) as f64 / 100.0;
    let rule = match random.below(3) {
        0 => Rule::Count(needed),
        1 => Rule::Of(needed, needed + random.count(0, 3)),
        // Two to five outcomes at the paces below.
        _ => Rule::Lasting(MILLISECOND * (300 * needed - 1)),
    };
    let outcomes = match rule {
        Rule::Lasting(_) => needed + 1,
        _ => needed,
    };
    (rule, chance.powf(1.0 / f64::from(outcomes)))
}

#[test]
fn a_thousand_configurations_raise_false_alarms_as_often_as_was_promised() {
    let mut looked_at_again = 0;
    for number in 0..CONFIGURATIONS {
        let mut random = Random::of(seed(), 1_000 + number);
        let (fail_after, loss) = rule_and_chance(4, &mut random);
        let (ok_after, _) = rule_and_chance(2, &mut random);
        let fast = 300 + random.count(0, 1) * 500;
        let pace = [
            random.one_of(&[300, 2_000, 5_000]),
            fast,
            random.one_of(&[300, 10_000]),
        ];
        let timeout = random.one_of(&[0, 100, 1_000, 3_000]);
        let settings = settings(pace, timeout, fail_after, ok_after);
        let promised = settings.forecast().false_alarms_per_day(loss);
        let promised = promised.expect("all of these are computed");
        let mut off = 0.0;
        for wanted in ALARMS_IN_TURN {
            let found = alarms_per_day(&settings, loss, wanted, &mut random);
            off = (found / promised - 1.0).abs();
            if off < 0.05 {
                break;
            }
            looked_at_again += 1;
        }
        assert!(
            off < 0.05,
            "configuration {number}: off by {off}: {loss} {settings:?}"
        );
    }
    assert!(looked_at_again < CONFIGURATIONS / 5, "{looked_at_again}");
}
