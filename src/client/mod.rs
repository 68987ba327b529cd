//! Whole conversations as a client, one file for each protocol.
//!
//! A conversation says what it has to, reads what is answered, and tells what that was. What it
//! means for somebody's health is for a check to say. Nothing is read without a limit, and all of
//! it is before the one deadline of the [`Conversation`](crate::net::conversation::Conversation).
#![forbid(unsafe_code)]

pub(crate) mod http;
