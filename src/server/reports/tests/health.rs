//! `/health` and its parts, and one component explained.
#![forbid(unsafe_code)]

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

#[test]
fn the_whole_follows_what_counts() {
    use Health::{Fail, Ok, Unknown, Warn};
    let inside = || made_of(&["a", "b"]);
    for (components, status, begins) in [
        (vec![], 200, r#"{"status":"pass","releaseId""#),
        (
            vec![("a", Ok, about())],
            200,
            r#"{"status":"pass","releaseId""#,
        ),
        (
            vec![("a", Warn, about()), ("b", Ok, about())],
            200,
            r#"{"status":"warn","output":"warn: a""#,
        ),
        (
            vec![("a", Fail, optional()), ("b", Unknown, optional())],
            200,
            r#"{"status":"warn","output":"warn: a, b""#,
        ),
        (
            vec![
                ("a", Fail, about()),
                ("b", Unknown, about()),
                ("c", Fail, about()),
            ],
            503,
            r#"{"status":"fail","output":"fail: a, c""#,
        ),
        (
            vec![("a", Ok, about()), ("b", Unknown, about())],
            503,
            r#"{"status":"fail","output":"unknown: b""#,
        ),
        // What is part of another counts there, and not twice.
        (
            vec![
                ("a", Fail, about()),
                ("b", Ok, about()),
                ("c", Ok, inside()),
            ],
            200,
            r#"{"status":"pass","releaseId""#,
        ),
        (
            vec![
                ("a", Ok, about()),
                ("b", Ok, about()),
                ("c", Fail, inside()),
            ],
            503,
            r#"{"status":"fail","output":"fail: c""#,
        ),
    ] {
        let site = Site::new(&components);
        for path in ["/health", "/health/ready"] {
            let (found, body) = site.get(path);
            assert!(
                found == status && body.starts_with(begins),
                "{path}: {body}"
            );
        }
        for path in ["/health/live", "/health/startup"] {
            assert_eq!(site.get(path).0, 200, "{path}");
        }
    }
}

#[test]
fn what_runs_on_request_does_not_count_and_is_not_run() {
    let (sender, runs) = channel();
    let site = Site::new(&[("a", Health::Ok, about())]);
    let sender: Mutex<Sender<()>> = Mutex::new(sender);
    let check = move || {
        let _ = locked(&sender).send(());
        false
    };
    site.add("asked", Box::new(check), None, about());
    for path in ["/health", "/health/startup", "/metrics", "/-/status"] {
        assert_eq!(site.get(path).0, 200, "{path}");
    }
    assert_eq!(site.get("/asked?format=json").0, 500);
    assert!(runs.try_recv().is_err(), "nothing has run");
    assert_eq!(site.get("/asked"), (503, String::from("FAIL")));
    assert_eq!(site.get("/asked?x&format=json").0, 503);
    assert_eq!(runs.try_iter().count(), 1);
    assert_eq!(site.get("/health").0, 200);
}

#[test]
fn startup_waits_for_every_first_outcome_once() {
    let (open, gate) = channel::<()>();
    let gate: Mutex<Receiver<()>> = Mutex::new(gate);
    let site = Site::with(|builder| builder);
    let check = move || {
        let _ = locked(&gate).recv_timeout(PATIENCE);
        false
    };
    site.mount_check("slow", Box::new(check), None, optional());
    drop(site.server.start().unwrap());
    for path in ["/health/startup", "/health/ready"] {
        let (status, body) = site.get(path);
        assert_eq!(status, 503, "{path}");
        assert!(
            body.contains(r#""output":"no outcome yet: slow""#),
            "{body}"
        );
    }
    assert_eq!(site.get("/health/live").0, 200);
    open.send(()).unwrap();
    site.settle();
    assert_eq!(site.get("/health/startup").0, 200);
    let (status, body) = site.get("/health/ready");
    assert_eq!(status, 200);
    assert!(body.contains(r#""output":"warn: slow""#), "{body}");
    // What comes later does not undo it.
    let (_keep, never) = channel::<()>();
    let never: Mutex<Receiver<()>> = Mutex::new(never);
    let check = move || locked(&never).recv_timeout(SECOND).is_ok();
    site.mount_check("later", Box::new(check), None, optional());
    assert_eq!(site.get("/health/startup").0, 200);
}

#[test]
fn one_component_explains_itself() {
    let described = About {
        asks: String::from("tcp 192.0.2.1:25"),
        why: String::from("the <b>mail</b>"),
        fail_status: 404,
        ..about()
    };
    let site = Site::new(&[("mail/a", Health::Ok, described)]);
    let (status, body) = site.get("/mail/a?format=json");
    assert_eq!(status, 200);
    let expected = joined(
        r#"{"status":"pass","serviceId":"mail/a","description":"tcp 192.0.2.1:25",
           "notes":["the \u003cb>mail\u003c/b>"],
           "checks":{"mail/a:responseTime":[{"componentId":"mail/a","status":"pass",
           "state":"ok","phase":"healthy","observedValue":0,"observedUnit":"ms",
           "time":"DATE"}]}}"#,
    );
    assert_eq!(masked(&body), expected);
    site.say("mail/a", Outcome::from(false).with_detail("\u{1b}[2J\"<"));
    site.run();
    let (status, body) = site.get("/mail/a?format=json");
    assert_eq!(status, 404);
    let begins = r#"{"status":"fail","output":"said fail: \u001b[2J\"\u003c","serviceId""#;
    assert!(body.starts_with(begins), "{body}");
    let answer = site.ask("HEAD /mail/a?format=json HTTP/1.0\r\n\r\n");
    assert!(answer.contains("\r\nContent-Type: application/health+json\r\n"));
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    // Another query changes nothing.
    assert_eq!(site.get("/mail/a?format=xml"), (404, String::from("FAIL")));
}

#[test]
fn a_failure_may_have_a_status_of_its_own_in_every_form() {
    let drained = About {
        fail_status: 404,
        ..about()
    };
    let site = Site::new(&[("a", Health::Fail, drained.clone())]);
    site.add("asked", Box::new(|| false), None, drained);
    for path in ["/a", "/asked"] {
        for method in ["GET", "HEAD", "OPTIONS"] {
            let answer = site.ask(&format!("{method} {path} HTTP/1.0\r\n\r\n"));
            assert!(answer.starts_with("HTTP/1.0 404 FAIL\r\n"), "{answer}");
        }
        assert_eq!(site.get(path), (404, String::from("FAIL")));
    }
}

#[test]
fn a_crowd_is_listed_worst_first_and_shortly() {
    let site = Site::with(|builder| builder);
    let names: Vec<&'static str> = (0..100)
        .map(|n| -> &'static str { format!("component-{n:03}").leak() })
        .collect();
    for name in &names {
        let outcome = Outcome::from(*name != "component-077");
        site.say(name, outcome.with_detail("x".repeat(1_000)));
        site.mount(name, about());
    }
    site.start();
    let (status, body) = site.get("/health");
    assert_eq!(status, 503);
    assert!(body.len() < 8 * 1024, "{}", body.len());
    assert!(
        body.contains(r#""checks":{"component-077:responseTime""#),
        "{body}"
    );
    assert!(body.contains("84 more components are in /-/status"));
    let (_, body) = site.get("/-/status");
    assert!(body.len() > 32 * 1024);
    assert!(names.iter().all(|name| body.contains(name)));
}

#[test]
fn liveness_depends_on_our_own_threads_only() {
    let (open, gate) = channel::<()>();
    let gate: Mutex<Receiver<()>> = Mutex::new(gate);
    let site = Site::with(|builder| builder);
    let (begun, has_begun) = channel();
    let begun: Mutex<Sender<()>> = Mutex::new(begun);
    site.server.on_event(move |_| {
        let _ = locked(&begun).send(());
        let _ = locked(&gate).recv_timeout(PATIENCE);
    });
    site.say("a", Outcome::from(false));
    site.mount("a", about());
    // Its first event blocks the dispatcher, which is no waiter of the clock meanwhile.
    drop(site.server.start().unwrap());
    has_begun.recv_timeout(PATIENCE).unwrap();
    site.clock.advance(10 * SECOND);
    assert_eq!(site.get("/health/live").0, 200);
    site.clock.advance(2 * SECOND);
    let (status, body) = site.get("/health/live");
    assert_eq!(status, 503);
    let begins = r#"{"status":"fail","output":"the thread that tells events has not"#;
    assert!(body.starts_with(begins), "{body}");
    assert!(site.get("/-/status").1.contains(r#""live":false"#));
    assert!(site.get("/metrics").1.contains("\nfailover_live 0\n"));
    drop(open);
    site.until("/health/live", r#"{"status":"pass""#);
}
