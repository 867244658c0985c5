//! What contacting a customer is worth, by a campaign's own measure.

use perennial_types::from_micros;

use super::definition::Priority;
use super::effect::Reason;
use super::state::State;
use super::stats::Lift;
use super::step::Step;

impl Step<'_> {
    /// Which lift a message was weighed by, where one was measured.
    pub fn believed(&self, state: &State, place: &str, at: i64) -> Option<Reason> {
        let campaign = self.campaign_of(state.instances.get(place)?)?;
        let Priority::ExpectedIncrementalProfit { lift, .. } = campaign.priority else { return None };
        let (since, measured) = self.book.lift(&campaign.name, at)?;
        let percent = |it: f64| format!("{:.2} %", it * 100.0);
        let text = format!(
            "lift {}: stated {}, measured {} ± {} as of {}",
            percent(measured.shrunk(lift)),
            percent(lift),
            percent(measured.share),
            percent(measured.error),
            from_micros(since)
        );
        Some(Reason::new("lift", text))
    }
}

/// What the customer is worth contacting, by the campaign's own measure.
#[expect(clippy::cast_precision_loss, reason = "amounts are far below 2^53")]
pub fn priority(priority: Priority, state: &State, measured: Option<(i64, Lift)>) -> f64 {
    match priority {
        Priority::Number(number) => number,
        Priority::ExpectedIncrementalProfit { lift, incentive, contact } => {
            let lift = measured.map_or(lift, |(_, it)| it.shrunk(lift));
            lift * state.score.profit_90d.max(0) as f64 - lift * incentive as f64 - contact as f64
        }
    }
}
