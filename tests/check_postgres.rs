//! The check of PostgreSQL against servers that are hostile, broken, or none at all. How it gets on
//! with the real one is in `tests/peers`.

mod support;

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};

use failover::{Check, Health, Lag, Outcome, PostgresCheck, Role, second};

use support::{PATIENCE, dead_port, peer};

const PASSWORD: &str = "open sesame";

/// A password file, gone with its test.
struct Password(PathBuf);

impl Password {
    fn new(test: &str) -> Password {
        let name = format!("failover-postgres-{}-{test}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, PASSWORD).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        Password(path)
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// One message of the server.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u32 + 4).to_be_bytes();
    [&[kind], &len[..], body].concat()
}

fn request(code: u32, rest: &[u8]) -> Vec<u8> {
    message(b'R', &[&code.to_be_bytes()[..], rest].concat())
}

fn error(code: &str) -> Vec<u8> {
    let body = format!("SFATAL\0VFATAL\0C{code}\0Mno\x1b[2J\0Fx.c\0\0");
    message(b'E', body.as_bytes())
}

/// Let in, with a parameter and a key, and ready.
fn entered() -> Vec<u8> {
    [
        request(0, b""),
        message(b'S', b"in_hot_standby\0off\0"),
        message(b'K', b"\0\0\0\x01\0\0\0\x02"),
        ready(),
    ]
    .concat()
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

/// The answer to a query: one row of these columns.
fn answer(columns: &[&str]) -> Vec<u8> {
    let mut body = (columns.len() as u16).to_be_bytes().to_vec();
    for column in columns {
        body.extend_from_slice(&(column.len() as u32).to_be_bytes());
        body.extend_from_slice(column.as_bytes());
    }
    [
        message(b'C', b"SET\0"),
        message(b'T', b"\0\0"),
        message(b'D', &body),
        message(b'C', b"SELECT 1\0"),
        ready(),
    ]
    .concat()
}

/// What a server does after it has said everything.
#[derive(Clone, Copy)]
enum End {
    Closes,
    Hangs,
}

/// A server that hears something before each thing that it says.
fn server(says: Vec<Vec<u8>>, end: End) -> u16 {
    peer(move |mut stream| {
        for said in &says {
            hear(&mut stream);
            let _ = stream.write_all(said);
        }
        if let End::Closes = end {
            let _ = stream.shutdown(Shutdown::Write);
        }
        // What it does not read would reset the connection.
        let _ = stream.set_read_timeout(Some(PATIENCE));
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

fn hear(stream: &mut TcpStream) -> Vec<u8> {
    let mut heard = vec![0; 4_096];
    let len = stream.read(&mut heard).unwrap_or(0);
    heard.truncate(len);
    heard
}

fn check(port: u16) -> PostgresCheck {
    PostgresCheck::new("127.0.0.1", port, second(30)).unwrap()
}

/// One that logs in and asks everything.
fn asking(port: u16, password: &Password) -> PostgresCheck {
    let check = check(port).password_file(&password.0);
    check
        .role(Role::Primary)
        .unwrap()
        .query("SELECT 1")
        .unwrap()
}

#[track_caller]
fn assert_outcome(outcome: &Outcome, health: Health, text: &str) {
    assert_eq!(outcome.health, health, "{outcome}");
    let said = outcome.to_string();
    assert!(said.starts_with(text), "{said:?}; expected {text:?}");
    assert!(!said.contains(PASSWORD) && !said.contains('\x1b'), "{said}");
}

/// Every phase of a login by md5 and of what is asked then.
fn phases() -> Vec<Vec<u8>> {
    vec![
        request(5, b"salt"),
        entered(),
        answer(&["f", "f"]),
        answer(&["1"]),
    ]
}

#[test]
fn a_server_that_says_all_of_it_is_ready() {
    let password = Password::new("ready");
    let port = server(phases(), End::Closes);
    let outcome = asking(port, &password).check();
    let text = format!("postgres ready: 127.0.0.1:{port}, primary");
    assert_outcome(&outcome, Health::Ok, &text);
}

#[test]
fn a_server_that_stops_in_any_phase_is_a_failure_with_its_reason() {
    let password = Password::new("phases");
    for phase in 0..4 {
        let said = phases()[..phase].to_vec();
        let mut closes = asking(server(said.clone(), End::Closes), &password);
        let outcome = closes.check();
        assert_outcome(&outcome, Health::Fail, "answer ended early");

        let port = server(said.clone(), End::Hangs);
        let mut hangs = PostgresCheck::new("127.0.0.1", port, second(0.3)).unwrap();
        hangs = hangs
            .password_file(&password.0)
            .role(Role::Primary)
            .unwrap();
        let outcome = hangs.query("SELECT 1").unwrap().check();
        assert_outcome(&outcome, Health::Fail, "answer timeout");

        let mut half = phases()[phase].clone();
        half.truncate(half.len() / 2);
        let outcome = asking(server([said, vec![half]].concat(), End::Closes), &password).check();
        assert_outcome(&outcome, Health::Fail, "answer ended early");
    }
    let outcome = check(dead_port()).check();
    assert_outcome(&outcome, Health::Fail, "tcp connect refused");
}

#[test]
fn what_is_no_postgresql_is_a_failure() {
    for (said, text) in [
        (
            &b"SSH-2.0-OpenSSH_9.2p1\r\n"[..],
            "answer malformed: a message with an impossible",
        ),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "answer malformed"),
        (b"220 mail.example ESMTP\r\n", "answer malformed"),
        (b"R\xff\xff\xff\xff", "answer malformed"),
        (b"R\0\0\0\x03", "answer malformed"),
        (
            b"R\0\0\0\x05\0",
            "answer malformed: an authentication request of the wrong",
        ),
        (b"R\0\0\0\x09\0\0\0\0\0", "answer malformed"),
        (
            b"Z\0\0\0\x05I",
            "answer malformed: a message before its time",
        ),
        (
            b"E\0\0\0\x05\0",
            "answer malformed: an error without an error code",
        ),
        (
            b"Ecould not fork new process: no\n\0",
            "postgres rejecting: could not fork new",
        ),
        (b"R\0\0\0\x08\0\0\0", "answer ended early"),
        (b"", "answer ended early"),
    ] {
        let outcome = check(server(vec![said.to_vec()], End::Closes)).check();
        assert_outcome(&outcome, Health::Fail, text);
    }
    // Nothing of that makes a difference to who asks for more.
    let mut more = check(server(vec![b"R\0\0\0\x03".to_vec()], End::Closes));
    more = more.role(Role::Standby).unwrap();
    assert_outcome(&more.check(), Health::Fail, "answer malformed");
}

#[test]
fn a_server_that_talks_without_end_is_left() {
    let parameter = message(b'S', &[b'x'; 60_000]);
    let endless = peer(move |mut stream| {
        hear(&mut stream);
        let _ = stream.write_all(&request(0, b""));
        while stream.write_all(&parameter).is_ok() {}
    });
    let outcome = check(endless).check();
    assert_outcome(
        &outcome,
        Health::Fail,
        "answer too long: over 1048576 bytes",
    );

    let dribbles = peer(|mut stream| {
        hear(&mut stream);
        let parameter = message(b'S', b"a\0b\0");
        let _ = stream.write_all(&request(0, b""));
        for byte in parameter.iter().cycle() {
            support::a_moment();
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
        }
    });
    let mut check = PostgresCheck::new("127.0.0.1", dribbles, second(1)).unwrap();
    assert_outcome(&check.check(), Health::Fail, "answer timeout");
}

#[test]
fn a_refusal_is_judged_by_what_was_asked() {
    let password = Password::new("refusal");
    let after_login = |code| vec![request(5, b"salt"), [request(0, b""), error(code)].concat()];
    for (code, alone, asked, words) in [
        ("57P03", Health::Fail, Health::Fail, "postgres rejecting"),
        (
            "53300",
            Health::Warn,
            Health::Unknown,
            "postgres out of connections",
        ),
        (
            "28P01",
            Health::Warn,
            Health::Unknown,
            "postgres login refused",
        ),
        ("57P01", Health::Fail, Health::Fail, "postgres shut down"),
    ] {
        let text = format!("{words}: {code} no\\u{{1b}}[2J");
        let at_once = || server(vec![error(code)], End::Closes);
        assert_outcome(&check(at_once()).check(), alone, &text);
        assert_outcome(&asking(at_once(), &password).check(), asked, &text);
        let late = || server(after_login(code), End::Closes);
        let mut only_logs_in = check(late()).password_file(&password.0);
        assert_outcome(&only_logs_in.check(), alone, &text);
        assert_outcome(&asking(late(), &password).check(), asked, &text);
    }
    for (code, text) in [
        ("57P01", "postgres shut down: 57P01"),
        ("58030", "postgres query failed: 58030"),
    ] {
        let phases = vec![entered(), error(code)];
        let mut check = check(server(phases, End::Closes))
            .query("SELECT 1")
            .unwrap();
        assert_outcome(&check.check(), Health::Fail, text);
    }
}

/// A server that speaks SCRAM until its challenge and hands what it hears to the test.
fn scram(challenge: fn(&str) -> String, then: Vec<u8>) -> (u16, Receiver<Vec<u8>>) {
    let (sender, heard) = channel();
    let port = peer(move |mut stream| {
        let hear = |stream: &mut TcpStream| {
            let heard = hear(stream);
            let _ = sender.send(heard.clone());
            heard
        };
        hear(&mut stream);
        let _ = stream.write_all(&request(10, b"SCRAM-SHA-256\0\0"));
        let first = String::from_utf8_lossy(&hear(&mut stream)).into_owned();
        let nonce = first.split_once("r=").map_or("", |(_, nonce)| nonce);
        let _ = stream.write_all(&request(11, challenge(nonce).as_bytes()));
        hear(&mut stream);
        let _ = stream.write_all(&then);
        let _ = stream.shutdown(Shutdown::Write);
        hear(&mut stream);
    });
    (port, heard)
}

#[test]
fn a_server_that_does_not_know_the_password_is_found_out() {
    let password = Password::new("scram");
    let proper: fn(&str) -> String = |nonce| format!("r={nonce}x,s=AAAA,i=2");
    let signature = request(12, b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let forged = [signature, entered()].concat();
    for (then, text) in [
        (
            forged,
            "answer malformed: a SCRAM signature of a server that does not know",
        ),
        (
            request(12, b"e=other-error"),
            "answer malformed: a SCRAM signature",
        ),
        (
            entered(),
            "answer malformed: a SCRAM exchange without proof",
        ),
        (
            request(11, b"r=x"),
            "answer malformed: a SCRAM exchange without",
        ),
        (
            request(3, b""),
            "answer malformed: a SCRAM exchange without",
        ),
        (b"".to_vec(), "answer ended early"),
    ] {
        let (port, heard) = scram(proper, then);
        let mut check = asking(port, &password);
        assert_outcome(&check.check(), Health::Fail, text);
        let heard: Vec<u8> = heard.try_iter().flatten().collect();
        let heard = String::from_utf8_lossy(&heard);
        assert!(
            heard.contains("c=biws,r=") && !heard.contains(PASSWORD),
            "{heard}"
        );
    }
    for challenge in [
        (|nonce| format!("r={nonce},s=AAAA,i=2")) as fn(&str) -> String,
        |_| "r=somebody-else,s=AAAA,i=2".to_string(),
        |nonce| format!("r={nonce}x,s=AAAA,i=0"),
        |_| String::new(),
    ] {
        let (port, _) = scram(challenge, entered());
        let outcome = asking(port, &password).check();
        assert_outcome(
            &outcome,
            Health::Fail,
            "answer malformed: a SCRAM challenge",
        );
    }
}

#[test]
fn a_server_cannot_make_us_work_beyond_the_timeout() {
    let password = Password::new("work");
    let (port, _) = scram(|nonce| format!("r={nonce}x,s=AAAA,i=4294967295"), entered());
    let check = PostgresCheck::new("127.0.0.1", port, second(0.3)).unwrap();
    let outcome = check.password_file(&password.0).check();
    let text = "postgres auth unsupported: 4294967295 rounds of SCRAM take longer";
    assert_outcome(&outcome, Health::Unknown, text);
}

#[test]
fn authentication_that_we_cannot_give_is_unknown_only_where_it_is_needed() {
    let password = Password::new("auth");
    for (first, text) in [
        (
            request(2, b""),
            "postgres auth unsupported: the server asks for krb5",
        ),
        (
            request(7, b""),
            "postgres auth unsupported: the server asks for gss",
        ),
        (
            request(9, b""),
            "postgres auth unsupported: the server asks for sspi",
        ),
        (
            request(10, b"OTHER\0\0"),
            "postgres auth unsupported: the server asks for an unknown",
        ),
    ] {
        let serve = || server(vec![first.clone()], End::Closes);
        assert_outcome(&asking(serve(), &password).check(), Health::Unknown, text);
        assert_outcome(&check(serve()).check(), Health::Ok, "postgres ready");
    }
    let twice = vec![request(3, b""), request(3, b"")];
    let outcome = asking(server(twice, End::Closes), &password).check();
    let text = "answer malformed: a second request for authentication";
    assert_outcome(&outcome, Health::Fail, text);
}

#[test]
fn a_password_that_cannot_be_read_is_unknown_and_nobody_is_asked() {
    let password = Password::new("unreadable");
    fs::set_permissions(&password.0, Permissions::from_mode(0o644)).unwrap();
    let mut open_to_all = check(dead_port()).password_file(&password.0);
    let text = format!(
        "file unreadable: {}: everybody may read",
        password.0.display()
    );
    assert_outcome(&open_to_all.check(), Health::Unknown, &text);
    fs::set_permissions(&password.0, Permissions::from_mode(0o600)).unwrap();
    assert_outcome(&open_to_all.check(), Health::Fail, "tcp connect refused");
}

/// All that a server hears, one conversation at a time, when it says this.
fn heard(says: Vec<Vec<u8>>, ask: impl FnOnce(u16) -> PostgresCheck) -> Vec<u8> {
    let (sender, heard) = channel();
    let port = peer(move |mut stream| {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut all = Vec::new();
        for said in &says {
            all.extend(hear(&mut stream));
            let _ = stream.write_all(said);
        }
        // A reset instead of an end would be an error here.
        stream.read_to_end(&mut all).unwrap();
        let _ = sender.send(all);
    });
    ask(port).check();
    heard.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn it_leaves_politely() {
    let startup = b"\0\0\0\x43\0\x03\0\0user\0postgres\0database\0postgres\0\
        application_name\0failover\0\0";
    // Who is only asked leaves without a word.
    assert_eq!(heard(vec![request(5, b"salt")], check), startup);
    // Who is let in says goodbye.
    let goodbye = [&startup[..], b"X\0\0\0\x04"].concat();
    assert_eq!(heard(vec![entered()], check), goodbye);
    let query = |port| check(port).query("SELECT 0").unwrap();
    let all = heard(vec![entered(), answer(&["0"])], query);
    let text = "SET LOCAL statement_timeout = 31000; SELECT 0\0X";
    assert!(String::from_utf8_lossy(&all).contains(text), "{all:?}");
    let named = |port| check(port).user("bob").unwrap().database("shop").unwrap();
    let all = heard(vec![request(5, b"salt")], named);
    let text = "user\0bob\0database\0shop\0";
    assert!(String::from_utf8_lossy(&all).contains(text), "{all:?}");
}

#[test]
fn what_cannot_be_is_an_error() {
    let new = |port| PostgresCheck::new("db.example", port, second(3));
    assert!(new(0).is_err());
    let check = || new(5432).unwrap();
    let shown = format!("{:?}", check().password_file("/etc/secret"));
    assert_eq!(shown, "PostgresCheck(db.example:5432 within 3s)");
    assert_eq!(format!("{:?}", check().name("shop")), "shop");
    assert_eq!(check().budget(), Some(std::time::Duration::from_secs(3)));
    for (result, message) in [
        (
            check().user(""),
            "\"\" is not a user; expected a name of 1 to 255 bytes",
        ),
        (
            check().database("a\0b"),
            "\"a\\0b\" is not a database; expected a name",
        ),
        (check().query(" "), "\" \" is not a query; expected SQL"),
        (
            check().max_lag("16MB"),
            "\"16MB\" is not a lag; expected a size",
        ),
        (
            check().max_lag(second(0)),
            "a duration of 0 seconds cannot be used",
        ),
        (
            check().connect_timeout(0),
            "a duration of 0 seconds cannot be used",
        ),
        (check().source_host("a b"), "\"a b\" is not a host"),
        (
            check().max_lag(Lag::Bytes(1)).unwrap().role(Role::Primary),
            "a primary has no lag of 1B; expected the role standby",
        ),
        (
            check().role(Role::Primary).unwrap().max_lag("30s"),
            "a primary has no lag of 30s; expected the role standby",
        ),
    ] {
        let said = result.unwrap_err().to_string();
        assert!(said.starts_with(message), "{said}");
    }
}
