//! Wrong configurations, and the exact report on each. They are in `wrong/*.txt`:
//!
//! ```text
//! === NAME               a case; then its failover.conf, unless that is one of several files
//! --- file NAME [MODE]   a file; the mode is octal, 600 unless it is said
//! --- report             what is said: all of standard error but the last line, which counts
//! ```
//!
//! A control character stands as its picture, U+2400 and on; the bytes 0xfe and 0xff as U+2425 and
//! U+2426. Where `UPDATE=1` is set the program writes the reports, to be read by a person then.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Folder, Said};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config/wrong");

/// One configuration.
struct Case {
    name: String,
    files: Vec<(String, u32, String)>,
    report: String,
    /// All that stands before the report, as it is written.
    written: String,
}

#[test]
fn every_wrong_configuration_is_told_in_exact_words() {
    let mut cases_seen = 0;
    let mut wrong = String::new();
    for file in files() {
        let text = fs::read_to_string(&file).unwrap();
        let (head, cases) = cases(&text);
        let mut updated = head;
        cases_seen += cases.len();
        for case in cases {
            let said = report_on(&case).unwrap_or_else(|| case.report.clone());
            updated += &format!("{}--- report\n{said}", case.written);
            if said != case.report {
                let (name, report) = (&case.name, &case.report);
                let _ = write!(wrong, "{name}: said\n{said}expected\n{report}\n");
            }
        }
        if std::env::var_os("UPDATE").is_some() && updated != text {
            fs::write(&file, updated).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(cases_seen >= 80, "{cases_seen}");
}

fn files() -> Vec<PathBuf> {
    let entries = fs::read_dir(FOLDER).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// What precedes the first case, and the cases.
fn cases(text: &str) -> (String, Vec<Case>) {
    let (head, cases) = text.split_once("=== ").expect("a case");
    let cases = cases.split("\n=== ").map(case);
    (head.to_string(), cases.collect())
}

fn case(text: &str) -> Case {
    let (name, rest) = text.split_once('\n').expect("a name");
    let (files, report) = rest.split_once("--- report").expect("a report");
    let mut case = Case {
        name: name.to_string(),
        files: Vec::new(),
        report: report.trim_start_matches('\n').to_string(),
        written: format!("=== {name}\n{files}"),
    };
    if !case.report.is_empty() && !case.report.ends_with('\n') {
        case.report.push('\n');
    }
    let files = files.strip_prefix("--- file ").unwrap_or_else(|| {
        case.files = vec![(String::from("failover.conf"), 0o600, files.to_string())];
        ""
    });
    for file in files.split("--- file ").filter(|file| !file.is_empty()) {
        let (head, text) = file.split_once('\n').expect("a file");
        let (name, mode) = head.split_once(' ').unwrap_or((head, "600"));
        let mode = u32::from_str_radix(mode, 8).expect("a mode");
        case.files.push((name.to_string(), mode, text.to_string()));
    }
    case
}

/// What the program says of the case, with its folder as `@DIR@`; `None` where this machine has no
/// place for that.
fn report_on(case: &Case) -> Option<String> {
    let folder = match case.written.contains("@DIR@") {
        true => Folder::safe()?,
        false => Folder::new(),
    };
    let place = folder.path().display().to_string();
    for (name, mode, text) in &case.files {
        folder.write(name, &bytes(&text.replace("@DIR@", &place)), *mode);
    }
    let said = folder.run(&["check-config", "-c", "failover.conf"], "");
    Some(report_of(&case.name, &said).replace(&place, "@DIR@"))
}

fn counted(warnings: usize) -> String {
    let more = if warnings == 1 { "" } else { "s" };
    format!("{warnings} warning{more}")
}

/// The report itself, after a look at everything that has to be the same in all.
fn report_of(name: &str, said: &Said) -> String {
    let Said { code, out, errors } = said;
    let is_place = |line: &&str| !line.starts_with("  ");
    let heads = || errors.lines().filter(is_place);
    let warnings = heads().filter(|line| line.contains(": warning: ")).count();
    if *code == 0 {
        assert_eq!(heads().count(), warnings, "{name}: {errors}");
        let told = format!(", {}\n", counted(warnings));
        assert!(
            out.starts_with("failover.conf: can be used; "),
            "{name}: {out}"
        );
        assert!(out.ends_with(&told), "{name}: {out}");
        return errors.clone();
    }
    assert_eq!((*code, out.as_str()), (78, ""), "{name}: {errors}");
    let wrong = heads().count() - warnings - 1;
    let told = format!("failover.conf: {wrong} wrong, {}\n", counted(warnings));
    let report = errors.strip_suffix(&told);
    let report = report.unwrap_or_else(|| panic!("{name}: no {told:?} in {errors}"));
    for line in report.lines().filter(is_place) {
        let mut places = line.splitn(4, ':').skip(1);
        let is_number = |place: Option<&str>| place.is_some_and(|it| it.parse::<u32>().is_ok());
        assert!(
            is_number(places.next()) && is_number(places.next()),
            "{name}: {line}"
        );
    }
    report.to_string()
}

/// As it is written here, to what is in the file.
fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for c in text.chars() {
        match u32::from(c) {
            0x2425 => bytes.push(0xfe),
            0x2426 => bytes.push(0xff),
            picture @ 0x2400..=0x241f => bytes.push((picture - 0x2400) as u8),
            _ => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// Each case says in its name what is wrong, once.
#[test]
fn names_of_cases_are_unique() {
    for file in files() {
        let text = fs::read_to_string(&file).unwrap();
        let mut names: Vec<String> = cases(&text).1.into_iter().map(|it| it.name).collect();
        names.sort();
        let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
        assert_eq!(twice, None, "{:?}", Path::new(&file));
    }
}
