//! The house rules, held over `src`, `tests` and `examples`: what a reviewer would otherwise have
//! to look for in every change. Each rule is tried on bad snippets beside its own code.
//!
//! A rule says `path:line: what is wrong; what was expected`. Exceptions are lists with reasons,
//! beside the rule that they are exceptions to.

mod code;
mod paths;
mod repository;
mod rooms;
mod source;
mod text;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use source::Source;

/// Where the repository is.
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// One breach of a rule.
#[derive(Debug)]
struct Fault {
    path: String,
    line: usize,
    message: String,
}

impl Fault {
    /// `line` is counted from 0, as an index; people are shown it from 1.
    fn new(path: &str, line: usize, message: impl Into<String>) -> Fault {
        Fault {
            path: path.to_string(),
            line: line + 1,
            message: message.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

fn said(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(Fault::to_string).collect()
}

#[track_caller]
fn assert_none(faults: &[Fault]) {
    assert!(
        faults.is_empty(),
        "{} broken:\n{}",
        faults.len(),
        said(faults).join("\n")
    );
}

/// The files below this folder, by their paths from the root, sorted. Folders whose name starts
/// with a dot, and cargo's, are left out.
fn walk(folder: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(Path::new(ROOT).join(folder)) else {
        return Vec::new();
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.expect("a readable folder");
        let name = entry.file_name().into_string().expect("a name in UTF-8");
        let path = if folder.is_empty() {
            name.clone()
        } else {
            format!("{folder}/{name}")
        };
        let kind = entry.file_type().expect("a known type");
        if kind.is_file() {
            files.push(path);
        } else if kind.is_dir() && name != "target" && (!name.starts_with('.') || name == ".ci") {
            files.extend(walk(&path));
        }
    }
    files.sort();
    files
}

fn read(path: &str) -> Option<String> {
    let bytes = fs::read(Path::new(ROOT).join(path)).ok()?;
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'))
}

/// Every Rust file under the rules, read once.
static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| {
    let files = ["src", "tests", "examples"].into_iter().flat_map(walk);
    let rust = files.filter(|path| path.ends_with(".rs"));
    let mut sources: Vec<Source> = rust
        .map(|path| {
            Source::new(
                &path,
                &read(&path).unwrap_or_else(|| panic!("{path}: not text")),
            )
        })
        .collect();
    mark_test_files(&mut sources);
    sources
});

/// A file that is declared as `#[cfg(test)] mod NAME;` is compiled for tests only, all of it.
fn mark_test_files(sources: &mut [Source]) {
    let mut test_files = BTreeSet::new();
    for source in sources.iter() {
        let folder = match source.path.trim_end_matches(".rs").rsplit_once('/') {
            Some((folder, "mod" | "lib" | "main")) => folder,
            _ => source.path.trim_end_matches(".rs"),
        };
        for module in &source.test_modules {
            test_files.insert(format!("{folder}/{module}.rs"));
            test_files.insert(format!("{folder}/{module}/mod.rs"));
        }
    }
    for source in sources
        .iter_mut()
        .filter(|source| test_files.contains(&source.path))
    {
        source.in_test.fill(true);
    }
}

fn in_src() -> impl Iterator<Item = &'static Source> {
    SOURCES
        .iter()
        .filter(|source| source.path.starts_with("src/"))
}

/// What git tracks, or nothing where there is no checkout, or no git, to ask.
fn tracked() -> Option<Vec<String>> {
    if !Path::new(ROOT).join(".git").exists() {
        return None;
    }
    let output = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(ROOT)
        .output()
        .ok()?;
    let names = String::from_utf8(output.stdout).ok()?;
    let names = names.split_terminator('\0').map(str::to_string);
    output.status.success().then(|| names.collect())
}

#[test]
fn there_is_something_to_judge() {
    assert!(
        in_src().any(|source| source.path == "src/lib.rs"),
        "no src/lib.rs in {ROOT}"
    );
}

#[test]
fn rooms_use_only_rooms_below_them() {
    assert_none(&in_src().flat_map(rooms::check).collect::<Vec<_>>());
}

#[test]
fn functions_fit_on_a_screen() {
    assert_none(
        &SOURCES
            .iter()
            .flat_map(code::function_length)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn files_say_what_they_are_for_and_forbid_unsafe_code() {
    assert_none(&in_src().flat_map(code::header).collect::<Vec<_>>());
}

#[test]
fn unsafe_code_is_in_one_room_with_its_reasons() {
    assert_none(
        &SOURCES
            .iter()
            .flat_map(code::unsafe_code)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn nothing_panics_or_prints_in_src() {
    assert_none(
        &in_src()
            .flat_map(code::panics_and_prints)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn the_real_clock_is_read_by_few() {
    assert_none(
        &SOURCES
            .iter()
            .flat_map(code::clock_reads)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn nobody_sleeps_to_make_time_pass() {
    assert_none(&SOURCES.iter().flat_map(code::sleeps).collect::<Vec<_>>());
}

#[test]
fn the_oldest_compiler_takes_everything() {
    assert_none(
        &SOURCES
            .iter()
            .flat_map(code::newer_syntax)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn lines_and_files_are_short_and_clean() {
    assert_none(&SOURCES.iter().flat_map(text::lines).collect::<Vec<_>>());
}

#[test]
fn no_unwanted_words_are_left() {
    let files = tracked().unwrap_or_else(|| walk(""));
    let texts = files.iter().filter_map(|path| Some((path, read(path)?)));
    assert_none(
        &texts
            .flat_map(|(path, text)| text::words(path, &text))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn the_top_level_holds_only_what_it_should() {
    match tracked() {
        Some(files) => assert_none(&repository::top_level(files.iter().map(String::as_str))),
        None => eprintln!("skipped: no git checkout at {ROOT}, so nothing is tracked"),
    }
}

#[test]
fn there_is_no_dependency_but_std() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["tree", "-e", "normal,build,dev", "--offline"])
        .current_dir(ROOT);
    let output = cargo
        .output()
        .unwrap_or_else(|error| panic!("{cargo:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{cargo:?}: {}: {errors}",
        output.status
    );
    let tree = String::from_utf8_lossy(&output.stdout);
    assert!(
        tree.starts_with("failover "),
        "{cargo:?} printed '{tree}'; expected this package"
    );
    assert_none(&repository::dependencies(&tree));
}

#[test]
fn the_readme_names_only_what_is_there() {
    let Some(readme) = read("README.md") else {
        eprintln!("skipped: no README.md at {ROOT}");
        return;
    };
    let makefile = read("Makefile").expect("a Makefile beside the README");
    let mut faults = repository::make_targets(&readme, &makefile);
    faults.extend(repository::example_files(
        "README.md",
        &readme,
        repository::exists,
    ));
    assert_none(&faults);
}

#[test]
fn the_makefile_runs_only_examples_that_are_there() {
    if !repository::exists("examples") {
        eprintln!("skipped: no examples at {ROOT}");
        return;
    }
    let makefile = read("Makefile").expect("a Makefile beside the examples");
    assert_none(&repository::example_files(
        "Makefile",
        &makefile,
        repository::exists,
    ));
}

#[test]
fn files_of_test_modules_are_known() {
    let mut sources = [
        Source::new("src/a/mod.rs", "#[cfg(test)]\nmod b;"),
        Source::new("src/a/b.rs", "fn f() {}"),
        Source::new("src/b.rs", "fn f() {}"),
    ];
    mark_test_files(&mut sources);
    assert_eq!(sources.map(|source| source.in_test[0]), [true, true, false]);
}
