//! Maintenance: what a human puts a component into stands between what is judged and what is
//! answered, everywhere.

use crate::house::{House, QUICK, TOKEN, free_address, house};
use crate::support::{client, eventually, rest};

fn running() -> House {
    let house = house(&format!(
        "{QUICK}component a\n file DIR/a\n fail-status 404\n\
         component b\n file DIR/b\n\
         component site\n all-of a b\n"
    ));
    house.write("a", "");
    house.write("b", "");
    house.comes_to("/site", "OK");
    house
}

#[test]
fn drained_is_failed_to_everybody_and_says_why() {
    let house = running();
    house.maintain("a", "mode=drain&for=1h&because=new+disk");
    assert_eq!(
        house.get("/a"),
        (404, String::from("FAIL")),
        "its own fail-status"
    );
    house.comes_to("/site", "FAIL");
    house
        .daemon()
        .line_with("component=a maintenance=drain for=1h because=\"new disk\"");
    house.daemon().line_with("component=site");
    let (status, json) = house.get("/a?format=json");
    assert_eq!(status, 404);
    assert!(json.contains("in maintenance, drain: new disk"), "{json}");
    let output = "\"output\":\"drained: new disk\"";
    assert!(json.contains(output), "not that its file is there: {json}");
    let status = house.status();
    let why = status.of("site", "detail");
    assert!(why.ends_with("; a: drained: new disk\""), "{why}");
    for part in [
        "\"mode\":\"drain\"",
        "\"because\":\"new disk\"",
        "\"until\":\"2",
    ] {
        assert!(status.of("a", "maint").contains(part), "{}", status.0);
    }
    assert_eq!(
        status.of("a", "phase"),
        "\"healthy\"",
        "what its check makes of it"
    );
    assert_eq!(
        house.metric("failover_component_maintenance{component=\"a\"}"),
        1.0
    );
    assert_eq!(
        house.metric("failover_component_state{component=\"a\"}"),
        0.0
    );
    assert_eq!(
        house.metric("failover_component_state{component=\"site\"}"),
        0.0
    );
    let runs = status.number("a", "runs");
    eventually("it is judged on", || {
        house.status().number("a", "runs") > runs
    });

    house.maintain("a", "mode=off");
    assert_eq!(house.word("/a"), "OK");
    house.comes_to("/site", "OK");
    assert_eq!(
        house.metric("failover_component_maintenance{component=\"a\"}"),
        0.0
    );
}

#[test]
fn held_is_as_it_was_whatever_happens() {
    let house = running();
    house.maintain("a", "mode=hold");
    assert_eq!(
        house.metric("failover_component_maintenance{component=\"a\"}"),
        2.0
    );
    house.remove("a");
    eventually("its check fails", || {
        house.status().of("a", "phase") == "\"unhealthy\""
    });
    assert_eq!(house.word("/a"), "OK");
    assert_eq!(house.word("/site"), "OK");
    house.maintain("a", "mode=off");
    assert_eq!(house.get("/a"), (404, String::from("FAIL")));
    house.comes_to("/site", "FAIL");
}

#[test]
fn a_hold_after_a_drain_holds_what_the_check_finds() {
    let house = running();
    house.maintain("a", "mode=drain");
    assert_eq!(house.get("/a"), (404, String::from("FAIL")));
    house.maintain("a", "mode=hold");
    assert_eq!(house.word("/a"), "OK", "as before it was drained");
    house.comes_to("/site", "OK");
    house.remove("a");
    eventually("its check fails", || {
        house.status().of("a", "phase") == "\"unhealthy\""
    });
    house.maintain("a", "mode=hold&because=longer");
    assert_eq!(house.word("/a"), "OK", "what is held is held on");
    house.maintain("a", "mode=drain");
    house.write("a", "");
    eventually("its check passes", || {
        house.status().of("a", "phase") == "\"healthy\""
    });
    assert_eq!(house.get("/a"), (404, String::from("FAIL")));
    house.maintain("a", "mode=off");
    assert_eq!(house.word("/a"), "OK");
    house.maintain("a", "mode=hold");
    house.remove("a");
    house.maintain("a", "mode=drain");
    eventually("its check fails", || {
        house.status().of("a", "phase") == "\"unhealthy\""
    });
    house.maintain("a", "mode=hold");
    assert_eq!(house.get("/a"), (404, String::from("FAIL")), "as judged");
    house.maintain("a", "mode=off");
    assert_eq!(house.get("/a"), (404, String::from("FAIL")));
}

#[test]
fn it_ends_by_itself() {
    let house = running();
    house.maintain("a", "mode=drain&for=1h");
    assert_eq!(house.word("/a"), "FAIL");
    house.maintain("a", "mode=drain&for=300ms");
    house.daemon().line_with("component=a maintenance=off");
    assert_eq!(house.word("/a"), "OK");
    house.comes_to("/site", "OK");
    assert_eq!(house.status().of("a", "maint"), "null");
}

#[test]
fn a_composed_one_is_put_into_it_like_any_other() {
    let house = running();
    house.maintain("site", "mode=drain");
    assert_eq!(house.word("/site"), "FAIL");
    assert_eq!(house.word("/a"), "OK");
    house.maintain("site", "mode=off");
    assert_eq!(house.word("/site"), "OK");
}

#[test]
fn over_tcp_nobody_may_until_somebody_has_a_credential() {
    let open = format!("{QUICK}component a\n file /\n");
    let house = house(&open);
    let drain = "/-/maint/a?mode=drain";
    let (status, said) = house.post(drain, "");
    assert_eq!(status, 403);
    assert!(said.contains("`admin token-file FILE`"), "{said}");
    assert_eq!(house.post("/-/reload", "").0, 403);
    assert_eq!(house.word("/a"), "OK");

    house.write("token", TOKEN);
    house.reload(&format!(" admin token-file DIR/token\n{open}"));
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    assert_eq!(house.post(drain, "").0, 401);
    assert_eq!(house.post(drain, &bearer("wrong")).0, 401);
    assert_eq!(house.post("/-/reload", &bearer("wrong")).0, 401);
    assert_eq!(house.word("/a"), "OK");
    assert_eq!(house.post(drain, &bearer(TOKEN)).0, 200);
    assert_eq!(house.word("/a"), "FAIL");
    house.daemon().line_with("maintenance component=a by=");
    assert_eq!(house.post("/-/reload", &bearer(TOKEN)).0, 200);

    house.reload(&open);
    assert_eq!(
        house.post(drain, &bearer(TOKEN)).0,
        403,
        "a reload takes it away, too"
    );
}

#[test]
fn a_balancer_is_told_that_a_failure_is_held() {
    let agent = free_address();
    let house = house(&format!(
        " agent-listen {agent} component a\n{QUICK}component a\n file DIR/a\n"
    ));
    house.comes_to("/a", "FAIL");
    assert_eq!(rest(client(agent, "")), "down #file missing\n");
    house.maintain("a", "mode=hold");
    house.write("a", "");
    eventually("its check passes", || {
        house.status().of("a", "phase") == "\"healthy\""
    });
    assert_eq!(rest(client(agent, "")), "down #held\n");
}
