//! The erasure of a person, as a service's reader carries it out: in the order of all other records, and in one
//! transaction with the checkpoint. Whoever folds says which of its tables hold rows about people; the rest is here.

mod export;
mod receipts;

use std::collections::{BTreeMap, BTreeSet};

use perennial_api::profile::v1::{RecordErasureReceiptRequest, StoreReceipt};
use perennial_store::{
    Backend, Column, ConnectionTrait, DatabaseTransaction, StoreError, Table, Value, any_of, column, execute,
    query,
};
use perennial_types::{ProfileId, Timestamp, Workspace, new_id};
use prost::Message as _;
use uuid::Uuid;

use crate::fold::Command;
use crate::keep::{self, Key};
use crate::lane::store_fault;
use crate::{FeedError, Fold, PARTITIONS, Reader};

pub(crate) use export::export;
pub use export::exported_rows;
pub(crate) use receipts::{RECEIPTS, receipts};

/// A table of a service's own with rows about people. Its columns `workspace` and `profile` say whose a row is.
#[derive(Clone, Copy, Debug)]
pub struct Personal {
    /// The table, and the columns that an export shows.
    pub table: &'static Table,
    /// What becomes of a person's rows when they are erased.
    pub end: End,
}

/// What becomes of an erased person's rows.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// They go.
    Delete,
    /// They stay, since others depend on them, without anything that leads to the person.
    Unlink {
        /// What they lose besides the profile, as assignments: `data = '{}', address_hash = NULL`.
        lose: &'static str,
        /// What stays, and why, as the receipt says it.
        kept: &'static str,
    },
}

/// A receipt as it waits to be sent: the service's own feed still has to be emptied.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Pending {
    #[prost(message, optional, tag = "1")]
    pub(crate) receipt: Option<RecordErasureReceiptRequest>,
    /// Where the partition stood at the erasure; what comes later is of somebody new.
    #[prost(uint64, tag = "2")]
    pub(crate) through: u64,
}

/// One profile of a person being erased, and what was done so far.
#[derive(Debug)]
pub struct Erasing {
    workspace: Workspace,
    profile: ProfileId,
    stand_in: ProfileId,
    stores: BTreeMap<&'static str, StoreReceipt>,
}

impl Erasing {
    /// The workspace.
    #[must_use]
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// The profile.
    #[must_use]
    pub fn profile(&self) -> ProfileId {
        self.profile
    }

    /// Who stands in its place where rows have to stay.
    #[must_use]
    pub fn stand_in(&self) -> ProfileId {
        self.stand_in
    }

    /// Rows of a table are gone.
    pub fn gone(&mut self, table: &'static str, rows: u64) {
        self.store(table).erased_count += i64::try_from(rows).unwrap_or(i64::MAX);
    }

    /// Rows of a table stay without what leads to the person; `kept` says what stays, and why.
    pub fn unlinked(&mut self, table: &'static str, rows: u64, kept: &str) {
        let store = self.store(table);
        store.unlinked_count += i64::try_from(rows).unwrap_or(i64::MAX);
        if rows > 0 {
            kept.clone_into(&mut store.kept);
        }
    }

    fn store(&mut self, table: &'static str) -> &mut StoreReceipt {
        self.stores
            .entry(table)
            .or_insert_with(|| StoreReceipt { store: table.to_owned(), ..Default::default() })
    }

    fn key(&self) -> Vec<Value> {
        vec![self.workspace.as_str().into(), self.profile.0.into()]
    }

    async fn delete(&mut self, tx: &DatabaseTransaction, table: &'static str) -> Result<(), StoreError> {
        let sql = format!("DELETE FROM {table} WHERE workspace = $1 AND profile = $2");
        let rows = execute(tx, table, &sql, self.key()).await?;
        self.gone(table, rows);
        Ok(())
    }

    async fn personal(&mut self, tx: &DatabaseTransaction, it: &Personal) -> Result<(), StoreError> {
        let table = it.table.name;
        match it.end {
            End::Delete => self.delete(tx, table).await,
            End::Unlink { lose, kept } => {
                let comma = if lose.is_empty() { "" } else { ", " };
                let sql = format!(
                    "UPDATE {table} SET profile = $3{comma}{lose} WHERE workspace = $1 AND profile = $2"
                );
                let values = self.key().into_iter().chain([self.stand_in.0.into()]).collect();
                let rows = execute(tx, table, &sql, values).await?;
                self.unlinked(table, rows, kept);
                Ok(())
            }
        }
    }
}

/// Which of some profiles were erased. Until the transaction ends, none of the others is: whoever writes rows about people
/// outside of a fold asks here first, and leaves the erased alone.
///
/// # Errors
/// If the database refuses.
pub async fn erased_among(
    tx: &DatabaseTransaction,
    workspace: &Workspace,
    profiles: impl IntoIterator<Item = ProfileId>,
) -> Result<BTreeSet<ProfileId>, StoreError> {
    if Backend::of(tx) == Backend::Postgres {
        execute(tx, "keeping erasures off", "SELECT pg_advisory_xact_lock_shared(7036874417769)", vec![])
            .await?;
    }
    let keys = profiles.into_iter().map(|it| (workspace.clone(), it)).collect();
    Ok(of(tx, keys).await?.into_iter().map(|(_, profile)| profile).collect())
}

/// Which of some profiles were erased.
pub(crate) async fn of(db: &impl ConnectionTrait, keys: BTreeSet<Key>) -> Result<BTreeSet<Key>, StoreError> {
    let mut grouped: BTreeMap<Workspace, Vec<Value>> = BTreeMap::new();
    for (workspace, profile) in keys {
        grouped.entry(workspace).or_default().push(profile.0.into());
    }
    let mut found = BTreeSet::new();
    for (workspace, profiles) in grouped {
        let mut values = vec![workspace.as_str().into()];
        let condition = any_of(Backend::of(db), "profile", Column::Uuid, profiles, &mut values);
        let sql = format!("SELECT profile FROM erased_profile WHERE workspace = $1 AND {condition}");
        for row in query(db, "erased profiles", &sql, values).await? {
            found.insert((workspace.clone(), ProfileId(column(&row, 0)?)));
        }
    }
    Ok(found)
}

/// Takes a profile out of everything this service keeps, and leaves the receipt. Doing it again finds nothing, and harms
/// nobody.
pub(crate) async fn carry_out<F: Fold>(
    tx: &DatabaseTransaction,
    reader: &Reader<F>,
    (workspace, profile): &Key,
    id: Uuid,
    now: Timestamp,
) -> Result<(), FeedError> {
    if Backend::of(tx) == Backend::Postgres {
        execute(tx, "keeping writers off", "SELECT pg_advisory_xact_lock(7036874417769)", vec![]).await?;
    }
    let (workspace, profile) = (workspace.clone(), *profile);
    let mut erasing =
        Erasing { workspace, profile, stand_in: ProfileId::stand_in(), stores: BTreeMap::new() };
    let sql =
        "INSERT INTO erased_profile (workspace, profile, erasure) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    execute(tx, "an erased profile", sql, erasing.key().into_iter().chain([id.into()]).collect()).await?;
    let key = (erasing.workspace.clone(), profile);
    let state = match keep::load::<F::State>(tx, &[key.clone()].into()).await {
        Ok(mut known) => known.remove(&key).map(|it| it.state).unwrap_or_default(),
        // What cannot be read any more goes all the same.
        Err(StoreError::Corrupt { .. }) => F::State::default(),
        Err(error) => return Err(error.into()),
    };
    for table in ["profile_state", "transfer", "parting", "parked", "parked_record", "outbox"] {
        erasing.delete(tx, table).await?;
    }
    for it in reader.fold.personal() {
        erasing.personal(tx, it).await?;
    }
    reader.fold.erase(tx, &mut erasing, &state).await.map_err(store_fault)?;
    let space = erasing.workspace.resource();
    let told = |it: &StoreReceipt| it.erased_count > 0 || it.unlinked_count > 0;
    let receipt = RecordErasureReceiptRequest {
        name: format!("{space}/erasures/{id}"),
        service: reader.name.to_string(),
        profile: format!("{space}/profiles/{profile}"),
        stores: erasing.stores.into_values().filter(told).collect(),
    };
    let partition = profile.partition(PARTITIONS);
    let through = reader.feed.heads_in(tx, &[partition]).await?.get(&partition).map_or(0, |it| it.seq);
    let pending = Pending { receipt: Some(receipt), through };
    let command = Command {
        id: new_id(now),
        workspace: erasing.workspace,
        target: RECEIPTS,
        not_before: now,
        payload: pending.encode_to_vec(),
        profile: None,
    };
    Ok(keep::save_commands(tx, vec![command]).await?)
}
