//! The settings of one block, as values: each is read once, and what is wrong with it is told with
//! its place.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::blocks::Setting;
use super::problem::{At, Problems};
use crate::error::Error;
use crate::text::{joined, place_of};
use crate::units::Span;

/// What stands for a byte in quotes, and is two characters without them.
const ESCAPES: [&str; 4] = ["\\r", "\\n", "\\t", "\\x"];

/// The settings of one block.
pub(crate) struct Section<'a> {
    pub(crate) settings: &'a [Setting],
    pub(crate) problems: &'a Problems,
    /// Where the block begins.
    pub(crate) at: At,
    /// The component that it is of, if any.
    pub(crate) owner: Option<&'a str>,
}

impl<'a> Section<'a> {
    pub(crate) fn find(&self, name: &str) -> Option<&'a Setting> {
        let mut settings = self.settings.iter();
        settings.find(|setting| setting.keyword.name == name)
    }

    /// Every setting of that keyword, in order.
    pub(crate) fn all(&self, name: &'a str) -> impl Iterator<Item = &'a Setting> {
        let settings = self.settings.iter();
        settings.filter(move |setting| setting.keyword.name == name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The words that follow, with a blank between them.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.find(name).map(Setting::text)
    }

    /// The words that follow.
    pub(crate) fn words(&self, name: &str) -> Vec<String> {
        let words = self.find(name).map(|setting| &setting.words);
        let words = words.into_iter().flatten();
        words.map(|word| word.text.clone()).collect()
    }

    /// The bytes of the word that follows.
    pub(crate) fn bytes(&self, name: &str) -> Option<&'a [u8]> {
        let word = self.find(name)?.words.first()?;
        let has = |escape: &str| place_of(word.text.as_bytes(), escape.as_bytes()).is_some();
        if !word.is_quoted && ESCAPES.iter().any(|escape| has(escape)) {
            let message = format!(
                "a backslash stands for itself without quotes; expected \"{}\"",
                word.text
            );
            self.problems.error(word.at, message);
        }
        Some(&word.bytes)
    }

    /// The value, where it can be one.
    pub(crate) fn value<T>(&self, name: &str) -> Option<T>
    where
        T: for<'t> TryFrom<&'t str, Error = Error>,
    {
        let setting = self.find(name)?;
        let value = T::try_from(&setting.text());
        self.problems.or_error(setting.value_at(), value)
    }

    pub(crate) fn span(&self, name: &str) -> Option<Duration> {
        self.value::<Span>(name).map(Span::duration)
    }

    /// One of these words, as what it stands for.
    pub(crate) fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let chosen = choices.get(self.chosen(name, &words)?);
        chosen.map(|(_, value)| *value)
    }

    /// Which of these words follows.
    fn chosen(&self, name: &str, words: &[&str]) -> Option<usize> {
        let setting = self.find(name)?;
        let text = setting.text();
        let chosen = words.iter().position(|word| *word == text);
        if chosen.is_none() {
            let words = joined(words, ", ");
            self.problems.error(
                setting.value_at(),
                format!("{text:?} is no choice here; expected {words}"),
            );
        }
        chosen
    }

    /// A whole number from `least` to `most`.
    pub(crate) fn number(&self, name: &str, least: u32, most: u32) -> Option<u32> {
        let setting = self.find(name)?;
        let text = setting.text();
        let number = text.parse().ok();
        let number = number.filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.problems.error(
                setting.value_at(),
                format!("{text:?} cannot be used; expected a number from {least} to {most}"),
            );
        }
        number
    }

    /// The value, or its error at the place of that keyword.
    pub(crate) fn checked<T>(&self, name: &str, result: Result<T, Error>) -> Option<T> {
        let at = self.find(name).map_or(self.at, Setting::value_at);
        self.problems.or_error(at, result)
    }
}
