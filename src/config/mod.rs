//! Configuration: the keywords, and what is built from them.
//!
//! [`schema`] is the one table of keywords; the parser, the manual in the binary and its tests all
//! come from it. [`words`] reads settings written one after the other, as on a command line.
//! [`build`] is the only place that names concrete kinds of checks. Defaults are those of the
//! rooms, or stand in the table; nothing is decided while the program runs.
#![forbid(unsafe_code)]

pub(crate) mod build;
pub(crate) mod schema;
pub(crate) mod words;
