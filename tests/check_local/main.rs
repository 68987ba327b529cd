//! Checks of this machine, with real programs, files and processes.

mod exec;
mod file;
mod place;
mod process;
#[path = "../support/mod.rs"]
mod support;
