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
mod threads;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by those tests that have hundreds of connections, both ends of which are in this process:
/// together they would have more than the thousand descriptors that many a system allows.
fn crowd() -> MutexGuard<'static, ()> {
    static CROWD: Mutex<()> = Mutex::new(());
    CROWD.lock().unwrap_or_else(PoisonError::into_inner)
}
