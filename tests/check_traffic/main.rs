//! Passive checks on real traffic: HAProxy's counters over real sockets, and log files that are
//! rotated, cut, flooded and broken. Time is a manual clock's.

#[path = "../support/mod.rs"]
mod support;

mod access_log;
mod haproxy;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use failover::{Check, Health, Outcome};

/// A directory of its own for one test, removed at its end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // Short, because the name of a Unix socket in it may have a hundred bytes at most.
        let name = format!("failover-{}-{count}-traffic", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn words(outcome: &Outcome) -> (Health, &'static str) {
    (outcome.health, outcome.reason.words())
}

#[track_caller]
pub(crate) fn assert_outcome(check: &mut dyn Check, health: Health, reason: &str, detail: &str) {
    let outcome = check.check();
    assert_eq!(words(&outcome), (health, reason), "{outcome}");
    assert!(outcome.detail.contains(detail), "{outcome}");
}

pub(crate) const TOO_LITTLE: (Health, &str) = (Health::Unknown, "traffic too little");
