//! JSON (RFC 8259) as text.
//!
//! What is written here is valid by construction and safe inside a page: a `<` never appears as
//! itself, nor does a control character, whatever a peer put into a text.
#![forbid(unsafe_code)]

use std::fmt::Write as _;

/// Writes one value, from its beginning to its end. Commas come by themselves; that every object
/// and array which is begun is ended, and that keys stand in objects, is the caller's affair.
#[derive(Default)]
pub(crate) struct Writer(String);

impl Writer {
    /// Nothing written yet.
    pub(crate) fn new() -> Writer {
        Writer::default()
    }

    /// What was written.
    pub(crate) fn finish(self) -> String {
        self.0
    }

    /// `{`
    pub(crate) fn begin_object(&mut self) {
        self.separate();
        self.0.push('{');
    }

    /// `}`
    pub(crate) fn end_object(&mut self) {
        self.0.push('}');
    }

    /// `[`
    pub(crate) fn begin_array(&mut self) {
        self.separate();
        self.0.push('[');
    }

    /// `]`
    pub(crate) fn end_array(&mut self) {
        self.0.push(']');
    }

    /// The name of the next value.
    pub(crate) fn key(&mut self, key: &str) -> &mut Writer {
        self.text(key);
        self.0.push(':');
        self
    }

    /// A string.
    pub(crate) fn text(&mut self, text: &str) {
        self.separate();
        self.0.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.0.extend(['\\', c]),
                '\n' => self.0.push_str("\\n"),
                '<' | '\u{2028}' | '\u{2029}' => self.escape(c),
                c if c.is_control() => self.escape(c),
                c => self.0.push(c),
            }
        }
        self.0.push('"');
    }

    /// A string, or null where there is none.
    pub(crate) fn text_or_null(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.null(),
        }
    }

    /// An array of strings.
    pub(crate) fn texts(&mut self, texts: &[String]) {
        self.begin_array();
        for text in texts {
            self.text(text);
        }
        self.end_array();
    }

    /// A number without a fraction.
    pub(crate) fn whole(&mut self, number: u64) {
        self.decimal(number, 0);
    }

    /// A number with thousandths, without zeros at its end: 1 and 500 are `1.5`.
    pub(crate) fn decimal(&mut self, whole: u64, thousandths: u32) {
        self.separate();
        push_decimal(&mut self.0, whole, thousandths, 3);
    }

    /// `true` or `false`
    pub(crate) fn flag(&mut self, flag: bool) {
        self.separate();
        self.0.push_str(if flag { "true" } else { "false" });
    }

    /// `null`
    pub(crate) fn null(&mut self) {
        self.separate();
        self.0.push_str("null");
    }

    /// All others are of the basic plane, so that four digits are enough.
    fn escape(&mut self, c: char) {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "\\u{:04x}", u32::from(c));
    }

    /// A value or a key that follows another needs a comma; what was written last tells.
    fn separate(&mut self) {
        if !matches!(self.0.as_bytes().last(), None | Some(b'{' | b'[' | b':')) {
            self.0.push(',');
        }
    }
}

/// A number with a fraction of so many decimal places, without zeros at its end: JSON's form of it,
/// and that of everything else here which would otherwise need floating point.
pub(crate) fn push_decimal(text: &mut String, whole: u64, fraction: u32, places: usize) {
    // Writing to a String cannot fail.
    let _ = write!(text, "{whole}");
    if fraction > 0 {
        let _ = write!(text, ".{fraction:0places$}");
        text.truncate(text.trim_end_matches('0').len());
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Whether a text is one JSON value and nothing else: a recognizer that shares nothing with
    /// the writer.
    pub(crate) fn is_valid(text: &str) -> bool {
        value(text.as_bytes()).is_some_and(<[u8]>::is_empty)
    }

    /// What follows the value at the beginning.
    fn value(bytes: &[u8]) -> Option<&[u8]> {
        match bytes.first()? {
            b'"' => string(bytes),
            b'{' => members(&bytes[1..], b'}', |bytes| {
                value(string(bytes)?.strip_prefix(b":")?)
            }),
            b'[' => members(&bytes[1..], b']', value),
            b't' => bytes.strip_prefix(b"true"),
            b'f' => bytes.strip_prefix(b"false"),
            b'n' => bytes.strip_prefix(b"null"),
            _ => number(bytes),
        }
    }

    fn members(bytes: &[u8], end: u8, member: fn(&[u8]) -> Option<&[u8]>) -> Option<&[u8]> {
        if bytes.first() == Some(&end) {
            return Some(&bytes[1..]);
        }
        let mut rest = bytes;
        loop {
            rest = member(rest)?;
            match rest.split_first()? {
                (b',', after) => rest = after,
                (byte, after) => return (*byte == end).then_some(after),
            }
        }
    }

    fn string(bytes: &[u8]) -> Option<&[u8]> {
        let mut rest = bytes.strip_prefix(b"\"")?;
        loop {
            match rest {
                [b'"', after @ ..] => return Some(after),
                [b'\\', b'"' | b'\\' | b'n', after @ ..] => rest = after,
                [b'\\', b'u', a, b, c, d, after @ ..]
                    if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) =>
                {
                    rest = after;
                }
                [b'\\', ..] | [0..0x20, ..] | [] => return None,
                [_, after @ ..] => rest = after,
            }
        }
    }

    fn number(bytes: &[u8]) -> Option<&[u8]> {
        let digits = |bytes: &[u8]| bytes.iter().take_while(|b| b.is_ascii_digit()).count();
        let whole = digits(bytes);
        let leads_with_zero = whole > 1 && bytes[0] == b'0';
        if whole == 0 || leads_with_zero {
            return None;
        }
        match bytes[whole..].strip_prefix(b".") {
            Some(fraction) => {
                let len = digits(fraction);
                (len > 0).then(|| &fraction[len..])
            }
            None => Some(&bytes[whole..]),
        }
    }

    #[test]
    fn commas_stand_where_they_belong() {
        let mut json = Writer::new();
        json.begin_object();
        json.key("a").begin_array();
        json.end_array();
        json.key("b").begin_array();
        json.whole(1);
        json.begin_object();
        json.end_object();
        json.null();
        json.text(":");
        json.text("{");
        json.flag(true);
        json.end_array();
        json.key("c").texts(&[String::from("d"), String::from("e")]);
        json.key("f").text_or_null(None);
        json.end_object();
        let text = json.finish();
        assert_eq!(
            text,
            r#"{"a":[],"b":[1,{},null,":","{",true],"c":["d","e"],"f":null}"#
        );
        assert!(is_valid(&text));
    }

    #[test]
    fn whatever_a_text_holds_stays_inside_it() {
        let mut json = Writer::new();
        json.text("</script>\"\\\n\r\u{0}\u{7f}\u{9b}\u{2028}é\u{1f600}");
        let text = json.finish();
        assert_eq!(
            text,
            "\"\\u003c/script>\\\"\\\\\\n\\u000d\\u0000\\u007f\\u009b\\u2028é\u{1f600}\""
        );
        assert!(is_valid(&text));
        for c in (0..0x3000).filter_map(char::from_u32) {
            let mut json = Writer::new();
            json.text(&c.to_string());
            assert!(is_valid(&json.finish()), "{c:?}");
        }
    }

    #[test]
    fn numbers_have_the_digits_that_mean_something() {
        for (whole, thousandths, text) in [
            (0, 0, "0"),
            (5, 0, "5"),
            (1, 500, "1.5"),
            (1, 234, "1.234"),
            (0, 1, "0.001"),
            (10, 10, "10.01"),
            (u64::MAX, 0, "18446744073709551615"),
        ] {
            let mut json = Writer::new();
            json.decimal(whole, thousandths);
            assert_eq!(json.finish(), text);
            assert!(is_valid(text));
        }
    }

    #[test]
    fn what_is_no_json_is_seen() {
        for text in [
            "",
            "{",
            "[1,]",
            "[,1]",
            "{\"a\"}",
            "{\"a\":1,}",
            "\"\n\"",
            "\"\\x\"",
            "01",
            "1.",
            "[1 2]",
            "nul",
            "1,",
            "\"",
        ] {
            assert!(!is_valid(text), "{text}");
        }
    }
}
