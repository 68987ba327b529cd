//! Configuration: the keywords, the files, and what is planned by them.
//!
//! A line that starts in column 1 opens a block, indented lines are its settings. [`schema`] is the
//! one table of keywords; the parser, the suggestions, the manual in the binary and its tests come
//! from it. Reading goes on after an error, so that all are told in one run, each with its place.
//!
//! ```text
//! files -> lex: words -> blocks: keywords in their places -> component, server: values
//!       -> cross: what is wrong with the whole -> Plan
//! ```
//!
//! Nothing here listens, probes or starts a thread: a plan can be thrown away. [`checks`] is the
//! only place that names concrete kinds. Defaults are those of the rooms, or stand in the table.
#![forbid(unsafe_code)]

mod blocks;
pub(crate) mod build;
mod checks;
pub(crate) mod component;
mod cross;
mod defaults;
mod lex;
pub(crate) mod names;
pub(crate) mod plan;
pub(crate) mod problem;
pub(crate) mod schema;
mod section;
pub(crate) mod server;
