//! The server as its clients see it, on real sockets, through the library.

mod admin;
mod agent;
mod answers;
mod background;
mod clients;
mod descriptors;
mod life;
mod listeners;
mod posts;
mod reports;
mod requests;
mod runs;
#[path = "../support/mod.rs"]
mod support;
