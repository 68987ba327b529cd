//! What the words after a command are: options, each once, before or after the others.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use super::help::meant;
use super::{Exit, complain_of};

/// Where the daemon's configuration is unless somebody says otherwise.
pub(super) const CONFIG: &str = "/etc/failover/failover.conf";

/// The words of one command.
pub(super) struct Words<'a> {
    command: &'a str,
    usage: &'a str,
    options: Vec<(&'a str, &'a str)>,
    /// The others, in order.
    pub(super) rest: Vec<&'a str>,
}

impl<'a> Words<'a> {
    /// Reads options from `known`, wherever they stand. They take one word each, except for those
    /// with two dashes. After the first word that is none, other words may begin with a dash: a
    /// reason may.
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
            rest: Vec::new(),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let is_known = known.contains(&word.as_str());
            let is_other = !word.starts_with('-') || word == "-" || !read.rest.is_empty();
            if is_other && !is_known {
                read.rest.push(word);
                continue;
            }
            if !is_known {
                let meant = meant(word, known);
                return Err(read.wrong_as(format!("unknown option {word:?}{meant}")));
            }
            if read.option(word).is_some() {
                return Err(read.wrong_as(format!("option {word:?} stands twice")));
            }
            let mut value = "";
            if !word.starts_with("--") {
                let Some(next) = words.next() else {
                    return Err(read.wrong_as(format!("option {word:?} is followed by nothing")));
                };
                value = next;
            }
            read.options.push((word, value));
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
            Some(word) => Err(self.wrong_as(format!("unexpected {word:?}"))),
            None => Ok(()),
        }
    }

    /// Says what is wrong, and how it is used.
    pub(super) fn wrong(&self, what: &str) -> Exit {
        complain_of(format!(
            "failover: {}: {what}\n{}",
            self.command, self.usage
        ));
        Exit::Usage
    }

    /// The same with a text that ends here, and not in every caller.
    pub(super) fn wrong_as(&self, what: String) -> Exit {
        let exit = self.wrong(&what);
        drop(what);
        exit
    }
}
