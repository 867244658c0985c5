//! Loyalty's instruments, named in one place.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};

use crate::domain::coupon::Refusal;

/// The instruments.
#[derive(Clone, Debug)]
pub struct Metrics {
    coupons: Counter<u64>,
    refusals: Counter<u64>,
}

impl Metrics {
    /// Instruments of `meter`.
    #[must_use]
    pub fn new(meter: &Meter) -> Self {
        let counter = |name: &'static str, description: &'static str| {
            meter.u64_counter(name).with_description(description).build()
        };
        Self {
            coupons: counter("perennial.loyalty.coupons", "What was done with coupons, by what"),
            refusals: counter("perennial.loyalty.refusals", "What was asked and refused, by what and why"),
        }
    }

    /// Counts what was asked of a coupon: `issue`, `reserve`, `redeem` or `release`.
    pub fn asked(&self, act: &'static str, refusal: Option<Refusal>) {
        match refusal {
            None => self.coupons.add(1, &[KeyValue::new("act", act)]),
            Some(it) => {
                let why = [KeyValue::new("act", act), KeyValue::new("reason", it.reason())];
                self.refusals.add(1, &why);
            }
        }
    }

    /// Counts coupons whose reservation or validity ended.
    pub fn ended(&self, count: usize) {
        self.coupons.add(count as u64, &[KeyValue::new("act", "end")]);
    }
}
