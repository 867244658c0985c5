//! The tree of all settings: the process's own, and a section for each service.

use std::num::NonZeroU16;
use std::path::Path;

use perennial_runtime::{Config as Process, ConfigError};
use perennial_types::Currency;
use serde::{Deserialize, Serialize};

/// The sections of the services.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Services {
    /// Which services run in this process; empty: all of them.
    pub run: Vec<String>,
    /// Settings of ingestion.
    pub ingestion: perennial_ingestion::Config,
    /// Settings of scoring.
    pub scoring: perennial_scoring::Config,
    /// Settings of segmentation.
    pub segmentation: perennial_segmentation::Config,
    /// Settings of campaign.
    pub campaign: perennial_campaign::Config,
    /// Settings of loyalty.
    pub loyalty: perennial_loyalty::Config,
    /// Settings of notification.
    pub notification: perennial_notification::Config,
}

/// All settings.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Of the process.
    pub process: Process,
    /// Of the services.
    pub services: Services,
}

impl Config {
    /// Reads the settings: defaults, then the file, then the environment.
    ///
    /// # Errors
    /// Which setting is wrong, where it stands, and what could stand there.
    pub fn load(
        file: Option<&Path>,
        vars: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let (process, services) = perennial_runtime::load(file, vars)?;
        let mut config = Self { process, services };
        // So that each replica has a part in the work.
        let replicas = u16::try_from(config.process.replicas).ok().and_then(NonZeroU16::new);
        for database in config.databases_mut() {
            database.lanes = database.lanes.or(replicas);
        }
        Ok(config)
    }

    /// Keeps everything in one folder.
    #[must_use]
    pub fn in_folder(mut self, folder: &Path) -> Self {
        let url = format!("sqlite:{}", folder.display());
        for database in self.databases_mut() {
            database.url.clone_from(&url);
        }
        self
    }

    /// Makes this the currency of amounts in rules, campaigns and offers, and of reports.
    #[must_use]
    pub fn in_currency(mut self, currency: Currency) -> Self {
        let services = &mut self.services;
        services.ingestion.currency = Some(currency);
        services.segmentation.currency = currency;
        services.campaign.currency = currency;
        services.loyalty.currency = currency;
        self
    }

    /// The databases of the services.
    pub fn databases_mut(&mut self) -> [&mut perennial_store::DatabaseConfig; 6] {
        let services = &mut self.services;
        [
            &mut services.ingestion.database,
            &mut services.scoring.database,
            &mut services.segmentation.database,
            &mut services.campaign.database,
            &mut services.loyalty.database,
            &mut services.notification.database,
        ]
    }

    /// The services and the addresses of their databases.
    #[must_use]
    pub fn databases(&self) -> [(&'static str, &str); 6] {
        let services = &self.services;
        [
            ("ingestion", services.ingestion.database.url.as_str()),
            ("scoring", &services.scoring.database.url),
            ("segmentation", &services.segmentation.database.url),
            ("campaign", &services.campaign.database.url),
            ("loyalty", &services.loyalty.database.url),
            ("notification", &services.notification.database.url),
        ]
    }

    /// The settings as TOML, secrets hidden.
    ///
    /// # Errors
    /// If one holds what TOML cannot.
    pub fn to_toml(&self) -> anyhow::Result<String> {
        perennial_runtime::to_toml(&self.process, &self.services)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_as_many_lanes_as_replicas_unless_it_is_said() {
        let vars = [("PERENNIAL_REPLICAS", "3"), ("PERENNIAL_SCORING__DATABASE__LANES", "8")];
        let vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut config = Config::load(None, vars).unwrap();
        let lanes = config.databases_mut().map(|it| it.lanes.map(NonZeroU16::get));
        assert_eq!(lanes, [3, 8, 3, 3, 3, 3].map(Some));
    }
}
