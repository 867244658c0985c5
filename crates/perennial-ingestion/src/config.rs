//! Settings of this service.

use perennial_store::DatabaseConfig;
use perennial_types::Currency;
use serde::{Deserialize, Serialize};

/// What can be set.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the log, identity and profiles are kept.
    pub database: DatabaseConfig,
    /// Most bytes of one event.
    pub max_event_bytes: usize,
    /// Most bytes of one request's body, after decompression.
    pub max_body_bytes: usize,
    /// Most events of one batch.
    pub max_batch_events: usize,
    /// Most events that may wait to be written before senders are told to wait (429).
    pub max_waiting_events: usize,
    /// Most records of the log (an event makes one, or a few) that may be left to a service that reads it, before senders are
    /// told to wait (429), imports too; 0 sets no limit. A service that does not ask for a minute does not count: what is in
    /// the log is kept for it.
    pub max_lag: u64,
    /// Most live events a second of one workspace, over ten seconds and all replicas, before its senders are told to wait
    /// (429); 0 sets no limit. Imports and our own services are not counted.
    pub max_events_per_second: u64,
    /// An event older than this at receipt is history: it changes state, but starts and sends nothing. Seconds.
    pub live_max_age_s: u64,
    /// Reporting currency of workspaces that decided nothing; empty: that of the first amount they send.
    pub currency: Option<Currency>,
    /// Profit per revenue where no cost is known, in per mille, of workspaces that decided nothing.
    pub default_margin_per_mille: i64,
    /// IANA time zone of people whose own is unknown, in workspaces that decided nothing.
    pub time_zone: String,
    /// Which changes of products count.
    pub catalog: CatalogConfig,
    /// What is promised to people who are erased.
    pub erasure: ErasureConfig,
}

/// What is promised to people who are erased.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ErasureConfig {
    /// Services that keep anything of people: an erasure is done when all of them have answered.
    pub receipts_from: Vec<String>,
    /// How long backups of the databases are kept, in days: receipts say when the last that knows a person expires.
    pub backups_keep_days: u32,
}

impl Default for ErasureConfig {
    fn default() -> Self {
        let services = ["scoring", "segmentation", "campaign", "loyalty", "notification"];
        Self { receipts_from: services.map(str::to_owned).to_vec(), backups_keep_days: 35 }
    }
}

/// Which changes of products count: feeds flap.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogConfig {
    /// A price or a stock state counts once it held this long; what goes back before was never there. Seconds.
    pub hold_s: u64,
    /// A price drop is one below all prices that held within this many days before it.
    pub price_window_days: u32,
    /// By how much a price has to drop at least, in per mille.
    pub price_drop_per_mille: u16,
    /// A product is new if its catalogue was there this long before it. Seconds.
    pub new_after_s: u64,
}

impl Default for CatalogConfig {
    fn default() -> Self {
        Self { hold_s: 900, price_window_days: 30, price_drop_per_mille: 10, new_after_s: 86_400 }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database: DatabaseConfig::default(),
            max_event_bytes: 32 * 1024,
            max_body_bytes: 4 * 1024 * 1024,
            max_batch_events: 2_500,
            max_waiting_events: 50_000,
            max_lag: 1_000_000,
            max_events_per_second: 0,
            live_max_age_s: 3_600,
            currency: None,
            default_margin_per_mille: 400,
            time_zone: "UTC".to_owned(),
            catalog: CatalogConfig::default(),
            erasure: ErasureConfig::default(),
        }
    }
}
