//! Merges that were undone. Both sides are recomputed from their own facts, before anything later is applied to them:
//! until that is done, their lane does nothing else.

use std::collections::{BTreeMap, BTreeSet};

use perennial_store::{
    Backend, Column, ConnectionTrait, DatabaseTransaction, StoreError, Table, any_of, column, delete_rows,
    insert_rows, query,
};
use perennial_types::{ProfileId, Workspace};
use tracing::error;

use crate::batch::{Outcome, Slot};
use crate::keep::{self, Kept, Key};
use crate::lane::{Lane, store_fault};
use crate::visit::keep_turn;
use crate::{FeedError, Fold, PARTITIONS, Parted, Record, Unmerge};

const PARTINGS: Table = Table {
    name: "parting",
    columns: &[
        ("workspace", Column::Text),
        ("profile", Column::Uuid),
        ("merge_id", Column::Uuid),
        ("partition", Column::BigInt),
        ("unmerge", Column::Bytes),
    ],
};

/// A side of an undone merge that is still to be recomputed.
pub(crate) type Parting = (Key, Unmerge);

/// Writes down what the records of a batch ask for.
pub(crate) async fn save(tx: &DatabaseTransaction, partings: &[Parting]) -> Result<(), StoreError> {
    let rows = partings.iter().map(|((workspace, profile), it)| {
        vec![
            workspace.as_str().into(),
            profile.0.into(),
            it.id.0.into(),
            i64::from(profile.partition(PARTITIONS)).into(),
            it.encode().to_vec().into(),
        ]
    });
    insert_rows(tx, &PARTINGS, rows.collect(), "ON CONFLICT DO NOTHING").await?;
    Ok(())
}

/// What is left to do in some partitions, in the order in which the merges were made.
pub(crate) async fn due(
    db: &impl ConnectionTrait,
    partitions: impl Iterator<Item = u16>,
) -> Result<Vec<Parting>, FeedError> {
    let mut values = Vec::new();
    let wanted = partitions.map(|it| i64::from(it).into()).collect();
    let condition = any_of(Backend::of(db), "partition", Column::BigInt, wanted, &mut values);
    let sql = format!(
        "SELECT workspace, profile, unmerge FROM parting WHERE {condition} ORDER BY merge_id, profile"
    );
    let rows = query(db, "merges that were undone", &sql, values).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let workspace = Workspace::parse(&column::<String>(row, 0)?)
            .map_err(|error| StoreError::Corrupt { what: "workspace", reason: error.to_string() })?;
        let unmerge = Unmerge::decode(&column::<Vec<u8>>(row, 2)?)?;
        found.push(((workspace, ProfileId(column(row, 1)?)), unmerge));
    }
    Ok(found)
}

async fn remove(tx: &DatabaseTransaction, partings: &[Parting]) -> Result<(), StoreError> {
    let table = Table { name: PARTINGS.name, columns: PARTINGS.columns.get(..3).unwrap_or_default() };
    let key = |((workspace, profile), it): &Parting| {
        vec![workspace.as_str().into(), profile.0.into(), it.id.0.into()]
    };
    delete_rows(tx, &table, partings.iter().map(key).collect()).await?;
    Ok(())
}

impl<F: Fold> Lane<F> {
    /// Recomputes the sides of undone merges that are due in this lane.
    pub(crate) async fn part(&mut self) -> Result<(), FeedError> {
        let reader = self.reader().clone();
        let mut facts: BTreeMap<Key, Vec<Record>> = BTreeMap::new();
        for (key, _) in self.partings() {
            let up_to = self.progress(key.1.partition(PARTITIONS)).seq;
            // Whoever was erased meanwhile has no facts.
            if let Some(read) = reader.facts(key, up_to).await? {
                facts.insert(key.clone(), read);
            }
        }
        let tx = self.begin().await?;
        let due = due(&tx, self.partitions()).await?;
        let book = reader.fold.book(&tx).await.map_err(store_fault)?;
        let olds = keep::load::<F::State>(&tx, &due.iter().map(|it| it.0.clone()).collect()).await?;
        let merges: BTreeSet<_> = due.iter().map(|((space, _), it)| (space.clone(), it.id)).collect();
        let lefts = keep::transfers::<F::State>(&tx, &merges).await?;
        let mut out = Outcome::<F>::nothing();
        for (key, unmerge) in &due {
            // Of two merges undone at once, the second finds what the first made of the profile.
            let known = out.states.get(key).map(|it| it.now.clone()).or_else(|| olds.get(key).cloned());
            let Some(records) = facts.get(key).cloned() else { continue };
            let left = lefts.get(&unmerge.id).cloned().flatten().unwrap_or_default().state;
            let (old, parted) = if unmerge.from == key.1 {
                (left, Parted::Returned { leaves: unmerge.leaves.clone() })
            } else {
                let old = known.clone().unwrap_or_default().state;
                (old, Parted::Survivor { merged: unmerge.merged, left: Box::new(left) })
            };
            let progress = self.progress(key.1.partition(PARTITIONS));
            let written = olds.get(key).and_then(|it| it.written.clone());
            let exists = olds.contains_key(key);
            match self.recompute(&book, key, records, (&old, Some(&parted)), progress) {
                Ok((now, turn)) => {
                    keep_turn(&mut out, turn);
                    out.states
                        .insert(key.clone(), Slot { exists, now: Kept { written, ..now }, gone: false });
                }
                Err(reason) => {
                    error!(consumer = %reader.name, profile = %key.1, %reason, "profile parked as its merge was undone");
                    out.parked.insert(key.clone(), reason);
                    let now = known.unwrap_or_default();
                    out.states.insert(key.clone(), Slot { exists, now, gone: false });
                }
            }
        }
        remove(&tx, &due).await?;
        self.commit_request(tx, out, None).await?;
        self.set_partings(Vec::new());
        Ok(())
    }
}
