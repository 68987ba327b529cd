//! Conversations as a client, one file for each protocol: who says what when, over the pure codecs
//! of `wire` and the bounded connections of `net`.
//!
//! A client says what happened; whether that is good or bad is for the check or the action that
//! asked.
#![forbid(unsafe_code)]

pub(crate) mod postgres;
