//! The SQL of a fold: checkpoints, states with their timers, transfers; errands and commands.

use std::collections::{BTreeMap, BTreeSet};

use perennial_store::{
    Backend, Column, ConnectionTrait, DatabaseTransaction, QueryResult, StoreError, Table, Value, any_of,
    column, delete_rows, insert_rows, query, query_one,
};
use perennial_types::{MergeId, ProfileId, Timestamp, Workspace, from_micros, micros};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

mod commands;
mod errands;

pub(crate) use commands::{commands, next_command, remove_commands, save_commands};
pub(crate) use errands::{Errand, advance_errand, errands, next_visits, start_errand};

use crate::batch::Departure;
use crate::feed::rows::{int, unsigned};
use crate::fold::Timers;
use crate::{FeedError, PARTITIONS};

/// A profile, as the key of everything.
pub(crate) type Key = (Workspace, ProfileId);

/// A profile's state as it was loaded or is to be kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept<S> {
    pub(crate) state: S,
    pub(crate) timers: Timers,
    /// What its row holds, if it has one and that is still right: what would be written just so is not written.
    pub(crate) written: Option<Written>,
}

/// The texts of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Written {
    state: String,
    timers: String,
}

impl<S: Serialize> Kept<S> {
    fn text(&self) -> Result<Written, StoreError> {
        Ok(Written { state: text(&self.state)?, timers: text(&self.timers)? })
    }
}

/// A move of one checkpoint.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    pub(crate) feed: String,
    pub(crate) partition: u16,
    pub(crate) epoch: String,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

const CHECKPOINTS: Table = Table {
    name: "checkpoint",
    columns: &[
        ("consumer", Column::Text),
        ("feed", Column::Text),
        ("partition", Column::BigInt),
        ("epoch", Column::Text),
        ("seq", Column::BigInt),
        ("previous", Column::BigInt),
    ],
};

/// Where a reader stands in one partition of one feed: epoch and last record.
pub(crate) type Checkpoints = BTreeMap<(String, u16), (String, u64)>;

type Checkpoint = ((String, u16), (String, u64));

/// Makes the rows of a lane's checkpoints, where they are not there yet.
pub(crate) async fn ensure_checkpoints(
    tx: &DatabaseTransaction,
    consumer: &str,
    feeds: &[&str],
    partitions: &[u16],
) -> Result<(), StoreError> {
    let mut rows = Vec::new();
    for feed in feeds {
        for partition in partitions {
            let (seq, previous) = (0_i64.into(), 0_i64.into());
            rows.push(vec![
                consumer.into(),
                (*feed).into(),
                i64::from(*partition).into(),
                "".into(),
                seq,
                previous,
            ]);
        }
    }
    insert_rows(tx, &CHECKPOINTS, rows, "ON CONFLICT (consumer, feed, partition) DO NOTHING").await?;
    Ok(())
}

/// Reads a lane's checkpoints and holds them until the transaction ends, so that no other worker of the lane can have
/// loaded what this one is about to change.
pub(crate) async fn lock_checkpoints(
    tx: &DatabaseTransaction,
    consumer: &str,
    partitions: &[u16],
) -> Result<Checkpoints, StoreError> {
    let mut values = vec![consumer.into()];
    let wanted = partitions.iter().map(|it| i64::from(*it).into()).collect();
    let condition = any_of(Backend::of(tx), "partition", Column::BigInt, wanted, &mut values);
    let lock = if Backend::of(tx) == Backend::Postgres { "FOR UPDATE" } else { "" };
    let sql = format!(
        "SELECT feed, partition, epoch, seq FROM checkpoint WHERE consumer = $1 AND {condition} \
         ORDER BY feed, partition {lock}"
    );
    query(tx, "checkpoints", &sql, values).await?.iter().map(checkpoint).collect()
}

fn checkpoint(row: &QueryResult) -> Result<Checkpoint, StoreError> {
    let partition = u16::try_from(column::<i64>(row, 1)?).unwrap_or_default();
    Ok(((column(row, 0)?, partition), (column(row, 2)?, unsigned(column(row, 3)?))))
}

pub(crate) async fn checkpoints(
    db: &impl ConnectionTrait,
    consumer: &str,
) -> Result<Checkpoints, StoreError> {
    let sql = "SELECT feed, partition, epoch, seq FROM checkpoint WHERE consumer = $1";
    query(db, "checkpoints", sql, vec![consumer.into()]).await?.iter().map(checkpoint).collect()
}

/// Moves checkpoints by compare-and-set: the fence. If one is not where this worker left it, another one holds the lane.
pub(crate) async fn move_checkpoints(
    tx: &DatabaseTransaction,
    consumer: &str,
    moves: &[Move],
) -> Result<(), FeedError> {
    let rows = moves.iter().map(|it| {
        vec![
            consumer.into(),
            it.feed.as_str().into(),
            i64::from(it.partition).into(),
            it.epoch.as_str().into(),
            int(it.to).into(),
            int(it.from).into(),
        ]
    });
    let guard = "ON CONFLICT (consumer, feed, partition) DO UPDATE \
                 SET seq = excluded.seq, previous = excluded.previous, epoch = excluded.epoch \
                 WHERE checkpoint.seq = excluded.previous AND checkpoint.epoch IN (excluded.epoch, '')";
    let moved = insert_rows(tx, &CHECKPOINTS, rows.collect(), guard).await?;
    if moved == moves.len() as u64 { Ok(()) } else { Err(FeedError::Fenced) }
}

const STATES: Table = Table {
    name: "profile_state",
    columns: &[
        ("workspace", Column::Text),
        ("profile", Column::Uuid),
        ("lane", Column::BigInt),
        ("partition", Column::BigInt),
        ("state", Column::Text),
        ("timers", Column::Text),
        ("due", Column::BigInt),
    ],
};

fn by_workspace(keys: &BTreeSet<Key>) -> BTreeMap<&Workspace, Vec<Value>> {
    let mut grouped: BTreeMap<&Workspace, Vec<Value>> = BTreeMap::new();
    for (workspace, profile) in keys {
        grouped.entry(workspace).or_default().push(profile.0.into());
    }
    grouped
}

pub(crate) async fn load<S: DeserializeOwned>(
    db: &impl ConnectionTrait,
    keys: &BTreeSet<Key>,
) -> Result<BTreeMap<Key, Kept<S>>, StoreError> {
    let mut found = BTreeMap::new();
    for (workspace, profiles) in by_workspace(keys) {
        let mut values = vec![workspace.as_str().into()];
        let condition = any_of(Backend::of(db), "profile", Column::Uuid, profiles, &mut values);
        let sql =
            format!("SELECT profile, state, timers FROM profile_state WHERE workspace = $1 AND {condition}");
        for row in query(db, "states", &sql, values).await? {
            let key = (workspace.clone(), ProfileId(column::<Uuid>(&row, 0)?));
            found.insert(key, kept(&row, 1)?);
        }
    }
    Ok(found)
}

/// States after a profile, in order of their ids.
pub(crate) async fn page<S: DeserializeOwned>(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    after: Option<ProfileId>,
    most: usize,
) -> Result<Vec<(ProfileId, S)>, StoreError> {
    let sql = "SELECT profile, state, timers FROM profile_state WHERE workspace = $1 AND profile > $2 \
               ORDER BY profile LIMIT $3";
    let after = after.map_or(Uuid::nil(), |it| it.0);
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let values = vec![workspace.as_str().into(), after.into(), most.into()];
    let rows = query(db, "states", sql, values).await?;
    rows.iter().map(|row| Ok((ProfileId(column(row, 0)?), kept(row, 1)?.state))).collect()
}

/// How many profiles of a workspace have a state.
pub(crate) async fn count(db: &impl ConnectionTrait, workspace: &Workspace) -> Result<u64, StoreError> {
    let sql = "SELECT COUNT(*) FROM profile_state WHERE workspace = $1";
    let row = query_one(db, "states", sql, vec![workspace.as_str().into()]).await?;
    row.map_or(Ok(0), |row| column(&row, 0).map(unsigned))
}

fn kept<S: DeserializeOwned>(row: &QueryResult, first: usize) -> Result<Kept<S>, StoreError> {
    let (state, timers): (String, String) = (column(row, first)?, column(row, first + 1)?);
    let corrupt =
        |error: serde_json::Error| StoreError::Corrupt { what: "profile state", reason: error.to_string() };
    Ok(Kept {
        state: serde_json::from_str(&state).map_err(corrupt)?,
        timers: serde_json::from_str(&timers).map_err(corrupt)?,
        written: Some(Written { state, timers }),
    })
}

fn text<T: Serialize>(value: &T) -> Result<String, StoreError> {
    let corrupt =
        |error: serde_json::Error| StoreError::Corrupt { what: "profile state", reason: error.to_string() };
    serde_json::to_string(value).map_err(corrupt)
}

/// What the column `lane` says of a partition: where its timers and errands are found. On PostgreSQL it is the partition
/// itself, so that processes that cut their lanes differently (two versions side by side) agree on it; on SQLite, where
/// one worker reads all, it is 0.
fn shelf(backend: Backend, partition: u16) -> i64 {
    match backend {
        Backend::Sqlite => 0,
        Backend::Postgres => partition.into(),
    }
}

/// The shelves of some partitions.
pub(crate) fn shelves(backend: Backend, partitions: impl IntoIterator<Item = u16>) -> BTreeSet<i64> {
    partitions.into_iter().map(|it| shelf(backend, it)).collect()
}

/// Writes states, unless they are written just so. A parked profile's timers rest: they are kept, but not due.
pub(crate) async fn save<S: Serialize>(
    tx: &DatabaseTransaction,
    states: &[(Key, Kept<S>, bool)],
) -> Result<(), StoreError> {
    let mut rows = Vec::with_capacity(states.len());
    for ((workspace, profile), kept, resting) in states {
        let text = kept.text()?;
        // A profile that is met for the first time is kept, even if nothing is known of it yet: from then on this service
        // knows that there is one.
        if kept.written.as_ref() == Some(&text) {
            continue;
        }
        let partition = profile.partition(PARTITIONS);
        let due = if *resting { None } else { kept.timers.due().map(micros) };
        rows.push(vec![
            workspace.as_str().into(),
            profile.0.into(),
            shelf(Backend::of(tx), partition).into(),
            i64::from(partition).into(),
            text.state.into(),
            text.timers.into(),
            due.into(),
        ]);
    }
    let update = "ON CONFLICT (workspace, profile) DO UPDATE \
                  SET state = excluded.state, timers = excluded.timers, due = excluded.due";
    insert_rows(tx, &STATES, rows, update).await?;
    Ok(())
}

pub(crate) async fn remove(tx: &DatabaseTransaction, keys: &[Key]) -> Result<(), StoreError> {
    let table = Table { name: "profile_state", columns: &STATES.columns[..2] };
    let keys = keys.iter().map(|(workspace, profile)| vec![workspace.as_str().into(), profile.0.into()]);
    delete_rows(tx, &table, keys.collect()).await?;
    Ok(())
}

/// One query over several shelves, each of which is read in the order of its index: `select` of a shelf's placeholder.
fn over(shelves: &[i64], before: usize, select: impl Fn(&str) -> String) -> String {
    let each = (before + 1..=before + shelves.len()).map(|it| select(&format!("${it}")));
    each.collect::<Vec<_>>().join(" UNION ALL ")
}

/// Profiles on some shelves whose earliest timer is at or before `through`, earliest first.
pub(crate) async fn due(
    db: &impl ConnectionTrait,
    shelves: &[i64],
    through: Timestamp,
    most: usize,
) -> Result<Vec<(Key, Timestamp)>, FeedError> {
    let found = over(shelves, 2, |shelf| {
        format!(
            "SELECT * FROM (SELECT workspace, profile, due FROM profile_state \
             WHERE lane = {shelf} AND due <= $1 ORDER BY due LIMIT $2) AS shelf"
        )
    });
    let sql = format!("SELECT workspace, profile, due FROM ({found}) AS found ORDER BY due LIMIT $2");
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let values = [micros(through), most].into_iter().chain(shelves.iter().copied()).map(Value::from);
    let rows = query(db, "due timers", &sql, values.collect()).await?;
    rows.iter()
        .map(|row| {
            Ok(((workspace(row, 0)?, ProfileId(column::<Uuid>(row, 1)?)), from_micros(column(row, 2)?)))
        })
        .collect()
}

pub(crate) async fn next_due(
    db: &impl ConnectionTrait,
    shelves: &[i64],
) -> Result<Option<Timestamp>, StoreError> {
    let sql = over(shelves, 0, |shelf| {
        format!("SELECT MIN(due) FROM profile_state WHERE lane = {shelf} AND due IS NOT NULL")
    });
    let rows = query(db, "the next timer", &sql, shelves.iter().map(|it| (*it).into()).collect()).await?;
    let firsts: Vec<Option<i64>> = rows.iter().map(|row| column(row, 0)).collect::<Result<_, _>>()?;
    Ok(firsts.into_iter().flatten().min().map(from_micros))
}

fn workspace(row: &QueryResult, index: usize) -> Result<Workspace, StoreError> {
    let name: String = column(row, index)?;
    Workspace::parse(&name)
        .map_err(|error| StoreError::Corrupt { what: "workspace", reason: error.to_string() })
}

const TRANSFERS: Table = Table {
    name: "transfer",
    columns: &[
        ("workspace", Column::Text),
        ("merge_id", Column::Uuid),
        ("profile", Column::Uuid),
        ("state", Column::Text),
        ("timers", Column::Text),
    ],
};

/// What a profile left behind when it was merged away; no state if it was parked then.
pub(crate) type Transfers<S> = BTreeMap<MergeId, Option<Kept<S>>>;

pub(crate) async fn transfers<S: DeserializeOwned>(
    db: &impl ConnectionTrait,
    wanted: &BTreeSet<(Workspace, MergeId)>,
) -> Result<Transfers<S>, StoreError> {
    let mut grouped: BTreeMap<&Workspace, Vec<Value>> = BTreeMap::new();
    for (workspace, merge) in wanted {
        grouped.entry(workspace).or_default().push(merge.0.into());
    }
    let mut found = BTreeMap::new();
    for (workspace, merges) in grouped {
        let mut values = vec![workspace.as_str().into()];
        let condition = any_of(Backend::of(db), "merge_id", Column::Uuid, merges, &mut values);
        let sql =
            format!("SELECT merge_id, state, timers FROM transfer WHERE workspace = $1 AND {condition}");
        for row in query(db, "transfers", &sql, values).await? {
            let state: Option<String> = column(&row, 1)?;
            let transfer = if state.is_some() { Some(kept(&row, 1)?) } else { None };
            found.insert(MergeId(column(&row, 0)?), transfer);
        }
    }
    Ok(found)
}

pub(crate) async fn save_transfers<S: Serialize>(
    tx: &DatabaseTransaction,
    transfers: &[Departure<S>],
) -> Result<(), StoreError> {
    let mut rows = Vec::with_capacity(transfers.len());
    for Departure { workspace, merge, profile, left: kept } in transfers {
        let state = kept.as_ref().map(|it| text(&it.state)).transpose()?;
        let timers = text(&kept.as_ref().map(|it| it.timers.clone()).unwrap_or_default())?;
        rows.push(vec![
            workspace.as_str().into(),
            merge.0.into(),
            profile.0.into(),
            state.into(),
            timers.into(),
        ]);
    }
    let update =
        "ON CONFLICT (workspace, merge_id) DO UPDATE SET state = excluded.state, timers = excluded.timers";
    insert_rows(tx, &TRANSFERS, rows, update).await?;
    Ok(())
}

pub(crate) async fn remove_transfers(
    tx: &DatabaseTransaction,
    merges: &[(Workspace, MergeId)],
) -> Result<(), StoreError> {
    let table = Table { name: "transfer", columns: &TRANSFERS.columns[..2] };
    let keys = merges.iter().map(|(workspace, merge)| vec![workspace.as_str().into(), merge.0.into()]);
    delete_rows(tx, &table, keys.collect()).await?;
    Ok(())
}
