//! Reloads under load: 200 requests a second and 50 reloads, half of them of broken files, each
//! waited for.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::house::{House, Status, house};
use crate::support::{ask, eventually, peer};

const RELOADS: usize = 50;
const CLIENTS: u32 = 4;

/// Of each client.
const PAUSE: Duration = Duration::from_millis(20);

/// From one reload to the next, so that the load and some probes come between them.
const REST: Duration = Duration::from_millis(40);

/// Of the service that takes its time.
const ANSWERS_AFTER: Duration = Duration::from_millis(15);

/// Of the probed target.
const EVERY: Duration = Duration::from_millis(50);

/// What each path has to answer, whenever it is asked.
const ANSWERS: [(&str, &str); 6] = [
    ("/up", "HTTP/1.0 200 OK\r\n"),
    ("/down", "HTTP/1.0 503 FAIL\r\n"),
    ("/latched", "HTTP/1.0 503 FAIL\r\n"),
    ("/judged", "HTTP/1.0 200 OK\r\n"),
    ("/asked", "HTTP/1.0 200 OK\r\n"),
    ("/site", "HTTP/1.0 200 OK\r\n"),
];

/// A service that counts who connects.
pub(crate) fn counting() -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicU64::new(0));
    let counts = count.clone();
    thread::spawn(move || {
        for _ in listener.incoming().flatten() {
            counts.fetch_add(1, Ordering::SeqCst);
        }
    });
    (address, count)
}

/// A service that takes its time, so that callers wait for a run while reloads go on.
fn slow() -> SocketAddr {
    let port = peer(|mut stream| {
        let (_never, pause) = channel::<()>();
        let _ = pause.recv_timeout(ANSWERS_AFTER);
        let _ = stream.write_all(b"hello");
    });
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// The configuration of that reload: some components stay as they are, one is judged otherwise
/// each time, one runs on request and has another time limit, one comes and goes.
fn config(targets: [SocketAddr; 3], number: usize) -> String {
    let [counted, other, slow] = targets;
    let comes = match number % 4 {
        0 => "component comes\n file /\n",
        _ => "",
    };
    format!(
        "defaults\n every {}ms\n timeout 5s\n stale-after 1m\n\
         component up\n tcp {counted}\n\
         component down\n file /nowhere/at/all\n\
         component latched\n file DIR/latched\n manual-reset\n\
         component judged\n tcp {other}\n fail-after {}\n ok-after {}\n\
         component asked\n on-request\n tcp {slow}\n expect hello\n answer-within {}s\n\
         component site\n any-of judged down\n{comes}",
        EVERY.as_millis(),
        3 + number,
        3 + number,
        10 + number,
    )
}

/// Asks everything in turn, 50 times a second, until it is told to stop. What was wrong.
fn client(
    address: SocketAddr,
    first: usize,
    stop: &Receiver<()>,
    asked: &AtomicU64,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut next = Instant::now();
    for (path, expected) in ANSWERS.iter().cycle().skip(first) {
        next += PAUSE;
        let pause = next.saturating_duration_since(Instant::now());
        if stop.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
            break;
        }
        let answer = ask(address, format!("GET {path} HTTP/1.0\r\n\r\n"));
        asked.fetch_add(1, Ordering::SeqCst);
        if !answer.starts_with(expected) {
            wrong.push(format!("{path}: {answer:?}"));
        }
    }
    wrong
}

struct Load {
    clients: Vec<(Sender<()>, thread::JoinHandle<Vec<String>>)>,
    asked: Arc<AtomicU64>,
}

impl Load {
    fn on(address: SocketAddr) -> Load {
        let asked = Arc::new(AtomicU64::new(0));
        let clients = (0..CLIENTS).map(|number| {
            let (stop, stopped) = channel();
            let asked = asked.clone();
            let first = number as usize;
            (
                stop,
                thread::spawn(move || client(address, first, &stopped, &asked)),
            )
        });
        Load {
            clients: clients.collect(),
            asked,
        }
    }

    /// How many were asked for, and what was wrong.
    fn end(self) -> (u64, Vec<String>) {
        let ended = self.clients.into_iter().flat_map(|(stop, client)| {
            drop(stop);
            client.join().unwrap()
        });
        let wrong = ended.collect();
        (self.asked.load(Ordering::SeqCst), wrong)
    }
}

/// One reload, waited for: by signal or over the admin socket, of a good file or of a broken one.
fn reload(house: &House, good: &str, number: usize, generation: &mut u64) {
    let is_good = number % 2 == 0;
    let mark = format!("broken{number}");
    match is_good {
        true => house.configure(good),
        false => house.configure(&format!("{good}\ncomponent {mark}\n tcp nowhere")),
    }
    match number % 4 {
        0 | 1 => house.hang_up(),
        _ => {
            let (status, said) = house.admin("POST", "/-/reload", "");
            assert_eq!(status, if is_good { 200 } else { 409 }, "{said}");
        }
    }
    *generation += u64::from(is_good);
    eventually("the reload is done", || {
        let status = house.status();
        let is_told = match is_good {
            true => status.value("error") == "null",
            false => status
                .value("error")
                .contains(&format!(":{}:", lines(good) + 3)),
        };
        is_told && status.value("generation") == generation.to_string()
    });
}

fn lines(text: &str) -> usize {
    // Three lines of the `server` block come first.
    3 + text.lines().count()
}

#[test]
fn nothing_is_lost_and_nobody_gets_a_wrong_answer() {
    let ((counted, connections), (other, _)) = (counting(), counting());
    let targets = [counted, other, slow()];
    let house = house(&config(targets, 0));
    for (path, expected) in ANSWERS {
        let is_ok = expected.contains("200");
        house.comes_to(path, if is_ok { "OK" } else { "FAIL" });
    }
    house.write("latched", "");
    eventually("it awaits its reset", || {
        house.status().of("latched", "reason") == "\"awaits reset\""
    });
    let (before, earliest) = after_a_start(&house);
    let latest = Instant::now();
    let load = Load::on(house.address());
    let mut generation = 1;
    let (_never, rest) = channel::<()>();
    for number in 0..RELOADS {
        reload(&house, &config(targets, number), number, &mut generation);
        let _ = rest.recv_timeout(REST);
    }
    eventually("enough load", || load.asked.load(Ordering::SeqCst) > 200);
    let (asked, wrong) = load.end();
    assert_eq!(wrong, [""; 0], "of {asked}");
    let after = house.status();
    let took = earliest.elapsed();
    assert_eq!(generation, 1 + RELOADS as u64 / 2);
    for name in ["up", "down", "latched"] {
        for key in ["state", "since", "changes", "phase", "reason"] {
            assert_eq!(after.of(name, key), before.of(name, key), "{name} {key}");
        }
        assert!(
            after.number(name, "runs") > before.number(name, "runs"),
            "{name}"
        );
    }
    for name in ["up", "down", "latched", "judged", "asked", "site"] {
        assert_eq!(after.of(name, "state"), before.of(name, "state"), "{name}");
    }
    let began = (starts_of(&before), [earliest, latest]);
    once_an_interval(&house, &connections, began);
    println!("{asked} requests, {RELOADS} reloads in {took:?}");
}

/// A status that a start has just come to, and a moment before that: of a prober that is late by
/// then because the machine is busy, what it skipped would be counted later.
fn after_a_start(house: &House) -> (Status, Instant) {
    let (mut at, mut before) = (Instant::now(), house.status());
    let mut found = None;
    eventually("another start", || {
        let (now, status) = (Instant::now(), house.status());
        let earlier = std::mem::replace(&mut at, now);
        let was = std::mem::replace(&mut before, status);
        let is_new = starts_of(&before) > starts_of(&was);
        found = is_new.then_some(earlier);
        is_new
    });
    (before, found.unwrap())
}

/// Every connection is a run, and every interval has had one, or says that it was skipped.
fn once_an_interval(house: &House, connections: &AtomicU64, began: (f64, [Instant; 2])) {
    let (started, [earliest, latest]) = began;
    eventually("a run for each connection and each interval", || {
        let least = intervals_since(latest);
        let status = house.status();
        let most = intervals_since(earliest);
        // One that is late is made up for by what comes next; one too many at each reload stays.
        let starts = starts_of(&status) - started;
        let is_in_pace = (least - 3.0..=most + RELOADS as f64 / 4.0).contains(&starts);
        let connected = connections.load(Ordering::SeqCst);
        connected as f64 == status.number("up", "runs") && is_in_pace
    });
}

fn intervals_since(then: Instant) -> f64 {
    then.elapsed().as_secs_f64() / EVERY.as_secs_f64()
}

/// Those that were skipped, because the machine was too busy, are in their intervals, too.
fn starts_of(status: &Status) -> f64 {
    status.number("up", "runs") + status.number("up", "skipped")
}
