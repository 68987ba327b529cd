//! `PostgresCheck` against the real PostgreSQL: every way to log in, every state that a server can
//! be in, and what the server's log says of us.

use std::process::Stdio;

use failover::{Check, Health, Outcome, PostgresCheck, Role, second};

use crate::cluster::Cluster;
use crate::support::wait_until;

#[track_caller]
fn assert_outcome(mut check: PostgresCheck, health: Health, words: &str, detail: &str) {
    let outcome = check.check();
    assert_eq!(
        (outcome.health, outcome.reason.words()),
        (health, words),
        "{outcome}"
    );
    assert!(outcome.detail.contains(detail), "{outcome}");
}

/// Checks until it is so, which takes a server a moment.
#[track_caller]
fn wait_for(mut check: PostgresCheck, health: Health, words: &str) -> Outcome {
    wait_until(words, &[], || {
        let outcome = check.check();
        let is_it = (outcome.health, outcome.reason.words()) == (health, words);
        is_it
            .then(|| outcome.clone())
            .ok_or(format!("{:?} {outcome}", outcome.health))
    })
}

/// Who may log in how; `postgres` is trusted.
const HBA: &str = "host all trusted 127.0.0.1/32 trust
    host all absent 127.0.0.1/32 trust
    host all scram 127.0.0.1/32 scram-sha-256
    host all hashed 127.0.0.1/32 md5
    host all clear 127.0.0.1/32 password
    host all kerberos 127.0.0.1/32 gss
    host all refused 127.0.0.1/32 reject
    hostssl all encrypted 127.0.0.1/32 trust";

const USERS: &str = "
    CREATE ROLE trusted LOGIN; CREATE ROLE kerberos LOGIN; CREATE ROLE refused LOGIN;
    CREATE ROLE encrypted LOGIN; CREATE ROLE scram LOGIN PASSWORD 'p:ss wörd';
    CREATE ROLE clear LOGIN PASSWORD 'p:ss wörd'; SET password_encryption = 'md5';
    CREATE ROLE hashed LOGIN PASSWORD 'p:ss wörd';";

#[test]
fn every_way_to_log_in_agrees_with_the_server() {
    let Some(cluster) = Cluster::primary("pg-login", "", HBA) else {
        return;
    };
    cluster.sql(USERS);
    let right = cluster.password_file("right", "p:ss wörd\n");
    let wrong = cluster.password_file("wrong", "p:ss word\n");
    let check = |user| {
        cluster
            .check()
            .user(user)
            .unwrap()
            .database("postgres")
            .unwrap()
    };
    for user in ["scram", "hashed", "clear", "trusted"] {
        let with = check(user)
            .password_file(&right)
            .query("SELECT 1 = 1")
            .unwrap();
        // With the key of the first time, and for the second time.
        let mut again = with.clone();
        again.check();
        assert_outcome(with, Health::Ok, "postgres ready", "127.0.0.1:");
        assert_outcome(again, Health::Ok, "postgres ready", "127.0.0.1:");
        // Who asks for nothing more needs no password.
        assert_outcome(check(user), Health::Ok, "postgres ready", "127.0.0.1:");
    }
    for (user, method) in [
        ("scram", "scram-sha-256"),
        ("hashed", "md5"),
        ("clear", "password"),
    ] {
        let words = "postgres login refused";
        let with = check(user).password_file(&wrong);
        assert_outcome(with.clone(), Health::Warn, words, "28P01");
        let with = with.role(Role::Primary).unwrap();
        assert_outcome(with, Health::Unknown, words, "28P01");
        let without = check(user).role(Role::Primary).unwrap();
        let detail = format!("the server asks for {method}, and no password is set");
        assert_outcome(without, Health::Unknown, words, &detail);
    }
    let words = "postgres login refused";
    let nowhere = cluster.check().database("nowhere").unwrap();
    assert_outcome(nowhere, Health::Warn, words, "3D000 database \"nowhere\"");
    assert_outcome(
        check("absent"),
        Health::Warn,
        words,
        "28000 role \"absent\"",
    );
    assert_outcome(
        check("refused"),
        Health::Warn,
        words,
        "28000 pg_hba.conf rejects",
    );
    assert_outcome(
        check("encrypted"),
        Health::Warn,
        words,
        "28000 no pg_hba.conf entry",
    );
    let encrypted = check("encrypted").role(Role::Primary).unwrap();
    assert_outcome(encrypted, Health::Unknown, words, "no encryption");
    let words = "postgres auth unsupported";
    let kerberos = check("kerberos").role(Role::Primary).unwrap();
    assert_outcome(kerberos, Health::Unknown, words, "the server asks for gss");
    assert_outcome(check("kerberos"), Health::Ok, "postgres ready", "");
}

#[test]
fn queries_are_true_or_not() {
    let Some(cluster) = Cluster::primary("pg-query", "", "") else {
        return;
    };
    let asks = |query: &str| cluster.check().query(query).unwrap();
    for query in [
        "SELECT true",
        "SELECT count(*) FROM pg_database",
        "SELECT -0.5",
        "SELECT 'true', NULL",
        "SHOW max_connections",
        "SELECT g FROM generate_series(1, 9999) g;",
        "SELECT 1; SELECT 0",
        "DO 'BEGIN RAISE WARNING ''hear''; END'; SELECT 1",
    ] {
        assert_outcome(asks(query), Health::Ok, "postgres ready", "127.0.0.1:");
    }
    for (query, detail) in [
        ("SELECT false", "found f; expected true"),
        ("SELECT 0.00", "found 0.00;"),
        ("SELECT NULL", "found NULL"),
        ("SELECT 'ready'", "found ready"),
        ("SELECT 1 WHERE false", "found no row"),
        ("SELECT", "found no column"),
        (";", "found no row"),
    ] {
        assert_outcome(asks(query), Health::Fail, "postgres query false", detail);
    }
    for (query, detail) in [
        ("SELECT 1/0", "22012 division by zero"),
        ("SELECT * FROM nothing", "42P01 relation"),
        ("SELECT 1; SELEC", "42601 syntax error"),
        ("gibberish", "42601 syntax error"),
    ] {
        assert_outcome(asks(query), Health::Fail, "postgres query failed", detail);
    }
    let huge = asks("SELECT repeat('x', 100000)");
    assert_outcome(
        huge,
        Health::Fail,
        "answer malformed",
        "an impossible length",
    );
    let endless = asks("SELECT repeat('x', 1000) FROM generate_series(1, 100000)");
    assert_outcome(
        endless,
        Health::Fail,
        "answer too long",
        "over 1048576 bytes",
    );
    let copy = asks("COPY (SELECT 1) TO STDOUT");
    assert_outcome(copy, Health::Fail, "answer malformed", "before its time");
    // The server gives a stuck query up, though nobody tells it that nobody waits.
    let stuck = PostgresCheck::new("127.0.0.1", cluster.port(), second(0.5)).unwrap();
    let stuck = stuck.query("SELECT pg_sleep(600)").unwrap();
    let detail = "no whole answer to the query within 500ms";
    assert_outcome(stuck, Health::Fail, "answer timeout", detail);
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'failover'";
    wait_until("the end of a stuck query", &[], || {
        let count = cluster.sql(sleeping);
        (count == "0").then_some(()).ok_or(count)
    });
}

#[test]
fn primaries_and_standbys_are_told_apart_and_lag_is_measured() {
    let Some(primary) = Cluster::primary("pg-role", "", "host all bare,looks 127.0.0.1/32 trust")
    else {
        return;
    };
    primary.sql("CREATE ROLE bare LOGIN; CREATE ROLE looks LOGIN IN ROLE pg_monitor");
    primary.sql("CREATE TABLE t (a text)");
    let standby = primary.standby("pg-stand", "");
    standby.start();
    let is = |cluster: &Cluster, role| cluster.check().role(role).unwrap();
    let lag = |max: &str| standby.check().max_lag(max).unwrap();
    assert_outcome(
        is(&primary, Role::Primary),
        Health::Ok,
        "postgres ready",
        ", primary",
    );
    assert_outcome(
        is(&standby, Role::Standby),
        Health::Ok,
        "postgres ready",
        ", standby",
    );
    let words = "postgres wrong role";
    assert_outcome(
        is(&primary, Role::Standby),
        Health::Fail,
        words,
        "expected a standby",
    );
    assert_outcome(
        is(&standby, Role::Primary),
        Health::Fail,
        words,
        "expected a primary",
    );
    // A primary has no lag.
    let always = primary.check().max_lag("0B").unwrap();
    assert_outcome(always, Health::Ok, "postgres ready", ", primary");

    wait_for(lag("0B"), Health::Ok, "postgres ready");
    assert_outcome(lag("1ms"), Health::Ok, "postgres ready", ", 0s behind");
    primary.sql("INSERT INTO t VALUES ('the first transaction that it replays')");
    wait_until("the first transaction", &[], || {
        let count = standby.sql("SELECT count(*) FROM t");
        (count == "1").then_some(()).ok_or(count)
    });
    standby.sql("SELECT pg_wal_replay_pause()");
    wait_until("a pause", &[], || {
        let state = standby.sql("SELECT pg_get_wal_replay_pause_state()");
        (state == "paused").then_some(()).ok_or(state)
    });
    primary.sql("INSERT INTO t SELECT repeat('x', 1000) FROM generate_series(1, 2000)");
    wait_for(lag("1MiB"), Health::Fail, "postgres lag");
    wait_for(lag("1ms"), Health::Fail, "postgres lag");
    assert_outcome(lag("1GiB"), Health::Ok, "postgres ready", "B behind");
    assert_outcome(lag("1h"), Health::Ok, "postgres ready", "ms behind");
    // Nobody needs rights to ask, and with them one sees more.
    for user in ["bare", "looks"] {
        let lag = lag("1MiB").user(user).unwrap();
        let lag = lag.database("postgres").unwrap();
        assert_outcome(lag, Health::Fail, "postgres lag", "behind");
    }
    standby.sql("SELECT pg_wal_replay_resume()");
    wait_for(lag("0B"), Health::Ok, "postgres ready");

    cut_off(&primary, &standby);
    promoted_and_read_only(&standby);
}

/// A standby whose primary is dead does not know what it misses.
fn cut_off(primary: &Cluster, standby: &Cluster) {
    primary.stop("fast");
    let lag = |max: &str| standby.check().max_lag(max).unwrap();
    for max in ["0B", "1ms"] {
        let outcome = wait_for(lag(max), Health::Warn, "postgres ready");
        assert!(
            outcome
                .detail
                .ends_with("behind, and it receives nothing more"),
            "{outcome}"
        );
    }
    assert_outcome(primary.check(), Health::Fail, "tcp connect refused", "");
    // Started anew it cannot tell for a moment, and then knows as little as before.
    standby.stop("fast");
    standby.start();
    wait_for(lag("1MiB"), Health::Warn, "postgres ready");
}

fn promoted_and_read_only(standby: &Cluster) {
    standby.promote();
    let primary = |user| {
        let check = standby
            .check()
            .user(user)
            .unwrap()
            .database("postgres")
            .unwrap();
        check.role(Role::Primary).unwrap()
    };
    assert_outcome(
        primary("postgres"),
        Health::Ok,
        "postgres ready",
        ", primary",
    );
    // That a user only looks says nothing of the server.
    standby.sql("ALTER ROLE looks SET default_transaction_read_only = on");
    assert_outcome(primary("looks"), Health::Ok, "postgres ready", ", primary");
    standby.set("default_transaction_read_only = on");
    standby.reload();
    let outcome = wait_for(primary("postgres"), Health::Warn, "postgres ready");
    assert!(
        outcome
            .detail
            .contains("default_transaction_read_only is on"),
        "{outcome}"
    );
}

#[test]
fn a_server_that_takes_no_connections_says_why() {
    let settings = "max_connections = 4\nsuperuser_reserved_connections = 1\nmax_wal_senders = 2";
    let Some(cluster) = Cluster::primary("pg-state", settings, HBA) else {
        return;
    };
    cluster.sql("CREATE ROLE trusted LOGIN");
    let plain = || {
        cluster
            .check()
            .user("trusted")
            .unwrap()
            .database("postgres")
            .unwrap()
    };
    let role = || plain().role(Role::Primary).unwrap();
    // A standby that does not let anybody look at it.
    let standby = cluster.standby("pg-cold", "hot_standby = off");
    standby.start();
    let words = "postgres rejecting";
    for check in [
        standby.check(),
        standby.check().role(Role::Standby).unwrap(),
    ] {
        assert_outcome(
            check,
            Health::Fail,
            words,
            "57P03 the database system is not accepting",
        );
    }

    // Sessions that stay, until none is left.
    let mut sessions: Vec<_> = (0..4)
        .map(|_| {
            cluster
                .psql("SELECT pg_sleep(600)")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    let words = "postgres out of connections";
    let outcome = wait_for(plain(), Health::Warn, words);
    assert!(outcome.detail.starts_with("53300 "), "{outcome}");
    assert_outcome(role(), Health::Unknown, words, "53300");

    // A smart shutdown waits for them, and a fast one ends them.
    cluster.stop_later("smart");
    let outcome = wait_for(plain(), Health::Fail, "postgres rejecting");
    assert!(
        outcome
            .detail
            .contains("57P03 the database system is shutting down"),
        "{outcome}"
    );
    cluster.stop("fast");
    for session in &mut sessions {
        session.wait().unwrap();
    }
    assert_outcome(plain(), Health::Fail, "tcp connect refused", "");

    // A session that is ended in the middle.
    cluster.start();
    wait_for(plain(), Health::Ok, "postgres ready");
    let end = "SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(600)";
    let ended = cluster.check().query(end).unwrap();
    assert_outcome(ended, Health::Fail, "postgres shut down", "57P01");
}

/// Words of what a server logs of a client that is well-behaved, with every connection logged.
const USUAL: [&str; 4] = [
    "LOG:  connection received",
    "LOG:  connection authenticated",
    "LOG:  connection authorized",
    "LOG:  disconnection",
];

#[test]
fn a_hundred_checks_leave_nothing_unusual_in_the_log() {
    let settings = "log_connections = on\nlog_disconnections = on\nlog_min_messages = info";
    let Some(cluster) = Cluster::primary("pg-log", settings, HBA) else {
        return;
    };
    cluster.sql(USERS);
    let right = cluster.password_file("right", "p:ss wörd");
    let check = |user| {
        cluster
            .check()
            .user(user)
            .unwrap()
            .database("postgres")
            .unwrap()
    };
    let mut checks = vec![check("postgres"), check("trusted")];
    for user in ["scram", "hashed", "clear"] {
        checks.push(check(user));
        checks.push(check(user).password_file(&right));
        let asks = check(user)
            .password_file(&right)
            .role(Role::Primary)
            .unwrap();
        checks.push(asks.query("SELECT true").unwrap());
        checks.push(
            check(user)
                .password_file(&right)
                .query("SELECT false")
                .unwrap(),
        );
    }
    let has_left = |log: &str| {
        let count = |word: &str| log.matches(word).count();
        count("disconnection:") == count("connection authorized:")
    };
    let before = wait_until("the end of psql", &[], || {
        let log = cluster.log();
        has_left(&log).then_some(log.len()).ok_or(log)
    });
    let mut connections = 0;
    while connections < 100 {
        for check in &mut checks {
            check.check();
            connections += 1;
        }
    }
    // The last of them may still be leaving.
    let log = wait_until("the log of all connections", &[], || {
        let log = cluster.log().split_off(before);
        let received = log.matches("connection received").count();
        let is_whole = received == connections && has_left(&log);
        is_whole.then_some(log.clone()).ok_or(log)
    });
    let is_usual = |line: &&str| USUAL.iter().any(|usual| line.contains(usual));
    // What `authenticated` says of the line of pg_hba.conf is in one line with it.
    let unusual: Vec<&str> = log.lines().filter(|line| !is_usual(line)).collect();
    assert!(unusual.is_empty(), "{unusual:#?}");
}
