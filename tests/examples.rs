//! The examples as their users see them: started, watched, and stopped with a signal.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// An example that runs, quickly: ok and fail after 0.3 s or 3 outcomes, asked every 50 ms.
struct Example {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    url_host: String,
    url_path: String,
}

impl Example {
    fn start(file: &str, threshold: &str) -> Example {
        Example::start_every(file, threshold, "50ms")
    }

    fn start_every(file: &str, threshold: &str, every: &str) -> Example {
        let mut child = Command::new(path_of(file))
            .env("LISTEN", "127.0.0.1:0")
            .env("OK_AFTER", threshold)
            .env("FAIL_AFTER", threshold)
            .env("EVERY", every)
            .env_remove("BACKEND")
            .env_remove("USERS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let stdin = child.stdin.take().expect("piped");
        let stdout = child.stdout.take().expect("piped");
        let stderr = child.stderr.take().expect("piped");
        let (sender, lines) = channel();
        pass_lines_on(stdout, sender.clone());
        pass_lines_on(stderr, sender);
        let mut example = Example {
            child,
            stdin,
            lines,
            url_host: String::new(),
            url_path: String::new(),
        };
        let line = example.line_with("curl -i http://");
        let url = line.rsplit_once("http://").expect("a URL").1;
        let (host, path) = url.split_once('/').expect("a path");
        (example.url_host, example.url_path) = (host.to_string(), path.to_string());
        example
    }

    fn line_with(&self, text: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = self
                .lines
                .recv_timeout(left)
                .unwrap_or_else(|_| panic!("no line with {text:?}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    fn ask(&self, method: &str, headers: &str) -> String {
        let mut connection = TcpStream::connect(&self.url_host).expect("the example listens");
        write!(
            connection,
            "{method} /{} HTTP/1.0\r\n{headers}\r\n",
            self.url_path
        )
        .expect("sent");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// Asks until the answer's status line is this one.
    fn becomes(&self, status_line: &str) {
        let until = Instant::now() + PATIENCE;
        let mut answer = String::new();
        while Instant::now() < until {
            answer = self.ask("GET", "");
            if answer.starts_with(status_line) {
                return;
            }
        }
        panic!("expected {status_line}, and the last answer was {answer}");
    }

    fn press_enter(&mut self) {
        writeln!(self.stdin).expect("the example reads");
    }

    fn end(mut self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .expect("kill runs")
                .success()
        );
        let status = self.child.wait().expect("it ends");
        assert_eq!(status.code(), Some(0));
        self.line_with("ended");
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // It has ended already unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pass_lines_on(from: impl Read + Send + 'static, to: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let _ = to.send(line);
        }
    });
}

fn path_of(file: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_BIN_EXE_failover"));
    let path = path.with_file_name("examples").join(file);
    assert!(
        path.exists(),
        "{} is not built; run 'cargo build --examples'",
        path.display()
    );
    path
}

#[test]
fn example_1_follows_the_service_at_every_request() {
    let mut example = Example::start("example_1", "1");
    example.becomes("HTTP/1.0 200 OK\r\n");
    example.press_enter();
    example.line_with("is down");
    example.becomes("HTTP/1.0 503 FAIL\r\n");
    example.end();
}

#[test]
fn u2_starts_fail_and_counts_both_ways() {
    let mut example = Example::start("u2", "3");
    example.becomes("HTTP/1.0 200 OK\r\n");
    example.press_enter();
    example.becomes("HTTP/1.0 503 FAIL\r\n");
    example.press_enter();
    example.becomes("HTTP/1.0 200 OK\r\n");
    example.end();
}

#[test]
fn u3_starts_fail_and_waits_for_a_time_both_ways() {
    let mut example = Example::start("u3", "300ms");
    example.becomes("HTTP/1.0 200 OK\r\n");
    // The first change is out of the state that it starts in.
    let change = example.line_with(" -> ");
    assert!(change.contains("state=\"fail -> ok\""), "{change}");
    example.press_enter();
    example.becomes("HTTP/1.0 503 FAIL\r\n");
    example.end();
}

#[test]
fn u4_follows_the_service_in_the_background() {
    let mut example = Example::start("u4", "300ms");
    example.becomes("HTTP/1.0 200 OK\r\n");
    example.press_enter();
    example.becomes("HTTP/1.0 503 FAIL\r\n");
    example.end();
}

#[test]
fn u5_stays_failed_until_a_human_resets_it() {
    let mut example = Example::start("u5", "300ms");
    example.becomes("HTTP/1.0 200 OK\r\n");
    example.press_enter();
    example.becomes("HTTP/1.0 503 FAIL\r\n");
    example.press_enter();
    example.line_with("is up");
    assert!(
        example.ask("GET", "").starts_with("HTTP/1.0 503 FAIL\r\n"),
        "up is not enough"
    );
    assert!(
        example
            .ask("POST", "")
            .starts_with("HTTP/1.0 401 Unauthorized\r\n")
    );
    let credentials = "Authorization: Basic ZGVtbzpkZW1v\r\n";
    assert!(example.ask("POST", credentials).ends_with("\r\n\r\nArmed"));
    assert!(example.ask("GET", "").starts_with("HTTP/1.0 200 OK\r\n"));
    example.end();
}

#[test]
fn the_demo_is_a_whole_daemon_whose_services_fail_and_recover() {
    // A step that is long enough to be noticed in.
    let example = Example::start_every("demo", "1", "1s");
    example.becomes("HTTP/1.0 200 OK\r\n");
    example.line_with("[3/9] web2 says 500");
    example.becomes("HTTP/1.0 503 FAIL\r\n");
    // One who asks just when it changes is told different things; the script goes on and round.
    example.line_with(
        "is told \"HTTP/1.0 503 FAIL\", HAProxy's agent-check \"down #quorum missed\", \
         keepalived \"1\"",
    );
    example.becomes("HTTP/1.0 200 OK\r\n");
    // It fails for another reason, and is reset by whoever has the token.
    example.line_with("[6/9] the database hangs");
    example.becomes("HTTP/1.0 503 FAIL\r\n");
    example.line_with("component=database took=");
    example.line_with("[8/9] a human resets it");
    example.becomes("HTTP/1.0 200 OK\r\n");
    example.end();
}
