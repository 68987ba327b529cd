//! The leaders: threads that accept connections and serve them on the spot.
//!
//! A leader waits for a request only while another one accepts; the last one that accepts never
//! waits for anybody. So a client that sends nothing can hold one leader for a tick at most, and
//! the others go on.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::io::{self, Read};
use std::mem;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::answers::{self, Asked, Style};
use super::desk::Caller;
use super::listening::{Client, Listening, TICK};
use super::park::{Kept, Phase, park};
use super::route::{Route, refusal_answer, route};
use super::{Shared, admin, agent, posts, reports};
use crate::check::board::{Answer, Asker};
use crate::component::Component;
use crate::health::State;
use crate::log::Level;
use crate::sys::errno;
use crate::sys::socket::{defer_accept, read_now, wait_for_any, write_now};
use crate::wire::http::{CONTINUE, HEAD_BYTES_MAX, Request, Seen, examine};

/// What is done with a connection once its answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Everything that was sent has been read just now: close. A client that goes on sending after
    /// a whole request has its answer before it can see a reset; looking again for such clients
    /// would cost every other one a system call.
    Close,
    /// Time has passed since, and a client may have sent more: look, then close or drain.
    Look,
    /// Something may be unread, and closing over it would reset the connection before the answer
    /// is read: read it first.
    Drain,
}

/// One leader of a listener, until the server stops or this listener is closed.
pub(super) fn lead(shared: &Arc<Shared>, listening: &Listening) {
    let mut leader = Leader {
        buffer: [0; HEAD_BYTES_MAX],
        served: 0,
        missed: 0,
    };
    while !shared.is_stopping() && !listening.is_closed() {
        listening.accepting.fetch_add(1, Ordering::SeqCst);
        let accepted = listening.accept();
        listening.accepting.fetch_sub(1, Ordering::SeqCst);
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                after_failed_accept(shared, listening, &error);
                continue;
            }
        };
        if !listening.admits(peer) {
            listening.turn_away(shared, peer);
            continue;
        }
        match &listening.agent {
            None => leader.serve(shared, listening, stream, listening.client(peer)),
            Some(agent) => agent::serve(shared, agent, stream, listening.client(peer)),
        }
    }
}

struct Leader {
    /// One for all requests: a fresh one each would cost a tenth of a request's work.
    buffer: [u8; HEAD_BYTES_MAX],
    /// Connections since it was last counted, up to [`COUNTED`].
    served: u32,
    /// Of these, the ones that had to be parked because their bytes had not come yet.
    missed: u32,
}

/// So many connections are a sample.
const COUNTED: u32 = 64;

/// So many missed of a sample are worth having connections handed out with their first bytes only.
/// Under load one in seven is missed, and parking costs several times what serving does; with a
/// client or two hardly one in a hundred is, and then handing out early is faster, since accepting
/// goes on while the client writes.
const MISSED_MAX: u32 = 4;

/// Has the system hand out connections with their first bytes, or at once. Where it cannot, what
/// was missed goes on being parked.
fn defer(listening: &Listening, deferring: bool) {
    let Some(listener) = listening.tcp() else {
        return;
    };
    if listening.deferring.swap(deferring, Ordering::SeqCst) != deferring {
        let _ = defer_accept(listener, u8::from(deferring));
    }
}

/// How long a leader rests when the system cannot give it a connection; the connection stays in
/// the listener's queue, and asking again at once would only spin.
const REST: Duration = Duration::from_millis(10);

fn after_failed_accept(shared: &Shared, listening: &Listening, error: &io::Error) {
    let is_passing = matches!(
        error.kind(),
        // The tick; the peer was gone before we came.
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
    );
    if errno::is_not_ready(error) && listening.deferring.load(Ordering::Relaxed) {
        // A whole tick without a connection is no load.
        defer(listening, false);
    }
    if is_passing || shared.is_stopping() || listening.is_closed() {
        return;
    }
    if errno::is_out_of_descriptors(error) || errno::is_out_of_memory(error) {
        shared.inbox.ask_for_room();
    }
    shared.complaints.line(
        &shared.log,
        Level::Error,
        format_args!("accept failed: {error}"),
    );
    // An error of waiting is a shorter rest.
    let _ = wait_for_any(&mut [], REST);
}

impl Leader {
    fn serve(
        &mut self,
        shared: &Arc<Shared>,
        listening: &Listening,
        stream: TcpStream,
        client: Client,
    ) {
        let (mut len, mut continued) = (0, false);
        // Where accepted sockets do not inherit the listener's timeout, it is set on each.
        if !listening.hands_down_timeouts() && stream.set_read_timeout(Some(TICK)).is_err() {
            return;
        }
        loop {
            let read = match len {
                0 => self.first_read(listening, &stream),
                _ => read_now(&stream, &mut self.buffer[len..]),
            };
            match read {
                Ok(0) => return,
                Ok(read) => len += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if errno::is_not_ready(&error) => break,
                Err(_) => return,
            }
            let is_full = len == self.buffer.len();
            match examine(&self.buffer[..len], shared.settings.body_max) {
                Seen::Partial { expects_continue } => {
                    go_on(&stream, expects_continue, &mut continued);
                    if is_full {
                        break;
                    }
                }
                seen => return serve_seen(shared, stream, client, seen, Then::Close),
            }
        }
        let phase = Phase::Reading {
            bytes: self.buffer[..len].to_vec(),
            continued,
        };
        park(shared, stream, client, phase);
    }

    /// Only the first read may wait, and only while somebody else accepts.
    fn first_read(&mut self, listening: &Listening, mut stream: &TcpStream) -> io::Result<usize> {
        let read = if listening.accepting.load(Ordering::SeqCst) > 0 {
            stream.read(&mut self.buffer)
        } else {
            read_now(stream, &mut self.buffer)
        };
        self.served += 1;
        self.missed += u32::from(read.is_err());
        if self.served == COUNTED {
            if self.missed >= MISSED_MAX {
                defer(listening, true);
            }
            (self.served, self.missed) = (0, 0);
        }
        read
    }
}

/// Tells a client that waits for it, once, to send the body (RFC 9110 section 10.1.1).
pub(super) fn go_on(stream: &TcpStream, expects_continue: bool, continued: &mut bool) {
    if expects_continue && !mem::replace(continued, true) {
        // A client that cannot take 25 bytes will be seen to be gone at the next read.
        let _ = write_now(stream, CONTINUE);
    }
}

/// Serves what is a whole request, or none; `then` is for one after which nothing has come so far.
pub(super) fn serve_seen(
    shared: &Arc<Shared>,
    stream: TcpStream,
    client: Client,
    seen: Seen<'_>,
    then: Then,
) {
    match seen {
        Seen::Whole(request) => {
            let then = if request.has_surplus {
                Then::Drain
            } else {
                then
            };
            serve_request(shared, stream, client, &request, then);
        }
        Seen::Refused(refusal) => {
            let bytes = Cow::Owned(refusal_answer(refusal));
            finish(shared, stream, bytes, Then::Drain);
        }
        // Not whole: there is nothing to answer.
        Seen::Partial { .. } => {}
    }
}

fn serve_request(
    shared: &Arc<Shared>,
    stream: TcpStream,
    client: Client,
    request: &Request<'_>,
    then: Then,
) {
    // An answer that comes later comes to a client that had time to send more.
    let later = if then == Then::Close {
        Then::Look
    } else {
        then
    };
    let (desk, work) = match route(shared, client, &request.head) {
        Route::Answer(bytes) => return finish(shared, stream, bytes, then),
        Route::Run(component, asked) => return keep(shared, stream, &component, asked, later),
        Route::Report(report, asked) => {
            let credentials = request.head.header("authorization");
            let work = reports::work(report, asked, client, credentials);
            (&shared.reports, work)
        }
        Route::Act(act) if client.is_trusted => {
            (&shared.local_acts, admin::work(act, request, client))
        }
        Route::Act(act) => (&shared.posts, admin::work(act, request, client)),
        Route::Post(component) => {
            let post = posts::post_of(request, client, &component);
            let desk = if component.about().heartbeat {
                &shared.heartbeats
            } else {
                &shared.posts
            };
            (desk, posts::work(component, post, client))
        }
    };
    desk.submit(shared, Caller::new(shared, stream, later), work);
}

/// Keeps a connection with its component's run; the prober answers it when the run ends.
fn keep(
    shared: &Arc<Shared>,
    stream: TcpStream,
    component: &Arc<Component>,
    asked: Asked,
    then: Then,
) {
    let style = Style::of(component);
    let board = component.board();
    if shared.held.load(Ordering::Relaxed) >= shared.settings.held_max {
        // Too many wait: the state as it was last is better than none.
        let bytes = answers::of_state(board.state(), asked, style);
        return finish(shared, stream, Cow::Borrowed(bytes), then);
    }
    let within = component.about().answer_within;
    let within = within.unwrap_or(shared.settings.answer_within);
    let answering = shared.clone();
    let answer = move |state| {
        let bytes = answers::of_state(state, asked, style);
        finish(&answering, stream, Cow::Borrowed(bytes), then);
    };
    let asker = asker(shared, within, answer);
    if let Err(asker) = board.ask(asker) {
        (asker.answer)(Answer::State(board.state()));
    }
}

/// A caller that counts as held until it is answered, and whose time the sweeper watches.
pub(super) fn asker(
    shared: &Arc<Shared>,
    within: Duration,
    answer: impl FnOnce(State) + Send + 'static,
) -> Asker {
    let kept = Kept::new(shared);
    let answer = Box::new(move |answered| {
        answer(match answered {
            Answer::State(state) => state,
            Answer::Late => State::Unknown,
        });
        drop(kept);
    });
    Asker {
        deadline: Instant::now() + within,
        answer,
    }
}

/// Writes an answer and closes; what cannot be done without waiting is left to the sweeper.
pub(super) fn finish(
    shared: &Arc<Shared>,
    stream: TcpStream,
    bytes: Cow<'static, [u8]>,
    then: Then,
) {
    let sent = match write_now(&stream, &bytes) {
        Ok(sent) => sent,
        Err(error) if errno::is_not_ready(&error) => 0,
        Err(_) => return,
    };
    let is_sent = sent == bytes.len();
    if is_sent && !has_to_drain(&stream, then) {
        return;
    }
    let phase = if !is_sent {
        let bytes = bytes[sent..].to_vec();
        Phase::Writing {
            bytes,
            sent: 0,
            then,
        }
    } else if stream.shutdown(Shutdown::Write).is_ok() {
        Phase::draining()
    } else {
        return;
    };
    // Nothing more is read for its meaning, so who it was does not matter any more.
    park(shared, stream, Client::NOBODY, phase);
}

/// Whether closing now would reset the connection over what is unread.
pub(super) fn has_to_drain(stream: &TcpStream, then: Then) -> bool {
    match then {
        Then::Close => false,
        Then::Look => matches!(read_now(stream, &mut [0]), Ok(1..)),
        Then::Drain => true,
    }
}
