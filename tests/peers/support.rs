//! What the tests share: programs that are found or said to be missing, children that end with
//! their test, and waiting that says what it waited for.

use std::env;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that is waited for. Far more than it needs: a machine that runs
/// other tests is slow, and a test that says so wrongly is worse than one that is late.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What need not be there, even where skipping counts as failing, with the reason.
pub(crate) const MAY_BE_SKIPPED: [(&str, &str); 4] = [
    (
        "network namespaces",
        "a container that tests run in is rarely allowed to make them",
    ),
    ("IPv6", "containers often have no ::1"),
    (
        "an exim4 of our own",
        "it lets nobody but root start it as a daemon",
    ),
    (
        "SHA-crypt",
        "htpasswd has it from 2.4.55 on, and we only refuse what it writes",
    ),
];

/// A port that is free for TCP and UDP, for programs that cannot take over a listener. The system
/// chooses none of these by itself, and each is given once.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (std::process::id() * 16 + number) % 20_000;
        let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()));
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            // Until it starts its program, a process that another test forks listens there, too.
            wait_until("nobody to listen there", &[], || {
                let connected = TcpStream::connect(address);
                connected.map_or(Ok(()), |_| Err(address.to_string()))
            });
            return address.port();
        }
    }
}

/// Where nobody listens: the port of a service that is long gone. It is none that the system gives
/// to who connects: of those, a program that tries often enough gets the very port that it connects
/// to, and by TCP's simultaneous open it then talks to itself.
pub(crate) fn dead_address() -> SocketAddr {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{address}");
    address
}

/// The pause between two looks at what is waited for.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a child may take to end when asked to, before it is killed: what it has started may be
/// left alone then.
const LEAVE: Duration = Duration::from_secs(10);

/// How much of a child's log a message shows.
const TAIL_LINES: usize = 20;

/// Where the program is, or `None` once it was said to be missing.
pub(crate) fn need(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Debian keeps daemons where the path of ordinary users does not lead.
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = folders
        .map(|folder| folder.join(program))
        .find(|path| path.is_file());
    if found.is_none() {
        skip(program, "it is not on this machine");
    }
    found
}

/// Says that something is not tested, and fails if it should be.
pub(crate) fn skip(what: &str, why: &str) {
    // Not `eprintln!`: the test runner would show that of failed tests only.
    let _ = writeln!(io::stderr(), "skipped: {what}: {why}");
    let is_required = env::var("FAILOVER_PEERS_REQUIRED").is_ok_and(|value| value == "1");
    let is_excused = MAY_BE_SKIPPED.iter().any(|(may, _)| *may == what);
    assert!(
        !is_required || is_excused,
        "{what}: {why}; expected it, since FAILOVER_PEERS_REQUIRED=1"
    );
}

/// A directory of its own for one test, removed at its end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // Short, because the name of a Unix socket in it may have a hundred bytes at most.
        let name = format!("failover-{}-{count}-{name}", std::process::id());
        let path = env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file and says where it is.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What a browser has started writes there for a moment after the browser's end.
        let deadline = Instant::now() + LEAVE;
        while fs::remove_dir_all(&self.0).is_err() && self.0.exists() && Instant::now() < deadline {
            thread::sleep(PAUSE);
        }
    }
}

/// A child that runs until it is dropped, with its output in a file.
pub(crate) struct Peer {
    name: String,
    child: Mutex<Child>,
    log: PathBuf,
    _folder: Folder,
}

impl Peer {
    /// Starts it in the folder, which goes when the child has gone.
    pub(crate) fn start(name: &str, mut command: Command, folder: Folder) -> Peer {
        let log = folder.file("log");
        let out = File::create(&log).unwrap();
        command
            .current_dir(folder.path())
            .stdout(out.try_clone().unwrap())
            .stderr(out);
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Peer {
            name: name.to_string(),
            child: Mutex::new(child),
            log,
            _folder: folder,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// All that it has said so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn has_ended(&self) -> bool {
        !matches!(self.child.lock().unwrap().try_wait(), Ok(None))
    }

    /// Its name, whether it still runs, and what it said last.
    fn about(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n  ");
        let ended = if self.has_ended() { " (has ended)" } else { "" };
        format!("{}{ended} said last:\n  {tail}", self.name)
    }
}

impl Drop for Peer {
    /// Asks first, because what keepalived has started ends only with a keepalived that is asked.
    fn drop(&mut self) {
        let Ok(child) = self.child.get_mut() else {
            return;
        };
        let deadline = Instant::now() + LEAVE;
        // Until it has been waited for, the number is this child's and nobody else's.
        if let Ok(None) = child.try_wait() {
            let ask = format!("kill -TERM {}", child.id());
            let _ = Command::new("sh").args(["-c", &ask]).status();
        }
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Looks again and again until something is found. What a look says instead of finding it is
/// shown when time is up, or when one of the peers has ended.
pub(crate) fn wait_until<T>(
    what: &str,
    peers: &[&Peer],
    mut look: impl FnMut() -> Result<T, String>,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Asked before the look, which may find what the last moments brought.
        let is_over = Instant::now() >= deadline || peers.iter().any(|peer| peer.has_ended());
        match look() {
            Ok(found) => return found,
            Err(seen) if is_over => {
                let mut message = format!("waited for {what}; last seen: {seen}");
                for peer in peers {
                    write!(message, "\n{}", peer.about()).unwrap();
                }
                panic!("{message}");
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// A command that reads nothing.
pub(crate) fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.stdin(Stdio::null());
    command
}

/// Runs a command that ends by itself.
pub(crate) fn run(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// What a command printed, which has to end well.
pub(crate) fn said(command: &mut Command) -> String {
    let output = run(command);
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{out}{errors}",
        output.status
    );
    out
}

/// `failover run`, on a port that the system chose.
pub(crate) struct Failover {
    pub(crate) peer: Peer,
    pub(crate) address: SocketAddr,
}

impl Failover {
    /// The configuration goes on in the `server` block that says where to listen.
    pub(crate) fn serve(config: &str) -> Failover {
        Failover::serve_by(command(program()), "127.0.0.1:0", config, Folder::new("fo"))
    }

    /// The same by a command that stands for the program, such as `chroot FOLDER /failover`.
    pub(crate) fn serve_by(
        mut command: Command,
        listen: &str,
        config: &str,
        folder: Folder,
    ) -> Failover {
        let config = format!("server\n  listen {listen}\n{config}\n");
        let config = folder.write("failover.conf", &config);
        // By standard input, since the program may see another file system.
        command.args(["run", "-c", "-"]);
        command.stdin(std::fs::File::open(config).unwrap());
        let peer = Peer::start("failover", command, folder);
        let address = wait_until("failover to listen", &[&peer], || {
            let log = peer.log();
            let rest = log.split_once("listening on ").map(|(_, rest)| rest);
            // The line may be there in part only.
            let line = rest.and_then(|rest| rest.split_once('\n'));
            let address = line.and_then(|(address, _)| address.parse().ok());
            address.ok_or_else(|| format!("no address in its log: {log:?}"))
        });
        Failover { peer, address }
    }

    /// Waits until a path is answered with this status line.
    pub(crate) fn wait_for(&self, path: &str, status_line: &str) {
        let what = format!("{status_line:?} at {path}");
        wait_until(&what, &[&self.peer], || {
            let answer = get(self.address, path).map_err(|error| error.to_string())?;
            let is_it = answer.lines().next() == Some(status_line);
            is_it.then_some(()).ok_or(answer)
        });
    }
}

/// The program under test.
pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_failover")
}

/// The whole answer to a GET.
pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let request = format!("GET {path} HTTP/1.0\r\n\r\n");
    ask(address, request.as_bytes()).map(|answer| String::from_utf8_lossy(&answer).into_owned())
}

/// Sends a request in one piece, and reads until the other side closes. A connection that is reset
/// instead of closed is an error.
pub(crate) fn ask(address: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}
