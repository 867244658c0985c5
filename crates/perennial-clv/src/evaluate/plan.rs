//! Where the past is cut: what a forecast may see, and what is held out.

use crate::error::InvalidValue;
use serde::{Deserialize, Serialize};

/// Cuts, at most.
const MOST_CUTS: i32 = 3;

/// A hold-out shorter than this, in days, says little.
const SHORTEST: i32 = 14;

/// One cut of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The last day a forecast may see.
    pub cut: i32,
    /// Days held out after it.
    pub horizon: i32,
}

/// The cuts of a rolling hold-out, the earliest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Where it is cut.
    pub origins: Vec<Origin>,
    /// Days in the models' unit of time: 7 for weeks.
    pub days_per_unit: f64,
}

impl Plan {
    /// Cuts between the day of the first purchase and the last day known, so that what is held out is as close as the
    /// past allows to the `horizon` in days that will be forecast.
    ///
    /// With four horizons of history or more: the last three of them, each after all that came before it. With less:
    /// half the history, a third and a quarter of it at its end, none longer than the horizon. Hold-outs of less than
    /// two weeks are left out; a history of less than six weeks has none.
    ///
    /// # Errors
    /// If the unit or the horizon is not positive.
    pub fn rolling(first: i32, last: i32, horizon: i32, days_per_unit: f64) -> Result<Self, InvalidValue> {
        InvalidValue::positive("days_per_unit", days_per_unit)?;
        InvalidValue::positive("horizon", f64::from(horizon))?;
        let span = last.saturating_sub(first).saturating_add(1).max(0);
        let origins = (1..=MOST_CUTS).map(|k| {
            if span / 4 >= horizon {
                return Origin { cut: last - k * horizon, horizon };
            }
            let held_out = (span / (k + 1)).min(horizon);
            Origin { cut: last - held_out, horizon: held_out }
        });
        let mut origins: Vec<Origin> =
            origins.filter(|it| span >= 3 * SHORTEST && it.horizon >= SHORTEST.min(horizon)).collect();
        origins.sort_by_key(|it| it.cut);
        origins.dedup();
        Ok(Self { origins, days_per_unit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_lie_in_the_past_and_hold_out_what_will_be_forecast_where_they_can() {
        let of = |first, last, horizon| {
            let plan = Plan::rolling(first, last, horizon, 7.0).expect("a plan");
            plan.origins.iter().map(|it| (it.cut, it.horizon)).collect::<Vec<_>>()
        };
        assert_eq!(of(0, 1_999, 365), [(904, 365), (1_269, 365), (1_634, 365)]);
        assert_eq!(of(0, 271, 273), [(135, 136), (181, 90), (203, 68)]);
        assert_eq!(of(0, 399, 150), [(249, 150), (266, 133), (299, 100)]);
        assert_eq!(of(0, 29, 7), []);
        assert_eq!(of(0, 41, 90), [(20, 21), (27, 14)]);
        assert!(Plan::rolling(0, 100, 0, 7.0).is_err());
    }
}
