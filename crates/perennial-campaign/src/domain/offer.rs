//! What an offer gives, and what it leaves of a customer's margin.

use serde::{Deserialize, Serialize};

/// How many orders of experience the default margin is worth: a customer's own margin counts as much as it after so many.
const PRIOR_ORDERS: f64 = 3.0;

/// What a coupon of an offer gives, as it was when the campaign's version was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Terms {
    /// This many tenths of a percent off.
    PerMille(u32),
    /// This amount off, minor units.
    Amount(i64),
    /// No shipping costs, which are expected to come to this, minor units.
    FreeShipping(i64),
}

impl Terms {
    /// The margin expected of the customer's next order after the discount: profit over revenue, both after it.
    ///
    /// Without the discount it is the customer's own profit over revenue to date, shrunk towards `default` as if three
    /// orders had been seen at that margin. `history` is orders, revenue and profit, minor units. What is an amount is
    /// held against the customer's average order; nobody knows what it leaves of a first one.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts and amounts of one customer are far below 2^53")]
    pub fn margin_left(self, history: (i64, i64, i64), default: f64) -> Option<f64> {
        let (orders, revenue, profit) = (history.0 as f64, history.1 as f64, history.2 as f64);
        let own = if revenue > 0.0 { profit / revenue } else { default };
        let seen = if revenue > 0.0 { orders } else { 0.0 };
        let margin = (seen * own + PRIOR_ORDERS * default) / (seen + PRIOR_ORDERS);
        let average = (orders > 0.0 && revenue > 0.0).then(|| revenue / orders);
        let left = match self {
            Self::PerMille(tenths) => {
                let off = f64::from(tenths) / 1_000.0;
                (margin - off) / (1.0 - off)
            }
            Self::Amount(off) => {
                let average = average.filter(|it| *it > off as f64)?;
                (average * margin - off as f64) / (average - off as f64)
            }
            Self::FreeShipping(cost) => margin - cost as f64 / average?,
        };
        left.is_finite().then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(terms: Terms, history: (i64, i64, i64)) -> Option<f64> {
        terms.margin_left(history, 0.4).map(|it| (it * 10_000.0).round() / 10_000.0)
    }

    #[test]
    fn a_percentage_takes_from_profit_and_from_revenue() {
        // Three orders at 20 % and a default of 40 % make 30 %; ten percent off leaves 20 of 90.
        assert_eq!(left(Terms::PerMille(100), (3, 10_000, 2_000)), Some(0.2222));
        // Nothing is known of the customer: the default.
        assert_eq!(left(Terms::PerMille(100), (0, 0, 0)), Some(0.3333));
        // Many orders outweigh the default.
        assert_eq!(left(Terms::PerMille(100), (297, 1_000_000, 200_000)), Some(0.1133));
        assert_eq!(left(Terms::PerMille(1_000), (3, 10_000, 2_000)), None);
    }

    #[test]
    fn an_amount_is_held_against_the_average_order() {
        // Average 50.00 at 30 %: 15.00 less 5.00 of 45.00.
        assert_eq!(left(Terms::Amount(500), (3, 15_000, 3_000)), Some(0.2222));
        assert_eq!(left(Terms::Amount(500), (0, 0, 0)), None);
        assert_eq!(left(Terms::Amount(5_000), (3, 15_000, 3_000)), None);
        // The revenue stays, the costs do not.
        assert_eq!(left(Terms::FreeShipping(500), (3, 15_000, 3_000)), Some(0.2));
    }
}
