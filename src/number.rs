//! Numbers with a fraction, out of text and into text, good to 15 digits: more than measurements
//! have, and their limits.
//!
//! The standard library is good to the last of 17 digits, by tables and long arithmetic that are
//! 34 KB of program.
#![forbid(unsafe_code)]

/// The most significant digits that are shown. A double has 15 for sure, 17 at most.
const DIGITS: i32 = 15;

/// Powers of ten up to this one are exact as doubles.
const EXACT_POWER: i32 = 22;

/// Beyond this the largest number is 0 and the smallest is infinite.
const POWER_MAX: i32 = 400;

/// A number as the standard library reads it: digits, perhaps with a point, a sign and an exponent;
/// `inf`, `infinity`, `nan`. What has 15 digits and no more than 22 places is read exactly, all
/// else to 15 digits.
pub(crate) fn parse(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is = |word| unsigned.eq_ignore_ascii_case(word);
    let size = match () {
        () if is("inf") || is("infinity") => f64::INFINITY,
        () if is("nan") => f64::NAN,
        () => decimal(unsigned)?,
    };
    Some(if text.starts_with('-') { -size } else { size })
}

fn decimal(text: &str) -> Option<f64> {
    let (digits, mut power) = match text.split_once(['e', 'E']) {
        Some((digits, power)) => (digits, exponent(power)?),
        None => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut number = 0_u64;
    for (at, byte) in whole.bytes().chain(fraction.bytes()).enumerate() {
        let digit = char::from(byte).to_digit(10)?;
        let is_fraction = at >= whole.len();
        // What does not fit any more is beyond what a double can hold.
        match number.checked_mul(10) {
            Some(tens) if tens < u64::MAX - 10 => {
                number = tens + u64::from(digit);
                power = power.saturating_sub(i32::from(is_fraction));
            }
            _ => power = power.saturating_add(i32::from(!is_fraction)),
        }
    }
    Some(scaled(number as f64, power))
}

fn exponent(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // What does not fit is as far as can be.
    let farthest = if text.starts_with('-') {
        i32::MIN
    } else {
        i32::MAX
    };
    Some(text.parse().unwrap_or(farthest))
}

/// A number times ten to that power.
fn scaled(number: f64, power: i32) -> f64 {
    let (mut number, mut left) = (number, power.clamp(-POWER_MAX, POWER_MAX));
    while left != 0 {
        let step = left.clamp(-EXACT_POWER, EXACT_POWER);
        // Dividing by an exact power loses less than multiplying by a fraction that is none.
        number = match step {
            1.. => number * 10_f64.powi(step),
            _ => number / 10_f64.powi(-step),
        };
        left -= step;
    }
    number
}

/// A number as short as it can be said to 15 digits; very large and very small ones with an
/// exponent, without which the largest would have 300 digits.
pub(crate) fn print(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        let word = match number {
            0.0 => "0",
            f64::INFINITY => "inf",
            f64::NEG_INFINITY => "-inf",
            _ => "NaN",
        };
        return word.to_string();
    }
    let sign = if number < 0.0 { "-" } else { "" };
    let (digits, power) = significant(number.abs());
    let shown = digits.trim_end_matches('0');
    match power {
        -5..0 => format!(
            "{sign}0.{:0>1$}",
            shown,
            shown.len() + power.unsigned_abs() as usize - 1
        ),
        0..DIGITS => {
            let (whole, fraction) = digits.split_at(power as usize + 1);
            match fraction.trim_end_matches('0') {
                "" => format!("{sign}{whole}"),
                fraction => format!("{sign}{whole}.{fraction}"),
            }
        }
        _ => match shown.split_at(1) {
            (first, "") => format!("{sign}{first}e{power}"),
            (first, rest) => format!("{sign}{first}.{rest}e{power}"),
        },
    }
}

/// The digits of a number that is finite and above 0, and the power of ten of the first.
fn significant(number: f64) -> (String, i32) {
    let mut power = 0;
    let shift = |power: i32| scaled(number, DIGITS - 1 - power);
    while shift(power) >= 10_f64.powi(DIGITS) - 0.5 {
        power += 1;
    }
    while shift(power) < 10_f64.powi(DIGITS - 1) - 0.5 {
        power -= 1;
    }
    ((shift(power).round() as u64).to_string(), power)
}

/// A number with so many places after the point, 6 at most, as it is rounded; numbers of more than
/// 12 digits are shown as the largest of 12.
pub(crate) fn fixed(number: f64, places: u32) -> String {
    const WHOLE_MAX: f64 = 999_999_999_999.0;
    let sign = if number < 0.0 { "-" } else { "" };
    let unit = 10_u64.pow(places.min(6));
    let units = (number.abs().min(WHOLE_MAX) * unit as f64).round() as u64;
    let (whole, fraction) = (units / unit, units % unit);
    match places {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{fraction:0width$}", width = places as usize),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read_exactly() {
        for text in [
            "0",
            "-0",
            "1",
            "+1",
            "100",
            "0.1",
            "-0.5",
            ".5",
            "5.",
            "1e3",
            "1E3",
            "1e+3",
            "1e-3",
            "3.5e1",
            "123456789012345",
            "1.7e9",
            "0.000001",
            "99.999",
            "1700000000.25",
            "1e22",
            "inf",
            "-Inf",
            "+infinity",
            "1e999",
            "-1e999",
            "1e-999",
            "0e99999999999",
            "1e99999999999",
            "1e-99999999999",
            "00012.500",
        ] {
            assert_eq!(parse(text), text.parse().ok(), "{text}");
        }
        assert!(parse("NaN").is_some_and(f64::is_nan));
        for bad in [
            "", ".", "-", "e5", "1e", "1e+", "1.2.3", "1 ", " 1", "--1", "1_0", "0x1", "1e1.5",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
            assert!(bad.parse::<f64>().is_err(), "{bad:?}");
        }
        // Behind more digits than fit, too.
        assert_eq!(parse("1e99999999999x"), None);
        assert_eq!(parse("1e-99999999999x"), None);
    }

    #[test]
    fn the_longest_and_the_farthest_are_read_to_15_digits() {
        for text in [
            "3.141592653589793238462643383279",
            "1.7976931348623157e308",
            "2.2250738585072014e-308",
            "123456789012345678901234567890",
            "0.000000000000000000000000000012345",
        ] {
            let exact: f64 = text.parse().unwrap();
            let read = parse(text).unwrap();
            assert!(
                (read / exact - 1.0).abs() < 1e-15,
                "{text}: {read} for {exact}"
            );
        }
        let long = format!("0.{}1e400", "0".repeat(399));
        assert!((parse(&long).unwrap() - 1.0).abs() < 1e-15);
        assert_eq!(parse(&"9".repeat(400)), Some(f64::INFINITY));
    }

    #[test]
    fn what_has_15_digits_is_printed_as_the_standard_library_does() {
        let mut seed = 1_u64;
        for round in 0..20_000_i32 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let digits = (seed >> 16) % 10_u64.pow((round % 15) as u32 + 1);
            let number: f64 = format!("{digits}e{}", round % 14 - 12).parse().unwrap();
            if (1e-5..1e15).contains(&number) {
                assert_eq!(print(number), number.to_string());
                assert_eq!(print(-number), format!("-{}", print(number)));
            }
        }
    }

    #[test]
    fn numbers_are_printed_in_the_shorter_of_two_spellings() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-4.0, "-4"),
            (0.1 + 0.2, "0.3"),
            (1e-5, "0.00001"),
            (9.5e-6, "9.5e-6"),
            (1e15, "1e15"),
            (999_999_999_999_999.0, "999999999999999"),
            (-1.5e300, "-1.5e300"),
            (1e-300, "1e-300"),
            (f64::MAX, "1.79769313486232e308"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "NaN"),
            (0.999_999_999_999_999_9, "1"),
            (5e-324, "4.94065645841247e-324"),
        ] {
            assert_eq!(print(number), text);
        }
    }

    #[test]
    fn a_number_has_the_places_that_are_asked_for() {
        for (number, places, text) in [
            (0.0, 0, "0"),
            (9.96, 0, "10"),
            (1.25, 1, "1.3"),
            (0.05, 2, "0.05"),
            (-2.5, 1, "-2.5"),
            (0.000_4, 3, "0.000"),
            (1.999_999_9, 6, "2.000000"),
            (1e300, 0, "999999999999"),
        ] {
            assert_eq!(fixed(number, places), text);
        }
    }
}
