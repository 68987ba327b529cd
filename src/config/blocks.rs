//! From files to blocks: includes are read, keywords are known to exist, to be allowed where they
//! stand and to have what has to follow them.
#![forbid(unsafe_code)]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::lex::{self, Line, Word};
use super::problem::{At, Problems, Sources};
use super::schema::{self, Form, Keyword, Place};
use crate::order;

/// A keyword and what follows it.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) keyword: &'static Keyword,
    pub(crate) at: At,
    pub(crate) words: Vec<Word>,
}

impl Setting {
    /// What follows, with a blank between the words.
    pub(crate) fn text(&self) -> String {
        let words: Vec<&str> = self.words.iter().map(|word| word.text.as_str()).collect();
        words.join(" ")
    }

    /// The place of what follows, or of the keyword where nothing does.
    pub(crate) fn value_at(&self) -> At {
        self.words.first().map_or(self.at, |word| word.at)
    }

    /// Whether it says the same, wherever it stands.
    pub(crate) fn says_as(&self, other: &Setting) -> bool {
        let bytes = |setting: &Setting| -> Vec<Vec<u8>> {
            setting
                .words
                .iter()
                .map(|word| word.bytes.clone())
                .collect()
        };
        self.keyword.name == other.keyword.name && bytes(self) == bytes(other)
    }
}

/// A block with its settings.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) keyword: &'static Keyword,
    pub(crate) at: At,
    /// What the block is of, for blocks that have a name.
    pub(crate) name: Option<Word>,
    pub(crate) settings: Vec<Setting>,
}

/// No configuration written by people is longer than this.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Files that include files that include files; more than a few is a circle.
const INCLUDE_DEPTH_MAX: usize = 8;

/// Files in all.
const FILES_MAX: usize = 1_000;

/// Reads a file and all that it includes.
pub(crate) fn read(path: &Path, sources: &mut Sources, problems: &Problems) -> Vec<Block> {
    let mut reader = Reader {
        sources,
        problems,
        blocks: Vec::new(),
        is_open: false,
    };
    reader.file(path, 0, None);
    reader.blocks
}

/// Reads a text that came from elsewhere than a file, under that name.
pub(crate) fn read_text(
    name: &str,
    text: &str,
    sources: &mut Sources,
    problems: &Problems,
) -> Vec<Block> {
    let mut reader = Reader {
        sources,
        problems,
        blocks: Vec::new(),
        is_open: false,
    };
    reader.text(Path::new(name), text, 0);
    reader.blocks
}

struct Reader<'a> {
    sources: &'a mut Sources,
    problems: &'a Problems,
    blocks: Vec<Block>,
    /// Whether what is indented belongs to the last block; not across files.
    is_open: bool,
}

impl Reader<'_> {
    /// `from` is where it is included.
    fn file(&mut self, path: &Path, depth: usize, from: Option<At>) {
        let name = path.display().to_string();
        let opened = fs::File::open(path).map_err(|error| format!("cannot be opened: {error}"));
        let text = match opened.and_then(text_of) {
            Ok(text) => text,
            Err(why) => {
                let at = from.unwrap_or_else(|| At::start_of(self.sources.keep(&name, "")));
                self.problems.error(at, format!("{name:?} {why}"));
                return;
            }
        };
        self.text(path, &text, depth);
    }

    fn text(&mut self, path: &Path, text: &str, depth: usize) {
        let file = self.sources.keep(&path.display().to_string(), text);
        self.is_open = false;
        for line in lex::lines(file, text, self.problems) {
            if line.is_indented {
                self.setting(&line);
            } else {
                self.is_open = true;
                self.block(&line, path, depth);
            }
        }
        self.is_open = false;
    }

    fn block(&mut self, line: &Line, path: &Path, depth: usize) {
        let [first, rest @ ..] = line.words.as_slice() else {
            return;
        };
        let Some(keyword) = schema::find(&first.text, &[Place::Block]) else {
            self.problems.error(first.at, no_block(&first.text));
            // What belongs to it is not to be taken for the block before.
            self.blocks.push(unknown_block(first));
            return;
        };
        if !keyword.takes(rest.len()) {
            self.problems.error(first.at, incomplete(keyword, rest));
        }
        match (keyword.name, rest.first()) {
            ("include", Some(pattern)) => self.include(pattern, path, depth),
            ("include", None) => {}
            (_, name) => self.blocks.push(Block {
                keyword,
                at: first.at,
                name: name.cloned(),
                settings: Vec::new(),
            }),
        }
    }

    fn setting(&mut self, line: &Line) {
        let [first, rest @ ..] = line.words.as_slice() else {
            return;
        };
        let Some(block) = self.blocks.last_mut().filter(|_| self.is_open) else {
            let message = format!(
                "{:?} belongs to no block; expected a line such as 'component NAME' before it, \
                 without blanks in front",
                first.text
            );
            self.problems.error(first.at, message);
            return;
        };
        let Some(places) = places_of(block.keyword.name) else {
            return;
        };
        let Some(keyword) = schema::find(&first.text, places) else {
            let message = no_setting(&first.text, block.keyword.name, places);
            self.problems.error(first.at, message);
            return;
        };
        if !keyword.takes(rest.len()) {
            self.problems.error(first.at, incomplete(keyword, rest));
            return;
        }
        let mut before = block.settings.iter();
        let before = before.find(|before| before.keyword.name == keyword.name);
        if let (Some(before), false) = (before, keyword.repeats) {
            let (line, name) = (before.at.line, keyword.name);
            let message = format!("{name:?} stands in line {line} already; expected it once");
            self.problems.error(first.at, message);
            return;
        }
        block.settings.push(Setting {
            keyword,
            at: first.at,
            words: rest.to_vec(),
        });
    }

    fn include(&mut self, pattern: &Word, from: &Path, depth: usize) {
        if depth + 1 >= INCLUDE_DEPTH_MAX || self.sources.len() >= FILES_MAX {
            let message = format!(
                "{:?} is included too deeply; expected at most {INCLUDE_DEPTH_MAX} files in a \
                 chain, and {FILES_MAX} in all",
                pattern.text
            );
            self.problems.error(pattern.at, message);
            return;
        }
        let path = from.parent().unwrap_or(Path::new("")).join(&pattern.text);
        match matching(&path) {
            Ok(files) => {
                for file in files {
                    self.file(&file, depth + 1, Some(pattern.at));
                }
            }
            Err(why) => self.problems.error(
                pattern.at,
                format!("{:?} {why}", path.display().to_string()),
            ),
        }
    }
}

/// Where the settings of a block have their keywords; `None` for a block that is none.
fn places_of(block: &str) -> Option<&'static [Place]> {
    match block {
        "server" => Some(&[Place::Server]),
        "defaults" => Some(&[Place::Component, Place::Check]),
        "component" => Some(&[Place::Kind, Place::Component, Place::Check]),
        "contact" | "action" | "failover" => Some(&[]),
        _ => None,
    }
}

/// Stands for a block whose keyword does not exist.
fn unknown_block(word: &Word) -> Block {
    static UNKNOWN: Keyword = Keyword {
        name: "",
        place: Place::Block,
        form: Form::Alone,
        arguments: "",
        kinds: &[],
        repeats: false,
        default: "",
        about: "",
        example: "",
    };
    Block {
        keyword: &UNKNOWN,
        at: word.at,
        name: None,
        settings: Vec::new(),
    }
}

/// The text of a configuration, or why there is none.
pub(super) fn text_of(source: impl Read) -> Result<String, String> {
    let mut bytes = Vec::new();
    let taken = source.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    taken.map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!(
            "has more than {FILE_BYTES_MAX} bytes; expected a configuration"
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("is not UTF-8 text in line {line}; expected it to be")
    })
}

/// The files that a path means, in the order of their names; `*` in its last part stands for
/// anything, and then there may be none.
fn matching(path: &Path) -> Result<Vec<PathBuf>, String> {
    let pattern = path.file_name().unwrap_or_default().to_string_lossy();
    let Some((before, after)) = pattern.split_once('*') else {
        return Ok(vec![path.to_path_buf()]);
    };
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => Path::new("."),
    };
    let entries = fs::read_dir(folder).map_err(|error| format!("cannot be listed: {error}"))?;
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| format!("cannot be listed: {error}"))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let fits = name.len() >= before.len() + after.len();
        // A file that begins with a dot is an editor's or a package manager's.
        if fits && name.starts_with(before) && name.ends_with(after) && !name.starts_with('.') {
            files.push(entry.path());
        }
    }
    order::sort(&mut files, Ord::cmp);
    Ok(files)
}

/// Reads settings that follow each other, as on a command line: `tcp 192.0.2.1:25 timeout 2s`. A
/// keyword that takes any number of words takes all up to the next keyword; `exec` takes the rest.
pub(crate) fn flat(words: &[Word], problems: &Problems) -> Vec<Setting> {
    let places = [Place::Kind, Place::Check];
    let mut settings = Vec::new();
    let mut left = words;
    while let Some((word, rest)) = left.split_first() {
        let Some(keyword) = schema::find(&word.text, &places) else {
            problems.error(word.at, no_setting(&word.text, "a probe", &places));
            return settings;
        };
        let is_keyword = |word: &Word| schema::find(&word.text, &places).is_some();
        let len = match keyword.form {
            Form::Alone => 0,
            Form::Words(count) => count.min(rest.len()),
            Form::Optional(_) | Form::Threshold => 0,
            Form::List(_) if keyword.name == "exec" => rest.len(),
            Form::List(_) => rest.iter().position(is_keyword).unwrap_or(rest.len()),
        };
        let (taken, others) = rest.split_at(len);
        if !keyword.takes(len) {
            problems.error(word.at, incomplete(keyword, taken));
        } else {
            settings.push(Setting {
                keyword,
                at: word.at,
                words: taken.to_vec(),
            });
        }
        left = others;
    }
    settings
}

fn no_block(word: &str) -> String {
    let blocks = || schema::keywords().filter(|keyword| keyword.place == Place::Block);
    match schema::nearest(word, blocks().map(|keyword| keyword.name)) {
        Some(meant) => format!("{word:?} opens no block; did you mean {meant:?}?"),
        None if schema::keywords().any(|keyword| keyword.name == word) => format!(
            "{word:?} opens no block; expected blanks in front of a setting, or one of {}",
            names(blocks())
        ),
        None => format!(
            "{word:?} opens no block; expected one of {}",
            names(blocks())
        ),
    }
}

fn names<'a>(keywords: impl Iterator<Item = &'a Keyword>) -> String {
    let names: Vec<&str> = keywords.map(|keyword| keyword.name).collect();
    names.join(", ")
}

fn no_setting(word: &str, block: &str, places: &[Place]) -> String {
    if let Some(keyword) = schema::keywords().find(|keyword| keyword.name == word) {
        let place = match keyword.place {
            Place::Block => "at the beginning of a line",
            Place::Server => "in \"server\"",
            Place::Kind => "in \"component\"",
            Place::Component | Place::Check => "in \"component\" or \"defaults\"",
        };
        return format!("{word:?} has no place in {block:?}; expected it {place}");
    }
    let here = schema::keywords().filter(|keyword| places.contains(&keyword.place));
    match schema::nearest(word, here.map(|keyword| keyword.name)) {
        Some(meant) => format!("{word:?} is no keyword; did you mean {meant:?}?"),
        None if places.is_empty() => {
            format!("{word:?} is no keyword; this version has no settings for {block:?}")
        }
        None => format!("{word:?} is no keyword; 'failover help' lists them"),
    }
}

fn incomplete(keyword: &Keyword, found: &[Word]) -> String {
    let name = keyword.name;
    let words: Vec<&str> = found.iter().map(|word| word.text.as_str()).collect();
    let found = match words.as_slice() {
        [] => String::from("nothing"),
        words => format!("{:?}", words.join(" ")),
    };
    match keyword.form {
        Form::Alone => format!("{name:?} is followed by {found}; expected nothing"),
        _ => format!(
            "{name:?} is followed by {found}; expected {}, such as: {}",
            keyword.arguments, keyword.example
        ),
    }
}
