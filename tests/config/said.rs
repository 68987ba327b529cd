//! What `probe` and `replay` say, where, and with which exit code.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::thread;

use crate::support::{Folder, Said, run};

/// A service of this machine that says a text to whoever connects; ends with the tests.
fn service(text: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.write_all(text.as_bytes());
        }
    });
    address
}

/// Where nobody listens, and where nobody else comes to: it is one end of a connection that stays
/// for as long as the tests.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let address = one.local_addr().unwrap().to_string();
    std::mem::forget((one, listener.accept().unwrap()));
    address
}

/// Runs a probe: standard output up to the time that it took, and standard error.
#[track_caller]
fn probe(words: &[&str]) -> (i32, String, String) {
    let Said { code, out, errors } = run(&[&["probe"], words].concat());
    let out = match out.split_once(" | time=") {
        Some((text, _)) => text.to_string(),
        None => out
            .rsplit_once(" (")
            .map_or(out.clone(), |(text, _)| text.to_string()),
    };
    (code, out, errors)
}

#[test]
fn checks_of_other_machines_are_probed_from_words() {
    let (mail, dead) = (service("220 x ESMTP\r\n"), nobody());
    let web = service("HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nfine");
    let url = format!("http://{web}/");
    let timeout = ["timeout", "10s"];
    for (kind, settings, code, said) in [
        (
            &["tcp", &mail][..],
            &["expect", "220"][..],
            0,
            "OK text found: ",
        ),
        (
            &["tcp", &mail],
            &["expect", "+PONG"],
            1,
            "FAIL text missing: ",
        ),
        (
            &["http", &url],
            &["expect-body", "fine", "header", "A", "b"],
            0,
            "OK http answered: 200 OK",
        ),
        (
            &["http", &url],
            &["expect-status", "204"],
            1,
            "FAIL http status not expected: 200 OK",
        ),
        // As a shell hands on what stands in its quotes.
        (
            &["tcp", &mail],
            &["send", r"PING\r\n", "expect", r"\x3220 x"],
            0,
            "OK text found: ",
        ),
        (
            &["tls", &mail],
            &["sni", "a.example"],
            1,
            "FAIL tls not spoken: plain text: 220 x",
        ),
        (
            &["postgres", &mail],
            &["user", "x"],
            1,
            "FAIL answer malformed: ",
        ),
        (
            &["smtp", &dead],
            &["helo", "x"],
            1,
            "FAIL tcp connect refused: ",
        ),
        (
            &["dns", "localhost", "server", &dead],
            &["type", "A", "expect", "127.0.0.1", "no-recursion"],
            1,
            "FAIL dns server unreachable: ",
        ),
    ] {
        let (exit, out, errors) = probe(&[kind, settings, &timeout].concat());
        assert_eq!((exit, errors.as_str()), (code, ""), "{kind:?}: {out}");
        assert!(out.starts_with(said), "{out}");
    }
}

#[test]
fn checks_of_this_machine_are_probed_from_words() {
    let folder = Folder::new();
    folder.write("f", b"42\n", 0o600);
    folder.write("pid", b"banana\n", 0o600);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (file, missing, pidfile) = (path("f"), path("g"), path("pid"));
    let unreadable = format!(
        "ERROR traffic source unreadable: {missing}: No such file or directory (os error 2)"
    );
    for (words, code, said) in [
        (
            &["file", &file, "fresher-than", "1h", "contains", "42"][..],
            0,
            format!("OK file as expected: {file}"),
        ),
        (
            &["file", &missing],
            1,
            format!("FAIL file missing: {missing}"),
        ),
        (
            &["process", "no-such-daemon"],
            1,
            "FAIL process missing: no-such-daemon".into(),
        ),
        (
            &["process", "pidfile", &pidfile],
            1,
            format!("FAIL pidfile malformed: {pidfile}"),
        ),
        (
            &["haproxy-traffic", &missing, "web/web1", "window", "1m"],
            1,
            unreadable.clone(),
        ),
        (
            &["5xx-rate", "2%", "access-log", &missing],
            1,
            unreadable.clone(),
        ),
        (
            &["timeout", "10s", "exec", "echo", "a", "timeout"],
            0,
            "OK exec passed: a timeout".into(),
        ),
        (
            &["exec", "false"],
            1,
            "FAIL exec failed: exit code 1".into(),
        ),
        (
            &["value", "depth", "below", "1", "exec", "echo", "depth", "5"],
            1,
            "FAIL value beyond limit: depth is 5, expected below 1".into(),
        ),
    ] {
        assert_eq!(probe(words), (code, said, String::new()), "{words:?}");
    }
}

#[test]
fn exec_comes_last_and_nagios_has_its_own_codes() {
    let script = |exit: u8| format!("echo 'a|b'; exit {exit}");
    for (exit, plain, nagios, said) in [
        (0, 0, 0, "FAILOVER OK - exec passed: a/b"),
        (1, 0, 1, "FAILOVER WARNING - exec warned: a/b"),
        (2, 1, 2, "FAILOVER CRITICAL - exec failed: a/b"),
        (3, 1, 3, "FAILOVER UNKNOWN - exec unknown: a/b"),
    ] {
        let script = script(exit);
        let words = ["exit-codes", "nagios", "exec", "/bin/sh", "-c", &script];
        let (code, _, errors) = probe(&words);
        assert_eq!((code, errors.as_str()), (plain, ""));
        let (code, out, errors) = probe(&[&["--nagios"], &words[..]].concat());
        assert_eq!((code, out.as_str(), errors.as_str()), (nagios, said, ""));
    }
    // Options of the program are its own.
    let (code, out, _) = probe(&["exec", "/bin/echo", "--nagios"]);
    assert_eq!((code, out.as_str()), (0, "OK exec passed: --nagios"));
}

#[test]
fn wrong_words_of_a_probe_are_told_with_its_usage() {
    let usage = "usage: failover probe [--nagios] tcp HOST:PORT | http URL | exec PROGRAM | ... \
                 [SETTING]...\n";
    for (words, message) in [
        (
            &["timeout", "1s"][..],
            "expected one check, such as: tcp HOST:PORT",
        ),
        (
            &["heartbeat"],
            "\"heartbeat\" asks nobody by itself; expected one check, such as: tcp HOST:PORT",
        ),
        (
            &["all-of", "a"],
            "\"all-of\" asks nobody by itself; expected one check, such as: tcp HOST:PORT",
        ),
        (
            &["process", "timeout", "1s"],
            "\"process\" is followed by nothing; expected NAME | pidfile PATH, such as: process \
             postgres",
        ),
        (
            &["exec"],
            "\"exec\" is followed by nothing; expected PROGRAM [ARGUMENT...], such as: exec \
             /usr/lib/failover/check-queue --max 100",
        ),
        (
            &["tcp", "a:1", "sni", "x"],
            "\"sni\" is not for \"tcp\"; expected it with tls",
        ),
        (
            &["tcp", "a:1", "timeout", "1s", "timeout", "2s"],
            "\"timeout\" stands twice; expected it once",
        ),
        (
            &["tcp", "a:1", "-v"],
            "\"-v\" is no keyword; 'failover help' lists them",
        ),
        (
            &["htpp", "a:1"],
            "\"htpp\" is no keyword; did you mean \"http\"?",
        ),
        (
            &["http", "https://a/"],
            "https:// needs a build with the feature tls; `tls HOST:PORT` checks that TLS is \
             spoken, `exec` can run a program that verifies",
        ),
        (
            &["tcp", "a:1", "send", r"PING\q"],
            r#""\q" is no escape; expected \" \\ \n \r \t or \xNN"#,
        ),
        (
            &["tcp", "a:1", "expect", r"PONG\"],
            r#""\" is no escape; expected \" \\ \n \r \t or \xNN"#,
        ),
        (
            &["listen", "127.0.0.1:1"],
            "\"listen\" has no place in \"a probe\"; expected it in \"server\"",
        ),
    ] {
        for (option, code) in [(&[][..], 1), (&["--nagios"], 3)] {
            let words = [option, words].concat();
            let errors = format!("failover: probe: {message}\n{usage}");
            assert_eq!(probe(&words), (code, String::new(), errors), "{words:?}");
        }
    }
}

const CONFIG: &str = "server
    default web
component web
    http http://10.0.0.5/health
    every 5s fast 1s
    timeout 500ms
    layer business
    why \"a deploy restarts in under 2s\"
    critical no
component asked
    tcp 127.0.0.1:25
    on-request
component beat
    heartbeat
    every 5m
    grace 1m
    depends-on web
component site
    all-of web beat
    fail-after 10s
component traffic
    access-log /var/log/nginx/access.log
    window 1m
    delay 30s
component program
    exec /bin/true
    timeout 1s
    manual-reset
";

fn with_config() -> Folder {
    let folder = Folder::new();
    folder.write("failover.conf", CONFIG.as_bytes(), 0o600);
    folder
}

#[test]
fn replay_writes_a_line_for_a_line_and_the_summary_elsewhere() {
    let folder = with_config();
    let replay = |input: &str| folder.run(&["replay", "-c", "failover.conf", "web"], input);
    let said = replay("0 ok\n5 fail tcp connect refused\n6 fail\n7 fail\n12 ok\n13 warn\n14 ok\n");
    assert_eq!(said.code, 0);
    assert_eq!(
        said.out,
        "0 ok OK healthy\n5 fail OK suspicious\n6 fail OK suspicious\n7 fail FAIL unhealthy\n\
         12 ok FAIL recovering\n13 warn FAIL recovering\n14 ok OK healthy\n"
    );
    assert_eq!(said.errors, SUMMARY);
    let stale = replay("0 ok\n100 unknown not ours\n");
    assert_eq!(stale.out, "0 ok OK healthy\n100 unknown ERROR unknown\n");
    // What follows others and what waits for reports has no pace of its own to be late for.
    for name in ["site", "beat"] {
        let said = folder.run(&["replay", "-c", "failover.conf", name], "0 ok\n600 ok\n");
        assert!(said.errors.contains("ERROR 0s"), "{}", said.errors);
    }
    let usage = "usage: failover replay [-c FILE] NAME < OUTCOMES\n";
    for (input, out, message) in [
        (
            "0 ok\nbanana\n",
            "0 ok OK healthy\n",
            "line 2: \"banana\" is not a time; expected seconds such as 0 or 1700000000.25",
        ),
        (
            "1 ok\n0 ok\n",
            "1 ok OK healthy\n",
            "line 2: \"0\" is before the line above; expected seconds that never go backwards",
        ),
        (
            "0 reset\n",
            "",
            "line 1: \"reset\" without a manual reset; expected an outcome",
        ),
    ] {
        let errors = format!("failover: replay: {message}\n");
        assert_eq!(
            replay(input),
            Said {
                code: 64,
                out: out.to_string(),
                errors
            }
        );
    }
    for (names, message) in [
        (&[][..], "expected the NAME of one component"),
        (&["web", "site"], "expected the NAME of one component"),
        (&["webb"], "there is no component \"webb\""),
    ] {
        let words = [&["replay", "-c", "failover.conf"], names].concat();
        let errors = format!("failover: replay: {message}\n{usage}");
        assert_eq!(
            folder.run(&words, ""),
            Said {
                code: 64,
                out: String::new(),
                errors
            }
        );
    }
}

const SUMMARY: &str = "# 7 outcomes: 3 ok, 1 warn, 3 fail, 0 unknown
# 0 ERROR -> OK
# 7 OK -> FAIL
# 14 FAIL -> OK
# 3 changes; OK for 7s, FAIL 7s, ERROR 0s
# availability 50.000%
";
