//! This service's instruments, named in one place.

use opentelemetry::metrics::Counter;

/// Counts what the fold does.
#[derive(Debug)]
pub struct Metrics {
    membership_changes: Counter<u64>,
    stage_changes: Counter<u64>,
}

impl Metrics {
    /// Instruments of the process's meter.
    pub fn new() -> Self {
        let meter = opentelemetry::global::meter("perennial.segmentation");
        Self {
            membership_changes: meter
                .u64_counter("segmentation.membership.changes")
                .with_description("Profiles that entered or left a segment")
                .build(),
            stage_changes: meter
                .u64_counter("segmentation.stage.changes")
                .with_description("Profiles that moved to another lifecycle stage")
                .build(),
        }
    }

    /// A batch was written.
    pub fn changed(&self, memberships: usize, stages: usize) {
        self.membership_changes.add(memberships as u64, &[]);
        self.stage_changes.add(stages as u64, &[]);
    }
}
