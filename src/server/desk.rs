//! A desk: one thread that does what may take long, one thing after the other.
//!
//! There are several for POSTs and one for reports, so that what hangs holds up nothing else. What
//! is brought to a desk waits in a bounded queue for a bounded time; the thread is started with
//! the first of it. A leader only leaves things here.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::TcpStream;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Shared;
use super::accept::{Then, finish};
use super::park::Kept;
use crate::clock::locked;
use crate::log::Level;
use crate::sys::errno;
use crate::sys::socket::{Watch, wait_for_any, write_now};
use crate::sys::thread::{self, Stack};
use crate::wire::http::answer;

/// What waits at one desk at most.
const QUEUE_MAX: usize = 64;

/// How long a reload waits for another to end: nearly all take milliseconds, and one that takes
/// longer than this may take for ever.
const RELOAD_WAIT_MAX: Duration = Duration::from_secs(1);

/// How long a client may take nothing of a long answer: others wait behind it.
const WRITE_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long it may take for all of it.
const WRITE_TIME_MAX: Duration = Duration::from_secs(10);

pub(super) struct Desk {
    /// What is done here, in the singular.
    what: &'static str,
    /// How long it waits for its turn at most, and the status that says that this has not come.
    wait_max: Duration,
    busy: u16,
    /// Whose code that is.
    stack: Stack,
    worker: Mutex<Worker>,
    changed: Condvar,
}

#[derive(Default)]
struct Worker {
    jobs: VecDeque<Job>,
    has_thread: bool,
    stopped: bool,
}

struct Job {
    caller: Caller,
    work: Work,
    /// When it is answered even if its turn has not come.
    deadline: Instant,
}

/// What is to be done; it answers the caller.
pub(super) type Work = Box<dyn FnOnce(&Arc<Shared>, Caller) + Send>;

/// A connection that waits for its answer, counted as held meanwhile.
pub(super) struct Caller {
    stream: TcpStream,
    then: Then,
    kept: Kept,
}

impl Caller {
    pub(super) fn new(shared: &Arc<Shared>, stream: TcpStream, then: Then) -> Caller {
        Caller {
            stream,
            then,
            kept: Kept::new(shared),
        }
    }

    /// Answers with what fits a socket's buffer; if it does not, the sweeper has the rest.
    pub(super) fn answer(self, shared: &Arc<Shared>, bytes: Vec<u8>) {
        finish(shared, self.stream, Cow::Owned(bytes), self.then);
    }

    /// Answers with any number of bytes, of which only this thread has a copy. A client that does
    /// not take them in time gets no more.
    pub(super) fn answer_at_length(self, shared: &Arc<Shared>, bytes: &[u8]) {
        if write_all(&self.stream, bytes) {
            finish(shared, self.stream, Cow::Borrowed(&[]), self.then);
        }
    }

    /// The connection and what is done with it last, where somebody else holds it from now on; it
    /// counts as held until the last of these is dropped.
    pub(super) fn leave(self) -> (TcpStream, Then, Kept) {
        (self.stream, self.then, self.kept)
    }
}

/// Whether the client took all of it.
fn write_all(stream: &TcpStream, bytes: &[u8]) -> bool {
    let ends_at = Instant::now() + WRITE_TIME_MAX;
    let mut sent = 0;
    while sent < bytes.len() {
        match write_now(stream, &bytes[sent..]) {
            Ok(len) => sent += len,
            Err(error) if errno::is_not_ready(&error) => {
                let left = ends_at.saturating_duration_since(Instant::now());
                let mut watch = [Watch::writable(stream)];
                // An error of waiting is one of the connection, too.
                let waited = wait_for_any(&mut watch, left.min(WRITE_PAUSE_MAX));
                if waited.is_err() || !watch[0].is_ready() {
                    return false;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
    true
}

impl Desk {
    pub(super) fn new(what: &'static str, stack: Stack) -> Arc<Desk> {
        Desk::with(what, stack, Duration::MAX, 503)
    }

    /// One for reloads: who asks for one while another goes on is told so.
    pub(super) fn for_reloads() -> Arc<Desk> {
        Desk::with("reload", Stack::Users, RELOAD_WAIT_MAX, 409)
    }

    fn with(what: &'static str, stack: Stack, wait_max: Duration, busy: u16) -> Arc<Desk> {
        Arc::new(Desk {
            what,
            stack,
            wait_max,
            busy,
            worker: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// Has it done, or answers that this cannot be done now.
    pub(super) fn submit(self: &Arc<Self>, shared: &Arc<Shared>, caller: Caller, work: Work) {
        let job = Job {
            caller,
            work,
            deadline: Instant::now() + shared.settings.answer_within.min(self.wait_max),
        };
        if let Some((job, why)) = self.refused(shared, job) {
            self.turn_away(shared, job, &why);
        }
    }

    /// Answers those whose turn has not come in time.
    pub(super) fn expire(&self, shared: &Arc<Shared>, now: Instant) {
        while let Some(job) = self.late(now) {
            let why = format!("ERROR: another {} takes too long", self.what);
            self.turn_away(shared, job, &why);
        }
    }

    fn late(&self, now: Instant) -> Option<Job> {
        let jobs = &mut locked(&self.worker).jobs;
        // All wait equally long, so the first to come are the first to expire.
        jobs.front().filter(|job| job.deadline <= now)?;
        jobs.pop_front()
    }

    fn turn_away(&self, shared: &Arc<Shared>, job: Job, why: &str) {
        let bytes = answer(self.busy, "Retry-After: 1\r\n", why);
        job.caller.answer(shared, bytes);
    }

    /// Gives the job to the worker, or back with what is answered.
    fn refused(self: &Arc<Self>, shared: &Arc<Shared>, job: Job) -> Option<(Job, String)> {
        let what = self.what;
        let mut worker = locked(&self.worker);
        if worker.stopped || worker.jobs.len() >= QUEUE_MAX {
            return Some((job, format!("ERROR: too many {what}s wait already")));
        }
        if !worker.has_thread {
            let (desk, its) = (self.clone(), shared.clone());
            if let Err(error) = thread::spawn(what, self.stack, move || desk.work(&its)) {
                let why = format!("no thread for a {what} could be started: {error}");
                let (log, complaints) = (&shared.log, &shared.complaints);
                complaints.line(log, Level::Error, format_args!("{why}"));
                return Some((job, format!("ERROR: {why}")));
            }
            worker.has_thread = true;
        }
        worker.jobs.push_back(job);
        self.changed.notify_one();
        None
    }

    /// Does what has come, and no more.
    pub(super) fn stop(&self) {
        locked(&self.worker).stopped = true;
        self.changed.notify_one();
    }

    fn work(&self, shared: &Arc<Shared>) {
        while let Some(Job { caller, work, .. }) = self.next() {
            let done = panic::catch_unwind(AssertUnwindSafe(|| work(shared, caller)));
            if done.is_err() {
                // The connection went with it; others are to be served.
                shared.log.line(
                    Level::Error,
                    format_args!("what a {} does panicked", self.what),
                );
            }
        }
    }

    /// The next job; `None` when there will be no more.
    fn next(&self) -> Option<Job> {
        let idle = |worker: &mut Worker| worker.jobs.is_empty() && !worker.stopped;
        let worker = self.changed.wait_while(locked(&self.worker), idle);
        worker
            .unwrap_or_else(PoisonError::into_inner)
            .jobs
            .pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Access, TokenFile};
    use crate::component::{Post, Reply};
    use crate::server::HealthCheckServer;
    use crate::sys::file::hold_openers;
    use std::fs;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::os::unix::fs::PermissionsExt;

    /// More than any system's buffers take.
    const LENGTH: usize = 64 * 1024 * 1024;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, client)
    }

    #[test]
    fn who_reads_gets_all_of_it() {
        // A reader that waits for its turn on a busy machine is not to be told from one that hangs.
        assert!((0..5).any(|_| all_is_read()), "never");
    }

    /// Whether nothing was given up.
    fn all_is_read() -> bool {
        let (server, mut client) = pair();
        let reader = std::thread::spawn(move || {
            let (mut read, mut buffer) = (0, vec![0; 1024 * 1024]);
            while let Ok(len @ 1..) = client.read(&mut buffer) {
                read += len;
            }
            read
        });
        let is_written = write_all(&server, &vec![0; LENGTH]);
        drop(server);
        let read = reader.join().unwrap();
        assert!(!is_written || read == LENGTH, "{read}");
        is_written
    }

    #[test]
    fn who_reads_nothing_is_given_up() {
        let (server, client) = pair();
        let started = Instant::now();
        assert!(!write_all(&server, &vec![0; LENGTH]));
        assert!(started.elapsed() >= WRITE_PAUSE_MAX);
        drop(client);
        // Until it starts its program, a process that another test forks has the client, too.
        let until = Instant::now() + Duration::from_secs(30);
        while write_all(&server, &[0]) {
            assert!(Instant::now() < until, "it is gone");
        }
    }

    /// What a POST to that path is answered with, whose credentials are in a file.
    fn post(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        let credentials = "Authorization: Bearer 0123456789abcdef\r\n";
        let request = format!("POST {path} HTTP/1.0\r\n{credentials}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.lines().last().unwrap_or_default().to_string()
    }

    #[test]
    fn a_file_of_credentials_that_hangs_holds_the_others_once() {
        let server = HealthCheckServer::bind("127.0.0.1:0").unwrap();
        let file = |name: &str| {
            let name = format!("failover-desk-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(&name);
            fs::write(&path, "0123456789abcdef\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let tokens = TokenFile::open(&path).unwrap();
            let act = move |post: &Post| match tokens.verify(post.header("authorization")) {
                Access::Unavailable(_) => Reply::new(500, "hangs"),
                access => Reply::new(200, format!("{access:?}")),
            };
            let check = || true;
            server.add_component_with_post(&name, check, act).unwrap();
            (path, format!("/{name}"))
        };
        let (sick, well) = (file("sick"), file("well"));
        let running = server.start().unwrap();
        let address = server.local_addr();
        let granted = r#"Granted { user: "token" }"#;
        for (_, path) in [&sick, &well] {
            assert_eq!(post(address, path), granted);
        }
        let holder = fs::OpenOptions::new().read(true).write(true).open(&sick.0);
        let holder = holder.unwrap();
        if hold_openers(&holder) {
            // The first is waited for, the next no more: all of them before the holder lets go.
            for _ in 0..50 {
                assert_eq!(post(address, &sick.1), "hangs");
                assert_eq!(post(address, &well.1), granted);
            }
        }
        drop(holder);
        server.handle().shutdown();
        running.wait();
        for (path, _) in [sick, well] {
            fs::remove_file(path).unwrap();
        }
    }
}
