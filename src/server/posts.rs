//! The worker on which POSTs are acted on, one at a time.
//!
//! What a POST does may take long (a password hash by design does), and may be a library user's
//! code; so it has a thread of its own, started with the first POST, and a bounded queue.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::TcpStream;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Shared;
use super::accept::{Then, asker, finish};
use super::listening::Client;
use super::park::Kept;
use crate::check::board::Answer;
use crate::clock::locked;
use crate::component::{Component, Post, Reply};
use crate::log::Level;
use crate::sys::thread::{self, Stack};
use crate::wire::http::{Request, answer};

/// POSTs that wait for the worker at most.
const QUEUE_MAX: usize = 64;

/// How long an answer waits for the run that it brought about.
const RUN_WITHIN: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(super) struct Posts {
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
    stream: TcpStream,
    post: Post,
    component: Arc<Component>,
    then: Then,
    /// When it is answered even if its turn has not come.
    deadline: Instant,
    kept: Kept,
}

impl Posts {
    /// Has a POST acted on and answered, or answers that this cannot be done now.
    pub(super) fn submit(
        &self,
        shared: &Arc<Shared>,
        stream: TcpStream,
        client: Client,
        request: &Request<'_>,
        component: Arc<Component>,
        then: Then,
    ) {
        let owned = |(name, value): (&str, &str)| (name.to_string(), value.to_string());
        let post = Post {
            path: request.head.target.to_string(),
            headers: request.head.headers().map(owned).collect(),
            body: request.body.to_vec(),
            peer: client.peer,
            state: component.board().state(),
        };
        let job = Job {
            stream,
            post,
            component,
            then,
            deadline: Instant::now() + shared.settings.answer_within,
            kept: Kept::new(shared),
        };
        if let Some(job) = self.refused(shared, job) {
            turn_away(shared, job, "ERROR: too many POSTs wait already");
        }
    }

    /// Answers those whose turn has not come in time.
    pub(super) fn expire(&self, shared: &Arc<Shared>, now: Instant) {
        let late: Vec<Job> = {
            let jobs = &mut locked(&self.worker).jobs;
            // All wait equally long, so the first to come are the first to expire.
            let late = jobs.iter().take_while(|job| job.deadline <= now).count();
            jobs.drain(..late).collect()
        };
        for job in late {
            turn_away(shared, job, "ERROR: another POST takes too long");
        }
    }

    /// Gives the job to the worker, or back.
    fn refused(&self, shared: &Arc<Shared>, job: Job) -> Option<Job> {
        let mut worker = locked(&self.worker);
        if worker.stopped || worker.jobs.len() >= QUEUE_MAX {
            return Some(job);
        }
        if !worker.has_thread {
            let working = shared.clone();
            let run = move || working.posts.work(&working);
            worker.has_thread = thread::spawn("posts", Stack::Users, run).is_ok();
        }
        if !worker.has_thread {
            return Some(job);
        }
        worker.jobs.push_back(job);
        self.changed.notify_one();
        None
    }

    /// Acts on what has come, and no more.
    pub(super) fn stop(&self) {
        locked(&self.worker).stopped = true;
        self.changed.notify_one();
    }

    fn work(&self, shared: &Arc<Shared>) {
        while let Some(job) = self.next() {
            act(shared, job);
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

fn turn_away(shared: &Arc<Shared>, job: Job, why: &str) {
    let bytes = answer(503, "Retry-After: 1\r\n", why);
    finish(shared, job.stream, Cow::Owned(bytes), job.then);
}

fn act(shared: &Arc<Shared>, job: Job) {
    let Job {
        stream,
        post,
        component,
        then,
        kept,
        ..
    } = job;
    let acted = panic::catch_unwind(AssertUnwindSafe(|| {
        component.on_post().map(|on_post| on_post.on_post(&post))
    }));
    let reply = match acted {
        Ok(Some(reply)) => reply,
        Ok(None) => Reply::new(405, "ERROR: this method is not for this path"),
        Err(_) => {
            let name = component.name();
            shared.log.line(
                Level::Error,
                format_args!("component={name} what a POST does panicked"),
            );
            Reply::new(500, "ERROR")
        }
    };
    let bytes = bytes_of(&reply);
    if !reply.acts_on_state {
        return finish(shared, stream, Cow::Owned(bytes), then);
    }
    let answering = shared.clone();
    let asker = asker(shared, RUN_WITHIN, move |_| {
        finish(&answering, stream, Cow::Owned(bytes), then);
    });
    drop(kept);
    if let Err(asker) = component.board().ask_afresh(asker) {
        (asker.answer)(Answer::Late);
    }
}

fn bytes_of(reply: &Reply) -> Vec<u8> {
    let challenge = "WWW-Authenticate: Basic realm=\"failover\", charset=\"UTF-8\"\r\n";
    answer(
        reply.status,
        if reply.challenges { challenge } else { "" },
        &reply.text,
    )
}
