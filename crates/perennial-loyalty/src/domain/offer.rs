//! Offers: what a coupon is worth, how long, how often and out of which budget.

use jiff::{Span, SpanRelativeTo, Timestamp, tz::TimeZone};
use perennial_types::{Currency, Money, Workspace};
use serde::{Deserialize, Serialize};

/// What a coupon gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Benefit {
    /// This many tenths of a percent off.
    PerMille(u32),
    /// This amount off, in minor units.
    Amount(i64),
    /// No shipping costs.
    FreeShipping,
}

/// What may be given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Its bare name.
    pub name: String,
    /// What it is for, for people.
    pub description: String,
    /// What a coupon gives.
    pub benefit: Benefit,
    /// Currency of every amount of this offer.
    pub currency: Currency,
    /// What one use is expected to cost, minor units: set aside from the budget when a coupon is issued.
    pub cost: i64,
    /// How long a coupon is valid, in seconds.
    pub valid_seconds: i64,
    /// How many coupons one customer may be given, unused and expired ones included.
    pub limit_per_customer: Option<i64>,
    /// How many coupons may be used in all.
    pub limit: Option<i64>,
    /// What may be set aside and spent in each calendar month (UTC), minor units.
    pub monthly_budget: Option<i64>,
    /// Codes begin with it.
    pub code_prefix: String,
}

/// A file that is no offer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("offer {name}: {problem}")]
pub struct OfferError {
    /// The offer, as far as it is named.
    pub name: String,
    /// Field, what is wrong and what to write instead.
    pub problem: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    kind: Option<String>,
    name: String,
    #[serde(default)]
    description: String,
    percent: Option<f64>,
    amount: Option<String>,
    #[serde(default)]
    free_shipping: bool,
    cost: Option<String>,
    valid: String,
    limit_per_customer: Option<i64>,
    limit: Option<i64>,
    budget: Option<String>,
    code_prefix: Option<String>,
}

impl Offer {
    /// Reads the YAML form. `currency` is the workspace's, for an offer that names no amount.
    ///
    /// # Errors
    /// [`OfferError`] naming the field and the remedy.
    pub fn from_yaml(yaml: &str, currency: Currency) -> Result<Self, OfferError> {
        let file: File = serde_saphyr::from_str(yaml)
            .map_err(|it| OfferError { name: "file".to_owned(), problem: it.to_string() })?;
        let name = file.name.clone();
        Self::from_file(file, currency).map_err(|problem| OfferError { name, problem })
    }

    fn from_file(file: File, default: Currency) -> Result<Self, String> {
        if let Some(kind) = file.kind.filter(|it| it != "Offer") {
            return Err(format!("kind is {kind:?}: an offer needs kind: Offer"));
        }
        if Workspace::parse(&file.name).is_err() {
            return Err("name: use 1–63 of a–z, 0–9 and -, starting with a letter".to_owned());
        }
        let amount = file.amount.as_deref().map(|it| money(it, "amount")).transpose()?;
        let cost = file.cost.as_deref().map(|it| money(it, "cost")).transpose()?;
        let budget = match file.budget.as_deref() {
            None => None,
            Some(text) => {
                let amount = text
                    .trim()
                    .strip_suffix("per month")
                    .ok_or_else(|| format!("budget: {text:?} needs the form 2500 EUR per month"))?;
                Some(money(amount, "budget")?)
            }
        };
        let benefit = match (file.percent, amount, file.free_shipping) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 0 and 1,000"
            )]
            (Some(percent), None, false) if percent > 0.0 && percent <= 100.0 => {
                Benefit::PerMille((percent * 10.0).round() as u32)
            }
            (Some(percent), None, false) => {
                return Err(format!("percent: {percent} is not above 0 and at most 100"));
            }
            (None, Some(amount), false) if amount.minor > 0 => Benefit::Amount(amount.minor),
            (None, Some(amount), false) => return Err(format!("amount: {amount} is not above zero")),
            (None, None, true) => Benefit::FreeShipping,
            _ => return Err("name exactly one of percent, amount and free_shipping: true".to_owned()),
        };
        let named: Vec<Money> = [amount, cost, budget].into_iter().flatten().collect();
        let currency = named.first().map_or(default, |it| it.currency);
        if let Some(other) = named.iter().find(|it| it.currency != currency) {
            return Err(format!("{other} is in another currency than {}: use one", named[0]));
        }
        let cost = match (cost, benefit) {
            (Some(cost), _) => cost.minor,
            (None, Benefit::Amount(amount)) => amount,
            (None, _) if budget.is_none() => 0,
            (None, _) => {
                return Err("a budget needs cost: what one use is expected to cost, such as cost: 5.00 EUR"
                    .to_owned());
            }
        };
        if cost < 0 || budget.is_some_and(|it| it.minor < 0) {
            return Err("cost and budget may not be negative".to_owned());
        }
        for (field, limit) in [("limit_per_customer", file.limit_per_customer), ("limit", file.limit)] {
            if limit.is_some_and(|it| it < 1) {
                return Err(format!("{field}: use a whole number from 1, or leave it out"));
            }
        }
        let code_prefix = match file.code_prefix {
            Some(it) => it.to_ascii_uppercase(),
            None => file
                .name
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .take(4)
                .collect::<String>()
                .to_ascii_uppercase(),
        };
        if code_prefix.is_empty()
            || code_prefix.len() > 12
            || !code_prefix.bytes().all(|it| it.is_ascii_alphanumeric())
        {
            return Err("code_prefix: use 1–12 letters and digits".to_owned());
        }
        Ok(Self {
            name: file.name,
            description: file.description,
            benefit,
            currency,
            cost,
            valid_seconds: seconds(&file.valid)?,
            limit_per_customer: file.limit_per_customer,
            limit: file.limit,
            monthly_budget: budget.map(|it| it.minor),
            code_prefix,
        })
    }

    /// The budget account for coupons issued at `at`.
    #[must_use]
    pub fn budget_account(&self, at: Timestamp) -> String {
        format!("budget/{}/{}", self.name, month(at))
    }
}

/// The calendar month (UTC), such as `2026-03`.
#[must_use]
pub fn month(at: Timestamp) -> String {
    let date = at.to_zoned(TimeZone::UTC).date();
    format!("{:04}-{:02}", date.year(), date.month())
}

fn money(text: &str, field: &str) -> Result<Money, String> {
    let form = || format!("{field}: {text:?} needs an amount and a currency, such as 5.00 EUR");
    let (amount, currency) = text.trim().rsplit_once(' ').ok_or_else(form)?;
    let currency = Currency::parse(currency).map_err(|_| form())?;
    Ok(Money { minor: currency.minor_units(amount).map_err(|_| form())?, currency })
}

fn seconds(text: &str) -> Result<i64, String> {
    let form = || format!("valid: {text:?} is not a duration above zero: use the form 7d, 36h or 2w");
    let span: Span = text.trim().parse().map_err(|_| form())?;
    let seconds = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| form())?.as_secs();
    if seconds > 0 { Ok(seconds) } else { Err(form()) }
}
