//! JSON read: one value looked up in a text by its path.
//!
//! The reader walks the text once and builds no tree, so a text costs no more than its own length
//! and one value. It is strict, except that it tells a value that it has found in a text that is
//! cut off or broken further on. How long a text may be is the caller's to say.
#![forbid(unsafe_code)]

use std::borrow::Cow;

use crate::number;

/// Arrays and objects within each other; real answers have five or so, and each costs stack.
const DEPTH_MAX: usize = 32;

/// A value. Of arrays and objects only that they are there.
#[derive(Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(f64),
    String(String),
    Array,
    Object,
}

/// What a look into a text came to.
#[derive(Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) value: Option<Value>,
    /// Whether the text is one JSON value and nothing else.
    pub(crate) is_whole: bool,
}

/// Looks up a value by its path: the names of members and the indexes of elements, from outside to
/// inside, with dots between them, such as `checks.queue:depth.0.observedValue`. A name may have
/// dots itself; `*` stands for any name or index. Of several values the first one is it.
pub(crate) fn find(text: &[u8], path: &str) -> Found {
    // What is no UTF-8 is no JSON; what comes before it may be the value all the same.
    let valid = text.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let mut reader = Reader {
        // RFC 8259 section 8.1: it may be ignored.
        text: valid.strip_prefix('\u{feff}').unwrap_or(valid),
        at: 0,
        depth: 0,
        found: None,
    };
    let end = reader.value(Some(path));
    Found {
        value: reader.found,
        is_whole: end.is_ok() && valid.len() == text.len(),
    }
}

struct Malformed;

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    found: Option<Value>,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, Malformed> {
        let byte = self.peek().ok_or(Malformed)?;
        self.at += 1;
        Ok(byte)
    }

    fn skip_while(&mut self, holds: impl Fn(u8) -> bool) -> usize {
        let start = self.at;
        while self.peek().is_some_and(&holds) {
            self.at += 1;
        }
        self.at - start
    }

    fn skip_blanks(&mut self) {
        self.skip_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    /// One value, which is the one to find if nothing is left of the path, and what delimits it.
    fn value(&mut self, path: Option<&str>) -> Result<(), Malformed> {
        self.skip_blanks();
        let is_it = path == Some("") && self.found.is_none();
        let value = match self.peek().ok_or(Malformed)? {
            b'{' => {
                self.members(b'}', path)?;
                Value::Object
            }
            b'[' => {
                self.members(b']', path)?;
                Value::Array
            }
            b'"' => {
                let text = self.string()?;
                Value::String(if is_it {
                    text.into_owned()
                } else {
                    String::new()
                })
            }
            b'-' | b'0'..=b'9' => Value::Number(self.number()?),
            _ => self.word()?,
        };
        self.skip_blanks();
        // Without it, half a number would pass for a whole one.
        match self.peek() {
            None if self.depth == 0 => {}
            Some(b',' | b'}' | b']') if self.depth > 0 => {}
            _ => return Err(Malformed),
        }
        if is_it {
            self.found = Some(value);
        }
        Ok(())
    }

    /// An object or an array with all that is in it.
    fn members(&mut self, close: u8, path: Option<&str>) -> Result<(), Malformed> {
        let path = path.filter(|path| !path.is_empty());
        self.next()?;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Malformed);
        }
        self.skip_blanks();
        if self.peek() == Some(close) {
            self.at += 1;
            self.depth -= 1;
            return Ok(());
        }
        for index in 0.. {
            let rest = if close == b'}' {
                let name = self.name()?;
                path.and_then(|path| after_name(path, &name))
            } else {
                path.and_then(|path| after_index(path, index))
            };
            self.value(rest)?;
            match self.next()? {
                b',' => {}
                byte if byte == close => break,
                _ => return Err(Malformed),
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn name(&mut self) -> Result<Cow<'a, str>, Malformed> {
        self.skip_blanks();
        let name = self.string()?;
        self.skip_blanks();
        match self.next()? {
            b':' => Ok(name),
            _ => Err(Malformed),
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Malformed> {
        if self.next()? != b'"' {
            return Err(Malformed);
        }
        let mut decoded: Option<String> = None;
        loop {
            let start = self.at;
            self.skip_while(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
            let run = self.text.get(start..self.at).ok_or(Malformed)?;
            match (self.next()?, decoded.as_mut()) {
                (b'"', None) => return Ok(Cow::Borrowed(run)),
                (b'"', Some(text)) => {
                    text.push_str(run);
                    return Ok(Cow::Owned(decoded.unwrap_or_default()));
                }
                (b'\\', _) => {
                    let char = self.escape()?;
                    let text = decoded.get_or_insert_default();
                    text.push_str(run);
                    text.push(char);
                }
                _ => return Err(Malformed),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Malformed> {
        Ok(match self.next()? {
            byte @ (b'"' | b'\\' | b'/') => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.four_digits()?;
                let low = (0xd800..0xdc00)
                    .contains(&unit)
                    .then(|| self.low_half())
                    .flatten();
                let code = low.map_or(unit, |low| {
                    0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
                });
                // Half a pair is nothing that a `char` can be, and no reason to refuse the rest.
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return Err(Malformed),
        })
    }

    fn four_digits(&mut self) -> Result<u32, Malformed> {
        let mut number = 0;
        for _ in 0..4 {
            let digit = char::from(self.next()?).to_digit(16).ok_or(Malformed)?;
            number = number << 4 | digit;
        }
        Ok(number)
    }

    /// The second half of a pair, if that is what comes next.
    fn low_half(&mut self) -> Option<u32> {
        let start = self.at;
        if self.text.get(start..start + 2) == Some("\\u") {
            self.at += 2;
            match self.four_digits() {
                Ok(low) if (0xdc00..0xe000).contains(&low) => return Some(low),
                _ => self.at = start,
            }
        }
        None
    }

    fn number(&mut self) -> Result<f64, Malformed> {
        let start = self.at;
        let digits = |byte: u8| byte.is_ascii_digit();
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.next()? {
            b'0' => {}
            b'1'..=b'9' => drop(self.skip_while(digits)),
            _ => return Err(Malformed),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.skip_while(digits) == 0 {
                return Err(Malformed);
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            if self.skip_while(digits) == 0 {
                return Err(Malformed);
            }
        }
        let text = self.text.get(start..self.at).ok_or(Malformed)?;
        number::parse(text).ok_or(Malformed)
    }

    fn word(&mut self) -> Result<Value, Malformed> {
        let rest = self.text.get(self.at..).ok_or(Malformed)?;
        let words = [
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("null", Value::Null),
        ];
        let found = words.into_iter().find(|(word, _)| rest.starts_with(word));
        let (word, value) = found.ok_or(Malformed)?;
        self.at += word.len();
        Ok(value)
    }
}

/// What is left of a path below a member of that name.
fn after_name<'p>(path: &'p str, name: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(name).or_else(|| path.strip_prefix('*'))?;
    if rest.is_empty() {
        Some("")
    } else {
        rest.strip_prefix('.')
    }
}

/// What is left of a path below the element with that index.
fn after_index(path: &str, index: usize) -> Option<&str> {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    (first == "*" || first.parse() == Ok(index)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEALTH: &str = r#"{"status": "pass", "a.b": {"c": 1}, "a": {"b": {"c": 2, "d": 3}},
        "checks": {"queue:depth": [{"observedValue": 120.5e0, "time": null}, {"x": [true, -1]}]},
        "text": "\u00e9\ud83d\ude00\n\"\/\ud800x", "": 7}"#;

    fn value(text: &str, path: &str) -> Option<Value> {
        find(text.as_bytes(), path).value
    }

    fn is_json(text: &[u8]) -> bool {
        find(text, "").is_whole
    }

    #[test]
    fn values_are_found_by_their_paths() {
        for (path, expected) in [
            ("status", Value::String("pass".to_string())),
            ("checks.queue:depth.0.observedValue", Value::Number(120.5)),
            ("checks.queue:depth.0.time", Value::Null),
            ("checks.queue:depth.1.x.0", Value::Bool(true)),
            ("checks.queue:depth.1.x.1", Value::Number(-1.0)),
            ("checks.queue:depth.1.x", Value::Array),
            ("checks", Value::Object),
            ("a.b.c", Value::Number(1.0)),
            ("a.b.d", Value::Number(3.0)),
            ("text", Value::String("é😀\n\"/\u{fffd}x".to_string())),
            ("*", Value::String("pass".to_string())),
            ("checks.*.*.observedValue", Value::Number(120.5)),
            ("checks.*.*.x", Value::Array),
            ("", Value::Object),
        ] {
            assert_eq!(value(HEALTH, path), Some(expected), "{path}");
        }
        for path in [
            "statu",
            "status.x",
            "checks.queue:depth.2",
            "a.b.e",
            "A",
            "checks.*.y",
            "*x",
        ] {
            assert_eq!(value(HEALTH, path), None, "{path}");
        }
        assert!(is_json(HEALTH.as_bytes()));
        assert_eq!(value("{\"a\":1,\"a\":2}", "a"), Some(Value::Number(1.0)));
        assert_eq!(value("\u{feff}[5]", "0"), Some(Value::Number(5.0)));
    }

    #[test]
    fn what_is_no_json_is_told() {
        for good in [
            "0",
            "-0.5E+3",
            "\"\"",
            " [ ] ",
            "{}",
            "null",
            "[1,[2,{}]]",
            "1e999",
            "\"\u{7f}\"",
        ] {
            assert!(is_json(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            " ",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "-",
            "0x1",
            "NaN",
            "nul",
            "nulls",
            "'a'",
            "\"a",
            "\"\n\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "[1}",
            "{]",
            "[",
            "1 2",
            "{} x",
            "\"a\"\"b\"",
            "// a",
        ] {
            assert!(!is_json(bad.as_bytes()), "{bad}");
        }
        assert!(!is_json(b"\"\xff\"") && !is_json(b"1 \xff"));
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(is_json(nested(DEPTH_MAX).as_bytes()));
        assert!(!is_json(nested(DEPTH_MAX + 1).as_bytes()));
        assert!(!is_json("[".repeat(1_000_000).as_bytes()));
    }

    #[test]
    fn the_deepest_text_fits_the_stack_of_a_prober() {
        let text = "[".repeat(DEPTH_MAX) + "7" + &"]".repeat(DEPTH_MAX);
        let path = ["0"; DEPTH_MAX].join(".");
        let reader = std::thread::Builder::new().stack_size(64 * 1024);
        let found = reader.spawn(move || value(&text, &path)).unwrap().join();
        assert_eq!(found.unwrap(), Some(Value::Number(7.0)));
    }

    #[test]
    fn half_a_value_is_none_and_what_came_before_the_break_counts() {
        let found = find(b"{\"a\": 12, \"b\": 34", "a");
        assert_eq!(
            (found.value, found.is_whole),
            (Some(Value::Number(12.0)), false)
        );
        for half in ["{\"a\": 12", "{\"a\": 01}", "{\"a\": 1x}", "{\"a\": \"12"] {
            assert_eq!(value(half, "a"), None, "{half}");
        }
        assert_eq!(
            find(b"{\"a\":1,\"b\":\"\xff\"}", "a").value,
            Some(Value::Number(1.0))
        );
    }

    #[test]
    fn no_bytes_bring_it_down() {
        let golden = HEALTH.as_bytes();
        for len in 0..golden.len() {
            assert!(!is_json(&golden[..len]), "{len}");
        }
        for position in 0..golden.len() {
            for byte in 0..=255 {
                let mut flipped = golden.to_vec();
                flipped[position] = byte;
                find(&flipped, "checks.queue:depth.0.observedValue");
            }
        }
    }
}
