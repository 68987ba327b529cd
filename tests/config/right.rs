//! Right configurations: each keyword in use, the design's sample, the examples, and what defaults,
//! includes and quotes come to, as `explain` shows it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::manual::keywords;
use crate::support::{Folder, Said};

const EVERYTHING: &str = include_str!("right/everything.conf");

/// The text of the design's sample; its users are put where the test can have them.
const SAMPLE: &str = include_str!("sample.conf");

/// `bob` with the password `pass`, as `htpasswd -nbs` writes it.
const USERS: &[u8] = b"bob:{SHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ=\n";

#[test]
fn every_keyword_is_in_a_configuration_that_can_be_used() {
    let folder = Folder::new();
    folder.write("token", b"0123456789abcdef0123456789abcdef\n", 0o600);
    folder.write("password", b"secret\n", 0o640);
    folder.write("users", USERS, 0o600);
    folder.write("more/a.conf", b"component a\n file /etc/hosts\n", 0o600);
    let place = folder.path().display().to_string();
    // Only root may have programs run as somebody else.
    let own = Command::new("id").arg("-un").output().unwrap().stdout;
    let user = format!("user {}", String::from_utf8(own).unwrap().trim());
    let everything = EVERYTHING.replace("@DIR@", &place);
    let said = folder.check(&everything.replace("user root", &user));
    let Said { code, out, errors } = said;
    assert_eq!((code, errors.contains(" wrong, ")), (0, false), "{errors}");
    // Only what this version does not do yet.
    let warnings = errors.lines().filter(|line| line.contains(": warning: "));
    for warning in warnings {
        assert!(warning.contains("this version"), "{warning}");
    }
    assert_eq!(
        out,
        "failover.conf: can be used; 20 components, 4 warnings\n"
    );
    let used: BTreeSet<&str> = EVERYTHING
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let missing: Vec<String> = keywords()
        .into_iter()
        .filter(|keyword| !used.contains(keyword.as_str()))
        .collect();
    assert!(missing.is_empty(), "no test uses {missing:?}");
}

#[test]
fn the_design_s_sample_can_be_used() {
    let folder = Folder::new();
    folder.write("users", USERS, 0o600);
    let users = folder.path().join("users").display().to_string();
    let config = SAMPLE.replace("/etc/failover/users", &users);
    assert!(config != SAMPLE, "no users in the sample");
    let tracked = folder.path().join("web").display().to_string();
    let config = config.replace("/run/keepalived/web", &tracked);
    let Said { code, out, errors } = folder.check(&config);
    assert_eq!(code, 0, "{errors}");
    let expected = "failover.conf: can be used; 6 components, 2 warnings\n";
    assert_eq!(out, expected, "{errors}");
    for warning in [
        "warning: recovery is easier than failure: ok-after 1m takes 1m, fail-after 2m takes 2m",
        "warning: notify ops: this version tells nobody",
    ] {
        assert!(errors.contains(warning), "{errors}");
    }
}

#[test]
fn the_examples_can_be_used_without_a_warning() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let mut count = 0;
    for entry in fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "conf") {
            continue;
        }
        count += 1;
        let words = ["check-config", "-c", path.to_str().unwrap()];
        let Said { code, out, errors } = Folder::new().run(&words, "");
        assert_eq!((code, errors.as_str()), (0, ""), "{path:?}");
        assert!(out.ends_with(", 0 warnings\n"), "{out}");
    }
    assert!(count > 0);
}

/// What `explain` says of a configuration.
#[track_caller]
fn explained(config: impl AsRef<[u8]>) -> String {
    let folder = Folder::new();
    folder.write("failover.conf", config.as_ref(), 0o600);
    let said = folder.run(&["explain", "-c", "failover.conf"], "");
    assert_eq!((said.code, said.errors.as_str()), (0, ""));
    said.out
}

/// The lines of each component that say how it is asked and judged.
fn schedules(explained: &str) -> Vec<&str> {
    let lines = explained.lines();
    lines.filter(|line| line.starts_with("every ")).collect()
}

#[test]
fn without_settings_the_defaults_are_those_of_the_manual() {
    assert_eq!(
        schedules(&explained("component a\n tcp 127.0.0.1:25\n")),
        ["every 5s fast 5s down 5s, timeout 3s, start probe, fail-after 3, ok-after 3"]
    );
    assert_eq!(
        schedules(&explained("component a\n tcp 127.0.0.1:25\n every 1s\n")),
        ["every 1s fast 1s down 1s, timeout 1s, start probe, fail-after 3, ok-after 3"],
        "a timeout is no longer than the shortest pace"
    );
}

#[test]
fn defaults_apply_wherever_they_stand_and_what_a_component_says_itself_counts() {
    let said = explained(
        "component a\n tcp 127.0.0.1:25\n\
         component b\n tcp 127.0.0.1:25\n every 1m\n timeout 2s\n start fail\n\
         component c\n tcp 127.0.0.1:25\n on-request\n\
         component d\n heartbeat\n every 5m\n\
         component e\n all-of a b\n\
         component f\n file /etc/hosts\n\
         defaults\n every 10s fast 2s\n timeout 1s\n fail-after 5\n ok-after 6\n \
         answer-within 5s\n expect-body x\n delay 1s\n\
         server\n default e\n",
    );
    assert_eq!(
        schedules(&said),
        [
            "every 10s fast 2s down 10s, timeout 1s, start probe, fail-after 5, ok-after 6",
            "every 1m fast 1m down 1m, timeout 2s, start fail, fail-after 5, ok-after 6",
            "every 5m grace 5m, start probe, fail-after 1, ok-after 1",
            "every 10s fast 2s down 10s, start probe, fail-after 5, ok-after 6",
        ],
        "{said}"
    );
    for expected in [
        "\non-request, answer-within 5s, timeout 1s, start probe, fail-after 5, ok-after 6\n",
        "e: all-of a b\nstart probe, fail-after 1, ok-after 1\n",
        "\nThe first check is 1s after the start.\n",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn a_component_that_says_every_is_not_on_request_by_default() {
    let said = explained(
        "defaults\n on-request\nserver\n default a\n\
         component a\n tcp 127.0.0.1:25\n every 7s\ncomponent b\n tcp 127.0.0.1:25\n",
    );
    assert!(said.contains("every 7s fast 7s"), "{said}");
    assert!(
        said.contains("b: tcp 127.0.0.1:25\non-request, answer-within 1m, "),
        "{said}"
    );
}

#[test]
fn a_condition_in_defaults_is_not_one_of_the_component_that_it_names() {
    let said = explained(
        "defaults\n only-if uplink\nserver\n default a\n\
         component uplink\n file /etc/hosts\ncomponent a\n tcp 127.0.0.1:25\n",
    );
    assert!(said.contains("uplink: file /etc/hosts\n"), "{said}");
}

#[test]
fn files_are_included_in_place_and_in_the_order_of_their_names() {
    let folder = Folder::new();
    let component = |name: &str| format!("component {name}\n file /etc/hosts\n");
    for name in ["10-b", "2-c", "1-a", ".hidden", "z"] {
        let name_of_it = name.trim_start_matches('.');
        let file = format!("conf.d/{name}.conf");
        folder.write(&file, component(name_of_it).as_bytes(), 0o600);
    }
    folder.write("conf.d/z.conf.bak", b"banana\n", 0o600);
    folder.write("conf.d/z.conf", b"include ../last.conf\n", 0o600);
    folder.write("last.conf", component("last").as_bytes(), 0o600);
    let config = format!(
        "server\n default first\n{}include conf.d/*.conf\n{}include none.d/../conf.d/*.none\n",
        component("first"),
        component("after")
    );
    // The folder of a pattern has to be there, files that fit need not.
    folder.write("none.d/keep", b"", 0o600);
    folder.write("failover.conf", config.as_bytes(), 0o600);
    for path in ["failover.conf", "./failover.conf"] {
        let said = folder.run(&["explain", "-c", path], "");
        assert_eq!((said.code, said.errors.as_str()), (0, ""));
        let names = said
            .out
            .lines()
            .filter_map(|line| line.split_once(": file "));
        let names: Vec<&str> = names.map(|(name, _)| name).collect();
        assert_eq!(names, ["first", "1-a", "10-b", "2-c", "last", "after"]);
    }
    let said = folder.run(&["check-config", "-c", "-"], &config);
    assert_eq!(
        (said.code, said.errors.as_str()),
        (0, ""),
        "from standard input"
    );
    assert_eq!(said.out, "-: can be used; 6 components, 0 warnings\n");
}

#[test]
fn what_editors_of_other_systems_leave_behind_is_tolerated() {
    let plain = "component a\n\ttcp 127.0.0.1:25 # mail\n\n  \n\twhy \"a # b\"\n";
    let expected = explained(plain);
    let windows = plain.replace('\n', "\r\n");
    assert_eq!(explained(&windows), expected);
    assert_eq!(explained(format!("\u{feff}{windows}")), expected);
    assert_eq!(
        explained(plain.trim_end()),
        expected,
        "no line end at the end"
    );
}

#[test]
fn quotes_hold_blanks_comments_and_themselves() {
    let said = explained("component a\n file /etc/hosts\n why \"a # \\\"b\\\" \\\\ \\x41\"\n");
    assert!(said.contains("\nwhy: a # \"b\" \\ A\n"), "{said}");
    let said = explained("\"component\" \"a\"\n \"file\" \"/etc/hosts\"\n why c#d\n");
    assert!(said.starts_with("a: file /etc/hosts\nwhy: c#d\n"), "{said}");
}

#[test]
fn a_file_that_is_no_configuration_is_told_so() {
    let folder = Folder::new();
    let line = "# one of very many lines\n";
    folder.write(
        "long.conf",
        line.repeat(4 * 1024 * 1024 / line.len() + 1).as_bytes(),
        0o600,
    );
    for (path, message) in [
        (
            "long.conf",
            "long.conf:1:1: \"long.conf\" has more than 4194304 bytes; expected a configuration\n",
        ),
        (
            "nowhere.conf",
            "nowhere.conf:1:1: \"nowhere.conf\" cannot be opened: No such file or directory (os \
             error 2)\n",
        ),
        (
            ".",
            ".:1:1: \".\" cannot be read: Is a directory (os error 21)\n",
        ),
    ] {
        let said = folder.run(&["check-config", "-c", path], "");
        let errors = format!("{message}{path}: 1 wrong, 0 warnings\n");
        let expected = Said {
            code: 78,
            out: String::new(),
            errors,
        };
        assert_eq!(said, expected);
    }
    let said = folder.run(&["check-config", "-c", "-"], "component a\n tcp x\n");
    assert_eq!(
        said.errors,
        "standard input:2:6: \"x\" is not a target; expected HOST:PORT, with an IPv6 address in \
         brackets\n   tcp x\n       ^\n-: 1 wrong, 0 warnings\n"
    );
}
