//! Another configuration while the daemon runs: what goes on, what starts afresh, what is refused.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::thread;

use crate::hangs::{hangs_at, make_pipe};
use crate::house::{QUICK, Status, free_address, house};
use crate::load::counting;
use crate::support::{Daemon, a_moment, ask, client, eventually, free_port, get, rest};

const SUCCESSFUL: &str = "failover_config_last_reload_successful";

#[test]
fn a_good_file_is_a_generation_and_a_broken_one_changes_nothing() {
    let config = format!("{QUICK}component a\n file DIR/a");
    let house = house(&config);
    house.write("a", "");
    house.comes_to("/a", "OK");
    assert_eq!(house.status().value("generation"), "1");

    let again = house.admin("POST", "/-/reload", "");
    assert_eq!(again, (200, String::from("Generation 2 is in force")));
    house.hang_up();
    eventually("generation 3", || house.status().value("generation") == "3");
    house
        .daemon()
        .line_with("configuration taken: generation=3");
    assert_eq!(house.metric(SUCCESSFUL), 1.0);

    let broken = format!("{config}\n fail-aftr 3");
    let said = house.refused(&broken);
    assert!(
        said.ends_with(":12:2: \"fail-aftr\" is no keyword; did you mean \"fail-after\"?"),
        "{said}"
    );
    let logged = "configuration refused, nothing was changed: ";
    let line = house.daemon().line_with(logged);
    assert!(line.contains("Z error: "), "{line}");
    house.hang_up();
    house.daemon().line_with(logged);
    let status = house.status();
    assert!(
        status.value("error").contains("did you mean"),
        "{}",
        status.0
    );
    assert_eq!(status.value("generation"), "3");
    assert_eq!(house.metric(SUCCESSFUL), 0.0);
    assert_eq!(house.metric("failover_config_generation"), 3.0);
    assert_eq!(house.word("/a"), "OK");

    house.remove("conf");
    house.hang_up();
    let line = house.daemon().line_with(logged);
    assert!(line.contains("No such file"), "{line}");

    house.reload(&config);
    let status = house.status();
    assert_eq!(
        (status.value("error"), status.value("generation")),
        ("null", "4")
    );
    assert_eq!(house.metric(SUCCESSFUL), 1.0);
}

/// Two that stay, and one that goes or comes.
fn three(third: &str) -> String {
    format!(
        "{QUICK}component latched\n file DIR/latched\n manual-reset\n\
         component drained\n file DIR/a\n\
         component a\n file DIR/a\n{third}"
    )
}

#[test]
fn what_is_unchanged_goes_on_what_is_gone_is_gone_and_what_is_new_answers() {
    let house = house(&three("component old\n file DIR/a\n"));
    house.write("a", "");
    for (path, word) in [("/a", "OK"), ("/old", "OK"), ("/latched", "FAIL")] {
        house.comes_to(path, word);
    }
    house.write("latched", "well again");
    house.maintain("drained", "mode=drain&because=new+disk");
    for (name, key, value) in [
        ("latched", "reason", "\"awaits reset\""),
        ("drained", "phase", "\"healthy\""),
    ] {
        eventually(name, || house.status().of(name, key) == value);
    }
    eventually("some history", || house.status().number("a", "runs") > 4.0);
    let before = house.status();

    house.reload(&three(
        "# another\ncomponent new\n    file    \"DIR/a\"  # the same\n",
    ));
    let after = house.status();
    for name in ["a", "latched", "drained"] {
        assert!(
            after.number(name, "runs") >= before.number(name, "runs"),
            "{name}"
        );
        for key in ["state", "phase", "reason", "since", "changes", "maint"] {
            assert_eq!(after.of(name, key), before.of(name, key), "{name} {key}");
        }
    }
    let history = |status: &Status| status.of("a", "history").matches("ok").count();
    assert!(history(&after) >= history(&before));
    assert_eq!(after.of("latched", "reason"), "\"awaits reset\"");
    assert_eq!(
        house.word("/latched"),
        "FAIL",
        "it waits for a human, not for an editor"
    );
    assert!(
        after
            .of("drained", "maint")
            .contains("\"because\":\"new disk\"")
    );

    assert_eq!(house.get("/old"), (404, String::from("ERROR")));
    assert!(!after.has("old"));
    assert_eq!(
        house.word("/new"),
        "OK",
        "whoever comes first waits for the first outcome"
    );
    let runs = house.status().number("a", "runs");
    eventually("it goes on", || house.status().number("a", "runs") > runs);
}

#[test]
fn another_judging_keeps_the_state_and_another_question_starts_afresh() {
    let config = |a: &str| format!("{QUICK}component a\n {a}\n");
    // Once, so that nobody sees that the file comes until the next configuration.
    let house = house(&config("file DIR/a\n every 1h\n stale-after 2h"));
    house.comes_to("/a", "FAIL");
    house.maintain("a", "mode=hold&because=tests");
    house.write("a", "");
    house.write("b", "");

    house.reload(&config("file DIR/a\n ok-after 100000"));
    house.maintain("a", "mode=off");
    eventually("a run", || house.status().number("a", "runs") > 0.0);
    assert_eq!(
        house.word("/a"),
        "FAIL",
        "as it was, and far from recovered"
    );
    let status = house.status();
    assert_eq!(status.of("a", "phase"), "\"recovering\"");
    assert_eq!(status.of("a", "needed"), "\"100000\"");

    house.reload(&config("file DIR/b\n ok-after 100000"));
    assert_eq!(house.word("/a"), "OK", "the first outcome decides");

    house.maintain("a", "mode=drain");
    house.reload(&config("file DIR/a"));
    assert_eq!(
        house.word("/a"),
        "FAIL",
        "maintenance is the component's, whatever it asks"
    );
    assert!(
        house
            .status()
            .of("a", "maint")
            .contains("\"mode\":\"drain\"")
    );
}

#[test]
fn what_is_made_of_others_follows_them_into_the_next_configuration() {
    let config =
        |file: &str| format!("{QUICK}component a\n file DIR/{file}\ncomponent site\n all-of a\n");
    let house = house(&config("a"));
    house.write("a", "");
    house.comes_to("/site", "OK");
    house.reload(&config("b"));
    house.comes_to("/site", "FAIL");
    house.write("b", "");
    house.comes_to("/site", "OK");
    let error = house.refused(&format!("{QUICK}component site\n all-of a\n"));
    assert!(error.contains("there is no component \"a\""), "{error}");
    assert_eq!(house.word("/site"), "OK");
}

#[test]
fn listeners_come_go_and_change_their_rules() {
    let (one, two) = (free_address(), free_address());
    let places = |lines: &str| format!("{lines}{QUICK}component a\n file /\n");
    let house = house(&places(""));
    let listens = |address: SocketAddr| TcpStream::connect(address).is_ok();
    house.comes_to("/a", "OK");
    assert!(!listens(one) && !listens(two));

    house.reload(&places(&format!(" listen {one}\n agent-listen {two}\n")));
    assert_eq!(get(one, "/a"), "OK");
    assert!(get(one, "/metrics").starts_with("# HELP "));
    // Whoever is late with the name is told nothing.
    eventually("an agent", || ask(two, "a\n").starts_with("up"));

    house.reload(&places(&format!(" listen {one} only components\n")));
    assert_eq!(get(one, "/a"), "OK");
    assert_eq!(get(one, "/metrics"), "ERROR");
    assert!(!listens(two));

    // Nothing of a configuration is taken when one of its addresses cannot be had.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let error = house.refused(&places(&format!(" listen {two}\n listen {taken}\n")));
    assert!(
        error.contains(&format!("listening on {taken} failed")),
        "{error}"
    );
    assert_eq!(get(one, "/metrics"), "ERROR");
    assert!(!listens(two));

    house.reload(&places(""));
    assert!(!listens(one));
    assert_eq!(house.word("/a"), "OK", "and here nothing has changed");
}

/// So many that giving each its thread takes longer than the first few would wait.
const MANY: u64 = 1_000;

#[test]
fn nothing_of_a_configuration_asks_before_all_of_it_is_in_force() {
    let ((one, asked_one), (other, asked_other)) = (counting(), counting());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!(" listen {}\n", taken.local_addr().unwrap());
    let many = |listens: &str, target: SocketAddr| -> String {
        let defaults = "defaults\n every 2s\n timeout 1s\n stale-after 1h\n";
        let component = |number| format!("component c{number}\n tcp {target}\n");
        let components: String = (0..MANY).map(component).collect();
        format!("{listens}{defaults}{components}")
    };
    let house = house("component a\n file /\n");
    // What goes wrong last goes wrong.
    house.refused(&many(&taken, one));
    a_moment();
    assert_eq!(asked_one.load(Ordering::SeqCst), 0);
    house.reload(&many("", one));
    eventually("all have asked", || {
        asked_one.load(Ordering::SeqCst) >= MANY
    });
    // The same of those that would take the place of others.
    house.refused(&many(&taken, other));
    a_moment();
    assert_eq!(asked_other.load(Ordering::SeqCst), 0);
}

#[test]
fn a_place_whose_port_the_system_chose_is_closed_when_it_is_gone() {
    for rules in ["", " only components"] {
        let places = |lines: &str| format!("{lines}{QUICK}component a\n file /\n");
        let house = house(&places(&format!(" listen 127.0.0.1:0{rules}\n")));
        let line = house.daemon().line_with("listening on ");
        let other: SocketAddr = line.rsplit(' ').next().unwrap().parse().unwrap();
        assert_ne!(other, house.address());
        house.comes_to("/a", "OK");
        assert_eq!(get(other, "/a"), "OK");
        // Everything else may change around it.
        house.reload(&places(&format!(
            " listen 127.0.0.1:0{rules}\n agent-listen 127.0.0.1:0\n"
        )));
        assert_eq!(get(other, "/a"), "OK");
        house.reload(&places(""));
        assert!(TcpStream::connect(other).is_err());
        assert_eq!(house.word("/a"), "OK");
    }
}

#[test]
fn a_reset_that_is_due_is_a_humans_to_give_and_not_an_editors() {
    let with =
        |line: &str| format!("{QUICK}component a\n file DIR/a\n{line}component b\n file /\n");
    let house = house(&with(" manual-reset\n"));
    house.comes_to("/a", "FAIL");
    house.write("a", "");
    for config in [with(""), format!("{QUICK}component b\n file /\n")] {
        let said = house.refused(&config);
        assert!(
            said.contains("component \"a\" awaits its manual reset"),
            "{said}"
        );
        assert_eq!(house.status().value("generation"), "1");
    }
    // One that keeps it may judge as it likes, and the reset is still due.
    house.reload(&with(" manual-reset\n fail-after 3\n"));
    assert_eq!(house.word("/a"), "FAIL");
    eventually("a run", || house.status().number("a", "runs") > 0.0);
    assert_eq!(house.word("/a"), "FAIL");
    let (status, said) = house.admin("POST", "/-/reset/a", "");
    assert_eq!(status, 200, "{said}");
    assert_eq!(house.word("/a"), "OK");
    house.reload(&with(""));
    assert_eq!(house.word("/a"), "OK");
}

#[test]
fn standard_input_is_read_once() {
    let daemon = Daemon::run("component a\n file /\n");
    let pid = daemon.pid().to_string();
    let sent = Command::new("kill").args(["-HUP", &pid]).status();
    assert!(sent.unwrap().success());
    daemon.line_with("came from standard input and cannot be read again");
    a_moment();
    assert_eq!(get(daemon.address, "/a"), "OK");
}

#[test]
fn what_only_a_start_can_change_is_said() {
    let with = |line: &str| format!("{line}\n{QUICK}component a\n file /\n");
    let house = house(&with(""));
    house.reload(&with(" state-dir DIR/state\n max-connections 7"));
    house
        .daemon()
        .line_with("max-connections change at the next start only");
    assert!(!Path::new(&house.path("state")).exists());
    assert_eq!(house.status().value("generation"), "2");
}

#[test]
fn who_waits_for_a_run_waits_on_for_the_one_that_takes_its_place() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = |other: &str| {
        format!(
            "component a\n on-request\n tcp {}\n expect hello\n timeout 1m\n{other}\
             component first\n tcp {}\n expect hello\n timeout 1m\n every 2m\n{other}",
            silent.local_addr().unwrap(),
            silent.local_addr().unwrap(),
        )
    };
    let house = house(&config(""));
    let hangs = |count| {
        (0..count)
            .map(|_| silent.accept().unwrap().0)
            .collect::<Vec<_>>()
    };
    let waiting = ["/a", "/first"]
        .map(|path| client(house.address(), format!("GET {path} HTTP/1.0\r\n\r\n")));
    let before = hangs(2);
    house.reload(&config(" fail-after 7\n"));
    for mut asked in hangs(2) {
        asked.write_all(b"hello").unwrap();
    }
    for client in waiting {
        assert!(
            rest(client).starts_with("HTTP/1.0 200 OK"),
            "nobody is told an error"
        );
    }
    drop(before);
}

#[test]
fn what_a_human_does_while_a_reload_goes_on_is_done_at_once_and_goes_on_in_what_comes_of_it() {
    let config = |more: &str| format!("{QUICK}component a\n file DIR/a\n manual-reset\n{more}");
    let house = house(&config(""));
    house.comes_to("/a", "FAIL");
    house.write("a", "");
    let [maint, reset] = ["/-/maint/a", "/-/reset/a"];
    for (number, (target, fields)) in [(maint, "mode=drain"), (maint, "mode=off"), (reset, "")]
        .into_iter()
        .enumerate()
    {
        // The reload reads a pipe, and waits for what comes through it.
        house.remove("conf");
        make_pipe(&house, "conf");
        let socket = house.socket();
        let by_signal = number == 0;
        let reloading = thread::spawn(move || match by_signal {
            true => None,
            false => Some(socket.request("POST", "/-/reload", b"").unwrap().0),
        });
        if by_signal {
            house.hang_up();
        }
        let hangs = hangs_at(&house, "conf");
        let (status, said) = house.admin("POST", target, fields);
        assert_eq!(status, 200, "{said}");
        let (status, said) = house.admin("POST", "/-/reload", "");
        assert_eq!(status, 409, "{said}");
        assert!(said.starts_with("ERROR: another reload "), "{said}");
        let before = (number + 1).to_string();
        assert_eq!(house.status().value("generation"), before);
        assert_eq!(house.status().value("error"), "null");
        house.configure(&config(&format!(" why \"{number}\"\n")));
        drop(hangs);
        assert!(reloading.join().unwrap().is_none_or(|status| status == 200));
        let after = (number + 2).to_string();
        eventually("the reload", || house.status().value("generation") == after);
        let status = house.status();
        let is_drained = status.of("a", "maint") != "null";
        assert_eq!(is_drained, fields == "mode=drain", "{}", status.0);
    }
    house.comes_to("/a", "OK");
}

#[test]
fn the_same_port_of_other_addresses_is_taken_over() {
    let wide = SocketAddr::from(([0, 0, 0, 0], free_port()));
    let narrow = SocketAddr::new(free_address().ip(), wide.port());
    let places = |address: SocketAddr| format!(" listen {address}\n{QUICK}component a\n file /\n");
    let house = house(&places(wide));
    house.comes_to("/a", "OK");
    for address in [narrow, wide, narrow] {
        house.reload(&places(address));
        assert_eq!(get(narrow, "/a"), "OK");
    }
    // One that cannot be had leaves all as it was, also what was in the way of another.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    house.refused(&format!(" listen {taken}\n{}", places(wide)));
    assert_eq!(get(narrow, "/a"), "OK");
    house.reload(&places(wide));
    assert_eq!(get(narrow, "/a"), "OK");
}
