//! Lengths of time as rules write them: `"45m"`, `"12h"`, `"30d"`, `"2w"`.

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;
/// The longest window, in days: three years, one of them a leap year.
const MAX_DAYS: i64 = 1_096;

/// Reads a length of time as microseconds; days are of 24 hours.
///
/// # Errors
/// The reason and the remedy.
pub fn parse(text: &str) -> Result<i64, String> {
    let refused = || format!("{text:?} is no length of time: write \"45m\", \"12h\", \"30d\" or \"2w\"");
    let unit = match text.bytes().last() {
        Some(b's') => 1_000_000,
        Some(b'm') => 60_000_000,
        Some(b'h') => 3_600_000_000,
        Some(b'd') => DAY,
        Some(b'w') => 7 * DAY,
        _ => return Err(refused()),
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|it| it.is_ascii_digit()) {
        return Err(refused());
    }
    let micros = digits.parse::<i64>().ok().and_then(|it| it.checked_mul(unit));
    match micros {
        Some(0) => Err(format!("{text:?} is empty: a length of time is more than zero")),
        Some(micros) if micros <= MAX_DAYS * DAY => Ok(micros),
        _ => Err(format!("{text:?} is too long: at most \"{MAX_DAYS}d\"")),
    }
}

/// A length of time in microseconds as rules write it, in the largest unit that fits.
pub fn in_words(micros: i64) -> String {
    for (unit, letter) in [(DAY, 'd'), (3_600_000_000, 'h'), (60_000_000, 'm'), (1_000_000, 's')] {
        if micros % unit == 0 {
            return format!("{}{letter}", micros / unit);
        }
    }
    format!("{micros}µs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_or_refused_with_the_remedy() {
        assert_eq!(parse("30d"), Ok(30 * DAY));
        assert_eq!(parse("2w"), Ok(14 * DAY));
        assert_eq!(in_words(parse("36h").unwrap()), "36h");
        for bad in ["", "d", "0d", "30", "30 d", "-3d", "1.5d", "30€", "9999d", "99999999999999999999d"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
