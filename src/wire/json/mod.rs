//! JSON (RFC 8259): a value looked up in a text, and texts written. What the values mean is not
//! known here.
#![forbid(unsafe_code)]

mod read;
mod write;

pub(crate) use read::{Found, Value, find};
pub(crate) use write::{Writer, plain, push_decimal};

/// Whether a text is one JSON value and nothing else.
#[cfg(test)]
pub(crate) fn is_valid(text: &str) -> bool {
    find(text.as_bytes(), "").is_whole
}
