//! Answers: how they end, what is expected of them, what they say of themselves.

use std::io::Write;
use std::time::Instant;

use failover::{Check, Health, Side};

use crate::support::{PATIENCE, peer};
use crate::{answer, assert_outcome, check_of, hang, redirect, request, server};

#[test]
fn each_way_to_end_a_body_is_understood() {
    for (text, line) in [
        (answer("200 OK", "", "fine"), "200 OK"),
        (answer("200 OK", "", ""), "200 OK"),
        ("HTTP/1.1 200 OK\r\n\r\nfine".to_string(), "200 OK"),
        ("HTTP/1.0 200\n\nfine".to_string(), "200"),
        ("HTTP/1.1 204 No Content\r\n\r\n".to_string(), "204 No Content"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nfi\r\n2;x\r\nne\r\n0\r\n\r\n"
                .to_string(),
            "200 OK",
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".to_string()
                + &answer("201 Created", "", "fine"),
            "201 Created",
        ),
    ] {
        let port = server(text.clone());
        assert_outcome(&mut check_of(port, "/"), &format!("Ok http answered: {line}"));
        if text.contains("fi") {
            let mut check = check_of(port, "/").expect_body("fine").unwrap();
            assert_outcome(&mut check, &format!("Ok http answered: {line}"));
            let mut check = check_of(port, "/").expect_body("well").unwrap();
            assert_outcome(&mut check, &format!("Fail text missing: {line}"));
        }
    }
}

#[test]
fn an_answer_is_over_when_it_says_so_and_not_when_the_server_closes() {
    for text in [
        answer("200 OK", "", "fine"),
        answer("503 Busy", "", "down"),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n".to_string(),
        "HTTP/1.1 204 No Content\r\n\r\n".to_string(),
    ] {
        let sent = text.clone();
        let port = peer(move |mut stream| {
            request(&mut stream);
            let _ = stream.write_all(sent.as_bytes());
            hang(&mut stream);
        });
        let started = Instant::now();
        let health = check_of(port, "/").check().health;
        assert_eq!(health == Health::Ok, text.contains(" 20"), "{text}");
        assert!(started.elapsed() < PATIENCE / 2, "{text}");
    }
}

#[test]
fn a_head_is_answered_without_a_body() {
    // The length is that of the body that a GET would have.
    let port = server("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    let mut check = check_of(port, "/").method("HEAD").unwrap();
    assert_outcome(&mut check, "Ok http answered: 200 OK");
    let expected = format!("Fail answer ended early: 127.0.0.1:{port}: no whole body");
    assert_outcome(&mut check_of(port, "/"), &expected);
}

#[test]
fn a_status_that_is_not_expected_is_told_with_some_of_the_body() {
    let long = "x".repeat(5_000);
    for (text, detail) in [
        (
            answer("503 FAIL", "", "FAIL\n"),
            "503 FAIL: FAIL".to_string(),
        ),
        (answer("404", "", ""), "404".to_string()),
        (
            answer("500 Oops", "", &long),
            format!("500 Oops: {}", &long[..100]),
        ),
        (
            "HTTP/1.0 503 Busy\r\n\r\n".to_string(),
            "503 Busy".to_string(),
        ),
        // A body that is not whole changes nothing about the status.
        (
            "HTTP/1.1 502 Bad\r\nContent-Length: 9\r\n\r\nhalf".to_string(),
            "502 Bad: half".to_string(),
        ),
        (redirect(302, "/x"), "302 Moved: moved".to_string()),
    ] {
        let expected = format!("Fail http status not expected: {detail}");
        assert_outcome(&mut check_of(server(text), "/"), &expected);
    }
    let mut check = check_of(server(answer("404 Gone", "", "")), "/")
        .expect_status("200-299,404")
        .unwrap();
    assert_outcome(&mut check, "Ok http answered: 404 Gone");
    let mut check = check_of(server(answer("200 OK", "", "")), "/")
        .expect_status("404")
        .unwrap();
    assert_outcome(&mut check, "Fail http status not expected: 200 OK");
}

#[test]
fn of_a_long_body_the_beginning_counts() {
    let begin = "HTTP/1.1 200 OK\r\n\r\n{\"status\": \"pass\", \"n\": 5, \"text\": \"";
    let port = peer(move |mut stream| {
        request(&mut stream);
        let _ = stream.write_all(begin.as_bytes());
        while stream.write_all(&[b'x'; 4_096]).is_ok() {}
    });
    assert_outcome(&mut check_of(port, "/"), "Ok http answered: 200 OK");
    let check = || check_of(port, "/");
    let mut found = check().expect_body("\"pass\"").unwrap();
    assert_outcome(&mut found, "Ok http answered: 200 OK");
    let mut found = check().value("n", Side::Below, 6.0).unwrap();
    assert_outcome(&mut found, "Ok http answered: 200 OK, n is 5");
    for mut check in [
        check().expect_body("nowhere").unwrap(),
        check().value("m", Side::Below, 6.0).unwrap(),
    ] {
        let outcome = check.check();
        assert_eq!(outcome.reason.words(), "answer too long", "{outcome}");
    }
    // What just fits is not too long.
    let port = server(answer("200 OK", "", &"x".repeat(64 * 1024)));
    let mut check = check_of(port, "/").expect_body("nowhere").unwrap();
    assert_outcome(&mut check, "Fail text missing: 200 OK");
}

#[test]
fn what_a_service_says_of_itself_counts() {
    let health = |status: &str, body: &str| {
        server(answer(
            status,
            "Content-Type: application/health+json\r\n",
            body,
        ))
    };
    for (status, body, expected) in [
        (
            "200 OK",
            "{\"status\":\"pass\"}",
            "Ok http answered: 200 OK",
        ),
        (
            "200 OK",
            "{\"status\":\"warn\",\"output\":\"disk 91 %\"}",
            "Warn http says warn: disk 91 %",
        ),
        (
            "200 OK",
            "{\"status\":\"fail\",\"output\":\"db\"}",
            "Fail http says fail: db",
        ),
        (
            "200 OK",
            "{}",
            "Fail answer malformed: health+json without a status",
        ),
        (
            "200 OK",
            "{\"status\":\"fine\"}",
            "Fail answer malformed: health+json with the status \"fine\"",
        ),
        (
            "503 Busy",
            "{\"status\":\"fail\"}",
            "Fail http status not expected: 503 Busy: {\"status\":\"fail\"}",
        ),
    ] {
        assert_outcome(&mut check_of(health(status, body), "/"), expected);
    }
    let port = health("200 OK", "{\"status\":\"warn\",\"n\":7}");
    let mut check = check_of(port, "/").value("n", Side::Below, 8.0).unwrap();
    assert_outcome(&mut check, "Warn http says warn");
    let mut check = check.value("n", Side::Below, 7.0).unwrap();
    assert_outcome(
        &mut check,
        "Fail value beyond limit: n is 7, expected below 7",
    );
    // Anything else that is JSON is only a body.
    let port = server(answer("200 OK", "", "{\"status\":\"fail\"}"));
    assert_outcome(&mut check_of(port, "/"), "Ok http answered: 200 OK");
}

#[test]
fn numbers_are_held_to_their_limits() {
    let metrics = "# TYPE jobs gauge\njobs{queue=\"a\"} 3\njobs{queue=\"b\"} 120\n";
    let port = server(answer("200 OK", "Content-Type: text/plain\r\n", metrics));
    for (key, side, limit, expected) in [
        (
            "jobs",
            Side::Below,
            100.0,
            "Ok http answered: 200 OK, jobs is 3",
        ),
        (
            "jobs",
            Side::Above,
            3.0,
            "Fail value beyond limit: jobs is 3, expected above 3",
        ),
        (
            "jobs{queue=\"b\"}",
            Side::Below,
            100.0,
            "Fail value beyond limit: jobs{queue=\"b\"} is 120, expected below 100",
        ),
        (
            "gone",
            Side::Below,
            1.0,
            "Fail value missing: no number gone",
        ),
    ] {
        assert_outcome(
            &mut check_of(port, "/").value(key, side, limit).unwrap(),
            expected,
        );
    }
}
