//! Quiet hours on the customer's own clock.
//!
//! They are hours of the wall clock: when a transition moves the clock, they move with it. An instant is quiet exactly
//! when a clock on the customer's wall shows a quiet time.

use jiff::civil::Time;
use jiff::tz::TimeZone;
use perennial_types::Timestamp;

/// Hours in which nobody is contacted by marketing; `from` equal to `until` means none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuietHours {
    /// First quiet time.
    pub from: Time,
    /// First time that is no longer quiet.
    pub until: Time,
}

impl Default for QuietHours {
    fn default() -> Self {
        Self { from: jiff::civil::time(21, 0, 0, 0), until: jiff::civil::time(8, 0, 0, 0) }
    }
}

impl QuietHours {
    /// Whether the wall clock shows a quiet time.
    #[must_use]
    pub fn is_quiet(&self, at: Timestamp, zone: &TimeZone) -> bool {
        let clock = zone.to_datetime(at).time();
        match self.from.cmp(&self.until) {
            std::cmp::Ordering::Equal => false,
            std::cmp::Ordering::Less => self.from <= clock && clock < self.until,
            std::cmp::Ordering::Greater => self.from <= clock || clock < self.until,
        }
    }

    /// When the quiet time that `at` lies in ends; `None` if it is not quiet.
    #[must_use]
    pub fn ends(&self, at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        if !self.is_quiet(at, zone) {
            return None;
        }
        Some(self.turn(self.until, false, at, zone))
    }

    /// When the next quiet time after `at` begins: `at` itself if it is quiet; `None` if there is none.
    #[must_use]
    pub fn begins(&self, at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        if self.from == self.until {
            return None;
        }
        Some(if self.is_quiet(at, zone) { at } else { self.turn(self.from, true, at, zone) })
    }

    /// The first instant after `at` that is quiet (or is not): the wall clock can only get there by showing `clock`,
    /// or by jumping at a transition.
    fn turn(&self, clock: Time, quiet: bool, at: Timestamp, zone: &TimeZone) -> Timestamp {
        let mut candidates = Vec::with_capacity(12);
        let mut date = zone.to_datetime(at).date();
        for _ in 0..4 {
            let ambiguous = zone.to_ambiguous_timestamp(date.to_datetime(clock));
            candidates.extend(ambiguous.earlier());
            candidates.extend(ambiguous.later());
            date = date.tomorrow().unwrap_or(date);
        }
        candidates.extend(zone.following(at).take(3).map(|it| it.timestamp()));
        candidates.retain(|it| *it > at && self.is_quiet(*it, zone) == quiet);
        // A day has every time of day or jumps over it, so within four days there is one; this is for the calendar's end.
        candidates.into_iter().min().unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ZONES: [&str; 9] = [
        "Europe/Madrid",
        "America/New_York",
        "Australia/Lord_Howe",
        "Pacific/Chatham",
        "Asia/Kathmandu",
        "America/Sao_Paulo",
        "Africa/Casablanca",
        "Asia/Tehran",
        "America/St_Johns",
    ];

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn nights_end_at_eight_on_the_wall_in_spring_and_autumn() {
        let quiet = QuietHours::default();
        let madrid = zone("Europe/Madrid");
        // The clock jumps from 02:00 to 03:00: the night is an hour shorter.
        assert_eq!(quiet.ends(at("2026-03-28T21:30:00Z"), &madrid), Some(at("2026-03-29T06:00:00Z")));
        // It falls back from 03:00 to 02:00: the night is an hour longer.
        assert_eq!(quiet.ends(at("2026-10-24T20:30:00Z"), &madrid), Some(at("2026-10-25T07:00:00Z")));
        assert_eq!(quiet.ends(at("2026-06-01T12:00:00Z"), &madrid), None);
        assert_eq!(quiet.begins(at("2026-06-01T12:00:00Z"), &madrid), Some(at("2026-06-01T19:00:00Z")));
    }

    #[test]
    fn half_hour_transitions_and_odd_offsets_are_exact() {
        let quiet = QuietHours::default();
        let howe = zone("Australia/Lord_Howe");
        // Falls back by 30 minutes on 2026-04-05 at 02:00 (+11:00 to +10:30).
        assert_eq!(quiet.ends(at("2026-04-04T11:00:00Z"), &howe), Some(at("2026-04-04T21:30:00Z")));
        let nepal = zone("Asia/Kathmandu");
        assert_eq!(quiet.ends(at("2026-01-01T16:00:00Z"), &nepal), Some(at("2026-01-02T02:15:00Z")));
    }

    proptest! {
        #[test]
        fn the_wall_clock_is_quiet_until_the_end_and_not_at_it(
            zone_at in 0..ZONES.len(),
            transition in 0_usize..40,
            offset in -40_i64 * 60..40 * 60,
            from in 0_i8..24,
            until in 0_i8..24,
        ) {
            let zone = zone(ZONES[zone_at]);
            let quiet = QuietHours {
                from: jiff::civil::time(from, 0, 0, 0),
                until: jiff::civil::time(until, 30, 0, 0),
            };
            // Minutes around a transition, or around the same hours of a zone that has none.
            let base = at("2016-01-01T00:00:00Z");
            let near = zone.following(base).nth(transition).map_or(base, |it| it.timestamp());
            let start = near + jiff::SignedDuration::from_mins(offset);
            if let Some(end) = quiet.ends(start, &zone) {
                prop_assert!(!quiet.is_quiet(end, &zone));
                let mut it = start;
                while it < end {
                    prop_assert!(quiet.is_quiet(it, &zone), "{it} in {}", ZONES[zone_at]);
                    it += jiff::SignedDuration::from_mins(5);
                }
            } else if let Some(begin) = quiet.begins(start, &zone) {
                prop_assert!(quiet.is_quiet(begin, &zone));
                let mut it = start;
                while it < begin {
                    prop_assert!(!quiet.is_quiet(it, &zone), "{it} in {}", ZONES[zone_at]);
                    it += jiff::SignedDuration::from_mins(5);
                }
            }
        }
    }
}
