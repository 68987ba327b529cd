//! Sets of HTTP statuses: `200-299,304`.
#![forbid(unsafe_code)]

use std::fmt;

use crate::error::Error;

/// Ranges in one set; more are better written as fewer wide ones.
const RANGES_MAX: usize = 16;

/// HTTP statuses, made from text: numbers and ranges with commas between them, 100 to 999.
///
/// ```
/// use failover::StatusSet;
/// let set = StatusSet::try_from("200-299,304")?;
/// assert!(set.contains(204) && set.contains(304) && !set.contains(301));
/// assert_eq!(set.to_string(), "200-299,304");
/// assert!(StatusSet::try_from("2xx").is_err());
/// # Ok::<(), failover::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StatusSet(Vec<(u16, u16)>);

impl StatusSet {
    /// 200 to 299: done what was asked for (RFC 9110 section 15.3).
    pub fn success() -> StatusSet {
        StatusSet(vec![(200, 299)])
    }

    /// Whether that status is one of them.
    pub fn contains(&self, status: u16) -> bool {
        let mut ranges = self.0.iter();
        ranges.any(|(first, last)| (*first..=*last).contains(&status))
    }
}

impl TryFrom<&str> for StatusSet {
    type Error = Error;

    fn try_from(text: &str) -> Result<StatusSet, Error> {
        let ranges: Option<Vec<(u16, u16)>> = text.split(',').map(range).collect();
        match ranges {
            Some(ranges) if ranges.len() <= RANGES_MAX => Ok(StatusSet(ranges)),
            _ => Err(Error::invalid(format!(
                "{text:?} is no set of statuses; \
                 expected numbers from 100 to 999 and ranges of them, such as 200-299,304"
            ))),
        }
    }
}

impl fmt::Display for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{first}")?;
            if last > first {
                write!(f, "-{last}")?;
            }
        }
        Ok(())
    }
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (status(first)?, status(last)?);
    (first <= last).then_some((first, last))
}

fn status(text: &str) -> Option<u16> {
    let is_number = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|status| is_number && *status >= 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_numbers_and_ranges() {
        for (text, inside, outside) in [
            ("200", [200, 200], [199, 201]),
            ("200-299,304", [299, 304], [303, 305]),
            ("503,100-999", [100, 999], [99, 1000]),
        ] {
            let set = StatusSet::try_from(text).unwrap();
            assert!(inside.iter().all(|status| set.contains(*status)), "{text}");
            assert!(
                !outside.iter().any(|status| set.contains(*status)),
                "{text}"
            );
            assert_eq!(set.to_string(), text);
        }
        assert_eq!(StatusSet::success().to_string(), "200-299");
    }

    #[test]
    fn what_is_no_set_is_quoted() {
        let many = ["200"; RANGES_MAX + 1].join(",");
        for bad in [
            "",
            ",",
            "200,",
            "2xx",
            "99",
            "1000",
            "299-200",
            "200-",
            "-200",
            "+20",
            "200 ",
            "0200",
            "200-250-299",
            &many,
        ] {
            let message = StatusSet::try_from(bad).unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("{bad:?} is no set")),
                "{message}"
            );
        }
    }
}
