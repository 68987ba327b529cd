//! Rules about lines and words, whatever they mean.

use crate::Fault;
use crate::source::Source;

/// A file that is longer has become two.
const FILE_LINES_MAX: usize = 600;

/// What rustfmt keeps code to; comments and strings have to be kept to it by hand.
const COLUMNS_MAX: usize = 100;

/// What a reader of a finished tree has no use for: unfinished work belongs in the tracker, and
/// nobody else has the author's folders. Words of letters count as whole words only ("mastodon").
const UNWANTED: [&str; 5] = ["/work/", "issue #", "todo", "fixme", "xxx"];

/// They have to name them: this list, and the list of macros.
const MAY_NAME_UNWANTED: [&str; 2] = ["tests/tidy/text.rs", "tests/tidy/code.rs"];

/// Lines that fit, without tabs or trailing blanks, and not too many of them.
pub(crate) fn lines(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, line) in source.lines.iter().enumerate() {
        let mut fault = |message: String| faults.push(Fault::new(&source.path, index, message));
        let columns = line.chars().count();
        // An address cannot be wrapped.
        let is_address = source.code[index].trim().is_empty() && line.contains("://");
        if columns > COLUMNS_MAX && !is_address {
            fault(format!("{columns} columns; expected {COLUMNS_MAX} at most"));
        }
        if line.contains('\t') {
            fault("a tab; expected blanks, or '\\t' in a string".to_string());
        }
        if line.ends_with([' ', '\t', '\r']) {
            fault("a blank at the end of the line; expected none".to_string());
        }
    }
    let count = source.lines.len();
    if count > FILE_LINES_MAX {
        let message = format!("{count} lines; expected {FILE_LINES_MAX} at most");
        faults.push(Fault::new(&source.path, FILE_LINES_MAX, message));
    }
    faults
}

/// No unwanted words in any text file.
pub(crate) fn words(path: &str, text: &str) -> Vec<Fault> {
    if MAY_NAME_UNWANTED.contains(&path) {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.to_lowercase();
        for word in UNWANTED.iter().filter(|word| contains(&line, word)) {
            let message = format!("'{word}'; expected a tree that speaks of what is");
            faults.push(Fault::new(path, index, message));
        }
    }
    faults
}

fn contains(line: &str, unwanted: &str) -> bool {
    let is_word = unwanted.chars().all(char::is_alphabetic);
    line.match_indices(unwanted).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + unwanted.len()..].chars().next();
        let touches = [before, after]
            .iter()
            .flatten()
            .any(|char| char.is_alphanumeric());
        !(is_word && touches)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::said;

    fn says(text: &str) -> Vec<String> {
        said(&lines(&Source::new("src/x.rs", text)))
    }

    #[test]
    fn a_long_line_is_caught_but_not_an_address() {
        assert_eq!(says(&"é".repeat(100)), [""; 0]);
        assert_eq!(
            says(&"a".repeat(101)),
            ["src/x.rs:1: 101 columns; expected 100 at most"]
        );
        assert_eq!(says(&format!("// https://{}", "a".repeat(100))), [""; 0]);
        assert_eq!(
            says(&format!("f(\"https://{}\");", "a".repeat(100))).len(),
            1
        );
    }

    #[test]
    fn tabs_and_trailing_blanks_are_caught() {
        assert_eq!(says("\ta\nb").len(), 1);
        assert_eq!(
            says("a \nb"),
            ["src/x.rs:1: a blank at the end of the line; expected none"]
        );
        assert_eq!(says("a\r\r\nb").len(), 1);
    }

    #[test]
    fn a_long_file_is_caught() {
        assert_eq!(says(&"a\n".repeat(600)), [""; 0]);
        assert_eq!(
            says(&"a\n".repeat(601)),
            ["src/x.rs:601: 601 lines; expected 600 at most"]
        );
    }

    #[test]
    fn unwanted_words_are_caught() {
        let says = |text: &str| said(&words("README.md", text));
        for text in ["// ToDo: a", "see /work/x", "Issue #3", "FIXME", "a xxx b"] {
            assert_eq!(says(text).len(), 1, "{text}");
        }
        assert_eq!(
            says("mastodon, network/a, XXXXXX, an issue, a method of"),
            [""; 0]
        );
        assert_eq!(
            says("\nxxx"),
            ["README.md:2: 'xxx'; expected a tree that speaks of what is"]
        );
    }
}
