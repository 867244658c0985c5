//! Yearly dates on the customer's own calendar.

use jiff::Span;
use jiff::civil::{Date, Time, date};
use jiff::tz::TimeZone;
use perennial_types::{Scalar, Timestamp};

/// When the date of a trait (`YYYY-MM-DD…` or `MM-DD`) next comes round after `after`, `days` later and at the local
/// time `at`. 29 February is kept on the 28th in other years. `None` if the trait is no date.
#[must_use]
pub fn next(value: &Scalar, at: Time, days: i32, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let (month, day) = month_and_day(value.text()?)?;
    let year = zone.to_datetime(after).year();
    (year.saturating_sub(1)..=year.saturating_add(2)).find_map(|year| {
        let day = day_of(year, month, day)?.checked_add(Span::new().days(days)).ok()?;
        let due = zone.to_ambiguous_timestamp(day.to_datetime(at)).compatible().ok()?;
        (due > after).then_some(due)
    })
}

fn month_and_day(text: &str) -> Option<(i8, i8)> {
    let text = text.trim();
    if text.len() == 5 {
        let (month, day) = text.split_once('-')?;
        let (month, day) = (month.parse().ok()?, day.parse().ok()?);
        // A leap year, so that 29 February is a date.
        Date::new(2024, month, day).ok()?;
        return Some((month, day));
    }
    let it: Date = text.get(..10)?.parse().ok()?;
    Some((it.month(), it.day()))
}

fn day_of(year: i16, month: i8, day: i8) -> Option<Date> {
    if (month, day) == (2, 29) && !date(year, 1, 1).in_leap_year() {
        return Date::new(year, 2, 28).ok();
    }
    Date::new(year, month, day).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_birthday_comes_on_the_local_day_and_on_the_28th_for_leap_day_children() {
        let madrid = TimeZone::get("Europe/Madrid").unwrap();
        let next = |text: &str, after: &str| {
            next(&Scalar::from(text), jiff::civil::time(9, 0, 0, 0), 0, after.parse().unwrap(), &madrid)
                .map(|it| it.to_string())
        };
        assert_eq!(next("1990-07-01", "2026-07-01T06:59:00Z").as_deref(), Some("2026-07-01T07:00:00Z"));
        assert_eq!(next("07-01", "2026-07-01T07:00:00Z").as_deref(), Some("2027-07-01T07:00:00Z"));
        assert_eq!(next("1992-02-29", "2026-01-01T00:00:00Z").as_deref(), Some("2026-02-28T08:00:00Z"));
        assert_eq!(next("1992-02-29", "2027-12-01T00:00:00Z").as_deref(), Some("2028-02-29T08:00:00Z"));
        assert_eq!(next("soon", "2027-12-01T00:00:00Z"), None);
    }
}
