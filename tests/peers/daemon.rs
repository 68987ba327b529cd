//! The daemon beside the real HAProxy, with the files of `examples/deploy/`: traffic goes from one
//! server to the other and back, and what an operator says stays said. And what the daemon sees of
//! a real PostgreSQL.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::deploy::text_of;
use crate::service::{HELLO, Service};
use crate::support::{
    Failover, Folder, PATIENCE, Peer, command, get, need, program, said, wait_until,
};

/// How often HAProxy asks in these tests.
const INTER: &str = "200ms";

/// Requests at a time where traffic is judged: twice the least that is for each of two servers.
const REQUESTS: usize = 80;

/// HAProxy with its frontend on a port that the system chose.
struct Proxy {
    peer: Peer,
    front: SocketAddr,
    socket: PathBuf,
}

impl Proxy {
    /// `bind fd@0` in the configuration is the frontend. Sockets are in the folder.
    fn start(program: &Path, config: &str, folder: Folder) -> Proxy {
        let socket = folder.file("admin.sock");
        let config = folder.write("haproxy.cfg", config);
        let front = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = front.local_addr().unwrap();
        let mut haproxy = command(program);
        haproxy.arg("-db").arg("-f").arg(config);
        haproxy.stdin(OwnedFd::from(front));
        Proxy {
            peer: Peer::start("haproxy", haproxy, folder),
            front: address,
            socket,
        }
    }

    fn tell(&self, command: &str) -> io::Result<String> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        writeln!(stream, "{command}")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// What HAProxy's statistics say of a server `BACKEND/SERVER`.
    fn stat(&self, server: &str, column: &str) -> Result<String, String> {
        let stat = self.tell("show stat").map_err(|error| error.to_string())?;
        let missing = || format!("no {column} of {server} in {stat:?}");
        let mut lines = stat.lines().map(|line| line.trim_start_matches("# "));
        let head = lines.next().ok_or_else(missing)?;
        let index = head.split(',').position(|name| name == column);
        let start = format!("{},", server.replace('/', ","));
        let row = lines.find(|line| line.starts_with(&start));
        let cell = row.and_then(|row| row.split(',').nth(index?));
        cell.map(String::from).ok_or_else(missing)
    }

    fn wait_for(&self, failover: &Failover, server: &str, status: &str) {
        let peers = [&self.peer, &failover.peer];
        wait_until(&format!("{server} to be {status}"), &peers, || {
            let seen = self.stat(server, "status")?;
            // Some versions add that there is an agent: "DRAIN (agent)".
            (seen.split(" (").next() == Some(status))
                .then_some(())
                .ok_or(seen)
        });
    }

    /// Requests that a client makes one after the other, each of which the service answers.
    fn serves(&self, count: usize) {
        for _ in 0..count {
            let answer = get(self.front, "/").unwrap();
            assert!(
                answer.contains(" 200 ") && answer.contains(HELLO),
                "{answer}"
            );
        }
    }

    /// How many connections a server was given.
    fn served_by(&self, server: &str) -> u64 {
        self.stat(server, "stot").unwrap().parse().unwrap()
    }
}

/// Where the daemon listens, in the order of its configuration.
fn addresses(failover: &Failover, count: usize) -> Vec<SocketAddr> {
    wait_until("all addresses", &[&failover.peer], || {
        let log = failover.peer.log();
        let lines = log
            .lines()
            .filter_map(|line| line.rsplit_once("listening on "));
        let found: Vec<SocketAddr> = lines.filter_map(|(_, it)| it.parse().ok()).collect();
        (found.len() == count).then_some(found).ok_or(log)
    })
}

/// The samples of `examples/deploy/`, quick enough for a test, with these services in the places of
/// web1 and web2, and of upload1.
fn deployed(haproxy: &Path, services: [&Service; 3]) -> (Failover, Proxy) {
    let folder = Folder::new("deployed");
    let place = folder.path().display().to_string();
    let [web1, web2, upload1] = services.map(Service::to_string);
    let swap = |text: String, pairs: &[(&str, &str)]| {
        pairs.iter().fold(text, |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        })
    };
    let servers = [
        ("10.0.0.11:8000", web1.as_str()),
        ("10.0.0.12:8000", &web2),
        ("10.0.0.21:8000", &upload1),
    ];
    let config = swap(text_of("failover.conf"), &servers);
    let config = swap(
        config,
        &[
            // This is where the test itself begins a configuration.
            ("\nserver\n    listen 127.0.0.1:8080 ", "\n#"),
            (
                "listen 0.0.0.0:8081 only components allow 10.0.0.0/24",
                "listen 127.0.0.1:0",
            ),
            ("127.0.0.1:8082", "127.0.0.1:0"),
            ("127.0.0.1:8083", "127.0.0.1:0"),
            ("/run/haproxy", &place),
            ("/run/failover", &place),
            ("/var/lib/failover", &place),
            ("every 2s fast 1s", "every 400ms"),
            // A service that is there is there, however long it takes on a busy machine.
            ("timeout 1s", "timeout 10s"),
            // What users' requests say is to be forgotten while the test waits.
            ("every 5s\n    5xx-rate 5%", "window 3s\n    5xx-rate 5%"),
        ],
    );
    let failover = Failover::serve(&config);
    let ports = addresses(&failover, 4);
    let port = |index: usize| ports[index].port().to_string();
    let config = swap(text_of("haproxy.cfg"), &servers);
    let config = swap(
        config,
        &[
            ("bind :80", "bind fd@0"),
            ("bind :5432", &format!("bind unix@{place}/postgres")),
            ("bind :25", &format!("bind unix@{place}/mail")),
            ("port 8080", &format!("port {}", port(0))),
            ("port 8082", &format!("port {}", port(2))),
            ("port 8083", &format!("port {}", port(3))),
            ("/run/haproxy", &place),
            ("inter 1s", &format!("inter {INTER}")),
        ],
    );
    let proxy = Proxy::start(haproxy, &config, folder);
    (failover, proxy)
}

#[test]
fn the_deployed_files_move_traffic_and_bring_it_back() {
    let Some(haproxy) = need("haproxy") else {
        return;
    };
    let [mut web1, mut web2, mut upload1] = [(); 3].map(|()| Service::start());
    let (failover, proxy) = deployed(&haproxy, [&web1, &web2, &upload1]);
    for server in ["web/web1", "web/web2", "upload/upload1"] {
        proxy.wait_for(&failover, server, "UP");
    }
    // To either and back, twice.
    for _ in 0..2 {
        for (dead, name, other) in [
            (&mut web1, "web/web1", "web/web2"),
            (&mut web2, "web/web2", "web/web1"),
        ] {
            dead.stop();
            proxy.wait_for(&failover, name, "DOWN");
            assert_eq!(proxy.stat(name, "check_code").unwrap(), "503");
            let before = [name, other].map(|name| proxy.served_by(name));
            proxy.serves(10);
            let after = [name, other].map(|name| proxy.served_by(name));
            assert_eq!([after[0] - before[0], after[1] - before[1]], [0, 10]);
            dead.start_again();
            proxy.wait_for(&failover, name, "UP");
            proxy.serves(10);
            assert!(proxy.served_by(name) > after[0]);
        }
    }
    // 404: no new sessions, and not down.
    upload1.stop();
    proxy.wait_for(&failover, "upload/upload1", "NOLB");
    assert_eq!(proxy.stat("upload/upload1", "check_code").unwrap(), "404");
    upload1.start_again();
    proxy.wait_for(&failover, "upload/upload1", "UP");
    // There is no mail server here; one agent is asked by name, and the other is the component's.
    proxy.wait_for(&failover, "mail/mail1", "DOWN");
    // How HAProxy sees its server, as it said when it asked.
    let status = get(failover.address, "/-/status").unwrap();
    assert!(status.contains("name=web/web1"), "{status}");
    measured(&failover, &proxy, &web1);
}

/// What HAProxy counts of the users' requests fails a component, while HAProxy's own check and
/// ours still pass.
fn measured(failover: &Failover, proxy: &Proxy, web1: &Service) {
    let request_until = |status_line: &str| {
        wait_until(status_line, &[&proxy.peer, &failover.peer], || {
            thread::scope(|scope| {
                for _ in 0..REQUESTS {
                    scope.spawn(|| get(proxy.front, "/"));
                }
            });
            let answer = get(failover.address, "/web1-traffic").unwrap();
            answer.starts_with(status_line).then_some(()).ok_or(answer)
        });
    };
    request_until("HTTP/1.0 200 ");
    web1.says(500);
    request_until("HTTP/1.0 503 ");
    assert_eq!(proxy.stat("web/web1", "status").unwrap(), "UP");
    failover.wait_for("/web1", "HTTP/1.0 200 OK");
    web1.says(200);
    request_until("HTTP/1.0 200 ");
}

/// Two servers that only the agent speaks for, and the daemon's admin socket.
fn agents(haproxy: &Path, controls: &str, services: [&Service; 2]) -> (Failover, Proxy, PathBuf) {
    let folder = Folder::new("agents");
    let admin = folder.file("failover.sock");
    let mut config = format!(
        "  agent-listen 127.0.0.1:0\n  admin-socket {}\n{controls}\n\
         defaults\n  every 250ms\n  timeout 10s\n  fail-after 2\n  ok-after 2\n",
        admin.display()
    );
    let mut servers = String::new();
    for (name, service) in ["one", "two"].iter().zip(services) {
        write!(config, "component {name}\n  tcp {service}\n").unwrap();
        writeln!(
            servers,
            "    server {name} {service} agent-send \"{name}\\n\""
        )
        .unwrap();
    }
    let failover = Failover::serve(&config);
    let agent = addresses(&failover, 2)[1].port();
    let config = format!(
        "global\n    stats socket {}/admin.sock mode 600 level admin\n\
         defaults\n    mode http\n    timeout connect 10s\n    timeout client 30s\n\
         \x20   timeout server 30s\n    timeout check 10s\n\
         frontend front\n    bind fd@0\n    default_backend b\n\
         backend b\n    default-server agent-check agent-addr 127.0.0.1 agent-port {agent} \
         agent-inter {INTER}\n{servers}",
        folder.path().display()
    );
    let proxy = Proxy::start(haproxy, &config, folder);
    for server in ["b/one", "b/two"] {
        proxy.wait_for(&failover, server, "no check");
    }
    (failover, proxy, admin)
}

/// That it stays so for several seconds, which are a dozen of the agent's words.
fn stays(proxy: &Proxy, server: &str, status: &str) {
    for _ in 0..12 {
        thread::sleep(Duration::from_millis(250));
        let seen = proxy.stat(server, "status").unwrap();
        assert!(
            seen.starts_with(status),
            "{server}: {seen}; expected {status}"
        );
    }
}

/// As an operator of ours does it: `failover maint`.
fn maintain(socket: &Path, words: &[&str]) {
    let mut maint = command(program());
    said(maint.args(["maint", "-s"]).arg(socket).args(words));
}

#[test]
fn the_agent_moves_traffic_and_an_operators_word_stays() {
    let Some(haproxy) = need("haproxy") else {
        return;
    };
    let [mut one, two] = [(); 2].map(|()| Service::start());
    let (failover, proxy, admin) = agents(&haproxy, "", [&one, &two]);
    for _ in 0..2 {
        one.stop();
        proxy.wait_for(&failover, "b/one", "DOWN");
        proxy.serves(10);
        one.start_again();
        proxy.wait_for(&failover, "b/one", "no check");
        let before = proxy.served_by("b/one");
        proxy.serves(10);
        assert_eq!(proxy.served_by("b/one"), before + 5);
    }
    proxy.tell("set server b/one state maint").unwrap();
    stays(&proxy, "b/one", "MAINT");
    proxy.tell("set server b/one state ready").unwrap();
    proxy.wait_for(&failover, "b/one", "no check");
    // Without control of it, ours can only be said as down.
    maintain(&admin, &["one", "drain"]);
    proxy.wait_for(&failover, "b/one", "DOWN");
    maintain(&admin, &["one", "off"]);
    proxy.wait_for(&failover, "b/one", "no check");
}

#[test]
fn maintenance_of_ours_drains_where_control_was_handed_over() {
    let Some(haproxy) = need("haproxy") else {
        return;
    };
    let [one, two] = [(); 2].map(|()| Service::start());
    let (failover, proxy, admin) = agents(&haproxy, "  agent-controls admin", [&one, &two]);
    maintain(&admin, &["one", "drain", "because", "new kernel"]);
    proxy.wait_for(&failover, "b/one", "DRAIN");
    let before = proxy.served_by("b/one");
    proxy.serves(10);
    assert_eq!(proxy.served_by("b/one"), before);
    stays(&proxy, "b/one", "DRAIN");
    maintain(&admin, &["one", "off"]);
    proxy.wait_for(&failover, "b/one", "no check");
    proxy.serves(10);
    assert!(proxy.served_by("b/one") > before);
}

/// Waits until a component answers so, and says why; what is well gives no reason.
fn wait_for_reason(failover: &Failover, name: &str, status_line: &str, reason: &str) {
    let what = format!("{status_line} for {name}, {reason}");
    wait_until(&what, &[&failover.peer], || {
        let answer = get(failover.address, &format!("/{name}?format=json"))
            .map_err(|error| error.to_string())?;
        let is_it = answer.starts_with(status_line) && answer.contains(reason);
        is_it.then_some(()).ok_or(answer)
    });
}

#[test]
fn the_daemon_tells_the_states_of_postgresql_apart() {
    let settings = "max_connections = 5\nsuperuser_reserved_connections = 1\nmax_wal_senders = 2";
    let hba = "host all trusted 127.0.0.1/32 trust\nhost all scram 127.0.0.1/32 scram-sha-256";
    let Some(primary) = Cluster::primary("pg-daemon", settings, hba) else {
        return;
    };
    primary.sql("CREATE ROLE trusted LOGIN; CREATE ROLE scram LOGIN PASSWORD 'right'");
    let standby = primary.standby("pg-second", "");
    let wrong = primary.password_file("wrong", "wrong");
    let (one, two) = (primary.port(), standby.port());
    let config = format!(
        "defaults\n  every 500ms\n  fail-after 2\n  ok-after 2\n  user trusted\n  \
         database postgres\n  timeout 10s\n\
         component primary\n  postgres 127.0.0.1:{one}\n  role primary\n\
         component standby\n  postgres 127.0.0.1:{two}\n  role standby\n\
         component up\n  postgres 127.0.0.1:{one}\n\
         component locked-out\n  postgres 127.0.0.1:{one}\n  role primary\n  user scram\n  \
         password-file {}\n",
        wrong.display()
    );
    let failover = Failover::serve(&config);
    let (ok, fail, unknown) = ("HTTP/1.0 200 ", "HTTP/1.0 503 ", "HTTP/1.0 500 ");
    wait_for_reason(&failover, "primary", ok, "pass");
    wait_for_reason(&failover, "standby", fail, "tcp connect refused");
    wait_for_reason(&failover, "locked-out", unknown, "postgres login refused");
    // A standby that is up, and does not let anybody look at it yet, is as one that starts.
    standby.set("hot_standby = off");
    standby.start();
    wait_for_reason(&failover, "standby", fail, "postgres rejecting");
    standby.stop("fast");
    standby.set("hot_standby = on");
    standby.start();
    wait_for_reason(&failover, "standby", ok, "pass");
    standby.promote();
    wait_for_reason(&failover, "standby", fail, "postgres wrong role");

    // Full: it is up, only whether it is the primary cannot be known.
    let sessions = (0..5).map(|_| {
        let mut session = primary.psql("SELECT pg_sleep(600)");
        session.stdout(Stdio::null()).stderr(Stdio::null());
        session.spawn().unwrap()
    });
    let sessions: Vec<_> = sessions.collect();
    wait_for_reason(&failover, "up", ok, "postgres out of connections");
    wait_for_reason(&failover, "primary", unknown, "postgres out of connections");
    primary.stop("fast");
    for mut session in sessions {
        session.wait().unwrap();
    }
    wait_for_reason(&failover, "primary", fail, "tcp connect refused");
}
