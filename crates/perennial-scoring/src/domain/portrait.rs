//! What is known of a customer from the first order on: where they came from and what the first basket held. The answer
//! to cold start, before any rhythm shows.

use perennial_types::{OrderPlaced, Properties, Scalar, Timestamp, micros};
use serde::{Deserialize, Serialize};

/// Levels are cut to this many characters.
const LONGEST: usize = 64;

/// Which properties of an order say what; the first that is there counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The channel that brought the customer.
    pub channel: Vec<String>,
    /// The country.
    pub country: Vec<String>,
}

/// What was known at a first order.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Traits {
    /// The channel that brought the customer.
    #[serde(rename = "h", skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The category of the first line.
    #[serde(rename = "g", skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// The country.
    #[serde(rename = "n", skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Whether a coupon was used.
    #[serde(rename = "c", skip_serializing_if = "std::ops::Not::not")]
    pub coupon: bool,
    /// Units bought; 0 if no lines were told.
    #[serde(rename = "u", skip_serializing_if = "is_nought")]
    pub units: i64,
    /// Revenue, minor units, before any refund.
    #[serde(rename = "v", skip_serializing_if = "is_nought")]
    pub value: i64,
}

fn is_nought(it: &i64) -> bool {
    *it == 0
}

/// The first telling of an order of one customer. Whichever way facts arrive, the earliest stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Portrait {
    /// When, in microseconds.
    #[serde(rename = "t")]
    at: i64,
    /// Told by which fact: breaks ties.
    #[serde(rename = "i")]
    fact: String,
    /// What was known.
    #[serde(flatten)]
    pub traits: Traits,
}

/// The same, borrowed: what effects are read off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen<'a> {
    /// The channel.
    pub channel: Option<&'a str>,
    /// The category.
    pub category: Option<&'a str>,
    /// The country.
    pub country: Option<&'a str>,
    /// Whether a coupon was used.
    pub coupon: bool,
    /// Units.
    pub units: i64,
    /// Revenue, minor units.
    pub value: i64,
}

/// One thing that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The channel that brought the customer.
    Channel,
    /// The category of the first line.
    Category,
    /// The country.
    Country,
    /// Whether a coupon was used.
    Coupon,
    /// Units of the first basket.
    Units,
    /// Value of the first basket.
    Value,
}

impl Field {
    /// Those by which customers can be grouped.
    pub const GROUPINGS: [Self; 4] = [Self::Channel, Self::Category, Self::Country, Self::Coupon];

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Category => "category",
            Self::Country => "country",
            Self::Coupon => "coupon",
            Self::Units => "units",
            Self::Value => "value",
        }
    }
}

impl Portrait {
    /// What an order tells.
    #[must_use]
    pub fn of(
        fact: String,
        at: Timestamp,
        order: &OrderPlaced,
        properties: &Properties,
        sources: &Sources,
    ) -> Self {
        let named = |names: &[String]| names.iter().find_map(|it| level(properties.get(it.as_str())?));
        let category = order.lines.first().and_then(|it| it.category.as_deref()).and_then(cut);
        let traits = Traits {
            channel: named(&sources.channel),
            category,
            country: named(&sources.country),
            coupon: order.coupon.is_some(),
            units: order.lines.iter().fold(0_i64, |sum, it| sum.saturating_add(it.quantity.max(0))),
            value: order.revenue,
        };
        Self { at: micros(at), fact, traits }
    }

    /// Whether it was told by an instant.
    #[must_use]
    pub fn is_by(&self, at: Timestamp) -> bool {
        self.at <= micros(at)
    }

    /// Whether it comes before another: at one instant by what was known, which does not depend on what arrived first.
    #[must_use]
    pub fn is_before(&self, other: &Self) -> bool {
        (self.at, &self.traits, &self.fact) < (other.at, &other.traits, &other.fact)
    }
}

impl Traits {
    /// The same, borrowed.
    #[must_use]
    pub fn seen(&self) -> Seen<'_> {
        Seen {
            channel: self.channel.as_deref(),
            category: self.category.as_deref(),
            country: self.country.as_deref(),
            coupon: self.coupon,
            units: self.units,
            value: self.value,
        }
    }
}

impl<'a> Seen<'a> {
    /// The level of a field by which customers can be grouped; none if it is not known.
    #[must_use]
    pub fn level(&self, field: Field) -> Option<&'a str> {
        match field {
            Field::Channel => self.channel,
            Field::Category => self.category,
            Field::Country => self.country,
            Field::Coupon => Some(if self.coupon { "yes" } else { "no" }),
            Field::Units | Field::Value => None,
        }
    }

    /// A number that is known.
    #[must_use]
    pub fn number(&self, field: Field) -> Option<f64> {
        match field {
            Field::Units => (self.units > 0).then_some(self.units as f64),
            Field::Value => (self.value > 0).then_some(self.value as f64),
            _ => None,
        }
    }
}

fn level(value: &Scalar) -> Option<String> {
    match value {
        Scalar::Text(it) => cut(it),
        _ => None,
    }
}

/// In lower case, without blanks around it, not too long; nothing of an empty one.
fn cut(text: &str) -> Option<String> {
    let it: String = text.trim().chars().take(LONGEST).flat_map(char::to_lowercase).collect();
    (!it.is_empty()).then_some(it)
}
