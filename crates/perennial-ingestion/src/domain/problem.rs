//! What is wrong with an event, in words its sender can act on.

use std::fmt;

/// One thing wrong with one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Dotted path within the event, such as `properties.revenue`.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

impl Problem {
    /// Says what is wrong with `field` and what to do.
    pub fn new(field: impl Into<String>, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.field, self.reason, self.remedy)
    }
}

/// At most `most` characters of `text`, for messages that quote what was sent.
pub fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
