//! Clients: whole conversations in one protocol each, one file for each.
//!
//! A conversation says what it has to, reads what is answered, and hands that back; what it means
//! for anybody's health is decided elsewhere. Nothing is read without a limit, and all of it is
//! before the one deadline of the [`Conversation`](crate::net::conversation::Conversation). The
//! bytes are made and read by `wire`, moved by `net`.
#![forbid(unsafe_code)]

pub(crate) mod admin;
pub(crate) mod dns;
pub(crate) mod haproxy;
pub(crate) mod http;
pub(crate) mod postgres;
pub(crate) mod smtp;
pub(crate) mod tls;
