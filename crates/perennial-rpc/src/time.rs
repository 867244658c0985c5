//! Instants and durations on the wire.

use jiff::SignedDuration;
use perennial_types::{Timestamp, from_micros, micros};

use crate::{Field, Invalid};

/// An instant as a protobuf timestamp.
#[must_use]
pub fn to_wire(at: Timestamp) -> prost_types::Timestamp {
    let micros = micros(at);
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or_default();
    prost_types::Timestamp { seconds: micros.div_euclid(1_000_000), nanos }
}

/// The instant of a protobuf timestamp, to the microsecond (rounded down, as everything is stored).
///
/// # Errors
/// [`Invalid`] naming `field` if it is outside the years 1 to 9999.
pub fn from_wire(wire: &prost_types::Timestamp, field: &str) -> Result<Timestamp, Invalid> {
    let in_range = (-62_135_596_800..=253_402_300_799).contains(&wire.seconds);
    let nanos = u32::try_from(wire.nanos).ok().filter(|it| *it < 1_000_000_000);
    match nanos {
        Some(nanos) if in_range => Ok(from_micros(wire.seconds * 1_000_000 + i64::from(nanos / 1_000))),
        _ => Err(Invalid::new(
            field,
            "is outside the years 1 to 9999: send a google.protobuf.Timestamp in UTC",
        )),
    }
}

/// The instant of a timestamp that has to be there.
///
/// # Errors
/// [`Invalid`] naming `field` if it is missing or outside the years 1 to 9999.
pub fn required(wire: Option<&prost_types::Timestamp>, field: &str) -> Result<Timestamp, Invalid> {
    from_wire(wire.field(field)?, field)
}

/// A duration as a protobuf duration.
#[must_use]
pub fn duration_to_wire(duration: SignedDuration) -> prost_types::Duration {
    prost_types::Duration { seconds: duration.as_secs(), nanos: duration.subsec_nanos() }
}

/// The duration of a protobuf duration.
///
/// # Errors
/// [`Invalid`] naming `field` if it is over 10,000 years, or its parts have different signs.
pub fn duration_from_wire(wire: &prost_types::Duration, field: &str) -> Result<SignedDuration, Invalid> {
    let one_sign = wire.seconds == 0 || wire.nanos == 0 || (wire.seconds < 0) == (wire.nanos < 0);
    let in_range = wire.seconds.abs_diff(0) <= 315_576_000_000 && wire.nanos.abs_diff(0) < 1_000_000_000;
    if one_sign && in_range {
        Ok(SignedDuration::new(wire.seconds, wire.nanos))
    } else {
        Err(Invalid::new(
            field,
            "is not a duration: seconds and nanos need one sign and at most 10,000 years",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_instant_comes_back(at in -62_135_596_800_000_000_i64..253_402_207_200_000_000) {
            let at = from_micros(at);
            prop_assert_eq!(from_wire(&to_wire(at), "at").unwrap(), at);
        }

        #[test]
        fn a_duration_comes_back(seconds in -315_576_000_000_i64..=315_576_000_000, nanos in 0..1_000_000_000_i32) {
            let duration = SignedDuration::new(seconds, if seconds < 0 { -nanos } else { nanos });
            prop_assert_eq!(duration_from_wire(&duration_to_wire(duration), "for").unwrap(), duration);
        }

        #[test]
        fn any_timestamp_is_read_or_refused(seconds: i64, nanos: i32) {
            drop(from_wire(&prost_types::Timestamp { seconds, nanos }, "at"));
            drop(duration_from_wire(&prost_types::Duration { seconds, nanos }, "for"));
        }
    }

    #[test]
    fn a_missing_instant_is_named() {
        assert_eq!(required(None, "event_time").unwrap_err().to_string(), "event_time is missing: set it");
        let late = prost_types::Timestamp { seconds: i64::MAX, nanos: 0 };
        assert!(from_wire(&late, "event_time").unwrap_err().to_string().contains("9999"));
    }
}
