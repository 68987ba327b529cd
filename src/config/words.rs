//! Settings written one after the other: `component mail tcp 192.0.2.1:25 timeout 10s`.
#![forbid(unsafe_code)]

use super::schema::{self, Form, Keyword};
use crate::error::Error;

/// A keyword and what follows it.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) keyword: &'static Keyword,
    /// The words that follow, with a blank between them.
    pub(crate) value: String,
}

/// Reads settings to the end.
///
/// # Errors
/// A word that is no keyword, or a keyword without what has to follow it.
pub(crate) fn settings(words: &[String]) -> Result<Vec<Setting>, Error> {
    let mut settings = Vec::new();
    let mut left = words;
    while let Some((word, rest)) = left.split_first() {
        let keyword = schema::find(word).ok_or_else(|| unknown(word))?;
        let len = value_len(keyword.form, rest);
        let Some(value) = rest.get(..len) else {
            return Err(incomplete(keyword, rest));
        };
        settings.push(Setting {
            keyword,
            value: value.join(" "),
        });
        left = &rest[len..];
    }
    Ok(settings)
}

fn value_len(form: Form, rest: &[String]) -> usize {
    match form {
        Form::Alone => 0,
        Form::One => 1,
        Form::Two => 2,
        Form::Threshold if rest.get(1).is_some_and(|word| word == "of") => 3,
        Form::Threshold => 1,
    }
}

fn unknown(word: &str) -> Error {
    Error::invalid(match schema::nearest(word) {
        Some(meant) => format!("unknown word {word:?}; did you mean {meant:?}?"),
        None => format!("unknown word {word:?}; 'failover help' lists the keywords"),
    })
}

fn incomplete(keyword: &Keyword, rest: &[String]) -> Error {
    let found = if rest.is_empty() {
        String::from("nothing")
    } else {
        format!("{rest:?}")
    };
    Error::invalid(format!(
        "{:?} is followed by {found}; expected {}, such as: {}",
        keyword.name, keyword.arguments, keyword.example
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Setting>, Error> {
        settings(&text.split(' ').map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn each_keyword_takes_what_is_its_own() {
        let settings = read("tcp a:1 on-request fail-after 3 of 5 ok-after 1m").unwrap();
        let pairs: Vec<_> = settings
            .iter()
            .map(|setting| (setting.keyword.name, setting.value.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("tcp", "a:1"),
                ("on-request", ""),
                ("fail-after", "3 of 5"),
                ("ok-after", "1m")
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_quoted() {
        for (text, message) in [
            (
                "tmeout 3s",
                "unknown word \"tmeout\"; did you mean \"timeout\"?",
            ),
            (
                "banana",
                "unknown word \"banana\"; 'failover help' lists the keywords",
            ),
            (
                "timeout",
                "\"timeout\" is followed by nothing; expected DURATION, such as: timeout 10s",
            ),
            (
                "fail-after 3 of",
                "\"fail-after\" is followed by [\"3\", \"of\"]; expected COUNT|DURATION|M of N, \
                 such as: fail-after 3 of 5",
            ),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), message);
        }
    }
}
