//! Records and positions.

use std::borrow::Cow;

use bytes::Bytes;
use perennial_api::feed::v1 as wire;
use perennial_types::{MergeId, ProfileId, Timestamp, Workspace, from_micros, micros};
use uuid::Uuid;

use crate::{FeedError, PartitionRecords};

/// How much of the world is reflected: every ingestion record of the partition up to `seq`, and every timer due at or
/// before `instant`. Compared by `seq` first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Progress {
    /// A position in the partition of the ingestion feed.
    pub seq: u64,
    /// An instant.
    pub instant: Timestamp,
}

impl Progress {
    /// Nothing at all.
    pub const START: Self = Self { seq: 0, instant: Timestamp::MIN };

    /// Whether it is at least as far as `wanted` in both position and instant.
    #[must_use]
    pub fn reaches(self, wanted: Self) -> bool {
        self.seq >= wanted.seq && self.instant >= wanted.instant
    }

    /// The least that reaches both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self { seq: self.seq.max(other.seq), instant: self.instant.max(other.instant) }
    }

    /// The last claim that can be made while a record with this origin is still to come. A record of ingestion itself
    /// is preceded by all timers up to its instant; a derived one only by what is strictly earlier.
    #[must_use]
    pub fn before(origin: Self, is_source: bool) -> Self {
        if is_source {
            Self { seq: origin.seq.saturating_sub(1), instant: origin.instant }
        } else {
            Self { seq: origin.seq, instant: from_micros(micros(origin.instant) - 1) }
        }
    }
}

impl From<Progress> for wire::Progress {
    fn from(it: Progress) -> Self {
        Self { seq: it.seq, instant_micros: micros(it.instant) }
    }
}

impl From<wire::Progress> for Progress {
    fn from(it: wire::Progress) -> Self {
        Self { seq: it.seq, instant: from_micros(it.instant_micros) }
    }
}

/// One fact about one profile, in a partition of a feed.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its place in the partition, from 1.
    pub seq: u64,
    /// The workspace.
    pub workspace: Workspace,
    /// The profile.
    pub profile: ProfileId,
    /// What the payload is. Of records that this process made, it is copied for each reader at no cost.
    pub kind: Cow<'static, str>,
    /// The lowest reader version that may skip it without knowing it.
    pub min_reader: u32,
    /// When it was received or derived; never decreasing within a partition.
    pub time: Timestamp,
    /// What it reflects.
    pub origin: Progress,
    /// It changes state but starts and sends nothing.
    pub historical: bool,
    /// A difference found by recomputing.
    pub correction: bool,
    /// The message that `kind` names, encoded.
    pub payload: Bytes,
}

impl Record {
    /// Whether it is half of a merge.
    pub(crate) fn is_merge(&self) -> bool {
        self.kind == Merge::AWAY || self.kind == Merge::INTO
    }

    /// Whether it is of nobody: what it told went with the person it was about.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.profile.is_erased()
    }

    /// Whether every reader has to see it, whatever its fold makes of records.
    pub(crate) fn is_for_all(&self) -> bool {
        !self.is_blank() && (self.is_merge() || self.kind == Erasure::KIND || self.kind == Unmerge::KIND)
    }
}

/// A record to append; the feed gives it its place.
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// The workspace.
    pub workspace: Workspace,
    /// The profile, which decides the partition.
    pub profile: ProfileId,
    /// What the payload is.
    pub kind: &'static str,
    /// It changes state but starts and sends nothing.
    pub historical: bool,
    /// A difference found by recomputing.
    pub correction: bool,
    /// The message that `kind` names, encoded.
    pub payload: Bytes,
}

impl From<Record> for wire::Record {
    fn from(it: Record) -> Self {
        Self {
            seq: it.seq,
            workspace: it.workspace.as_str().to_owned(),
            profile: it.profile.0.as_bytes().to_vec(),
            kind: it.kind.into_owned(),
            min_reader: it.min_reader,
            time_micros: micros(it.time),
            origin: Some(it.origin.into()),
            historical: it.historical,
            correction: it.correction,
            payload: it.payload,
        }
    }
}

impl TryFrom<wire::Record> for Record {
    type Error = FeedError;

    fn try_from(it: wire::Record) -> Result<Self, FeedError> {
        Ok(Self {
            seq: it.seq,
            workspace: Workspace::parse(&it.workspace)
                .map_err(|error| malformed("a record's workspace", error))?,
            profile: ProfileId(uuid(&it.profile)?),
            kind: it.kind.into(),
            min_reader: it.min_reader,
            time: from_micros(it.time_micros),
            origin: it.origin.map_or(Progress::START, Into::into),
            historical: it.historical,
            correction: it.correction,
            payload: it.payload,
        })
    }
}

impl TryFrom<wire::PartitionRecords> for PartitionRecords {
    type Error = FeedError;

    fn try_from(it: wire::PartitionRecords) -> Result<Self, FeedError> {
        Ok(Self {
            partition: u16::try_from(it.partition).unwrap_or(u16::MAX),
            records: it.records.into_iter().map(Record::try_from).collect::<Result<_, _>>()?,
            head_seq: it.head_seq,
            first_seq: it.first_seq,
            progress: it.progress.map_or(Progress::START, Into::into),
        })
    }
}

/// A merge as both its records tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merge {
    /// The merge.
    pub id: MergeId,
    /// The profile that ends.
    pub from: ProfileId,
    /// The survivor.
    pub into: ProfileId,
}

impl Merge {
    /// The kind of the record at the profile that ends: the last that profile gets, unless the merge is undone.
    pub const AWAY: &'static str = "merged_away";
    /// The kind of the record at the survivor.
    pub const INTO: &'static str = "merged_into";

    /// Reads a merge record's payload.
    ///
    /// # Errors
    /// If the payload is not a `perennial.feed.v1.Merge`.
    pub fn decode(payload: &[u8]) -> Result<Self, FeedError> {
        let it: wire::Merge = prost::Message::decode(payload).map_err(|error| malformed("a merge", error))?;
        Ok(Self {
            id: MergeId(uuid(&it.merge)?),
            from: ProfileId(uuid(&it.from)?),
            into: ProfileId(uuid(&it.into)?),
        })
    }

    /// Writes a merge record's payload.
    #[must_use]
    pub fn encode(self) -> Bytes {
        let bytes = |id: Uuid| id.as_bytes().to_vec();
        let it = wire::Merge { merge: bytes(self.id.0), from: bytes(self.from.0), into: bytes(self.into.0) };
        prost::Message::encode_to_vec(&it).into()
    }
}

/// A merge that was undone, as both its records tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmerge {
    /// The merge.
    pub id: MergeId,
    /// The profile that comes back.
    pub from: ProfileId,
    /// What it had become.
    pub into: ProfileId,
    /// Profiles that had become `from`, and come back with it.
    pub leaves: Vec<ProfileId>,
    /// When the merge was made.
    pub merged: Timestamp,
}

impl Unmerge {
    /// The kind of both records.
    pub const KIND: &'static str = "unmerged";
    /// Readers of before must stop there rather than leave two people one.
    pub(crate) const MIN_READER: u32 = 3;

    /// Reads the payload.
    ///
    /// # Errors
    /// If it is not a `perennial.feed.v1.Unmerge`.
    pub fn decode(payload: &[u8]) -> Result<Self, FeedError> {
        let it: wire::Unmerge =
            prost::Message::decode(payload).map_err(|error| malformed("an undone merge", error))?;
        Ok(Self {
            id: MergeId(uuid(&it.merge)?),
            from: ProfileId(uuid(&it.from)?),
            into: ProfileId(uuid(&it.into)?),
            leaves: it.leaves.iter().map(|it| uuid(it).map(ProfileId)).collect::<Result<_, _>>()?,
            merged: from_micros(it.merge_time_micros),
        })
    }

    /// Writes the payload.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let bytes = |id: Uuid| id.as_bytes().to_vec();
        let leaves = self.leaves.iter().map(|it| bytes(it.0)).collect();
        let (merge, from, into) = (bytes(self.id.0), bytes(self.from.0), bytes(self.into.0));
        let merge_time_micros = micros(self.merged);
        prost::Message::encode_to_vec(&wire::Unmerge { merge, from, into, leaves, merge_time_micros }).into()
    }
}

/// An erasure, as the last record of each profile of the person tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// The erasure.
    pub id: Uuid,
}

impl Erasure {
    /// The kind of the record.
    pub const KIND: &'static str = "profile_erased";
    /// Readers of before must stop there rather than keep what has to go.
    pub(crate) const MIN_READER: u32 = 2;

    /// Reads an erasure record's payload.
    ///
    /// # Errors
    /// If the payload is not a `perennial.feed.v1.ProfileErased`.
    pub fn decode(payload: &[u8]) -> Result<Self, FeedError> {
        let it: wire::ProfileErased =
            prost::Message::decode(payload).map_err(|error| malformed("an erasure", error))?;
        Ok(Self { id: uuid(&it.erasure)? })
    }

    /// Writes an erasure record's payload.
    #[must_use]
    pub fn encode(self) -> Bytes {
        prost::Message::encode_to_vec(&wire::ProfileErased { erasure: self.id.as_bytes().to_vec() }).into()
    }
}

fn uuid(bytes: &[u8]) -> Result<Uuid, FeedError> {
    Uuid::from_slice(bytes).map_err(|error| malformed("an id", error))
}

fn malformed(what: &'static str, reason: impl std::fmt::Display) -> FeedError {
    FeedError::Malformed { what, reason: reason.to_string() }
}
