//! HAProxy takes a server out and puts it back because of our answers.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::service::{HELLO, Service};
use crate::support::{Failover, Folder, PATIENCE, Peer, command, get, need, wait_until};

/// Both ways a component can be run, quick enough for a test.
const WAYS: [&str; 2] = ["every 100ms", "on-request"];

/// HAProxy with one server behind one frontend.
struct Proxy {
    peer: Peer,
    front: SocketAddr,
    socket: PathBuf,
}

/// How HAProxy sees the server.
#[derive(Debug, PartialEq, Eq)]
struct View {
    status: String,
    check_status: String,
    check_code: String,
    op_state: String,
}

impl View {
    fn new(status: &str, check_code: &str) -> View {
        let is_up = status == "UP";
        View {
            status: status.to_string(),
            // It was an HTTP answer that decided, and not a connection that failed.
            check_status: if is_up { "L7OK" } else { "L7STS" }.to_string(),
            check_code: check_code.to_string(),
            // 2 is running, 0 is stopped.
            op_state: if is_up { "2" } else { "0" }.to_string(),
        }
    }
}

impl Proxy {
    /// Traffic goes to the service, and checks to us.
    fn start(program: &Path, httpchk: &str, service: &Service, health: SocketAddr) -> Proxy {
        let folder = Folder::new("haproxy");
        let socket = folder.file("stats");
        let (ip, port) = (health.ip(), health.port());
        let config = format!(
            "global\n\
             \x20   stats socket {} mode 600 level admin\n\
             defaults\n\
             \x20   mode http\n\
             \x20   timeout connect 10s\n\
             \x20   timeout client 30s\n\
             \x20   timeout server 30s\n\
             frontend front\n\
             \x20   bind fd@0\n\
             \x20   default_backend back\n\
             backend back\n\
             \x20   {httpchk}\n\
             \x20   timeout check 10s\n\
             \x20   server one {service} check addr {ip} port {port} inter 100 fall 2 rise 2\n",
            socket.display()
        );
        let config = folder.write("haproxy.cfg", &config);
        // It takes over a listener that has its port already, so that nobody else can.
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

    /// One command to the stats socket.
    fn tell(&self, command: &str) -> io::Result<String> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        writeln!(stream, "{command}")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn view(&self) -> Result<View, String> {
        let ask = |command| self.tell(command).map_err(|error| error.to_string());
        let stat = ask("show stat")?;
        let states = ask("show servers state back")?;
        let of_stat = |name| cell(&stat, ',', "svname", name);
        Ok(View {
            status: of_stat("status")?,
            // A star in front says that the next check is on its way.
            check_status: of_stat("check_status")?.replace("* ", ""),
            check_code: of_stat("check_code")?,
            op_state: cell(&states, ' ', "srv_name", "srv_op_state")?,
        })
    }

    /// Waits until HAProxy sees the server like this, and its clients are answered like that.
    fn wait_for(&self, failover: &Failover, expected: &View, status: &str, text: &str) {
        let peers = [&self.peer, &failover.peer];
        wait_until(&format!("{expected:?} and {status}"), &peers, || {
            let view = self.view()?;
            // No client before that: HAProxy tries a server for seconds that it believes in.
            if view != *expected {
                return Err(format!("{view:?}"));
            }
            let answer = get(self.front, "/").map_err(|error| error.to_string())?;
            let is_it = answer.contains(status) && answer.contains(text);
            is_it.then_some(()).ok_or(answer)
        });
    }
}

/// One cell of a table with a head line, in the line of the server `one`.
fn cell(table: &str, separator: char, key: &str, name: &str) -> Result<String, String> {
    let missing = || format!("no {name} in {table:?}");
    let head = table.lines().find_map(|line| line.strip_prefix("# "));
    let head: Vec<&str> = head.ok_or_else(missing)?.split(separator).collect();
    let column = |name| head.iter().position(|it| *it == name).ok_or_else(missing);
    let (key, column) = (column(key)?, column(name)?);
    let mut rows = table.lines().map(|line| line.split(separator));
    rows.find(|row| row.clone().nth(key) == Some("one"))
        .and_then(|mut row| row.nth(column))
        .map(str::to_string)
        .ok_or_else(missing)
}

/// Out when the service stops, back when it is there again; twice, since the first is special to
/// HAProxy: it believes the first check that it makes.
fn follows(httpchk: &str, answer_to_failed_check: &str) {
    let Some(program) = need("haproxy") else {
        return;
    };
    for way in WAYS {
        let mut service = Service::start();
        let config = format!(
            "component web\n tcp {service}\n timeout 10s\n ok-after 2\n fail-after 2\n {way}"
        );
        let failover = Failover::serve(&config);
        let proxy = Proxy::start(&program, httpchk, &service, failover.address);
        let up = View::new("UP", "200");
        let down = View::new("DOWN", answer_to_failed_check);
        proxy.wait_for(&failover, &up, " 200 ", HELLO);
        for _ in 0..2 {
            service.stop();
            proxy.wait_for(&failover, &down, " 503 ", "No server is available");
            service.start_again();
            proxy.wait_for(&failover, &up, " 200 ", HELLO);
        }
    }
}

#[test]
fn haproxy_follows_a_component_that_it_asks_for_by_name() {
    follows("option httpchk GET /web", "503");
}

#[test]
fn haproxy_follows_the_only_component_with_its_bare_httpchk() {
    follows("option httpchk", "503");
}
