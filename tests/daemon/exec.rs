//! Programs over reloads: never two of one component at a time. And what they leave behind.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::house::{House, QUICK, empty, house};
use crate::support::{a_moment, eventually};

/// Counts its runs, goes on while the file `hold` is there, and says in `two` that another is on.
const JOB: &str = "echo >> DIR/runs; mkdir DIR/on || echo > DIR/two; \
                   while test -e DIR/hold; do sleep 0.02; done; rmdir DIR/on";

fn config(script: &str, timeout: &str) -> String {
    format!(
        "{QUICK}component b\n file /\n\
         component a\n exec sh -c \"{script}\"\n timeout {timeout}\n every 1h\n stale-after 2h\n"
    )
}

fn is_there(house: &House, name: &str) -> bool {
    Path::new(&house.path(name)).exists()
}

fn runs(house: &House) -> usize {
    house.read("runs").lines().count()
}

#[test]
fn one_that_takes_the_place_of_another_waits_for_what_that_one_runs() {
    let mut house = empty();
    house.write("hold", "");
    house.configure(&config(JOB, "30s"));
    house.start();
    eventually("a run", || runs(&house) == 1 && is_there(&house, "on"));
    house.reload(&config(JOB, "31s"));
    a_moment();
    assert_eq!(runs(&house), 1, "it waits, and the reload does not");
    house.remove("hold");
    eventually("the next run", || runs(&house) == 2);
    house.comes_to("/a", "OK");

    // One that is removed ends in its own time, also when it is put back meanwhile.
    house.write("hold", "");
    house.reload(&config(JOB, "32s"));
    eventually("a run", || runs(&house) == 3 && is_there(&house, "on"));
    house.reload(&format!("{QUICK}component b\n file /\n"));
    assert_eq!(house.get("/a").0, 404);
    house.reload(&config(JOB, "32s"));
    a_moment();
    assert_eq!(runs(&house), 3);
    house.remove("hold");
    house.comes_to("/a", "OK");
    assert_eq!(runs(&house), 4);
    assert!(!is_there(&house, "two"), "two were on at a time");
}

#[test]
fn one_whose_time_is_over_by_the_new_configuration_is_ended() {
    let hangs = "echo $$ > DIR/pid; mkdir DIR/on; exec sleep 1000";
    let house = house(&config(hangs, "30m"));
    eventually("a run", || is_there(&house, "on"));
    house.reload(&config("! kill -0 $(cat DIR/pid)", "1s"));
    house.comes_to("/a", "OK");
}

/// Has the daemon wait for one descriptor at a time at most, or for so many again (poll(2)).
fn limit_waits(house: &House, descriptors: &str) -> bool {
    let mut command = Command::new("prlimit");
    command.args(["--pid", &house.daemon().pid().to_string()]);
    command.arg(format!("--nofile={descriptors}:"));
    command.status().is_ok_and(|status| status.success())
}

#[test]
fn what_runs_while_the_system_lets_nobody_wait_for_it_has_not_failed() {
    let job = "echo > DIR/on; while test -e DIR/hold; do sleep 0.02; done";
    let mut house = empty();
    house.configure(&config(job, "30s"));
    house.write("hold", "");
    house.start();
    eventually("a run", || is_there(&house, "on"));
    if !limit_waits(&house, "1") {
        println!("skipped: no limit of descriptors can be set");
        return;
    }
    // It looks once a second.
    let began = Instant::now();
    eventually("a look", || began.elapsed() > Duration::from_secs(2));
    house.remove("hold");
    assert!(limit_waits(&house, "1000"));
    house.comes_to("/a", "OK");
    assert_eq!(house.status().number("a", "failures"), 0.0);
}

/// Whether this process is there and has not ended.
fn runs_yet(id: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    state.is_some_and(|state| !"ZX".contains(state))
}

#[test]
fn what_ignores_that_it_is_told_to_end_does_not_outlive_the_daemon() {
    let hangs = "trap '' TERM; sleep 1000 & echo $$ $! > DIR/new; mv DIR/new DIR/pids; wait";
    let mut house = house(&config(hangs, "30m"));
    eventually("a run", || is_there(&house, "pids"));
    let pids = house.read("pids");
    assert!(pids.split_whitespace().all(runs_yet), "{pids}");
    assert_eq!(house.end_by("-TERM").code(), Some(0));
    // Nobody but their parent, which is gone, could wait for those that were killed.
    eventually("none that runs", || !pids.split_whitespace().any(runs_yet));
}

#[test]
fn what_is_ended_with_the_daemon_may_tidy_up_and_has_failed_nothing() {
    let job = "test -e DIR/hold || exit 0; \
               trap 'echo > DIR/tidied; exit 1' TERM; echo > DIR/on; while :; do sleep 0.02; done";
    let mut house = empty();
    house.configure(&format!(
        "{QUICK}component a\n exec sh -c \"{job}\"\n timeout 30s\n track-file DIR/track\n"
    ));
    house.start();
    eventually("it is ok", || house.read("track").starts_with('0'));
    house.write("hold", "");
    eventually("a run", || is_there(&house, "on"));
    let known = house.read("track");
    assert_eq!(house.end_by("-TERM").code(), Some(0));
    assert!(is_there(&house, "tidied"));
    assert_eq!(house.read("track"), known);
}

/// The processes whose parent this is, with their states (proc_pid_stat(5)).
fn children_of(parent: u32) -> Vec<(u32, String)> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let stat = fs::read_to_string(format!("/proc/{name}/stat")).unwrap_or_default();
        let rest = stat.rsplit(") ").next().unwrap_or_default();
        let fields: Vec<&str> = rest.split(' ').collect();
        if let (Ok(id), Some(Ok(of))) = (name.parse(), fields.get(1).map(|it| it.parse::<u32>())) {
            if of == parent {
                children.push((id, fields[0].to_string()));
            }
        }
    }
    children
}

#[test]
fn process_1_reaps_what_its_programs_leave_behind_and_takes_no_status_from_them() {
    let mut house = empty();
    house.configure(&format!(
        "{QUICK}component a\n exec sh -c \"setsid -f true; sleep 1000 & exit 0\"\n timeout 30s\n"
    ));
    let apart = ["-rpf", "--kill-child", "--mount-proc"];
    let can = Command::new("unshare").args(apart).arg("true").output();
    if !can.is_ok_and(|output| output.status.success()) {
        println!("skipped: no process number 1 to be had");
        return;
    }
    let daemon = house.run();
    let mut command = Command::new("unshare");
    command.args(apart).arg(daemon.get_program());
    house.start_as({
        command.args(daemon.get_args());
        command
    });
    house.comes_to("/a", "OK");
    eventually("50 runs", || house.status().number("a", "runs") > 50.0);
    assert_eq!(house.status().number("a", "failures"), 0.0);
    assert_eq!(house.status().number("a", "unknowns"), 0.0);
    let (daemon, _) = children_of(house.daemon().pid())[0];
    eventually("none that has ended and is there", || {
        children_of(daemon).iter().all(|(_, state)| state != "Z")
    });
}
