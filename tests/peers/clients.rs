//! What people and benchmarks use: curl, htpasswd and ApacheBench.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::service::Service;
use crate::support::{Failover, Folder, command, need, said};

const OK: &str = "HTTP/1.0 200 OK";
const FAIL: &str = "HTTP/1.0 503 FAIL";

/// curl without the settings and proxies of whoever runs this, given up after a while.
fn curl(program: &Path) -> Command {
    let mut curl = command(program);
    curl.args(["-q", "-sS", "--noproxy", "*", "--max-time", "30"]);
    curl
}

/// The status line, the headers in lower case, and the body of what `curl -i` shows.
fn parts(shown: &str) -> (&str, String, &str) {
    let (head, body) = shown.split_once("\r\n\r\n").expect(shown);
    let (status_line, headers) = head.split_once("\r\n").expect(shown);
    (status_line, headers.to_lowercase(), body)
}

#[test]
fn curl_is_answered_from_the_first_moment() {
    let Some(program) = need("curl") else {
        return;
    };
    let service = Service::start();
    for way in ["every 1m", "on-request"] {
        // No look at the server before: the first request waits for the first outcome.
        let failover = Failover::serve(&format!("component web\n tcp {service}\n {way}"));
        let url = format!("http://{}/web", failover.address);
        let shown = said(curl(&program).arg("-i").arg(&url));
        let (status_line, headers, body) = parts(&shown);
        assert_eq!((status_line, body), (OK, "OK"), "{way}: {shown}");
        assert!(headers.contains("content-length: 2"), "{way}: {shown}");

        let head = said(curl(&program).arg("-I").arg(&url));
        assert_eq!(parts(&head), (OK, headers, ""), "{way}");

        let unknown = format!("http://{}/other", failover.address);
        let shown = said(curl(&program).arg("-i").arg(unknown));
        let (status_line, _, body) = parts(&shown);
        assert_eq!((status_line, body), ("HTTP/1.0 404 ERROR", "ERROR"));
    }
}

#[test]
fn a_manual_reset_by_curl_needs_a_password_that_htpasswd_knows() {
    let (Some(program), Some(htpasswd)) = (need("curl"), need("htpasswd")) else {
        return;
    };
    let folder = Folder::new("reset");
    let users = folder.file("users");
    said(
        command(htpasswd)
            .arg("-cbB")
            .arg(&users)
            .args(["ops", "right"]),
    );
    let mut service = Service::start();
    for way in ["every 100ms", "on-request"] {
        let failover = Failover::serve(&format!(
            "component web\n tcp {service}\n timeout 10s\n fail-after 2\n {way}\n \
             manual-reset htpasswd {}",
            users.display()
        ));
        let url = format!("http://{}/web", failover.address);
        let post = |credentials: &[&str]| {
            said(
                curl(&program)
                    .args(["-i", "-X", "POST"])
                    .args(credentials)
                    .arg(&url),
            )
        };
        failover.wait_for("/web", OK);
        service.stop();
        failover.wait_for("/web", FAIL);
        service.start_again();
        for credentials in [&[] as &[&str], &["-u", "ops:wrong"], &["-u", "eve:right"]] {
            let shown = post(credentials);
            let (status_line, headers, _) = parts(&shown);
            assert!(status_line.starts_with("HTTP/1.0 401 "), "{shown}");
            assert!(
                headers.contains("www-authenticate: basic realm="),
                "{shown}"
            );
        }
        stays_failed(&failover);
        let shown = post(&["-u", "ops:right"]);
        let (status_line, _, body) = parts(&shown);
        assert_eq!((status_line, body), (OK, "Armed"), "{way}: {shown}");
        // The very next one.
        let shown = said(curl(&program).arg("-i").arg(&url));
        let (status_line, _, body) = parts(&shown);
        assert_eq!((status_line, body), (OK, "OK"), "{way}: {shown}");
        let shown = post(&["-u", "ops:right"]);
        assert!(
            shown.ends_with("Nothing to reset: the state is ok"),
            "{way}: {shown}"
        );
    }
}

/// The service is there again, which alone must not be enough: a few more runs change nothing.
fn stays_failed(failover: &Failover) {
    for _ in 0..10 {
        failover.wait_for("/web", FAIL);
        thread::sleep(Duration::from_millis(50));
    }
}

/// The number behind a label in ApacheBench's report.
fn number(report: &str, label: &str) -> Option<u64> {
    let line = report.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_whitespace().next()?.parse().ok()
}

#[test]
fn apache_bench_finds_no_failed_request() {
    let Some(program) = need("ab") else {
        return;
    };
    let service = Service::start();
    for way in ["every 1s", "on-request"] {
        let failover = Failover::serve(&format!("component web\n tcp {service}\n {way}"));
        // As it comes, with HEAD, and asking to be kept alive, which is not granted.
        for flags in [&[] as &[&str], &["-i"], &["-k"]] {
            let mut ab = command(&program);
            ab.args(["-q", "-n", "2000", "-c", "50", "-s", "30"])
                .args(flags);
            ab.arg(format!("http://{}/web", failover.address));
            let report = said(&mut ab);
            let case = format!("{way} {flags:?}: {report}");
            assert_eq!(number(&report, "Complete requests:"), Some(2000), "{case}");
            assert_eq!(number(&report, "Failed requests:"), Some(0), "{case}");
            assert_eq!(number(&report, "Non-2xx responses:"), None, "{case}");
        }
    }
}
