//! Days of the business: which day an instant falls on, as a number.

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use perennial_types::{Timestamp, micros};

const EPOCH: Date = date(1970, 1, 1);

/// The business's calendar: days are counted from 1970-01-01 in its own time zone.
#[derive(Clone, Debug)]
pub struct Calendar {
    zone: TimeZone,
    is_utc: bool,
}

impl Calendar {
    /// The calendar of an IANA time zone.
    ///
    /// # Errors
    /// What is wrong with the name.
    pub fn of(zone: &str) -> Result<Self, String> {
        let zone = TimeZone::get(zone).map_err(|error| {
            format!("time_zone {zone:?} is not known ({error}): use an IANA name such as Europe/Madrid")
        })?;
        Ok(Self { is_utc: zone.iana_name().is_none_or(|it| it == "UTC"), zone })
    }

    /// The day an instant falls on.
    #[must_use]
    pub fn day(&self, at: Timestamp) -> i32 {
        if self.is_utc {
            let day = micros(at).div_euclid(86_400_000_000);
            return i32::try_from(day).unwrap_or(if day < 0 { i32::MIN } else { i32::MAX });
        }
        (self.zone.to_datetime(at).date() - EPOCH).get_days()
    }
}

/// A day as `2026-03-01`.
#[must_use]
pub fn date_text(day: i32) -> String {
    EPOCH.saturating_add(jiff::Span::new().try_days(day).unwrap_or_default()).to_string()
}

/// Reads `2026-03-01`.
///
/// # Errors
/// What is wrong with it.
pub fn day_of_text(text: &str) -> Result<i32, String> {
    let date: Date =
        text.parse().map_err(|_| format!("is {text:?}: write a date such as 2026-03-01, or nothing"))?;
    Ok((date - EPOCH).get_days())
}
