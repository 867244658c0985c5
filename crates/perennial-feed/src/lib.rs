//! The durable feed between services.
//!
//! A service that changes its state appends the fact to its own [`Feed`] in the same transaction. Others read it over
//! gRPC and apply what they read in one transaction that first moves their checkpoint by compare-and-set: that is the
//! fence, and it is why every record reaches every state exactly once. A service states what it makes of the records
//! as a pure [`Fold`]; a [`Reader`] drives it.
//!
//! **Order.** The ingestion feed's position is the clock of the whole system. Every derived record says which ingestion
//! position and instant it reflects, and a reader applies a record only when all its sources have come that far; ties
//! go to the source that is named first. A timer due at t fires after everything received before t and before anything
//! received at t or later. So the order in which a profile's records and timers are seen is the same on every run.

mod batch;
mod bell;
mod erasure;
mod error;
mod feed;
mod fold;
pub mod grpc;
mod keep;
mod lane;
mod news;
mod outbox;
mod parked;
mod parting;
mod reader;
mod record;
mod schema;
mod visit;

pub use bell::{Bell, Listener, Topic};
pub use erasure::{End, Erasing, Personal, erased_among, exported_rows};
pub use error::{FeedError, FoldFault};
pub use feed::{Appended, Cursor, Feed, FeedKind, Lag, PARTITIONS, PartitionRecords, Places};
pub use fold::{Command, Fold, Parted, Turn};
pub use grpc::AnyReader;
pub use news::{News, ear};
pub use outbox::{Deliver, Outbox};
pub use parked::ParkedProfile;
pub use reader::{Here, Reader, ReaderParts, Source, Task};
pub use record::{Erasure, Merge, NewRecord, Progress, Record, Unmerge};
pub use schema::{FEED_MIGRATIONS, FOLD_MIGRATIONS, OUTBOX_MIGRATIONS};

/// The version of this reader: it stops at records that need a later one.
pub const READER_VERSION: u32 = 3;
