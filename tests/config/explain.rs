//! What `explain` says. Where `UPDATE=1` is set the program writes what it says of the sample, to
//! be read, and its numbers to be worked out, by a person then.

use std::fs;

use crate::support::{Folder, Said, run};

const SAMPLE: &str = include_str!("explained/sample.conf");

const EXPLAINED: &str = include_str!("explained/sample.txt");

const README: &str = include_str!("../../README.md");

const USAGE: &str = "usage: failover explain [-c FILE] [NAME]...\n";

/// How what is true of all components begins.
const LEGEND: &str = "Best is an event right before a probe, ";

fn explain(config: &str, names: &[&str]) -> Said {
    let folder = Folder::new();
    folder.write("failover.conf", config.as_bytes(), 0o600);
    folder.run(&[&["explain", "-c", "failover.conf"], names].concat(), "")
}

/// What is said of that configuration, which can be used.
#[track_caller]
fn explained(config: &str, names: &[&str]) -> String {
    let Said { code, out, errors } = explain(config, names);
    assert_eq!((code, errors.as_str()), (0, ""));
    out
}

#[test]
fn each_kind_of_component_is_explained() {
    let out = explained(SAMPLE, &[]);
    if std::env::var_os("UPDATE").is_some() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/config/explained/sample.txt"
        );
        fs::write(path, &out).unwrap();
    }
    assert_eq!(out, EXPLAINED);
}

#[test]
fn what_is_true_of_all_is_said_once_and_only_where_it_says_something() {
    let whole = explained(SAMPLE, &[]);
    for words in [LEGEND, "(1s x 2)", "keepalived HTTP_GET, delay_loop 60"] {
        assert_eq!(whole.matches(words).count(), 1, "{words}");
    }
    let (parts, legend) = whole.split_at(whole.find(LEGEND).unwrap());
    let some = explained(SAMPLE, &["here", "web"]);
    let (some, same) = some.split_at(some.find(LEGEND).unwrap());
    assert_eq!(same, legend);
    assert!(
        some.starts_with("web: "),
        "in the order of the file: {some}"
    );
    let some = some.split_inclusive("\n\n");
    assert!(some.into_iter().all(|part| parts.contains(part)));
    let callers = explained(SAMPLE, &["asked", "latched", "beat"]);
    assert!(!callers.contains(LEGEND), "{callers}");
}

#[test]
fn nothing_is_wider_than_a_hundred_columns_with_usual_names() {
    for config in [
        SAMPLE,
        include_str!("../../examples/failover.conf"),
        include_str!("../../examples/deploy/failover.conf"),
    ] {
        let out = explained(config, &[]);
        let wide: Vec<&str> = out.lines().filter(|line| line.len() > 100).collect();
        assert!(wide.is_empty(), "{wide:#?}");
        assert!(!out.contains(" \n"), "{out}");
    }
}

#[test]
fn the_readme_shows_what_is_said_of_its_configuration() {
    let block = |begin: &str| {
        let (_, rest) = README.split_once(begin).expect(begin);
        let text = rest.split_once("\n```").unwrap().0;
        [begin, text, "\n"].concat()
    };
    let config = block("server\n    listen 0.0.0.0:8080\n");
    // Where state is kept has nothing to do with it, and is not on every machine.
    let config = config.replace("    state-dir /var/lib/failover\n", "");
    let out = explained(&config, &[]);
    let (shown, _) = out.split_once(&format!("\n{LEGEND}")).unwrap();
    assert_eq!(block("mail: tcp 192.0.2.1:25\n"), shown);
}

#[test]
fn what_is_lost_is_no_false_alarm_where_it_is_no_failure() {
    for (asks, has_odds) in [
        ("tcp 127.0.0.1:25", true),
        ("dns www.example.org\n server 127.0.0.1", true),
        ("dns www.example.org", false),
        ("process init", false),
        ("file /etc/hosts", false),
        ("haproxy-traffic /run/haproxy.sock web/one", false),
        ("access-log /var/log/access.log", false),
    ] {
        let out = explained(&format!("component a\n {asks}\n"), &[]);
        let (own, _) = out.split_once(LEGEND).unwrap();
        assert_eq!(own.contains("\n  0.1%   once in "), has_odds, "{own}");
        assert_eq!(own.contains("it fails in silence "), has_odds, "{own}");
        assert_eq!(
            own.contains("there are no odds of false"),
            !has_odds,
            "{own}"
        );
    }
}

#[test]
fn a_condition_that_is_seen_too_late_is_told() {
    let config = |uplink: &str| {
        format!(
            "server\n default a\ndefaults\n every 5s fast 1s\n timeout 1s\n\
             component a\n tcp 127.0.0.1:25\n only-if up\n fail-after 10s\n\
             component up\n file /etc/hosts\n {uplink}\n"
        )
    };
    let late = "\nThat up failed is seen after 14s at worst; this may have failed after 10s.\n";
    let out = explained(&config("fail-after 10"), &["a"]);
    assert!(out.contains(late), "{out}");
    let out = explained(&config("fail-after 2"), &["a"]);
    assert!(!out.contains("That up failed"), "{out}");
}

#[test]
fn what_is_made_of_others_takes_as_long_as_they_and_its_own_thresholds() {
    // 5s + 2 x 1s + 1s down, 5s + 2 x 1s up; a threshold of time is looked at once a second.
    let config = "server\n default a\ndefaults\n every 5s fast 1s\n timeout 1s\n\
                  component web\n tcp 127.0.0.1:25\n\
                  component spare\n tcp 127.0.0.1:26\n every 1m\n\
                  component a\n all-of web b\n non-critical web\n ok-after 10s\n\
                  component b\n any-of web spare\n fail-after 2500ms\n\
                  component c\n not b\n";
    let out = explained(config, &["a", "b", "c"]);
    let row = |name: &str, fail: &str, ok: &str| format!("\n  {name:<22}{fail:>14}{ok:>14}\n");
    for (name, rows) in [
        (
            "a: all-of web b\nnon-critical: web\n",
            [
                row("b", "3m 4.5s", "3m"),
                row("in all", "3m 4.5s", "3m 11s"),
            ],
        ),
        (
            "b: any-of web spare\n",
            [row("spare", "3m 1s", "3m"), row("in all", "3m 4.5s", "3m")],
        ),
        (
            "c: not b\n",
            [row("b", "3m 4.5s", "3m"), row("in all", "3m", "3m 4.5s")],
        ),
    ] {
        let (_, own) = out.split_once(name).expect(name);
        let own = own.split("Detection within").next().unwrap();
        for row in rows {
            assert!(own.contains(&row), "{row} is not in {own}");
        }
    }
    assert!(out.contains("\n  web: only warns\n"), "{out}");
}

#[test]
fn a_chain_may_be_as_long_as_a_configuration() {
    const LEN: usize = 20_000;
    let mut config = String::from("server\n default a0\n");
    for number in 0..LEN {
        config += &format!("component a{number}\n all-of a{}\n", number + 1);
    }
    config += &format!("component a{LEN}\n file /etc/hosts\n");
    let out = explained(&config, &["a0"]);
    assert!(
        out.contains("\n  in all                           15s           15s\n"),
        "{out}"
    );
}

#[test]
fn wrong_words_and_wrong_configurations_are_told() {
    assert_eq!(
        explain(SAMPLE, &["web", "webb"]),
        Said {
            code: 64,
            out: String::new(),
            errors: format!("failover: explain: there is no component \"webb\"\n{USAGE}"),
        }
    );
    let wrong = Folder::new().run(&["explain", "-c", "-"], "component a\n tcp x\n");
    assert_eq!((wrong.code, wrong.out.as_str()), (78, ""));
    let told = "standard input:2:6: \"x\" is not a target";
    assert!(wrong.errors.starts_with(told), "{wrong:?}");
    for (words, message) in [
        (&["explain", "-x"][..], "unknown option \"-x\""),
        (&["explain", "-c"], "option \"-c\" is followed by nothing"),
        (
            &["explain", "-c", "a", "-c", "b"],
            "option \"-c\" stands twice",
        ),
    ] {
        let errors = format!("failover: explain: {message}\n{USAGE}");
        let (code, out) = (64, String::new());
        assert_eq!(run(words), Said { code, out, errors });
    }
}
