//! What is wrong with a configuration, and where.
//!
//! All problems of a configuration are found in one run, each with its place, what was expected
//! and the line itself. Errors make it unusable; warnings explain what it will do.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::fmt::Write;

use crate::error::Error;
use crate::order;

/// A place in a configuration. Lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    pub(crate) file: usize,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl At {
    /// The first place of a file, for what concerns the whole of it.
    pub(crate) fn start_of(file: usize) -> At {
        At {
            file,
            line: 1,
            column: 1,
        }
    }
}

/// A message quotes what is wrong, which may be a whole file in one line. Nobody reads more than
/// the beginning and the end of that, each of so many bytes.
const HALF_LEN_MAX: usize = 400;

/// Of a line that is shown, so many characters at most are before its caret, and from there on.
const HALF_LINE_MAX: usize = 120;

/// A broken file brings thousands; nobody reads more errors than these, or warnings.
const PROBLEMS_MAX: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    Error,
    Warning,
}

/// One thing that is wrong, or worth a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) at: At,
    pub(crate) severity: Severity,
    pub(crate) message: String,
}

/// The problems found so far. Reading goes on after each, so that all are found in one run.
#[derive(Debug, Default)]
pub(crate) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    pub(crate) fn error(&self, at: At, message: impl Into<String>) {
        self.add(at, Severity::Error, message.into());
    }

    pub(crate) fn warning(&self, at: At, message: impl Into<String>) {
        self.add(at, Severity::Warning, message.into());
    }

    /// The value, or its error at this place.
    pub(crate) fn or_error<T>(&self, at: At, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.refused(at, &error);
                None
            }
        }
    }

    fn refused(&self, at: At, error: &Error) {
        self.error(at, format!("{error:?}"));
    }

    /// No number of warnings hides an error.
    fn add(&self, at: At, severity: Severity, mut message: String) {
        if message.len() > 2 * HALF_LEN_MAX {
            let mut end = message.len() - HALF_LEN_MAX;
            while !message.is_char_boundary(end) {
                end += 1;
            }
            message = format!("{message:.HALF_LEN_MAX$} ... {}", &message[end..]);
        }
        if self.count(severity) < PROBLEMS_MAX {
            self.0.borrow_mut().push(Problem {
                at,
                severity,
                message,
            });
        }
    }

    fn count(&self, severity: Severity) -> usize {
        let problems = self.0.borrow();
        let problems = problems.iter();
        problems.filter(|one| one.severity == severity).count()
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// Whether there are as many errors as are told of: what is meant by one more need not be
    /// found out.
    pub(crate) fn is_full(&self) -> bool {
        self.count(Severity::Error) >= PROBLEMS_MAX
    }

    /// In the order of the files.
    pub(crate) fn sorted(&self) -> Vec<Problem> {
        let mut problems = self.0.borrow().clone();
        order::sort(&mut problems, |one, other| {
            (one.at, one.severity).cmp(&(other.at, other.severity))
        });
        problems.dedup();
        problems
    }
}

/// The files of a configuration, kept to show their lines.
#[derive(Debug, Default)]
pub(crate) struct Sources(Vec<(String, Vec<String>)>);

impl Sources {
    /// Keeps a file, and says which number it has.
    pub(crate) fn keep(&mut self, name: &str, text: &str) -> usize {
        let lines = text.lines().map(str::to_string).collect();
        self.0.push((name.to_string(), lines));
        self.0.len() - 1
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn name(&self, file: usize) -> &str {
        self.0.get(file).map_or("", |(name, _)| name)
    }

    /// A place as one elsewhere speaks of it: `line 3`, or `line 3 of FILE` in another file.
    pub(crate) fn line_of(&self, at: At, from: At) -> String {
        if at.file == from.file {
            format!("line {}", at.line)
        } else {
            format!("line {} of {}", at.line, self.name(at.file))
        }
    }

    /// `FILE:LINE:COL: what is wrong; what was expected`, then the line with a caret.
    pub(crate) fn show(&self, problem: &Problem) -> String {
        let At { file, line, column } = problem.at;
        let kind = match problem.severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
        };
        let mut text = format!(
            "{}:{line}:{column}: {kind}{}\n",
            self.name(file),
            problem.message
        );
        let lines = self.0.get(file).map(|(_, lines)| lines);
        if let Some(source) = lines.and_then(|lines| lines.get(line - 1)) {
            let begin = (column - 1).saturating_sub(HALF_LINE_MAX);
            let (mut shown, mut indent) = (String::new(), String::new());
            for (index, c) in source
                .chars()
                .enumerate()
                .skip(begin)
                .take(2 * HALF_LINE_MAX)
            {
                // What a terminal would obey is not sent to it.
                let is_tab = c == '\t';
                shown.push(if !is_tab && c.is_control() { '?' } else { c });
                // The same tabs before the caret, so that it stands below its word.
                if index + 1 < column {
                    indent.push(if is_tab { c } else { ' ' });
                }
            }
            let _ = writeln!(text, "  {shown}\n  {indent}^");
        }
        text
    }

    /// All of them, and a last line that counts.
    pub(crate) fn report(&self, problems: &[Problem]) -> String {
        problems.iter().map(|problem| self.show(problem)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_shown_with_its_line_and_a_caret() {
        let mut sources = Sources::default();
        let file = sources.keep("a.conf", "server\n\tlisten \u{1b}x\n");
        let problems = Problems::default();
        let at = At {
            file,
            line: 2,
            column: 9,
        };
        problems.warning(at, "odd");
        problems.error(
            At {
                line: 1,
                column: 1,
                ..at
            },
            "bad",
        );
        assert!(problems.has_errors());
        assert_eq!(
            sources.report(&problems.sorted()),
            "a.conf:1:1: bad\n  server\n  ^\n\
             a.conf:2:9: warning: odd\n  \tlisten ?x\n  \t       ^\n"
        );
    }
}
