//! Cutting text at ASCII characters, byte by byte, which is what a request's head is made of.
//!
//! std searches text for characters of any length; in a program that is made small, that costs a
//! request half as much again as all of the rest.
#![forbid(unsafe_code)]

/// What stands before the first of this character, and behind it. The character is of ASCII.
pub(super) fn cut(text: &str, at: u8) -> Option<(&str, &str)> {
    let place = place_of(text, |byte| byte == at)?;
    Some((&text[..place], &text[place + 1..]))
}

/// The place of the first byte that is one of these, which are of ASCII.
pub(super) fn place_of(text: &str, is_it: impl Fn(u8) -> bool) -> Option<usize> {
    text.as_bytes().iter().position(|byte| is_it(*byte))
}

/// A line without the carriage return at its end.
pub(super) fn without_return(line: &str) -> &str {
    match line.as_bytes() {
        [.., b'\r'] => &line[..line.len() - 1],
        _ => line,
    }
}

/// A path without the slashes that it begins with.
pub(super) fn without_slashes(path: &str) -> &str {
    let slashes = place_of(path, |byte| byte != b'/');
    // What follows an ASCII character is the beginning of one.
    &path[slashes.unwrap_or(path.len())..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_as_std_cuts_it() {
        for text in [
            "", ":", "a", "a:b", " a : b\t", "::", "é:é", "\t \t", "//a/", "a\r", "\r\r", "é ",
        ] {
            assert_eq!(cut(text, b':'), text.split_once(':'), "{text:?}");
            assert_eq!(
                place_of(text, |byte| byte == b'a'),
                text.find('a'),
                "{text:?}"
            );
            let without = text.strip_suffix('\r').unwrap_or(text);
            assert_eq!(without_return(text), without, "{text:?}");
            assert_eq!(
                without_slashes(text),
                text.trim_start_matches('/'),
                "{text:?}"
            );
        }
    }
}
