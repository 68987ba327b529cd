//! The manual: what there is, is in `failover help`, and all words that can be asked for are in
//! the README, too.

use std::collections::BTreeSet;
use std::fs;

use failover::{METRICS, Reason};

use crate::support::run;

const README: &str = include_str!("../../README.md");

/// Where the server decides what is answered: its literals are the paths.
const ROUTES: &str = include_str!("../../src/server/route.rs");

/// The keywords that the manual lists: indented, below a line that ends with a colon.
pub(crate) fn keywords() -> Vec<String> {
    let manual = help(&[]);
    let lists = manual.split_once("\nblocks, at the beginning of a line:\n");
    let (lists, _) = lists.unwrap().1.split_once("\n  A DURATION").unwrap();
    let lines = lists.lines().filter_map(|line| line.strip_prefix("  "));
    // What is farther in goes on with a default.
    let lines = lines.filter(|line| !line.starts_with(' '));
    let names = lines.filter_map(|line| line.split_whitespace().next());
    names.map(str::to_string).collect()
}

/// The commands that the usage lists.
fn commands() -> BTreeSet<String> {
    let manual = help(&[]);
    let (usage, _) = manual.split_once("\nblocks, ").unwrap();
    let lines = usage.lines().filter_map(|line| line.strip_prefix("  "));
    let names = lines.filter(|line| !line.starts_with(' '));
    names
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_string)
        .collect()
}

#[track_caller]
fn help(topic: &[&str]) -> String {
    let said = run(&[&["help"], topic].concat());
    assert_eq!((said.code, said.errors.as_str()), (0, ""), "{topic:?}");
    said.out
}

/// The paths of the server's own.
fn paths() -> BTreeSet<String> {
    let code = ROUTES.split_once("#[cfg(test)]").unwrap().0;
    let literals = code
        .split("b\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let is_path = |text: &&str| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || "/-".contains(c))
            && !text.is_empty()
    };
    literals
        .filter(is_path)
        .map(|path| format!("/{path}"))
        .collect()
}

/// What the command line's own code takes for an option.
fn options() -> BTreeSet<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli");
    let mut options = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let code = fs::read_to_string(entry.unwrap().path()).unwrap();
        let is_option = |text: &&str| {
            let letters = text.trim_start_matches('-');
            let is_dashed = (1..=2).contains(&(text.len() - letters.len()));
            is_dashed && !letters.is_empty() && letters.chars().all(|c| c.is_ascii_alphabetic())
        };
        let literals = code.split('"').filter(is_option);
        options.extend(literals.map(str::to_string));
    }
    assert!(options.len() >= 9, "{options:?}");
    options
}

/// Those of which the text says nothing.
fn missing<'a>(text: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let is_part = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let says = |name: &str| {
        text.match_indices(name).any(|(start, _)| {
            let before = text[..start].chars().next_back();
            let after = text[start + name.len()..].chars().next();
            let is_whole = |c: Option<char>| !c.is_some_and(is_part);
            is_whole(before) && (is_whole(after) || name.ends_with('/'))
        })
    };
    names.into_iter().filter(|name| !says(name)).collect()
}

#[test]
fn everything_is_in_the_manual() {
    let all = help(&["all"]);
    let (keywords, commands, paths) = (keywords(), commands(), paths());
    assert!(
        keywords.len() > 80 && commands.len() > 10 && paths.len() >= 9,
        "{paths:?}"
    );
    let keywords: BTreeSet<String> = keywords.into_iter().collect();
    for names in [&keywords, &commands, &paths] {
        assert_eq!(missing_in(&all, names), [""; 0]);
    }
    assert_eq!(missing_in(&all, &options()), [""; 0]);
    assert_eq!(
        missing(&all, Reason::ALL.iter().map(|reason| reason.words())),
        [""; 0]
    );
    assert_eq!(
        missing(&all, METRICS.iter().map(|(name, _, _)| *name)),
        [""; 0]
    );
    for topic in ["config", "paths", "reasons", "metrics"] {
        assert!(all.contains(&help(&[topic])), "{topic}");
    }
}

fn missing_in<'a>(text: &str, names: &'a BTreeSet<String>) -> Vec<&'a str> {
    missing(text, names.iter().map(String::as_str))
}

#[test]
fn everything_is_in_the_readme() {
    let keywords: BTreeSet<String> = keywords().into_iter().collect();
    // What 'version' does needs no words.
    let commands = commands().into_iter().filter(|name| name != "version");
    let commands = commands.map(|name| format!("failover {name}"));
    let all = [keywords, commands.collect(), paths(), options()];
    let reasons = Reason::ALL.iter().map(|reason| reason.words());
    let metrics = METRICS.iter().map(|(name, _, _)| *name);
    let missing: Vec<&str> = all
        .iter()
        .flat_map(|names| missing_in(README, names))
        .chain(missing(README, reasons.chain(metrics)))
        .collect();
    assert!(missing.is_empty(), "the README says nothing of {missing:?}");
}

#[test]
fn every_page_fits_a_terminal_and_stands_alone() {
    for line in help(&["all"]).lines() {
        assert!(line.chars().count() <= 100, "{line}");
        assert_eq!(line, line.trim_end());
    }
    for command in commands() {
        assert!(
            help(&[&command]).starts_with(&format!("failover {command}")),
            "{command}"
        );
        let said = run(&[command.as_str(), "--help"]);
        assert_eq!((said.code, said.out), (0, help(&[&command])));
    }
}

/// The configuration that the manual shows is one.
#[test]
fn the_manual_s_configuration_can_be_used() {
    let page = help(&["config"]);
    let lines = page.lines().skip(2);
    let lines = lines.take_while(|line| !line.starts_with("  A line"));
    let config: String = lines
        .map(|line| format!("{}\n", line.get(2..).unwrap_or("")))
        .collect();
    assert!(config.starts_with("server\n    listen"), "{config}");
    let said = crate::support::Folder::new().check(&config);
    assert_eq!((said.code, said.errors.as_str()), (0, ""));
    assert_eq!(
        said.out,
        "failover.conf: can be used; 1 component, 0 warnings\n"
    );
}

/// So are those that the README shows.
#[test]
fn the_readme_s_configurations_can_be_used() {
    let blocks = README.split("```text\n").skip(1);
    let texts = blocks.map(|block| block.split("```").next().unwrap_or(block));
    let is_config = |text: &&str| text.starts_with("server\n") || text.starts_with("component ");
    let configs: Vec<&str> = texts.filter(is_config).collect();
    assert_eq!(configs.len(), 2);
    for config in configs {
        let said = crate::support::Folder::new().check(config);
        assert_eq!(said.code, 0, "{config}{}", said.errors);
    }
}

/// Each example of a keyword's page is a line that can be used where it belongs, but for the files
/// and components that it names, which are not there.
#[test]
fn examples_of_keywords_are_right() {
    for keyword in keywords() {
        let page = help(&[&keyword]);
        // `server` is two keywords: the block, and the one of dns.
        let page = page.split("\n\nserver ").last().unwrap();
        let field = |name: &str| page.lines().find_map(|line| line.trim().strip_prefix(name));
        let example = field("example: ").expect("an example");
        let kinds = field("for: ").unwrap_or("tcp").trim();
        let kind = kinds
            .split(' ')
            .next()
            .filter(|kind| *kind != "all")
            .unwrap_or("tcp");
        let base = match kind {
            "tcp" => "tcp 127.0.0.1:25".to_string(),
            "all-of" => "all-of cache database".to_string(),
            kind => {
                let page = help(&[kind]);
                let example = page
                    .lines()
                    .find_map(|line| line.trim().strip_prefix("example: "));
                example.expect("an example").to_string()
            }
        };
        let config = match field("in: ").unwrap().trim() {
            "the beginning of a line" if keyword == "include" => format!("{example}\n"),
            "the beginning of a line" => continue,
            "server" => format!("server\n {example}\ncomponent a\n file /etc/hosts\n"),
            "component" if keyword == "heartbeat" => {
                format!("component a\n {example}\n every 1d\n")
            }
            "component" => format!("component a\n {example}\n"),
            _ if kind == "heartbeat" => format!("component a\n heartbeat\n every 1d\n {example}\n"),
            _ => format!("component a\n {base}\n {example}\n"),
        };
        let said = crate::support::Folder::new().check(&config);
        let is_told =
            |line: &&str| line.starts_with("failover.conf:") && !line.contains(" wrong, ");
        let is_missing = |line: &&str| {
            let parts = ["No such file", "there is no component", " warning: "];
            parts.iter().any(|part| line.contains(part))
        };
        let wrong = said
            .errors
            .lines()
            .filter(is_told)
            .find(|line| !is_missing(line));
        assert_eq!(wrong, None, "{config}");
    }
}
