//! What the examples share, so that each can be as short as what it shows: settings from the
//! environment, a backend to watch, and somebody who asks.
//!
//! ```text
//! BACKEND     host:port to check     default: a demo backend that stops and starts by itself
//! LISTEN      where to answer        default: 127.0.0.1:8080
//! OK_AFTER    FAIL to OK             default: the example's own, a few seconds or a few outcomes
//! FAIL_AFTER  OK to FAIL             default: the example's own
//! EVERY       how often it is asked, or checks by itself     default: 1s
//! ```

// Each example uses its own part of this.
#![allow(dead_code)]

use std::env;
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use failover::{HealthCheckServer, Signal, Signals, Span, Threshold};

/// The settings of one example, and the backend that it watches.
pub(crate) struct Demo {
    pub(crate) listen: String,
    pub(crate) host: String,
    pub(crate) port: String,
    pub(crate) ok_after: Threshold,
    pub(crate) fail_after: Threshold,
    pub(crate) every: Span,
    /// An htpasswd file; the demo's own has the user `demo` with the password `demo`.
    pub(crate) users: String,
    component: &'static str,
    has_own_backend: bool,
    signals: Signals,
}

/// How long the demo backend stays up, and then down.
const BACKEND_PHASE: Duration = Duration::from_secs(15);

/// `demo:demo`, as `htpasswd -s` writes it.
const DEMO_USER: &str = "demo:{SHA}ieSV55Qc+eQOaYDRSha/AjzNTJE=\n";

impl Demo {
    /// Reads the environment and starts the demo backend if there is no other.
    pub(crate) fn start(
        component: &'static str,
        ok_after: &str,
        fail_after: &str,
    ) -> Result<Demo, Box<dyn Error>> {
        // Before any thread is started, so that all of them leave signals to us.
        let signals = Signals::keep(&[Signal::Interrupt, Signal::Terminate])?;
        let setting = |name: &str, default: &str| env::var(name).unwrap_or(default.to_string());
        let (backend, has_own_backend) = match env::var("BACKEND") {
            Ok(backend) => (backend, false),
            Err(_) => (start_backend()?.to_string(), true),
        };
        let (host, port) = backend
            .rsplit_once(':')
            .ok_or_else(|| format!("BACKEND is {backend:?}; expected HOST:PORT"))?;
        Ok(Demo {
            listen: setting("LISTEN", "127.0.0.1:8080"),
            host: host.to_string(),
            port: port.to_string(),
            ok_after: Threshold::try_from(setting("OK_AFTER", ok_after).as_str())?,
            fail_after: Threshold::try_from(setting("FAIL_AFTER", fail_after).as_str())?,
            every: Span::try_from(setting("EVERY", "1s").as_str())?,
            users: setting("USERS", ""),
            component,
            has_own_backend,
            signals,
        })
    }

    /// The htpasswd file to use: `USERS`, or one that is made here.
    pub(crate) fn users_file(&self) -> io::Result<String> {
        if !self.users.is_empty() {
            return Ok(self.users.clone());
        }
        let path = own_users_file();
        std::fs::write(&path, DEMO_USER)?;
        Ok(path.to_string_lossy().into_owned())
    }

    /// Says what to try and serves until Ctrl-C or SIGTERM. The server itself logs what happens
    /// to standard error.
    pub(crate) fn serve(self, server: &HealthCheckServer) -> Result<(), Box<dyn Error>> {
        let url = format!("http://{}/{}", server.local_addr(), self.component);
        say(&format!("try:  curl -i {url}"));
        if self.component == "example-u5" {
            let who = if self.users.is_empty() {
                "demo:demo"
            } else {
                "NAME"
            };
            say(&format!(
                "reset it after it failed:  curl -i -u {who} -X POST {url}"
            ));
        }
        say(&format!(
            "ok after {}, fail after {}",
            self.ok_after, self.fail_after
        ));
        if self.has_own_backend {
            say(&format!(
                "the demo backend {}:{} is up; \
                 it stops and starts every {BACKEND_PHASE:?}, or on Enter",
                self.host, self.port
            ));
        } else {
            say(&format!("the backend is {}:{}", self.host, self.port));
        }
        // A real backend has a real balancer that asks, unless somebody says how often we should.
        let asks = self.has_own_backend || env::var("EVERY").is_ok();
        if asks && self.component != "example-u4" {
            say(&format!("asked every {}, as a balancer would", self.every));
            let (address, component) = (server.local_addr(), self.component);
            let every = self.every.duration();
            thread::spawn(move || ask_again_and_again(address, component, every));
        }
        let served = server.serve_until(&self.signals);
        // Only one of the examples has made it.
        let _ = std::fs::remove_file(own_users_file());
        served?;
        say("ended");
        Ok(())
    }
}

fn own_users_file() -> PathBuf {
    env::temp_dir().join(format!("failover-demo-users-{}", std::process::id()))
}

fn ask_again_and_again(address: SocketAddr, component: &str, every: Duration) {
    loop {
        // A balancer goes on asking whatever becomes of one request.
        let _ = ask(address, component);
        thread::sleep(every);
    }
}

fn ask(address: SocketAddr, component: &str) -> io::Result<String> {
    let mut connection = TcpStream::connect(address)?;
    write!(connection, "GET /{component} HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Starts a TCP service that is up and down in turn, and says so.
fn start_backend() -> io::Result<SocketAddr> {
    let listener = listen_on("127.0.0.1:0".parse().expect("an address"))?;
    let address = listener.local_addr()?;
    let enter = lines_of_stdin();
    thread::spawn(move || {
        let mut listener = Some(listener);
        loop {
            let phase_ends = Instant::now() + BACKEND_PHASE;
            while enter.try_recv().is_err() && Instant::now() < phase_ends {
                while listener
                    .as_ref()
                    .is_some_and(|listener| listener.accept().is_ok())
                {}
                thread::sleep(Duration::from_millis(20));
            }
            listener = match listener {
                // Whoever connects to a closed listener is refused.
                Some(_) => None,
                None => listen_on(address).ok(),
            };
            let state = if listener.is_some() { "up" } else { "down" };
            say(&format!("the demo backend is {state}"));
        }
    });
    Ok(address)
}

pub(crate) fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn lines_of_stdin() -> Receiver<()> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut line = String::new();
        while io::stdin().read_line(&mut line).is_ok_and(|len| len > 0) {
            if sender.send(()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Prints a line; when nobody reads it, that is fine.
pub(crate) fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
