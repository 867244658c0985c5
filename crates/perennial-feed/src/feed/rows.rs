//! The feed's tables: heads and records as rows.

use std::collections::BTreeMap;

use perennial_store::{
    Backend, Column, ConnectionTrait, DatabaseTransaction, QueryResult, StoreError, Table, Value, any_of,
    column, execute, insert_rows, query,
};
use perennial_types::{ProfileId, Timestamp, Workspace, from_micros, micros};
use uuid::Uuid;

use super::{Cursor, Places};
use crate::{Erasure, FeedError, PARTITIONS, Progress, Record};

const RECORDS: Table = Table {
    name: "feed_record",
    columns: &[
        ("partition", Column::BigInt),
        ("seq", Column::BigInt),
        ("workspace", Column::Text),
        ("profile", Column::Uuid),
        ("kind", Column::Text),
        ("min_reader", Column::BigInt),
        ("time", Column::BigInt),
        ("origin_seq", Column::BigInt),
        ("origin_instant", Column::BigInt),
        ("historical", Column::Bool),
        ("correction", Column::Bool),
        ("payload", Column::Bytes),
    ],
};

pub(super) const HEADS: Table = Table {
    name: "feed_head",
    columns: &[
        ("partition", Column::BigInt),
        ("seq", Column::BigInt),
        ("first_seq", Column::BigInt),
        ("time", Column::BigInt),
        ("progress_seq", Column::BigInt),
        ("progress_instant", Column::BigInt),
    ],
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Head {
    pub(super) partition: u16,
    pub(crate) seq: u64,
    pub(super) first_seq: u64,
    pub(super) time: Timestamp,
    pub(crate) progress: Progress,
}

pub(super) async fn save_records(tx: &DatabaseTransaction, records: &[Record]) -> Result<(), StoreError> {
    let rows = records.iter().map(|it| {
        vec![
            i64::from(it.profile.partition(PARTITIONS)).into(),
            int(it.seq).into(),
            it.workspace.as_str().into(),
            it.profile.0.into(),
            (&*it.kind).into(),
            i64::from(it.min_reader).into(),
            micros(it.time).into(),
            int(it.origin.seq).into(),
            micros(it.origin.instant).into(),
            it.historical.into(),
            it.correction.into(),
            it.payload.to_vec().into(),
        ]
    });
    insert_rows(tx, &RECORDS, rows.collect(), "").await?;
    Ok(())
}

/// At most `max` records after each cursor, by the cursor's place.
pub(super) async fn load_records(
    db: &impl ConnectionTrait,
    cursors: &[(usize, &Cursor)],
    max: usize,
) -> Result<BTreeMap<usize, Vec<Record>>, FeedError> {
    let mut values = vec![Value::from(i64::try_from(max).unwrap_or(i64::MAX))];
    let mut selects = Vec::with_capacity(cursors.len());
    for (place, (_, cursor)) in (0_i64..).zip(cursors) {
        values.extend([i64::from(cursor.partition).into(), int(cursor.after_seq).into()]);
        selects.push(format!(
            "SELECT * FROM (SELECT seq, workspace, profile, kind, min_reader, time, origin_seq, origin_instant, historical, \
             correction, payload, CAST({place} AS BIGINT) FROM feed_record WHERE partition = ${} AND seq > ${} ORDER BY seq LIMIT $1) AS part",
            values.len() - 1,
            values.len(),
        ));
    }
    let mut records: BTreeMap<usize, Vec<Record>> = BTreeMap::new();
    if selects.is_empty() {
        return Ok(records);
    }
    for row in query(db, "the feed's records", &selects.join(" UNION ALL "), values).await? {
        let place = usize::try_from(column::<i64>(&row, 11)?).ok().and_then(|it| cursors.get(it));
        let Some((place, _)) = place else { continue };
        records.entry(*place).or_default().push(record_of(&row)?);
    }
    // The parts of a union have their order each; this costs nothing where they kept it.
    records.values_mut().for_each(|it| it.sort_by_key(|record| record.seq));
    Ok(records)
}

/// Rows looked through in one query, so that none takes long.
const LOOKED_THROUGH: u64 = 50_000;

/// Where a profile's records are, up to a place. That it was erased is told by records that stay.
pub(super) async fn find_places(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    profile: ProfileId,
    through: u64,
) -> Result<Vec<u64>, StoreError> {
    let sql = "SELECT seq FROM feed_record WHERE partition = $1 AND seq > $2 AND seq <= $3 AND workspace = $4 \
               AND profile = $5 AND kind <> $6";
    let mut found = Vec::new();
    let mut after = 0;
    while after < through {
        let last = through.min(after + LOOKED_THROUGH);
        let values = vec![
            i64::from(profile.partition(PARTITIONS)).into(),
            int(after).into(),
            int(last).into(),
            workspace.as_str().into(),
            profile.0.into(),
            Erasure::KIND.into(),
        ];
        for row in query(db, "a profile's records", sql, values).await? {
            found.push(unsigned(column(&row, 0)?));
        }
        after = last;
    }
    Ok(found)
}

/// Empties a profile's records.
pub(super) async fn erase_records(
    tx: &impl ConnectionTrait,
    workspace: &Workspace,
    profile: ProfileId,
    places: &Places,
) -> Result<u64, StoreError> {
    let partition = profile.partition(PARTITIONS);
    let values = || -> Vec<Value> {
        vec![
            i64::from(partition).into(),
            workspace.as_str().into(),
            profile.0.into(),
            ProfileId::nobody(partition, PARTITIONS).0.into(),
            Vec::<u8>::new().into(),
            Erasure::KIND.into(),
        ]
    };
    let update = "UPDATE feed_record SET profile = $4, payload = $5 \
                  WHERE partition = $1 AND workspace = $2 AND profile = $3 AND kind <> $6";
    let mut known = values();
    let seqs = places.seqs.iter().map(|it| int(*it).into()).collect();
    let condition = any_of(Backend::of(tx), "seq", Column::BigInt, seqs, &mut known);
    let mut emptied =
        execute(tx, "an erased person's records", &format!("{update} AND {condition}"), known).await?;
    if let Some(through) = places.through {
        let since = values().into_iter().chain([int(through).into()]).collect();
        emptied +=
            execute(tx, "an erased person's records", &format!("{update} AND seq > $7"), since).await?;
    }
    Ok(emptied)
}

/// Empties records by their places.
pub(super) async fn take_back(
    tx: &impl ConnectionTrait,
    partition: u16,
    seqs: &[u64],
) -> Result<(), StoreError> {
    let nobody = ProfileId::nobody(partition, PARTITIONS).0;
    let mut values = vec![i64::from(partition).into(), nobody.into(), Vec::<u8>::new().into()];
    let wanted = seqs.iter().map(|it| int(*it).into()).collect();
    let condition = any_of(Backend::of(tx), "seq", Column::BigInt, wanted, &mut values);
    let sql =
        format!("UPDATE feed_record SET profile = $2, payload = $3 WHERE partition = $1 AND {condition}");
    execute(tx, "records that are told anew", &sql, values).await.map(drop)
}

const SELECT_HEADS: &str =
    "SELECT partition, seq, first_seq, time, progress_seq, progress_instant FROM feed_head";

pub(super) async fn load_heads(
    tx: &impl ConnectionTrait,
    locked: Option<&[u16]>,
) -> Result<Vec<Head>, StoreError> {
    let mut values = Vec::new();
    let sql = match locked {
        Some(partitions) => {
            let wanted = partitions.iter().map(|it| i64::from(*it).into()).collect();
            let condition =
                perennial_store::any_of(Backend::of(tx), "partition", Column::BigInt, wanted, &mut values);
            // SQLite's write transaction holds all heads already.
            let lock = if Backend::of(tx) == Backend::Postgres { "FOR UPDATE" } else { "" };
            format!("{SELECT_HEADS} WHERE {condition} ORDER BY partition {lock}")
        }
        None => format!("{SELECT_HEADS} ORDER BY partition"),
    };
    query(tx, "the feed's heads", &sql, values).await?.iter().map(head_of).collect()
}

pub(super) async fn save_heads(tx: &DatabaseTransaction, heads: &[Head]) -> Result<(), StoreError> {
    let rows = heads.iter().map(|it| {
        vec![
            i64::from(it.partition).into(),
            int(it.seq).into(),
            int(it.first_seq).into(),
            micros(it.time).into(),
            int(it.progress.seq).into(),
            micros(it.progress.instant).into(),
        ]
    });
    let update = "ON CONFLICT (partition) DO UPDATE SET seq = excluded.seq, time = excluded.time, \
                  progress_seq = excluded.progress_seq, progress_instant = excluded.progress_instant";
    insert_rows(tx, &HEADS, rows.collect(), update).await?;
    Ok(())
}

pub(super) fn head_of(row: &QueryResult) -> Result<Head, StoreError> {
    let instant = |at: i64| from_micros(at);
    Ok(Head {
        partition: u16::try_from(column::<i64>(row, 0)?).unwrap_or_default(),
        seq: unsigned(column(row, 1)?),
        first_seq: unsigned(column(row, 2)?),
        time: instant(column(row, 3)?),
        progress: Progress { seq: unsigned(column(row, 4)?), instant: instant(column(row, 5)?) },
    })
}

fn record_of(row: &QueryResult) -> Result<Record, FeedError> {
    let workspace: String = column(row, 1)?;
    let workspace = Workspace::parse(&workspace)
        .map_err(|error| StoreError::Corrupt { what: "workspace", reason: error.to_string() })?;
    Ok(Record {
        seq: unsigned(column(row, 0)?),
        workspace,
        profile: ProfileId(column::<Uuid>(row, 2)?),
        kind: column::<String>(row, 3)?.into(),
        min_reader: u32::try_from(column::<i64>(row, 4)?).unwrap_or(u32::MAX),
        time: from_micros(column(row, 5)?),
        origin: Progress { seq: unsigned(column(row, 6)?), instant: from_micros(column(row, 7)?) },
        historical: column(row, 8)?,
        correction: column(row, 9)?,
        payload: column::<Vec<u8>>(row, 10)?.into(),
    })
}

pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}
