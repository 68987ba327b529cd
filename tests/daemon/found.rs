//! What the runs of a check found, each by itself: a judge that waits hides nothing of it from
//! whoever looks.

use crate::house::{QUICK, house};
use crate::support::eventually;

#[test]
fn a_run_that_changes_nothing_yet_is_shown_and_counted_as_it_was() {
    let house = house(&format!(
        "{QUICK}component new\n file DIR/a\n start ok\n fail-after 1h\n\
         component old\n file DIR/conf\n start fail\n ok-after 1h\n\
         component off\n file DIR/a\n start ok\n only-if old\n"
    ));
    eventually("three runs of each", || {
        let status = house.status();
        ["new", "old", "off"]
            .iter()
            .all(|name| status.number(name, "runs") > 2.0)
    });
    let status = house.status();
    for (name, state, found, failures, unknowns) in [
        ("new", "ok", "fail", 1.0, 0.0),
        ("old", "fail", "ok", 0.0, 0.0),
        ("off", "ok", "unknown", 0.0, 1.0),
    ] {
        assert_eq!(status.of(name, "state"), format!("{state:?}"), "{name}");
        assert_eq!(status.of(name, "health"), format!("{found:?}"), "{name}");
        let runs = status.number(name, "runs");
        assert_eq!(status.number(name, "failures"), runs * failures, "{name}");
        assert_eq!(status.number(name, "unknowns"), runs * unknowns, "{name}");
        let history = status.of(name, "history");
        for health in ["ok", "warn", "fail", "unknown"] {
            let is_there = history.contains(&format!("[{health:?},"));
            assert_eq!(is_there, health == found, "{name}: {history}");
        }
    }
    let up = |name: &str| house.metric(&format!("failover_check_up{{component={name:?}}}"));
    assert_eq!((up("new"), up("old"), up("off")), (0.0, 1.0, 0.0));
}
