//! Passive checks on real traffic: HAProxy's counters over real sockets, and log files that are
//! rotated, cut, flooded and broken. Time is a manual clock's.

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use failover::{
    AccessLogCheck, Check, HaproxyTrafficCheck, Health, ManualClock, Outcome, TrafficRules, second,
};

use support::{PATIENCE, dead_port, peer};

/// A directory of its own for one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // Short, because the name of a Unix socket in it may have a hundred bytes at most.
        let name = format!("failover-{}-{count}-traffic", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn words(outcome: &Outcome) -> (Health, &'static str) {
    (outcome.health, outcome.reason.words())
}

#[track_caller]
fn assert_outcome(check: &mut dyn Check, health: Health, reason: &str, detail: &str) {
    let outcome = check.check();
    assert_eq!(words(&outcome), (health, reason), "{outcome}");
    assert!(outcome.detail.contains(detail), "{outcome}");
}

const TOO_LITTLE: (Health, &str) = (Health::Unknown, "traffic too little");

/// What HAProxy counts for `back/one`.
#[derive(Clone, Copy, Default)]
struct Counters {
    stot: u64,
    econ: u64,
    eresp: u64,
    wredis: u64,
    srv_abrt: u64,
    hrsp_5xx: u64,
    rtime: u64,
}

impl Counters {
    fn reply(&self) -> String {
        format!(
            "# pxname,svname,stot,econ,eresp,wredis,status,srv_abrt,hrsp_5xx,rtime,ctime,mode,\n\
             back,two,9,9,9,9,\"no, check\",9,9,9999,9999,http,\n\
             back,one,{},{},{},{},\"UP \"\"1/2\"\"\",{},{},{},1,http,\n\n",
            self.stot, self.econ, self.eresp, self.wredis, self.srv_abrt, self.hrsp_5xx, self.rtime
        )
    }
}

/// A stats socket that says what was put there last, and the commands that it was told.
struct Stats {
    reply: Arc<Mutex<String>>,
    commands: Arc<Mutex<Vec<String>>>,
}

impl Stats {
    fn on_unix(path: &Path) -> Stats {
        let listener = UnixListener::bind(path).unwrap();
        let stats = Stats::new();
        let (reply, commands) = (stats.reply.clone(), stats.commands.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, &reply, &commands);
            }
        });
        stats
    }

    fn on_tcp() -> (u16, Stats) {
        let stats = Stats::new();
        let (reply, commands) = (stats.reply.clone(), stats.commands.clone());
        (peer(move |stream| serve(stream, &reply, &commands)), stats)
    }

    fn new() -> Stats {
        Stats {
            reply: Arc::new(Mutex::new(Counters::default().reply())),
            commands: Arc::default(),
        }
    }

    fn say(&self, reply: impl Into<String>) {
        *self.reply.lock().unwrap() = reply.into();
    }
}

fn serve(mut stream: impl Read + Write, reply: &Mutex<String>, commands: &Mutex<Vec<String>>) {
    let mut command = [0; 200];
    let len = stream.read(&mut command).unwrap();
    let command = String::from_utf8_lossy(&command[..len]).into_owned();
    commands.lock().unwrap().push(command);
    let reply = reply.lock().unwrap().clone();
    let _ = stream.write_all(reply.as_bytes());
}

fn check_of(socket: impl AsRef<Path>) -> HaproxyTrafficCheck {
    let socket = socket.as_ref().to_str().unwrap();
    HaproxyTrafficCheck::new(socket, "back/one", second(30)).unwrap()
}

#[test]
fn a_server_that_begins_to_fail_is_seen_and_forgiven_when_the_window_has_passed() {
    let folder = Folder::new();
    let path = folder.file("stats");
    let stats = Stats::on_unix(&path);
    let clock = ManualClock::new();
    let mut check = check_of(&path).clock(Arc::new(clock.clone()));
    assert_eq!(check.budget(), Some(Duration::from_secs(30)));
    let mut counters = Counters {
        // What was before the first sample is nobody's.
        stot: 1_000,
        hrsp_5xx: 1_000,
        ..Counters::default()
    };
    let mut run = |requests, errors, seconds| {
        clock.advance(Duration::from_secs(seconds));
        counters.stot += requests;
        counters.hrsp_5xx += errors;
        stats.say(counters.reply());
        check.check()
    };
    assert_eq!(words(&run(0, 0, 0)), TOO_LITTLE);
    assert_eq!(words(&run(19, 19, 5)), TOO_LITTLE);
    let good = run(361, 0, 5);
    assert_eq!(
        good.to_string(),
        "traffic normal: 380 requests in 10s, 5xx 5.0%, errors 0.0%"
    );
    let bad = run(0, 1, 5);
    assert_eq!(bad.health, Health::Fail);
    assert_eq!(
        bad.to_string(),
        "traffic 5xx rate: 5xx 20 of 380 requests in 15s (5.3%), expected at most 5%"
    );
    // Nothing more comes: what was seen counts until it leaves the window.
    assert_eq!(run(0, 0, 15).health, Health::Fail);
    let later = run(0, 0, 5);
    assert_eq!(
        later.to_string(),
        "traffic normal: 361 requests in 30s, 5xx 0.3%, errors 0.0%"
    );
    assert_eq!(words(&run(0, 0, 30)), TOO_LITTLE);
    let commands = stats.commands.lock().unwrap();
    assert!(commands.iter().all(|it| it == "show stat back 4 -1\n"));
}

#[test]
fn each_kind_of_error_counts_and_so_does_latency() {
    let (port, stats) = Stats::on_tcp();
    type Change = fn(&mut Counters);
    let changes: [(Change, &str, &str); 6] = [
        (|it| it.econ += 6, "traffic error rate", "errors 6 of 100"),
        (|it| it.wredis += 6, "traffic error rate", "errors 6 of 100"),
        (|it| it.eresp += 6, "traffic error rate", "errors 6 of 100"),
        (
            |it| it.srv_abrt += 6,
            "traffic error rate",
            "errors 6 of 100",
        ),
        (|it| it.rtime = 501, "traffic latency", "latency 501ms"),
        (|it| it.hrsp_5xx += 6, "traffic 5xx rate", "5xx 6 of 100"),
    ];
    for (change, reason, detail) in changes {
        let rules = TrafficRules::new()
            .server_errors("5%")
            .and_then(|rules| rules.errors("5%"))
            .and_then(|rules| rules.latency("500ms"))
            .unwrap();
        let mut check = check_of(format!("127.0.0.1:{port}")).rules(rules);
        let mut counters = Counters::default();
        stats.say(counters.reply());
        assert_eq!(words(&check.check()), TOO_LITTLE);
        counters.stot += 100;
        change(&mut counters);
        stats.say(counters.reply());
        assert_outcome(&mut check, Health::Fail, reason, detail);
    }
}

#[test]
fn counters_that_start_anew_are_no_negative_traffic() {
    let (port, stats) = Stats::on_tcp();
    let clock = ManualClock::new();
    let mut check = check_of(format!("127.0.0.1:{port}")).clock(Arc::new(clock.clone()));
    let mut run = |stot, hrsp_5xx| {
        clock.advance(Duration::from_secs(5));
        let counters = Counters {
            stot,
            hrsp_5xx,
            ..Counters::default()
        };
        stats.say(counters.reply());
        check.check().to_string()
    };
    run(1_000_000, 500_000);
    assert!(run(1_000_100, 500_000).starts_with("traffic normal: 100 requests in 5s"));
    // Reloaded: 50 requests since.
    assert!(run(50, 2).starts_with("traffic normal: 150 requests in 10s, 5xx 1.3%"));
    // And again.
    assert!(run(10, 10).starts_with("traffic 5xx rate: 5xx 12 of 160 requests in 15s"));
    assert!(run(0, 0).starts_with("traffic 5xx rate: 5xx 12 of 160 requests in 20s"));
    assert!(run(0, 0).starts_with("traffic 5xx rate: 5xx 12 of 160 requests in 25s"));
}

#[test]
fn a_server_of_mode_tcp_has_errors_and_no_5xx() {
    let (port, stats) = Stats::on_tcp();
    let reply = |stot: u32, econ: u32| {
        format!(
            "# pxname,svname,stot,econ,eresp,wredis,srv_abrt,hrsp_5xx,rtime,ctime,mode\n\
             back,one,{stot},{econ},0,0,0,,0,700,tcp\n\n"
        )
    };
    let asking = TrafficRules::new().server_errors("5%").unwrap();
    let slow = TrafficRules::new().latency("500ms").unwrap();
    for (rules, health, reason, detail) in [
        (None, Health::Fail, "traffic error rate", "errors 6 of 100"),
        (
            Some(asking),
            Health::Unknown,
            "traffic source malformed",
            "a server of mode tcp has no 5xx rate",
        ),
        (Some(slow), Health::Fail, "traffic latency", "latency 700ms"),
    ] {
        let mut check = check_of(format!("127.0.0.1:{port}"));
        if let Some(rules) = rules {
            check = check.rules(rules);
        }
        stats.say(reply(0, 0));
        assert_eq!(check.check().health, Health::Unknown);
        stats.say(reply(100, 6));
        assert_outcome(&mut check, health, reason, detail);
    }
}

#[test]
fn what_haproxy_refuses_or_garbles_is_unknown() {
    let (port, stats) = Stats::on_tcp();
    let good = Counters::default().reply();
    for (reply, reason, detail) in [
        (
            "No such proxy.\n\n",
            "traffic no such server",
            "No such proxy.",
        ),
        (
            "# pxname,svname\n\n",
            "traffic no such server",
            "no back/one",
        ),
        (
            "Permission denied\n\n",
            "traffic source unreadable",
            "Permission denied",
        ),
        ("", "traffic source malformed", "no head line"),
        (
            "HTTP/1.0 400 Bad\r\n\r\n",
            "traffic source malformed",
            "no head line",
        ),
        (
            &good.replace("econ,", "gone,"),
            "traffic source malformed",
            "no column econ",
        ),
        (
            &good.replace("0,0,0,0", "0,x,0,0"),
            "traffic source malformed",
            "econ is \"x\"",
        ),
        (
            &good[..good.len() - 4],
            "traffic source malformed",
            "without its end",
        ),
        (
            &good.replace("1/2\"\"\"", "1/2"),
            "traffic source malformed",
            "not closed",
        ),
    ] {
        stats.say(reply);
        let mut check = check_of(format!("127.0.0.1:{port}"));
        assert_outcome(&mut check, Health::Unknown, reason, detail);
    }
}

/// A timeout that a hostile peer can be left to use up.
fn short_check_of(socket: impl AsRef<Path>) -> HaproxyTrafficCheck {
    let socket = socket.as_ref().to_str().unwrap();
    HaproxyTrafficCheck::new(socket, "back/one", second(0.3)).unwrap()
}

#[track_caller]
fn assert_unreadable(mut check: HaproxyTrafficCheck, detail: &str) {
    let started = Instant::now();
    let reason = "traffic source unreadable";
    assert_outcome(&mut check, Health::Unknown, reason, detail);
    assert!(started.elapsed() < PATIENCE);
}

#[test]
fn a_hostile_socket_is_unreadable_within_the_timeout() {
    type Serve = fn(TcpStream);
    let served: [(Serve, &str); 4] = [
        (
            |mut it| drop(it.read_to_end(&mut Vec::new())),
            "answer timeout",
        ),
        (
            |mut it| {
                // One byte now and then extends nothing.
                it.set_read_timeout(Some(Duration::from_millis(50)))
                    .unwrap();
                while it.write_all(b"#").is_ok() {
                    let _ = it.read(&mut [0; 100]);
                }
            },
            "answer timeout",
        ),
        (
            |mut it| while it.write_all(&[b'x'; 4_096]).is_ok() {},
            "answer too long",
        ),
        (drop, ""),
    ];
    for (serve, detail) in served {
        let port = peer(serve);
        let check = match detail {
            "answer timeout" => short_check_of(format!("127.0.0.1:{port}")),
            _ => check_of(format!("127.0.0.1:{port}")),
        };
        match detail {
            // Closed before or after the command came: reset, or a reply that is empty.
            "" => assert_eq!({ check }.check().health, Health::Unknown),
            detail => assert_unreadable(check, detail),
        }
    }
    let dead = check_of(format!("127.0.0.1:{}", dead_port()));
    assert_unreadable(dead, "tcp connect refused");
}

#[test]
fn a_hostile_unix_socket_is_unreadable_within_the_timeout() {
    let folder = Folder::new();
    assert_unreadable(check_of(folder.file("none")), "No such file");
    File::create(folder.file("plain")).unwrap();
    assert_unreadable(check_of(folder.file("plain")), "refused");
    drop(UnixListener::bind(folder.file("left")).unwrap());
    assert_unreadable(check_of(folder.file("left")), "refused");
    symlink("loop", folder.file("loop")).unwrap();
    assert_unreadable(check_of(folder.file("loop")), "symbolic links");
    // Accepted by the system, and never answered.
    let path = folder.file("hangs");
    let _hangs = UnixListener::bind(&path).unwrap();
    assert_unreadable(short_check_of(&path), "answer timeout");
}

#[test]
fn a_unix_socket_with_a_full_queue_does_not_hold_the_check() {
    let folder = Folder::new();
    let path = folder.file("full");
    let listener = UnixListener::bind(&path).unwrap();
    let filling = path.clone();
    // Connects until the queue is full, and then hangs in there.
    let filler = thread::spawn(move || {
        let mut queued = Vec::new();
        while let Ok(stream) = UnixStream::connect(&filling) {
            queued.push(stream);
            assert!(queued.len() < 10_000, "the queue has no end");
        }
    });
    let mut reached = 0;
    support::eventually("a full queue", || {
        let outcome = short_check_of(&path).check();
        assert_eq!(
            words(&outcome),
            (Health::Unknown, "traffic source unreadable")
        );
        reached += 1;
        outcome.detail.ends_with("nobody accepts")
    });
    assert!(!filler.is_finished());
    // Who waits is refused when the listener goes.
    drop(listener);
    filler.join().unwrap();
}

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
    log.write(line(404).repeat(1));
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
    let check = check_of("/nowhere/stats").name("web");
    assert_eq!(format!("{check:?}"), "web");
}
