//! What the words after a command are: options first, each once, then the rest.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use super::{Exit, complain};

/// Where the daemon's configuration is unless somebody says otherwise.
pub(super) const CONFIG: &str = "/etc/failover/failover.conf";

/// The words of one command.
pub(super) struct Words<'a> {
    command: &'a str,
    usage: &'a str,
    options: Vec<(&'a str, &'a str)>,
    pub(super) rest: &'a [String],
}

impl<'a> Words<'a> {
    /// Reads options from `known`, up to the first word that is none. They take one word each,
    /// except for those with two dashes.
    ///
    /// # Errors
    /// An unknown option, one that stands twice, one without its word; it has been said.
    pub(super) fn read(
        command: &'a str,
        usage: &'a str,
        known: &[&str],
        words: &'a [String],
    ) -> Result<Words<'a>, Exit> {
        let mut read = Words {
            command,
            usage,
            options: Vec::new(),
            rest: words,
        };
        while let Some((option, rest)) = read.rest.split_first() {
            if !option.starts_with('-') || option == "-" {
                break;
            }
            if !known.contains(&option.as_str()) {
                return Err(read.wrong(&format!("unknown option {option:?}")));
            }
            if read.option(option).is_some() {
                return Err(read.wrong(&format!("option {option:?} stands twice")));
            }
            if option.starts_with("--") {
                read.options.push((option, ""));
                read.rest = rest;
                continue;
            }
            let Some((value, rest)) = rest.split_first() else {
                return Err(read.wrong(&format!("option {option:?} is followed by nothing")));
            };
            read.options.push((option, value));
            read.rest = rest;
        }
        Ok(read)
    }

    pub(super) fn option(&self, name: &str) -> Option<&'a str> {
        let mut options = self.options.iter();
        let found = options.find(|(option, _)| *option == name);
        found.map(|(_, value)| *value)
    }

    /// The file that `-c` names.
    pub(super) fn config(&self) -> PathBuf {
        PathBuf::from(self.option("-c").unwrap_or(CONFIG))
    }

    /// # Errors
    /// There are words left; it has been said.
    pub(super) fn no_more(&self) -> Result<(), Exit> {
        match self.rest.first() {
            Some(word) => Err(self.wrong(&format!("unexpected {word:?}"))),
            None => Ok(()),
        }
    }

    /// Says what is wrong, and how it is used.
    pub(super) fn wrong(&self, what: &str) -> Exit {
        complain(&format!(
            "failover: {}: {what}\n{}",
            self.command, self.usage
        ));
        Exit::Usage
    }
}
