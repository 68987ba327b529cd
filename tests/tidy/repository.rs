//! Rules about the repository: what it holds, what it depends on, and that what the README and
//! the Makefile name is there.

use std::collections::BTreeSet;
use std::path::Path;

use crate::Fault;

/// All that stands at the top.
const TOP: [&str; 10] = [
    ".ci",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "examples",
    "src",
    "tests",
];

/// Nothing else stands at the top of the repository.
pub(crate) fn top_level<'a>(tracked: impl Iterator<Item = &'a str>) -> Vec<Fault> {
    let top: BTreeSet<&str> = tracked
        .map(|path| path.split('/').next().unwrap_or(path))
        .collect();
    let strange = top.iter().filter(|name| !TOP.contains(name));
    let fault = |name: &&str| Fault::new(name, 0, format!("at the top; expected only {TOP:?}"));
    strange.map(fault).collect()
}

/// What `cargo tree` prints when there is nothing but this package: one line.
pub(crate) fn dependencies(tree: &str) -> Vec<Fault> {
    let strange = tree.lines().skip(1);
    let fault = |line: &str| {
        let message = format!("depends on '{}'; expected std only", line.trim());
        Fault::new("Cargo.toml", 0, message)
    };
    strange.map(fault).collect()
}

/// Every `make TARGET` in code, in a README, is a target of the Makefile.
pub(crate) fn make_targets(readme: &str, makefile: &str) -> Vec<Fault> {
    let known = targets(makefile);
    let mut faults = Vec::new();
    for (line, code) in code_of(readme) {
        for target in makes(&code)
            .iter()
            .filter(|target| !known.contains(target.as_str()))
        {
            let message = format!("'make {target}'; expected a target of the Makefile");
            faults.push(Fault::new("README.md", line, message));
        }
    }
    faults
}

/// Every file in `examples/` that the text names is there, as is what `--example` names.
pub(crate) fn example_files(path: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for name in named_after(line, "examples/") {
            if !exists(&format!("examples/{name}")) {
                let message = format!("'examples/{name}'; expected a file that exists");
                faults.push(Fault::new(path, index, message));
            }
        }
        for name in named_after(line, "--example ") {
            let files = [
                format!("examples/{name}.rs"),
                format!("examples/{name}/main.rs"),
            ];
            if !files.iter().any(|file| exists(file)) {
                let message = format!("'--example {name}'; expected {}", files.join(" or "));
                faults.push(Fault::new(path, index, message));
            }
        }
    }
    faults
}

pub(crate) fn exists(path: &str) -> bool {
    Path::new(crate::ROOT).join(path).exists()
}

fn targets(makefile: &str) -> BTreeSet<&str> {
    let rules = makefile
        .lines()
        .filter(|line| !line.starts_with(['\t', '#', '.', ' ']));
    let heads = rules.filter_map(|line| line.split_once(':'));
    // `NAME := value` is no rule.
    let heads = heads.filter(|(_, rest)| !rest.starts_with('='));
    heads
        .flat_map(|(head, _)| head.split_whitespace())
        .collect()
}

/// The pieces of code in Markdown, each with its line: fenced blocks and spans in backticks.
fn code_of(markdown: &str) -> Vec<(usize, String)> {
    let mut is_fenced = false;
    let mut code = Vec::new();
    for (index, line) in markdown.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if is_fenced {
            code.push((index, line.to_string()));
        } else {
            let spans = line.split('`').skip(1).step_by(2);
            code.extend(spans.map(|span| (index, span.to_string())));
        }
    }
    code
}

/// The targets that a line of shell makes. `make` counts only as a command, so what precedes it
/// can be nothing but a prompt, variables or sudo.
fn makes(code: &str) -> Vec<String> {
    let code = code.split('#').next().unwrap_or(code);
    let mut targets = Vec::new();
    for command in code.split([';', '&', '|']) {
        let is_prefix = |word: &&str| ["$", "#", "sudo"].contains(word) || word.contains('=');
        let mut words = command.split_whitespace().skip_while(is_prefix);
        if words.next() == Some("make") {
            let is_target = |word: &&str| {
                word.chars()
                    .all(|char| char.is_ascii_alphanumeric() || "-_.".contains(char))
                    && !word.starts_with('-')
            };
            targets.extend(words.filter(is_target).map(str::to_string));
        }
    }
    targets
}

/// The names that follow the marker in this line.
fn named_after<'a>(line: &'a str, marker: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(marker).filter_map(move |(start, _)| {
        let rest = &line[start + marker.len()..];
        let is_name = |char: char| char.is_ascii_alphanumeric() || "._-/".contains(char);
        let end = rest.find(|char| !is_name(char)).unwrap_or(rest.len());
        let name = rest[..end].trim_end_matches(['.', '/']);
        (!name.is_empty()).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::said;

    #[test]
    fn a_stranger_at_the_top_is_caught() {
        let found = top_level(["src/a.rs", "docs/a.md", "docs/b.md", ".ci/run"].into_iter());
        assert_eq!(found.len(), 1);
        assert!(said(&found)[0].starts_with("docs:1: at the top; expected only"));
    }

    #[test]
    fn a_dependency_is_caught() {
        assert_eq!(dependencies("failover v0.1.0 (/a)\n").len(), 0);
        assert_eq!(
            said(&dependencies("failover v0.1.0 (/a)\n└── libc v0.2.0\n")),
            ["Cargo.toml:1: depends on '└── libc v0.2.0'; expected std only"]
        );
    }

    #[test]
    fn a_target_that_is_not_there_is_caught() {
        let makefile = "A := b\n.PHONY: c\nd e: f ## g\n\techo h: i\n";
        let readme = "make x; make sure of `make d`, `make e A=1 # j`, `A=1 make k`\n\
                      ```sh\n$ make -j4 d && make l\ncmake m\n```\n`the make n`";
        let found = said(&make_targets(readme, makefile));
        assert_eq!(
            found,
            [
                "README.md:1: 'make k'; expected a target of the Makefile",
                "README.md:3: 'make l'; expected a target of the Makefile"
            ]
        );
    }

    #[test]
    fn an_example_that_is_not_there_is_caught() {
        let exists = |path: &str| ["examples/a.conf", "examples/b/main.rs"].contains(&path);
        let text =
            "see examples/ and examples/a.conf.\n--example b\n[c](examples/c.rs) --example d";
        let found = said(&example_files("README.md", text, exists));
        assert_eq!(
            found,
            [
                "README.md:3: 'examples/c.rs'; expected a file that exists",
                "README.md:3: '--example d'; expected examples/d.rs or examples/d/main.rs"
            ]
        );
    }
}
