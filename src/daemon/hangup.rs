//! Reloads that a signal asks for, on a thread of their own: a configuration on a file server that
//! is gone may take for ever to read, and the signal that ends the daemon is to be heard meanwhile.
#![forbid(unsafe_code)]

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex};

use super::{Daemon, tell_of};
use crate::clock::locked;
use crate::log::Level;
use crate::sys::notify::Notifier;
use crate::sys::thread::{self, Stack};

/// How reloads are doing.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Doing {
    #[default]
    Nothing,
    Reloading,
    /// And asked for once more, by somebody whose change the first may not have read.
    Again,
}

#[derive(Clone)]
pub(super) struct Hangups {
    daemon: Arc<Daemon>,
    manager: Arc<Notifier>,
    doing: Arc<Mutex<Doing>>,
}

impl Hangups {
    pub(super) fn new(daemon: Arc<Daemon>, manager: Arc<Notifier>) -> Hangups {
        Hangups {
            daemon,
            manager,
            doing: Arc::default(),
        }
    }

    /// Has the configuration read once more.
    pub(super) fn reload(&self) {
        let mut doing = locked(&self.doing);
        if *doing != Doing::Nothing {
            *doing = Doing::Again;
            return;
        }
        let reloading = self.clone();
        match thread::spawn("reload", Stack::Users, move || reloading.work()) {
            Ok(_) => *doing = Doing::Reloading,
            Err(error) => self.daemon.log.line(
                Level::Error,
                format_args!("no thread for a reload could be started: {error}"),
            ),
        }
    }

    fn work(&self) {
        loop {
            self.reload_once();
            let mut doing = locked(&self.doing);
            if *doing != Doing::Again {
                *doing = Doing::Nothing;
                return;
            }
            *doing = Doing::Reloading;
        }
    }

    fn reload_once(&self) {
        let log = &self.daemon.log;
        tell_of(log, self.manager.reloading());
        // However long another takes, this one was asked for by somebody who waits for no answer.
        let mut in_force = locked(&self.daemon.in_force);
        // A panic is in the log; the next reload is to be one.
        let taken =
            panic::catch_unwind(AssertUnwindSafe(|| self.daemon.reload_from(&mut in_force)));
        drop(in_force);
        let status = match taken {
            Ok(Ok(generation)) => format!("answering, generation {generation}"),
            _ => String::from("answering, a new configuration was refused"),
        };
        tell_of(log, self.manager.ready(&status));
    }
}
