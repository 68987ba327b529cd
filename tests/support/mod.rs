//! What the tests share: clients that read to the end, a server that ends with its test, checks
//! that wait to be told, and the real program as a child.
//!
//! Every wait has a limit far above what it takes, so that a machine under load passes and a hang
//! is a failure with a name.

// Each test program uses its own part of this.
#![allow(dead_code)]

mod lines;

use std::io::{self, Read, Write};
use std::mem;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, Once};
use std::thread;
use std::time::{Duration, Instant};

use failover::{HealthCheckServer, Log, Running, ServerBuilder};

use lines::Lines;

/// How long anything is waited for that should come at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until it is so.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Gives others the time to do what they should not do, or what nobody can see them do.
pub(crate) fn a_moment() {
    thread::sleep(Duration::from_millis(100));
}

/// A server on a port of its own that has ended when this is dropped.
pub(crate) struct Served {
    pub(crate) server: HealthCheckServer,
    running: Option<Running>,
}

impl Served {
    /// Binds, mounts and starts.
    pub(crate) fn with(builder: ServerBuilder, mount: impl FnOnce(&HealthCheckServer)) -> Served {
        let server = builder.log(Log::none()).bind("127.0.0.1:0").unwrap();
        mount(&server);
        let running = Some(server.start().unwrap());
        Served { server, running }
    }

    /// The same with the defaults.
    pub(crate) fn new(mount: impl FnOnce(&HealthCheckServer)) -> Served {
        Served::with(HealthCheckServer::builder(), mount)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Sends a request and reads all of the answer.
    #[track_caller]
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> String {
        ask(self.address(), request)
    }

    /// The body of the answer to a GET, such as `OK`.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> String {
        get(self.address(), path)
    }

    /// A client that has sent this and has read nothing yet.
    #[track_caller]
    pub(crate) fn client(&self, sent: impl AsRef<[u8]>) -> TcpStream {
        client(self.address(), sent)
    }

    /// Stops, and waits for the end.
    pub(crate) fn end(&mut self) {
        self.server.handle().shutdown();
        if let Some(running) = self.running.take() {
            running.wait();
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.end();
    }
}

/// A client that has sent this and has read nothing yet.
#[track_caller]
pub(crate) fn client(address: SocketAddr, sent: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(sent.as_ref()).unwrap();
    stream
}

/// Whether there is something to read, or an end, now.
pub(crate) fn has_answer(client: &TcpStream) -> bool {
    client.set_nonblocking(true).unwrap();
    let has = client.peek(&mut [0]).is_ok();
    client.set_nonblocking(false).unwrap();
    has
}

/// All that comes until an orderly end; a reset is a failure.
#[track_caller]
pub(crate) fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    if let Err(error) = end {
        panic!("{error} after {text:?}");
    }
    text
}

#[track_caller]
pub(crate) fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> String {
    rest(client(address, request))
}

#[track_caller]
pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    body(&ask(address, format!("GET {path} HTTP/1.0\r\n\r\n")))
}

/// What follows the head.
#[track_caller]
pub(crate) fn body(answer: &str) -> String {
    match answer.split_once("\r\n\r\n") {
        Some((_, body)) => body.to_string(),
        None => panic!("no answer: {answer:?}"),
    }
}

/// The status code.
#[track_caller]
pub(crate) fn status(answer: &str) -> u16 {
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    code.unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

/// A whole answer as it has to be, byte for byte. `length` is said, `body` is sent.
pub(crate) fn exact(line: &str, length: usize, extra: &str, body: &str) -> String {
    format!(
        "HTTP/1.0 {line}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {length}\r\nConnection: close\r\nCache-Control: no-store\r\n\
         {extra}\r\n{body}"
    )
}

/// A check that hangs until its gate opens, and counts.
pub(crate) struct Gate {
    /// Dropped to open.
    shut: Option<Sender<()>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    begun: AtomicUsize,
    on: AtomicUsize,
    on_max: AtomicUsize,
}

impl Gate {
    /// The gate, and the check, which says true once the gate is open.
    pub(crate) fn new() -> (Gate, impl FnMut() -> bool + Send + 'static) {
        let (shut, open) = channel::<()>();
        let open = Mutex::new(open);
        let counts = Arc::new(Counts::default());
        let gate = Gate {
            shut: Some(shut),
            counts: counts.clone(),
        };
        let check = move || {
            counts.begun.fetch_add(1, Ordering::SeqCst);
            let on = counts.on.fetch_add(1, Ordering::SeqCst) + 1;
            counts.on_max.fetch_max(on, Ordering::SeqCst);
            let _ = open.lock().unwrap().recv_timeout(2 * PATIENCE);
            counts.on.fetch_sub(1, Ordering::SeqCst);
            true
        };
        (gate, check)
    }

    pub(crate) fn open(&mut self) {
        self.shut = None;
    }

    /// How many runs have begun.
    pub(crate) fn begun(&self) -> usize {
        self.counts.begun.load(Ordering::SeqCst)
    }

    /// How many were on at the same time at most.
    pub(crate) fn at_once(&self) -> usize {
        self.counts.on_max.load(Ordering::SeqCst)
    }

    /// Waits until a run hangs.
    #[track_caller]
    pub(crate) fn hangs(&self) {
        eventually("a run that hangs", || {
            self.counts.on.load(Ordering::SeqCst) > 0
        });
    }
}

/// Panics whose text begins with "meant" print nothing; all others do.
pub(crate) fn expect_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let text = info.payload().downcast_ref::<&str>();
            if text.is_none_or(|text| !text.starts_with("meant")) {
                usual(info);
            }
        }));
    });
}

/// A listener's port, and then what each connection to it is handed to, one after the other.
pub(crate) fn peer(serve: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().flatten().for_each(serve));
    port
}

/// A port on which nobody listens, and that nobody else is given: it is one end of a connection
/// that stays for as long as the tests.
pub(crate) fn dead_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let port = one.local_addr().unwrap().port();
    mem::forget((one, listener.accept().unwrap()));
    port
}

/// A port that can be listened on, or be a source. The system chooses none of these by itself, and
/// each is given once.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let number = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + (std::process::id() * 16 + number) % 20_000;
        let port = u16::try_from(port).unwrap();
        // Everywhere: it may be listened on at any address.
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            // Until it starts its program, a process that another test forks listens there, too.
            nobody_listens(SocketAddr::from(([127, 0, 0, 1], port)));
            return port;
        }
    }
}

/// Waits until it is so.
pub(crate) fn nobody_listens(address: SocketAddr) {
    let is_refused = || TcpStream::connect(address).is_err();
    eventually("nobody listens there any more", is_refused);
}

/// A peer with a full queue: a connection request is never answered.
pub(crate) struct BlackHole {
    listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl BlackHole {
    /// `None` where the system answers however full the queue is.
    pub(crate) fn new() -> Option<BlackHole> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (mut queued, mut unanswered) = (Vec::new(), 0);
        for _ in 0..10_000 {
            match TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
                Ok(stream) => {
                    queued.push(stream);
                    unanswered = 0;
                }
                // Once may be a machine that was busy with something else.
                Err(error) if is_timeout(&error) => unanswered += 1,
                Err(error) => panic!("no queue to be filled: {error}"),
            }
            if unanswered == 3 {
                return Some(BlackHole {
                    listener,
                    _queued: queued,
                });
            }
        }
        None
    }

    pub(crate) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }
}

/// The real program.
pub(crate) fn program(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_failover"));
    command.args(words).stdin(Stdio::null());
    command
}

/// The program as a server, killed when this is dropped.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) address: SocketAddr,
    lines: Lines,
}

impl Daemon {
    /// Runs it on a configuration, which goes on in the `server` block, on a port that the system
    /// chose.
    pub(crate) fn run(config: &str) -> Daemon {
        let mut daemon = program(&["run", "-c", "-"]);
        daemon.stdin(Stdio::piped());
        Daemon::start(daemon, &format!("server\n listen 127.0.0.1:0\n{config}\n"))
    }

    /// Starts it, gives it its input and waits until it listens.
    pub(crate) fn start(mut command: Command, input: &str) -> Daemon {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).unwrap();
        }
        let lines = Lines::of(child.stderr.take().unwrap());
        let line = lines.one_with(&["listening on "]);
        let address = line.rsplit(' ').next().unwrap().parse().unwrap();
        // Components do not wait for that to be said.
        lines.back();
        Daemon {
            child,
            address,
            lines,
        }
    }

    /// The next line of its standard error that has this in it.
    #[track_caller]
    pub(crate) fn line_with(&self, text: &str) -> String {
        self.lines.one_with(&[text])
    }

    /// Waits for a line with each of these, in any order.
    #[track_caller]
    pub(crate) fn lines_with(&self, texts: &[&str]) {
        let mut missing = texts.to_vec();
        while !missing.is_empty() {
            let line = self.lines.one_with(&missing);
            missing.retain(|text| !line.contains(text));
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name and waits for the end.
    #[track_caller]
    pub(crate) fn end_by(mut self, signal: &str) -> ExitStatus {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
        ended(&mut self.child)
    }

    /// The ticks of a hundredth of a second that it has computed for, and its kibibytes of memory.
    pub(crate) fn usage(&self) -> (u64, u64) {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // proc_pid_stat(5): the name is in brackets; state is field 3, utime 14, stime 15, rss 24.
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        let field = |number: usize| fields[number - 3].parse::<u64>().unwrap();
        (field(14) + field(15), field(24) * 4)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let ended = self.child.try_wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            println!("the daemon had ended: {ended:?}; what it said:");
            self.lines.print();
        }
    }
}

/// Waits for a child's end.
#[track_caller]
pub(crate) fn ended(child: &mut Child) -> ExitStatus {
    let mut status = None;
    eventually("the child's end", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

/// Whether an error of a read is its time limit.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// A file of a test's own, gone with it.
pub(crate) struct TempFile(std::path::PathBuf);

impl TempFile {
    pub(crate) fn new(name: &str, text: &str) -> TempFile {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("failover-{}-{number}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        TempFile(path)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What is said of a full disk, which stands for whatever else cannot be written.
pub(crate) const FULL: &str = "failover: standard output: No space left on device (os error 28)\n";

/// How the program ends whose standard output is full, and what it says of it.
pub(crate) fn lost(words: &[&str]) -> (Option<i32>, String) {
    let full = std::fs::File::options().write(true).open("/dev/full");
    let output = program(words).stdout(full.unwrap()).output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}
