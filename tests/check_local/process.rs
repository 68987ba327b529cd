//! Processes that run, have ended, or only look like it.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{self, Child, Command};
use std::thread;

use failover::{Check, ProcessCheck};

use crate::place::Place;
use crate::support::eventually;

fn said(check: Result<ProcessCheck, failover::Error>) -> String {
    let outcome = check.unwrap().check();
    format!("{} {}", outcome.health.word(), outcome.reason)
}

const RUNS: &str = "ok process running";
const MISSING: &str = "fail process missing";

/// A program of this name that sleeps until it is killed.
struct Sleeper {
    child: Child,
    path: String,
}

impl Sleeper {
    fn new(place: &Place, name: &str, called: Option<&str>) -> Sleeper {
        let path = place.path(name);
        // Not written here: see `Place::script`.
        let copied = Command::new("cp").args(["/bin/sleep", &path]).status();
        assert!(copied.unwrap().success());
        let mut command = Command::new(&path);
        if let Some(called) = called {
            command.arg0(called);
        }
        let child = command.arg("1000").spawn().unwrap();
        // Its names are not there at once.
        let line = format!("/proc/{}/cmdline", child.id());
        eventually("a name", || {
            fs::read(&line).is_ok_and(|line| line.ends_with(b"1000\0"))
        });
        Sleeper { child, path }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_process_has_a_name() {
    let Some(place) = Place::new() else { return };
    let name = format!("fo{}", process::id());
    assert_eq!(said(ProcessCheck::named(&name)), MISSING);
    let mut sleeper = Sleeper::new(&place, &name, None);
    assert_eq!(said(ProcessCheck::named(&name)), RUNS);
    let outcome = ProcessCheck::named(&name).unwrap().check();
    assert_eq!(
        outcome.detail,
        format!("{name}, process {}", sleeper.child.id())
    );
    // Not a part of it, nor what only is an argument of others.
    assert_eq!(said(ProcessCheck::named(&name[..name.len() - 1])), MISSING);
    assert_eq!(said(ProcessCheck::named("1000")), MISSING);

    // A zombie is there, and does not count.
    sleeper.child.kill().unwrap();
    eventually("no process", || said(ProcessCheck::named(&name)) == MISSING);
    assert!(fs::exists(format!("/proc/{}", sleeper.child.id())).unwrap());
}

#[test]
fn a_long_name_is_not_taken_for_another_that_begins_like_it() {
    let Some(place) = Place::new() else { return };
    let name = format!("a-rather-long-name-{}", process::id());
    let sleeper = Sleeper::new(&place, &name, None);
    assert_eq!(said(ProcessCheck::named(&name)), RUNS);
    // What the kernel keeps is a name as well.
    assert_eq!(said(ProcessCheck::named(&name[..15])), RUNS);
    assert_eq!(said(ProcessCheck::named(&name[..16])), MISSING);
    assert_eq!(said(ProcessCheck::named(&format!("{name}-2"))), MISSING);
    drop(sleeper);
    assert_eq!(said(ProcessCheck::named(&name)), MISSING);

    // Called by another name, and with its file gone since.
    let sleeper = Sleeper::new(&place, &name, Some("/somewhere/called-so"));
    assert_eq!(said(ProcessCheck::named("called-so")), RUNS);
    assert_eq!(said(ProcessCheck::named(&name)), RUNS);
    fs::remove_file(&sleeper.path).unwrap();
    assert_eq!(said(ProcessCheck::named(&name)), RUNS);
}

#[test]
fn a_pidfile_names_a_process() {
    let Some(place) = Place::new() else { return };
    let path = place.path("daemon.pid");
    let check = || said(ProcessCheck::pidfile(&path));
    assert_eq!(check(), "fail pidfile missing");
    for wrong in ["", "\n", "daemon\n", "-1\n", "99999999999\n"] {
        fs::write(&path, wrong).unwrap();
        assert_eq!(check(), "fail pidfile malformed", "{wrong:?}");
    }
    let name = format!("fo-{}", process::id());
    let mut sleeper = Sleeper::new(&place, &name, None);
    fs::write(&path, format!("{}\n", sleeper.child.id())).unwrap();
    assert_eq!(check(), RUNS);
    let and_named = |name| said(ProcessCheck::pidfile(&path).and_then(|a| a.and_named(name)));
    assert_eq!(and_named(&name), RUNS);
    assert_eq!(and_named("another"), MISSING);

    sleeper.child.kill().unwrap();
    eventually("a zombie", || check() == MISSING);
    sleeper.child.wait().unwrap();
    assert_eq!(check(), MISSING);
    // More than Linux ever gives.
    fs::write(&path, "2147483647\n").unwrap();
    assert_eq!(check(), MISSING);
    assert_eq!(
        said(ProcessCheck::pidfile(&place.path(""))),
        "unknown file unreadable"
    );
}

#[test]
fn a_thread_is_no_process() {
    let Some(place) = Place::new() else { return };
    let own = process::id().to_string();
    let path = place.path("thread.pid");
    let asked = thread::spawn(move || {
        let link = fs::read_link("/proc/thread-self").unwrap();
        fs::write(&path, link.file_name().unwrap().to_str().unwrap()).unwrap();
        assert_eq!(said(ProcessCheck::pidfile(&path)), MISSING);
        fs::write(&path, &own).unwrap();
        assert_eq!(said(ProcessCheck::pidfile(&path)), RUNS);
    });
    asked.join().unwrap();
}
