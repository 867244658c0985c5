//! Notification's instruments, named in one place.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};

use crate::domain::message::State;

/// The instruments.
#[derive(Clone, Debug)]
pub struct Metrics {
    taken: Counter<u64>,
    settled: Counter<u64>,
    reactions: Counter<u64>,
}

impl Metrics {
    /// Instruments of `meter`.
    #[must_use]
    pub fn new(meter: &Meter) -> Self {
        let counter = |name: &'static str, description: &'static str| {
            meter.u64_counter(name).with_description(description).build()
        };
        Self {
            taken: counter("perennial.notification.taken", "Messages asked for, by what was answered"),
            settled: counter("perennial.notification.settled", "Messages that came to an end, by which"),
            reactions: counter("perennial.notification.reactions", "What people did with messages, by what"),
        }
    }

    /// Counts an answer to whoever asked for a message: `claimed`, `duplicate` or `refused`.
    pub fn taken(&self, outcome: &'static str) {
        self.taken.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    /// Counts a message that came to an end; one that goes on is none.
    pub fn settled(&self, state: State) {
        if state != State::Claimed && state != State::Handing {
            self.settled.add(1, &[KeyValue::new("state", state.as_str())]);
        }
    }

    /// Counts a reaction: `opened`, `clicked` or `unsubscribed`.
    pub fn reacted(&self, reaction: &'static str) {
        self.reactions.add(1, &[KeyValue::new("reaction", reaction)]);
    }
}
