//! Asking who is where.

use perennial_feed::PARTITIONS;
use perennial_types::{ProfileId, Timestamp, Workspace};
use uuid::Uuid;

use super::App;
use crate::domain::Cause;
use crate::error::{Error, Result};
use crate::store::members::{self, Standing};
use crate::store::segments;
use crate::store::stages::{self, StageMove};

/// The most moves of a profile's history that are shown.
const MOST_MOVES: i64 = 100;

/// Members of a segment.
pub type MemberPage = Vec<(ProfileId, Timestamp, Cause)>;

/// A profile's stage and those before it, the latest first; never empty.
#[derive(Clone, Debug)]
pub struct StageHistory {
    /// The profile; the survivor, if it was merged.
    pub profile: ProfileId,
    /// Its moves.
    pub moves: Vec<StageMove>,
}

/// How many profiles a stage has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageCount {
    /// The stage.
    pub stage: String,
    /// Profiles in it.
    pub members: i64,
}

/// How many profiles a segment has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentCount {
    /// The segment's bare name.
    pub name: String,
    /// Profiles in it.
    pub members: i64,
    /// Membership is complete.
    pub live: bool,
}

impl App {
    /// Where a profile stands, or stood at `as_of`, with a segment; nothing if it never was in it.
    ///
    /// # Errors
    /// There is no such segment or profile, or the database refuses.
    pub async fn check_membership(
        &self,
        workspace: &Workspace,
        profile: ProfileId,
        segment: &str,
        as_of: Option<Timestamp>,
    ) -> Result<Option<Standing>> {
        let db = self.store.read();
        let definition = segments::find(db, workspace, segment).await?;
        let definition = definition.ok_or_else(|| Error::NoSegment(segment.to_owned()))?;
        let survivor = self.known(workspace, profile).await?;
        let at = as_of.unwrap_or_else(|| self.clock.now());
        Ok(members::standing_at(db, workspace, definition.number, survivor, at).await?)
    }

    /// Through which instant what is known of a profile is complete.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn complete_through(&self, profile: ProfileId) -> Result<Timestamp> {
        Ok(self.feed.progress(profile.partition(PARTITIONS)).await?.instant)
    }

    /// The profile this one has become, if anything is known of it.
    async fn known(&self, workspace: &Workspace, profile: ProfileId) -> Result<ProfileId> {
        let db = self.store.read();
        let survivor = members::survivor(db, workspace, profile).await?;
        if stages::exists(db, workspace, survivor).await? {
            Ok(survivor)
        } else {
            Err(Error::NoProfile(profile.to_string()))
        }
    }

    /// Members of a segment after a profile.
    ///
    /// # Errors
    /// There is no such segment, or the database refuses.
    pub async fn members(
        &self,
        workspace: &Workspace,
        segment: &str,
        after: Uuid,
        limit: u64,
    ) -> Result<MemberPage> {
        let db = self.store.read();
        let definition = segments::find(db, workspace, segment).await?;
        let definition = definition.ok_or_else(|| Error::NoSegment(segment.to_owned()))?;
        Ok(members::page(db, workspace, definition.number, after, limit).await?)
    }

    /// A profile's stage and those before it.
    ///
    /// # Errors
    /// Nothing is known of the profile, or the database refuses.
    pub async fn stage(&self, workspace: &Workspace, profile: ProfileId) -> Result<StageHistory> {
        let survivor = self.known(workspace, profile).await?;
        let moves = stages::history(self.store.read(), workspace, survivor, MOST_MOVES).await?;
        Ok(StageHistory { profile: survivor, moves })
    }

    /// Profiles by stage, in order of the stages' rules.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn stages(&self, workspace: &Workspace) -> Result<Vec<StageCount>> {
        let mut counts = stages::counts(self.store.read(), workspace).await?;
        let stages = self.reader.fold().stages().iter();
        let known = stages.map(|it| StageCount {
            members: counts.remove(&it.name).unwrap_or_default(),
            stage: it.name.clone(),
        });
        Ok(known.collect())
    }

    /// Members by segment, by name.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn segment_counts(&self, workspace: &Workspace) -> Result<Vec<SegmentCount>> {
        let db = self.store.read();
        let rulebook = segments::rulebook(db, workspace).await?;
        let counts = members::counts(db, workspace).await?;
        let count = |it: segments::Definition| SegmentCount {
            members: counts.get(&it.number).copied().unwrap_or_default(),
            live: it.revision <= rulebook.complete,
            name: it.name,
        };
        Ok(segments::all(db, workspace).await?.into_iter().map(count).collect())
    }
}
