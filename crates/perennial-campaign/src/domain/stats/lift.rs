//! What a campaign is measured to add to what is expected of its customers, and how far that is believed.

use serde::{Deserialize, Serialize};

use super::report::{Arm, ENOUGH, ratio_alarm};
use super::sequence::adjusted;

/// A measured lift: incremental profit as a share of the profit that was expected, at entry, of the same customers in
/// 90 days.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lift {
    /// The share.
    pub share: f64,
    /// Its standard error.
    pub error: f64,
}

/// The lift that the arms show. None while an arm has fewer than 50 customers, while the arms do not fit the share drawn,
/// or while nothing was expected of the treated.
#[must_use]
pub fn measured(treated: &Arm, held_out: &Arm) -> Option<Lift> {
    let n = treated.profit.n + held_out.profit.n;
    if treated.profit.n < ENOUGH || held_out.profit.n < ENOUGH || ratio_alarm(treated, held_out) {
        return None;
    }
    let found = adjusted(&treated.profit, &held_out.profit)?;
    let expected = treated.expected / treated.profit.n;
    if expected < 1.0 {
        return None;
    }
    let lift = Lift { share: found.difference / expected, error: found.deviation / n.sqrt() / expected };
    (lift.share.is_finite() && lift.error.is_finite()).then_some(lift)
}

impl Lift {
    /// The measurement shrunk towards what the campaign states, each weighed by how well it is known. A stated lift is
    /// taken for a guess that may as well be off by as much as itself: 3 % says somewhere from nothing to 6 %.
    #[must_use]
    pub fn shrunk(self, stated: f64) -> f64 {
        let spread = if stated > 0.0 { stated } else { UNSTATED };
        let (prior, error) = (spread * spread, self.error * self.error);
        if prior + error <= 0.0 {
            return self.share;
        }
        (self.share * prior + stated * error) / (prior + error)
    }
}

/// How far off a lift that is stated as nothing may be.
const UNSTATED: f64 = 0.01;
