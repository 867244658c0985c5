//! The instruments of this service, named in one place.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};

/// What is measured.
#[derive(Clone)]
pub struct Metrics {
    events: Counter<u64>,
    batch: Histogram<u64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let meter = opentelemetry::global::meter("perennial.ingestion");
        Self {
            events: meter.u64_counter("ingestion.events").with_unit("{event}").build(),
            batch: meter.u64_histogram("ingestion.request.events").with_unit("{event}").build(),
        }
    }
}

impl Metrics {
    /// Counts what became of the events of one request.
    pub fn request(&self, accepted: u64, duplicate: u64, rejected: u64) {
        for (outcome, count) in [("accepted", accepted), ("duplicate", duplicate), ("rejected", rejected)] {
            if count > 0 {
                self.events.add(count, &[KeyValue::new("outcome", outcome)]);
            }
        }
        self.batch.record(accepted + duplicate + rejected, &[]);
    }
}
