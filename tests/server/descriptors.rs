//! The real program with hardly any file descriptors, in a flood of connections.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::crowd;
use crate::support::{Daemon, client, eventually, get, peer};

/// A few descriptors more than the program needs for itself.
fn with_few_descriptors(config: &str) -> Daemon {
    let mut command = Command::new("sh");
    let script = "ulimit -n 32; exec \"$0\" run -c -";
    command.args(["-c", script, env!("CARGO_BIN_EXE_failover")]);
    command.stdin(Stdio::piped());
    Daemon::start(command, &format!("server\n listen 127.0.0.1:0\n{config}\n"))
}

/// Whether the program answers this client now, within a second.
fn is_answered(daemon: &Daemon) -> bool {
    let Ok(mut stream) = TcpStream::connect(daemon.address) else {
        return false;
    };
    stream
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let mut answer = String::new();
    let asked = stream.write_all(b"GET /up HTTP/1.0\r\n\r\n");
    asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.ends_with("OK")
}

#[test]
fn without_descriptors_it_waits_for_some_and_does_not_spin() {
    let _crowd = crowd();
    let port = peer(drop);
    let daemon = with_few_descriptors(&format!(
        "component up\n tcp 127.0.0.1:{port}\n every 1h\n stale-after 2h"
    ));
    assert_eq!(get(daemon.address, "/up"), "OK");
    let (ticks_before, kib_before) = daemon.usage();
    let started = Instant::now();
    for _ in 0..3 {
        let flood: Vec<TcpStream> = (0..200)
            .map(|n| client(daemon.address, ["", "GET /u"][n % 2]))
            .collect();
        // Those that are unfinished make room for those that ask.
        eventually("an answer in the flood", || is_answered(&daemon));
        drop(flood);
        eventually("an answer after the flood", || is_answered(&daemon));
    }
    let (ticks, kib) = daemon.usage();
    let computed = Duration::from_millis((ticks - ticks_before) * 10);
    let at_most = Duration::from_millis(500) + started.elapsed() / 4;
    assert!(
        computed < at_most,
        "computed for {computed:?} of {:?}",
        started.elapsed()
    );
    assert!(
        kib < kib_before + 2_048,
        "{kib_before} KiB have become {kib}"
    );
}

#[test]
fn memory_does_not_grow_with_what_was_asked() {
    let _crowd = crowd();
    let port = peer(drop);
    let daemon = Daemon::run(&format!(
        "component up\n every 1h\n stale-after 2h\n tcp 127.0.0.1:{port}"
    ));
    let ask_often = || {
        for _ in 0..1_000 {
            assert_eq!(get(daemon.address, "/up"), "OK");
        }
        let slow: Vec<TcpStream> = (0..100).map(|_| client(daemon.address, "GET /u")).collect();
        assert_eq!(get(daemon.address, "/nothing"), "ERROR");
        drop(slow);
    };
    ask_often();
    let (_, before) = daemon.usage();
    for _ in 0..3 {
        ask_often();
    }
    let (_, after) = daemon.usage();
    assert!(after < before + 1_024, "{before} KiB have become {after}");
}
