//! One Rust file, read just well enough to judge it: what is code, what is comment, which lines
//! are compiled for tests only, and the words of the code in order.
//!
//! This is no parser. It knows comments, strings and character literals, so that a rule about
//! code is not misled by prose, and it knows brackets. The Rust Reference, "Lexical structure",
//! is what it follows: <https://doc.rust-lang.org/reference/lexical-structure.html>.

/// A word or a mark of the code. `::` is one token, every other mark is a single character.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) text: String,
    /// Counted from 0, as an index into [`Source::code`].
    pub(crate) line: usize,
}

/// A file with what the rules ask about it. `code` and `comments` have the shape of `lines`, with
/// blanks in place of all that is not code or not comment.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) lines: Vec<String>,
    pub(crate) code: Vec<String>,
    pub(crate) comments: Vec<String>,
    pub(crate) tokens: Vec<Token>,
    /// Lines that are compiled for tests only.
    pub(crate) in_test: Vec<bool>,
    /// Names of modules in files of their own that are compiled for tests only.
    pub(crate) test_modules: Vec<String>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Source {
        let (code, comments) = split(text);
        let code: Vec<String> = code.lines().map(str::to_string).collect();
        let tokens = tokens(&code);
        let mut source = Source {
            path: path.to_string(),
            lines: text.lines().map(str::to_string).collect(),
            in_test: vec![false; code.len()],
            comments: comments.lines().map(str::to_string).collect(),
            code,
            tokens,
            test_modules: Vec::new(),
        };
        source.mark_tests();
        source
    }

    /// Whether the tokens from `at` on read like this.
    pub(crate) fn reads(&self, at: usize, words: &[&str]) -> bool {
        let found = self.tokens.get(at..at + words.len());
        found.is_some_and(|tokens| {
            tokens
                .iter()
                .zip(words)
                .all(|(token, word)| token.text == *word)
        })
    }

    /// The text of the token at `at`, or nothing after the end.
    pub(crate) fn word(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }

    /// The token that closes the bracket opened at `open`, or the last one.
    pub(crate) fn closing(&self, open: usize) -> usize {
        let mut depth = 0usize;
        for at in open..self.tokens.len() {
            match self.word(at) {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return at;
            }
        }
        self.tokens.len().saturating_sub(1)
    }

    /// Whether a comment with this marker stands on the line, or above the statement that the line
    /// belongs to.
    pub(crate) fn has_marker(&self, line: usize, marker: &str) -> bool {
        if self.comments[line].contains(marker) {
            return true;
        }
        for above in (0..line).rev() {
            let code = self.code[above].trim();
            let comment = self.comments[above].trim();
            let ends_something = code.ends_with([';', '{', '}', ',']);
            if ends_something || (code.is_empty() && comment.is_empty()) {
                return false;
            }
            if comment.contains(marker) {
                return true;
            }
        }
        false
    }

    fn mark_tests(&mut self) {
        for at in 0..self.tokens.len() {
            if self.reads(at, &["#", "!", "["]) && self.is_test_attribute(at + 2) {
                self.in_test.fill(true);
            } else if self.reads(at, &["#", "["]) && self.is_test_attribute(at + 1) {
                let (end, module) = self.item_end(at);
                self.test_modules.extend(module);
                let lines = self.tokens[at].line..=self.tokens[end].line;
                self.in_test[lines].fill(true);
            }
        }
    }

    /// `[test]`, or `[cfg(..)]` with a `test` in it that is not negated.
    fn is_test_attribute(&self, open: usize) -> bool {
        let negated = |at: usize| self.reads(at - 2, &["not", "("]);
        self.reads(open, &["[", "test", "]"])
            || self.reads(open, &["[", "cfg", "("])
                && (open + 3..self.closing(open)).any(|at| self.word(at) == "test" && !negated(at))
    }

    /// The last token of the item, field or statement that the attribute at `at` belongs to; and
    /// its name when it is a module in another file.
    fn item_end(&self, mut at: usize) -> (usize, Option<String>) {
        const KEYWORDS: [&str; 11] = [
            "const", "enum", "fn", "impl", "mod", "pub", "static", "struct", "trait", "type", "use",
        ];
        while self.word(at) == "#" {
            at = self.closing(at + 1) + 1;
        }
        let is_item = KEYWORDS.contains(&self.word(at));
        let mut module = None;
        while at < self.tokens.len() {
            match self.word(at) {
                "mod" if self.word(at + 2) == ";" => module = Some(self.word(at + 1).to_string()),
                "{" => return (self.closing(at), module),
                "(" | "[" => at = self.closing(at),
                ";" | "}" => return (at, module),
                "," if !is_item => return (at, module),
                _ => {}
            }
            at += 1;
        }
        (self.tokens.len() - 1, module)
    }
}

/// The same text twice: with nothing but its code, and with nothing but its comments. Of strings
/// and characters, a pair of quotes stays in the code.
fn split(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut comments) = (String::new(), String::new());
    let mut at = 0;
    while at < chars.len() {
        let (end, kind) = piece(&chars, at);
        for (index, &char) in chars.iter().enumerate().take(end).skip(at) {
            let is_end = index == at || index + 1 == end;
            let (in_code, in_comments) = match kind {
                _ if char == '\n' => (char, char),
                Kind::Code => (char, ' '),
                Kind::Comment => (' ', char),
                Kind::Literal => (if is_end { '"' } else { ' ' }, ' '),
            };
            code.push(in_code);
            comments.push(in_comments);
        }
        at = end;
    }
    (code, comments)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// Where the piece that starts at `at` ends, and what it is.
fn piece(chars: &[char], at: usize) -> (usize, Kind) {
    let next = chars.get(at + 1);
    match (chars[at], next) {
        ('/', Some('/')) => (find(chars, at, |char| char == '\n'), Kind::Comment),
        ('/', Some('*')) => (block_comment_end(chars, at), Kind::Comment),
        ('"', _) => (quoted_end(chars, at, '"'), Kind::Literal),
        ('\'', Some('\\')) => (quoted_end(chars, at, '\''), Kind::Literal),
        ('\'', Some(_)) if chars.get(at + 2) == Some(&'\'') => (at + 3, Kind::Literal),
        (char, _) if is_word(char) => word_or_raw_string(chars, at),
        _ => (at + 1, Kind::Code),
    }
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// The first place from `at` on where this holds, or the end.
fn find(chars: &[char], at: usize, holds: impl Fn(char) -> bool) -> usize {
    (at..chars.len())
        .find(|&at| holds(chars[at]))
        .unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (at, depth) = (at + 2, depth + 1),
            ('*', Some('/')) => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn quoted_end(chars: &[char], start: usize, quote: char) -> usize {
    let mut at = start + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            char if char == quote => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// A word; or, where the word is the prefix of a raw string, all of that string.
fn word_or_raw_string(chars: &[char], start: usize) -> (usize, Kind) {
    let end = find(chars, start, |char| !is_word(char));
    let prefix: String = chars[start..end].iter().collect();
    let quote = find(chars, end, |char| char != '#');
    if !["r", "br", "cr"].contains(&prefix.as_str()) || chars.get(quote) != Some(&'"') {
        return (end, Kind::Code);
    }
    let hashes = quote - end;
    let closes = |at: &usize| {
        chars[*at] == '"'
            && chars[at + 1..]
                .iter()
                .take_while(|char| **char == '#')
                .count()
                >= hashes
    };
    let closing = (quote + 1..chars.len()).find(closes);
    (
        closing.map_or(chars.len(), |at| at + 1 + hashes),
        Kind::Literal,
    )
}

fn tokens(code: &[String]) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (line, text) in code.iter().enumerate() {
        let chars: Vec<char> = text.chars().collect();
        let mut at = 0;
        while at < chars.len() {
            let end = match chars[at] {
                char if is_word(char) => find(&chars, at, |char| !is_word(char)),
                ':' if chars.get(at + 1) == Some(&':') => at + 2,
                _ => at + 1,
            };
            if !chars[at].is_whitespace() {
                tokens.push(Token {
                    text: chars[at..end].iter().collect(),
                    line,
                });
            }
            at = end;
        }
    }
    tokens
}

#[test]
fn comments_strings_and_characters_are_not_code() {
    let text =
        "a /* b /* c */ d */ e // f\n\"g \\\" h\" i 'j' '\\'' 'k: r#\"l \" m\"# n br\"o\" r#p";
    let source = Source::new("src/x.rs", text);
    let words = source.tokens.iter().map(|token| token.text.as_str());
    let words: Vec<&str> = words.filter(|word| word.chars().all(is_word)).collect();
    assert_eq!(words, ["a", "e", "i", "k", "n", "r", "p"]);
}

#[test]
fn lines_compiled_for_tests_only_are_known() {
    let text = "fn a() {}\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n\
                #[cfg(not(test))]\nfn d() {}\n#[cfg(any(test, x))]\nfn e<A, B>() {\n}\n\
                #[cfg(test)]\nmod far;\nfn f() {}";
    let source = Source::new("src/x.rs", text);
    let marked: Vec<usize> = (0..source.in_test.len())
        .filter(|&at| source.in_test[at])
        .collect();
    assert_eq!(marked, [1, 2, 3, 4, 5, 9, 10, 11, 12, 13]);
    assert_eq!(source.test_modules, ["far"]);
    assert!(Source::new("src/y.rs", "#![cfg(test)]\nfn a() {}").in_test[1]);
}

#[test]
fn a_marker_counts_on_its_line_and_above_its_statement_only() {
    let text = "// OK: a\nlet a =\n    b();\nc();\nd(); // OK: d";
    let source = Source::new("src/x.rs", text);
    let marked: Vec<bool> = (0..5).map(|line| source.has_marker(line, "OK:")).collect();
    assert_eq!(marked, [true, true, true, false, true]);
}
