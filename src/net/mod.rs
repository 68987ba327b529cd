//! Reaching out: names to addresses, ports, deadlines, the dialling of a target; and other
//! programs, run with a deadline as well.
//!
//! What goes wrong with a target is an outcome with the phase that ended it. No protocol is spoken
//! here, and what a program's end means is for who ran it to say.
#![forbid(unsafe_code)]

pub(crate) mod account;
pub(crate) mod child;
pub(crate) mod cidr;
pub(crate) mod conversation;
pub(crate) mod deadline;
pub(crate) mod dial;
pub(crate) mod port;
pub(crate) mod program;
pub(crate) mod random;
pub(crate) mod resolve;
pub(crate) mod slot;
