//! Numbers of bytes, as people write them.
//!
//! ```text
//! SIZE = NUMBER UNIT          0B  512KiB  16MiB  2GiB
//! UNIT = B | KiB | MiB | GiB | TiB
//! ```
//!
//! The units are powers of 1,024 and say so: `MB` is refused, since its readers do not agree.
#![forbid(unsafe_code)]

use crate::error::Error;

/// From the largest to the smallest.
const UNITS: [(&str, u32); 5] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

/// Reads `0B 512KiB 16MiB 2GiB`.
///
/// # Errors
/// Text of any other form, quoted, and sizes beyond 64 bits.
pub(crate) fn parse_size(text: &str) -> Result<u64, Error> {
    let exact = || {
        let number_len = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at(number_len);
        let (_, shift) = UNITS.iter().find(|(name, _)| *name == unit)?;
        number.parse::<u64>().ok()?.checked_mul(1 << shift)
    };
    exact().ok_or_else(|| {
        Error::invalid(format!(
            "{text:?} is not a size; expected a whole number and a unit, such as 512KiB 16MiB 2GiB"
        ))
    })
}

/// Prints in the largest unit that divides evenly. [`parse_size`] reads it back to the same value.
pub(crate) fn print_size(bytes: u64) -> String {
    let divides = |shift: u32| bytes != 0 && bytes % (1 << shift) == 0;
    let largest = UNITS.iter().find(|(_, shift)| divides(*shift));
    let (unit, shift) = largest.copied().unwrap_or(("B", 0));
    format!("{}{unit}", bytes >> shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_printed_in_its_largest_unit() {
        for (text, bytes, printed) in [
            ("0B", 0, "0B"),
            ("0GiB", 0, "0B"),
            ("1B", 1, "1B"),
            ("1000B", 1_000, "1000B"),
            ("1024B", 1_024, "1KiB"),
            ("16MiB", 16 << 20, "16MiB"),
            ("1536KiB", 1_536 << 10, "1536KiB"),
            ("3TiB", 3 << 40, "3TiB"),
            ("18446744073709551615B", u64::MAX, "18446744073709551615B"),
        ] {
            assert_eq!(parse_size(text).unwrap(), bytes);
            assert_eq!(print_size(bytes), printed);
            assert_eq!(parse_size(printed).unwrap(), bytes);
        }
    }

    #[test]
    fn bad_sizes_are_quoted() {
        for text in [
            "",
            "1",
            "MiB",
            "1MB",
            "1M",
            "1mib",
            "1 MiB",
            "-1B",
            "1.5MiB",
            "18446744073709551616B",
            "16777216TiB",
            "é",
        ] {
            let message = parse_size(text).unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("{text:?} is not a size; expected")),
                "{message}"
            );
        }
    }
}
