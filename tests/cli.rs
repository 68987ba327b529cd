//! The program from its command line: what it says, where, and with which exit code.

mod support;

use std::io::Write;
use std::net::TcpListener;
use std::process::{Output, Stdio};

use support::{
    BlackHole, Daemon, FULL, ask, body, dead_port, ended, eventually, exact, free_port, get, lost,
    peer, program,
};

/// Runs it to its end: exit code, standard output, standard error.
#[track_caller]
fn run(words: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = program(words).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        status.code().expect("an exit code"),
        text(stdout),
        text(stderr),
    )
}

/// The keywords that the manual lists: indented, below a line that ends with a colon.
fn keywords() -> Vec<String> {
    let (_, manual, _) = run(&["help"]);
    let (_, lists) = manual
        .split_once("blocks, at the beginning of a line:\n")
        .expect("lists of keywords");
    let (lists, _) = lists.split_once("\n  A DURATION").expect("an end");
    lists
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .map(|line| line.split_whitespace().next().unwrap().to_string())
        .collect()
}

#[test]
fn help_is_the_whole_manual_on_standard_output() {
    let (code, manual, errors) = run(&["help"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    for command in ["run", "check-config", "probe", "help", "version"] {
        assert!(manual.contains(&format!("\n  {command} ")), "{command}");
        let (code, page, errors) = run(&["help", command]);
        assert_eq!((code, errors.as_str()), (0, ""), "{command}");
        assert!(page.starts_with(&format!("failover {command}")), "{page}");
    }
    for option in ["--help", "-h"] {
        assert_eq!(run(&[option]), run(&["help"]));
    }
}

#[test]
fn every_keyword_has_a_page_with_an_example_and_its_lines_fit_a_terminal() {
    let keywords = keywords();
    for needed in [
        "listen",
        "component",
        "tcp",
        "timeout",
        "fail-after",
        "manual-reset",
    ] {
        assert!(keywords.iter().any(|keyword| keyword == needed), "{needed}");
    }
    for keyword in keywords {
        let (code, page, errors) = run(&["help", &keyword]);
        assert_eq!((code, errors.as_str()), (0, ""), "{keyword}");
        assert!(page.starts_with(&keyword), "{page}");
        assert!(page.contains("\n  example: "), "{page}");
        let widest = page.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(100), "{page}");
    }
    let (code, page, _) = run(&["help", "reasons"]);
    assert_eq!(code, 0);
    assert!(
        page.contains("\n  tcp connect refused\n      Nobody listens"),
        "{page}"
    );
}

#[test]
fn the_lists_of_the_manual_are_aligned_and_fit_a_terminal() {
    let (_, manual, _) = run(&["help"]);
    for line in manual.lines() {
        assert!(line.chars().count() <= 90, "{line}");
        let column = line.find("default: ").unwrap_or(41);
        assert_eq!(column, 41, "{line}");
    }
    assert!(manual.matches(" default: ").count() > 20, "{manual}");
    let (_, metrics, _) = run(&["help", "metrics"]);
    assert!(metrics.lines().all(|line| line.len() <= 80), "{metrics}");
}

#[test]
fn what_is_not_in_the_manual_is_a_usage_error() {
    for (words, message) in [
        (
            &["help", "banana"][..],
            "failover: help: nothing about \"banana\"; \
             expected a command, a keyword or one of config, paths, reasons, metrics, all\n",
        ),
        (
            &["help", "fail-aftre"],
            "failover: help: nothing about \"fail-aftre\"; did you mean \"fail-after\"?\n",
        ),
        (
            &["help", "tcp", "udp"],
            "failover: help: unexpected \"udp\"; expected one topic\n",
        ),
        (
            &["version", "2"],
            "failover: version: unexpected \"2\"; expected nothing more\n",
        ),
    ] {
        assert_eq!(run(words), (64, String::new(), message.to_string()));
    }
    for (words, meant) in [
        (
            &["stauts"][..],
            "unknown command \"stauts\"; did you mean \"status\"?",
        ),
        (
            &["check_config"],
            "unknown command \"check_config\"; did you mean \"check-config\"?",
        ),
        (
            &["check"],
            "unknown command \"check\"; did you mean \"check-config\"?",
        ),
        (
            &["help", "stauts"],
            "help: nothing about \"stauts\"; did you mean \"status\"?",
        ),
        (
            &["events", "--folow"],
            "events: unknown option \"--folow\"; did you mean \"--follow\"?",
        ),
        (
            &["run", "--config", "x"],
            "run: unknown option \"--config\"; did you mean \"-c\"?",
        ),
        (&["status", "-x"], "status: unknown option \"-x\""),
    ] {
        let (code, out, errors) = run(words);
        assert_eq!((code, out.as_str()), (64, ""));
        assert!(
            errors.starts_with(&format!("failover: {meant}\n")),
            "{errors}"
        );
    }
    for words in [&["banana"][..], &["--banana"], &[""]] {
        let (code, out, errors) = run(words);
        assert_eq!((code, out.as_str()), (64, ""));
        let message = format!("failover: unknown command {:?}\nusage: failover ", words[0]);
        assert!(errors.starts_with(&message), "{errors}");
    }
    let (code, out, errors) = run(&[]);
    assert_eq!((code, out.as_str()), (64, ""));
    assert!(errors.starts_with("usage: failover COMMAND"), "{errors}");
}

#[test]
fn what_is_wrong_about_maintenance_is_named_with_what_may_stand_there() {
    for words in [
        &["maint", "web", "drain", "1h"][..],
        &["maint", "web", "drain", "1h", "because", "x"],
        &["maint", "web", "drain", "because", "new", "1h"],
    ] {
        let (code, _, said) = run(words);
        let expected = "unexpected \"1h\"; expected for DURATION or because \"TEXT\"\n";
        assert!(said.contains(expected), "{said}");
        assert_eq!(code, 64);
    }
}

#[test]
fn what_stands_twice_is_a_usage_error() {
    for (command, option) in [("status", "--json"), ("events", "--follow")] {
        let (code, out, errors) = run(&[command, option, "-s", "/none", option]);
        assert_eq!((code, out.as_str()), (64, ""));
        let message = format!("failover: {command}: option {option:?} stands twice\nusage: ");
        assert!(errors.starts_with(&message), "{errors}");
    }
}

#[test]
fn options_stand_on_either_side_of_the_words_and_a_reason_may_begin_with_a_dash() {
    let nobody = "failover: no failover answers on \"/none\"";
    for words in [
        &["reset", "a", "-s", "/none"][..],
        &["reset", "-s", "/none", "a"],
        &["maint", "a", "drain", "for", "1h", "-s", "/none"],
        &["maint", "a", "-s", "/none", "hold", "because", "-v"],
        &["status", "--json", "-s", "/none"],
        &["events", "-s", "/none", "--follow"],
    ] {
        let (code, out, errors) = run(words);
        assert_eq!((code, out.as_str()), (69, ""), "{words:?}: {errors}");
        assert!(errors.starts_with(nobody), "{errors}");
    }
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/failover.conf");
    let (code, before, _) = run(&["explain", "-c", config, "port"]);
    assert_eq!(code, 0);
    assert_eq!(run(&["explain", "port", "-c", config]).1, before);
    assert_eq!(run(&["replay", "port", "-c", config]).0, 0);
    for (words, wrong) in [
        (
            &["explain", "port", "-c"][..],
            "option \"-c\" is followed by nothing",
        ),
        (
            &["reset", "a", "-s", "x", "-s", "y"],
            "option \"-s\" stands twice",
        ),
        (&["reset", "a", "-x"], "unexpected \"-x\""),
        (&["reset", "-x", "a"], "unknown option \"-x\""),
    ] {
        let (code, _, errors) = run(words);
        assert_eq!(code, 64);
        let message = format!("failover: {}: {wrong}\nusage: ", words[0]);
        assert!(errors.starts_with(&message), "{errors}");
    }
}

#[test]
fn the_version_is_one_line() {
    let line = concat!("failover ", env!("CARGO_PKG_VERSION"), "\n");
    for word in ["version", "--version", "-V"] {
        assert_eq!(run(&[word]), (0, line.to_string(), String::new()));
    }
}

#[test]
fn a_probe_says_what_it_found_and_exits_with_0_or_1() {
    let (up, down) = (peer(drop), dead_port());
    let (code, out, errors) = run(&["probe", "tcp", &format!("127.0.0.1:{up}")]);
    assert_eq!((code, errors.as_str()), (0, ""));
    let expected = format!("OK tcp connected: 127.0.0.1:{up} (");
    assert!(
        out.starts_with(&expected) && out.ends_with(" ms)\n"),
        "{out}"
    );
    let (code, out, errors) = run(&["probe", "tcp", &format!("127.0.0.1:{down}")]);
    assert_eq!((code, errors.as_str()), (1, ""));
    assert!(
        out.starts_with("FAIL tcp connect refused: 127.0.0.1:"),
        "{out}"
    );
    let target = format!("127.0.0.1:{up}");
    let (code, out, _) = run(&["probe", "tcp", &target, "source", "192.0.2.1"]);
    assert_eq!(code, 1, "what is not known to be healthy is not healthy");
    assert!(out.starts_with("ERROR tcp source unavailable: "), "{out}");
    let Some(hole) = BlackHole::new() else {
        println!("skipped: this system answers however full a listener's queue is");
        return;
    };
    let target = format!("127.0.0.1:{}", hole.port());
    let (code, out, _) = run(&["probe", "tcp", &target, "timeout", "200ms"]);
    assert_eq!(code, 1);
    assert!(out.starts_with("FAIL tcp connect timeout: "), "{out}");
}

#[test]
fn a_probe_that_cannot_be_read_exits_with_1() {
    for (words, message) in [
        (&["probe"][..], "expected one check, such as: tcp HOST:PORT"),
        (
            &["probe", "tcp"],
            "\"tcp\" is followed by nothing; expected HOST:PORT",
        ),
        (
            &["probe", "tcp", "a"],
            "\"a\" is not a target; expected HOST:PORT",
        ),
        (
            &["probe", "tcp", "a:0"],
            "\"0\" is not a port; expected 1 to 65535",
        ),
        (
            &["probe", "tcp", "a:1", "tcp", "b:1"],
            "expected one check, such as: tcp HOST:PORT",
        ),
        (
            &["probe", "tcp", "a:1", "tmeout", "1s"],
            "\"tmeout\" is no keyword; did you mean \"timeout\"?",
        ),
        (
            &["probe", "tcp", "a:1", "timeout", "1"],
            "\"1\" is not a duration",
        ),
        (
            &["probe", "tcp", "a:1", "every", "1s"],
            "\"every\" has no place in \"a probe\"; expected it in \"component\"",
        ),
        (
            &["probe", "--fast", "tcp", "a:1"],
            "unknown option \"--fast\"",
        ),
        (
            &["probe", "--nagios", "--nagios", "tcp", "a:1"],
            "\"--nagios\" stands twice",
        ),
    ] {
        let (code, out, errors) = run(words);
        let is_nagios = words.contains(&"--nagios");
        assert_eq!(
            (code, out.as_str()),
            (if is_nagios { 3 } else { 1 }, ""),
            "{words:?}"
        );
        assert!(
            errors.starts_with(&format!("failover: probe: {message}")),
            "{errors}"
        );
        assert!(errors.contains("\nusage: failover probe "), "{errors}");
    }
}

#[test]
fn with_nagios_a_probe_speaks_as_monitoring_plugins_do() {
    let (up, down) = (peer(drop), dead_port());
    for (port, settings, code, text) in [
        (up, &[][..], 0, "FAILOVER OK - tcp connected: "),
        (down, &[], 2, "FAILOVER CRITICAL - tcp connect refused: "),
        (
            up,
            &["source", "192.0.2.1"],
            3,
            "FAILOVER UNKNOWN - tcp source unavailable: ",
        ),
    ] {
        let target = format!("127.0.0.1:{port}");
        let words = [&["probe", "--nagios", "tcp", &target], settings].concat();
        let (exit, out, errors) = run(&words);
        assert_eq!((exit, errors.as_str()), (code, ""));
        assert!(out.starts_with(text), "{out}");
        let (_, performance) = out.trim_end().split_once(" | time=").expect("a time");
        assert!(
            performance
                .strip_suffix('s')
                .unwrap()
                .parse::<f64>()
                .is_ok(),
            "{out}"
        );
    }
}

#[test]
fn an_address_that_cannot_be_had_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = format!("server\n listen {address}\ncomponent a\n tcp 127.0.0.1:1\n");
    let file = support::TempFile::new("taken.conf", &config);
    let (code, out, errors) = run(&["run", "-c", file.path()]);
    assert_eq!((code, out.as_str()), (69, ""), "{errors}");
    let expected = format!("failover: run: listening on {address} failed: ");
    assert!(errors.starts_with(&expected), "{errors}");
    assert_eq!(
        errors.lines().count(),
        1,
        "no usage: the words were right: {errors}"
    );
}

#[test]
fn a_server_answers_for_its_components_and_logs_their_changes() {
    let (up, down) = (peer(drop), dead_port());
    let (up, down) = (format!("127.0.0.1:{up}"), format!("127.0.0.1:{down}"));
    let daemon = Daemon::run(&format!(
        "  default down
component up
    tcp {up}
component down
    tcp {down}
    every 1h
    stale-after 2h
component asked
    tcp {up}
    on-request
component held
    tcp {down}
    start ok
    fail-after 1000
    every 10ms
    stale-after 1m"
    ));
    let address = daemon.address;
    assert_eq!(get(address, "/up"), "OK", "the first outcome decides");
    for path in ["/down", "/"] {
        let answer = ask(address, format!("GET {path} HTTP/1.0\r\n\r\n"));
        assert_eq!(answer, exact("503 FAIL", 4, "", "FAIL"));
    }
    assert_eq!(get(address, "/asked"), "OK");
    assert_eq!(
        get(address, "/held"),
        "OK",
        "a few failures are not a thousand"
    );
    assert_eq!(get(address, "/nothing"), "ERROR");
    let line = daemon.line_with("component=down");
    for part in [
        "reason=\"tcp connect refused\"",
        "state=\"unknown -> fail\"",
        "phase=unhealthy",
    ] {
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn a_server_follows_its_target_down_and_up_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let daemon = Daemon::run(&format!(
        "component a\n tcp {target}\n timeout 5s\n every 20ms\n stale-after 1m\n \
         fail-after 2\n ok-after 2"
    ));
    assert_eq!(get(daemon.address, "/a"), "OK");
    drop(listener);
    eventually("it fails", || get(daemon.address, "/a") == "FAIL");
    // Only now and then can a port just closed be listened on at once.
    let mut again = None;
    eventually("the target is back", || {
        again = TcpListener::bind(target).ok();
        again.is_some()
    });
    eventually("it is ok", || get(daemon.address, "/a") == "OK");
    daemon.line_with("state=\"fail -> ok\"");
}

#[test]
fn a_component_is_reset_by_a_person_with_credentials() {
    let path = std::env::temp_dir().join(format!("failover-cli-{}", std::process::id()));
    // `bob` with the password `pass`, as `htpasswd -nbs` writes it.
    std::fs::write(&path, "bob:{SHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ=\n").unwrap();
    let (port, users) = (free_port(), path.to_str().unwrap());
    let target = format!("127.0.0.1:{port}");
    let daemon = Daemon::run(&format!(
        "component a\n on-request\n tcp {target}\n start ok\n fail-after 1\n \
         manual-reset htpasswd {users}"
    ));
    assert_eq!(get(daemon.address, "/a"), "FAIL");
    let _up = TcpListener::bind(&target).unwrap();
    let answer = ask(daemon.address, "POST /a HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.0 401 "), "{answer}");
    assert_eq!(
        get(daemon.address, "/a"),
        "FAIL",
        "it stays so until it is reset"
    );
    let credentials = "Authorization: Basic Ym9iOnBhc3M=\r\n";
    let answer = ask(
        daemon.address,
        format!("POST /a HTTP/1.0\r\n{credentials}\r\n"),
    );
    assert_eq!(body(&answer), "Armed");
    assert_eq!(get(daemon.address, "/a"), "OK");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_signal_ends_a_server_in_an_orderly_way() {
    let Some(hole) = BlackHole::new() else {
        println!("skipped: this system answers however full a listener's queue is");
        return;
    };
    for signal in ["-TERM", "-INT"] {
        let (hangs, up) = (hole.port(), peer(drop));
        let (hangs, up) = (format!("127.0.0.1:{hangs}"), format!("127.0.0.1:{up}"));
        // A probe that hangs for ten times as long as is waited here.
        let daemon = Daemon::run(&format!(
            "component a\n tcp {hangs}\n timeout 5m\n start ok\ncomponent b\n tcp {up}"
        ));
        let address = daemon.address;
        assert_eq!(
            get(address, "/a"),
            "OK",
            "what it starts in, before the first outcome"
        );
        assert_eq!(get(address, "/b"), "OK");
        let slow = support::client(address, "GET /b");
        let waits = support::client(address, "GET /a HTTP/1.0\r\n\r\n");
        assert_eq!(daemon.end_by(signal).code(), Some(0), "{signal}");
        drop((slow, waits));
        assert!(std::net::TcpStream::connect(address).is_err());
    }
}

#[test]
fn a_reader_that_is_gone_is_no_panic() {
    let up = format!("127.0.0.1:{}", peer(drop));
    for words in [
        &["help"][..],
        &["version"],
        &["help", "tcp"],
        &["probe", "tcp", &up],
    ] {
        let mut child = program(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        assert_eq!(ended(&mut child).code(), Some(0), "{words:?}");
        let closed = format!("exec \"$0\" {} >&- 2>&-", words.join(" "));
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &closed, env!("CARGO_BIN_EXE_failover")]);
        assert_eq!(command.status().unwrap().code(), Some(0), "{words:?}");
    }
}

#[test]
fn what_cannot_be_written_is_no_success_and_no_failed_probe() {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/failover.conf");
    for words in [
        &["help"][..],
        &["--help"],
        &["help", "tcp"],
        &["status", "-h"],
        &["version"],
        &["explain", "-c", config],
    ] {
        assert_eq!(lost(words), (Some(74), FULL.to_string()), "{words:?}");
    }
    // What else it says of the file, such as warnings, is no matter here.
    let (code, said) = lost(&["check-config", "-c", config]);
    assert_eq!(code, Some(74));
    assert!(said.ends_with(FULL), "{said}");
    let up = format!("127.0.0.1:{}", peer(drop));
    assert_eq!(lost(&["probe", "tcp", &up]), (Some(0), FULL.to_string()));
}

#[test]
fn a_replay_ends_quietly_with_its_reader_and_not_with_its_disk() {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/failover.conf");
    let replay = |out: Stdio| {
        let mut command = program(&["replay", "-c", config, "port"]);
        let command = command.stdin(Stdio::piped()).stdout(out);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut outcomes = child.stdin.take().unwrap();
        outcomes.write_all(b"0 ok\n5 ok\n").unwrap();
        drop(outcomes);
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        (status.code(), String::from_utf8(stderr).unwrap())
    };
    // Until it starts its program, what another test forks has the reader's end, too.
    let (code, said) = replay(Stdio::piped());
    assert_eq!(code, Some(0));
    assert!(!said.contains("could not"), "{said}");
    let full = std::fs::File::options().write(true).open("/dev/full");
    let (code, said) = replay(full.unwrap().into());
    let why = "failover: replay: what was judged could not be written: No space left on device";
    assert_eq!(code, Some(74));
    assert!(said.starts_with(why), "{said}");
}
