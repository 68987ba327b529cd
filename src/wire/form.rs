//! Form fields, as a browser sends them in a body or behind a `?`
//! (`application/x-www-form-urlencoded`, <https://url.spec.whatwg.org/#urlencoded-parsing>).
//!
//! Stricter than a browser would be: what is not well-formed is no form, rather than a form with
//! something else in it.
#![forbid(unsafe_code)]

use super::http::percent_decoded;

/// Fields of one form at most; people send a handful.
const FIELDS_MAX: usize = 32;

/// The fields in their order, decoded. `None` for a `%` without two hexadecimal digits, for text
/// that is not UTF-8, and for too many fields.
pub(crate) fn fields(text: &[u8]) -> Option<Vec<(String, String)>> {
    let text = std::str::from_utf8(text).ok()?;
    let parts = text.split('&').filter(|part| !part.is_empty());
    let fields: Option<Vec<_>> = parts.take(FIELDS_MAX + 1).map(field).collect();
    fields.filter(|fields| fields.len() <= FIELDS_MAX)
}

fn field(part: &str) -> Option<(String, String)> {
    let (name, value) = part.split_once('=').unwrap_or((part, ""));
    Some((decoded(name)?, decoded(value)?))
}

fn decoded(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    String::from_utf8(percent_decoded(&text)?.into_owned()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Vec<(String, String)>> {
        fields(text.as_bytes())
    }

    #[test]
    fn fields_are_decoded_once_and_keep_their_order() {
        let expected = [
            ("mode", "drain"),
            ("because", "a deploy & more %41"),
            ("x", ""),
            ("y", ""),
            ("mode", "é"),
        ];
        let text = "mode=drain&because=a+deploy%20%26+more+%2541&x&&y=&mode=%C3%A9";
        let fields = read(text).unwrap();
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(fields, expected);
        assert_eq!(read(""), Some(Vec::new()));
    }

    #[test]
    fn what_is_not_well_formed_is_no_form() {
        for text in ["a=%", "a=%4", "%zz=1", "a=%ff"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(fields(b"a=\xff"), None);
        assert!(read(&"a&".repeat(FIELDS_MAX)).is_some());
        assert!(read(&"a&".repeat(FIELDS_MAX + 1)).is_none());
    }

    #[test]
    fn no_bytes_bring_it_down() {
        let golden = b"mode=drain&because=a+b%20c";
        for len in 0..=golden.len() {
            let _ = fields(&golden[..len]);
        }
        for at in 0..golden.len() {
            for byte in 0..=255 {
                let mut flipped = golden.to_vec();
                flipped[at] = byte;
                let _ = fields(&flipped);
            }
        }
    }
}
