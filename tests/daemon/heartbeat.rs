//! Heartbeats: somebody else reports, and silence fails.

use crate::house::{House, TOKEN, empty, free_address};
use crate::support::{client, eventually, rest, status};

const CONFIG: &str = "
component backup
    heartbeat token-file DIR/token
    every 1h
component quick
    heartbeat
    every 1s
    grace 500ms
component ours
    heartbeat
    every 1h
";

fn running() -> House {
    let mut house = empty();
    house.write("token", TOKEN);
    house.configure(CONFIG);
    house.start();
    house
}

/// A report with these header lines and this text; its status.
fn report(house: &House, path: &str, token: &str, text: &str) -> u16 {
    let length = text.len();
    let request = format!(
        "POST {path} HTTP/1.0\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n\
         {text}"
    );
    status(&rest(client(house.address(), request)))
}

#[test]
fn a_report_is_the_outcome_for_who_has_the_credential() {
    let house = running();
    assert_eq!(house.status().of("backup", "heartbeat"), "true");
    assert_eq!(
        house.get("/backup").0,
        500,
        "a start is neither a report nor a failure"
    );
    assert_eq!(house.post("/backup", "").0, 401);
    assert_eq!(report(&house, "/backup", "wrong", ""), 401);
    assert_eq!(house.get("/backup").0, 500);

    assert_eq!(report(&house, "/backup", TOKEN, "12 files"), 200);
    assert_eq!(
        house.get("/backup"),
        (200, String::from("OK")),
        "whoever is told finds it so"
    );
    assert_eq!(house.status().of("backup", "detail"), "\"12 files\"");

    assert_eq!(
        report(&house, "/backup?status=warn", TOKEN, "disk 91 %"),
        200
    );
    assert_eq!(house.get("/backup").0, 200);
    assert_eq!(house.status().of("backup", "health"), "\"warn\"");
    assert!(
        house.word("/health").contains("\"status\":\"warn\""),
        "{}",
        house.word("/health")
    );

    assert_eq!(
        report(&house, "/backup?status=fail", TOKEN, "no <space>\n"),
        200
    );
    assert_eq!(house.get("/backup"), (503, String::from("FAIL")));
    assert_eq!(
        house.status().of("backup", "reason"),
        "\"heartbeat says fail\""
    );
    assert_eq!(report(&house, "/backup?status=great", TOKEN, ""), 400);
    assert_eq!(house.get("/backup").0, 503);
    assert_eq!(report(&house, "/backup", TOKEN, ""), 200);
    assert_eq!(house.get("/backup").0, 200);
}

#[test]
fn without_a_credential_only_an_administrator_reports() {
    let house = running();
    let (status, said) = house.post("/ours", "");
    assert_eq!(status, 403);
    assert!(
        said.contains("expected those of an administrator"),
        "{said}"
    );
    assert_eq!(report(&house, "/ours", TOKEN, ""), 403);
    assert_eq!(house.admin("POST", "/ours", "by hand").0, 200);
    assert_eq!(house.get("/ours").0, 200);
    assert_eq!(house.status().of("ours", "detail"), "\"by hand\"");
    // The owner of one token is not the owner of another.
    assert_eq!(house.admin("POST", "/backup?status=fail", "").0, 200);
    assert_eq!(house.get("/backup").0, 503);
}

#[test]
fn an_administrator_reports_over_tcp_with_credentials_but_not_where_balancers_ask() {
    let mut house = empty();
    house.write("token", TOKEN);
    let asked = free_address();
    house.configure(&format!(
        " admin token-file DIR/token\n listen {asked} only components\n{CONFIG}\
         component latch\n file /\n start fail\n manual-reset\n"
    ));
    house.start();
    assert_eq!(house.post("/ours", "").0, 401);
    assert_eq!(report(&house, "/ours", "wrong", ""), 401);
    assert_eq!(house.get("/ours").0, 500, "nothing was taken");
    let post = format!("POST /ours HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    assert_eq!(status(&rest(client(asked, post))), 403);
    assert_eq!(house.get("/ours").0, 500, "nothing was taken");
    assert_eq!(report(&house, "/ours", TOKEN, "by hand"), 200);
    assert_eq!(house.status().of("ours", "detail"), "\"by hand\"");
    assert_eq!(report(&house, "/latch", TOKEN, ""), 200);
    assert_eq!(house.get("/latch").0, 200);
}

#[test]
fn a_credential_file_that_is_gone_is_told_of() {
    let house = running();
    house.remove("token");
    let said = house.post("/backup", "");
    assert_eq!(
        said,
        (500, String::from("ERROR: no credentials to compare"))
    );
    let told = "error: component=backup no credentials to compare: ";
    let line = house.daemon().line_with(told);
    assert!(line.contains("/token: "), "{line}");
}

#[test]
fn before_the_first_report_nothing_goes_stale() {
    let mut house = empty();
    // Longer than what is looked at every second may go without a known outcome.
    house.configure("component late\n heartbeat\n every 3s\n grace 500ms\n");
    house.start();
    let line = house.daemon().line_with("component=late");
    assert!(line.contains("reason=\"heartbeat missed\""), "{line}");
    assert!(line.contains("state=\"unknown -> fail\""), "{line}");
}

#[test]
fn silence_fails_and_a_report_ends_it() {
    let house = running();
    // What is reported is ok for a moment only, which the log has seen.
    assert_eq!(house.admin("POST", "/quick", "").0, 200);
    house.daemon().line_with("component=quick took=");
    let line = house.daemon().line_with("reason=\"heartbeat missed\"");
    assert!(line.contains("state=\"ok -> fail\""), "{line}");
    assert_eq!(house.get("/quick").0, 503);
    assert_eq!(house.admin("POST", "/quick", "").0, 200);
    house.daemon().line_with("state=\"fail -> ok\"");
}

#[test]
fn a_reload_that_changes_what_is_said_of_it_keeps_the_last_report() {
    let mut house = empty();
    house.write("token", TOKEN);
    let config = |more: &str| format!("component backup\n heartbeat\n every 1d\n{more}");
    house.configure(&config(""));
    house.start();
    assert_eq!(house.admin("POST", "/backup", "12 files").0, 200);
    house.reload(&config(" why \"tapes are changed at noon\"\n"));
    eventually("a run", || house.status().number("backup", "runs") > 0.0);
    // Longer than its outcome would be good for, were it not the same report still.
    eventually("more runs", || {
        house.status().number("backup", "runs") > 4.0
    });
    assert_eq!(house.get("/backup"), (200, String::from("OK")));
    assert_eq!(house.status().of("backup", "detail"), "\"12 files\"");
    assert_eq!(house.admin("POST", "/backup?status=fail", "").0, 200);
    house.reload(&config(" critical yes\n"));
    eventually("a run", || house.status().number("backup", "runs") > 0.0);
    assert_eq!(house.get("/backup").0, 503);
    assert_eq!(house.get("/health").0, 503);
}

#[test]
fn one_that_is_drained_before_its_first_report_fails_the_whole() {
    let house = running();
    for name in ["quick", "ours"] {
        house.maintain(name, "mode=drain");
    }
    eventually("it has looked", || {
        house.status().number("ours", "runs") > 0.0
    });
    assert_eq!(house.get("/ours").0, 503);
    assert_eq!(house.get("/health").0, 503);
}
