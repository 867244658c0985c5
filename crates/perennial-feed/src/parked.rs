//! Profiles whose records wait because one of them cannot be applied.

use std::collections::{BTreeMap, BTreeSet};

use perennial_api::feed::v1 as wire;
use perennial_store::{
    Backend, Column, ConnectionTrait, DatabaseTransaction, StoreError, Table, any_of, column, execute,
    insert_rows, query,
};
use perennial_types::{ProfileId, Timestamp, Workspace, from_micros, micros};
use prost::Message as _;
use uuid::Uuid;

use crate::batch::Incoming;
use crate::keep::Key;
use crate::{FeedError, PARTITIONS, Record};

/// A parked profile, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedProfile {
    /// The workspace.
    pub workspace: Workspace,
    /// The profile.
    pub profile: ProfileId,
    /// How many records wait.
    pub records: u32,
    /// What the first of them failed with.
    pub error: String,
    /// Since when.
    pub parked_at: Timestamp,
}

const PARKED: Table = Table {
    name: "parked",
    columns: &[
        ("workspace", Column::Text),
        ("profile", Column::Uuid),
        ("partition", Column::BigInt),
        ("error", Column::Text),
        ("parked_at", Column::BigInt),
    ],
};

const RECORDS: Table = Table {
    name: "parked_record",
    columns: &[
        ("workspace", Column::Text),
        ("profile", Column::Uuid),
        ("ordinal", Column::Uuid),
        ("feed", Column::Text),
        ("rank", Column::BigInt),
        ("record", Column::Bytes),
    ],
};

/// Parks profiles, and keeps records of parked profiles in order.
pub(crate) async fn park(
    tx: &DatabaseTransaction,
    parked: &BTreeMap<Key, String>,
    waiting: &[Incoming],
    now: Timestamp,
) -> Result<(), StoreError> {
    let rows = parked.iter().map(|((workspace, profile), error)| {
        vec![
            workspace.as_str().into(),
            profile.0.into(),
            i64::from(profile.partition(PARTITIONS)).into(),
            error.as_str().into(),
            micros(now).into(),
        ]
    });
    insert_rows(tx, &PARKED, rows.collect(), "ON CONFLICT (workspace, profile) DO NOTHING").await?;
    let rows = waiting.iter().map(|it| {
        let (workspace, profile) = it.key();
        vec![
            workspace.as_str().into(),
            profile.0.into(),
            // Ordered by position, then instant, then source, whatever batch they came in.
            ordinal(it).into(),
            it.feed.to_string().into(),
            i64::from(it.rank).into(),
            wire::Record::from(it.record.clone()).encode_to_vec().into(),
        ]
    });
    insert_rows(tx, &RECORDS, rows.collect(), "ON CONFLICT (workspace, profile, ordinal) DO NOTHING").await?;
    Ok(())
}

fn ordinal(it: &Incoming) -> Uuid {
    let origin = it.record.origin;
    let mut bytes = [0_u8; 16];
    bytes[..6].copy_from_slice(&origin.seq.to_be_bytes()[2..]);
    bytes[6] = it.rank;
    bytes[7..].copy_from_slice(&[&it.record.seq.to_be_bytes()[..], &[0]].concat());
    Uuid::from_bytes(bytes)
}

/// The records of a parked profile, in order.
pub(crate) async fn records(db: &impl ConnectionTrait, key: &Key) -> Result<Vec<Incoming>, FeedError> {
    let sql =
        "SELECT feed, rank, record FROM parked_record WHERE workspace = $1 AND profile = $2 ORDER BY ordinal";
    let rows = query(db, "parked records", sql, vec![key.0.as_str().into(), key.1.0.into()]).await?;
    let mut records: Vec<Incoming> =
        rows.iter()
            .map(|row| {
                let (feed, rank, record): (String, i64, Vec<u8>) =
                    (column(row, 0)?, column(row, 1)?, column(row, 2)?);
                let record = wire::Record::decode(record.as_slice()).map_err(|error| {
                    FeedError::Malformed { what: "a parked record", reason: error.to_string() }
                })?;
                let rank = u8::try_from(rank).unwrap_or(u8::MAX);
                Ok(Incoming { feed: feed.into(), rank, record: Record::try_from(record)?, matters: true })
            })
            .collect::<Result<_, FeedError>>()?;
    records.sort_by_key(|it| (it.record.origin, it.rank, it.record.seq));
    Ok(records)
}

/// Ends the parking of a profile; a retry that fails parks it anew in the same transaction.
pub(crate) async fn release(tx: &DatabaseTransaction, key: &Key) -> Result<(), StoreError> {
    for table in ["parked", "parked_record"] {
        let sql = format!("DELETE FROM {table} WHERE workspace = $1 AND profile = $2");
        execute(tx, "a parked profile", &sql, vec![key.0.as_str().into(), key.1.0.into()]).await?;
    }
    Ok(())
}

pub(crate) async fn keys(db: &impl ConnectionTrait, partitions: &[u16]) -> Result<BTreeSet<Key>, StoreError> {
    let mut values = Vec::new();
    let wanted = partitions.iter().map(|it| i64::from(*it).into()).collect();
    let condition = any_of(Backend::of(db), "partition", Column::BigInt, wanted, &mut values);
    let sql = format!("SELECT workspace, profile FROM parked WHERE {condition}");
    let rows = query(db, "parked profiles", &sql, values).await?;
    rows.iter()
        .map(|row| {
            let name: String = column(row, 0)?;
            let workspace = Workspace::parse(&name)
                .map_err(|error| StoreError::Corrupt { what: "workspace", reason: error.to_string() })?;
            Ok((workspace, ProfileId(column::<Uuid>(row, 1)?)))
        })
        .collect()
}

pub(crate) async fn list(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    after: Uuid,
    most: i64,
) -> Result<Vec<ParkedProfile>, StoreError> {
    let sql = "SELECT p.profile, p.error, p.parked_at, \
               (SELECT COUNT(*) FROM parked_record r WHERE r.workspace = p.workspace AND r.profile = p.profile) \
               FROM parked p WHERE p.workspace = $1 AND p.profile > $2 ORDER BY p.profile LIMIT $3";
    let rows =
        query(db, "parked profiles", sql, vec![workspace.as_str().into(), after.into(), most.into()]).await?;
    rows.iter()
        .map(|row| {
            Ok(ParkedProfile {
                workspace: workspace.clone(),
                profile: ProfileId(column::<Uuid>(row, 0)?),
                error: column(row, 1)?,
                parked_at: from_micros(column(row, 2)?),
                records: u32::try_from(column::<i64>(row, 3)?).unwrap_or(u32::MAX),
            })
        })
        .collect()
}
