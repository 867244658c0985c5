//! The tables of this service. Queries are free functions that take the connection and the workspace first.

pub mod answers;
pub mod members;
pub mod schema;
pub mod segments;
pub mod stages;

use perennial_feed::{End, Personal};

/// Tables with rows about people.
pub const PERSONAL: [Personal; 5] = [
    Personal { table: &members::MEMBERSHIP, end: End::Delete },
    Personal { table: &members::CHANGES, end: End::Delete },
    Personal { table: &stages::STAGE, end: End::Delete },
    Personal { table: &stages::CHANGES, end: End::Delete },
    Personal { table: &members::MERGED, end: End::Delete },
];

/// A cause as two columns.
pub fn cause_columns(cause: &crate::domain::Cause) -> (&'static str, &str) {
    use crate::domain::Cause;
    match cause {
        Cause::Event(name) => ("event", name),
        Cause::Timer(part) => ("timer", part),
        Cause::Score => ("score", ""),
        Cause::Profile => ("profile", ""),
        Cause::Merge => ("merge", ""),
        Cause::Rule => ("rule", ""),
    }
}

/// A cause from its two columns.
pub fn cause_of(kind: &str, detail: String) -> crate::domain::Cause {
    use crate::domain::Cause;
    match kind {
        "event" => Cause::Event(detail),
        "timer" => Cause::Timer(detail),
        "score" => Cause::Score,
        "profile" => Cause::Profile,
        "merge" => Cause::Merge,
        _ => Cause::Rule,
    }
}
