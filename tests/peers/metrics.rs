//! What the server says of itself, read by those who will read it: Prometheus' own checker, and a
//! JSON parser that is not ours.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::service::Service;
use crate::support::{Failover, get, need};

/// A program that ends well when it is given this.
fn takes(program: &Path, words: &[&str], text: &str) {
    let mut command = Command::new(program);
    command
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Small enough for a pipe, or it is read meanwhile.
    let mut input = child.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    // promtool says what it only advises against on standard error, too.
    assert!(
        output.status.success() && errors.is_empty(),
        "{command:?}: {}\n{errors}\n{text}",
        output.status
    );
}

/// The program with one component that passes, one that fails and one that nobody has asked for.
fn serve() -> Failover {
    let up = Service::start();
    let mut down = Service::start();
    down.stop();
    let failover = Failover::serve(&format!(
        "component a/up\n  tcp {up}\ncomponent down\n  tcp {down}\n\
         component asked\n  tcp {up}\n  on-request"
    ));
    failover.wait_for("/a/up", "HTTP/1.0 200 OK");
    failover.wait_for("/down", "HTTP/1.0 503 FAIL");
    failover
}

fn body(failover: &Failover, path: &str) -> String {
    let answer = get(failover.address, path).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    body.to_string()
}

#[test]
fn prometheus_finds_nothing_wrong_with_the_metrics() {
    let Some(promtool) = need("promtool") else {
        return;
    };
    let text = body(&serve(), "/metrics");
    assert!(text.contains("\nfailover_component_state{component=\"down\"} 0\n"));
    takes(&promtool, &["check", "metrics"], &text);
}

#[test]
fn a_json_parser_reads_every_report() {
    let Some(python) = need("python3") else {
        return;
    };
    let failover = serve();
    for path in [
        "/-/status",
        "/-/events",
        "/health",
        "/health/live",
        "/health/ready",
        "/health/startup",
        "/down?format=json",
        "/asked?format=json",
    ] {
        let words = ["-c", "import json, sys; json.load(sys.stdin)"];
        takes(&python, &words, &body(&failover, path));
    }
}
