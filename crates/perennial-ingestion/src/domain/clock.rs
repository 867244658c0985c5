//! When an event happened, for devices whose clocks are wrong and senders that retry.

use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;

use super::problem::{Problem, shortened};

/// A device's clock is corrected only if it is off by at least this; less is the time a request takes, or a queue.
const SKEW: SignedDuration = SignedDuration::from_mins(55);
/// What is later than its receipt by more than this did not happen yet, so it happened at receipt.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// The instants a sender may give.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    /// `timestamp`.
    pub timestamp: Option<Timestamp>,
    /// `originalTimestamp`.
    pub original: Option<Timestamp>,
    /// `sentAt`, of the item or else of its batch.
    pub sent: Option<Timestamp>,
    /// How often this request was tried before (`X-Retry-Count`).
    pub retries: u32,
}

/// When it happened, told by a sender whose clock may be wrong.
///
/// `receivedAt − (sentAt − originalTimestamp)` corrects a wrong clock, but a retry repeats its first `sentAt`, and would
/// be moved by the length of the outage. So it applies only to first tries, and only to gross errors.
pub fn event_time(told: Told, received: Timestamp) -> Timestamp {
    let Some(stated) = told.timestamp.or(told.original) else { return received };
    let corrected = match told.sent {
        Some(sent) if told.retries == 0 && received.duration_since(sent).abs() >= SKEW => {
            let age = sent.duration_since(told.original.unwrap_or(stated));
            received.checked_sub(age).unwrap_or(received)
        }
        _ => stated,
    };
    if corrected.duration_since(received) > AHEAD { received } else { corrected }
}

/// Reads an instant: RFC 3339 text, or Unix seconds or milliseconds as a number. Null and empty text are none.
///
/// # Errors
/// The problem with `field`, if it is anything else.
pub fn instant(field: &str, raw: Option<&RawValue>) -> Result<Option<Timestamp>, Problem> {
    let Some(raw) = raw else { return Ok(None) };
    let json = raw.get().trim();
    let refused = || {
        let remedy = "use RFC 3339, such as 2026-03-01T09:30:00Z";
        Problem::new(field, format!("{} is not an instant", shortened(json, 40)), remedy)
    };
    if json.starts_with('"') {
        let text: String = serde_json::from_str(json).map_err(|_| refused())?;
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let zoned = text.parse::<Timestamp>().ok();
        // Without an offset it is taken for UTC: some SDKs leave it out.
        let read = zoned.or_else(|| {
            let civil: jiff::civil::DateTime = text.parse().ok()?;
            Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
        });
        // Some write the number of a clock as text.
        let numbered = || text.parse::<f64>().ok().filter(|it| it.abs() >= 1e8).and_then(of_number);
        return read.or_else(numbered).map(Some).ok_or_else(refused);
    }
    let number: f64 = json.parse().map_err(|_| refused())?;
    of_number(number).map(Some).ok_or_else(refused)
}

/// The instant that is this many seconds or milliseconds after 1970.
fn of_number(number: f64) -> Option<Timestamp> {
    // Seconds until the year 5138; everything greater is milliseconds.
    let millis = if number.abs() < 1e11 { number * 1_000.0 } else { number };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float cast saturates, and what is out of range is refused"
    )]
    Timestamp::from_millisecond(millis as i64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn told(timestamp: &str, sent: &str, retries: u32) -> Told {
        Told { timestamp: Some(at(timestamp)), original: None, sent: Some(at(sent)), retries }
    }

    const RECEIVED: &str = "2026-03-01T12:00:00Z";

    #[test]
    fn a_clock_a_day_behind_is_corrected_on_the_first_try_only() {
        let told = |retries| told("2026-02-28T11:59:00Z", "2026-02-28T12:00:00Z", retries);
        assert_eq!(event_time(told(0), at(RECEIVED)), at("2026-03-01T11:59:00Z"));
        assert_eq!(event_time(told(1), at(RECEIVED)), at("2026-02-28T11:59:00Z"));
    }

    #[test]
    fn a_small_difference_is_left_alone_and_the_future_becomes_the_present() {
        let slow = told("2026-03-01T11:29:00Z", "2026-03-01T11:30:00Z", 0);
        assert_eq!(event_time(slow, at(RECEIVED)), at("2026-03-01T11:29:00Z"));
        let ahead = told("2026-03-01T12:06:00Z", "2026-03-01T12:06:00Z", 0);
        assert_eq!(event_time(ahead, at(RECEIVED)), at(RECEIVED));
        assert_eq!(event_time(Told::default(), at(RECEIVED)), at(RECEIVED));
    }

    #[test]
    fn instants_are_read_in_the_forms_senders_use() {
        let read = |json: &str| instant("timestamp", Some(&RawValue::from_string(json.to_owned()).unwrap()));
        let noon = Some(at(RECEIVED));
        for json in [
            r#""2026-03-01T12:00:00Z""#,
            r#""2026-03-01T13:00:00+01:00""#,
            r#""2026-03-01T12:00:00""#,
            r#""2026-03-01 12:00:00+0000""#,
            r#""2026-03-01T12:00:00.0000000Z""#,
            r#""1772366400""#,
            "1772366400",
            "1772366400.0",
            "1772366400000",
        ] {
            assert_eq!(read(json).unwrap(), noon, "{json}");
        }
        assert_eq!(read(r#""""#).unwrap(), None);
        for json in [r#""yesterday""#, r#""2026""#, "{}", "true", "1e300"] {
            let problem = read(json).unwrap_err();
            assert_eq!(problem.field, "timestamp");
        }
    }
}
