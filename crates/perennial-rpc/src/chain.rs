//! Prints an error with everything that caused it.

use std::error::Error;
use std::fmt;

/// Displays an error and its sources on one line, outermost first: `read the feed: no connection: timed out`.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(pub &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Libraries that repeat their source in their own words would otherwise be read twice.
            if !said.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            said = text;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Layer>>);

    #[test]
    fn a_chain_reads_as_a_sentence_and_repeats_nothing() {
        let inner = Layer("timed out", None);
        let repeating = Layer("no connection: timed out", Some(Box::new(inner)));
        let outer = Layer("read the feed", Some(Box::new(repeating)));
        assert_eq!(Chain(&outer).to_string(), "read the feed: no connection: timed out");
    }
}
