//! Lengths of time as people write them: `90m`, `4d`, `1d 12h`.

/// A second in microseconds.
pub const SECOND: i64 = 1_000_000;
/// An hour in microseconds.
pub const HOUR: i64 = 3_600 * SECOND;
/// A day of 24 hours in microseconds.
pub const DAY: i64 = 24 * HOUR;

/// Reads a length of time, in microseconds: numbers with a unit of `s`, `m`, `h`, `d` (24 hours) or `w`.
///
/// # Errors
/// What is wrong and how to write it.
pub fn parse(text: &str) -> Result<i64, String> {
    let refused =
        || format!("{text:?} is not a length of time: write a number and s, m, h, d or w, such as 90m or 4d");
    let mut total: i64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(refused());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let unit = match tail.bytes().next() {
            Some(b's') => SECOND,
            Some(b'm') => 60 * SECOND,
            Some(b'h') => HOUR,
            Some(b'd') => DAY,
            Some(b'w') => 7 * DAY,
            _ => return Err(refused()),
        };
        let number: i64 = number.parse().map_err(|_| refused())?;
        total = number.checked_mul(unit).and_then(|it| total.checked_add(it)).ok_or_else(refused)?;
        rest = tail[1..].trim_start();
    }
    if total > 3_660 * DAY {
        return Err(format!("{text:?} is longer than ten years: use a shorter time"));
    }
    Ok(total)
}

/// Writes a length of time the way it is read, in its largest whole units.
#[must_use]
pub fn format(micros: i64) -> String {
    let mut seconds = micros / SECOND;
    let mut text = String::new();
    for (unit, size) in [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)] {
        if seconds >= size {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&format!("{}{unit}", seconds / size));
            seconds %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_or_refused_with_an_example() {
        assert_eq!(parse("90m"), Ok(5_400 * SECOND));
        assert_eq!(parse("1d 12h"), Ok(36 * HOUR));
        assert_eq!(parse("2w"), Ok(14 * DAY));
        for text in ["", "4", "d", "-1d", "4 days", "1.5d", "99999999999999999999d", "9999w"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(format(36 * HOUR), "1d 12h");
    }
}
