//! Connecting: names to addresses, ranges, ports, deadlines, and the dialling of a target.
//!
//! What goes wrong here is an outcome with the phase that ended it. No protocol is spoken here.
#![forbid(unsafe_code)]

pub(crate) mod cidr;
pub(crate) mod conversation;
pub(crate) mod deadline;
pub(crate) mod dial;
pub(crate) mod port;
pub(crate) mod resolve;
