//! Putting texts together, and finding one in another: each in one way for all of them.
//!
//! The standard library's ways are made for megabytes, and take as many times the program.
#![forbid(unsafe_code)]

/// The words with `between` between them.
pub(crate) fn joined<T: AsRef<str>>(words: impl IntoIterator<Item = T>, between: &str) -> String {
    let mut words = words.into_iter();
    join(between, &mut |text| {
        let word = words.next().map(|word| text.push_str(word.as_ref()));
        word.is_some()
    })
}

/// One for all kinds of words: `add` adds the next one, if there is one.
fn join(between: &str, add: &mut dyn FnMut(&mut String) -> bool) -> String {
    let mut text = String::new();
    while add(&mut text) {
        text.push_str(between);
    }
    text.truncate(text.len().saturating_sub(between.len()));
    text
}

/// Where some bytes are first among others; `what` is at least one.
pub(crate) fn place_of(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|some| some == what)
}

/// What is before the first `at`, which is not empty, and what is behind it.
pub(crate) fn cut<'a>(text: &'a str, at: &str) -> Option<(&'a str, &'a str)> {
    let place = place_of(text.as_bytes(), at.as_bytes())?;
    Some((&text[..place], &text[place + at.len()..]))
}

/// What is before the last `at`, which is ASCII, and what is behind it.
pub(crate) fn cut_last(text: &str, at: u8) -> Option<(&str, &str)> {
    let place = text.bytes().rposition(|byte| byte == at)?;
    Some((&text[..place], &text[place + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_as_the_standard_library_cuts_it() {
        for text in ["", "a", "ab", "aab", "abab", "\u{e9}ab\u{e9}", "ba"] {
            assert_eq!(cut(text, "ab"), text.split_once("ab"), "{text:?}");
            assert_eq!(cut_last(text, b'b'), text.rsplit_once('b'), "{text:?}");
        }
    }

    #[test]
    fn words_are_joined_as_the_standard_library_does() {
        for words in [&[][..], &["a"], &["", ""], &["a", "bc", "d"]] {
            for between in ["", " ", ", ", " \u{2192} "] {
                assert_eq!(joined(words, between), words.join(between));
            }
        }
    }
}
