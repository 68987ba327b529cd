//! A log that a test writes and rotates.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use failover::{AccessLogCheck, Check, Health, ManualClock, TrafficRules};

use crate::{Folder, TOO_LITTLE, assert_outcome, words};

/// A log that a test writes, and a check that has looked at it once.
struct Logged {
    folder: Folder,
    file: File,
    clock: ManualClock,
    check: AccessLogCheck,
}

impl Logged {
    fn new(rules: TrafficRules) -> Logged {
        let folder = Folder::new();
        let mut file = File::create(folder.file("log")).unwrap();
        // Old lines are no news.
        writeln!(file, "{}", line(500).repeat(50)).unwrap();
        let clock = ManualClock::new();
        let mut check = AccessLogCheck::new(folder.file("log"))
            .unwrap()
            .rules(rules)
            .clock(Arc::new(clock.clone()));
        assert_eq!(words(&check.check()), TOO_LITTLE);
        Logged {
            folder,
            file,
            clock,
            check,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.file("log")
    }

    fn write(&mut self, text: impl AsRef<[u8]>) {
        self.file.write_all(text.as_ref()).unwrap();
    }

    fn run(&mut self) -> String {
        self.clock.advance(Duration::from_secs(5));
        self.check.check().to_string()
    }

    /// How many requests the window has, and how many of them were answered with a 5xx.
    #[track_caller]
    fn assert_seen(&mut self, requests: u32, server_errors: u32) {
        let seen = self.run();
        let expected = format!("5xx {server_errors} of {requests} requests");
        assert!(seen.contains(&expected), "{seen}; expected {expected}");
    }
}

/// Every request is told of, since any 5xx is too many.
fn strict() -> TrafficRules {
    let rules = TrafficRules::new().server_errors("0%").unwrap();
    rules.min_requests(1).unwrap()
}

fn line(status: u16) -> String {
    format!("::1 - - [21/Nov/2026:06:26:41 +0000] \"GET / HTTP/1.1\" {status} 2 \"-\" \"curl\"\n")
}

#[test]
fn lines_count_once_and_for_as_long_as_the_window() {
    let mut log = Logged::new(TrafficRules::new().window("10s").unwrap());
    log.write(line(200).repeat(19));
    assert_eq!(
        log.run(),
        "traffic too little: 19 requests in 5s, expected at least 20"
    );
    log.write(line(502).repeat(2));
    assert_eq!(
        log.run(),
        "traffic 5xx rate: 5xx 2 of 21 requests in 10s (9.5%), expected at most 5%; \
         errors 2 of 21 requests in 10s (9.5%), expected at most 5%"
    );
    log.write(line(200).repeat(38));
    assert_eq!(
        log.run(),
        "traffic normal: 40 requests in 10s, 5xx 5.0%, errors 5.0%"
    );
    log.write(line(404));
    assert_eq!(
        log.run(),
        "traffic normal: 39 requests in 10s, 5xx 0.0%, errors 0.0%"
    );
}

#[test]
fn a_log_that_is_renamed_and_made_anew_is_followed_without_a_gap() {
    let mut log = Logged::new(strict());
    log.write(line(500));
    let (path, old) = (log.path(), log.folder.file("log.1"));
    fs::rename(&path, &old).unwrap();
    log.write(line(500));
    // Its writer has not been told yet, and the new file is not there yet.
    log.assert_seen(2, 2);
    let mut new = File::create(&path).unwrap();
    new.write_all(line(200).as_bytes()).unwrap();
    log.write(line(500));
    log.assert_seen(4, 3);
    // Both are written at the same time.
    log.write(line(500));
    new.write_all(line(200).as_bytes()).unwrap();
    log.assert_seen(6, 4);
    log.file = new;
    fs::remove_file(&old).unwrap();
    log.write(line(500));
    log.assert_seen(7, 5);
}

#[test]
fn a_quiet_log_that_is_renamed_is_followed_as_long_as_any_other() {
    let mut log = Logged::new(strict());
    for _ in 0..20 {
        log.run();
    }
    fs::rename(log.path(), log.folder.file("log.1")).unwrap();
    File::create(log.path()).unwrap();
    log.run();
    log.run();
    // Only now its writer is told.
    log.write(line(500));
    log.assert_seen(1, 1);
}

#[test]
fn a_log_that_is_cut_to_nothing_is_read_from_its_start() {
    let mut log = Logged::new(strict());
    log.write(line(500).repeat(3));
    log.assert_seen(3, 3);
    log.write("the beginning of a line");
    log.assert_seen(3, 3);
    log.file.set_len(0).unwrap();
    log.file = OpenOptions::new().append(true).open(log.path()).unwrap();
    log.write(line(500));
    log.assert_seen(4, 4);
}

#[test]
fn a_line_counts_when_its_end_has_come() {
    let mut log = Logged::new(strict());
    let whole = line(500);
    let (begin, end) = whole.split_at(whole.len() - 20);
    log.write(begin);
    assert!(log.run().starts_with("traffic too little"));
    log.write(end);
    log.assert_seen(1, 1);
    log.write(line(500).replace('\n', "\r\n"));
    log.assert_seen(2, 2);
    // One that has no end, and then has.
    for _ in 0..3 {
        log.write(vec![b'x'; 100_000]);
        log.assert_seen(2, 2);
    }
    log.write(format!("\n{}", line(500)));
    log.assert_seen(3, 3);
    // Bytes that are no text are no panic.
    log.write([&(0..=255).collect::<Vec<u8>>(), line(500).as_bytes()].concat());
    log.write(line(500));
    log.assert_seen(4, 4);
}

#[test]
fn a_check_that_begins_within_a_line_leaves_that_out() {
    let folder = Folder::new();
    let mut file = File::create(folder.file("log")).unwrap();
    let whole = line(500);
    let (begin, end) = whole.split_at(20);
    file.write_all(begin.as_bytes()).unwrap();
    let mut check = AccessLogCheck::new(folder.file("log"))
        .unwrap()
        .rules(strict());
    assert_eq!(words(&check.check()), TOO_LITTLE);
    file.write_all(end.as_bytes()).unwrap();
    assert_eq!(words(&check.check()), TOO_LITTLE);
    file.write_all(whole.as_bytes()).unwrap();
    assert_outcome(&mut check, Health::Fail, "traffic 5xx rate", "5xx 1 of 1");
}

#[test]
fn a_flood_is_skipped_and_that_is_said() {
    let mut log = Logged::new(strict());
    log.write(line(500).repeat(150_000));
    log.write(line(200));
    let seen = log.run();
    let skipped = 150_001 * line(500).len() - 8 * 1024 * 1024;
    let skipped = format!("; {} KiB too many to read", skipped.div_ceil(1024));
    assert!(seen.ends_with(&skipped), "{seen}; expected {skipped}");
    let requests = 8 * 1024 * 1024 / line(500).len();
    assert!(seen.contains(&format!("of {requests} requests")), "{seen}");
    log.write(line(500));
    let seen = log.run();
    assert!(
        seen.contains(&format!("of {} requests", requests + 1)),
        "{seen}"
    );
    assert!(!seen.contains("too many"), "{seen}");
}

#[test]
fn a_log_that_comes_later_is_all_news_and_what_is_no_log_is_unreadable() {
    let folder = Folder::new();
    let path = folder.file("log");
    let mut check = AccessLogCheck::new(&path).unwrap().rules(strict());
    let unreadable = "traffic source unreadable";
    assert_outcome(&mut check, Health::Unknown, unreadable, "No such file");
    fs::create_dir(&path).unwrap();
    assert_outcome(&mut check, Health::Unknown, unreadable, "not a plain file");
    fs::remove_dir(&path).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    // Opening it would wait for a writer for ever.
    assert_outcome(&mut check, Health::Unknown, unreadable, "not a plain file");
    fs::remove_file(&path).unwrap();
    assert_outcome(&mut check, Health::Unknown, unreadable, "No such file");
    fs::write(&path, line(500)).unwrap();
    assert_outcome(&mut check, Health::Fail, "traffic 5xx rate", "5xx 1 of 1");
    assert!(AccessLogCheck::new("").is_err());
    assert!(AccessLogCheck::new("a\0b").is_err());
}

#[test]
fn a_log_of_another_format_is_malformed_and_a_few_other_lines_are_not() {
    let mut log = Logged::new(TrafficRules::new());
    log.write("Server back/one is UP.\n".repeat(19));
    assert!(log.run().starts_with("traffic too little: 0 requests"));
    log.write(line(200).repeat(20));
    assert!(log.run().starts_with("traffic normal: 20 requests"));
    log.write("{\"status\": 500}\n".repeat(2));
    let seen = log.run();
    assert!(
        seen.starts_with("traffic source malformed: 21 of 41 lines are of no known format"),
        "{seen}"
    );
}

#[test]
fn latency_is_the_average_of_the_lines_that_have_one() {
    let rules = TrafficRules::new().latency("500ms").unwrap();
    let mut log = Logged::new(rules.min_requests(2).unwrap());
    log.write(line(200).repeat(2));
    let seen = log.run();
    assert!(
        seen.starts_with("traffic source malformed: no request says how long it took"),
        "{seen}"
    );
    let timed = |seconds| line(200).replace('\n', &format!(" rt={seconds}\n"));
    log.write(timed("0.400"));
    log.write(timed("0.600"));
    assert_eq!(
        log.run(),
        "traffic normal: 4 requests in 10s, latency 500ms"
    );
    log.write("a:1 [x] f b/s 0/0/0/530/530 200 5 - - ---- 1/1/1/1/0 0/0 \"GET /\"\n");
    assert_eq!(
        log.run(),
        "traffic latency: latency 510ms, expected at most 500ms"
    );
}

#[test]
fn a_check_says_what_it_is() {
    let check = AccessLogCheck::new("/var/log/haproxy.log").unwrap();
    assert_eq!(format!("{check:?}"), "AccessLogCheck(/var/log/haproxy.log)");
    assert_eq!(format!("{:?}", check.name("web")), "web");
}
