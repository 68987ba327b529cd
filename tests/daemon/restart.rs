//! What outlives the daemon, however it ends, and what does not.

use std::fs;

use crate::house::{House, QUICK, empty, house};
use crate::support::eventually;

/// Two that have a reset, one that has not, and a state directory.
fn config() -> String {
    format!(
        " state-dir DIR/state\n{QUICK}\
         component latched\n file DIR/latched\n manual-reset\n\
         component reset\n file DIR/reset\n manual-reset\n\
         component plain\n file DIR/plain\n"
    )
}

/// Both have failed, and would be well again.
fn with_two_latched() -> House {
    let house = house(&config());
    for name in ["latched", "reset", "plain"] {
        house.comes_to(&format!("/{name}"), "FAIL");
        house.write(name, "");
    }
    house.comes_to("/plain", "OK");
    // What looked before its file was there fails once more, also after a reset.
    house.looks_again("latched");
    house.looks_again("reset");
    house
}

fn state_of(house: &House, name: &str) -> String {
    // A name with a slash is another file's.
    house.read(&format!("state/{}.state", name.replace('/', "+")))
}

#[test]
fn resets_that_are_due_survive_and_those_that_were_given_stay_given() {
    for signal in ["-KILL", "-TERM"] {
        let mut house = with_two_latched();
        eventually("they are on the disk", || {
            ["latch/latched", "latch/reset"]
                .iter()
                .all(|name| state_of(&house, name).contains("due"))
        });
        let (status, said) = house.admin("POST", "/-/reset/reset", "");
        assert_eq!(status, 200, "{said}");
        house.end_by(signal);
        house.start();
        assert_eq!(house.word("/latched"), "FAIL", "{signal}");
        eventually("a run", || house.status().number("latched", "runs") > 0.0);
        assert_eq!(house.word("/latched"), "FAIL", "{signal}");
        assert_eq!(house.status().of("latched", "reason"), "\"awaits reset\"");
        assert_eq!(house.word("/reset"), "OK", "{signal}");
        assert_eq!(house.word("/plain"), "OK", "{signal}");
        let (status, _) = house.admin("POST", "/-/reset/latched", "");
        assert_eq!(status, 200);
        house.end_by(signal);
        house.start();
        assert_eq!(house.word("/latched"), "OK", "{signal}");
    }
}

#[test]
fn a_failure_under_maintenance_awaits_its_reset_after_a_restart_too() {
    for mode in ["mode=hold", "mode=drain"] {
        let mut house = empty();
        house.write("latched", "");
        house.configure(&config());
        house.start();
        house.comes_to("/latched", "OK");
        house.maintain("latched", mode);
        house.remove("latched");
        eventually("it has failed underneath", || {
            house.status().of("latched", "reason") == "\"awaits reset\""
        });
        eventually("that is on the disk", || {
            state_of(&house, "latch/latched").contains("due")
        });
        house.write("latched", "");
        house.end_by("-KILL");
        house.start();
        house.maintain("latched", "mode=off");
        assert_eq!(house.word("/latched"), "FAIL", "{mode}");
        // What a human gives meanwhile is given.
        house.maintain("latched", mode);
        let (status, said) = house.admin("POST", "/-/reset/latched", "");
        assert_eq!(status, 200, "{said}");
        house.end_by("-KILL");
        house.start();
        house.maintain("latched", "mode=off");
        house.comes_to("/latched", "OK");
    }
}

#[test]
fn an_orderly_end_writes_what_happened_a_moment_before() {
    for _ in 0..3 {
        let mut house = with_two_latched();
        assert_eq!(house.end_by("-TERM").code(), Some(0));
        for name in ["latch/latched", "latch/reset"] {
            assert!(state_of(&house, name).contains("due"), "{name}");
        }
    }
}

#[test]
fn maintenance_survives_until_it_is_over() {
    for signal in ["-KILL", "-TERM"] {
        let mut house = with_two_latched();
        house.maintain("plain", "mode=drain&for=1h&because=new+disk");
        house.maintain("reset", "mode=hold");
        house.end_by(signal);
        house.start();
        let why = "reason=\"drained\" detail=\"new disk\" state=\"unknown -> fail\"";
        eventually("why it begins as failed is told", || {
            house.word("/-/events?format=text").contains(why)
        });
        let status = house.status();
        let maint = status.of("plain", "maint");
        for part in [
            "\"mode\":\"drain\"",
            "\"until\":\"",
            "\"because\":\"new disk\"",
        ] {
            assert!(maint.contains(part), "{signal}: {maint}");
        }
        let maint = status.of("reset", "maint");
        assert!(maint.contains("\"until\":null"), "{signal}: {maint}");
        assert_eq!(house.get("/plain"), (503, String::from("FAIL")));
        assert_eq!(house.word("/reset"), "FAIL", "held as it was");
        house.maintain("plain", "mode=off");
        house.end_by(signal);
        house.start();
        assert_eq!(
            house.word("/plain"),
            "OK",
            "{signal}: what was ended is over"
        );
    }
}

#[test]
fn maintenance_goes_on_aging_while_nobody_runs() {
    let mut house = house(&format!(
        " state-dir DIR/state\n{QUICK}component a\n file /\ncomponent b\n file /\n"
    ));
    house.comes_to("/a", "OK");
    house.maintain("b", "mode=drain&for=1h");
    house.maintain("a", "mode=drain&for=1s");
    house.end_by("-KILL");
    house.start();
    // On a machine that is busy it may be over by now.
    if house.status().of("a", "maint").contains("drain") {
        house.daemon().line_with("component=a maintenance=off");
    }
    assert_eq!(house.status().of("a", "maint"), "null");
    assert_eq!(house.word("/a"), "OK");
    assert_eq!(house.word("/b"), "FAIL");
    house.end_by("-KILL");
    house.start();
    assert!(!house.status().of("a", "maint").contains("drain"));
    assert_eq!(house.word("/b"), "FAIL");
}

#[test]
fn one_state_directory_and_one_admin_socket_are_one_daemons() {
    let house = with_two_latched();
    let exits = |config: &str| {
        house.configure(config);
        let output = house.run().output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), errors)
    };
    let (code, errors) = exits(&config());
    assert_eq!(code, Some(69), "{errors}");
    assert!(
        errors.contains("another failover has the state directory"),
        "{errors}"
    );
    let (code, errors) = exits(&config().replace("DIR/state", "DIR/other"));
    assert_eq!(code, Some(69), "{errors}");
    assert!(errors.contains("admin.sock"), "{errors}");
    assert_eq!(house.word("/plain"), "OK");
    assert_eq!(
        house.admin("GET", "/plain", "").0,
        200,
        "the first one's socket is still there"
    );
}

#[test]
fn a_damaged_file_is_told_of_and_costs_only_itself() {
    let mut house = with_two_latched();
    house.maintain("plain", "mode=drain");
    house.end_by("-TERM");
    house.write("state/latch+latched.state", "nonsense");
    house.start();
    assert_eq!(house.word("/latched"), "OK");
    assert_eq!(house.word("/reset"), "FAIL");
    assert_eq!(house.word("/plain"), "FAIL");
    assert!(fs::exists(house.path("state/latch+latched.damaged")).unwrap());
}

#[test]
fn an_acknowledged_reset_is_on_the_disk_however_soon_the_end_comes() {
    let mut house = with_two_latched();
    for _ in 0..5 {
        let (status, said) = house.admin("POST", "/-/reset/reset", "");
        assert_eq!(status, 200, "{said}");
        house.end_by("-KILL");
        house.start();
        assert_eq!(house.word("/reset"), "OK");
        house.remove("reset");
        house.comes_to("/reset", "FAIL");
        house.write("reset", "");
        // What looked before the file was there fails once more, also after a reset.
        house.looks_again("reset");
    }
}

#[test]
fn what_is_kept_of_a_component_that_is_gone_stays_over_a_restart() {
    let mut house = with_two_latched();
    house.maintain("plain", "mode=drain");
    house.maintain("reset", "mode=drain&for=1s");
    house.end_by("-TERM");
    let other = format!(
        " state-dir DIR/state\n{QUICK}\
         component wrong/name\n file /\n\
         component latched\n file /\n"
    );
    house.configure(&other);
    house.start();
    for name in ["latched", "reset"] {
        house.daemon().line_with(&format!(
            "warning: the manual reset that is due of \"{name}\" has no place in this \
             configuration; kept until it has, or its file is removed"
        ));
    }
    house.daemon().line_with(
        "warning: the maintenance of \"plain\" has no place in this configuration; kept until it \
         has, or the next reload",
    );
    house.comes_to("/wrong/name", "OK");
    house.maintain("wrong/name", "mode=drain");
    house.end_by("-TERM");
    for name in ["latch/latched", "latch/reset", "maint/plain"] {
        assert!(!state_of(&house, name).is_empty(), "{name}");
    }

    // With the names back all is as it was, and what has another is told of in turn.
    house.configure(&config());
    house.start();
    assert_eq!(house.word("/latched"), "FAIL");
    eventually("a run says why", || {
        house.status().of("latched", "reason") == "\"awaits reset\""
    });
    assert!(house.status().of("plain", "maint").contains("drain"));
    house
        .daemon()
        .line_with("the maintenance of \"wrong/name\" has no place");
}

#[test]
fn a_reset_that_is_kept_has_its_place_again_once_a_reload_brings_it() {
    let mut house = with_two_latched();
    eventually("it is on the disk", || {
        state_of(&house, "latch/latched").contains("due")
    });
    house.end_by("-TERM");
    house.configure(&config().replace("latched\n manual-reset", "latched"));
    house.start();
    house.comes_to("/latched", "OK");
    house
        .daemon()
        .line_with("the manual reset that is due of \"latched\" has no place");
    house.reload(&config());
    assert_eq!(house.word("/latched"), "FAIL");
    let (status, said) = house.admin("POST", "/-/reset/latched", "");
    assert_eq!(status, 200, "{said}");
    assert_eq!(state_of(&house, "latch/latched"), "");
    house.comes_to("/latched", "OK");
}

#[test]
fn a_reload_forgets_the_maintenance_of_what_is_gone_and_nothing_else() {
    let mut house = with_two_latched();
    house.maintain("plain", "mode=drain");
    house.maintain("reset", "mode=hold");
    let without_plain = config().replace("component plain\n file DIR/plain\n", "");
    house.reload(&without_plain);
    house
        .daemon()
        .line_with("notice: the maintenance of \"plain\" is forgotten with it");
    eventually("it is gone from the disk", || {
        state_of(&house, "maint/plain").is_empty()
    });
    house.reload(&config());
    house.comes_to("/plain", "OK");
    assert!(house.status().of("reset", "maint").contains("hold"));
    assert!(!state_of(&house, "maint/reset").is_empty());

    // What a start found nobody for is forgotten by the next reload.
    house.maintain("plain", "mode=drain");
    house.end_by("-TERM");
    house.configure(&without_plain);
    house.start();
    house
        .daemon()
        .line_with("the maintenance of \"plain\" has no place");
    house.refused(" nonsense\n");
    assert!(!state_of(&house, "maint/plain").is_empty());
    house.reload(&without_plain);
    house
        .daemon()
        .line_with("the maintenance of \"plain\" is forgotten");
    house.end_by("-TERM");
    assert_eq!(state_of(&house, "maint/plain"), "");
    assert!(!state_of(&house, "latch/latched").is_empty());
}
