//! Settings of this service.

use jiff::SignedDuration;
use perennial_clv::Kind;
use perennial_clv::evaluate::COMPETITORS_BOOSTED;
use perennial_store::DatabaseConfig;
use serde::{Deserialize, Serialize};

use crate::domain::calendar::Calendar;
use crate::domain::portrait::Sources;
use crate::domain::refine::Candidate;
use crate::domain::score::Rules;

/// What can be set.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where states, purchase days, scores and models are kept.
    pub database: DatabaseConfig,
    /// IANA time zone whose days are the business's days: orders of one day are one purchase. Do not change it once
    /// there are orders.
    pub time_zone: String,
    /// A customer is overdue after this much silence at the latest, whatever a model says. Days.
    pub max_overdue_days: u32,
    /// A customer has lapsed after this much silence at the latest, whatever a model says. Days.
    pub max_silence_days: u32,
    /// A customer who is alive is overdue when the next order should have come with this probability.
    pub overdue_quantile: f64,
    /// A customer has lapsed when the probability of being alive falls below this.
    pub lapse_below: f64,
    /// Discount of future profit a year: 0.10 is ten percent.
    pub yearly_discount: f64,
    /// A customer's own margin is mixed with this many purchases of the population's mean value and margin.
    pub margin_prior_purchases: f64,
    /// Which model is fitted on schedule: `pareto-nbd`, `mbg-nbd`, `bg-nbd`, `mbg-cnbd-2`, `nbd`, `stack` (all together),
    /// `boosted` (trees over the stack) or `auto`, which lets a hold-out choose.
    pub model: String,
    /// What may make a model finer, each if it proves itself on the hold-outs: `season` (a calendar clock, from three years
    /// on), `covariates` (channel, category, country, coupon, units and value of the first order, together), and a level for
    /// each group by `channel`, `category`, `country` or `coupon` of the first order, drawn to the workspace's.
    pub refine: Vec<String>,
    /// Properties of an order that name the channel which brought the customer; the first that is there counts.
    pub channel_properties: Vec<String>,
    /// Properties of an order that name the customer's country; the first that is there counts.
    pub country_properties: Vec<String>,
    /// How often a model is fitted and published, in days; 0 fits only on demand. Fits happen at `fit_hour` UTC.
    pub fit_interval_days: u32,
    /// With `model = "auto"`: how often all kinds compete, in days; in between the chosen one is fitted again.
    pub choice_interval_days: u32,
    /// Between two fits: how often, in days since the serving model's last day, it is looked whether orders still come as it
    /// expects; if they do not, a model is fitted at once. 0 never looks.
    pub drift_check_days: u32,
    /// The hour of the day, UTC, at which fits that are due happen.
    pub fit_hour: u32,
    /// The first fit waits for this many customers with an order,
    pub least_customers: u64,
    /// and for this many who bought on two or more days.
    pub least_repeaters: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database: DatabaseConfig::default(),
            time_zone: "UTC".to_owned(),
            max_overdue_days: 180,
            max_silence_days: 365,
            overdue_quantile: 0.8,
            lapse_below: 0.2,
            yearly_discount: 0.10,
            margin_prior_purchases: 2.0,
            model: "auto".to_owned(),
            refine: Candidate::all().into_iter().map(|it| it.as_str().to_owned()).collect(),
            channel_properties: texts(&[
                "context.campaign.medium",
                "context.campaign.source",
                "channel",
                "affiliation",
            ]),
            country_properties: texts(&["country", "shipping_country", "shipping_address.country"]),
            fit_interval_days: 7,
            choice_interval_days: 28,
            drift_check_days: 28,
            fit_hour: 3,
            least_customers: 100,
            least_repeaters: 30,
        }
    }
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|it| (*it).to_owned()).collect()
}

/// The settings, read: what the rest of the service works with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the business decided.
    pub rules: Rules,
    /// Its days.
    pub calendar: Calendar,
    /// When models are fitted.
    pub schedule: Schedule,
    /// What may make them finer.
    pub refine: Vec<Candidate>,
    /// Where the traits of a first order are found.
    pub sources: Sources,
}

/// When models are fitted.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// The kind; none lets a hold-out choose.
    pub kind: Option<Kind>,
    /// How often; none for only on demand.
    pub interval: Option<SignedDuration>,
    /// How often all kinds compete.
    pub choice_interval: SignedDuration,
    /// Looks for drift every so many days; 0 never.
    pub drift_check_days: i32,
    /// Looks for what is due once a day, this long after midnight UTC.
    pub offset: SignedDuration,
    /// Customers the first fit waits for.
    pub least_customers: u64,
    /// Repeat customers the first fit waits for.
    pub least_repeaters: u64,
}

const DAY: i64 = 86_400;

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// What is wrong with one, naming it.
    pub fn settings(&self) -> Result<Settings, String> {
        let share = |name: &str, value: f64| {
            if value > 0.0 && value < 1.0 {
                Ok(value)
            } else {
                Err(format!("scoring.{name} is {value}: use a number between 0 and 1"))
            }
        };
        let positive = |name: &str, value: f64| {
            if value.is_finite() && value >= 0.0 {
                Ok(value)
            } else {
                Err(format!("scoring.{name} is {value}: use a number of 0 or more"))
            }
        };
        if self.fit_hour > 23 {
            return Err(format!("scoring.fit_hour is {}: use an hour from 0 to 23", self.fit_hour));
        }
        let kind = match self.model.as_str() {
            "auto" => None,
            name => Some(kind_of(name).map_err(|problem| format!("scoring.model {problem}"))?),
        };
        let refine: Result<Vec<Candidate>, String> = self.refine.iter().map(|it| candidate_of(it)).collect();
        let days = |it: u32| SignedDuration::from_secs(i64::from(it) * DAY);
        Ok(Settings {
            rules: Rules {
                max_overdue_days: f64::from(self.max_overdue_days),
                max_silence_days: f64::from(self.max_silence_days),
                overdue_quantile: share("overdue_quantile", self.overdue_quantile)?,
                lapse_below: share("lapse_below", self.lapse_below)?,
                yearly_discount: positive("yearly_discount", self.yearly_discount)?,
                margin_prior_purchases: positive("margin_prior_purchases", self.margin_prior_purchases)?,
            },
            calendar: Calendar::of(&self.time_zone).map_err(|problem| format!("scoring.{problem}"))?,
            schedule: Schedule {
                kind,
                interval: (self.fit_interval_days > 0).then(|| days(self.fit_interval_days)),
                choice_interval: days(self.choice_interval_days),
                drift_check_days: i32::try_from(self.drift_check_days).unwrap_or(i32::MAX),
                offset: SignedDuration::from_secs(i64::from(self.fit_hour) * 3_600),
                least_customers: self.least_customers,
                least_repeaters: self.least_repeaters,
            },
            refine: refine.map_err(|problem| format!("scoring.refine {problem}"))?,
            sources: Sources {
                channel: self.channel_properties.clone(),
                country: self.country_properties.clone(),
            },
        })
    }
}

/// Reads the name of a model that can be fitted here.
///
/// # Errors
/// What is wrong with it.
pub fn kind_of(name: &str) -> Result<Kind, String> {
    let known = COMPETITORS_BOOSTED.into_iter().chain([Kind::Stack]);
    let names = || known.clone().map(|it| it.to_string()).collect::<Vec<_>>().join(", ");
    let found = known.clone().find(|it| it.to_string() == name);
    found.ok_or_else(|| format!("is {name:?}: use one of auto, {}", names()))
}

/// Reads the name of what may make a model finer.
///
/// # Errors
/// What is wrong with it.
pub fn candidate_of(name: &str) -> Result<Candidate, String> {
    let names = || Candidate::all().into_iter().map(Candidate::as_str).collect::<Vec<_>>().join(", ");
    Candidate::parse(name).ok_or_else(|| format!("is {name:?}: use of {}", names()))
}
