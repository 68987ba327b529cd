//! How it ends, and what systemd is told (sd_notify(3)).

use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::hangs::{hangs_at, make_pipe};
use crate::house::{House, QUICK, empty, house};
use crate::support::{PATIENCE, client, eventually, has_answer, peer, rest};

/// A service that says `hello` after a while, and tells that somebody came.
fn slow(after: Duration) -> (u16, Receiver<()>) {
    let (came, has_come) = channel();
    let port = peer(move |mut stream| {
        let _ = came.send(());
        let (_never, wait) = channel::<()>();
        let _ = wait.recv_timeout(after);
        let _ = stream.write_all(b"hello\n");
        let _ = stream.shutdown(Shutdown::Write);
    });
    (port, has_come)
}

#[test]
fn requests_that_are_under_way_are_answered_before_the_end() {
    for signal in ["-TERM", "-INT"] {
        let (port, has_come) = slow(Duration::from_millis(300));
        let mut house = house(&format!(
            "{QUICK}component a\n on-request\n tcp 127.0.0.1:{port}\n expect hello\n \
             timeout 5s\ncomponent b\n file /\n"
        ));
        let address = house.address();
        house.comes_to("/b", "OK");
        let reads = client(address, "GET /-/status HTTP/1.0\r\n\r\n");
        eventually("a report", || has_answer(&reads));
        let asks = client(address, "GET /a HTTP/1.0\r\n\r\n");
        has_come.recv_timeout(PATIENCE).unwrap();
        assert_eq!(house.end_by(signal).code(), Some(0));
        assert!(rest(reads).starts_with("HTTP/1.0 200 OK"));
        let answer = rest(asks);
        assert!(answer.starts_with("HTTP/1.0 200 OK"), "{signal}: {answer}");
        assert!(TcpStream::connect(address).is_err());
    }
}

#[test]
fn a_configuration_that_cannot_be_read_to_its_end_keeps_nobody_from_ending_us() {
    let mut house = house("component a\n file /\n");
    house.remove("conf");
    make_pipe(&house, "conf");
    house.hang_up();
    house.hang_up();
    let _by_signal = hangs_at(&house, "conf");
    house.comes_to("/a", "OK");
    assert_eq!(house.end_by("-TERM").code(), Some(0));
}

#[test]
fn neither_does_one_that_somebody_waits_for() {
    let mut house = house("component a\n file /\n");
    house.remove("conf");
    make_pipe(&house, "conf");
    let socket = house.socket();
    let waits = thread::spawn(move || socket.request("POST", "/-/reload", b""));
    let _for_somebody = hangs_at(&house, "conf");
    house.comes_to("/a", "OK");
    assert_eq!(house.end_by("-TERM").code(), Some(0));
    assert!(waits.join().unwrap().is_err());
}

#[test]
fn a_run_that_hangs_delays_the_end_by_a_bounded_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let mut house = house(&format!(
        "{QUICK}component a\n on-request\n tcp 127.0.0.1:{port}\n expect hello\n timeout 5m\n"
    ));
    let asks = client(house.address(), "GET /a HTTP/1.0\r\n\r\n");
    let _hangs = silent.accept().unwrap();
    assert_eq!(house.end_by("-TERM").code(), Some(0));
    assert!(rest(asks).starts_with("HTTP/1.0 500 ERROR"));
}

/// What systemd would hear.
struct Manager(UnixDatagram);

impl Manager {
    fn of(house: &House) -> Manager {
        let socket = UnixDatagram::bind(house.path("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Manager(socket)
    }

    fn hears(&self) -> String {
        let mut bytes = [0; 1024];
        let len = self.0.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    }

    /// The next message with this in it; what comes between is only of the watchdog's.
    #[track_caller]
    fn hears_of(&self, text: &str) -> String {
        loop {
            let heard = self.hears();
            if heard.contains(text) {
                return heard;
            }
            assert_eq!(heard.trim_end(), "WATCHDOG=1", "before {text}");
        }
    }
}

#[test]
fn systemd_is_told_what_it_wants_to_know() {
    let mut house = empty();
    let manager = Manager::of(&house);
    let config = format!("{QUICK}component a\n file /\n");
    house.configure(&config);
    let mut command = house.run();
    command
        .env("NOTIFY_SOCKET", house.path("notify"))
        .env("WATCHDOG_USEC", "100000");
    house.start_as(command);
    let ready = manager.hears_of("READY=1");
    assert!(ready.contains("STATUS=answering"), "{ready}");
    assert_eq!(house.word("/a"), "OK", "ready is when it answers");
    for _ in 0..3 {
        manager.hears_of("WATCHDOG=1");
    }
    for (text, status) in [
        (config.clone(), "generation 2"),
        (format!("{config} x"), "refused"),
    ] {
        house.configure(&text);
        house.hang_up();
        let reloading = manager.hears_of("RELOADING=1");
        assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
        let ready = manager.hears_of("READY=1");
        assert!(ready.contains(status), "{ready}");
    }
    let end = thread::spawn(move || house.end_by("-TERM"));
    manager.hears_of("STOPPING=1");
    assert_eq!(end.join().unwrap().code(), Some(0));
}

#[test]
fn a_post_that_takes_its_time_is_answered_before_the_end() {
    let mut house = house("component a\n file /\n");
    house.comes_to("/a", "OK");
    house.remove("conf");
    make_pipe(&house, "conf");
    let socket = house.socket();
    let reload = thread::spawn(move || socket.request("POST", "/-/reload", b"").unwrap());
    let hangs = hangs_at(&house, "conf");
    house.signal("-TERM");
    house.daemon().line_with("ending: ");
    drop(hangs);
    let (status, said) = reload.join().unwrap();
    let said = String::from_utf8_lossy(&said);
    assert!([200, 409].contains(&status), "{status} {said}");
    assert_eq!(house.end_by("-TERM").code(), Some(0));
}
