//! What the server says beside its components' answers, and who may change things, through the
//! library as its users have it.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use failover::{
    AdminSocket, Background, HealthCheckServer, HtpasswdFile, ListenSettings, ManualClock, Oneshot,
    Reply, ServerBuilder, TokenFile, fail, ok, second,
};

use crate::support::{Gate, PATIENCE, Served, ask, body, eventually, rest, status};

const TOKEN: &str = "q83vASNFZ4mrze8BI0Vn";
const BEARER: &str = "Authorization: Bearer q83vASNFZ4mrze8BI0Vn\r\n";

/// `bob` with the password `pass`, as `htpasswd -nbs` writes it.
const BOB: &str = "bob:{SHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ=\n";
const BOBS: &str = "Authorization: Basic Ym9iOnBhc3M=\r\n";

/// A private file that is gone with its test.
struct Secret(PathBuf);

impl Secret {
    fn new(text: &str) -> Secret {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let name = format!("failover-reports-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        Secret(path)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn tokens(secret: &Secret) -> ServerBuilder {
    HealthCheckServer::builder().admin_tokens(TokenFile::open(&secret.0).unwrap())
}

/// A component that runs once and then stays as it was found.
fn mount(server: &HealthCheckServer, name: &str, passes: bool) {
    let check = Background::new(move || passes, second(3_600), ok).unwrap();
    server.add_component(name, check).unwrap();
}

fn post(served: &Served, path: &str, headers: &str) -> String {
    served.ask(format!("POST {path} HTTP/1.0\r\n{headers}\r\n"))
}

/// A page's form.
fn form(served: &Served, path: &str, headers: &str, fields: &str) -> String {
    let length = fields.len();
    served.ask(format!(
        "POST {path} HTTP/1.0\r\n{headers}Content-Length: {length}\r\n\r\n{fields}"
    ))
}

#[test]
fn the_servers_own_paths_have_their_methods_types_and_headers() {
    let served = Served::new(|server| mount(server, "mail", true));
    for (path, media_type) in [
        ("/health", "application/health+json"),
        ("/health/live", "application/health+json"),
        ("/health/ready", "application/health+json"),
        ("/health/startup", "application/health+json"),
        ("/mail?format=json", "application/health+json"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/-/status", "application/json"),
        ("/-/events", "application/json"),
        ("/-/events?after=0", "application/json"),
    ] {
        eventually(path, || {
            status(&served.ask(format!("GET {path} HTTP/1.0\r\n\r\n"))) == 200
        });
        let get = served.ask(format!("GET {path} HTTP/1.0\r\n\r\n"));
        let (head, body) = get.split_once("\r\n\r\n").unwrap();
        for line in [
            format!("Content-Type: {media_type}"),
            format!("Content-Length: {}", body.len()),
            String::from("Connection: close"),
            String::from("Cache-Control: no-store"),
            String::from("X-Content-Type-Options: nosniff"),
            String::from("X-Frame-Options: DENY"),
        ] {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{path}: {head}");
        }
        assert!(head.contains("\r\nContent-Security-Policy: default-src 'none';"));
        let head_only = served.ask(format!("HEAD {path} HTTP/1.0\r\n\r\n"));
        assert!(head_only.starts_with("HTTP/1.0 200 OK\r\n"), "{head_only}");
        assert!(head_only.ends_with("\r\n\r\n"), "{head_only}");
        let other = served.ask(format!("DELETE {path} HTTP/1.0\r\n\r\n"));
        assert!(
            status(&other) == 405 && other.contains("\r\nAllow: GET, HEAD"),
            "{other}"
        );
    }
    // What HAProxy sends when it is told nothing but a path.
    let options = served.ask("OPTIONS /health HTTP/1.0\r\n\r\n");
    assert!(options.starts_with("HTTP/1.0 200 OK\r\n"), "{options}");
    assert!(options.contains("\r\nContent-Length: 0\r\n"), "{options}");
    for path in [
        "/health/x",
        "/metrics/x",
        "/-",
        "/-/",
        "/-/status/x",
        "/-/maint",
    ] {
        let answer = served.ask(format!("GET {path} HTTP/1.0\r\n\r\n"));
        assert_eq!(status(&answer), 404, "{path}");
    }
    for path in ["/-/reload", "/-/maint/mail", "/-/reset/mail"] {
        let answer = served.ask(format!("GET {path}?mode=drain HTTP/1.0\r\n\r\n"));
        assert_eq!(status(&answer), 405, "{path}");
        assert!(answer.contains("\r\nAllow: POST\r\n"), "{answer}");
    }
}

#[test]
fn what_is_refused_to_a_head_has_no_body_either() {
    let served = Served::new(|server| mount(server, "mail", true));
    for (path, refused) in [
        ("/-/reload", 405),
        ("/-/maint/mail", 405),
        ("/-/reset/mail", 405),
        ("/-/events?after=x", 400),
    ] {
        let get = served.ask(format!("GET {path} HTTP/1.0\r\n\r\n"));
        let head_only = served.ask(format!("HEAD {path} HTTP/1.0\r\n\r\n"));
        let (head, body) = get.split_once("\r\n\r\n").unwrap();
        assert!(body.starts_with("ERROR: "), "{path}: {get}");
        assert_eq!(status(&head_only), refused, "{path}: {head_only}");
        assert_eq!(head_only, format!("{head}\r\n\r\n"), "{path}");
    }
}

#[test]
fn a_browser_gets_the_page_and_everybody_else_the_component() {
    let served = Served::new(|server| mount(server, "mail", false));
    eventually("the first outcome", || served.get("/") == "FAIL");
    let page = served.ask("GET / HTTP/1.0\r\nAccept: text/html,application/xml;q=0.9\r\n\r\n");
    assert!(page.starts_with("HTTP/1.0 200 OK\r\n"), "{page}");
    assert!(page.contains("\r\nContent-Type: text/html; charset=utf-8\r\n"));
    assert!(page.contains("frame-ancestors 'none'"));
    assert!(body(&page).starts_with("<!DOCTYPE html>"));
    for request in [
        "GET / HTTP/1.0\r\nAccept: */*\r\n\r\n",
        "HEAD / HTTP/1.0\r\nAccept: text/html\r\n\r\n",
        "OPTIONS / HTTP/1.0\r\nAccept: text/html\r\n\r\n",
        "GET /mail HTTP/1.0\r\nAccept: text/html\r\n\r\n",
    ] {
        assert_eq!(status(&served.ask(request)), 503, "{request}");
    }
}

#[test]
fn a_post_that_hangs_holds_up_no_report() {
    let (mut gate, check) = Gate::new();
    let hung = std::sync::Mutex::new(check);
    let served = Served::new(|server| {
        let on_post = move |_: &failover::Post| {
            (hung.lock().unwrap())();
            Reply::new(200, "done")
        };
        server
            .add_component_with_post("mail", || true, on_post)
            .unwrap();
    });
    let waiting = served.client("POST /mail HTTP/1.0\r\n\r\n");
    gate.hangs();
    assert!(
        served
            .get("/-/status")
            .starts_with("{\"name\":\"failover\"")
    );
    assert!(
        served
            .get("/metrics")
            .contains("\nfailover_connections_held 2\n")
    );
    gate.open();
    assert_eq!(body(&rest(waiting)), "done");
}

#[test]
fn nobody_administrates_until_a_credential_is_configured() {
    let served = Served::new(|server| {
        mount(server, "mail", true);
        let reset = Oneshot::new(fail);
        server
            .add_component_with_post("latch", reset.clone(), reset)
            .unwrap();
    });
    for path in [
        "/-/reload",
        "/-/maint/mail?mode=drain",
        "/-/reset/latch",
        "/-/maint/nobody?mode=drain",
    ] {
        let answer = post(&served, path, BEARER);
        assert_eq!(status(&answer), 403, "{answer}");
        assert!(body(&answer).contains("until `admin token-file FILE` or `admin htpasswd FILE`"));
    }
    assert_eq!(served.get("/mail"), "OK");
    assert_eq!(served.get("/latch"), "FAIL");
}

#[test]
fn the_admin_socket_needs_no_credential() {
    let path = Secret::new("");
    fs::remove_file(&path.0).unwrap();
    let builder = HealthCheckServer::builder().admin_socket(&path.0);
    let served = Served::with(builder, |server| mount(server, "mail", true));
    let admin = AdminSocket::new(&path.0);
    let fields = b"mode=drain&because=moved";
    let (status, text) = admin.request("POST", "/-/maint/mail", fields).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(status, 200, "{text}");
    assert!(text.starts_with("mail is in maintenance (drain)"), "{text}");
    assert_eq!(served.get("/mail"), "FAIL");
    let (_, shown) = admin.request("GET", "/-/status", b"").unwrap();
    assert!(
        String::from_utf8(shown)
            .unwrap()
            .contains(r#""because":"moved""#)
    );
    assert!(served.server.is_live());
}

#[test]
fn who_may_ask_for_components_only_sees_no_page_and_administrates_nothing() {
    let token = Secret::new(TOKEN);
    let rules = ListenSettings::new("127.0.0.1:0")
        .unwrap()
        .only_components();
    let served = Served::with(tokens(&token).listen(rules), |server| {
        mount(server, "mail", true);
    });
    let address = served.server.addresses()[1];
    eventually("the first outcome", || served.get("/mail") == "OK");
    let page = ask(address, "GET / HTTP/1.0\r\nAccept: text/html\r\n\r\n");
    assert_eq!(body(&page), "OK");
    for path in ["/-/reload", "/-/maint/mail?mode=drain", "/-/reset/mail"] {
        let answer = ask(address, format!("POST {path} HTTP/1.0\r\n{BEARER}\r\n"));
        assert_eq!(status(&answer), 404, "{path}");
    }
    assert_eq!(served.get("/mail"), "OK");
}

#[test]
fn an_administrator_needs_the_right_credentials_and_the_right_page() {
    let (token, users) = (Secret::new(TOKEN), Secret::new(BOB));
    let builder = tokens(&token).admin_users(HtpasswdFile::open(&users.0).unwrap());
    let served = Served::with(builder, |server| mount(server, "mail", true));
    let path = "/-/maint/mail?mode=drain";
    for wrong in [
        "",
        "Authorization: Bearer q83vASNFZ4mrze8BI0V0\r\n",
        "Authorization: Basic Ym9iOndvcmQ=\r\n",
    ] {
        let answer = post(&served, path, wrong);
        assert_eq!(status(&answer), 401, "{answer}");
        assert!(answer.contains("\r\nWWW-Authenticate: Bearer realm=\"failover\"\r\n"));
        assert!(answer.contains("\r\nWWW-Authenticate: Basic realm=\"failover\""));
    }
    let foreign = format!("{BEARER}Host: 127.0.0.1\r\nOrigin: http://evil.example\r\n");
    assert_eq!(status(&post(&served, path, &foreign)), 403);
    eventually("the first outcome", || served.get("/mail") == "OK");
    for right in [BEARER, BOBS] {
        assert_eq!(status(&post(&served, path, right)), 200);
        assert_eq!(served.get("/mail"), "FAIL");
        assert_eq!(status(&post(&served, "/-/maint/mail?mode=off", right)), 200);
        assert_eq!(served.get("/mail"), "OK");
    }
    // A token file that others may read is worth nothing, whatever is in it.
    fs::set_permissions(&token.0, Permissions::from_mode(0o644)).unwrap();
    let answer = post(&served, path, BEARER);
    assert_eq!(status(&answer), 500, "{answer}");
    assert!(!answer.contains("failover-reports"), "{answer}");
    assert_eq!(status(&post(&served, path, BOBS)), 200);
}

#[test]
fn maintenance_is_what_was_asked_for_and_ends_by_itself() {
    let token = Secret::new(TOKEN);
    let clock = ManualClock::new();
    let builder = tokens(&token).clock(Arc::new(clock.clone()));
    let served = Served::with(builder, |server| {
        for name in ["mail", "a/b"] {
            let check = Background::builder(|| true, second(3_600))
                .unwrap()
                .clock(Arc::new(clock.clone()))
                .start()
                .unwrap();
            server.add_component(name, check).unwrap();
        }
    });
    clock.advance_and_settle(Duration::ZERO);
    let fields = "mode=drain&for=1h&because=a+%3Cdeploy%3E";
    let answer = form(&served, "/-/maint/a/b", BEARER, fields);
    assert_eq!(
        body(&answer),
        "a/b is in maintenance (drain) and answers fail for 1h"
    );
    assert_eq!(served.get("/a/b"), "FAIL");
    let shown = served.get("/-/status");
    assert!(
        shown.contains(r#""maint":{"mode":"drain","since":"2"#),
        "{shown}"
    );
    assert!(shown.contains(r#""because":"a \u003cdeploy>"}"#), "{shown}");
    let explained = served.get("/a/b?format=json");
    assert!(explained.contains("in maintenance, drain: a \\u003cdeploy>"));
    assert!(
        served
            .get("/metrics")
            .contains("maintenance{component=\"a/b\"} 1\n")
    );
    // It ends after an hour, which is still its own.
    clock.advance_and_settle(Duration::from_secs(3_600));
    assert_eq!(served.get("/a/b"), "FAIL");
    clock.advance_and_settle(Duration::from_nanos(1));
    assert_eq!(served.get("/a/b"), "OK");
    let answer = post(&served, "/-/maint/mail?mode=hold", BEARER);
    assert_eq!(
        body(&answer),
        "mail is in maintenance (hold) and answers ok until a human ends that"
    );
    for (expected, _) in [
        ("is not in maintenance any more", 1),
        ("was not in maintenance", 2),
    ] {
        let answer = post(&served, "/-/maint/mail?mode=off", BEARER);
        assert_eq!(body(&answer), format!("mail {expected}"));
    }
}

#[test]
fn what_an_administrator_misspells_changes_nothing() {
    let token = Secret::new(TOKEN);
    let served = Served::with(tokens(&token), |server| mount(server, "mail", true));
    eventually("the first outcome", || served.get("/mail") == "OK");
    let long = format!("mode=drain&because={}", "x".repeat(257));
    for (fields, expected, why) in [
        ("", 400, "no mode; expected mode=drain, hold or off"),
        (
            "mode=stop",
            400,
            "\"stop\" is no maintenance; expected drain, hold or off",
        ),
        (
            "mode=drain&fro=1h",
            400,
            "unknown field \"fro\"; expected mode, for, because",
        ),
        ("mode=drain&mode=off", 400, "mode stands twice"),
        ("mode=drain&for=1", 400, "for: "),
        ("mode=drain&for=0s", 400, "for: "),
        ("mode=drain&because=%", 400, "the fields cannot be read"),
        ("mode=off&for=1h", 400, "mode=off takes nothing beside it"),
        (&long, 400, "because: over 256 bytes"),
    ] {
        for answer in [
            form(&served, "/-/maint/mail", BEARER, fields),
            post(&served, &format!("/-/maint/mail?{fields}"), BEARER),
        ] {
            assert_eq!(status(&answer), expected, "{fields}: {answer}");
            assert!(
                body(&answer).starts_with(&format!("ERROR: {why}")),
                "{answer}"
            );
        }
    }
    for (path, expected) in [
        ("/-/maint/nobody?mode=drain", 404),
        ("/-/reset/nobody", 404),
        ("/-/reset/mail", 404),
        ("/-/reset/mail?x=y", 400),
        ("/-/reload", 409),
        ("/-/reload?x", 400),
        ("/-/stop", 404),
    ] {
        let answer = post(&served, path, BEARER);
        assert_eq!(status(&answer), expected, "{path}: {answer}");
    }
    assert_eq!(served.get("/mail"), "OK");
}

#[test]
fn a_report_comes_whole_to_a_client_that_reads_slowly() {
    let served = Served::new(|server| {
        for n in 0..100 {
            server.add_component(&format!("n{n}"), || true).unwrap();
        }
    });
    let mut client = served.client("");
    for byte in b"GET /-/status HTTP/1.0\r\n\r\n" {
        client.write_all(&[*byte]).unwrap();
    }
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let text = rest(client);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())));
    assert_eq!(body.matches("\"name\":\"n").count(), 100);
}
