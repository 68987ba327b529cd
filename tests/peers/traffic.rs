//! Passive checks of a server behind a real HAProxy and a real nginx, while it begins to fail
//! under requests that we make.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use failover::{AccessLogCheck, Check, HaproxyTrafficCheck, TrafficRules, minute, second};

use crate::support::{Folder, PATIENCE, Peer, command, dead_address, get, need, wait_until};

/// Requests in each part of a test; twice the least that is judged.
const REQUESTS: usize = 40;

/// How long a slow server takes for a request.
const SLOW: Duration = Duration::from_millis(60);

/// What the server behind the proxy does with a request.
#[derive(Clone, Copy)]
enum Way {
    Answers = 0,
    Says503 = 1,
    ClosesAtOnce = 2,
    BreaksOff = 3,
    IsSlow = 4,
}

/// An HTTP server that can be told how to fail. It lives as long as the test program.
struct Origin {
    address: SocketAddr,
    way: Arc<AtomicU8>,
}

impl Origin {
    fn start() -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let way = Arc::new(AtomicU8::new(0));
        let told = way.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer(stream, told.load(Ordering::SeqCst));
            }
        });
        Origin { address, way }
    }

    fn goes(&self, way: Way) {
        self.way.store(way as u8, Ordering::SeqCst);
    }
}

fn answer(mut stream: TcpStream, way: u8) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let _ = stream.read(&mut [0; 4_096])?;
    let answer = match way {
        1 => "HTTP/1.0 503 Busy\r\nContent-Length: 2\r\n\r\nNO",
        2 => "",
        3 => "HTTP/1.0 200 OK\r\nContent-Length: 200\r\n\r\nhalf",
        _ => "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nOK",
    };
    if way == Way::IsSlow as u8 {
        thread::sleep(SLOW);
    }
    stream.write_all(answer.as_bytes())
}

/// Limits of both rates, for all that a test makes.
fn rates() -> TrafficRules {
    TrafficRules::new()
        .window(minute(60))
        .and_then(|rules| rules.server_errors("5%"))
        .and_then(|rules| rules.errors("5%"))
        .unwrap()
}

/// Runs a check until it says this: a log may come a moment after its request.
#[track_caller]
fn wait_for(peer: &Peer, check: &mut dyn Check, reason: &str, detail: &str) {
    wait_until(&format!("{reason}: {detail}"), &[peer], || {
        let outcome = check.check();
        let is_it = outcome.reason.words() == reason && outcome.detail.contains(detail);
        is_it.then_some(()).ok_or(outcome.to_string())
    });
}

/// HAProxy, what it counts, and the two logs that it writes: plain to its standard output, and by
/// syslog to a receiver that writes a file.
struct Haproxy {
    peer: Peer,
    front: SocketAddr,
    socket: PathBuf,
    logs: [PathBuf; 2],
}

impl Haproxy {
    fn start(program: &Path, origin: &Origin, dead: SocketAddr) -> Haproxy {
        let folder = Folder::new("traffic");
        let (socket, syslog) = (folder.file("stats"), folder.file("syslog"));
        // Of one thread: where two want to write to its output at once, HAProxy waits a moment for
        // the other and then drops the line.
        let config = format!(
            "global\n\
             \x20   nbthread 1\n\
             \x20   stats socket {} mode 600 level admin\n\
             \x20   log stdout format raw local0\n\
             \x20   log {} format rfc5424 local0\n\
             defaults\n\
             \x20   mode http\n\
             \x20   log global\n\
             \x20   option httplog\n\
             \x20   retries 1\n\
             \x20   timeout connect 5s\n\
             \x20   timeout client 30s\n\
             \x20   timeout server 30s\n\
             frontend front\n\
             \x20   bind fd@0\n\
             \x20   use_backend dead if {{ path /dead }}\n\
             \x20   use_backend pair if {{ path /pair }}\n\
             \x20   default_backend back\n\
             backend back\n\
             \x20   server one {origin}\n\
             backend dead\n\
             \x20   server one {dead}\n\
             backend pair\n\
             \x20   option redispatch\n\
             \x20   server gone {dead}\n\
             \x20   server here {origin}\n\
             listen database\n\
             \x20   mode tcp\n\
             \x20   bind unix@{}\n\
             \x20   server one {dead}\n",
            socket.display(),
            receiver(&syslog),
            folder.file("database").display(),
            origin = origin.address,
        );
        let config = folder.write("haproxy.cfg", &config);
        let front = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = front.local_addr().unwrap();
        let mut haproxy = command(program);
        haproxy.arg("-db").arg("-f").arg(config);
        haproxy.stdin(OwnedFd::from(front));
        let logs = [folder.file("log"), syslog];
        Haproxy {
            peer: Peer::start("haproxy", haproxy, folder),
            front: address,
            socket,
            logs,
        }
    }

    fn check_of(&self, server: &str, rules: TrafficRules) -> HaproxyTrafficCheck {
        let socket = self.socket.to_str().unwrap();
        let check = HaproxyTrafficCheck::new(socket, server, second(30));
        check.unwrap().rules(rules)
    }

    /// A check that has its first sample.
    fn counters_of(&self, server: &str, rules: TrafficRules) -> HaproxyTrafficCheck {
        let mut check = self.check_of(server, rules);
        self.wait_for(&mut check, "traffic too little", "");
        check
    }

    /// Checks of both logs that have looked at them once.
    fn logs(&self, rules: &TrafficRules) -> Vec<AccessLogCheck> {
        let of = |path: &PathBuf| {
            let check = AccessLogCheck::new(path).unwrap();
            let mut check = check.rules(rules.clone());
            self.wait_for(&mut check, "traffic too little", "");
            check
        };
        self.logs.iter().map(of).collect()
    }

    #[track_caller]
    fn wait_for(&self, check: &mut dyn Check, reason: &str, detail: &str) {
        wait_for(&self.peer, check, reason, detail);
    }

    fn request(&self, path: &str) {
        // All at once, since HAProxy waits for a second before it tries a dead server again. What
        // is answered is seen by the checks.
        thread::scope(|scope| {
            for _ in 0..REQUESTS {
                scope.spawn(|| get(self.front, path));
            }
        });
    }

    /// All at once, too.
    fn connect_to_database(&self) {
        let path = self.socket.with_file_name("database");
        thread::scope(|scope| {
            for _ in 0..REQUESTS {
                scope.spawn(|| {
                    let mut stream = UnixStream::connect(&path).unwrap();
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let _ = stream.read_to_end(&mut Vec::new());
                });
            }
        });
    }

    fn tell(&self, command: &str) -> String {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        writeln!(stream, "{command}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// A syslog server: one datagram, one line.
fn receiver(path: &Path) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut file = File::create(path).unwrap();
    thread::spawn(move || {
        let mut datagram = [0; 4_096];
        while let Ok(len) = socket.recv(&mut datagram) {
            let line = String::from_utf8_lossy(&datagram[..len]).trim().to_string();
            if writeln!(file, "{line}").is_err() {
                return;
            }
        }
    });
    address
}

#[test]
fn haproxy_and_its_logs_tell_of_a_server_that_begins_to_fail() {
    let Some(program) = need("haproxy") else {
        return;
    };
    let origin = Origin::start();
    // Each way, what the counters say of it, and what the logs do.
    for (way, counted, logged) in [
        (
            Way::Says503,
            ("traffic 5xx rate", "5xx 40 of 80 requests"),
            ("traffic 5xx rate", "5xx 40 of 80 requests"),
        ),
        (
            // The 502 is HAProxy's own: no 5xx of the server's.
            Way::ClosesAtOnce,
            ("traffic error rate", "errors 40 of 80 requests"),
            ("traffic 5xx rate", "; errors 40 of 80 requests"),
        ),
        (
            Way::BreaksOff,
            ("traffic error rate", "errors 40 of 80 requests"),
            ("traffic error rate", "errors 40 of 80 requests"),
        ),
    ] {
        let haproxy = Haproxy::start(&program, &origin, dead_address());
        let mut counters = haproxy.counters_of("back/one", rates());
        let mut logs = haproxy.logs(&rates());
        origin.goes(Way::Answers);
        haproxy.request("/");
        haproxy.wait_for(&mut counters, "traffic normal", "40 requests");
        for log in &mut logs {
            haproxy.wait_for(log, "traffic normal", "40 requests");
        }
        origin.goes(way);
        haproxy.request("/");
        haproxy.wait_for(&mut counters, counted.0, counted.1);
        for log in &mut logs {
            haproxy.wait_for(log, logged.0, logged.1);
        }
    }
}

#[test]
fn haproxy_and_its_logs_tell_of_a_server_that_is_slow() {
    let Some(program) = need("haproxy") else {
        return;
    };
    let origin = Origin::start();
    let haproxy = Haproxy::start(&program, &origin, dead_address());
    let rules = TrafficRules::new().latency(SLOW / 2).unwrap();
    let mut counters = haproxy.counters_of("back/one", rules.clone());
    let mut logs = haproxy.logs(&rules);
    origin.goes(Way::IsSlow);
    haproxy.request("/");
    haproxy.wait_for(&mut counters, "traffic latency", "expected at most 30ms");
    for log in &mut logs {
        haproxy.wait_for(log, "traffic latency", "expected at most 30ms");
    }
}

#[test]
fn haproxy_tells_of_a_dead_server_also_where_another_takes_over() {
    let Some(program) = need("haproxy") else {
        return;
    };
    let origin = Origin::start();
    let haproxy = Haproxy::start(&program, &origin, dead_address());
    let mut alone = haproxy.counters_of("dead/one", rates());
    let mut gone = haproxy.counters_of("pair/gone", rates());
    let mut here = haproxy.counters_of("pair/here", rates());
    let mut database = haproxy.counters_of("database/one", TrafficRules::new());
    haproxy.request("/dead");
    haproxy.wait_for(&mut alone, "traffic error rate", "errors 40 of 40 requests");
    // Its clients were all served, by the other.
    haproxy.request("/pair");
    haproxy.request("/pair");
    haproxy.wait_for(&mut gone, "traffic error rate", "(100.0%)");
    haproxy.wait_for(&mut here, "traffic normal", "80 requests");
    for server in ["nowhere/one", "back/two", "front/one"] {
        let mut check = haproxy.check_of(server, rates());
        haproxy.wait_for(&mut check, "traffic no such server", "");
    }
    let mut check = haproxy.check_of("database/one", rates());
    haproxy.wait_for(&mut check, "traffic source malformed", "has no 5xx rate");
    haproxy.connect_to_database();
    haproxy.wait_for(
        &mut database,
        "traffic error rate",
        "errors 40 of 40 requests",
    );
    // Cleared: what is counted from then on is added to what was.
    haproxy.tell("clear counters all");
    haproxy.wait_for(&mut alone, "traffic error rate", "errors 40 of 40 requests");
    haproxy.request("/dead");
    haproxy.wait_for(&mut alone, "traffic error rate", "errors 80 of 80 requests");
}

/// nginx, on a Unix socket, since it cannot be handed a port that the system chose.
struct Nginx {
    peer: Peer,
    socket: PathBuf,
    log: PathBuf,
}

impl Nginx {
    fn start(program: &Path) -> Nginx {
        let folder = Folder::new("nginx");
        let socket = folder.file("socket");
        let config = format!(
            "daemon off;\n\
             worker_processes 1;\n\
             pid pid;\n\
             error_log stderr;\n\
             events {{}}\n\
             http {{\n\
             \x20   log_format timed '$remote_addr - $remote_user [$time_local] \"$request\" '\n\
             \x20       '$status $body_bytes_sent \"$http_referer\" \"$http_user_agent\" '\n\
             \x20       'rt=$request_time';\n\
             \x20   access_log access timed;\n\
             \x20   access_log plain;\n\
             \x20   server {{\n\
             \x20       listen unix:{};\n\
             \x20       location / {{ return 200; }}\n\
             \x20       location /500 {{ return 500; }}\n\
             \x20       location /502 {{ proxy_pass http://{}; }}\n\
             \x20   }}\n\
             }}\n",
            socket.display(),
            dead_address(),
        );
        let config = folder.write("nginx.conf", &config);
        let mut nginx = command(program);
        nginx.arg("-p").arg(folder.path()).arg("-c").arg(config);
        let log = folder.file("access");
        let nginx = Nginx {
            peer: Peer::start("nginx", nginx, folder),
            socket,
            log,
        };
        wait_until("nginx to answer", &[&nginx.peer], || {
            // Without a request, which would be logged.
            let connected = UnixStream::connect(&nginx.socket);
            connected.map(drop).map_err(|error| error.to_string())
        });
        nginx
    }

    fn ask(&self, path: &str) -> io::Result<()> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // A client that would like to be taken for trouble.
        let request = format!("GET {path}?]\"502\" HTTP/1.0\r\nUser-Agent: a\" 502 rt=9\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    }

    fn request(&self, path: &str) {
        for _ in 0..REQUESTS {
            self.ask(path).unwrap();
        }
    }
}

#[test]
fn the_log_of_nginx_is_followed_when_it_is_rotated() {
    let Some(program) = need("nginx") else {
        return;
    };
    let nginx = Nginx::start(&program);
    let rules = rates().latency("5s").unwrap();
    let mut timed = AccessLogCheck::new(&nginx.log).unwrap().rules(rules);
    let plain = AccessLogCheck::new(nginx.log.with_file_name("plain")).unwrap();
    let mut plain = plain.rules(TrafficRules::new().errors("5%").unwrap());
    let wait_for = |check: &mut dyn Check, reason: &str, detail: &str| {
        wait_for(&nginx.peer, check, reason, detail);
    };
    for check in [&mut timed, &mut plain] {
        wait_for(check, "traffic too little", "");
    }
    nginx.request("/");
    wait_for(&mut timed, "traffic normal", "40 requests");
    wait_for(&mut plain, "traffic normal", "40 requests");
    // As logrotate does it: renamed, then told. What comes between goes into the old file.
    fs::rename(&nginx.log, nginx.log.with_file_name("access.1")).unwrap();
    nginx.request("/500");
    wait_for(&mut timed, "traffic 5xx rate", "5xx 40 of 80 requests");
    let tell = format!("kill -USR1 {}", nginx.peer.id());
    let told = Command::new("sh").args(["-c", &tell]).status().unwrap();
    assert!(told.success());
    wait_until("the new log", &[&nginx.peer], || {
        let metadata = fs::metadata(&nginx.log);
        metadata.map(drop).map_err(|error| error.to_string())
    });
    nginx.request("/502");
    wait_for(&mut timed, "traffic 5xx rate", "5xx 80 of 120 requests");
    wait_for(
        &mut plain,
        "traffic error rate",
        "errors 40 of 120 requests",
    );
    wait_for(&mut timed, "traffic 5xx rate", "errors 40 of 120 requests");
}
