//! The use cases: one method each, one transaction each.

mod backfill;
mod membership;
mod preview;
mod segment;

use perennial_api::profile::v1::profile_service_client::ProfileServiceClient;
use perennial_cache::Cache;
use perennial_feed::{Bell, Feed, Reader, Topic};
use perennial_rpc::Transport;
use perennial_store::Store;
use perennial_types::Clock;
use std::sync::Arc;

use crate::Config;
use crate::worker::Segmentation;

pub use membership::{SegmentCount, StageHistory};
pub use preview::Preview;
pub use segment::{Retry, SaveSegment, Saved};

/// Everything this service can be asked to do.
pub struct App {
    pub(crate) store: Store,
    pub(crate) feed: Feed,
    pub(crate) reader: Arc<Reader<Segmentation>>,
    pub(crate) clock: Clock,
    pub(crate) bell: Bell,
    pub(crate) config: Config,
    pub(crate) cache: Cache,
    /// Where the history of profiles is read again.
    pub(crate) profiles: ProfileServiceClient<Transport>,
}

impl App {
    /// The topic that rings when rules changed and profiles have to be evaluated again.
    pub fn backfill_topic() -> Topic {
        Topic::other("segmentation backfill")
    }
}
