//! What can go wrong between feeds and their readers.

use perennial_store::StoreError;

/// A feed, a reader or a fold that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The database refused.
    #[error("the feed's database refused")]
    Store(#[from] StoreError),
    /// Another worker moved the checkpoint: whatever this one holds in memory is stale.
    #[error("another worker holds this lane: its checkpoint moved")]
    Fenced,
    /// A step failed that worked on the only copy of a state.
    #[error("a step of a batch failed: it is run again with care")]
    Stumbled,
    /// The feed was restored or replaced: positions of the old one mean nothing in it.
    #[error(
        "feed {feed} has epoch {found:?}, but this reader's checkpoint is of epoch {known:?}: the feed was restored \
         or replaced; rebuild this reader"
    )]
    Epoch {
        /// The feed.
        feed: String,
        /// The reader's epoch.
        known: String,
        /// The feed's epoch.
        found: String,
    },
    /// The feed ends before the reader's checkpoint: it lost its end.
    #[error(
        "feed {feed} partition {partition} ends at {head}, before this reader's checkpoint {seq}: it lost its end"
    )]
    Behind {
        /// The feed.
        feed: String,
        /// The partition.
        partition: u16,
        /// Its last record.
        head: u64,
        /// The reader's checkpoint.
        seq: u64,
    },
    /// Records the reader has not read are gone already.
    #[error(
        "feed {feed} partition {partition} starts at {first}, after this reader's next record {next}: rebuild it"
    )]
    Trimmed {
        /// The feed.
        feed: String,
        /// The partition.
        partition: u16,
        /// Its first record.
        first: u64,
        /// What the reader needs.
        next: u64,
    },
    /// A record that this version may not skip and does not know.
    #[error(
        "feed {feed} holds a record of kind {kind:?} that needs reader version {needs}: update this service"
    )]
    TooNew {
        /// The feed.
        feed: String,
        /// The record's kind.
        kind: String,
        /// The version it needs.
        needs: u32,
    },
    /// The peer that owns the feed could not answer.
    #[error("feed {feed} cannot be read now: {reason}")]
    Peer {
        /// The feed.
        feed: String,
        /// What its owner said.
        reason: String,
    },
    /// A message that does not follow the protocol.
    #[error("{what} cannot be read: {reason}")]
    Malformed {
        /// Which message.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
}

impl FeedError {
    /// Whether trying the same again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Fenced | Self::Stumbled | Self::Peer { .. } => true,
            _ => false,
        }
    }
}

/// Why a fold could not take a record or a timer.
#[derive(Debug, thiserror::Error)]
pub enum FoldFault {
    /// The record cannot be applied, now or later: its profile is parked.
    #[error("{0}")]
    Poison(String),
    /// The database refused; the batch is tried again.
    #[error("the database refused")]
    Store(#[from] StoreError),
}

impl FoldFault {
    /// A record that cannot be applied, and why.
    #[must_use]
    pub fn poison(reason: impl std::fmt::Display) -> Self {
        Self::Poison(reason.to_string())
    }
}
