//! Instants as people read them.

use jiff::tz::TimeZone;
use perennial_types::Timestamp;

/// A wire instant, if it is there.
#[must_use]
pub fn instant_of(wire: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    perennial_rpc::time::from_wire(wire?, "time").ok()
}

/// A wire instant in UTC, to the second; a dash if there is none.
#[must_use]
pub fn instant(wire: Option<&prost_types::Timestamp>) -> String {
    instant_of(wire).map_or_else(|| "–".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// A wire instant on somebody's own clock; a zone nobody knows reads as UTC.
#[must_use]
pub fn local(wire: Option<&prost_types::Timestamp>, zone: &str, format: &str) -> String {
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    instant_of(wire).map_or_else(|| "–".to_owned(), |at| at.to_zoned(zone).strftime(format).to_string())
}
