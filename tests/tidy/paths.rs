//! The paths that a file's code uses, with the groups of `use` written out.

use crate::source::Source;

/// `crate::a::b`, wherever it stands; `use crate::{a, b::c}` is two of them.
#[derive(Debug)]
pub(crate) struct UsedPath {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
    /// The modules of the same file around it, outermost first.
    pub(crate) inside: Vec<String>,
}

impl UsedPath {
    /// Whether these segments follow each other somewhere in the path.
    pub(crate) fn has(&self, words: &[&str]) -> bool {
        self.segments
            .windows(words.len())
            .any(|segments| segments == words)
    }
}

/// Every path of two segments or more.
pub(crate) fn paths(source: &Source) -> Vec<UsedPath> {
    let mut found = Vec::new();
    // The modules around the token at hand, each with the depth of braces at which it ends.
    let mut modules: Vec<(String, usize)> = Vec::new();
    let mut depth = 0usize;
    let mut at = 0;
    while at < source.tokens.len() {
        match source.word(at) {
            "mod" if source.word(at + 2) == "{" => {
                modules.push((source.word(at + 1).to_string(), depth));
                at += 2;
                continue;
            }
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                modules.retain(|(_, ends)| *ends < depth);
            }
            _ if starts_path(source, at) => {
                let mut reader = Reader {
                    source,
                    at,
                    found: Vec::new(),
                };
                reader.tree(&[]);
                at = reader.at;
                let inside: Vec<String> = modules.iter().map(|(name, _)| name.clone()).collect();
                let long = reader
                    .found
                    .into_iter()
                    .filter(|(segments, _)| segments.len() > 1);
                found.extend(long.map(|(segments, line)| UsedPath {
                    segments,
                    line,
                    inside: inside.clone(),
                }));
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

fn is_name(word: &str) -> bool {
    word.starts_with(|char: char| char.is_alphabetic() || char == '_')
}

/// A name that does not continue a path: `b` of `a::b` and of `a::<T>::b` does.
fn starts_path(source: &Source, at: usize) -> bool {
    let continues = at > 1
        && source.word(at - 1) == "::"
        && (is_name(source.word(at - 2)) || source.word(at - 2) == ">");
    is_name(source.word(at)) && !continues
}

struct Reader<'a> {
    source: &'a Source,
    at: usize,
    found: Vec<(Vec<String>, usize)>,
}

impl Reader<'_> {
    /// `a::b`, `a::*`, `a::{..}`; what precedes them is `prefix`. Always moves on.
    fn tree(&mut self, prefix: &[String]) {
        let line = self.source.tokens[self.at].line;
        let mut segments = prefix.to_vec();
        loop {
            match self.source.word(self.at) {
                "{" => return self.group(&segments),
                word if is_name(word) || word == "*" => segments.push(word.to_string()),
                _ => {
                    self.at += 1;
                    break;
                }
            }
            self.at += 1;
            let next = self.source.word(self.at + 1);
            let goes_on = is_name(next) || next == "*" || next == "{";
            if self.source.word(self.at) != "::" || !goes_on {
                break;
            }
            self.at += 1;
        }
        self.found.push((segments, line));
    }

    fn group(&mut self, prefix: &[String]) {
        let end = self.source.closing(self.at);
        self.at += 1;
        while self.at < end {
            match self.source.word(self.at) {
                "," => self.at += 1,
                "as" => self.at += 2,
                _ => self.tree(prefix),
            }
        }
        self.at = end + 1;
    }
}

#[test]
fn groups_are_written_out() {
    let text =
        "use crate::{a, b::{self, c as d}, e::*};\nfn f(x: &crate::g::H) { crate::i::<T>::j(x) }";
    let found = paths(&Source::new("src/x.rs", text));
    let found: Vec<String> = found.iter().map(|path| path.segments.join("::")).collect();
    assert_eq!(
        found,
        [
            "crate::a",
            "crate::b::self",
            "crate::b::c",
            "crate::e::*",
            "crate::g::H",
            "crate::i"
        ]
    );
}

#[test]
fn the_modules_around_a_path_are_known() {
    let text = "a::b();\nmod m { mod n { a::b(); } a::b(); }\na::b();";
    let found = paths(&Source::new("src/x.rs", text));
    let inside: Vec<String> = found.iter().map(|path| path.inside.join("/")).collect();
    assert_eq!(inside, ["", "m/n", "m", ""]);
}
