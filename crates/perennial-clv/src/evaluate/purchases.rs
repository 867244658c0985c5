//! What an evaluation reads of a customer.

use crate::history::History;
use crate::summary::Summary;

/// The purchases of one customer by day; orders of one day are one.
pub trait Purchases: Sync {
    /// The day of the first one.
    fn first_day(&self) -> Option<i32>;
    /// What a model reads at the end of a day; nothing before the first purchase.
    fn summary(&self, cutoff: i32, days_per_unit: f64) -> Option<Summary>;
    /// Purchases in (after, until].
    fn between(&self, after: i32, until: i32) -> u32;
    /// The mean value of a purchase until the end of a day, in any unit; 0 without one.
    fn mean_value(&self, cutoff: i32) -> f64;
}

impl Purchases for History {
    fn first_day(&self) -> Option<i32> {
        Self::first_day(self)
    }

    fn summary(&self, cutoff: i32, days_per_unit: f64) -> Option<Summary> {
        Self::summary(self, cutoff, days_per_unit)
    }

    fn between(&self, after: i32, until: i32) -> u32 {
        self.purchases_between(after, until)
    }

    fn mean_value(&self, cutoff: i32) -> f64 {
        let purchases = self.purchases_between(i32::MIN, cutoff);
        if purchases == 0 {
            return 0.0;
        }
        self.value_between(i32::MIN, cutoff) as f64 / f64::from(purchases)
    }
}

impl<P: Purchases> Purchases for &P {
    fn first_day(&self) -> Option<i32> {
        (**self).first_day()
    }

    fn summary(&self, cutoff: i32, days_per_unit: f64) -> Option<Summary> {
        (**self).summary(cutoff, days_per_unit)
    }

    fn between(&self, after: i32, until: i32) -> u32 {
        (**self).between(after, until)
    }

    fn mean_value(&self, cutoff: i32) -> f64 {
        (**self).mean_value(cutoff)
    }
}
