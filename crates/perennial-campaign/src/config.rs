//! Settings of campaign: where it keeps its state, and how often and when people may be contacted.

use jiff::civil::Time;
use jiff::tz::TimeZone;
use perennial_store::DatabaseConfig;
use perennial_types::Currency;
use serde::{Deserialize, Serialize};

use crate::domain::duration;
use crate::domain::policy::{Cap, Policy};
use crate::domain::quiet::QuietHours;

/// Settings of campaign; the default needs nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where campaigns, decisions and outcomes are kept.
    pub database: DatabaseConfig,
    /// Currency of amounts in campaign files and messages: the workspaces' own.
    pub currency: Currency,
    /// Profit per revenue of customers of whom nothing is known, in per mille: what `margin_after_discount` starts from.
    /// The same as ingestion's.
    pub default_margin_per_mille: u32,
    /// How often and when people may be contacted by marketing at all.
    pub contact: ContactConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database: DatabaseConfig::default(),
            currency: Currency::EUR,
            default_margin_per_mille: 400,
            contact: ContactConfig::default(),
        }
    }
}

/// The contact policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContactConfig {
    /// At most so many marketing messages to one profile, such as `3 per 7d` (rolling), `1 per calendar day` (also week
    /// or month, on the customer's own calendar) or `2 per 30d by sms`. All of them hold.
    pub caps: Vec<String>,
    /// The least time between two marketing messages to one profile, such as `4h`.
    pub spacing: String,
    /// When marketing falls silent, on the customer's own clock.
    pub quiet_from: Time,
    /// When it may speak again; equal to `quiet_from`: no quiet hours.
    pub quiet_until: Time,
    /// IANA zone of profiles without one, or with one that does not exist.
    pub time_zone: String,
    /// Share of all profiles that marketing never contacts, 0 to 0.5.
    pub global_holdout: f64,
}

impl Default for ContactConfig {
    fn default() -> Self {
        let quiet = QuietHours::default();
        Self {
            caps: vec!["3 per 7d".to_owned()],
            spacing: "4h".to_owned(),
            quiet_from: quiet.from,
            quiet_until: quiet.until,
            time_zone: "UTC".to_owned(),
            global_holdout: 0.0,
        }
    }
}

impl Config {
    /// The contact policy they describe.
    ///
    /// # Errors
    /// Which setting is wrong, why, and what to write instead.
    pub fn policy(&self) -> anyhow::Result<Policy> {
        let contact = &self.contact;
        let named =
            |name: &'static str| move |problem: String| anyhow::anyhow!("campaign.contact.{name}: {problem}");
        let caps =
            contact.caps.iter().map(|it| Cap::parse(it)).collect::<Result<_, _>>().map_err(named("caps"))?;
        let spacing = duration::parse(&contact.spacing).map_err(named("spacing"))?;
        let zone = TimeZone::get(&contact.time_zone).map_err(|_| {
            named("time_zone")(format!(
                "{:?} is no IANA zone: use one such as Europe/Madrid",
                contact.time_zone
            ))
        })?;
        if !(0.0..=0.5).contains(&contact.global_holdout) {
            let problem = format!("{} is no share: use 0 to 0.5", contact.global_holdout);
            return Err(named("global_holdout")(problem));
        }
        Ok(Policy {
            caps,
            spacing,
            quiet: QuietHours { from: contact.quiet_from, until: contact.quiet_until },
            zone,
            global_holdout: contact.global_holdout,
            currency: self.currency,
            default_margin: f64::from(self.default_margin_per_mille) / 1_000.0,
        })
    }
}
