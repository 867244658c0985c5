//! Settings of this service.

use perennial_store::DatabaseConfig;
use perennial_types::Currency;
use serde::{Deserialize, Serialize};

/// What can be set.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where segments, membership and stages are kept.
    pub database: DatabaseConfig,
    /// Currency of `money("…")` in rules: the reporting currency of the workspaces.
    pub currency: Currency,
    /// Most segments of one workspace.
    pub max_segments: u32,
    /// How many profiles a preview reads the history of when a rule asks for what is not kept: more makes the estimate
    /// better and the preview slower.
    pub preview_sample: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database: DatabaseConfig::default(),
            currency: Currency::EUR,
            max_segments: 1_000,
            preview_sample: 500,
        }
    }
}
