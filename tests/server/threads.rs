//! The real program where no thread is to be had any more.

use std::process::{Command, Stdio};

use crate::support::{Daemon, ask, body, status};

/// Runs with rights that the limit of threads counts for, which root's are not.
const AS_ANYBODY: &str = "test $(id -u) = 0 || exec \"$@\"
    exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"";

fn as_anybody(words: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", AS_ANYBODY, "sh"]).args(words);
    command
}

fn can(mut command: Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

#[test]
fn what_needs_a_thread_that_is_not_to_be_had_is_refused_and_told_of() {
    let program = env!("CARGO_BIN_EXE_failover");
    if !can(as_anybody(&[program, "--version"])) {
        println!("skipped: {program:?} cannot be run without root's rights");
        return;
    }
    let mut command = as_anybody(&[program, "run", "-c", "-"]);
    command.stdin(Stdio::piped());
    let config = "server\n listen 127.0.0.1:0\ncomponent a\n file /\n";
    let daemon = Daemon::start(command, config);
    // Once it answers, all has begun that it needs itself.
    let asked = |path| ask(daemon.address, format!("GET {path} HTTP/1.0\r\n\r\n"));
    assert_eq!(status(&asked("/a")), 200);
    let limit = ["prlimit", "--nproc=1:", "--pid", &daemon.pid().to_string()];
    if !can(as_anybody(&limit)) {
        println!("skipped: no limit of threads can be set");
        return;
    }
    let answer = asked("/metrics");
    assert_eq!(status(&answer), 503, "{answer}");
    let why = "no thread for a report could be started: ";
    assert!(
        body(&answer).starts_with(&format!("ERROR: {why}")),
        "{answer}"
    );
    let line = daemon.line_with(why);
    assert!(line.contains("error: "), "{line}");
}
