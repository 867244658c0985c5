//! Settings of loyalty.

use perennial_store::DatabaseConfig;
use perennial_types::Currency;
use serde::{Deserialize, Serialize};

/// Settings of loyalty; the default needs nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the ledger is kept.
    pub database: DatabaseConfig,
    /// Currency of offers whose file names no amount.
    pub currency: Currency,
}

impl Default for Config {
    fn default() -> Self {
        Self { database: DatabaseConfig::default(), currency: Currency::EUR }
    }
}
