//! Holds the README's reference to the table: it is written from here, never by hand.
//!
//! ```sh
//! UPDATE_README=1 cargo test --lib schema::readme
//! ```
#![forbid(unsafe_code)]

use std::{env, fs};

use super::{Keyword, Place, keywords};
use crate::health::Reason;
use crate::server::METRICS;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
const BEGIN: &str = "<!-- keywords: from the table in src/config/schema -->\n";
const END: &str = "<!-- end of keywords -->";

const PLACES: [(Place, &str); 5] = [
    (Place::Block, "Blocks, at the beginning of a line"),
    (Place::Server, "In `server`"),
    (Place::Kind, "In `component`: what is asked"),
    (
        Place::Check,
        "How that is asked, in `component` or `defaults`",
    ),
    (
        Place::Component,
        "What is made of it, in `component` or `defaults`",
    ),
];

/// The reference in Markdown.
fn reference() -> String {
    let mut text = String::from("\n");
    for (place, title) in PLACES {
        let rows = keywords().filter(|keyword| keyword.place == place);
        let rows: String = rows.map(row).collect();
        text += &format!("**{title}**\n\n| keyword | default | what |\n|---|---|---|\n{rows}\n");
    }
    let reasons = Reason::ALL.iter();
    let reasons = reasons.map(|reason| format!("| {} | {} |\n", reason.words(), reason.about()));
    text += &folded("How a check can end: all reasons", "reason", reasons);
    let metrics = METRICS.iter();
    let metrics = metrics.map(|(name, kind, about)| format!("| `{name}` ({kind}) | {about} |\n"));
    text += &folded("What /metrics says", "metric", metrics);
    text
}

/// A long table that is opened by who wants it.
fn folded(title: &str, first: &str, rows: impl Iterator<Item = String>) -> String {
    let rows: String = rows.collect();
    format!(
        "<details><summary>{title}</summary>\n\n| {first} | what |\n|---|---|\n{rows}\n\
         </details>\n\n"
    )
}

fn row(keyword: &Keyword) -> String {
    let form = format!("{} {}", keyword.name, keyword.arguments);
    let mut about = keyword.about.replace('\n', " ");
    if !keyword.kinds.is_empty() {
        about += &format!(" For {}.", keyword.kinds_in_words());
    }
    // A bar ends a cell, what looks like HTML vanishes.
    let cell = |text: &str| text.replace('|', "\\|").replace('<', "&lt;");
    let (form, default) = (form.trim_end().replace('|', "\\|"), cell(keyword.default));
    format!("| `{form}` | {default} | {} |\n", cell(&about))
}

#[test]
fn the_readme_says_what_the_table_says() {
    let readme = fs::read_to_string(README).unwrap();
    let (before, rest) = readme
        .split_once(BEGIN)
        .expect("the beginning of the reference");
    let (said, after) = rest.split_once(END).expect("the end of the reference");
    let reference = reference();
    if env::var_os("UPDATE_README").is_some() {
        let updated = format!("{before}{BEGIN}{reference}{END}{after}");
        fs::write(README, updated).unwrap();
        return;
    }
    assert!(
        said == reference,
        "the README's keywords differ; UPDATE_README=1 cargo test --lib schema::readme"
    );
}
