//! What HAProxy counts for one of its servers (management.txt, section 9.1).
//!
//! The counters only grow until HAProxy starts anew, is reloaded or told to clear them. What is
//! judged is what was added within the window. Nothing is ever told to HAProxy here.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::check::Check;
use crate::client::haproxy::StatsSocket;
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::health::{Health, Outcome, Reason};
use crate::units::Span;
use crate::wire::haproxy::is_name;
use crate::wire::haproxy::stat::{ServerStat, find_server};

use super::rules::{Traffic, TrafficRules, malformed};
use super::window::{Counts, Window};

/// As much of what HAProxy said as a detail shows.
const SAID_CHARS_MAX: usize = 100;

/// Judges a server by the traffic that HAProxy sends it (seed 002).
///
/// Each run asks HAProxy's stats socket (`stats socket ... level user` is enough) and judges what
/// was added to the counters within the window. The 5xx rate is that of the server's own answers.
/// Errors are requests for which the server could not be connected to (`econ`; with `option
/// redispatch` such a request goes to another server, `wredis`), and those that it answered
/// wrongly, too late or not to the end (`eresp`, `srv_abrt`). Requests are `stot` less `wretr`, so
/// that one which is tried again is one. A server of mode tcp has no 5xx rate.
///
/// The latency is the time to the head of an answer (`rtime`; in mode tcp the time to connect,
/// `ctime`), which HAProxy averages over the last 1,024 requests: it follows slowly where requests
/// are few. Counters that go down, after a reload or `clear counters all`, have started anew.
///
/// Reasons: `traffic normal`; failures `traffic 5xx rate`, `traffic error rate`, `traffic
/// latency`; unknown `traffic too little` (also at the first run, which has nothing to compare
/// with), `traffic no such server`, `traffic source unreadable`, `traffic source malformed`.
///
/// ```
/// use std::io::{Read, Write};
/// use failover::{Check, HaproxyTrafficCheck, TrafficRules, second};
///
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let socket = listener.local_addr()?.to_string();
/// std::thread::spawn(move || {
///     let names = "stot,wretr,econ,eresp,wredis,srv_abrt,hrsp_5xx,rtime,ctime";
///     for (requests, errors) in [(100, 5), (300, 17)] {
///         let (mut stream, _) = listener.accept().unwrap();
///         stream.read(&mut [0; 100]).unwrap();
///         writeln!(stream, "# pxname,svname,mode,{names}").unwrap();
///         writeln!(stream, "back,one,http,{requests},0,0,0,0,0,{errors},9,1\n").unwrap();
///     }
/// });
/// let mut check = HaproxyTrafficCheck::new(&socket, "back/one", second(3))?
///     .rules(TrafficRules::new().server_errors("5%")?);
/// assert_eq!(check.check().reason.words(), "traffic too little");
/// assert!(check.check().detail.starts_with("5xx 12 of 200 requests"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct HaproxyTrafficCheck {
    socket: StatsSocket,
    backend: String,
    server: String,
    timeout: Duration,
    pub(crate) rules: TrafficRules,
    clock: Arc<dyn Clock>,
    window: Window,
    last: Option<ServerStat>,
    name: Option<String>,
}

impl HaproxyTrafficCheck {
    /// Asks the stats socket (a path if there is a slash in it, otherwise `HOST:PORT`) within
    /// `timeout` (a bare number is seconds) for `server`, written `BACKEND/SERVER`.
    ///
    /// # Errors
    /// A socket, server or timeout that cannot be.
    pub fn new<T>(socket: &str, server: &str, timeout: T) -> Result<HaproxyTrafficCheck, Error>
    where
        T: TryInto<Span>,
        Error: From<T::Error>,
    {
        let names = server.split_once('/');
        let Some((backend, server)) = names.filter(|(a, b)| is_name(a) && is_name(b)) else {
            return Err(Error::invalid(format!(
                "{server:?} is not a server of HAProxy; expected BACKEND/SERVER"
            )));
        };
        let timeout: Span = timeout.try_into()?;
        Ok(HaproxyTrafficCheck {
            socket: StatsSocket::parse(socket)?,
            backend: backend.to_string(),
            server: server.to_string(),
            timeout: timeout.duration(),
            rules: TrafficRules::new(),
            clock: Arc::new(SystemClock),
            window: Window::default(),
            last: None,
            name: None,
        })
    }

    /// What is too much. Default: [`TrafficRules::new`].
    pub fn rules(mut self, rules: TrafficRules) -> HaproxyTrafficCheck {
        self.rules = rules;
        self
    }

    /// Which clock says how old a sample is. Default: the system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> HaproxyTrafficCheck {
        self.clock = clock;
        self
    }

    /// What `Debug` prints, to tell one from another.
    pub fn name(mut self, name: impl Into<String>) -> HaproxyTrafficCheck {
        self.name = Some(name.into());
        self
    }

    fn sample(&self) -> Result<ServerStat, Box<Outcome>> {
        // 4 is servers only.
        let command = format!("show stat {} 4 -1", self.backend);
        let reply = self.socket.ask(&command, self.timeout);
        let reply = reply.map_err(|outcome| self.unreadable(&outcome))?;
        let (backend, server) = (&self.backend, &self.server);
        match find_server(&reply, backend, server) {
            Ok(Some(stat)) => Ok(stat),
            Ok(None) => Err(no_such_server(format!("no {backend}/{server}")).into()),
            Err(problem) => Err(refusal(&reply, problem).into()),
        }
    }

    fn unreadable(&self, outcome: &Outcome) -> Outcome {
        let words = match outcome.reason {
            Reason::TcpError => outcome.detail.as_str(),
            reason => reason.words(),
        };
        unreadable(format!("{}: {words}", self.socket))
    }

    fn judge(&mut self, stat: ServerStat) -> Outcome {
        let increase = match &self.last {
            Some(last) => increase(last, &stat),
            None => Counts::default(),
        };
        self.last = Some(stat);
        let now = self.clock.now();
        let (counts, time) = self.window.add(now, increase, self.rules.span());
        if stat.http.is_none() && self.rules.asks_for_server_errors() {
            return malformed("a server of mode tcp has no 5xx rate; expected mode http");
        }
        let latency_ms = stat.http.map_or(stat.connect_ms, |http| http.response_ms);
        self.rules.judge(&Traffic {
            // A request that met two errors is one request.
            requests: counts.requests.max(counts.errors).max(counts.server_errors),
            server_errors: stat.http.map(|_| counts.server_errors),
            errors: counts.errors,
            latency: Some(Duration::from_millis(latency_ms)),
            time,
        })
    }
}

fn unreadable(detail: String) -> Outcome {
    Outcome::new(Health::Unknown, Reason::TrafficSourceUnreadable).with_detail(detail)
}

fn no_such_server(detail: String) -> Outcome {
    Outcome::new(Health::Unknown, Reason::TrafficNoSuchServer).with_detail(detail)
}

/// What a reply means that is not the table.
fn refusal(reply: &str, problem: String) -> Outcome {
    let said: String = reply.trim().chars().take(SAID_CHARS_MAX).collect();
    if said.starts_with("No such") {
        return no_such_server(said);
    }
    if said.starts_with("Permission denied") {
        return unreadable(said);
    }
    malformed(problem)
}

/// What was added since the last sample. Counters start anew all together: if one has gone down,
/// what each says now was added since then.
fn increase(last: &ServerStat, now: &ServerStat) -> Counts {
    let (old, new) = (counters(last), counters(now));
    let is_anew = old.iter().zip(&new).any(|(old, new)| new < old);
    let added = |at: usize| if is_anew { new[at] } else { new[at] - old[at] };
    let [
        sessions,
        retries,
        server_errors,
        unconnected,
        switched,
        unanswered,
        aborted,
    ] = [0, 1, 2, 3, 4, 5, 6].map(added);
    // HAProxy 2.6 counts an abort among the bad answers as well; later ones do not in every case.
    // The larger of the two counts none twice.
    let bad_answers = unanswered.max(aborted);
    Counts {
        // A request that was tried four times is one request.
        requests: sessions.saturating_sub(retries),
        server_errors,
        errors: unconnected
            .saturating_add(switched)
            .saturating_add(bad_answers),
        ..Counts::default()
    }
}

fn counters(stat: &ServerStat) -> [u64; 7] {
    [
        stat.sessions,
        stat.retries,
        stat.http.map_or(0, |http| http.server_errors),
        stat.connection_errors,
        stat.redispatches,
        stat.response_errors,
        stat.aborts,
    ]
}

impl Check for HaproxyTrafficCheck {
    fn check(&mut self) -> Outcome {
        match self.sample() {
            Ok(stat) => self.judge(stat),
            Err(outcome) => *outcome,
        }
    }

    fn budget(&self) -> Option<Duration> {
        Some(self.timeout)
    }
}

impl fmt::Debug for HaproxyTrafficCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => write!(
                f,
                "HaproxyTrafficCheck({}/{} by {} within {:?})",
                self.backend, self.server, self.socket, self.timeout
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::haproxy::stat::HttpStat;

    fn stat(sessions: u64, server_errors: u64, others: [u64; 4]) -> ServerStat {
        let [connection_errors, redispatches, response_errors, aborts] = others;
        ServerStat {
            sessions: sessions + 5,
            retries: 5,
            connection_errors,
            redispatches,
            response_errors,
            aborts,
            http: Some(HttpStat {
                server_errors,
                response_ms: 0,
            }),
            connect_ms: 0,
        }
    }

    #[test]
    fn what_was_added_counts_and_no_abort_twice() {
        let last = stat(100, 1, [1, 1, 1, 1]);
        let now = stat(200, 4, [2, 3, 5, 3]);
        let added = increase(&last, &now);
        let seen = (added.requests, added.server_errors, added.errors);
        assert_eq!(seen, (100, 3, 1 + 2 + 4));
        let aborted = increase(&last, &stat(200, 4, [1, 1, 1, 9]));
        assert_eq!(aborted.errors, 8);
    }

    #[test]
    fn counters_that_start_anew_count_from_nothing() {
        let last = stat(100, 9, [5, 0, 5, 0]);
        // After a restart that was busy enough to pass the old number of requests.
        for now in [stat(30, 3, [0, 0, 2, 0]), stat(130, 3, [0, 0, 2, 0])] {
            let added = increase(&last, &now);
            assert_eq!(added.requests, now.sessions - now.retries);
            assert_eq!((added.server_errors, added.errors), (3, 2));
        }
        let most = stat(u64::MAX - 5, u64::MAX, [u64::MAX; 4]);
        assert_eq!(increase(&stat(0, 0, [0; 4]), &most).errors, u64::MAX);
    }

    #[test]
    fn servers_are_written_with_their_backend() {
        let check = |socket, server| HaproxyTrafficCheck::new(socket, server, 3);
        let good = check("/run/haproxy.sock", "back/one").unwrap();
        assert_eq!(
            format!("{good:?}"),
            "HaproxyTrafficCheck(back/one by /run/haproxy.sock within 3s)"
        );
        for bad in [
            "", "back", "back/", "/one", "a/b/c", "a b/c", "a;help/b", "a\n/b",
        ] {
            assert!(check("/run/haproxy.sock", bad).is_err(), "{bad:?}");
        }
        assert!(check("nowhere", "back/one").is_err());
        assert!(HaproxyTrafficCheck::new("/a", "b/c", 0).is_err());
    }
}
