//! Whole conversations as a client, one file for each protocol.
//!
//! A conversation says what was answered; what that means for a component is not decided here.
#![forbid(unsafe_code)]

pub(crate) mod admin;
