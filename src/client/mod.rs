//! Clients: whole conversations in one protocol each, over a connection that is given to them.
//!
//! They say what to a peer and in which order, and hand back what it answered; what that means for
//! anybody's health is decided elsewhere. The bytes are made and read by `wire`, moved by `net`.
#![forbid(unsafe_code)]

pub(crate) mod dns;
pub(crate) mod smtp;
pub(crate) mod tls;
