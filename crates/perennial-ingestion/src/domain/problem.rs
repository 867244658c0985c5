//! What is wrong with an event, in words its sender can act on.

use sha2::{Digest, Sha256};
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

    /// What problems of events of one name are grouped by: all but the values that were quoted, the numbers, and the places
    /// in lists, as 16 characters.
    pub fn cause(&self, event: &str) -> String {
        let mut hash = Sha256::new();
        for part in [event, &self.place(), &without_values(&self.reason)] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The field, with `*` for places in lists.
    pub fn place(&self) -> String {
        let is_number = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
        let parts = self.field.split('.').map(|it| if is_number(it) { "*" } else { it });
        parts.collect::<Vec<_>>().join(".")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.field, self.reason, self.remedy)
    }
}

/// A reason without what it quotes, and without numbers.
fn without_values(reason: &str) -> String {
    let unquoted = reason.split('"').step_by(2).collect::<Vec<_>>().join("…");
    let mut general = String::with_capacity(unquoted.len());
    for it in unquoted.chars() {
        let it = if it.is_ascii_digit() { '#' } else { it };
        if it != '#' || !general.ends_with('#') {
            general.push(it);
        }
    }
    general
}

/// At most `most` characters of `text`, for messages that quote what was sent.
pub fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_fault_with_other_values_is_one_cause() {
        let cause = |event: &str, field: &str, reason: &str| Problem::new(field, reason, "").cause(event);
        let first = cause("A", "properties.products.0.price", "\"1,5\" is not an amount");
        assert_eq!(first, cause("A", "properties.products.12.price", "\"abc\" is not an amount"));
        assert_ne!(first, cause("B", "properties.products.0.price", "\"1,5\" is not an amount"));
        assert_ne!(first, cause("A", "properties.price", "\"1,5\" is not an amount"));
        let large = |bytes: u32| cause("A", "event", &format!("it has {bytes} bytes, more than 32768"));
        assert_eq!(large(33_000), large(1_000_000));
    }
}
