//! HAProxy's agent-check: it fails over because of what our agent says, and what an operator sets
//! on HAProxy's own socket stays set.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use failover::{
    AgentSettings, Background, Health, HealthCheckServer, Log, Outcome, Running, State, ok,
};

use crate::support::{Folder, PATIENCE, Peer, command, need, wait_until};

/// How often HAProxy asks.
const INTER: Duration = Duration::from_millis(200);

/// HAProxy with servers that have an agent and no other check.
struct Proxy {
    peer: Peer,
    socket: PathBuf,
}

impl Proxy {
    /// One server for each of these agents, with what HAProxy sends it.
    fn start(program: &Path, servers: &[(&str, SocketAddr, &str)]) -> Proxy {
        let folder = Folder::new("agent");
        let socket = folder.file("stats");
        let mut config = format!(
            "global\n    stats socket {} mode 600 level admin\n\
             defaults\n    mode tcp\n    timeout connect 10s\n    timeout client 30s\n\
             \x20   timeout server 30s\n    timeout check 10s\nbackend back\n",
            socket.display()
        );
        for (name, agent, send) in servers {
            let (ip, port) = (agent.ip(), agent.port());
            writeln!(
                config,
                "    server {name} 127.0.0.1:1 weight 100 agent-check agent-addr {ip} \
                 agent-port {port} agent-inter {}ms {send}",
                INTER.as_millis()
            )
            .unwrap();
        }
        let config = folder.write("haproxy.cfg", &config);
        let mut haproxy = command(program);
        haproxy.arg("-db").arg("-f").arg(config);
        let peer = Peer::start("haproxy", haproxy, folder);
        Proxy { peer, socket }
    }

    fn tell(&self, command: &str) -> io::Result<String> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        writeln!(stream, "{command}")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn stat(&self, server: &str, names: [&str; 3]) -> Result<[String; 3], String> {
        let stat = self.tell("show stat").map_err(|error| error.to_string())?;
        let missing = || format!("no {server} with {names:?} in {stat:?}");
        let mut lines = stat.lines().map(|line| line.trim_start_matches("# "));
        let head: Vec<&str> = lines.next().ok_or_else(missing)?.split(',').collect();
        let mut rows = lines.map(|line| line.split(',').collect::<Vec<&str>>());
        let row = rows.find(|row| row.get(1) == Some(&server));
        let row = row.ok_or_else(missing)?;
        let cell = |name| {
            let column = head.iter().position(|it| *it == name);
            column.and_then(|column| row.get(column)).copied()
        };
        let mut cells = [const { String::new() }; 3];
        for (place, name) in cells.iter_mut().zip(names) {
            *place = cell(name).ok_or_else(missing)?.to_string();
        }
        Ok(cells)
    }

    /// Waits until HAProxy sees the server so: its status, its weight, and its agent's last word.
    fn wait_for(&self, server: &str, expected: [&str; 3]) {
        let what = format!("{server} to be {expected:?}");
        wait_until(&what, &[&self.peer], || {
            let seen = self.stat(server, ["status", "weight", "agent_status"])?;
            (seen == expected)
                .then_some(())
                .ok_or_else(|| format!("{seen:?}"))
        });
    }

    /// Holds that it stays so for many rounds of the agent.
    fn stays(&self, server: &str, expected: [&str; 2]) {
        for _ in 0..15 {
            thread::sleep(INTER);
            let seen = self
                .stat(server, ["status", "weight", "agent_status"])
                .unwrap();
            // Some versions add that there is an agent: "DRAIN (agent)".
            let is_it = seen[0].starts_with(expected[0]) && seen[1] == expected[1];
            assert!(is_it, "{server}: {seen:?}; expected {expected:?}");
        }
    }
}

/// Our side: a component whose health a test sets.
struct Us {
    server: HealthCheckServer,
    running: Option<Running>,
    health: Arc<AtomicU8>,
}

impl Us {
    fn start() -> Us {
        let server = HealthCheckServer::builder().log(Log::none());
        let server = server.bind("127.0.0.1:0").unwrap();
        let health = Arc::new(AtomicU8::new(0));
        let seen = health.clone();
        let check = move || {
            let seen = seen.load(Ordering::SeqCst);
            Outcome::from([Health::Ok, Health::Fail, Health::Unknown][usize::from(seen)])
        };
        let every = Duration::from_millis(50);
        let web = Background::builder(check, every).unwrap();
        let web = web.stale_after(Duration::from_secs(1)).unwrap();
        let web = web.initial_state(ok).start().unwrap();
        server.add_component("web", web).unwrap();
        let running = Some(server.start().unwrap());
        Us {
            server,
            running,
            health,
        }
    }

    fn agent(&self, settings: AgentSettings) -> SocketAddr {
        self.server.listen_also(settings).unwrap().unwrap()
    }

    fn is(&self, state: State) {
        let number = match state {
            State::Ok => 0,
            State::Fail => 1,
            State::Unknown => 2,
        };
        self.health.store(number, Ordering::SeqCst);
    }
}

impl Drop for Us {
    fn drop(&mut self) {
        self.server.handle().shutdown();
        if let Some(running) = self.running.take() {
            running.wait();
        }
    }
}

fn settings() -> AgentSettings {
    AgentSettings::new("127.0.0.1:0").unwrap()
}

const UP: [&str; 3] = ["no check", "100", "L7OK"];
const DOWN: [&str; 3] = ["DOWN (agent)", "100", "L7STS"];

#[test]
fn haproxy_follows_the_agent_and_keeps_the_operators_word() {
    let Some(program) = need("haproxy") else {
        return;
    };
    let us = Us::start();
    let by_name = us.agent(settings());
    let of_one = us.agent(settings().component("web").unwrap());
    let servers = [
        ("named", by_name, "agent-send \"web\\n\""),
        ("unended", by_name, "agent-send \"web\""),
        ("one", of_one, ""),
        ("ignored", of_one, "agent-send \"anything\\n\""),
        ("misspelt", by_name, "agent-send \"wbe\\n\""),
        ("unsaid", by_name, ""),
    ];
    let proxy = Proxy::start(&program, &servers);
    for _ in 0..2 {
        for server in ["named", "unended", "one", "ignored"] {
            proxy.wait_for(server, UP);
        }
        us.is(State::Fail);
        for server in ["named", "unended", "one", "ignored"] {
            proxy.wait_for(server, DOWN);
        }
        // Whoever is late with the name is told nothing, and asks again.
        wait_until("the reason", &[&proxy.peer], || {
            let words = ["last_agt", "agent_desc", "status"];
            let [told, ..] = proxy.stat("named", words)?;
            let is_it = told == "via agent : down (said fail)";
            is_it.then_some(()).ok_or(told)
        });
        // What cannot be told changes nothing, whether it is up or down.
        us.is(State::Unknown);
        proxy.wait_for("named", ["DOWN (agent)", "100", "CHECKED"]);
        us.is(State::Ok);
        proxy.wait_for("named", UP);
        us.is(State::Unknown);
        proxy.wait_for("named", ["no check", "100", "CHECKED"]);
        us.is(State::Ok);
    }
    for server in ["misspelt", "unsaid"] {
        proxy.wait_for(server, ["no check", "100", "CHECKED"]);
    }
    for (order, expected) in [
        ("set server back/named state maint", ["MAINT", "100"]),
        ("set server back/named state drain", ["DRAIN", "100"]),
        ("set server back/named state ready", ["no check", "100"]),
        ("set server back/named weight 50%", ["no check", "50"]),
    ] {
        assert_eq!(proxy.tell(order).unwrap().trim(), "", "{order}");
        proxy.stays("named", expected);
    }
}

#[test]
fn an_agent_that_was_handed_control_takes_it() {
    let Some(program) = need("haproxy") else {
        return;
    };
    let us = Us::start();
    let agent = us.agent(settings().controls_admin().controls_weight());
    let proxy = Proxy::start(&program, &[("web", agent, "agent-send \"web\\n\"")]);
    proxy.wait_for("web", UP);
    for order in [
        "set server back/web state maint",
        "set server back/web state drain",
        "set server back/web weight 50%",
    ] {
        assert_eq!(proxy.tell(order).unwrap().trim(), "", "{order}");
        proxy.wait_for("web", UP);
    }
    us.is(State::Fail);
    proxy.wait_for("web", DOWN);
}
