//! JSON (RFC 8259) as the tests read and write it: short, and trusting those who wrote it.

use std::iter::Peekable;
use std::str::Chars;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Flag(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Map(Vec<(String, Json)>),
}

static NULL: Json = Json::Null;

impl Json {
    pub(crate) fn read(text: &str) -> Json {
        value(&mut text.chars().peekable())
    }

    /// What is in a map under that key; null if it has none.
    pub(crate) fn at(&self, key: &str) -> &Json {
        let Json::Map(entries) = self else {
            return &NULL;
        };
        let mut entries = entries.iter();
        entries
            .find(|(is, _)| is == key)
            .map_or(&NULL, |(_, value)| value)
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Json::Text(text) => text,
            _ => "",
        }
    }

    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Json::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn list(&self) -> &[Json] {
        match self {
            Json::List(list) => list,
            _ => &[],
        }
    }
}

fn value(text: &mut Peekable<Chars<'_>>) -> Json {
    skip(text);
    match text.peek() {
        Some('{') => Json::Map(many(text, '}', |text| {
            skip(text);
            let key = string(text);
            skip(text);
            assert_eq!(text.next(), Some(':'));
            (key, value(text))
        })),
        Some('[') => Json::List(many(text, ']', value)),
        Some('"') => Json::Text(string(text)),
        _ => plain(text),
    }
}

fn skip(text: &mut Peekable<Chars<'_>>) {
    while text.next_if(|char| char.is_ascii_whitespace()).is_some() {}
}

fn many<T>(
    text: &mut Peekable<Chars<'_>>,
    end: char,
    one: impl Fn(&mut Peekable<Chars<'_>>) -> T,
) -> Vec<T> {
    text.next();
    let mut all = Vec::new();
    skip(text);
    if text.next_if_eq(&end).is_some() {
        return all;
    }
    loop {
        all.push(one(text));
        skip(text);
        match text.next() {
            Some(',') => {}
            Some(char) if char == end => return all,
            other => panic!("{other:?}; expected ',' or {end:?}"),
        }
    }
}

fn string(text: &mut Peekable<Chars<'_>>) -> String {
    assert_eq!(text.next(), Some('"'));
    let mut units = Vec::new();
    loop {
        let char = match text.next().expect("an end of the string") {
            '"' => return String::from_utf16_lossy(&units),
            '\\' => match text.next().expect("an escape") {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'u' => {
                    let digits: String = text.take(4).collect();
                    units.push(u16::from_str_radix(&digits, 16).unwrap());
                    continue;
                }
                char => char,
            },
            char => char,
        };
        units.extend_from_slice(char.encode_utf16(&mut [0; 2]));
    }
}

fn plain(text: &mut Peekable<Chars<'_>>) -> Json {
    let mut word = String::new();
    while let Some(char) = text.next_if(|char| !",]} \n\r\t".contains(*char)) {
        word.push(char);
    }
    match word.as_str() {
        "null" => Json::Null,
        "true" => Json::Flag(true),
        "false" => Json::Flag(false),
        number => Json::Number(number.parse().unwrap()),
    }
}

/// A text as JSON.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            char if char < ' ' => quoted.push_str(&format!("\\u{:04x}", u32::from(char))),
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}
