//! The whole daemon in a minute: services that fail and recover by a script, the configuration that
//! watches them, and `failover run` on it, all in one process.
//!
//! `make demo`, then look at the page it names, at the log, and at what balancers are told.
//!
//! ```text
//! LISTEN   where to answer                      default: 127.0.0.1:8080
//! EVERY    how long a step of the script takes  default: 7s
//! ```

mod shared;

use std::env;
use std::error::Error;
use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use failover::{Signal, Signals, Span};
use shared::{listen_on, say};

/// Who may reset the database and report for the backup: whoever has this.
const TOKEN: &str = "demo-token-of-no-other-use";

/// How long anybody who is asked may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a service does.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Answers,
    Refuses,
    Says500,
    Hangs,
}

/// A service that does as it is told, and the depth of its queue.
struct Service {
    address: SocketAddr,
    way: AtomicUsize,
    depth: AtomicUsize,
}

impl Service {
    fn start() -> io::Result<Arc<Service>> {
        let listener = listen_on("127.0.0.1:0".parse().expect("an address"))?;
        let service = Arc::new(Service {
            address: listener.local_addr()?,
            way: AtomicUsize::new(Way::Answers as usize),
            depth: AtomicUsize::new(12),
        });
        let running = service.clone();
        thread::spawn(move || running.run(listener));
        Ok(service)
    }

    fn goes(&self, way: Way) {
        self.way.store(way as usize, Ordering::SeqCst);
    }

    fn is(&self, way: Way) -> bool {
        self.way.load(Ordering::SeqCst) == way as usize
    }

    fn run(&self, listener: TcpListener) {
        let mut listener = Some(listener);
        let mut hanging = Vec::new();
        loop {
            listener = match listener {
                // Whoever connects to a closed listener is refused.
                Some(_) if self.is(Way::Refuses) => None,
                None if !self.is(Way::Refuses) => listen_on(self.address).ok(),
                same => same,
            };
            if !self.is(Way::Hangs) {
                hanging.clear();
            }
            while let Some(Ok((stream, _))) = listener.as_ref().map(TcpListener::accept) {
                if self.is(Way::Hangs) {
                    hanging.push(stream);
                } else {
                    // A client that has gone is no trouble of the service's.
                    let _ = self.answer(stream);
                }
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// In HTTP; who waits for a text before it says anything finds it there, too.
    fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(Duration::from_millis(50)))?;
        let _ = stream.read(&mut [0; 1024]);
        let status = match self.is(Way::Says500) {
            true => "500 Internal Server Error",
            false => "200 OK",
        };
        let body = format!("{{\"depth\": {}}}", self.depth.load(Ordering::SeqCst));
        write!(
            stream,
            "HTTP/1.0 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n\
             {body}",
            body.len()
        )
    }
}

/// The services, and where the daemon answers for them.
struct Town {
    web1: Arc<Service>,
    web2: Arc<Service>,
    database: Arc<Service>,
    queue: Arc<Service>,
    listen: SocketAddr,
    agent: SocketAddr,
    folder: PathBuf,
}

/// What happens, and who does it.
type Step = (&'static str, fn(&Town));

const SCRIPT: [Step; 9] = [
    ("all is well", |_| {}),
    ("web1 refuses connections: web goes on with web2", |town| {
        town.web1.goes(Way::Refuses);
    }),
    ("web2 says 500, too: no web, no site", |town| {
        town.web2.goes(Way::Says500);
    }),
    (
        "web1 is back: recovery is judged as long as failure",
        |town| {
            town.web1.goes(Way::Answers);
        },
    ),
    (
        "the queue is 2,400 deep: the site is well, and warns",
        |town| {
            town.web2.goes(Way::Answers);
            town.queue.depth.store(2_400, Ordering::SeqCst);
        },
    ),
    ("the database hangs: the site fails", |town| {
        town.queue.depth.store(12, Ordering::SeqCst);
        town.database.goes(Way::Hangs);
    }),
    (
        "the database answers, but waits for a human to reset it",
        |town| {
            town.database.goes(Way::Answers);
        },
    ),
    ("a human resets it: POST /database", |town| {
        // A reset that is too early is answered so, and the next round brings another.
        let _ = town.post("/database");
    }),
    ("the backup no longer reports: only a warning", |_| {}),
];

/// The step in which nobody reports.
const SILENCE: usize = SCRIPT.len() - 1;

impl Town {
    fn found(listen: &str) -> Result<Town, Box<dyn Error>> {
        let folder = env::temp_dir().join(format!("failover-demo-{}", std::process::id()));
        fs::create_dir_all(folder.join("state"))?;
        Ok(Town {
            web1: Service::start()?,
            web2: Service::start()?,
            database: Service::start()?,
            queue: Service::start()?,
            listen: free(listen)?,
            agent: free("127.0.0.1:0")?,
            folder,
        })
    }

    /// The configuration, in a file.
    fn write(&self) -> io::Result<PathBuf> {
        let token = self.folder.join("token");
        fs::write(&token, TOKEN)?;
        fs::set_permissions(&token, Permissions::from_mode(0o600))?;
        let path = self.folder.join("failover.conf");
        fs::write(&path, self.config())?;
        Ok(path)
    }

    fn config(&self) -> String {
        let Town { listen, agent, .. } = self;
        let place = self.folder.display();
        let [web1, web2, database, queue] =
            [&self.web1, &self.web2, &self.database, &self.queue].map(|it| it.address);
        format!(
            r#"# What the demo runs on.
server
    listen {listen}
    agent-listen {agent}
    state-dir {place}/state
    default site

defaults
    every 1s fast 200ms
    timeout 200ms
    fail-after 3
    ok-after 3

component web1
    http http://{web1}/
    layer application

component web2
    http http://{web2}/
    layer application

component web
    any-of web1 web2
    layer application
    why "one of two is enough; a balancer asks for each"

component database
    tcp {database}
    send "hello"
    expect "200 OK"
    manual-reset token-file {place}/token
    layer platform
    why "what it missed has to be looked at before it is used again"

component queue
    http http://{queue}/
    value depth below 1000
    critical no
    layer business

component backup
    heartbeat token-file {place}/token
    every 1s
    grace 2s
    critical no

component site
    all-of web database queue backup
    non-critical queue backup
    track-file {place}/site
    layer business
"#
        )
    }

    fn show(&self) {
        let Town { listen, agent, .. } = self;
        let place = self.folder.display();
        say(&format!("page:        http://{listen}/"));
        say(&format!("try:         curl -i http://{listen}/site"));
        say(&format!(
            "HAProxy:     echo site | nc {agent}    (agent-check)"
        ));
        say(&format!(
            "keepalived:  cat {place}/site          (track_file)"
        ));
        say(&format!(
            "operators:   failover status -s {place}/state/failover.sock"
        ));
        say(&format!("settings:    {place}/failover.conf"));
    }

    /// Plays the script again and again.
    fn play(&self, every: Duration) {
        for (number, (what, happen)) in SCRIPT.iter().enumerate().cycle() {
            say(&format!("\n[{}/{}] {what}", number + 1, SCRIPT.len()));
            happen(self);
            let until = Instant::now() + every;
            while Instant::now() < until {
                if number != SILENCE {
                    let _ = self.post("/backup");
                }
                thread::sleep(every.min(Duration::from_secs(1)));
            }
            self.say_what_is_told();
        }
    }

    /// What balancers hear at the end of a step.
    fn say_what_is_told(&self) {
        let answer = ask(self.listen, "GET / HTTP/1.0\r\n\r\n").unwrap_or_default();
        let status = answer.lines().next().unwrap_or("nothing");
        let agent = ask(self.agent, "site\n").unwrap_or_default();
        let file = fs::read_to_string(self.folder.join("site")).unwrap_or_default();
        say(&format!(
            "      a balancer is told {status:?}, HAProxy's agent-check {:?}, keepalived {:?}",
            agent.trim(),
            file.trim()
        ));
    }

    fn post(&self, path: &str) -> io::Result<String> {
        let request = format!(
            "POST {path} HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 0\r\n\r\n"
        );
        ask(self.listen, &request)
    }
}

/// An address with a port: the one that it has, or one that nobody uses.
fn free(address: &str) -> io::Result<SocketAddr> {
    TcpListener::bind(address)?.local_addr()
}

fn ask(address: SocketAddr, request: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Until the daemon answers, or long enough that it will not.
fn wait_for(listen: SocketAddr) {
    let until = Instant::now() + PATIENCE;
    while TcpStream::connect(listen).is_err() && Instant::now() < until {
        thread::sleep(Duration::from_millis(20));
    }
}

fn run(folder: &mut Option<PathBuf>) -> Result<ExitCode, Box<dyn Error>> {
    // Before any thread is started, so that all of them leave signals to us.
    let signals = Signals::keep(&[Signal::Hangup, Signal::Interrupt, Signal::Terminate])?;
    let setting = |name: &str, default: &str| env::var(name).unwrap_or(default.to_string());
    let every = Span::try_from(setting("EVERY", "7s").as_str())?.duration();
    let town = Town::found(&setting("LISTEN", "127.0.0.1:8080"))?;
    *folder = Some(town.folder.clone());
    let config = town.write()?;
    thread::spawn(move || {
        wait_for(town.listen);
        town.show();
        town.play(every);
    });
    Ok(failover::cli::run_config(&config, &signals))
}

fn remove(folder: &Path) {
    // What is left there is in the folder for temporary files.
    let _ = fs::remove_dir_all(folder);
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut folder = None;
    let ended = run(&mut folder);
    if let Some(folder) = folder {
        remove(&folder);
    }
    say("ended");
    ended
}
