//! Passive checks: what real traffic says of a server, without a request of our own (seed 002).
//!
//! Each source of numbers has a file: HAProxy's counters, an access log. They share the rules
//! (what is too much) and the window (how long ago still counts). A run takes a sample and judges
//! what came between it and the samples before; it never waits for traffic. Too little of it says
//! nothing of the server, so that is unknown and never a failure.
#![forbid(unsafe_code)]

pub(crate) mod access_log;
pub(crate) mod haproxy;
pub(crate) mod rules;
mod tail;
mod window;
