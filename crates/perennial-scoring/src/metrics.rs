//! What this service measures, under `perennial.scoring`.

use std::sync::LazyLock;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};

static FITS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    opentelemetry::global::meter("perennial.scoring")
        .u64_counter("perennial.scoring.fits")
        .with_description("models fitted, by what became of them")
        .build()
});

static DURATION: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    opentelemetry::global::meter("perennial.scoring")
        .f64_histogram("perennial.scoring.fit.duration")
        .with_unit("ms")
        .with_description("time a fit takes, hold-out and edges included")
        .build()
});

/// Notes a fit: `published`, `candidate`, `refused` or `failed`.
pub fn fitted(outcome: &'static str, took: std::time::Duration) {
    FITS.add(1, &[KeyValue::new("outcome", outcome)]);
    DURATION.record(took.as_secs_f64() * 1_000.0, &[KeyValue::new("outcome", outcome)]);
}
