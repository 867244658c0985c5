//! Reading scores: of some profiles as of now, and of all together.

use std::collections::BTreeMap;

use perennial_types::{Currency, ProfileId, Timestamp, Workspace};

use super::App;
use crate::domain::customer::{Customer, Figures};
use crate::domain::score::{Brief, Judge, NextOrder, Worth};
use crate::domain::summary::Distribution;
use crate::error::{Error, Result};
use crate::store::{self, Reach};

/// Everything known of one customer's value at an instant.
#[derive(Clone, Debug)]
pub struct Score {
    /// Whose.
    pub profile: ProfileId,
    /// When.
    pub at: Timestamp,
    /// The model's label and its last day; none while nothing is published.
    pub model: Option<(String, i32)>,
    /// Whether that model has parameters, or only counted facts.
    pub has_model: bool,
    /// The currency.
    pub currency: Option<Currency>,
    /// What the orders add up to.
    pub figures: Figures,
    /// x, t_x and T in weeks.
    pub history: Option<(u32, f64, f64)>,
    /// Profit per revenue for predictions.
    pub margin: f64,
    /// P(alive) and the rest.
    pub brief: Brief,
    /// CLV by horizon.
    pub values: Vec<Worth>,
    /// The next order.
    pub next_order: Option<NextOrder>,
    /// Reactivated by the latest order.
    pub reactivated: bool,
}

/// All customers of a workspace together.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The model in force.
    pub model: Option<String>,
    /// The currency.
    pub currency: Option<Currency>,
    /// The sums.
    pub reach: Reach,
    /// Recency score, monetary score, customers.
    pub rfm: Vec<(i64, i64, i64)>,
    /// The distribution of CLV.
    pub clv: Option<Distribution>,
}

impl App {
    /// Scores one profile as of now.
    ///
    /// # Errors
    /// If it is not known.
    pub async fn score(&self, workspace: &Workspace, profile: ProfileId) -> Result<Score> {
        let found = self.scores(workspace, &[profile]).await?.pop();
        let name = || format!("{}/profiles/{profile}", workspace.resource());
        found.ok_or_else(|| Error::NoProfile(name()))
    }

    /// Scores some profiles as of now; those that are not known are left out.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn scores(&self, workspace: &Workspace, profiles: &[ProfileId]) -> Result<Vec<Score>> {
        let force = self.reader.fold().in_force(self.store.read(), workspace).await?;
        let mut states: BTreeMap<ProfileId, Customer> = self.reader.states(workspace, profiles).await?;
        let known: Vec<_> = profiles.iter().filter_map(|it| Some((*it, states.remove(it)?))).collect();
        let (at, settings) = (self.clock.now(), self.settings.clone());
        let work = move || {
            let judge =
                Judge { rules: &settings.rules, calendar: &settings.calendar, force: force.as_deref() };
            known.into_iter().map(|(profile, customer)| score(&judge, profile, &customer, at)).collect()
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Error::Calculation)
    }

    /// All customers together.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn summarize(&self, workspace: &Workspace) -> Result<Summary> {
        let db = self.store.read();
        Ok(Summary {
            model: self.reader.fold().in_force(db, workspace).await?.map(|it| it.label.clone()),
            currency: store::currency(db, workspace).await?,
            reach: store::totals(db, workspace).await?,
            rfm: store::rfm_table(db, workspace).await?,
            clv: Distribution::of(store::clv_values(db, workspace).await?),
        })
    }
}

fn score(judge: &Judge<'_>, profile: ProfileId, customer: &Customer, at: Timestamp) -> Score {
    let figures = customer.figures(judge.calendar);
    let history = judge.history(&figures.days, at);
    Score {
        profile,
        at,
        model: judge.force.map(|it| (it.label.clone(), it.finding.cutoff_day)),
        has_model: judge.force.is_some_and(|it| it.finding.fitted.is_some()),
        currency: customer.currency(),
        history: history.map(|(it, _)| (it.x(), it.t_x(), it.age())),
        margin: history.map_or(0.0, |(_, day)| judge.margin(&figures.days, day)),
        brief: judge.brief(&figures, at),
        values: judge.values(&figures, at),
        next_order: judge.next_order(&figures, at),
        reactivated: customer.reactivated,
        figures,
    }
}
