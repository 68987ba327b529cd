//! Putting texts together, and finding one in another: each in one way for all of them.
//!
//! The standard library's ways are made for megabytes, and take as many times the program.
#![forbid(unsafe_code)]

/// The words with `between` between them.
pub(crate) fn joined<T: AsRef<str>>(words: impl IntoIterator<Item = T>, between: &str) -> String {
    let mut text = String::new();
    for word in words {
        text.push_str(word.as_ref());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_as_the_standard_library_cuts_it() {
        for text in ["", "a", "ab", "aab", "abab", "\u{e9}ab\u{e9}", "ba"] {
            assert_eq!(cut(text, "ab"), text.split_once("ab"), "{text:?}");
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
