//! Campaign's instruments, named in one place.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};
use perennial_types::Workspace;

use crate::domain::effect::Decision;

/// The instruments.
#[derive(Clone)]
pub struct Metrics {
    decisions: Counter<u64>,
    commands: Counter<u64>,
}

impl Metrics {
    /// Instruments of `meter`.
    #[must_use]
    pub fn new(meter: &Meter) -> Self {
        Self {
            decisions: meter
                .u64_counter("perennial.campaign.decisions")
                .with_description("Decisions, by outcome")
                .build(),
            commands: meter
                .u64_counter("perennial.campaign.commands")
                .with_description("Send commands answered, by what became of them")
                .build(),
        }
    }

    /// Counts decisions.
    pub fn decided(&self, decisions: &[(Workspace, Decision)]) {
        for (_, it) in decisions {
            self.decisions.add(1, &[KeyValue::new("outcome", it.outcome.as_str())]);
        }
    }

    /// Counts commands that were answered.
    pub fn answered(&self, count: usize, delivery: &str) {
        self.commands.add(count as u64, &[KeyValue::new("delivery", delivery.to_owned())]);
    }
}
