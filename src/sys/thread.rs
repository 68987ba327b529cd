//! Threads with a name and a stack that fits.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Whose code runs on the thread, and so how much stack it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stack {
    /// Ours: 64 KiB, 2.6 times what the deepest of it was measured to need (a panic with a
    /// backtrace, or getaddrinfo). In debug builds 256 KiB, since their frames are larger.
    Ours,
    /// A library user's closure: 256 KiB. Only pages that are touched count as memory.
    Users,
}

/// Starts a thread.
///
/// # Errors
/// The system has no thread or no memory for one.
pub(crate) fn spawn(
    name: &str,
    stack: Stack,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    start(name, stack, Box::new(run))
}

/// One start for all, since the standard library's is long and would be there for each closure.
fn start(name: &str, stack: Stack, run: Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>> {
    let kib = match stack {
        Stack::Ours if !cfg!(debug_assertions) => 64,
        Stack::Ours | Stack::Users => 256,
    };
    Builder::new()
        .name(name.to_string())
        .stack_size(kib * 1024)
        .spawn(run)
}
