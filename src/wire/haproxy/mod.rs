//! What HAProxy's runtime API says (its manual, management.txt, section 9), bytes to values.
//!
//! One file for each kind of reply. Nothing here speaks to HAProxy or judges what it says.
#![forbid(unsafe_code)]

pub(crate) mod stat;

/// A name of a proxy or a server, as configuration.txt section 2 allows them. Nothing else may
/// become part of a command: `;` and a line end would begin another one.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_nothing_that_a_command_could_end_with() {
        for good in ["web", "srv-1", "a.b:8080_x"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "a b", "a;b", "a\nb", "a/b", "a\\", "é", "a,b"] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }
}
