//! What a workspace decided about money and time.

use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};
use perennial_types::{Currency, Scalar, Workspace};
use std::collections::BTreeMap;

use super::agreement::Rule;
use super::problem::{Problem, shortened};

/// A workspace's settings, as events are normalised by them.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The workspace.
    pub workspace: Workspace,
    /// The currency everything is reported in.
    pub currency: Currency,
    /// Profit per revenue where no cost is known, in per mille.
    pub default_margin_per_mille: i64,
    /// IANA time zone of those whose own is unknown.
    pub time_zone: String,
    /// BCP 47 locale of those whose own is unknown; empty if there is none.
    pub locale: String,
    /// What makes consent, by region.
    pub consent_rules: Vec<Rule>,
    /// What one unit of another currency is worth in the reporting currency, from its date on.
    pub rates: Rates,
}

/// Dated rates by currency.
pub type Rates = BTreeMap<Currency, BTreeMap<Date, f64>>;

impl Settings {
    /// The rate from `currency` to the reporting one at `at`: that of the latest date not after it.
    ///
    /// # Errors
    /// The problem with `field`, if there is none.
    pub fn rate(&self, field: &str, currency: Currency, at: Timestamp) -> Result<f64, Problem> {
        if currency == self.currency {
            return Ok(1.0);
        }
        let date = at.to_zoned(TimeZone::UTC).date();
        let dated = self.rates.get(&currency).and_then(|it| it.range(..=date).next_back());
        dated.map(|(_, rate)| *rate).ok_or_else(|| {
            Problem::new(
                field,
                format!("no rate from {currency} to {}, the workspace's currency, at {date}", self.currency),
                format!(
                    "add a rate for {currency} from {date} or earlier, or send amounts in {}",
                    self.currency
                ),
            )
        })
    }
}

/// Reads amounts of one event and converts them.
#[derive(Clone, Copy, Debug)]
pub struct Purse {
    /// The currency of the event.
    pub from: Currency,
    /// The reporting currency.
    pub into: Currency,
    /// What one unit of `from` is worth in `into`.
    pub rate: f64,
}

impl Purse {
    /// Reads an amount as minor units of the reporting currency.
    ///
    /// # Errors
    /// The problem with `field`, if it is no amount.
    pub fn minor(&self, field: &str, amount: &Scalar) -> Result<i64, Problem> {
        let refused =
            |reason: String| Problem::new(field, reason, "send a number, or text such as \"1234.50\"");
        let text = match amount {
            Scalar::Bool(_) => return Err(refused("true and false are no amounts".to_owned())),
            // Senders put the sign of the currency into text; the digits are what counts.
            Scalar::Text(text) => text.trim().trim_matches(['$', '€', '£', '¥', ' ']).to_owned(),
            Scalar::Int(it) => it.to_string(),
            Scalar::Float(it) => it.to_string(),
        };
        let minor = self
            .from
            .minor_units(&text)
            .map_err(|_| refused(format!("{:?} is not an amount", shortened(&text, 40))))?;
        Ok(self.convert(minor))
    }

    /// Minor units of the event's currency as those of the reporting one.
    pub fn convert(&self, minor: i64) -> i64 {
        if self.from == self.into {
            return minor;
        }
        let shift = 10_f64.powi(
            i32::try_from(self.into.decimals()).unwrap_or(2)
                - i32::try_from(self.from.decimals()).unwrap_or(2),
        );
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "a converted amount is exact to the cent below 90 trillion; the cast saturates"
        )]
        let converted = (minor as f64 * self.rate * shift).round() as i64;
        converted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_convert_at_the_rate_of_their_day() {
        let mut settings = crate::domain::tests::settings();
        let usd = Currency::parse("USD").unwrap();
        let rates =
            [("2026-01-01", 0.9), ("2026-02-01", 0.8)].map(|(day, rate)| (day.parse().unwrap(), rate));
        settings.rates.insert(usd, rates.into());
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let rate = settings.rate("properties.currency", usd, at("2026-01-31T23:00:00Z")).unwrap();
        let purse = Purse { from: usd, into: Currency::EUR, rate };
        assert_eq!(purse.minor("x", &Scalar::Text("$10.00".to_owned())), Ok(900));
        assert!((settings.rate("x", usd, at("2026-02-01T00:00:00Z")).unwrap() - 0.8).abs() < 1e-12);
        let refused = settings.rate("properties.currency", usd, at("2025-12-31T00:00:00Z")).unwrap_err();
        assert!(refused.to_string().contains("add a rate for USD"), "{refused}");
        let yen = Purse { from: Currency::parse("JPY").unwrap(), into: Currency::EUR, rate: 0.006 };
        assert_eq!(yen.minor("x", &Scalar::Int(1_500)), Ok(900));
    }
}
