//! A check that hangs makes its component stale, and not the daemon dead.
//!
//! That a dispatcher which hangs turns `/health/live` to 503 is shown in `src/server/reports`, with
//! a listener that hangs: nothing from outside the program can stop one.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;

use crate::house::{House, QUICK, empty};
use crate::support::{client, eventually, rest};

/// A named pipe, which whoever opens it to read waits for.
pub(crate) fn make_pipe(house: &House, name: &str) {
    let path = house.path(name);
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// The other end of a pipe, once somebody reads it, who then hangs until this is dropped.
pub(crate) fn hangs_at(house: &House, name: &str) -> File {
    const O_NONBLOCK: i32 = 0o4000;
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(O_NONBLOCK);
    let mut writer = None;
    eventually("somebody who reads", || {
        // Without any it is refused (fifo(7)).
        writer = options.open(house.path(name)).ok();
        writer.is_some()
    });
    writer.unwrap()
}

fn write_to_pipe(house: &House, name: &str) {
    let mut writer = OpenOptions::new()
        .write(true)
        .open(house.path(name))
        .unwrap();
    writer.write_all(b"ok\n").unwrap();
}

#[test]
fn a_pipe_that_nobody_writes_makes_its_component_stale_and_nothing_else() {
    let mut house = empty();
    house.write("pipe", "ok");
    house.configure(&format!(
        "{QUICK}component pipe\n file DIR/pipe\n contains ok\n stale-after 200ms\n\
         component a\n file /\ncomponent site\n any-of a pipe\n"
    ));
    house.start();
    // On a machine that is busy it may have been stale before; from now on it is so for good.
    house.comes_to("/pipe", "OK");
    make_pipe(&house, "next");
    fs::rename(house.path("next"), house.path("pipe")).unwrap();
    house.comes_to("/pipe", "ERROR");
    assert_eq!(house.get("/pipe").0, 500);
    let line = house.daemon().line_with("state=\"ok -> unknown\"");
    assert!(line.contains("reason=\"stale\""), "{line}");
    let status = house.status();
    assert_eq!(status.of("pipe", "reason"), "\"stale\"");
    assert_eq!(status.value("live"), "true");
    assert_eq!(house.get("/health/live").0, 200);
    assert_eq!(house.metric("failover_live"), 1.0);
    assert_eq!(house.get("/a").0, 200);
    assert_eq!(house.get("/site").0, 200, "one of them is enough");
    assert_eq!(house.get("/health").0, 200, "it counts in the site only");

    let runs = status.number("pipe", "runs");
    write_to_pipe(&house, "pipe");
    eventually("the run has ended", || {
        house.status().number("pipe", "runs") > runs
    });
    house.daemon().line_with("state=\"unknown -> ok\"");
    // It hangs again by now, and neither a reload nor the end waits for it.
    house.comes_to("/pipe", "ERROR");
    house.reload(&format!("{QUICK}component a\n file /\n"));
    assert_eq!(house.get("/pipe").0, 404);
    assert_eq!(house.end_by("-TERM").code(), Some(0));
}

#[test]
fn nobody_waits_for_a_first_outcome_that_is_overdue() {
    let mut house = empty();
    make_pipe(&house, "pipe");
    house.configure(&format!(
        "{QUICK}component pipe\n file DIR/pipe\n contains ok\n stale-after 1s\n"
    ));
    house.start();
    let early = client(house.address(), "GET /pipe HTTP/1.0\r\n\r\n");
    assert!(rest(early).starts_with("HTTP/1.0 500 ERROR"));
    let line = house.daemon().line_with("component=pipe");
    let told = "reason=\"stale\" detail=\"no outcome since the start\" state=\"unknown\"";
    assert!(line.contains(told), "{line}");
    assert_eq!(house.get("/health").0, 503, "critical, and nobody knows");
    assert_eq!(house.get("/health/live").0, 200);
    write_to_pipe(&house, "pipe");
    house.daemon().line_with("component=pipe took=");
}
