//! What a child says on its standard error, read as it comes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::process::ChildStderr;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::PATIENCE;

/// What a child says, line by line.
pub(super) struct Lines {
    coming: Receiver<String>,
    /// Those that come again, before the others.
    before: RefCell<VecDeque<String>>,
    passed: RefCell<VecDeque<String>>,
}

impl Lines {
    pub(super) fn of(stderr: ChildStderr) -> Lines {
        let (sender, coming) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Lines {
            coming,
            before: RefCell::default(),
            passed: RefCell::default(),
        }
    }

    /// The next line that has one of these in it.
    #[track_caller]
    pub(super) fn one_with(&self, texts: &[&str]) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let before = self.before.borrow_mut().pop_front();
            let left = until.saturating_duration_since(Instant::now());
            let line = before.map_or_else(|| self.coming.recv_timeout(left), Ok);
            match line {
                Ok(line) if texts.iter().any(|text| line.contains(text)) => return line,
                Ok(line) => self.passed.borrow_mut().push_back(line),
                Err(error) => panic!("no line with {texts:?}: {error}"),
            }
        }
    }

    /// Has what was passed over come again.
    pub(super) fn back(&self) {
        self.before
            .borrow_mut()
            .append(&mut self.passed.borrow_mut());
    }

    /// Shows all that is there, to whoever looks for what went wrong.
    pub(super) fn print(&self) {
        self.back();
        for line in self.before.take() {
            println!("{line}");
        }
        // Who was started by the child may have its standard error still.
        while let Ok(line) = self.coming.recv_timeout(Duration::from_secs(1)) {
            println!("{line}");
        }
    }
}
