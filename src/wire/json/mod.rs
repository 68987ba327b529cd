//! JSON (RFC 8259): a value looked up in a text, and texts written. What the values mean is not
//! known here.
#![forbid(unsafe_code)]

mod read;
mod write;

pub(crate) use read::{Found, Value, find};
#[cfg(test)]
pub(crate) use write::tests;
pub(crate) use write::{Writer, push_decimal};
