//! `failover` says whether a service is healthy, so that load balancers and people can act on it.
//!
//! It is a library and one small static program of the same name. This page is the library's
//! manual; the program's, with its configuration file, is in the program: `failover help`.
//!
//! # A whole program
//!
//! ```no_run
//! use failover::{Background, HealthCheckServer, Hysteresis, TcpCheck, count, fail, second};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mail = Hysteresis::new(TcpCheck::new("192.0.2.1", "smtp", second(10))?)
//!         .initial_state(fail)
//!         .ok_after(count(2))?
//!         .fail_after(count(3))?;
//!     let server = HealthCheckServer::bind("0.0.0.0:8080")?;
//!     server.add_component("mail", Background::new(mail, second(5), fail)?)?;
//!     server.serve_forever()?;
//!     Ok(())
//! }
//! ```
//!
//! A balancer asks `GET /mail` and is answered `200 OK` or `503 FAIL`; `500 ERROR` means that the
//! state is not known, or no longer.
//!
//! # A walk through it
//!
//! [`TcpCheck`] asks the world one question: does the mail server accept connections within ten
//! seconds, resolving included? Its answer is an [`Outcome`]: a [`Health`], a [`Reason`] in fixed
//! words, a detail and how long it took. A dead service is an outcome, never an `Err`; an `Err` is
//! for values that cannot be, and says so where they are given. A closure that returns a `bool` is
//! a [`Check`] too, and so is everything below, so that all of it composes.
//!
//! [`Hysteresis`] makes a [`State`] of the outcomes. It starts in `fail`, changes to ok after two
//! good outcomes in a row, and back after three bad ones in a row. A [`Threshold`] may also be a
//! length of time (`minute(1)`: consistently so for a minute) or `count(3).of(5)`. An outcome that
//! says nothing about the target, because we could not ask ([`Health::Unknown`]), neither counts
//! nor resets.
//!
//! [`Background`] runs the check every five seconds on a thread of its own, and callers are
//! answered from memory. Without it the check runs when somebody asks, once for all who ask at the
//! same time. A check that hangs makes its component unknown after a while, and harms nobody else.
//!
//! [`HealthCheckServer`] is an HTTP/1.0 server with a thread for each connection that it serves,
//! made for being asked often and by hostile clients: every wait, queue and buffer has a limit.
//!
//! # One value, from the socket to the 503
//!
//! 1. The prober's thread wakes on its schedule and calls [`Check::check`] on the hysteresis, which
//!    calls it on the TCP check. `connect(2)` says `ECONNREFUSED`: `Fail`, `tcp connect refused`.
//! 2. It is the third in a row, so the [`Judge`] inside changes its state from ok to fail.
//! 3. The prober publishes state, phase and outcome under one short lock. Since the state changed,
//!    an [`Event`] goes to the dispatcher, which logs it and tells listeners, in order.
//! 4. A balancer connects. The thread that accepts it reads `GET /mail HTTP/1.0`, finds the
//!    component, copies its state, and writes `HTTP/1.0 503 FAIL` with one system call.
//!
//! # The rest
//!
//! - Kinds of checks: [`TcpCheck`], [`HttpCheck`], [`TlsCheck`], [`PostgresCheck`], [`SmtpCheck`],
//!   [`DnsCheck`]; of this machine [`FileCheck`], [`ProcessCheck`], [`ExecCheck`]; of reports
//!   [`HeartbeatCheck`]; of real traffic [`HaproxyTrafficCheck`] and [`AccessLogCheck`].
//! - Manual reset: a [`Toggle`] of a check and a [`Oneshot`], which a POST fires, with credentials
//!   from an [`HtpasswdFile`] if there are any.
//! - Combining: [`All`], [`Any`], [`AtLeast`], [`Majority`], [`Not`]; [`quorum`] is their rule.
//! - Time: everything that decides reads a [`Clock`]. With a [`ManualClock`] a test makes hours
//!   pass in no time.
//! - Several listeners, each with its rules: [`ListenSettings`]; HAProxy's agent-check:
//!   [`AgentSettings`]; administration over a Unix socket: [`AdminSocket`], and over TCP with a
//!   [`TokenFile`] or an [`HtpasswdFile`].
//! - Reports under the server's own paths, which only look: `/health`, `/health/live`,
//!   `/health/ready`, `/health/startup` and `/NAME?format=json` (health+json), `/metrics`
//!   ([`METRICS`]), `/-/status`, `/-/events`.
//! - What outlives a restart: a [`Store`]. systemd: a [`Notifier`].
//! - In advance: a [`Forecast`] says how long a failure takes to be noticed and how often a lost
//!   probe is taken for one; [`replay`] judges outcomes that were by other rules.
//! - Signals: [`Signals`] and [`HealthCheckServer::serve_until`] end a program in an orderly way.
//!
//! # The rooms
//!
//! The sources are in rooms, and a room uses only those above it in this list:
//!
//! | room | what for |
//! |---|---|
//! | `sys`, `error` | what std cannot ask of the system (the only unsafe code); the error of all |
//! | `units`, `clock` | counts, durations, thresholds; time, and waiting for it |
//! | `health` | the vocabulary: health, state, phase, reason, outcome |
//! | `log`, `event`, `store` | logging that never blocks; what happened; the state directory |
//! | `wire` | pure codecs: HTTP, URLs, JSON, forms, DNS, TLS, PostgreSQL, HAProxy, digests |
//! | `net`, `auth` | names, deadlines, dialling, other programs; who may do what |
//! | `client` | whole conversations as a client, one file for each protocol |
//! | `check` | the trait, the prober that runs checks, and one file for each kind of check |
//! | `decide` | what is made of outcomes |
//! | `component` | named checks, the table of them, the dispatcher of events |
//! | `server` | the HTTP server: answers, reports, the page, agent-checks, administration |
//! | `config` | the table of keywords, the configuration file, and what is planned by it |
//! | `daemon` | the running system: start, reload, what is kept, the orderly end |
//! | `cli` | one file for each command |
#![deny(unsafe_code)]

// The README's program compiles, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use auth::{Access, HtpasswdFile, TokenFile};
pub use check::Check;
pub use check::board::Published;
pub use check::dns::DnsCheck;
pub use check::exec::{ExecCheck, ExitCodes};
pub use check::file::FileCheck;
pub use check::heartbeat::{HeartbeatCheck, Reports};
pub use check::http::HttpCheck;
pub use check::postgres::{Lag, PostgresCheck, Role};
pub use check::prober::Pace;
pub use check::process::ProcessCheck;
pub use check::smtp::SmtpCheck;
pub use check::status::StatusSet;
pub use check::tcp::TcpCheck;
pub use check::tls::TlsCheck;
pub use check::traffic::access_log::AccessLogCheck;
pub use check::traffic::haproxy::HaproxyTrafficCheck;
pub use check::traffic::rules::{Percent, TrafficRules};
pub use check::value::Side;
pub use client::admin::{AdminLines, AdminSocket};
pub use clock::{Bell, Clock, ManualClock, Moment, SystemClock, Waiter, Woken};
pub use component::{OnPost, Post, Reply};
pub use decide::background::{Background, Builder as BackgroundBuilder};
pub use decide::combine::{All, Any, AtLeast, Majority, Not, quorum};
pub use decide::forecast::{Change, Forecast, Times};
pub use decide::hysteresis::{Hysteresis, Judge};
pub use decide::oneshot::Oneshot;
pub use decide::replay::{Summary, replay};
pub use decide::rules::Rules;
pub use decide::toggle::Toggle;
pub use error::{Error, ErrorKind};
pub use event::{Event, Transition, What};
pub use health::{Health, Maint, Mode, Outcome, Phase, Reason, Standing, State, fail, ok};
pub use log::{Level, Log};
pub use net::cidr::Cidr;
pub use net::dial::Family;
pub use net::port::Port;
pub use server::{AgentAdmin, AgentReply, AgentSettings, AgentView, METRICS};
pub use server::{
    Builder as ServerBuilder, HealthCheckServer, ListenSettings, Running, ServerHandle,
};
pub use store::{Age, Store, Stored};
pub use sys::notify::Notifier;
pub use sys::signals::{Signal, Signals};
pub use units::{Count, Quantity, Span, Threshold, Window, count, day, hour, minute, second};

mod auth;
mod check;
#[doc(hidden)]
pub mod cli;
mod client;
mod clock;
mod component;
mod config;
mod daemon;
mod decide;
mod error;
mod event;
mod health;
mod log;
mod net;
mod number;
mod order;
mod server;
mod store;
#[allow(unsafe_code)]
mod sys;
mod text;
mod units;
mod wire;
