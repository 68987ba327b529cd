//! The parts of a request's target (RFC 9112 section 3.2), and percent-decoding (RFC 3986 section
//! 2.1).
#![forbid(unsafe_code)]

use std::borrow::Cow;

use super::ascii::{cut, place_of};

use crate::text;

/// The path of `http://host/path`, which may be missing.
pub(super) fn absolute_path(target: &str) -> Option<&str> {
    let (scheme, rest) = text::cut(target, "://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let path_start = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    (path_start > 0).then(|| &rest[path_start..])
}

/// Each `%XX` as the byte that it stands for, once; `None` for a `%` without two digits.
pub(crate) fn percent_decoded(path: &str) -> Option<Cow<'_, [u8]>> {
    if place_of(path, |byte| byte == b'%').is_none() {
        return Some(Cow::Borrowed(path.as_bytes()));
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            other => other,
        });
    }
    Some(Cow::Owned(decoded))
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// What stands behind a target's `?`; empty when there is none.
pub(crate) fn query(target: &str) -> &str {
    let target = cut(target, b'#').map_or(target, |(target, _)| target);
    cut(target, b'?').map_or("", |(_, query)| query)
}
