//! A TCP service that can be stopped and started again at the same address.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::support::wait_until;

/// What it answers to every HTTP request, so that traffic through a balancer is seen to arrive.
pub(crate) const HELLO: &str = "hello from the service";

/// How long a client may take to send its request; checks close at once without one.
const REQUEST_TIME: Duration = Duration::from_secs(5);

pub(crate) struct Service {
    address: SocketAddr,
    /// What it answers to requests, but for those of `/health`.
    status: Arc<AtomicU16>,
    running: Option<Running>,
}

struct Running {
    is_stopping: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Service {
    pub(crate) fn start() -> Service {
        static COUNT: AtomicU8 = AtomicU8::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // An address that nobody else uses: on 127.0.0.1 somebody may be given the port while the
        // service is stopped, and would then be taken for it. On Linux all of 127/8 is loopback.
        let [.., high, low] = process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, 1 + count % 250, high, low);
        let listener = TcpListener::bind((address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let status = Arc::new(AtomicU16::new(200));
        Service {
            address,
            running: Some(Running::new(listener, status.clone())),
            status,
        }
    }

    /// From now on requests are answered so, but for those of `/health`, where all is well.
    pub(crate) fn says(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// From now on connections are refused.
    pub(crate) fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.is_stopping.store(true, Ordering::SeqCst);
            // Wakes it; if nobody is there to be woken, so much the better.
            let _ = TcpStream::connect(self.address);
            let _ = running.thread.join();
        }
    }

    pub(crate) fn start_again(&mut self) {
        assert!(self.running.is_none(), "it was not stopped");
        let listener = wait_until("the service's port", &[], || {
            TcpListener::bind(self.address).map_err(|error| error.to_string())
        });
        self.running = Some(Running::new(listener, self.status.clone()));
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Running {
    fn new(listener: TcpListener, status: Arc<AtomicU16>) -> Running {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let stopping = is_stopping.clone();
        let thread = thread::spawn(move || {
            while !stopping.load(Ordering::SeqCst) {
                // A client that is gone is no trouble of the service's.
                let _ = listener
                    .accept()
                    .and_then(|(stream, _)| answer(stream, &status));
            }
        });
        Running {
            is_stopping,
            thread,
        }
    }
}

fn answer(mut stream: TcpStream, status: &AtomicU16) -> io::Result<()> {
    stream.set_read_timeout(Some(REQUEST_TIME))?;
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            len => request.extend_from_slice(&buffer[..len]),
        }
    }
    let status = match request.starts_with(b"GET /health ") {
        true => 200,
        false => status.load(Ordering::SeqCst),
    };
    write!(
        stream,
        "HTTP/1.0 {status} So\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{HELLO}",
        HELLO.len()
    )
}
