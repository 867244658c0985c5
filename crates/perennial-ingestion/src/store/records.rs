//! Records of our own feed, by their places.

use perennial_feed::{Progress, Record};
use perennial_store::{Backend, Column, ConnectionTrait, Result, StoreError, any_of, column, query};
use perennial_types::{ProfileId, Workspace, from_micros};
use std::collections::{BTreeMap, HashMap};

use super::events::Place;

/// Reads the records of events, by partition and place.
///
/// # Errors
/// If the database refuses.
pub async fn read(db: &impl ConnectionTrait, places: &[Place]) -> Result<HashMap<(u16, i64), Record>> {
    let mut wanted: BTreeMap<u16, Vec<i64>> = BTreeMap::new();
    for place in places {
        wanted.entry(place.partition).or_default().extend(place.first_seq..place.first_seq + place.records);
    }
    let mut found = HashMap::new();
    for (partition, seqs) in wanted {
        let mut values = vec![i64::from(partition).into()];
        let seqs = seqs.into_iter().map(Into::into).collect();
        let condition = any_of(Backend::of(db), "seq", Column::BigInt, seqs, &mut values);
        let sql = format!(
            "SELECT seq, workspace, profile, kind, min_reader, time, origin_seq, origin_instant, historical, \
             correction, payload FROM feed_record WHERE partition = $1 AND {condition}"
        );
        for row in &query(db, "the feed's records", &sql, values).await? {
            let seq: i64 = column(row, 0)?;
            let workspace = Workspace::parse(&column::<String>(row, 1)?)
                .map_err(|error| StoreError::Corrupt { what: "workspace", reason: error.to_string() })?;
            let unsigned = |it: i64| u64::try_from(it).unwrap_or_default();
            let record = Record {
                seq: unsigned(seq),
                workspace,
                profile: ProfileId(column(row, 2)?),
                kind: column::<String>(row, 3)?.into(),
                min_reader: u32::try_from(column::<i64>(row, 4)?).unwrap_or(u32::MAX),
                time: from_micros(column(row, 5)?),
                origin: Progress { seq: unsigned(column(row, 6)?), instant: from_micros(column(row, 7)?) },
                historical: column(row, 8)?,
                correction: column(row, 9)?,
                payload: column::<Vec<u8>>(row, 10)?.into(),
            };
            found.insert((partition, seq), record);
        }
    }
    Ok(found)
}
