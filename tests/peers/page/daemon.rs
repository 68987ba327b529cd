//! A daemon that answers with the real one's page, and with whatever a test wants it to say. It
//! lives below a path, as behind a proxy.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::browser::Browser;
use crate::support::{Failover, PATIENCE, ask};

pub(super) struct Daemon {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
}

#[derive(Default)]
struct Script {
    status: String,
    events: String,
    to_posts: String,
    posts: Vec<String>,
    looks: usize,
    is_silent: bool,
    has_ended: bool,
}

/// The whole answer of the real daemon to a browser that asks for the page.
pub(super) fn page_of(address: SocketAddr) -> String {
    let answer = ask(address, b"GET / HTTP/1.0\r\nAccept: text/html\r\n\r\n").unwrap();
    String::from_utf8(answer).unwrap()
}

fn page() -> &'static str {
    static PAGE: OnceLock<String> = OnceLock::new();
    PAGE.get_or_init(|| page_of(Failover::serve("component a\n  tcp 127.0.0.1:1\n").address))
}

impl Daemon {
    pub(super) fn start(status: &str) -> Daemon {
        page();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let daemon = Daemon {
            address: listener.local_addr().unwrap(),
            script: Arc::default(),
        };
        daemon.say(status);
        daemon.tell(&events(0));
        let script = daemon.script.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if script.lock().unwrap().has_ended {
                    return;
                }
                let script = script.clone();
                // One that opens a connection and sends nothing must not hold up the others.
                thread::spawn(move || serve(stream, &script));
            }
        });
        daemon
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/below/", self.address)
    }

    pub(super) fn say(&self, status: &str) {
        self.script.lock().unwrap().status = status.to_string();
    }

    pub(super) fn tell(&self, events: &str) {
        self.script.lock().unwrap().events = events.to_string();
    }

    pub(super) fn be_silent(&self, is_silent: bool) {
        self.script.lock().unwrap().is_silent = is_silent;
    }

    pub(super) fn answer_posts(&self, status: u16, text: &str) {
        self.script.lock().unwrap().to_posts = answer(status, "text/plain", text);
    }

    /// The path and the body of each so far.
    pub(super) fn posts(&self) -> Vec<String> {
        self.script.lock().unwrap().posts.clone()
    }

    /// How often the status was asked for.
    pub(super) fn looks(&self) -> usize {
        self.script.lock().unwrap().looks
    }

    /// Waits until the page has looked that many times more, and has drawn what it saw.
    pub(super) fn wait_for_looks(&self, browser: &mut Browser, more: usize) {
        let (enough, deadline) = (self.looks() + more, Instant::now() + PATIENCE);
        while self.looks() < enough {
            assert!(Instant::now() < deadline, "the page does not look");
            thread::sleep(Duration::from_millis(20));
        }
        browser.eval("new Promise(done => setTimeout(done, 300))");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(mut script) = self.script.lock() {
            script.has_ended = true;
        }
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream, script: &Mutex<Script>) {
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let Some((method, path, body)) = request(&stream) else {
        return;
    };
    let answer = {
        let mut script = script.lock().unwrap();
        if script.is_silent {
            return;
        }
        let inner = path.strip_prefix("/below/").unwrap_or(&path);
        match (method.as_str(), inner) {
            ("POST", _) => {
                script.posts.push(format!("{path} {body}"));
                script.to_posts.clone()
            }
            (_, "") => page().to_string(),
            (_, "-/status") => {
                script.looks += 1;
                answer(200, "application/json", &script.status)
            }
            (_, "-/events?after=0") => answer(200, "application/json", &script.events),
            _ if inner.starts_with("-/events?after=") => {
                let last = inner.rsplit('=').next().unwrap();
                let none = format!(r#"{{"events":[],"last":{last}}}"#);
                answer(200, "application/json", &none)
            }
            _ => answer(404, "text/plain", "ERROR"),
        }
    };
    let _ = stream.write_all(answer.as_bytes());
}

/// The method, the target and the body.
fn request(stream: &TcpStream) -> Option<(String, String, String)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_string(), words.next()?.to_string());
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((method, path, String::from_utf8(body).ok()?))
}

fn answer(status: u16, media_type: &str, body: &str) -> String {
    format!(
        "HTTP/1.0 {status} X\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A component in JSON. Of keys that stand twice the later ones count, so `more` can change any.
pub(super) fn component(name: &str, state: &str, more: &str) -> String {
    let (phase, reason) = match state {
        "ok" => ("healthy", "tcp connected"),
        "fail" => ("unhealthy", "tcp connect timeout"),
        _ => ("unknown", "resolve timeout"),
    };
    let runs: Vec<String> = (0..48)
        .map(|i| format!(r#"["{state}",{}.5]"#, 3 + i * 7 % 23))
        .collect();
    let runs = runs.join(",");
    let comma = if more.is_empty() { "" } else { "," };
    format!(
        r#"{{"name":"{name}","state":"{state}","phase":"{phase}","health":"{state}",
        "reason":"{reason}","detail":"","since":"2026-11-21T03:04:05Z","since_s":3720,
        "took_ms":12.25,"runs":1204,"failures":3,"unknowns":0,"skipped":0,"changes":4,
        "disagreeing":0,"disagreeing_s":0,"needed":"3","asks":"tcp 192.0.2.1:25","every_s":5,
        "layer":null,"why":"","critical":true,"members":[],"depends_on":[],"blamed":null,
        "maint":null,"manual_reset":false,"heartbeat":false,"balancer":null,
        "history":[{runs}]{comma}{more}}}"#
    )
}

/// The whole status of a, b, c and d, of which one has failed.
pub(super) fn four(worst: &str) -> String {
    let state = |name| if name == worst { "fail" } else { "ok" };
    let all = ["a", "b", "c", "d"].map(|name| component(name, state(name), ""));
    status(&all, "")
}

/// The whole status; the error of the configuration in JSON, or nothing.
pub(super) fn status(components: &[String], config_error: &str) -> String {
    let error = if config_error.is_empty() {
        "null"
    } else {
        config_error
    };
    format!(
        r#"{{"name":"failover","version":"0.1.0","pid":4711,"uptime_s":268000,"generation":3,
        "now":"2026-11-21T04:05:05Z","live":true,"state":"ok",
        "config":{{"file":"/etc/failover/failover.conf","error":{error}}},
        "components":[{}]}}"#,
        components.join(",")
    )
}

/// One of everything that there is to be shown.
pub(super) fn sample() -> String {
    let all = [
        component(
            "mail",
            "fail",
            r#""detail":"no answer from 192.0.2.1:25 within 3s","blamed":"router","took_ms":3000.2,
            "depends_on":["router"],"since_s":187,"disagreeing":1,"disagreeing_s":8.1,
            "phase":"recovering","manual_reset":true,"layer":"application","critical":false,
            "why":"3 x 1s fast checks: a deploy restarts in under 2s and must not fail over""#,
        ),
        component(
            "router",
            "fail",
            r#""since_s":190,"layer":"infrastructure""#,
        ),
        component(
            "site",
            "ok",
            r#""members":["web","east","west"],"asks":"majority of web east west",
            "reason":"quorum met","detail":"2 of 3 are ok","every_s":null"#,
        ),
        component(
            "web",
            "ok",
            r#""phase":"suspicious","disagreeing":2,"disagreeing_s":10,"needed":"3 of 5",
            "history":[["ok",12],["warn",14],["ok",9],["fail",3000],["fail",3000]]"#,
        ),
        component("east", "ok", ""),
        component(
            "west",
            "fail",
            &format!(
                r#""reason":"http status not expected",
                "detail":"503 Service Unavailable from {}.internal.example.com""#,
                "a-long-name-without-blanks".repeat(4)
            ),
        ),
        component(
            "shop",
            "ok",
            r#""members":["web","db/primary"],"every_s":null"#,
        ),
        component(
            "db/primary",
            "ok",
            r#""balancer":{"at":"2026-11-21T04:05:00Z","text":"UP 2/3; name=bck/srv2; node=lb1"}"#,
        ),
        component(
            "db/standby",
            "ok",
            r#""health":"warn","reason":"postgres lag","detail":"840 kB behind, limit 1 MiB""#,
        ),
        component("backup", "unknown", ""),
        component(
            "ldap",
            "fail",
            r#""maint":{"mode":"drain","since":"2026-11-21T03:04:05Z",
            "until":"2026-11-21T05:04:05Z","because":"kernel update"}"#,
        ),
        component("dns", "ok", ""),
        component(
            "ntp",
            "ok",
            r#""history":[["ok",1],["ok",2],["ok",1]],"took_ms":1.2"#,
        ),
        component("proxy", "ok", r#""history":[]"#),
    ];
    status(&all, "")
}

/// Two of them in that state, the others ok.
pub(super) fn thousand(state: &str) -> String {
    let all: Vec<String> = (0..1_000)
        .map(|i| {
            let state = if i % 500 == 77 { state } else { "ok" };
            component(&format!("edge/node-{i:03}"), state, "")
        })
        .collect();
    status(&all, "")
}

/// That many events, the last of them with the highest number.
pub(super) fn events(count: usize) -> String {
    let mut all = String::new();
    for seq in 1..=count {
        let comma = if seq > 1 { "," } else { "" };
        let (from, to) = if seq % 2 == 1 {
            ("ok", "fail")
        } else {
            ("fail", "ok")
        };
        write!(
            all,
            r#"{comma}{{"seq":{seq},"at":"2026-11-21T03:{seq:02}:05Z","component":"mail",
            "what":"changed","from":"{from}","to":"{to}","phase":"healthy",
            "reason":"tcp connect timeout","detail":"no answer within 3s","took_ms":3.5,
            "run":{seq},"blamed":"router"}}"#
        )
        .unwrap();
    }
    format!(r#"{{"events":[{all}],"last":{count}}}"#)
}

/// One event of every kind that is no change of state.
pub(super) fn other_events() -> String {
    let one = |seq: u32, what: &str, to: &str, reason: &str| {
        format!(
            r#"{{"seq":{seq},"at":null,"component":"web","what":"{what}","from":null,"to":{to},
            "phase":null,"reason":"{reason}","detail":"","took_ms":null,"run":null,
            "blamed":null}}"#
        )
    };
    let all = [
        one(1, "settled", "\"ok\"", "tcp connected"),
        one(2, "maintenance", "null", "drain"),
        one(3, "panicked", "null", "check panicked"),
    ];
    format!(r#"{{"events":[{}],"last":3}}"#, all.join(","))
}
