//! Dates and amounts as files write them.

use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use perennial_types::{Currency, Timestamp};

/// How dates are read.
#[derive(Clone, Debug)]
pub struct Dates {
    /// A format such as `%d.%m.%Y`; nothing: ISO 8601, or seconds or milliseconds since 1970.
    pub format: Option<String>,
    /// The zone of dates that name none.
    pub zone: TimeZone,
}

impl Dates {
    /// Reads an instant.
    ///
    /// # Errors
    /// What is wrong and what to do.
    pub fn read(&self, text: &str) -> Result<Timestamp, String> {
        let at = match &self.format {
            Some(format) => self.by_format(format, text)?,
            None => self.by_look(text).ok_or_else(|| {
                format!(
                    "{:?} is not a date: use ISO 8601 such as 2026-01-31 or 2026-01-31T09:30:00Z, or say the form with \
                     --date-format, such as --date-format %d.%m.%Y",
                    short(text)
                )
            })?,
        };
        let year = at.to_zoned(TimeZone::UTC).year();
        if (1900..2200).contains(&year) {
            Ok(at)
        } else {
            Err(format!(
                "{:?} is in the year {year}: mend it, or say the form with --date-format",
                short(text)
            ))
        }
    }

    fn by_format(&self, format: &str, text: &str) -> Result<Timestamp, String> {
        let refused =
            || format!("{:?} does not have the form {format:?}: mend it or --date-format", short(text));
        let told = strtime::parse(format, text).map_err(|_| refused())?;
        if let Ok(at) = told.to_timestamp() {
            return Ok(at);
        }
        let local = told.to_datetime().or_else(|_| told.to_date().map(|it| it.at(0, 0, 0, 0)));
        self.local(local.map_err(|_| refused())?).ok_or_else(refused)
    }

    fn by_look(&self, text: &str) -> Option<Timestamp> {
        if let Ok(at) = text.parse::<Timestamp>() {
            return Some(at);
        }
        if text.bytes().all(|it| it.is_ascii_digit()) {
            let number: i64 = text.parse().ok()?;
            return match text.len() {
                8 => self.local(strtime::parse("%Y%m%d", text).ok()?.to_date().ok()?.at(0, 0, 0, 0)),
                9 | 10 => Timestamp::from_second(number).ok(),
                12 | 13 => Timestamp::from_millisecond(number).ok(),
                15 | 16 => Timestamp::from_microsecond(number).ok(),
                18 | 19 => Timestamp::from_nanosecond(i128::from(number)).ok(),
                _ => None,
            };
        }
        if let Ok(local) = text.parse::<DateTime>() {
            return self.local(local);
        }
        self.local(text.parse::<Date>().ok()?.at(0, 0, 0, 0))
    }

    fn local(&self, local: DateTime) -> Option<Timestamp> {
        self.zone.to_ambiguous_timestamp(local).compatible().ok()
    }
}

/// Reads an amount as decimal text, as events carry it.
///
/// # Errors
/// What is wrong and what to do.
pub fn amount(column: &str, text: &str, currency: Option<Currency>, comma: bool) -> Result<String, String> {
    let bare = signed(column, text, currency, comma)?;
    if bare.starts_with('-') {
        return Err(format!("{column} {bare} is negative: use a number from 0"));
    }
    Ok(bare)
}

/// Reads an amount that is negative where money goes back.
///
/// # Errors
/// What is wrong and what to do.
pub fn signed(column: &str, text: &str, currency: Option<Currency>, comma: bool) -> Result<String, String> {
    let bare = decimal(text, comma);
    // The currency decides the decimals; any of two will do for asking whether it is an amount.
    currency.unwrap_or(Currency::EUR).minor_units(&bare).map_err(|_| {
        let hint =
            if text.contains(',') && !comma { "; with a decimal comma say --decimal-comma" } else { "" };
        format!("{column} {:?} is not an amount: use a decimal number such as 1234.50{hint}", short(text))
    })?;
    Ok(bare)
}

/// A number with a decimal point and without the sign of a currency.
pub fn decimal(text: &str, comma: bool) -> String {
    let bare = text.trim_matches(|it: char| it.is_whitespace() || "$€£¥".contains(it));
    if comma { bare.replace(['.', ' ', '\u{a0}'], "").replace(',', ".") } else { bare.to_owned() }
}

/// At most forty characters of a text.
pub fn short(text: &str) -> String {
    if text.chars().count() <= 40 {
        return text.to_owned();
    }
    text.chars().take(39).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dates(format: Option<&str>) -> Dates {
        Dates { format: format.map(str::to_owned), zone: TimeZone::get("Europe/Berlin").unwrap() }
    }

    #[test]
    fn dates_are_read_by_their_look_or_their_format() {
        for (text, expected) in [
            ("1997-01-01", "1996-12-31T23:00:00Z"),
            ("19970101", "1996-12-31T23:00:00Z"),
            ("2026-07-01 12:00", "2026-07-01T10:00:00Z"),
            ("2026-07-01T12:00:00Z", "2026-07-01T12:00:00Z"),
            ("2026-07-01T12:00:00+05:00", "2026-07-01T07:00:00Z"),
            ("1782900000", "2026-07-01T10:00:00Z"),
            ("1782900000000", "2026-07-01T10:00:00Z"),
        ] {
            assert_eq!(dates(None).read(text).unwrap().to_string(), expected, "{text}");
        }
        let found = dates(Some("%d.%m.%Y")).read("31.01.2026").unwrap();
        assert_eq!(found.to_string(), "2026-01-30T23:00:00Z");
        let found = dates(Some("%d/%m/%Y %H:%M")).read("31/01/2026 08:30").unwrap();
        assert_eq!(found.to_string(), "2026-01-31T07:30:00Z");
        for text in ["31.01.2026", "", "yesterday", "2026-02-30", "0001-01-01"] {
            assert!(dates(None).read(text).is_err(), "{text}");
        }
        let refused = dates(Some("%Y-%m-%d")).read("31.01.2026").unwrap_err();
        assert!(refused.contains("--date-format"), "{refused}");
    }

    #[test]
    fn amounts_are_read_exactly_or_refused_with_the_remedy() {
        assert_eq!(amount("total", "€ 1234.50", None, false), Ok("1234.50".to_owned()));
        assert_eq!(amount("total", "1.234,50", None, true), Ok("1234.50".to_owned()));
        let refused = amount("total", "12,5", None, false).unwrap_err();
        assert!(refused.contains("--decimal-comma"), "{refused}");
        assert!(amount("total", "-1", None, false).unwrap_err().contains("negative"));
    }
}
