//! JSON written, so that it can stand in a page of HTML, too.
//!
//! What is written is well-formed as long as each key is followed by one value.
#![forbid(unsafe_code)]

/// Writes a string with its quotes. Nothing in it can end a `script` element or a string of the
/// language that reads it.
#[allow(dead_code)]
pub(crate) fn write_string(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}' | '<' | '\u{7f}' => {
                let code = usize::from(char as u8);
                out.push_str("\\u00");
                out.push(char::from(HEX[code >> 4]));
                out.push(char::from(HEX[code & 15]));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Writes JSON piece by piece and sets the commas.
#[allow(dead_code)]
#[derive(Default)]
pub(crate) struct Writer {
    text: String,
    needs_comma: bool,
}

#[allow(dead_code)]
impl Writer {
    pub(crate) fn new() -> Writer {
        Writer::default()
    }

    /// What has been written.
    pub(crate) fn into_text(self) -> String {
        self.text
    }

    /// An object, with whatever `inside` writes in it.
    pub(crate) fn object(&mut self, inside: impl FnOnce(&mut Writer)) {
        self.open('{');
        inside(self);
        self.close('}');
    }

    /// An array, with whatever `inside` writes in it.
    pub(crate) fn array(&mut self, inside: impl FnOnce(&mut Writer)) {
        self.open('[');
        inside(self);
        self.close(']');
    }

    /// A member's name; its value has to follow.
    pub(crate) fn key(&mut self, name: &str) -> &mut Writer {
        self.begin();
        write_string(&mut self.text, name);
        self.text.push(':');
        self.needs_comma = false;
        self
    }

    pub(crate) fn string(&mut self, text: &str) {
        self.begin();
        write_string(&mut self.text, text);
    }

    /// JSON has neither infinities nor what is no number; they become `null`.
    pub(crate) fn number(&mut self, number: f64) {
        if number.is_finite() {
            self.raw(&plain(number));
        } else {
            self.null();
        }
    }

    /// A count, however large.
    pub(crate) fn count(&mut self, count: u64) {
        self.raw(&count.to_string());
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.raw(if value { "true" } else { "false" });
    }

    pub(crate) fn null(&mut self) {
        self.raw("null");
    }

    fn raw(&mut self, text: &str) {
        self.begin();
        self.text.push_str(text);
    }

    fn begin(&mut self) {
        if self.needs_comma {
            self.text.push(',');
        }
        self.needs_comma = true;
    }

    fn open(&mut self, bracket: char) {
        self.begin();
        self.text.push(bracket);
        self.needs_comma = false;
    }

    fn close(&mut self, bracket: char) {
        self.text.push(bracket);
        self.needs_comma = true;
    }
}

/// A number in the shorter of its two spellings: without an exponent, the largest would have 300
/// digits.
pub(crate) fn plain(number: f64) -> String {
    if number == 0.0 || (1e-5..1e15).contains(&number.abs()) || !number.is_finite() {
        number.to_string()
    } else {
        format!("{number:e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::{Value, find};

    #[test]
    fn what_is_written_is_read_again() {
        let hostile = "</script>\"\\\u{0}\u{1f}\u{7f}\té😀";
        let mut writer = Writer::new();
        writer.object(|w| {
            w.key("name").string(hostile);
            w.key("list").array(|w| {
                w.number(1.5);
                w.number(f64::NAN);
                w.object(|_| {});
                w.array(|w| w.bool(true));
                w.null();
            });
            w.key("count").count(u64::MAX);
            w.key("ok").bool(false);
        });
        let text = writer.into_text();
        assert_eq!(
            text,
            "{\"name\":\"\\u003c/script>\\\"\\\\\\u0000\\u001f\\u007f\\té😀\",\
             \"list\":[1.5,null,{},[true],null],\"count\":18446744073709551615,\"ok\":false}"
        );
        assert!(find(text.as_bytes(), "").is_whole);
        assert_eq!(
            find(text.as_bytes(), "name").value,
            Some(Value::String(hostile.to_string()))
        );
    }

    #[test]
    fn numbers_are_never_long() {
        for (number, text) in [
            (0.0, "0"),
            (120.0, "120"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e300, "1e300"),
            (1e-300, "1e-300"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(plain(number), text);
        }
    }
}
