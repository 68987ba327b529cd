//! From files to blocks: includes are read, keywords are known to exist, to be allowed where they
//! stand and to have what has to follow them.
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::mem;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::lex::{self, Line, Word};
use super::problem::{At, Problems, Sources};
use super::schema::{self, Form, Keyword, Place};
use crate::order;
use crate::sys::file::take_at_most;
use crate::text::{cut_last, joined};

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
        joined(self.words.iter().map(|word| &word.text), " ")
    }

    /// The place of what follows, or of the keyword where nothing does.
    // Wherever it is called it would be three times as long as the call.
    #[inline(never)]
    pub(crate) fn value_at(&self) -> At {
        self.words.first().map_or(self.at, |word| word.at)
    }

    /// Whether it says the same, wherever it stands.
    pub(crate) fn says_as(&self, other: &Setting) -> bool {
        let same = |(one, other): (&Word, &Word)| one.bytes == other.bytes;
        self.keyword.name == other.keyword.name
            && self.words.len() == other.words.len()
            && self.words.iter().zip(&other.words).all(same)
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
    /// Whether the name could not be read, which has been told.
    pub(crate) is_broken: bool,
    /// Whether a setting could not be read, which has been told: what seems to be missing may be
    /// there.
    pub(crate) is_doubtful: bool,
}

/// No configuration written by people is longer than this.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Files that include files that include files; more than a few is a circle.
const INCLUDE_DEPTH_MAX: usize = 8;

/// Files in all.
const FILES_MAX: usize = 1_000;

/// Reads a file and all that it includes.
pub(crate) fn read(path: &Path, sources: &mut Sources, problems: &Problems) -> Vec<Block> {
    let mut reader = Reader::new(sources, problems);
    reader.file(path, 0, None);
    reader.blocks
}

/// Reads what came from elsewhere than a file, under that name.
pub(crate) fn read_bytes(
    name: &str,
    bytes: &[u8],
    sources: &mut Sources,
    problems: &Problems,
) -> Vec<Block> {
    let mut reader = Reader::new(sources, problems);
    reader.text(name, bytes, 0);
    reader.blocks
}

struct Reader<'a> {
    sources: &'a mut Sources,
    problems: &'a Problems,
    blocks: Vec<Block>,
    /// Whether what is indented belongs to the last block; not across files.
    is_open: bool,
    /// The files that were included, as the system knows them.
    files: Vec<Included>,
    /// Where relative paths of the file that is being read begin; empty for our own directory.
    folder: PathBuf,
}

/// A file that is read, or was.
struct Included {
    path: PathBuf,
    /// Where it is included.
    from: Option<At>,
    is_being_read: bool,
}

impl<'a> Reader<'a> {
    fn new(sources: &'a mut Sources, problems: &'a Problems) -> Reader<'a> {
        Reader {
            sources,
            problems,
            blocks: Vec::new(),
            is_open: false,
            files: Vec::new(),
            folder: PathBuf::new(),
        }
    }

    /// `from` is where it is included.
    fn file(&mut self, path: &Path, depth: usize, from: Option<At>) {
        let name = path.display().to_string();
        let kind = not_regular(path);
        let fit = self.not_again(path).and_then(|()| match (kind, from) {
            (Some(kind), Some(_)) => Err(format!("is {kind}; expected a regular file")),
            _ => Ok(()),
        });
        let opened = fit
            .and_then(|()| File::open(path).map_err(|error| format!("cannot be opened: {error}")));
        let bytes = opened.and_then(bytes_of);
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(why) => {
                let at = from.unwrap_or_else(|| At::start_of(self.sources.keep(&name, "")));
                self.problems.error(at, format!("{name:?} {why}"));
                return;
            }
        };
        let index = self.files.len();
        self.files.push(Included {
            path: known_as(path),
            from,
            is_being_read: true,
        });
        // What a shell hands over as /dev/fd/63 has no folder.
        let folder = path.parent().filter(|_| kind.is_none());
        let folder = folder.unwrap_or(Path::new("")).to_path_buf();
        let outer = mem::replace(&mut self.folder, folder);
        self.text(&name, &bytes, depth);
        self.folder = outer;
        self.files[index].is_being_read = false;
    }

    /// A file is read once: its components would exist twice, and a circle has no end.
    fn not_again(&self, path: &Path) -> Result<(), String> {
        let path = known_as(path);
        let Some(before) = self.files.iter().find(|file| file.path == path) else {
            return Ok(());
        };
        if before.is_being_read {
            return Err(String::from(
                "includes itself, perhaps through others; expected files that do not",
            ));
        }
        Err(match before.from {
            Some(at) => {
                let (file, line) = (self.sources.name(at.file), at.line);
                format!("is included in {file}:{line} already; expected it once")
            }
            None => String::from("is read already; expected it once"),
        })
    }

    fn text(&mut self, name: &str, bytes: &[u8], depth: usize) {
        let text = String::from_utf8_lossy(bytes);
        let file = self.sources.keep(name, &text);
        if let Some((line, column, byte)) = beyond_utf8(bytes) {
            let at = At { file, line, column };
            let message = format!("the byte 0x{byte:02x} is not UTF-8; expected UTF-8 text");
            self.problems.error(at, message);
        }
        self.is_open = false;
        for line in lex::lines(file, &text, self.problems) {
            if self.problems.is_full() {
                break;
            }
            if line.is_indented {
                self.setting(&line);
            } else {
                self.is_open = true;
                self.block(&line, depth);
            }
        }
        self.is_open = false;
    }

    fn block(&mut self, line: &Line, depth: usize) {
        let [first, rest @ ..] = line.words.as_slice() else {
            return;
        };
        let Some(keyword) = schema::find(&first.text, &[Place::Block]) else {
            if !line.is_broken {
                self.problems.error(first.at, no_block(&first.text));
            }
            // Whoever forgot the blanks meant it for the block before.
            if let Some(block) = self.blocks.last_mut() {
                block.is_doubtful = true;
            }
            // What belongs to it is not to be taken for the block before.
            self.blocks.push(unknown_block(first));
            return;
        };
        let is_whole = keyword.takes(rest.len());
        if !is_whole && !line.is_broken {
            self.problems.error(first.at, incomplete(keyword, rest));
        }
        match (keyword.name, rest.first()) {
            ("include", Some(pattern)) if is_whole => self.include(pattern, depth),
            ("include", _) => self.is_open = false,
            (_, name) => self.blocks.push(Block {
                keyword,
                at: first.at,
                name: name.cloned(),
                settings: Vec::new(),
                is_broken: line.is_broken,
                is_doubtful: false,
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
        let keyword = match schema::find(&first.text, places) {
            _ if line.is_broken => Err(None),
            None => Err(Some(no_setting(&first.text, block.keyword.name, places))),
            Some(keyword) if !keyword.takes(rest.len()) => Err(Some(incomplete(keyword, rest))),
            Some(keyword) => Ok(keyword),
        };
        let keyword = match keyword {
            Ok(keyword) => keyword,
            Err(message) => {
                block.is_doubtful = true;
                if let Some(message) = message {
                    self.problems.error(first.at, message);
                }
                return;
            }
        };
        let mut before = block.settings.iter();
        let before = before.find(|before| before.keyword.name == keyword.name);
        if let (Some(before), false) = (before, keyword.repeats) {
            let (line, name) = (before.at.line, keyword.name);
            let message = format!("{name:?} stands in line {line} already; expected it once");
            self.problems.error(first.at, message);
            return;
        }
        let mut words = rest.to_vec();
        let path = keyword.relative_path().and_then(|at| words.get_mut(at));
        if let Some(word) = path.filter(|word| !word.text.is_empty()) {
            let path = self.folder.join(&word.text);
            *word = Word::plain(&path.to_string_lossy(), word.at);
        }
        block.settings.push(Setting {
            keyword,
            at: first.at,
            words,
        });
    }

    fn include(&mut self, pattern: &Word, depth: usize) {
        if depth + 1 >= INCLUDE_DEPTH_MAX || self.sources.len() >= FILES_MAX {
            let message = format!(
                "{:?} is included too deeply; expected at most {INCLUDE_DEPTH_MAX} files in a \
                 chain, and {FILES_MAX} in all",
                pattern.text
            );
            self.problems.error(pattern.at, message);
            return;
        }
        let path = self.folder.join(&pattern.text);
        match matching(&path, &pattern.text) {
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
        is_broken: true,
        is_doubtful: true,
    }
}

/// The bytes of a configuration, or why there are none.
pub(super) fn bytes_of(file: File) -> Result<Vec<u8>, String> {
    let bytes = take_at_most(file, FILE_BYTES_MAX + 1)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!(
            "has more than {FILE_BYTES_MAX} bytes; expected a configuration"
        ));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(String::from("is UTF-16 text; expected UTF-8"));
    }
    Ok(bytes)
}

/// The first byte that is not part of UTF-8 text, with its line and column.
fn beyond_utf8(bytes: &[u8]) -> Option<(usize, usize, u8)> {
    let error = std::str::from_utf8(bytes).err()?;
    let (before, after) = bytes.split_at(error.valid_up_to());
    let text = String::from_utf8_lossy(before);
    let line = text.matches('\n').count() + 1;
    let last = cut_last(&text, b'\n').map_or(&*text, |(_, last)| last);
    let column = last.chars().count() + 1;
    Some((line, column, *after.first()?))
}

/// What it is that is no file: a pipe has whoever opens it wait, and a device may have no end.
fn not_regular(path: &Path) -> Option<&'static str> {
    // What cannot be looked at cannot be opened either, which says why.
    let kind = fs::metadata(path).ok()?.file_type();
    if kind.is_file() {
        return None;
    }
    Some(match kind {
        _ if kind.is_dir() => "a directory",
        _ if kind.is_fifo() => "a pipe",
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    })
}

/// A file by the one path that it has, however it is written.
fn known_as(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
}

/// The files that a path means, in the order of their names; one `*` in its last part stands for
/// anything, and then there may be none.
fn matching(path: &Path, written: &str) -> Result<Vec<PathBuf>, String> {
    let pattern = path.file_name().unwrap_or_default().to_string_lossy();
    let stars = written.matches('*').count();
    if stars > 1 || (stars == 1 && !pattern.contains('*')) {
        return Err(String::from(
            "cannot be searched for; expected one *, in the last part of the path",
        ));
    }
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
    order::sort(&mut files, |one, other| {
        one.as_os_str().cmp(other.as_os_str())
    });
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
            // A shell leaves escapes to us, and takes the quotes that they stood in.
            let words = match keyword.name {
                "send" | "expect" | "expect-body" | "contains" => {
                    taken.iter().map(|it| it.unescaped(problems)).collect()
                }
                _ => taken.to_vec(),
            };
            settings.push(Setting {
                keyword,
                at: word.at,
                words,
            });
        }
        left = others;
    }
    settings
}

fn no_block(word: &str) -> String {
    let blocks = schema::names(&[Place::Block]);
    match schema::nearest(word, &blocks) {
        Some(meant) => format!("{word:?} opens no block; did you mean {meant:?}?"),
        None if schema::keywords().any(|keyword| keyword.name == word) => format!(
            "{word:?} opens no block; expected blanks in front of a setting, or one of {}",
            joined(blocks, ", ")
        ),
        None => format!(
            "{word:?} opens no block; expected one of {}",
            joined(blocks, ", ")
        ),
    }
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
    match schema::nearest(word, &schema::names(places)) {
        Some(meant) => format!("{word:?} is no keyword; did you mean {meant:?}?"),
        None if places.is_empty() => {
            format!("{word:?} is no keyword; this version has no settings for {block:?}")
        }
        None => format!("{word:?} is no keyword; 'failover help' lists them"),
    }
}

pub(super) fn incomplete(keyword: &Keyword, found: &[Word]) -> String {
    let name = keyword.name;
    let words = joined(found.iter().map(|word| &word.text), " ");
    let found = match found {
        [] => String::from("nothing"),
        // Its value may be a password, and what is wrong goes to the log.
        [_] if name == "header" => String::from("one word"),
        _ if name == "header" => format!("{} words", found.len()),
        _ => format!("{words:?}"),
    };
    match keyword.form {
        Form::Alone => format!("{name:?} is followed by {found}; expected nothing"),
        _ => format!(
            "{name:?} is followed by {found}; expected {}, such as: {}",
            keyword.arguments, keyword.example
        ),
    }
}
