//! Track-files, as keepalived reads them (track_file in keepalived.conf(5)).

use crate::house::{House, QUICK, empty, house};
use crate::support::{a_moment, eventually};

#[track_caller]
fn says(house: &House, file: &str, text: &str) {
    eventually(&format!("{file} says {text:?}"), || {
        house.read(file) == text
    });
}

#[test]
fn it_follows_every_transition_and_stays_at_the_end() {
    let mut house = house(&format!(
        "{QUICK}component a\n file DIR/a\n track-file DIR/a.track\n\
         component b\n file DIR/a\n track-file DIR/b.track values 5 -20\n"
    ));
    says(&house, "a.track", "1\n");
    says(&house, "b.track", "-20\n");
    for _ in 0..3 {
        house.write("a", "");
        says(&house, "a.track", "0\n");
        says(&house, "b.track", "5\n");
        house.remove("a");
        says(&house, "a.track", "1\n");
        says(&house, "b.track", "-20\n");
    }
    house.maintain("a", "mode=hold");
    house.write("a", "");
    says(&house, "b.track", "5\n");
    a_moment();
    assert_eq!(house.read("a.track"), "1\n", "it says what is answered");
    house.maintain("a", "mode=off");
    says(&house, "a.track", "0\n");
    house.maintain("a", "mode=drain");
    says(&house, "a.track", "1\n");
    assert_eq!(house.end_by("-TERM").code(), Some(0));
    assert_eq!(house.read("a.track"), "1\n");
    assert_eq!(house.read("b.track"), "5\n");
}

#[test]
fn nothing_is_claimed_before_the_first_outcome_nor_while_nothing_is_known() {
    let mut house = empty();
    // What another life of it left there.
    house.write("left.track", "1\n");
    house.configure(&format!(
        "{QUICK}component uplink\n file DIR/uplink\n\
         component waits\n file /\n delay 1h\n stale-after 1h\n track-file DIR/waits.track\n\
         component left\n file /\n start ok\n delay 1h\n stale-after 1h\n \
         track-file DIR/left.track\n\
         component starts\n file /\n start ok\n track-file DIR/starts.track\n\
         component behind\n file /\n only-if uplink\n stale-after 100ms\n \
         track-file DIR/behind.track\n"
    ));
    house.start();
    says(&house, "starts.track", "0\n");
    house.comes_to("/behind", "ERROR");
    assert_eq!(house.word("/left"), "OK", "as it starts");
    assert_eq!(house.read("waits.track"), "");
    assert_eq!(house.read("left.track"), "1\n");
    assert_eq!(house.read("behind.track"), "");

    house.write("uplink", "");
    says(&house, "behind.track", "0\n");
    house.remove("uplink");
    house.comes_to("/behind", "ERROR");
    a_moment();
    assert_eq!(
        house.read("behind.track"),
        "0\n",
        "as long as nothing else is known"
    );
}

#[test]
fn one_that_a_reload_brings_says_the_state_at_once() {
    let config = |lines: &str| format!("{QUICK}component a\n file /\n every 1h\n{lines}");
    let config = |lines: &str| config(lines).replace("1m", "2h");
    let house = house(&config(""));
    house.comes_to("/a", "OK");
    house.reload(&config(" track-file DIR/one\n"));
    says(&house, "one", "0\n");
    house.reload(&config(" track-file DIR/one values 7 8\n"));
    says(&house, "one", "7\n");
}

#[test]
fn one_that_could_not_be_written_is_let_go_by_a_reload() {
    let config = |file: &str| {
        format!(
            "{QUICK}component a\n file /\n track-file DIR/{file}\n\
             component b\n file /\n delay 200ms\n track-file DIR/missing/b\n"
        )
    };
    let mut house = house(&config("missing/a"));
    let told = ["a", "b"].map(|name| format!("missing/{name}\" cannot be written"));
    house
        .daemon()
        .lines_with(&told.each_ref().map(String::as_str));
    house.reload(&config("a.track"));
    says(&house, "a.track", "0\n");
    std::fs::create_dir(house.path("missing")).unwrap();
    says(&house, "missing/b", "0\n");
    assert_eq!(house.end_by("-TERM").code(), Some(0));
    assert!(!std::path::Path::new(&house.path("missing/a")).exists());
}
