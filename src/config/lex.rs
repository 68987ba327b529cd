//! From text to words: lines, blanks, quotes, comments.
//!
//! ```text
//! LINE    = [BLANKS] WORD (BLANKS WORD)* [COMMENT]     a line without leading blanks opens a block
//! WORD    = plain characters up to a blank | '"' (character | ESCAPE)* '"'
//! ESCAPE  = \" \\ \n \r \t \xNN
//! COMMENT = '#' at the start of a word, up to the end of the line
//! ```
//!
//! CRLF and a byte order mark are tolerated. What was meant as something else is not taken for a
//! word: other quotes, blanks that are none, control characters. It knows no keyword.
#![forbid(unsafe_code)]

use super::problem::{At, Problems};

/// One word, unquoted.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    /// As text; bytes that `\xNN` made and that are none stand as U+FFFD.
    pub(crate) text: String,
    /// As bytes, which is what a check sends.
    pub(crate) bytes: Vec<u8>,
    /// Whether escapes have been made bytes.
    pub(crate) is_quoted: bool,
    pub(crate) at: At,
}

impl Word {
    pub(crate) fn plain(text: &str, at: At) -> Word {
        Word {
            text: text.to_string(),
            bytes: text.as_bytes().to_vec(),
            is_quoted: false,
            at,
        }
    }

    /// The same word in quotes, which a shell has taken: its escapes stand for bytes.
    pub(crate) fn unescaped(&self, problems: &Problems) -> Word {
        let characters: Vec<char> = self.text.chars().collect();
        let mut lexer = Lexer {
            characters: &characters,
            next: 0,
            file: self.at.file,
            line: self.at.line,
            is_broken: false,
            problems,
        };
        let mut bytes = Vec::new();
        while let Some(c) = lexer.peek() {
            lexer.next += 1;
            lexer.quoted_character(c, &mut bytes);
        }
        if lexer.next > characters.len() {
            lexer.bad_escape(0, "");
        }
        quoted_word(bytes, self.at)
    }
}

fn quoted_word(bytes: Vec<u8>, at: At) -> Word {
    Word {
        text: String::from_utf8_lossy(&bytes).into_owned(),
        bytes,
        is_quoted: true,
        at,
    }
}

/// A line that has words.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) words: Vec<Word>,
    /// Whether blanks stand before the first word.
    pub(crate) is_indented: bool,
    /// Whether something in it could not be read, which has been told; its words are doubtful.
    pub(crate) is_broken: bool,
}

/// The lines of a file that say something.
pub(crate) fn lines(file: usize, text: &str, problems: &Problems) -> Vec<Line> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let characters: Vec<char> = line.chars().collect();
        let mut lexer = Lexer {
            characters: &characters,
            next: 0,
            file,
            line: index + 1,
            is_broken: false,
            problems,
        };
        let words = lexer.words();
        if !words.is_empty() {
            lines.push(Line {
                words,
                is_indented: characters.first().is_some_and(|c| c.is_whitespace()),
                is_broken: lexer.is_broken,
            });
        }
    }
    lines
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

struct Lexer<'a> {
    characters: &'a [char],
    next: usize,
    file: usize,
    line: usize,
    is_broken: bool,
    problems: &'a Problems,
}

impl Lexer<'_> {
    /// Tells what cannot be read at that character; the first in a line says it for all.
    fn wrong(&mut self, index: usize, message: impl Into<String>) {
        if !self.is_broken {
            self.problems.error(self.at(index), message);
        }
        self.is_broken = true;
    }

    fn at(&self, index: usize) -> At {
        At {
            file: self.file,
            line: self.line,
            column: index + 1,
        }
    }

    fn words(&mut self) -> Vec<Word> {
        let mut words = Vec::new();
        loop {
            while self.peek().is_some_and(is_blank) {
                self.next += 1;
            }
            match self.peek() {
                None | Some('#') => return words,
                Some('"') => words.extend(self.quoted()),
                Some(_) => words.push(self.plain()),
            }
        }
    }

    fn peek(&self) -> Option<char> {
        self.characters.get(self.next).copied()
    }

    fn plain(&mut self) -> Word {
        let start = self.next;
        while self.peek().is_some_and(|c| !is_blank(c)) {
            self.next += 1;
        }
        let characters = &self.characters[start..self.next];
        let text: String = characters.iter().collect();
        if let Some((offset, message)) = unreadable(&text, characters) {
            self.wrong(start + offset, message);
        }
        Word::plain(&text, self.at(start))
    }

    /// A quoted word; none if it does not end, which ends the line.
    fn quoted(&mut self) -> Option<Word> {
        let start = self.next;
        self.next += 1;
        let mut bytes = Vec::new();
        loop {
            let Some(c) = self.peek() else {
                self.wrong(
                    start,
                    "a quote that does not end; expected another \" on this line",
                );
                return None;
            };
            self.next += 1;
            match c {
                '"' => break,
                c if c.is_control() && c != '\t' => {
                    let what = c.escape_debug();
                    let message = format!("a control character, \"{what}\"; expected \\xNN for it");
                    self.wrong(self.next - 1, message);
                }
                _ => self.quoted_character(c, &mut bytes),
            }
        }
        if self.peek().is_some_and(|c| !is_blank(c)) {
            self.wrong(
                self.next,
                "something follows a quoted word at once; expected a blank",
            );
        }
        Some(quoted_word(bytes, self.at(start)))
    }

    /// One character in quotes, after which the next one is looked at.
    fn quoted_character(&mut self, c: char, bytes: &mut Vec<u8>) {
        match c {
            '\\' => self.escape(bytes),
            _ => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) {
        let start = self.next - 1;
        let escaped = self.peek();
        self.next += 1;
        match escaped {
            Some('n') => bytes.push(b'\n'),
            Some('r') => bytes.push(b'\r'),
            Some('t') => bytes.push(b'\t'),
            Some('"') => bytes.push(b'"'),
            Some('\\') => bytes.push(b'\\'),
            Some('x') => {
                let digits = self.characters[self.next..].iter().take(2);
                let digits: String = digits.take_while(|c| c.is_ascii_hexdigit()).collect();
                match u8::from_str_radix(&digits, 16) {
                    Ok(byte) if digits.len() == 2 => {
                        bytes.push(byte);
                        self.next += 2;
                    }
                    _ => self.bad_escape(start, &format!("x{digits}")),
                }
            }
            Some(other) => self.bad_escape(start, &other.to_string()),
            // The quote does not end either, which says it.
            None => {}
        }
    }

    fn bad_escape(&mut self, start: usize, found: &str) {
        let message =
            format!("\"\\{found}\" is no escape; expected \\\" \\\\ \\n \\r \\t or \\xNN");
        self.wrong(start, message);
    }
}

/// What in a word without quotes cannot be meant, and at which character.
fn unreadable(text: &str, characters: &[char]) -> Option<(usize, String)> {
    let position = |is: fn(char) -> bool| characters.iter().position(|c| is(*c));
    if let Some(offset) = position(|c| c.is_whitespace() && !c.is_control()) {
        let what = characters[offset].escape_unicode();
        let message = format!("\"{what}\" looks like a blank; expected a plain one");
        return Some((offset, message));
    }
    if let Some(offset) = position(char::is_control) {
        let what = characters[offset].escape_debug();
        let message = format!("a control character, \"{what}\"; expected text");
        return Some((offset, message));
    }
    let first = characters.first()?;
    if matches!(first, '\'' | '\u{2018}'..='\u{201a}' | '\u{201c}'..='\u{201e}') {
        let message = format!("{first} is no quote here; expected \"...\" around the word");
        return Some((0, message));
    }
    let offset = position(|c| c == '"')?;
    let message = format!("a quote inside of {text:?}; expected quotes around the whole word");
    Some((offset, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Line>, Vec<String>) {
        let problems = Problems::default();
        let lines = lines(0, text, &problems);
        let show = |at: At| format!("{}:{}", at.line, at.column);
        let sorted = problems.sorted();
        let messages = sorted
            .iter()
            .map(|one| format!("{}: {}", show(one.at), one.message));
        (lines, messages.collect())
    }

    #[test]
    fn words_are_split_and_comments_and_marks_are_left_out() {
        let text = "\u{feff}server # x\r\n\n  # only\n\tlisten\t a#b  \"c # d\" #\n";
        let (lines, problems) = read(text);
        assert!(problems.is_empty(), "{problems:?}");
        let words: Vec<Vec<&str>> = lines
            .iter()
            .map(|line| line.words.iter().map(|word| word.text.as_str()).collect())
            .collect();
        assert_eq!(words, [vec!["server"], vec!["listen", "a#b", "c # d"]]);
        assert_eq!((lines[0].is_indented, lines[1].is_indented), (false, true));
        let at = lines[1].words[2].at;
        assert_eq!((at.line, at.column), (4, 15));
    }

    #[test]
    fn quoted_words_may_hold_any_byte() {
        let (lines, problems) = read(r#"send "a\"\\\r\n\t\x00\xff é""#);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(lines[0].words[1].bytes, b"a\"\\\r\n\t\x00\xff \xc3\xa9");
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_place() {
        for (text, message) in [
            (
                "a \"b",
                "1:3: a quote that does not end; expected another \" on this line",
            ),
            (
                "a b\"c\"",
                "1:4: a quote inside of \"b\\\"c\\\"\"; expected quotes around the whole word",
            ),
            (
                "\"a\"b",
                "1:4: something follows a quoted word at once; expected a blank",
            ),
            (
                "\"\\q\"",
                "1:2: \"\\q\" is no escape; expected \\\" \\\\ \\n \\r \\t or \\xNN",
            ),
            (
                "\"\\x1\"",
                "1:2: \"\\x1\" is no escape; expected \\\" \\\\ \\n \\r \\t or \\xNN",
            ),
            (
                "\"\\x+1\"",
                "1:2: \"\\x\" is no escape; expected \\\" \\\\ \\n \\r \\t or \\xNN",
            ),
            (
                "a 'b c'",
                "1:3: ' is no quote here; expected \"...\" around the word",
            ),
            (
                "a\u{a0}b",
                "1:2: \"\\u{a0}\" looks like a blank; expected a plain one",
            ),
            (
                "\"a\u{7}\"",
                "1:3: a control character, \"\\u{7}\"; expected \\xNN for it",
            ),
            (
                "a\u{7}",
                "1:2: a control character, \"\\u{7}\"; expected text",
            ),
        ] {
            let (_, problems) = read(text);
            assert_eq!(
                problems.first().map(String::as_str),
                Some(message),
                "{text}"
            );
        }
    }

    #[test]
    fn no_text_makes_it_panic() {
        let text = "component a\n  send \"\\x41\\\"\" # c\n\tx";
        for end in 0..=text.len() {
            read(&text[..end]);
        }
        for index in 0..text.len() {
            for byte in [b'"', b'\\', b'#', b'\n', b'\t', 0] {
                let mut bytes = text.as_bytes().to_vec();
                bytes[index] = byte;
                read(&String::from_utf8_lossy(&bytes));
            }
        }
    }
}
