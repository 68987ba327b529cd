//! Files that are there, old, strange or not to be read.

use std::fs;
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;

use failover::{Check, FileCheck, Health, minute, second};

use crate::place::{Place, is_alone, is_root};
use crate::support::{PATIENCE, a_moment};

fn said(check: Result<FileCheck, failover::Error>) -> String {
    let outcome = check.unwrap().check();
    format!("{} {}", outcome.health.word(), outcome.reason)
}

fn touch(path: &str, when: &str) {
    let touched = Command::new("touch").args(["-d", when, path]).status();
    assert!(touched.unwrap().success());
}

#[test]
fn a_file_is_there_or_not() {
    let Some(place) = Place::new() else { return };
    let path = place.path("mark");
    assert_eq!(said(FileCheck::new(&path)), "fail file missing");
    let below = place.path("mark/below");
    fs::write(&path, "").unwrap();
    assert_eq!(said(FileCheck::new(&path)), "ok file as expected");
    assert_eq!(said(FileCheck::new(&below)), "fail file missing");
    assert_eq!(said(FileCheck::new(&place.path(""))), "ok file as expected");
    let outcome = FileCheck::new(&path).unwrap().check();
    assert_eq!(outcome.detail, path);
}

#[test]
fn a_file_is_fresh_or_too_old() {
    let Some(place) = Place::new() else { return };
    let path = place.path("mark");
    let fresher = |span| said(FileCheck::new(&path).and_then(|check| check.fresher_than(span)));
    assert_eq!(fresher(minute(1)), "fail file missing");
    fs::write(&path, "").unwrap();
    assert_eq!(fresher(minute(1)), "ok file as expected");
    touch(&path, "10 minutes ago");
    assert_eq!(fresher(minute(1)), "fail file too old");
    assert_eq!(fresher(minute(9)), "fail file too old");
    assert_eq!(fresher(minute(20)), "ok file as expected");
    touch(&path, "2100-01-01");
    assert_eq!(fresher(second(1)), "ok file as expected");
    touch(&path, "1970-01-02");
    let mut check = FileCheck::new(&path)
        .unwrap()
        .fresher_than(minute(1))
        .unwrap();
    let detail = check.check().detail;
    assert!(
        detail.starts_with(&path) && detail.ends_with(" s old"),
        "{detail}"
    );
}

#[test]
fn a_text_is_in_it_or_not() {
    let Some(place) = Place::new() else { return };
    let path = place.path("report");
    let contains = |text| said(FileCheck::new(&path).and_then(|check| check.contains(text)));
    assert_eq!(contains("done"), "fail file missing");
    fs::write(&path, "backup: done\n").unwrap();
    assert_eq!(contains("done"), "ok file as expected");
    assert_eq!(contains("failed"), "fail text missing");
    fs::write(&path, [&vec![0xff; 500_000][..], b"done"].concat()).unwrap();
    assert_eq!(contains("done"), "ok file as expected");
    fs::write(&path, [&vec![b'\n'; 1_048_576][..], b"done"].concat()).unwrap();
    assert_eq!(contains("done"), "fail text missing");
    // Age comes first: what an old report says is no news.
    touch(&path, "1 hour ago");
    let check = FileCheck::new(&path).and_then(|check| check.fresher_than(60)?.contains("done"));
    assert_eq!(said(check), "fail file too old");
    let folder = FileCheck::new(&place.path("")).and_then(|check| check.contains("done"));
    assert_eq!(said(folder), "unknown file unreadable");
}

#[test]
fn a_pipe_that_nobody_writes_hangs_only_when_it_is_read() {
    let Some(place) = Place::new() else { return };
    let path = place.path("pipe");
    let made = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    assert_eq!(said(FileCheck::new(&path)), "ok file as expected");
    let fresh = FileCheck::new(&path).and_then(|check| check.fresher_than(60));
    assert_eq!(said(fresh), "ok file as expected");

    let (sender, outcomes) = channel();
    let mut check = FileCheck::new(&path).unwrap().contains("done").unwrap();
    thread::spawn(move || sender.send(check.check()));
    a_moment();
    assert!(outcomes.try_recv().is_err(), "it did not wait");
    fs::write(&path, "all done").unwrap();
    let outcome = outcomes.recv_timeout(PATIENCE).unwrap();
    assert_eq!(outcome.health, Health::Ok);
}

#[test]
fn what_we_may_not_see_is_unknown() {
    let prepare = if is_root() {
        "exec setpriv --reuid 65534 --regid 65534 --clear-groups"
    } else {
        "exec"
    };
    if !is_alone("file::what_we_may_not_see_is_unknown", prepare) {
        return;
    }
    if fs::read("/proc/1/environ").is_ok() || fs::metadata("/proc/1/environ").is_err() {
        println!("skipped: the first process is ours, or hidden");
        return;
    }
    let unseen = "/proc/1/cwd/.";
    assert_eq!(said(FileCheck::new(unseen)), "unknown file unreadable");
    // Seen and not read.
    let unread = "/proc/1/environ";
    assert_eq!(said(FileCheck::new(unread)), "ok file as expected");
    let check = FileCheck::new(unread).and_then(|check| check.contains("PATH"));
    assert_eq!(said(check), "unknown file unreadable");
}
