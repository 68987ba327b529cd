//! A whole configuration: read, checked, not yet running.
#![forbid(unsafe_code)]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::blocks::{self, Block, Setting};
use super::checks;
use super::component::ComponentPlan;
use super::cross::Whole;
use super::lex::Word;
use super::names::index;
use super::problem::{At, Problem, Problems, Severity, Sources};
use super::section::Section;
use super::server::{ServerPlan, admin_socket_of};
use crate::check::Check;
use crate::net::program::{self, Unfit};
use crate::sys::file::standard_input;
use crate::text::joined;

/// A configuration.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) server: ServerPlan,
    pub(crate) components: Vec<ComponentPlan>,
}

/// What reading came to.
#[derive(Debug)]
pub(crate) struct Read {
    /// The configuration, if nothing is wrong with it.
    pub(crate) plan: Option<Plan>,
    problems: Vec<Problem>,
    sources: Sources,
}

impl Read {
    /// Every error and warning, with its line; empty when there is nothing to say.
    pub(crate) fn report(&self) -> String {
        self.sources.report(&self.problems)
    }

    /// The same in one line, for logs.
    pub(crate) fn first_error(&self) -> String {
        let mut errors = self
            .problems
            .iter()
            .filter(|it| it.severity == Severity::Error);
        let Some(first) = errors.next() else {
            return String::new();
        };
        let file = self.sources.name(first.at.file);
        let mut text = format!(
            "{file}:{}:{}: {}",
            first.at.line, first.at.column, first.message
        );
        let others = errors.count();
        if others > 0 {
            let _ = write!(text, " (and {others} more)");
        }
        text
    }

    pub(crate) fn count(&self, severity: Severity) -> usize {
        let of_it = self.problems.iter().filter(|it| it.severity == severity);
        of_it.count()
    }
}

/// The path that stands for standard input.
pub(crate) const STDIN: &str = "-";

/// Reads a configuration from a file, or from standard input for [`STDIN`], and what it includes.
pub(crate) fn read(path: &Path) -> Read {
    if path == Path::new(STDIN) {
        let input = standard_input().map_err(|error| format!("cannot be opened: {error}"));
        return match input.and_then(blocks::bytes_of) {
            Ok(bytes) => read_bytes("standard input", &bytes),
            Err(why) => unreadable("standard input", &why),
        };
    }
    let (mut sources, problems) = (Sources::default(), Problems::default());
    let blocks = blocks::read(path, &mut sources, &problems);
    finish(&blocks, sources, &problems)
}

/// Reads a configuration that came from elsewhere, under a name that stands for the file's.
pub(super) fn read_bytes(name: &str, bytes: &[u8]) -> Read {
    let (mut sources, problems) = (Sources::default(), Problems::default());
    let blocks = blocks::read_bytes(name, bytes, &mut sources, &problems);
    finish(&blocks, sources, &problems)
}

fn unreadable(name: &str, why: &str) -> Read {
    let (mut sources, problems) = (Sources::default(), Problems::default());
    let file = sources.keep(name, "");
    problems.error(At::start_of(file), format!("{name:?} {why}"));
    Read {
        plan: None,
        problems: problems.sorted(),
        sources,
    }
}

fn finish(blocks: &[Block], sources: Sources, problems: &Problems) -> Read {
    let server = one(blocks, "server", &sources, problems);
    let server_at = server.map_or(At::start_of(0), |block| block.at);
    let section = Section {
        settings: server.map_or(&[], |block| &block.settings),
        problems,
        at: server_at,
        owner: None,
    };
    let server = ServerPlan::read(&section);
    let defaults = one(blocks, "defaults", &sources, problems);
    let defaults: &[Setting] = defaults.map_or(&[], |block| &block.settings);
    let components: Vec<ComponentPlan> = blocks
        .iter()
        .filter(|block| block.keyword.name == "component")
        .filter_map(|block| ComponentPlan::read(block, defaults, problems))
        .collect();
    for block in blocks {
        if matches!(block.keyword.name, "contact" | "action" | "failover") {
            let name = block.keyword.name;
            let message = format!("this version does nothing with a block {name:?}");
            problems.warning(block.at, message);
        }
    }
    refuse_writable(&components, &sources, problems);
    let named = |block: &Block| Some(block.name.as_ref()?.text.clone());
    let of_component = |block: &&Block| block.keyword.name == "component";
    let names = blocks.iter().filter(of_component).filter_map(named);
    let names: Vec<String> = names.collect();
    let whole = Whole {
        server: &server,
        server_at,
        components: &components,
        index: index(&components),
        names: &names,
        sources: &sources,
        problems,
    };
    whole.check();
    let plan = (!problems.has_errors()).then_some(Plan { server, components });
    Read {
        plan,
        problems: problems.sorted(),
        sources,
    }
}

/// Whoever may change a file that runs programs may run any program as us.
fn refuse_writable(components: &[ComponentPlan], sources: &Sources, problems: &Problems) {
    for component in components.iter().filter(|it| it.kind == "exec") {
        let kind = component
            .settings
            .iter()
            .find(|it| it.keyword.name == "exec");
        let at = kind.map_or(component.at, |kind| kind.at);
        let file = Path::new(sources.name(at.file));
        // What is missing is standard input, and what whoever runs us gives us to read.
        if let Err(Unfit::Unsafe(why)) = program::examine_list(file) {
            let message =
                format!("this file runs a program, and whoever may change it could run any: {why}");
            problems.error(at, message);
        }
    }
}

/// The block of which there may be one.
fn one<'a>(
    blocks: &'a [Block],
    keyword: &str,
    sources: &Sources,
    problems: &Problems,
) -> Option<&'a Block> {
    let mut blocks = blocks.iter();
    let mut blocks = blocks
        .by_ref()
        .filter(|block| block.keyword.name == keyword);
    let first = blocks.next()?;
    for other in blocks {
        let line = sources.line_of(first.at, other.at);
        let message = format!("a second {keyword:?}, after {line}; expected one");
        problems.error(other.at, message);
    }
    Some(first)
}

/// The admin socket of the daemon that runs on this configuration.
///
/// # Errors
/// The configuration cannot be read, or has none; a sentence for people.
pub(crate) fn admin_socket(path: &Path) -> Result<PathBuf, String> {
    let (mut sources, problems) = (Sources::default(), Problems::default());
    let blocks = blocks::read(path, &mut sources, &problems);
    let server = blocks.iter().find(|block| block.keyword.name == "server");
    let section = Section {
        settings: server.map_or(&[], |block| &block.settings),
        problems: &problems,
        at: At::start_of(0),
        owner: None,
    };
    let name = path.display().to_string();
    match (admin_socket_of(&section), problems.sorted().first()) {
        (Some(socket), _) => Ok(socket),
        (None, Some(problem)) if sources.len() <= 1 && blocks.is_empty() => {
            Err(problem.message.clone())
        }
        (None, _) => Err(format!(
            "{name:?} has no admin-socket, nor a state-dir to have one in"
        )),
    }
}

/// The check that the words of a `failover probe` describe.
///
/// # Errors
/// What is wrong with them, a line for each.
pub(crate) fn probe(words: &[String]) -> Result<Box<dyn Check>, String> {
    let problems = Problems::default();
    let at = |column| At {
        file: 0,
        line: 1,
        column,
    };
    let words: Vec<Word> = words
        .iter()
        .enumerate()
        .map(|(index, word)| Word::plain(word, at(index + 1)))
        .collect();
    let settings = blocks::flat(&words, &problems);
    let check = probe_of(&settings, &problems);
    let found = problems.sorted();
    match check {
        Some(check) if !problems.has_errors() => Ok(check),
        _ => Err(joined(found.iter().map(|it| &it.message), "\n")),
    }
}

fn probe_of(settings: &[Setting], problems: &Problems) -> Option<Box<dyn Check>> {
    let section = Section {
        settings,
        problems,
        at: At::start_of(0),
        owner: None,
    };
    if problems.has_errors() {
        return None;
    }
    checks::probe(&section)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema;

    const EXAMPLE: &[u8] = include_bytes!("../../examples/failover.conf");

    /// Numbers that look like chance and are the same each time (xorshift64).
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % limit as u64).unwrap()
        }
    }

    /// A byte changed, a piece taken out, doubled or moved, or a word put in.
    fn mutate(text: &mut Vec<u8>, chance: &mut Chance, words: &[&str]) {
        const BYTES: &[u8] = b"\"\\# \t\n\r0:/[]%-*\x00\x07\xff\xc3";
        let at = chance.below(text.len() + 1);
        let len = chance.below(40).min(text.len() - at);
        match chance.below(6) {
            0 if at < text.len() => text[at] = BYTES[chance.below(BYTES.len())],
            1 => drop(text.drain(at..at + len)),
            2 => {
                let piece = text[at..at + len].to_vec();
                let to = chance.below(text.len() + 1);
                text.splice(to..to, piece);
            }
            3 => text.truncate(at),
            4 => text.insert(at, BYTES[chance.below(BYTES.len())]),
            _ => {
                let word = words[chance.below(words.len())];
                text.splice(at..at, format!(" {word} ").into_bytes());
            }
        }
    }

    #[test]
    fn no_configuration_makes_it_panic() {
        // Files that others include are read as they are.
        let examples = schema::keywords().filter(|keyword| keyword.name != "include");
        let examples = examples.flat_map(|keyword| [keyword.name, keyword.example]);
        let words: Vec<&str> = examples
            .chain(["of", "fast", "\n", "\n  ", "0", "1s"])
            .collect();
        let mut chance = Chance(0x2545_f491_4f6c_dd1d);
        let (mut usable, mut wrong) = (0, 0);
        for round in 0..3_000 {
            let mut text = EXAMPLE.to_vec();
            for _ in 0..=round % 12 {
                mutate(&mut text, &mut chance, &words);
            }
            let read = read_bytes("c", &text);
            let errors = read.count(Severity::Error);
            assert_eq!(read.plan.is_some(), errors == 0);
            assert_eq!(read.first_error().is_empty(), errors == 0);
            let told = read.report();
            assert_eq!(told.is_empty(), read.problems.is_empty(), "{told}");
            match errors {
                0 => usable += 1,
                _ => wrong += 1,
            }
        }
        assert!(usable > 100 && wrong > 1_000, "{usable} {wrong}");
    }

    #[test]
    fn noise_is_read_to_its_end() {
        let mut chance = Chance(7);
        for _ in 0..500 {
            let len = chance.below(400);
            let noise: Vec<u8> = (0..len).map(|_| chance.below(256) as u8).collect();
            assert!(read_bytes("c", &noise).plan.is_none());
        }
    }

    #[test]
    fn the_first_error_is_one_line_for_logs() {
        let read = read_bytes("c", b"component a\n tcp x\n timeout 1\n");
        let first = "c:2:6: \"x\" is not a target; expected HOST:PORT, with an IPv6 address in \
                     brackets (and 1 more)";
        assert_eq!(read.first_error(), first);
    }

    #[test]
    fn whoever_owns_a_file_that_runs_programs_is_root_or_ourselves() {
        let name = format!("failover-plan-{}.conf", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, "component a\n exec true\n").unwrap();
        let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, own).unwrap();
        let errors = || read(&path).first_error();
        assert_eq!(errors(), "");
        // Only root can give a file away.
        if std::os::unix::fs::chown(&path, Some(12_345), None).is_ok() {
            let error = errors();
            assert!(error.contains("belongs to user 12345; expected"), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
    }
}
