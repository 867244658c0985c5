//! What can go wrong, in words that know no transport.

use std::time::Duration;

/// What a caller can do about a fault. Each maps to exactly one gRPC code, in `perennial-rpc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request is wrong and will stay wrong: mend the named fields.
    Invalid,
    /// What was named does not exist, or belongs to another workspace.
    NotFound,
    /// What was to be created exists already.
    AlreadyExists,
    /// The request is right, but not in the present state.
    Precondition,
    /// Somebody else changed it at the same time: read again and retry.
    Conflict,
    /// The caller is known, but may not.
    Denied,
    /// The caller is not known.
    Unauthenticated,
    /// A limit is used up: wait.
    Exhausted,
    /// Not now; trying again may help.
    Unavailable,
    /// Our mistake. The caller hears no more than that; the log has the rest.
    Internal,
}

/// What a caller is told besides the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// A field of the request (dotted path), what is wrong with it and what to do.
    Field {
        /// Dotted path from the request's root, such as `segment.rule`.
        name: String,
        /// The problem and its remedy.
        problem: String,
    },
    /// The thing that is missing, exists, or is in the wrong state.
    Resource {
        /// Its type, such as `Segment`.
        kind: &'static str,
        /// Its resource name.
        name: String,
    },
    /// When trying again makes sense.
    Retry {
        /// How long to wait first.
        after: Duration,
    },
}

/// An error that knows what a caller should be told.
pub trait Fault: std::error::Error {
    /// What the caller can do about it.
    fn kind(&self) -> Kind;

    /// A stable name in capitals, such as `SEGMENT_NOT_FOUND`: part of the API, never renamed and never reused.
    fn reason(&self) -> &'static str;

    /// The fields, resources and delays it is about.
    fn details(&self) -> Vec<Detail> {
        Vec::new()
    }
}
