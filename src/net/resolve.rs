//! Names to addresses within a deadline, though the system's resolver has none.
//!
//! A lookup runs on one of a few resolver threads and may take as long as it likes there; who
//! wants the answer waits for its own deadline only. One lookup is in flight for a name, whoever
//! asks. Answers are good for [`FRESH`]; when the resolver fails, not when it says that there is no
//! such name, the last good answer is used for up to [`KEPT`]. Numeric addresses never wait.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::locked;
use crate::health::{Health, Outcome, Reason};
use crate::net::deadline::Deadline;
use crate::sys::resolve::{ResolveError, addresses};
use crate::sys::thread::{self, Stack};

/// How long an answer is good for.
const FRESH: Duration = Duration::from_secs(30);

/// How long the last good answer stands in for a resolver that fails.
const KEPT: Duration = Duration::from_secs(3_600);

/// Resolver threads at most; each may hang for as long as the resolver does (5 s with musl).
const THREADS_MAX: usize = 4;

/// Names that wait for a thread at most.
const QUEUE_MAX: usize = 256;

/// Names remembered at most; the oldest go first.
const NAMES_MAX: usize = 1_024;

type Found = Result<Vec<SocketAddr>, ResolveError>;
type Lookup = fn(&str) -> Found;

/// The addresses of a host with port 0: a numeric address at once, a name by lookup.
///
/// # Errors
/// A `Fail` outcome when the name does not exist or has no address, an `Unknown` one when the
/// resolver cannot tell in time.
pub(crate) fn resolve(host: &str, deadline: Deadline) -> Result<Vec<SocketAddr>, Box<Outcome>> {
    static RESOLVER: OnceLock<Arc<Resolver>> = OnceLock::new();
    if let Some(address) = numeric(host) {
        return Ok(vec![address]);
    }
    RESOLVER
        .get_or_init(|| Resolver::new(addresses))
        .lookup(host, deadline)
}

/// An address that is written as one; with a zone (`fe80::1%eth0`) the system knows its number.
fn numeric(host: &str) -> Option<SocketAddr> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, 0));
    }
    let (ip, _zone) = host.split_once('%')?;
    ip.parse::<Ipv6Addr>().ok()?;
    addresses(host).ok()?.first().copied()
}

struct Resolver {
    names: Mutex<Names>,
    changed: Condvar,
    lookup: Lookup,
}

#[derive(Default)]
struct Names {
    known: Vec<Name>,
    queue: VecDeque<String>,
    threads: usize,
}

#[derive(Default)]
struct Name {
    host: String,
    in_flight: bool,
    /// When the last lookup ended, and how if not well.
    tried: Option<(Instant, Option<Outcome>)>,
    /// The last good answer.
    good: Option<(Instant, Vec<SocketAddr>)>,
}

impl Name {
    /// What a lookup that ended after `since` said, with the last good answer in place of a
    /// resolver that failed.
    fn answer(
        &self,
        since: Option<Instant>,
        now: Instant,
    ) -> Option<Result<Vec<SocketAddr>, Box<Outcome>>> {
        let (when, problem) = self.tried.as_ref()?;
        if since.is_some_and(|since| *when < since) {
            return None;
        }
        match problem {
            None => self
                .good
                .as_ref()
                .map(|(_, addresses)| Ok(addresses.clone())),
            Some(outcome) if outcome.health == Health::Unknown => Some(
                self.kept(now)
                    .map_or_else(|| Err(outcome.clone().into()), Ok),
            ),
            Some(outcome) => Some(Err(outcome.clone().into())),
        }
    }

    fn kept(&self, now: Instant) -> Option<Vec<SocketAddr>> {
        let (when, addresses) = self.good.as_ref()?;
        (now.saturating_duration_since(*when) <= KEPT).then(|| addresses.clone())
    }

    fn is_fresh(&self, now: Instant) -> bool {
        let young = |when: Instant| now.saturating_duration_since(when) < FRESH;
        matches!(&self.tried, Some((when, None)) if young(*when))
    }
}

impl Resolver {
    fn new(lookup: Lookup) -> Arc<Resolver> {
        Arc::new(Resolver {
            names: Mutex::default(),
            changed: Condvar::new(),
            lookup,
        })
    }

    /// Never inlined: who asks for a numeric address has no stack to spare for it.
    #[inline(never)]
    fn lookup(
        self: &Arc<Self>,
        host: &str,
        deadline: Deadline,
    ) -> Result<Vec<SocketAddr>, Box<Outcome>> {
        let asked = Instant::now();
        let mut names = locked(&self.names);
        let name = names.of(host);
        if name.is_fresh(asked) {
            return name
                .answer(None, asked)
                .unwrap_or_else(|| Err(timeout(host).into()));
        }
        // With an answer to fall back on, a resolver that hangs may not eat all of the time.
        let has_kept = name.kept(asked).is_some();
        let deadline = if has_kept {
            deadline.share(2).unwrap_or(deadline)
        } else {
            deadline
        };
        if !name.in_flight {
            self.enqueue(&mut names, host)?;
        }
        loop {
            let now = Instant::now();
            let Some(name) = names.find(host) else {
                return Err(timeout(host).into());
            };
            if let Some(answer) = name.answer(Some(asked), now) {
                return answer;
            }
            let Some(left) = deadline.left() else {
                return name.kept(now).ok_or_else(|| timeout(host).into());
            };
            let waited = self.changed.wait_timeout(names, left);
            names = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn enqueue(self: &Arc<Self>, names: &mut Names, host: &str) -> Result<(), Box<Outcome>> {
        if names.queue.len() >= QUEUE_MAX {
            let detail = format!("{QUEUE_MAX} names wait already");
            return Err(Outcome::new(Health::Unknown, Reason::ResolveQueueFull)
                .with_detail(detail)
                .into());
        }
        if names.threads < THREADS_MAX {
            let resolver = self.clone();
            match thread::spawn("resolver", Stack::Ours, move || resolver.work()) {
                Ok(_) => names.threads += 1,
                // Another resolver thread will come to it; with none, nobody would.
                Err(_) if names.threads > 0 => {}
                Err(error) => return Err(failure(&format!("no thread: {error}")).into()),
            }
        }
        names.queue.push_back(host.to_string());
        if let Some(name) = names.find(host) {
            name.in_flight = true;
        }
        Ok(())
    }

    /// A resolver thread: ends when nothing waits.
    fn work(&self) {
        let mut names = locked(&self.names);
        while let Some(host) = names.queue.pop_front() {
            drop(names);
            let found = (self.lookup)(&host);
            names = locked(&self.names);
            names.note(&host, found);
            self.changed.notify_all();
        }
        names.threads -= 1;
    }
}

impl Names {
    fn find(&mut self, host: &str) -> Option<&mut Name> {
        self.known.iter_mut().find(|name| name.host == host)
    }

    /// What is known of a host, which is nothing at first.
    fn of(&mut self, host: &str) -> &mut Name {
        let known = self.known.iter().position(|name| name.host == host);
        let at = known.unwrap_or_else(|| {
            self.known.push(Name {
                host: host.to_string(),
                ..Name::default()
            });
            self.known.len() - 1
        });
        &mut self.known[at]
    }

    fn note(&mut self, host: &str, found: Found) {
        let now = Instant::now();
        let Some(name) = self.find(host) else {
            return;
        };
        name.in_flight = false;
        let problem = match found {
            Ok(addresses) => {
                name.good = Some((now, addresses));
                None
            }
            Err(ResolveError::NoSuchName) => {
                name.good = None;
                Some(Outcome::new(Health::Fail, Reason::ResolveNoSuchName).with_detail(host))
            }
            Err(ResolveError::NoAddress) => {
                name.good = None;
                Some(Outcome::new(Health::Fail, Reason::ResolveNoAddress).with_detail(host))
            }
            Err(ResolveError::Failure(text)) => Some(failure(&format!("{host}: {text}"))),
        };
        name.tried = Some((now, problem));
        self.forget_the_oldest();
    }

    fn forget_the_oldest(&mut self) {
        if self.known.len() <= NAMES_MAX {
            return;
        }
        let names = self.known.iter().enumerate();
        let idle = names.filter(|(_, name)| !name.in_flight);
        let oldest = idle.min_by_key(|(_, name)| name.tried.as_ref().map(|(when, _)| *when));
        if let Some((at, _)) = oldest {
            self.known.swap_remove(at);
        }
    }
}

fn timeout(host: &str) -> Outcome {
    Outcome::new(Health::Unknown, Reason::ResolveTimeout).with_detail(host)
}

fn failure(detail: &str) -> Outcome {
    Outcome::new(Health::Unknown, Reason::ResolveFailure).with_detail(detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn soon() -> Deadline {
        Deadline::after(Duration::from_millis(20))
    }

    fn late() -> Deadline {
        Deadline::after(Duration::from_secs(60))
    }

    fn home() -> Vec<SocketAddr> {
        vec!["127.0.0.1:0".parse().unwrap()]
    }

    /// Pretends that the last lookup of a name is older than it is.
    fn age(resolver: &Resolver, host: &str, by: Duration) {
        let mut names = locked(&resolver.names);
        let name = names.find(host).unwrap();
        let earlier = |when: Instant| when.checked_sub(by).unwrap();
        name.tried = name
            .tried
            .take()
            .map(|(when, problem)| (earlier(when), problem));
        name.good = name.good.take().map(|(when, found)| (earlier(when), found));
    }

    #[test]
    fn numeric_addresses_need_no_resolver() {
        for host in ["127.0.0.1", "::1", "192.0.2.1"] {
            assert_eq!(resolve(host, soon()).unwrap()[0].ip().to_string(), host);
        }
    }

    #[test]
    fn localhost_is_a_name() {
        assert!(
            resolve("localhost", late())
                .unwrap()
                .iter()
                .all(|found| found.ip().is_loopback())
        );
    }

    #[test]
    fn a_resolver_that_hangs_costs_no_more_than_the_deadline() {
        let resolver = Resolver::new(|_| {
            loop {
                std::thread::park()
            }
        });
        for host in ["a", "b", "a"] {
            assert_eq!(
                resolver.lookup(host, soon()).unwrap_err().reason,
                Reason::ResolveTimeout
            );
        }
        // A thread that was started may not have taken its name from the queue yet.
        let until = late();
        while !locked(&resolver.names).queue.is_empty() {
            assert!(until.left().is_some(), "nobody takes them");
            std::thread::yield_now();
        }
        let threads = locked(&resolver.names).threads;
        assert_eq!(threads, 2, "one lookup for each name");
    }

    #[test]
    fn threads_and_queue_are_bounded() {
        let resolver = Resolver::new(|_| {
            loop {
                std::thread::park()
            }
        });
        let now = Deadline::after(Duration::ZERO);
        // A thread that was started may not have taken its name from the queue yet.
        let enough = QUEUE_MAX + THREADS_MAX + 1;
        let reasons: Vec<Reason> = (0..enough)
            .map(|n| resolver.lookup(&n.to_string(), now).unwrap_err().reason)
            .collect();
        assert_eq!(reasons.last(), Some(&Reason::ResolveQueueFull));
        assert_eq!(locked(&resolver.names).threads, THREADS_MAX);
    }

    #[test]
    fn an_answer_is_good_for_a_while_and_then_asked_for_again() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let resolver = Resolver::new(|_| {
            ASKED.fetch_add(1, Ordering::SeqCst);
            Ok(home())
        });
        for _ in 0..3 {
            assert_eq!(resolver.lookup("a", late()).unwrap(), home());
        }
        assert_eq!(ASKED.load(Ordering::SeqCst), 1);
        age(&resolver, "a", FRESH);
        assert_eq!(resolver.lookup("a", late()).unwrap(), home());
        assert_eq!(ASKED.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn the_last_good_answer_stands_in_for_a_failure_for_an_hour() {
        static WELL: AtomicUsize = AtomicUsize::new(1);
        let resolver = Resolver::new(|_| match WELL.load(Ordering::SeqCst) {
            1 => Ok(home()),
            _ => Err(ResolveError::Failure(String::from("try again"))),
        });
        resolver.lookup("a", late()).unwrap();
        WELL.store(0, Ordering::SeqCst);
        age(&resolver, "a", FRESH);
        assert_eq!(resolver.lookup("a", late()).unwrap(), home());
        age(&resolver, "a", KEPT);
        let outcome = resolver.lookup("a", late()).unwrap_err();
        assert_eq!(
            (outcome.health, outcome.reason),
            (Health::Unknown, Reason::ResolveFailure)
        );
    }

    #[test]
    fn a_name_that_is_gone_is_gone_at_once() {
        static GONE: AtomicUsize = AtomicUsize::new(0);
        let resolver = Resolver::new(|_| match GONE.load(Ordering::SeqCst) {
            0 => Ok(home()),
            _ => Err(ResolveError::NoSuchName),
        });
        resolver.lookup("a", late()).unwrap();
        GONE.store(1, Ordering::SeqCst);
        age(&resolver, "a", FRESH);
        let outcome = resolver.lookup("a", late()).unwrap_err();
        assert_eq!(
            (outcome.health, outcome.reason),
            (Health::Fail, Reason::ResolveNoSuchName)
        );
    }

    #[test]
    fn names_are_forgotten_when_there_are_too_many() {
        let resolver = Resolver::new(|_| Ok(home()));
        for n in 0..NAMES_MAX + 10 {
            resolver.lookup(&n.to_string(), late()).unwrap();
        }
        assert!(locked(&resolver.names).known.len() <= NAMES_MAX + 1);
    }
}
