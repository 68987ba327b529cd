//! Programs over reloads: never two of one component at a time.

use std::path::Path;

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
