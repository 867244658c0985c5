//! Emptying the records of whoever is erased: position, kind and time stay.

use perennial_store::DatabaseTransaction;
use perennial_types::{ProfileId, Workspace};

use super::{Cursor, Feed, rows};
use crate::{FeedError, PARTITIONS};

/// Where a profile's records are in its partition.
#[derive(Clone, Debug, Default)]
pub struct Places {
    pub(crate) seqs: Vec<u64>,
    /// Looked at up to here; more may have come since. None: nothing that came since is meant.
    pub(crate) through: Option<u64>,
}

impl Places {
    /// Only those up to a place, and none that came since.
    #[must_use]
    pub(crate) fn up_to(mut self, last: u64) -> Self {
        self.seqs.retain(|it| *it <= last);
        Self { seqs: self.seqs, through: None }
    }
}

impl Feed {
    /// Finds a profile's records, in the order of their places. It looks through a whole partition (records are not indexed by
    /// profile, since every append would pay for it), so do it before a transaction begins.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn places(&self, workspace: &Workspace, profile: ProfileId) -> Result<Places, FeedError> {
        let cursor = Cursor { partition: profile.partition(PARTITIONS), after_seq: 0, complete_after: None };
        let through = self.heads(&[cursor]).await?.first().map_or(0, |it| it.seq);
        let seqs = rows::find_places(self.0.store.read(), workspace, profile, through).await?;
        Ok(Places { seqs, through: Some(through) })
    }

    /// Empties a profile's records, those that were found and those that came since: position, kind and time stay, whose they
    /// were and what they told goes. Answers how many there were. Call [`Feed::forget`] after the commit.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn erase(
        &self,
        tx: &DatabaseTransaction,
        workspace: &Workspace,
        profile: ProfileId,
        places: &Places,
    ) -> Result<u64, FeedError> {
        Ok(rows::erase_records(tx, workspace, profile, places).await?)
    }

    /// Empties records whose events are told anew elsewhere in the same transaction. Call [`Feed::forget_places`] after the
    /// commit.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn take_back(
        &self,
        tx: &DatabaseTransaction,
        partition: u16,
        seqs: &[u64],
    ) -> Result<(), FeedError> {
        Ok(rows::take_back(tx, partition, seqs).await?)
    }

    /// Empties records in memory, as the database has them by now.
    pub fn forget_places(&self, partition: u16, seqs: &[u64]) {
        self.memory().forget_places(partition, seqs);
    }

    /// Empties a profile's records up to a place in memory, as the database has them by now.
    pub fn forget(&self, workspace: &Workspace, profile: ProfileId, through: u64) {
        self.memory().forget(workspace, profile, through);
    }
}
