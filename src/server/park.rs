//! The sweeper: one thread that holds every connection for which something has to be waited for.
//!
//! Requests that are not whole yet, answers that the peer does not take, and closes that have to
//! read first. All are waited for with poll(2), each has a deadline, and when there are too many
//! the unfinished request that has waited longest is closed. It also watches the time of callers
//! that are kept with a run.
#![forbid(unsafe_code)]

use std::collections::BinaryHeap;
use std::io::{self, Read, Write};
use std::mem;
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::Shared;
use super::accept::{Then, go_on, has_to_drain, serve_seen};
use super::agent::{self, Agent};
use super::listening::{Client, RETRY_EVERY};
use super::pulse::PASS_EVERY;
use crate::clock::locked;
use crate::log::Level;
use crate::sys::errno;
use crate::sys::socket::{Watch, read_now, wait_for_any, write_now};
use crate::wire::http::{HEAD_BYTES_MAX, Refusal, Seen, examine, is_head};

/// Counts a connection as held for as long as it lives.
struct Held(Arc<Shared>);

impl Held {
    fn new(shared: &Arc<Shared>) -> Held {
        shared.held.fetch_add(1, Ordering::Relaxed);
        Held(shared.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a connection as held, and as one whose time the sweeper watches though it is elsewhere.
pub(super) struct Kept(Held);

impl Kept {
    pub(super) fn new(shared: &Arc<Shared>) -> Kept {
        // First, since a sweeper that is woken and finds nothing held may be the last of a server.
        let held = Held::new(shared);
        if shared.kept.fetch_add(1, Ordering::SeqCst) == 0 {
            // The sweeper may be waiting without a limit.
            shared.inbox.wake();
        }
        Kept(held)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.0.kept.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A connection that waits for something.
struct Parked {
    stream: TcpStream,
    client: Client,
    phase: Phase,
    deadline: Instant,
    _held: Held,
}

/// What it waits for.
pub(super) enum Phase {
    /// The rest of a request; `continued` when the client was told to go on.
    Reading { bytes: Vec<u8>, continued: bool },
    /// The rest of the line in which an agent-check names its component.
    Naming { line: Vec<u8>, agent: Arc<Agent> },
    /// Room for the rest of an answer, of which `sent <= bytes.len()` is sent.
    Writing {
        bytes: Vec<u8>,
        sent: usize,
        then: Then,
    },
    /// The peer's close; `left` bytes are read at most.
    Draining { left: usize },
}

/// What is read before a close at most: more than any client sends before it reads its answer.
const DRAIN_BYTES_MAX: usize = 256 * 1024;

/// How long a client may take to close after it has its answer.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);

impl Phase {
    pub(super) fn draining() -> Phase {
        Phase::Draining {
            left: DRAIN_BYTES_MAX,
        }
    }

    fn patience(&self, request_timeout: Duration) -> Duration {
        match self {
            Phase::Reading { .. } | Phase::Writing { .. } => request_timeout,
            Phase::Naming { .. } => agent::LINE_WITHIN,
            Phase::Draining { .. } => DRAIN_TIME_MAX,
        }
    }
}

/// Leaves a connection to the sweeper, which holds it until its phase has had its time.
pub(super) fn park(shared: &Arc<Shared>, stream: TcpStream, client: Client, phase: Phase) {
    let deadline = Instant::now() + phase.patience(shared.settings.request_timeout);
    let held = Held::new(shared);
    shared.inbox.push(Parked {
        stream,
        client,
        phase,
        deadline,
        _held: held,
    });
}

/// Where other threads leave connections for the sweeper, and wake it.
pub(super) struct Inbox {
    parked: Mutex<Vec<Parked>>,
    /// The sweeper has ended; what is left here would stay for ever, and keep all of the server.
    is_closed: AtomicBool,
    /// A byte was written and not read yet.
    is_rung: AtomicBool,
    /// The system has no descriptor left for a new connection.
    needs_room: AtomicBool,
    bell: UnixStream,
    ear: UnixStream,
}

impl Inbox {
    pub(super) fn new() -> io::Result<Inbox> {
        let (bell, ear) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        ear.set_nonblocking(true)?;
        Ok(Inbox {
            parked: Mutex::default(),
            is_closed: AtomicBool::new(false),
            is_rung: AtomicBool::new(false),
            needs_room: AtomicBool::new(false),
            bell,
            ear,
        })
    }

    fn push(&self, parked: Parked) {
        let mut queue = locked(&self.parked);
        // Read under the lock under which it is set.
        if self.is_closed.load(Ordering::SeqCst) {
            return;
        }
        queue.push(parked);
        drop(queue);
        self.wake();
    }

    pub(super) fn wake(&self) {
        if !self.is_rung.swap(true, Ordering::SeqCst) {
            // With no room the ear has not heard the last ring yet.
            let _ = (&self.bell).write(&[0]);
        }
    }

    /// Has some unfinished requests closed, for want of descriptors.
    pub(super) fn ask_for_room(&self) {
        self.needs_room.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Takes nothing any more, and closes what is here.
    fn close(&self) {
        let mut queue = locked(&self.parked);
        self.is_closed.store(true, Ordering::SeqCst);
        let left = mem::take(&mut *queue);
        drop(queue);
        drop(left);
    }

    fn take(&self) -> Vec<Parked> {
        let mut rings = [0; 16];
        // Nothing to read is what is hoped for.
        let _ = (&self.ear).read(&mut rings);
        self.is_rung.store(false, Ordering::SeqCst);
        mem::take(&mut *locked(&self.parked))
    }
}

/// How long requests that are on their way may still take after the server was stopped.
const LAST_CALL: Duration = Duration::from_secs(2);

/// How often the time of kept callers is looked at.
const KEPT_TICK: Duration = Duration::from_millis(100);

/// With fewer connections than this a round costs next to nothing.
const REST_ABOVE: usize = 256;

/// The rest after a round, for each connection: about three times what asking for it costs, so that
/// this thread takes a quarter of a core at most, however many clients dribble.
const REST_EACH: Duration = Duration::from_nanos(500);

/// The longest rest, so that a request that is merely slow is not slower still.
const REST_MAX: Duration = Duration::from_millis(5);

/// A client that has just come may still be sending: it is not closed to keep to the limit, only
/// for want of descriptors.
const NEW_FOR: Duration = Duration::from_millis(100);

/// The sweeper, until the server stops and what was on its way has been dealt with.
pub(super) fn sweep(shared: &Arc<Shared>) {
    let mut sweeper = Sweeper {
        shared,
        parked: Vec::new(),
        watches: Vec::new(),
        buffer: [0; HEAD_BYTES_MAX],
        expire_at: Instant::now(),
        listen_at: Instant::now(),
    };
    let mut ends_at = None;
    loop {
        sweeper.wait();
        let started = Instant::now();
        shared.pulse.beat();
        sweeper.serve_ready();
        sweeper.parked.append(&mut shared.inbox.take());
        sweeper.make_room();
        sweeper.expire();
        sweeper.listen_again();
        if shared.is_stopping() {
            let ends_at = *ends_at.get_or_insert(started + LAST_CALL);
            sweeper
                .parked
                .retain(|parked| !matches!(parked.phase, Phase::Reading { .. }));
            // Parked, kept with a run, or with the worker for POSTs.
            let is_idle = shared.held.load(Ordering::SeqCst) == 0;
            if is_idle || started >= ends_at {
                // Who still waits is told that nothing is known.
                shared.components.stop();
                shared.inbox.close();
                return;
            }
        }
        sweeper.rest();
    }
}

struct Sweeper<'a> {
    shared: &'a Arc<Shared>,
    parked: Vec<Parked>,
    /// The inbox's ear, then one for each that is parked, in the same order.
    watches: Vec<Watch>,
    buffer: [u8; HEAD_BYTES_MAX],
    /// When the time of kept callers is looked at next.
    expire_at: Instant,
    /// When addresses that are not there yet are tried next.
    listen_at: Instant,
}

/// Whether a connection stays parked.
#[derive(PartialEq, Eq)]
enum Fate {
    Stays,
    Gone,
}

impl Sweeper<'_> {
    fn wait(&mut self) {
        self.watches.clear();
        self.watches.push(Watch::readable(&self.shared.inbox.ear));
        self.watches
            .extend(self.parked.iter().map(|parked| match parked.phase {
                Phase::Writing { .. } => Watch::writable(&parked.stream),
                Phase::Reading { .. } | Phase::Naming { .. } | Phase::Draining { .. } => {
                    Watch::readable(&parked.stream)
                }
            }));
        let at_most = self.time_to_wait();
        if let Err(error) = wait_for_any(&mut self.watches, at_most) {
            // More connections than the system lets us wait for. Some have to go.
            self.shared.inbox.ask_for_room();
            let shared = self.shared;
            shared.complaints.line(
                &shared.log,
                Level::Error,
                format_args!("poll failed: {error}"),
            );
            // The next try may fail as fast, and must not become a busy loop.
            let _ = wait_for_any(&mut [], REST_MAX);
        }
    }

    /// Lets more come, so that one round serves it all.
    fn rest(&self) {
        let count = self.parked.len();
        if count > REST_ABOVE {
            let each = u32::try_from(count).unwrap_or(u32::MAX);
            let _ = wait_for_any(&mut [], REST_EACH.saturating_mul(each).min(REST_MAX));
        }
    }

    fn time_to_wait(&self) -> Duration {
        let now = Instant::now();
        let mut at_most = match self.parked.iter().map(|parked| parked.deadline).min() {
            Some(deadline) => deadline.saturating_duration_since(now).min(PASS_EVERY),
            None => PASS_EVERY,
        };
        if self.shared.kept.load(Ordering::SeqCst) > 0 {
            at_most = at_most.min(KEPT_TICK);
        }
        if self.shared.waiting.load(Ordering::SeqCst) {
            at_most = at_most.min(self.listen_at.saturating_duration_since(now));
        }
        let too_many = self.shared.held.load(Ordering::Relaxed) > self.shared.settings.held_max;
        if self.shared.is_stopping() || too_many {
            at_most = at_most.min(KEPT_TICK);
        }
        at_most
    }

    fn serve_ready(&mut self) {
        // From the end, so that the last can take the place of one that is gone.
        for index in (0..self.parked.len()).rev() {
            let is_ready = self.watches.get(index + 1).is_some_and(Watch::is_ready);
            if is_ready && self.go_on(index) == Fate::Gone {
                let parked = self.parked.swap_remove(index);
                self.leave(parked);
            }
        }
    }

    /// Goes on with a connection on which something can be done.
    fn go_on(&mut self, index: usize) -> Fate {
        let Some(parked) = self.parked.get_mut(index) else {
            return Fate::Stays;
        };
        let stream = &parked.stream;
        match &mut parked.phase {
            Phase::Reading { bytes, continued } => {
                let body_max = self.shared.settings.body_max;
                read_more(stream, bytes, continued, &mut self.buffer, body_max)
            }
            Phase::Naming { line, .. } => read_name(stream, line),
            Phase::Writing { bytes, sent, then } => {
                let fate = write_more(stream, bytes, sent);
                let is_sent = fate == Fate::Gone && *sent == bytes.len();
                let drains = is_sent && has_to_drain(stream, *then);
                if drains && stream.shutdown(Shutdown::Write).is_ok() {
                    parked.phase = Phase::draining();
                    parked.deadline = Instant::now() + DRAIN_TIME_MAX;
                    return Fate::Stays;
                }
                fate
            }
            Phase::Draining { left } => drain_more(stream, left, &mut self.buffer),
        }
    }

    /// Serves a request that has become whole, or closes what is over.
    fn leave(&self, parked: Parked) {
        let Parked {
            stream,
            client,
            phase,
            _held: held,
            ..
        } = parked;
        // From here on it is held by whoever holds it next.
        drop(held);
        match phase {
            Phase::Reading { bytes, .. } => {
                let seen = examine(&bytes, self.shared.settings.body_max);
                serve_seen(self.shared, stream, client, seen, Then::Look);
            }
            Phase::Naming { line, agent } => agent::answer(self.shared, &agent, stream, &line),
            Phase::Writing { .. } | Phase::Draining { .. } => {}
        }
    }

    /// Closes the unfinished requests that have waited longest while there are too many.
    fn make_room(&mut self) {
        let shared = self.shared;
        let held = shared.held.load(Ordering::Relaxed);
        let mut too_many = held.saturating_sub(shared.settings.held_max);
        let mut ripe = Instant::now() + shared.settings.request_timeout
            - NEW_FOR.min(shared.settings.request_timeout);
        if shared.inbox.needs_room.swap(false, Ordering::SeqCst) {
            // A few at a time, so that a passing shortage does not close them all.
            too_many = too_many.max(self.parked.len().div_ceil(16));
            ripe += NEW_FOR;
        }
        if too_many == 0 {
            return;
        }
        // All have the same time to finish, so the earliest deadline has waited longest.
        let unfinished = |parked: &&Parked| {
            matches!(parked.phase, Phase::Reading { .. }) && parked.deadline <= ripe
        };
        let mut earliest = BinaryHeap::new();
        for parked in self.parked.iter().filter(unfinished) {
            earliest.push(parked.deadline);
            if earliest.len() > too_many {
                earliest.pop();
            }
        }
        let Some(&last) = earliest.peek() else {
            return;
        };
        let before = self.parked.len();
        self.parked
            .retain(|parked| !unfinished(&parked) || parked.deadline > last);
        let closed = before - self.parked.len();
        shared.complaints.line(
            &shared.log,
            Level::Warning,
            format_args!("{closed} unfinished requests closed to make room"),
        );
    }

    /// Ends what has had its time.
    fn expire(&mut self) {
        let now = Instant::now();
        if now >= self.expire_at && self.shared.kept.load(Ordering::SeqCst) > 0 {
            self.expire_at = now + KEPT_TICK;
            self.shared.components.expire(now);
            for desk in self.shared.desks() {
                desk.expire(self.shared, now);
            }
        }
        for index in (0..self.parked.len()).rev() {
            if self.parked[index].deadline <= now {
                let parked = self.parked.swap_remove(index);
                self.give_up(parked);
            }
        }
    }

    /// Tries the addresses again that were not there.
    fn listen_again(&mut self) {
        let now = Instant::now();
        let is_due = now >= self.listen_at && self.shared.waiting.load(Ordering::SeqCst);
        if is_due && !self.shared.is_stopping() {
            self.shared.retry_listening();
            self.listen_at = now + RETRY_EVERY;
        }
    }

    fn give_up(&self, parked: Parked) {
        let bytes = match parked.phase {
            Phase::Reading { bytes, .. } => bytes,
            // A name without an end, or none: that is all there will be.
            Phase::Naming { line, agent } => {
                return agent::answer(self.shared, &agent, parked.stream, &line);
            }
            Phase::Writing { .. } | Phase::Draining { .. } => return,
        };
        // A browser's spare connection that never sent anything expects no answer.
        if !bytes.is_empty() {
            let why = "the request did not come in full in time";
            let seen = Seen::Refused(Refusal {
                status: 408,
                why,
                to_head: is_head(&bytes),
            });
            serve_seen(self.shared, parked.stream, parked.client, seen, Then::Drain);
        }
    }
}

/// Reads what has come. `Gone` when the request is whole, or none, or its sender is gone.
fn read_more(
    stream: &TcpStream,
    bytes: &mut Vec<u8>,
    continued: &mut bool,
    buffer: &mut [u8],
    body_max: usize,
) -> Fate {
    match read_now(stream, buffer) {
        Ok(0) => return close_without_answer(bytes),
        Ok(len) => bytes.extend_from_slice(&buffer[..len]),
        Err(error) if is_passing(&error) => {}
        Err(_) => return close_without_answer(bytes),
    }
    match examine(bytes, body_max) {
        Seen::Partial { expects_continue } => {
            go_on(stream, expects_continue, continued);
            Fate::Stays
        }
        Seen::Whole(_) | Seen::Refused(_) => Fate::Gone,
    }
}

/// Reads what has come of an agent-check's line. `Gone` when no more is to be waited for.
fn read_name(stream: &TcpStream, line: &mut Vec<u8>) -> Fate {
    let mut room = [0; agent::LINE_BYTES_MAX];
    let left = agent::LINE_BYTES_MAX.saturating_sub(line.len());
    match read_now(stream, &mut room[..left]) {
        Ok(len) if len > 0 => line.extend_from_slice(&room[..len]),
        Err(error) if is_passing(&error) => return Fate::Stays,
        // No more comes. Whether there is still somebody to answer is seen when it is tried.
        Ok(_) | Err(_) => return Fate::Gone,
    }
    if agent::is_whole(line) {
        Fate::Gone
    } else {
        Fate::Stays
    }
}

fn close_without_answer(bytes: &mut Vec<u8>) -> Fate {
    bytes.clear();
    Fate::Gone
}

/// Writes what there is room for. `Gone` when all is sent, or nobody takes it.
fn write_more(stream: &TcpStream, bytes: &[u8], sent: &mut usize) -> Fate {
    match write_now(stream, &bytes[*sent..]) {
        Ok(len) => *sent += len,
        Err(error) if is_passing(&error) => {}
        Err(_) => return Fate::Gone,
    }
    if *sent < bytes.len() {
        Fate::Stays
    } else {
        Fate::Gone
    }
}

/// Reads and forgets. `Gone` when the peer has closed, or has sent too much.
fn drain_more(stream: &TcpStream, left: &mut usize, buffer: &mut [u8]) -> Fate {
    match read_now(stream, buffer) {
        Ok(0) => Fate::Gone,
        Ok(len) if len < *left => {
            *left -= len;
            Fate::Stays
        }
        Ok(_) => Fate::Gone,
        Err(error) if is_passing(&error) => Fate::Stays,
        Err(_) => Fate::Gone,
    }
}

fn is_passing(error: &io::Error) -> bool {
    errno::is_not_ready(error) || error.kind() == io::ErrorKind::Interrupted
}
