//! What the commands say that ask a daemon, and how they go on without it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use crate::house::{House, QUICK, house};
use crate::support::{FULL, PATIENCE, ended, lost, program};

/// `failover events --follow`, and the lines that it says.
fn follow(house: &House) -> (Child, Receiver<String>) {
    let mut command = program(&["events", "-c", &house.path("conf"), "--follow"]);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let (tell, told) = channel();
    thread::spawn(move || {
        let mut lines = out.lines();
        while let Some(Ok(line)) = lines.next() {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    (child, told)
}

/// The next event is the first change of this component.
fn begins(told: &Receiver<String>, number: u64, name: &str) {
    let line = told.recv_timeout(PATIENCE).unwrap();
    assert!(line.starts_with(&format!("{number} ")), "{line}");
    assert!(line.contains(&format!(" component={name} ")), "{line}");
    assert!(line.contains("state=\"unknown -> "), "{line}");
}

#[test]
fn who_follows_the_events_has_each_once_over_a_restart_too() {
    let mut house = house(&format!("{QUICK}component a\n file DIR/a\n"));
    let (mut child, told) = follow(&house);
    begins(&told, 1, "a");
    // As many in the next run as in this one, so that numbers alone do not tell them apart.
    house.end_by("-TERM");
    house.write("a", "");
    house.start();
    begins(&told, 1, "a");
    house.remove("a");
    let line = told.recv_timeout(PATIENCE).unwrap();
    assert!(
        line.starts_with("2 ") && line.contains("ok -> fail"),
        "{line}"
    );
    house.end_by("-TERM");
    house.start();
    begins(&told, 1, "a");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        told.recv_timeout(PATIENCE).is_err(),
        "nothing more was told"
    );
}

#[test]
fn who_follows_the_events_ends_with_its_reader() {
    let house = house(&format!("{QUICK}component a\n file DIR/a\n"));
    let mut command = program(&["events", "-c", &house.path("conf"), "--follow"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    assert!(line.starts_with("1 "), "{line}");
    drop(out);
    // Nothing happens any more that it could fail to say.
    assert_eq!(ended(&mut child).code(), Some(0));
}

#[test]
fn a_name_that_is_none_is_quoted() {
    let house = house(&format!("{QUICK}component a\n file DIR/a\n"));
    let says = |words: &[&str], code: i32, text: &str| {
        let conf = house.path("conf");
        let words = [&[words[0], "-c", &conf], &words[1..]].concat();
        let output = program(&words).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.as_str()), (Some(code), text));
    };
    let none = "failover: there is no component \"b\"\n";
    says(&["reset", "b"], 64, none);
    says(&["maint", "b", "drain"], 64, none);
    let text = "failover: \"a\" has no manual reset; expected one with \"manual-reset\"\n";
    says(&["reset", "a"], 64, text);
}

#[test]
fn what_cannot_be_written_is_no_success() {
    let house = house(&format!("{QUICK}component a\n file DIR/a\n"));
    let conf = house.path("conf");
    for words in [&["status"][..], &["events"], &["events", "--follow"]] {
        let words = [words, &["-c", &conf]].concat();
        assert_eq!(lost(&words), (Some(74), String::from(FULL)), "{words:?}");
    }
    let words = ["maint", "-c", &conf, "a", "drain"];
    assert_eq!(lost(&words), (Some(74), String::from(FULL)));
}

#[test]
fn status_says_the_whole_detail_in_one_line() {
    let house = house("component backup\n heartbeat\n every 1h\n");
    let why = format!("{} and no space on /srv", "disk 91 % full, ".repeat(20));
    assert_eq!(house.admin("POST", "/backup?status=warn", &why).0, 200);
    let command = program(&["status", "-c", &house.path("conf")]).output();
    let said = String::from_utf8(command.unwrap().stdout).unwrap();
    let line = said.lines().find(|line| line.contains(" backup ")).unwrap();
    let ending = format!("  heartbeat says warn: {why}");
    assert!(line.ends_with(&ending), "{said}");
}
