//! A stats socket that says what a test wants, and sockets that are hostile.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use failover::{Check, HaproxyTrafficCheck, Health, ManualClock, TrafficRules, second};

use crate::support::{self, PATIENCE, dead_port, peer};
use crate::{Folder, TOO_LITTLE, assert_outcome, words};

/// What HAProxy counts for `back/one`.
#[derive(Clone, Copy, Default)]
struct Counters {
    stot: u64,
    wretr: u64,
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
            "# pxname,svname,stot,wretr,econ,eresp,wredis,status,srv_abrt,hrsp_5xx,rtime,ctime,\
             mode,\n\
             back,two,9,9,9,9,9,\"no, check\",9,9,9999,9999,http,\n\
             back,one,{},{},{},{},{},\"UP \"\"1/2\"\"\",{},{},{},1,http,\n\n",
            self.stot,
            self.wretr,
            self.econ,
            self.eresp,
            self.wredis,
            self.srv_abrt,
            self.hrsp_5xx,
            self.rtime
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
    let changes: [(Change, &str, &str); 7] = [
        (|it| it.econ += 6, "traffic error rate", "errors 6 of 100"),
        (
            // Tried four times each.
            |it| {
                it.econ += 6;
                it.wretr += 18;
                it.stot += 18;
            },
            "traffic error rate",
            "errors 6 of 100",
        ),
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
            "# pxname,svname,stot,wretr,econ,eresp,wredis,srv_abrt,hrsp_5xx,rtime,ctime,mode\n\
             back,one,{stot},0,{econ},0,0,0,,0,700,tcp\n\n"
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
            &good.replace("one,0,0,0,0", "one,0,0,x,0"),
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
    // Until it starts its program, a process that another test forks has it, too.
    support::eventually("nobody listens", || {
        UnixStream::connect(folder.file("left")).is_err()
    });
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
    // Connects until the queue is full, and then hangs in there. Whoever is gone again keeps its
    // place, and needs no descriptor.
    let filler = thread::spawn(move || {
        let mut queued = 0;
        while UnixStream::connect(&filling).is_ok() {
            queued += 1;
            assert!(queued < 10_000, "the queue has no end");
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

#[test]
fn a_check_says_what_it_is() {
    let check = check_of("/nowhere/stats");
    let shown = "HaproxyTrafficCheck(back/one by /nowhere/stats within 30s)";
    assert_eq!(format!("{check:?}"), shown);
    assert_eq!(format!("{:?}", check.name("web")), "web");
}
