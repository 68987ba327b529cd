//! The table of keywords: where each may stand, its form, default, reason and example.
//!
//! Parser, suggestions, `failover help` and the README's reference come from it; a keyword that is
//! not here does not exist.
#![forbid(unsafe_code)]

mod checks;
mod components;
#[cfg(test)]
mod readme;
mod server;

use crate::text::joined;

/// Where a keyword may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At the beginning of a line: it opens a block.
    Block,
    /// In `server`.
    Server,
    /// In a component, once: what is asked.
    Kind,
    /// In a component or in `defaults`: judging, describing, telling.
    Component,
    /// In a component of the right kind, in `defaults`, and in `failover probe`.
    Check,
}

/// What follows a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Nothing.
    Alone,
    /// So many words.
    Words(usize),
    /// Nothing, or so many words.
    Optional(usize),
    /// One word, or three with `of` in the middle.
    Threshold,
    /// So many words or more, up to the end of the line.
    List(usize),
}

/// One keyword.
#[derive(Debug)]
pub(crate) struct Keyword {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) form: Form,
    /// How its arguments are written, for people.
    pub(crate) arguments: &'static str,
    /// The kinds of checks that it is for; none means all.
    pub(crate) kinds: &'static [&'static str],
    /// Whether it may stand more than once in a block.
    pub(crate) repeats: bool,
    /// The default, or an empty text where there is none.
    pub(crate) default: &'static str,
    /// What it does, and why the default is what it is.
    pub(crate) about: &'static str,
    /// One line of a configuration.
    pub(crate) example: &'static str,
}

impl Keyword {
    const fn new(
        place: Place,
        name: &'static str,
        form: Form,
        arguments: &'static str,
        about: &'static str,
        example: &'static str,
    ) -> Keyword {
        Keyword {
            name,
            place,
            form,
            arguments,
            kinds: &[],
            repeats: false,
            default: "",
            about,
            example,
        }
    }

    const fn default(mut self, default: &'static str) -> Keyword {
        self.default = default;
        self
    }

    const fn of(mut self, kinds: &'static [&'static str]) -> Keyword {
        self.kinds = kinds;
        self
    }

    const fn repeats(mut self) -> Keyword {
        self.repeats = true;
        self
    }

    /// Whether it may stand in a component of that kind.
    pub(crate) fn is_for(&self, kind: &str) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }

    /// The kinds that it is for, or those that it is not for, whichever are fewer; empty for all.
    pub(crate) fn kinds_in_words(&self) -> String {
        let kinds = keywords().filter(|keyword| keyword.place == Place::Kind);
        let others = kinds.filter(|kind| !self.is_for(kind.name));
        let others: Vec<&str> = others.map(|kind| kind.name).collect();
        if others.len() < self.kinds.len() {
            format!("all but {}", joined(others, " "))
        } else {
            joined(self.kinds, " ")
        }
    }

    /// Which of the words that follow is a path that may be relative: to the folder of the file
    /// that it stands in. All other paths are absolute.
    pub(crate) fn relative_path(&self) -> Option<usize> {
        match self.name {
            "include" | "admin-socket" | "state-dir" | "password-file" => Some(0),
            "admin" | "heartbeat" | "manual-reset" => Some(1),
            _ => None,
        }
    }

    /// Whether so many words may follow it.
    pub(crate) fn takes(&self, words: usize) -> bool {
        match self.form {
            Form::Alone => words == 0,
            Form::Words(count) => words == count,
            Form::Optional(count) => words == 0 || words == count,
            Form::Threshold => words == 1 || words == 3,
            Form::List(least) => words >= least,
        }
    }
}

/// Components that are made of other components.
pub(crate) const COMPOSITES: &[&str] = &["all-of", "any-of", "majority", "at-least", "not"];

/// Every keyword, in the order of the manual.
pub(crate) fn keywords() -> std::vec::IntoIter<&'static Keyword> {
    let mut keywords = Vec::new();
    keywords.extend(server::KEYWORDS);
    keywords.extend(checks::KINDS);
    keywords.extend(checks::SETTINGS);
    keywords.extend(components::KEYWORDS);
    keywords.into_iter()
}

/// The names of all keywords that may stand in one of these places.
pub(crate) fn names(places: &[Place]) -> Vec<&'static str> {
    let mut names = Vec::new();
    for keyword in keywords() {
        if places.contains(&keyword.place) {
            names.push(keyword.name);
        }
    }
    names
}

/// The keyword of that name that may stand in one of these places.
pub(crate) fn find(name: &str, places: &[Place]) -> Option<&'static Keyword> {
    keywords().find(|keyword| keyword.name == name && places.contains(&keyword.place))
}

/// What HAProxy, keepalived and others call it, and what it is called here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("--config", "-c"),
    ("--socket", "-s"),
    ("bind", "listen"),
    ("check", "check-config"),
    ("fall", "fail-after"),
    ("inter", "every"),
    ("interval", "every"),
    ("misc_path", "exec"),
    ("nb_get_retry", "fail-after"),
    ("retry", "fail-after"),
    ("rise", "ok-after"),
    ("script", "exec"),
    ("upstream", "component"),
    ("url", "http"),
    ("vrrp_script", "component"),
];

/// Which of these a word most likely means: misspelt, or another program's word for it.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    let elsewhere = ELSEWHERE.iter().find(|(theirs, _)| *theirs == word);
    if let Some((_, ours)) = elsewhere.filter(|(_, ours)| known.contains(ours)) {
        return Some(ours);
    }
    let edits_max = 1 + word.len() / 5;
    // Every letter more or less is an edit.
    let near = known.iter();
    let near = near.filter(|name| name.len().abs_diff(word.len()) <= edits_max);
    let (edits, name) = near.map(|name| (edits(&word, name), *name)).min()?;
    // Of two letters one is no more than chance.
    (edits <= edits_max && edits * 2 < word.len()).then_some(name)
}

/// Words beyond this are not misspelt keywords.
const WORD_LEN_MAX: usize = 40;

/// Insertions, deletions, changes and swaps of letters that make one word of the other.
fn edits(from: &str, to: &str) -> usize {
    if from.len() > WORD_LEN_MAX {
        return from.len();
    }
    let (from, to) = (from.as_bytes(), to.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let change = row[j] + usize::from(a != b);
            let mut least = change.min(next[j] + 1).min(row[j + 1] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && *b == from[i - 1] {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn misspelt_words_find_their_keyword() {
        for (word, meant) in [
            ("tmeout", Some("timeout")),
            ("fail_after", Some("fail-after")),
            ("htpt", Some("http")),
            ("TCP", Some("tcp")),
            ("rise", Some("ok-after")),
            ("fall", Some("fail-after")),
            ("banana", None),
            ("x", None),
            ("no", None),
        ] {
            let names: Vec<_> = keywords().map(|keyword| keyword.name).collect();
            assert_eq!(nearest(word, &names), meant, "{word}");
        }
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("abcd", "bacd"), 1);
    }

    #[test]
    fn every_keyword_is_whole_and_its_example_uses_it() {
        for keyword in keywords() {
            let name = keyword.name;
            assert!(keyword.example.starts_with(name), "{name}");
            assert!(
                keyword.about.ends_with(|c: char| ".)".contains(c)),
                "{name}"
            );
            assert_eq!(
                keyword.arguments.is_empty(),
                keyword.form == Form::Alone,
                "{name}"
            );
            let known = |kind: &&str| find(kind, &[Place::Kind]).is_some();
            assert!(keyword.kinds.iter().all(known), "{name}");
            let lines = keyword.about.lines().chain([keyword.example]);
            for line in lines {
                assert!(line.chars().count() <= 89, "{name}: {line}");
            }
        }
    }

    #[test]
    fn every_path_is_relative_to_its_file_or_has_to_be_absolute() {
        // Those refuse what is relative.
        let absolute = ["file", "process", "exec", "haproxy-traffic", "access-log"];
        for keyword in keywords() {
            let names = ["FILE", "PATH", "DIRECTORY", "SOCKET", "PROGRAM"];
            let has_path = names.iter().any(|name| keyword.arguments.contains(name));
            let is_relative = keyword.relative_path().is_some();
            let is_absolute = absolute.contains(&keyword.name) || keyword.name == "track-file";
            assert_eq!(has_path, is_relative || is_absolute, "{}", keyword.name);
        }
    }

    #[test]
    fn a_name_is_one_keyword_wherever_it_may_stand() {
        let names: Vec<_> = keywords().map(|keyword| keyword.name).collect();
        for (index, name) in names.iter().enumerate() {
            let again = names[..index].iter().filter(|before| *before == name);
            // `server` opens a block, and names the server that a dns check asks; `failover` is a
            // block only.
            assert_eq!(
                again.count(),
                usize::from(*name == "server" && index > 9),
                "{name}"
            );
        }
    }
}
