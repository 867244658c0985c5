//! Reading scores: of some profiles as of now, and of all together.

use std::collections::BTreeMap;
use std::sync::Arc;

use perennial_clv::{Kind, Spend, continuous_rate};
use perennial_types::{Currency, ProfileId, Timestamp, Workspace};
use sha2::{Digest, Sha256};

use super::App;
use super::fitting::blocking;
use crate::domain::customer::{Customer, Figures};
use crate::domain::ledger::{earned, spend, summary};
use crate::domain::model::InForce;
use crate::domain::score::{Brief, Judge, NextOrder, Worth, YEAR};
use crate::domain::summary::Distribution;
use crate::error::{Error, Result};
use crate::store::{self, Reach};

/// Customers of a page of an export.
pub const PAGE: i64 = 1_000;

/// Customers that are to be scored.
#[derive(Clone, Debug)]
pub struct Known {
    /// The model in force.
    force: Option<Arc<InForce>>,
    /// Who, and what they ordered.
    customers: Vec<(ProfileId, Customer)>,
    /// The instant of the score.
    at: Timestamp,
}

impl Known {
    /// Keeps only those at positions that are wanted.
    pub fn retain(&mut self, wanted: impl Fn(usize) -> bool) {
        let mut position = 0;
        self.customers.retain(|_| {
            position += 1;
            wanted(position - 1)
        });
    }
}

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
    /// What changes how often the customer is expected to order, known from the first order or seen by trees: name and factor.
    pub effects: Vec<(String, f64)>,
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
    /// The latest fit, if nothing came of it.
    pub failed_fit: Option<(Timestamp, String)>,
}

/// What a score is made of.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The score.
    pub score: Score,
    /// What each member of the model says.
    pub members: Vec<MemberForecast>,
    /// Purchases whose value the model of spend knows, and their mean, minor units.
    pub spend: (u32, i64),
    /// The population's mean value, minor units.
    pub population_mean: i64,
    /// The customer's expected value, minor units.
    pub expected_value: i64,
    /// Profit per revenue of the customer's own orders.
    pub own_margin: f64,
    /// The population's.
    pub population_margin: f64,
    /// Expected orders within a year, discounted.
    pub discounted_orders: f64,
}

/// What one member of a model says.
#[derive(Clone, Debug)]
pub struct MemberForecast {
    /// Its kind.
    pub kind: String,
    /// Its weight.
    pub weight: f64,
    /// P(alive) by it alone.
    pub p_alive: f64,
    /// Expected orders within a year by it alone.
    pub orders: f64,
}

impl App {
    /// Scores some profiles; those that are not known are left out.
    ///
    /// As of an instant in the past, orders placed later do not count, and the model is the one that was in force then.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn scores(
        &self,
        workspace: &Workspace,
        profiles: &[ProfileId],
        as_of: Option<Timestamp>,
    ) -> Result<Vec<Score>> {
        self.judge(self.known(workspace, profiles, as_of).await?).await
    }

    /// Scores customers that were read before.
    ///
    /// # Errors
    /// If the calculation dies.
    pub async fn judge(&self, known: Known) -> Result<Vec<Score>> {
        let settings = self.settings.clone();
        blocking(move || {
            let Known { force, customers, at } = known;
            let judge =
                Judge { rules: &settings.rules, calendar: &settings.calendar, force: force.as_deref() };
            customers.into_iter().map(|(profile, customer)| score(&judge, profile, &customer, at)).collect()
        })
        .await
    }

    /// A name for each score that changes with anything the score depends on: the orders, the model, the day, the rules.
    /// Whatever is kept under it can never be out of date.
    #[must_use]
    pub fn prints(&self, known: &Known) -> Vec<String> {
        let label = known.force.as_ref().map_or("", |it| it.label.as_str());
        let day = self.settings.calendar.day(known.at);
        // A restored database may give a version again: what the model learnt tells it from the other one.
        let fitted = known.force.as_ref().and_then(|it| it.finding.fitted.as_ref());
        let learnt = fitted.map(|it| (it.orders.report.ln_likelihood, it.spend.report.ln_likelihood));
        let common = format!("{label} {learnt:?} {day} {:?}", self.settings.rules);
        let print = |(profile, customer): &(ProfileId, Customer)| {
            let mut hash = Sha256::new();
            hash.update(profile.0.as_bytes());
            hash.update(common.as_bytes());
            // What has no JSON has no equal, either.
            let mut customer = customer.clone();
            customer.told = 0;
            hash.update(serde_json::to_vec(&customer).unwrap_or_else(|_| known.at.to_string().into_bytes()));
            let hex = hash.finalize().iter().take(16).map(|it| format!("{it:02x}")).collect::<String>();
            format!("score/{hex}")
        };
        known.customers.iter().map(print).collect()
    }

    /// Says what a score is made of.
    ///
    /// # Errors
    /// If the profile is not known.
    pub async fn explain(
        &self,
        workspace: &Workspace,
        profile: ProfileId,
        as_of: Option<Timestamp>,
    ) -> Result<Explanation> {
        let Known { force, mut customers, at } = self.known(workspace, &[profile], as_of).await?;
        let (_, customer) = customers.pop().ok_or_else(|| unknown(workspace, profile))?;
        let settings = self.settings.clone();
        blocking(move || {
            let judge =
                Judge { rules: &settings.rules, calendar: &settings.calendar, force: force.as_deref() };
            explain(&judge, score(&judge, profile, &customer, at))
        })
        .await
    }

    /// Customers with an order, after one of them: a page of an export.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn profiles_after(&self, workspace: &Workspace, after: ProfileId) -> Result<Vec<ProfileId>> {
        Ok(store::profiles_after(self.store.read(), workspace, after, PAGE).await?)
    }

    /// Reads some profiles and the model in force; those that are not known are left out.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn known(
        &self,
        workspace: &Workspace,
        profiles: &[ProfileId],
        as_of: Option<Timestamp>,
    ) -> Result<Known> {
        let db = self.store.read();
        let now = self.clock.now();
        let as_of = as_of.filter(|it| *it < now);
        let force = match as_of {
            None => self.reader.fold().in_force(db, workspace).await?,
            Some(at) => match store::published_at(db, workspace, at).await? {
                Some(version) => store::force(db, workspace, version).await?.map(Arc::new),
                None => None,
            },
        };
        let mut states: BTreeMap<ProfileId, Customer> = self.reader.states(workspace, profiles).await?;
        let then = |it: Customer| {
            let Some(at) = as_of else { return it };
            let mut then = it.clone().until(at);
            then.told = it.told;
            // With all its orders it is what it is; with fewer, the latest of them is judged anew.
            if then != it {
                let (rules, calendar) = (&self.settings.rules, &self.settings.calendar);
                then.reactivated = Judge { rules, calendar, force: force.as_deref() }.reactivated(&then);
            }
            then
        };
        let customers = profiles.iter().filter_map(|it| Some((*it, then(states.remove(it)?)))).collect();
        Ok(Known { force, customers, at: as_of.unwrap_or(now) })
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
            failed_fit: self.failed_fit(workspace).await?,
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
        // In plain weeks, whatever the model's clock.
        history: history
            .and_then(|(_, day)| summary(&figures.days, day))
            .map(|it| (it.x(), it.t_x(), it.age())),
        effects: effects(judge, &figures, history.map(|it| it.1)),
        margin: history.map_or(0.0, |(_, day)| judge.margin(&figures.days, day)),
        brief: judge.brief(&figures, at),
        values: judge.values(&figures, at),
        next_order: judge.next_order(&figures, at),
        reactivated: customer.reactivated,
        figures,
    }
}

fn effects(judge: &Judge<'_>, figures: &Figures, day: Option<i32>) -> Vec<(String, f64)> {
    let factor = day.map_or(1.0, |day| judge.factor(&figures.days, day));
    if factor != 1.0 {
        // Trees and effects of the first order never serve together.
        return vec![(Kind::Boosted.to_string(), factor)];
    }
    let (lens, Some(traits)) = (judge.lens(), &figures.traits) else { return Vec::new() };
    let seen = traits.seen();
    let own = lens.effects.iter().filter_map(|it| Some((it.name(), it.of(&seen)?.exp())));
    let shared = (lens.constant != 0.0).then(|| ("level".to_owned(), lens.constant.exp()));
    own.filter(|it| it.1 != 1.0).chain(shared).collect()
}

/// Nobody is known by this id.
pub fn unknown(workspace: &Workspace, profile: ProfileId) -> Error {
    Error::NoProfile(format!("{}/profiles/{profile}", workspace.resource()))
}

fn explain(judge: &Judge<'_>, score: Score) -> Explanation {
    let mut it = Explanation {
        members: Vec::new(),
        spend: (0, 0),
        population_mean: 0,
        expected_value: 0,
        own_margin: 0.0,
        population_margin: judge.force.map_or(0.0, |it| it.finding.population.margin),
        discounted_orders: 0.0,
        score,
    };
    let days = &it.score.figures.days;
    let Some((history, day)) = judge.history(days, it.score.at) else { return it };
    let (profit, revenue) = earned(days, day);
    it.own_margin = if revenue > 0 { profit as f64 / revenue as f64 } else { 0.0 };
    let Some((force, fitted)) = judge.force.and_then(|it| Some((it, it.finding.fitted.as_ref()?))) else {
        return it;
    };
    let minor = force.finding.minor_per_major();
    let to_minor = |value: f64| (value * minor).round() as i64;
    let spent = spend(days, day, minor);
    it.spend = (spent.x, to_minor(spent.mean));
    it.population_mean = to_minor(fitted.spend.model.expected(&Spend::UNKNOWN));
    it.expected_value = to_minor(fitted.spend.model.expected(&spent));
    let (lens, model) = (judge.lens(), judge.model(fitted, it.score.figures.traits.as_ref()));
    let rate = continuous_rate(judge.rules.yearly_discount, YEAR);
    let year = lens.weeks(day, 365.25);
    it.discounted_orders = judge.factor(days, day) * model.discounted(&history, year, rate);
    it.members = model
        .members()
        .into_iter()
        .map(|(weight, member)| MemberForecast {
            kind: member.kind().to_string(),
            weight,
            p_alive: member.p_alive(&history),
            orders: member.expected(&history, year),
        })
        .collect();
    it
}
