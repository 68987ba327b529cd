//! JSON (RFC 8259): a value looked up in a text, and texts written. What the values mean is not
//! known here.
#![forbid(unsafe_code)]

mod read;
mod write;

pub(crate) use read::{Found, Value, find};
pub(crate) use write::plain;
// For the server's answers in JSON; checks only read.
#[allow(unused_imports)]
pub(crate) use write::{Writer, write_string};
