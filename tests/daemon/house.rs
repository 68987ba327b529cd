//! A daemon in a folder of its own, with what its tests need: the configuration file, the files
//! that its components look at, the admin socket, and the status as text.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use failover::AdminSocket;

use crate::support::{Daemon, ask, body, eventually, nobody_listens, program, status};

/// Quick, and not stale however busy the machine is.
pub(crate) const QUICK: &str = "
defaults
    every 20ms
    stale-after 1m
    ok-after 1
    fail-after 1
";

pub(crate) const TOKEN: &str = "q83vASNFZ4mrze8BI0Vn";

/// An address that nobody listens on, and that nobody else is given meanwhile: on Linux all of
/// 127/8 is loopback.
pub(crate) fn free_address() -> SocketAddr {
    static COUNT: AtomicU8 = AtomicU8::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let [.., high, low] = std::process::id().to_be_bytes();
    let listener = TcpListener::bind((Ipv4Addr::new(127, 77 + count, high, low), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    // Until it starts its program, a process that another test forks listens there, too.
    nobody_listens(address);
    address
}

/// Gone with its test, and so is the daemon.
pub(crate) struct House {
    daemon: Option<Daemon>,
    folder: PathBuf,
}

/// A folder without a daemon yet.
pub(crate) fn empty() -> House {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    // Short, because the name of a Unix socket in it may have a hundred bytes at most.
    let name = format!("failover-life-{}-{number}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    fs::create_dir(&folder).unwrap();
    House {
        daemon: None,
        folder,
    }
}

/// A daemon on this configuration, which goes on in the `server` block; `DIR` is the folder.
pub(crate) fn house(config: &str) -> House {
    let mut house = empty();
    house.configure(config);
    house.start();
    house
}

impl House {
    /// Writes a file of its own, for its owner only.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// What a file says; nothing if it is not there.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Writes the configuration.
    pub(crate) fn configure(&self, config: &str) {
        let listen = "server\n listen 127.0.0.1:0\n admin-socket DIR/admin.sock\n";
        let text = format!("{listen}{config}\n");
        self.write(
            "conf",
            &text.replace("DIR", &self.folder.display().to_string()),
        );
    }

    pub(crate) fn run(&self) -> Command {
        program(&["run", "-c", &self.path("conf")])
    }

    pub(crate) fn start(&mut self) {
        let command = self.run();
        self.start_as(command);
    }

    pub(crate) fn start_as(&mut self, command: Command) {
        self.daemon = Some(Daemon::start(command, ""));
    }

    pub(crate) fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("a daemon that runs")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.daemon().address
    }

    /// Has it end by a signal, and waits for that.
    pub(crate) fn end_by(&mut self, signal: &str) -> ExitStatus {
        let daemon = self.daemon.take().expect("a daemon that runs");
        daemon.end_by(signal)
    }

    /// Status and body over TCP.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let answer = ask(self.address(), format!("GET {path} HTTP/1.0\r\n\r\n"));
        (status(&answer), body(&answer))
    }

    /// The word that a component answers.
    #[track_caller]
    pub(crate) fn word(&self, path: &str) -> String {
        self.get(path).1
    }

    /// Waits for a run that has begun after now: the one that is on may have looked before.
    #[track_caller]
    pub(crate) fn looks_again(&self, name: &str) {
        let runs = || self.status().number(name, "runs");
        let before = runs();
        eventually("another run", || runs() > before + 1.0);
    }

    #[track_caller]
    pub(crate) fn comes_to(&self, path: &str, word: &str) {
        eventually(&format!("{path} is {word}"), || self.word(path) == word);
    }

    /// Status and body of a POST over TCP, with these header lines.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, headers: &str) -> (u16, String) {
        let request = format!("POST {path} HTTP/1.0\r\n{headers}\r\n");
        let answer = ask(self.address(), request);
        (status(&answer), body(&answer))
    }

    pub(crate) fn socket(&self) -> AdminSocket {
        AdminSocket::new(self.path("admin.sock"))
    }

    /// Status and body over the admin socket.
    #[track_caller]
    pub(crate) fn admin(&self, method: &str, target: &str, sent: &str) -> (u16, String) {
        let answer = self.socket().request(method, target, sent.as_bytes());
        let (status, body) = answer.unwrap();
        (status, String::from_utf8(body).unwrap())
    }

    #[track_caller]
    pub(crate) fn maintain(&self, name: &str, fields: &str) {
        let (status, said) = self.admin("POST", &format!("/-/maint/{name}"), fields);
        assert_eq!(status, 200, "{said}");
    }

    /// Puts another configuration in force.
    #[track_caller]
    pub(crate) fn reload(&self, config: &str) {
        self.configure(config);
        let (status, said) = self.admin("POST", "/-/reload", "");
        assert_eq!(status, 200, "{said}");
    }

    /// Tries to, and says why it was not taken.
    #[track_caller]
    pub(crate) fn refused(&self, config: &str) -> String {
        self.configure(config);
        let (status, said) = self.admin("POST", "/-/reload", "");
        assert_eq!(status, 409, "{said}");
        said
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.daemon().pid().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }

    pub(crate) fn hang_up(&self) {
        self.signal("-HUP");
    }

    #[track_caller]
    pub(crate) fn status(&self) -> Status {
        let (status, text) = self.admin("GET", "/-/status", "");
        assert_eq!(status, 200, "{text}");
        Status(text)
    }

    /// A sample of the metrics, such as `failover_component_state{component="a"}`.
    #[track_caller]
    pub(crate) fn metric(&self, sample: &str) -> f64 {
        let (_, text) = self.admin("GET", "/metrics", "");
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| panic!("no {sample} in {text}"));
        value.parse().unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        drop(self.daemon.take());
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What `/-/status` said.
pub(crate) struct Status(pub(crate) String);

impl Status {
    /// A value of the whole, as JSON.
    #[track_caller]
    pub(crate) fn value(&self, key: &str) -> &str {
        value_of(&self.0, key)
    }

    /// A value of a component, as JSON.
    #[track_caller]
    pub(crate) fn of(&self, name: &str, key: &str) -> &str {
        value_of(self.component(name), key)
    }

    #[track_caller]
    pub(crate) fn number(&self, name: &str, key: &str) -> f64 {
        self.of(name, key).parse().unwrap()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains(&beginning(name))
    }

    fn component(&self, name: &str) -> &str {
        let Some((_, rest)) = self.0.split_once(&beginning(name)) else {
            panic!("no {name} in {}", self.0);
        };
        rest.split("},{\"name\":").next().unwrap_or(rest)
    }
}

fn beginning(name: &str) -> String {
    format!("{{\"name\":\"{name}\",")
}

/// The text of a JSON value: up to the comma or the bracket that ends it.
#[track_caller]
fn value_of<'a>(json: &'a str, key: &str) -> &'a str {
    let Some((_, rest)) = json.split_once(&format!("\"{key}\":")) else {
        panic!("no {key} in {json}");
    };
    let (mut depth, mut is_text, mut is_escaped) = (0, false, false);
    for (index, byte) in rest.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b',' | b'}' | b']' if depth == 0 => return &rest[..index],
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
    }
    rest
}
