//! Putting words together, in one way for all of them.
//!
//! The standard library's way is made for speed, once for each length of what stands between.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_joined_as_the_standard_library_does() {
        for words in [&[][..], &["a"], &["", ""], &["a", "bc", "d"]] {
            for between in ["", " ", ", ", " \u{2192} "] {
                assert_eq!(joined(words, between), words.join(between));
            }
        }
    }
}
