//! A model as the registry keeps it.

use perennial_clv::evaluate::Selection;
use perennial_clv::{Boosted, Fit, Kind, Model, SpendFit};
use perennial_types::{Currency, Timestamp};
use serde::{Deserialize, Serialize};

use super::edges::Edges;
use super::lens::{Lens, PLAIN};
use super::refine::Refined;

/// The kind of an entry without a model: counted facts only.
pub const EMPIRICAL: &str = "empirical";

/// What the orders say without a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Population {
    /// Profit per revenue.
    pub margin: f64,
    /// Mean net value of a purchase day, minor units.
    pub mean_value: f64,
    /// The 0.75 quantile of the days from the first purchase day to the second, of those who had a second.
    pub second_purchase_days: Option<f64>,
}

/// The two fitted models that together give a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fitted {
    /// When customers order, in weeks.
    pub orders: Fit,
    /// What a purchase day is worth, in whole units of the currency.
    pub spend: SpendFit,
}

/// What a fit found: all of a registered model but its place in the registry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The models; none for an empirical entry.
    pub fitted: Option<Fitted>,
    /// What the orders say without a model.
    pub population: Population,
    /// How it foretold what was held out.
    pub hold_out: Option<Selection>,
    /// The first day with an order it learnt from.
    pub first_day: i32,
    /// The last day whose orders it knows.
    pub cutoff_day: i32,
    /// Customers.
    pub customers: u64,
    /// Customers with two or more purchase days.
    pub repeaters: u64,
    /// The currency of every amount.
    pub currency: Currency,
    /// When the kind was last chosen by hold-out among all, in microseconds.
    #[serde(default)]
    pub chosen_at: i64,
    /// What people should know about the data.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The trees laid over the model of orders, where they serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boosted: Option<Boosted>,
    /// What makes the model finer, and what was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refined: Option<Refined>,
}

impl Finding {
    /// The kind, as it is written.
    #[must_use]
    pub fn kind(&self) -> String {
        self.model_kind().map_or_else(|| EMPIRICAL.to_owned(), |it| it.to_string())
    }

    /// The kind of model that serves; none where there is none.
    #[must_use]
    pub fn model_kind(&self) -> Option<Kind> {
        let fitted = self.fitted.as_ref()?;
        Some(if self.boosted.is_some() { Kind::Boosted } else { fitted.orders.model.kind() })
    }

    /// How the model is looked through at a customer.
    #[must_use]
    pub fn lens(&self) -> &Lens {
        self.refined.as_ref().map_or(&PLAIN, |it| &it.lens)
    }

    /// Minor units in one whole unit of the currency.
    #[must_use]
    pub fn minor_per_major(&self) -> f64 {
        minor_per_major(self.currency)
    }
}

/// Minor units in one whole unit of a currency.
#[must_use]
pub fn minor_per_major(currency: Currency) -> f64 {
    10_f64.powi(i32::try_from(currency.decimals()).unwrap_or(2))
}

/// Where a model stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Fitted, not published.
    Candidate,
    /// Serves, or served.
    Published,
    /// Failed its checks.
    Refused,
}

impl Status {
    /// Its word in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::Published => "published",
            Self::Refused => "refused",
        }
    }

    /// Reads its word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Candidate, Self::Published, Self::Refused].into_iter().find(|it| it.as_str() == word)
    }
}

/// A model in the registry.
#[derive(Clone, Debug, PartialEq)]
pub struct Registered {
    /// Counts the workspace's models, from 1.
    pub version: i64,
    /// Where it stands.
    pub status: Status,
    /// Why it is not published; empty otherwise.
    pub reason: String,
    /// When it was fitted.
    pub created_at: Timestamp,
    /// When it was published.
    pub published_at: Option<Timestamp>,
    /// What the fit found.
    pub finding: Finding,
}

impl Registered {
    /// `{kind}@{version}`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}@{}", self.finding.kind(), self.version)
    }
}

/// The model in force: the latest that was published, with the edges published with it.
#[derive(Clone, Debug, PartialEq)]
pub struct InForce {
    /// `{kind}@{version}`.
    pub label: String,
    /// Its version.
    pub version: i64,
    /// What the fit found.
    pub finding: Finding,
    /// What is high and what is low.
    pub edges: Edges,
    /// The model of orders with the uncertainty of its parameters: what intervals are made of.
    pub uncertain: Option<Model>,
}

impl InForce {
    /// A registered model with its edges.
    #[must_use]
    pub fn new(registered: Registered, edges: Edges) -> Self {
        let (label, version, finding) = (registered.label(), registered.version, registered.finding);
        let uncertain = finding.fitted.as_ref().map(|it| it.orders.uncertain());
        Self { label, version, finding, edges, uncertain }
    }
}
