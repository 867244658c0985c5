//! The journal of merges. A merge that crosses partitions is pending until the survivor's partition has heard of it.

use perennial_store::{
    Backend, Column, ConnectionTrait, Result, StoreError, Table, any_of, column, execute, insert_rows, query,
};
use perennial_types::{MergeId, ProfileId, Timestamp, Workspace, from_micros, micros};
use uuid::Uuid;

use super::unmerges;

const MERGES: Table = Table {
    name: "merge",
    columns: &[
        ("workspace", Column::Text),
        ("id", Column::Uuid),
        ("from_profile", Column::Uuid),
        ("into_profile", Column::Uuid),
        ("into_partition", Column::BigInt),
        ("event", Column::Uuid),
        ("merged_at", Column::BigInt),
        ("historical", Column::Bool),
        ("pending", Column::Bool),
        ("into_seq", Column::BigInt),
    ],
};

/// One merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The workspace.
    pub workspace: Workspace,
    /// Its id.
    pub id: MergeId,
    /// The profile that ends.
    pub from: ProfileId,
    /// The survivor.
    pub into: ProfileId,
    /// The event that showed them to be one.
    pub event: Uuid,
    /// When.
    pub at: Timestamp,
    /// The event was history.
    pub historical: bool,
    /// The place, among the records of the transaction that writes it, of the one that tells the survivor's partition;
    /// none if that has not heard of it yet.
    pub told: Option<usize>,
}

/// Writes merges into the journal, or that their survivors have heard of them. `seqs` are the places in the feed of the
/// transaction's records.
///
/// # Errors
/// If the database refuses.
pub async fn write(tx: &impl ConnectionTrait, merges: &[Merged], seqs: &[u64]) -> Result<()> {
    let rows = merges.iter().map(|it| {
        let seq = it.told.and_then(|told| seqs.get(told)).copied().unwrap_or_default();
        vec![
            it.workspace.as_str().into(),
            it.id.0.into(),
            it.from.0.into(),
            it.into.0.into(),
            i64::from(it.into.partition(perennial_feed::PARTITIONS)).into(),
            it.event.into(),
            micros(it.at).into(),
            it.historical.into(),
            it.told.is_none().into(),
            i64::try_from(seq).unwrap_or(i64::MAX).into(),
        ]
    });
    let update =
        "ON CONFLICT (workspace, id) DO UPDATE SET pending = excluded.pending, into_seq = excluded.into_seq";
    insert_rows(tx, &MERGES, rows.collect(), update).await?;
    Ok(())
}

/// The profiles that became `into` at a later place of its partition than `seq`.
///
/// # Errors
/// If the database refuses.
pub async fn later(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    into: ProfileId,
    seq: u64,
) -> Result<Vec<ProfileId>> {
    let sql = "SELECT from_profile FROM merge WHERE workspace = $1 AND into_profile = $2 \
               AND undone IS NULL AND (pending OR into_seq > $3)";
    let seq = i64::try_from(seq).unwrap_or(i64::MAX);
    let rows =
        query(db, "later merges", sql, vec![workspace.as_str().into(), into.0.into(), seq.into()]).await?;
    rows.iter().map(|row| Ok(ProfileId(column(row, 0)?))).collect()
}

/// A merge as the journal shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journalled {
    /// Its id.
    pub id: MergeId,
    /// The profile that ended.
    pub from: ProfileId,
    /// The survivor.
    pub into: ProfileId,
    /// The event that showed them to be one.
    pub event: Uuid,
    /// The name of that event; empty if it is no longer in the log.
    pub event_name: String,
    /// When.
    pub at: Timestamp,
    /// The event was history.
    pub historical: bool,
    /// When it was undone.
    pub undone: Option<Timestamp>,
}

/// Merges of some profiles into others, oldest first, those that were undone included.
///
/// # Errors
/// If the database refuses.
pub async fn list(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    from: &[ProfileId],
    after: Option<(i64, Uuid)>,
    limit: u64,
) -> Result<Vec<Journalled>> {
    let (at, id) = after.unwrap_or((i64::MIN, Uuid::nil()));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut values = vec![workspace.as_str().into(), at.into(), id.into(), limit.into()];
    let wanted = from.iter().map(|it| it.0.into()).collect();
    let condition = any_of(Backend::of(db), "merge.from_profile", Column::Uuid, wanted, &mut values);
    let sql = format!(
        "SELECT merge.id, merge.from_profile, merge.into_profile, merge.event, COALESCE(event.name, ''), \
         merge.merged_at, merge.historical, merge.undone FROM merge LEFT JOIN event \
         ON event.workspace = merge.workspace AND event.id = merge.event WHERE merge.workspace = $1 AND {condition} \
         AND (merge.merged_at, merge.id) > ($2, $3) ORDER BY merge.merged_at, merge.id LIMIT $4"
    );
    let rows = query(db, "merges", &sql, values).await?;
    rows.iter()
        .map(|row| {
            Ok(Journalled {
                id: MergeId(column(row, 0)?),
                from: ProfileId(column(row, 1)?),
                into: ProfileId(column(row, 2)?),
                event: column(row, 3)?,
                event_name: column(row, 4)?,
                at: from_micros(column(row, 5)?),
                historical: column(row, 6)?,
                undone: column::<Option<i64>>(row, 7)?.map(from_micros),
            })
        })
        .collect()
}

/// Writes down that a merge was undone. A survivor that has not heard of it never will.
///
/// # Errors
/// If the database refuses.
pub async fn undo(
    tx: &impl ConnectionTrait,
    workspace: &Workspace,
    id: MergeId,
    at: Timestamp,
) -> Result<u64> {
    let sql =
        "UPDATE merge SET undone = $3, pending = FALSE WHERE workspace = $1 AND id = $2 AND undone IS NULL";
    execute(tx, "a merge", sql, vec![workspace.as_str().into(), id.0.into(), micros(at).into()]).await
}

/// Takes a profile's merges out of the journal, those that nobody has heard of yet included.
///
/// # Errors
/// If the database refuses.
pub async fn remove(tx: &impl ConnectionTrait, workspace: &Workspace, profile: ProfileId) -> Result<u64> {
    let sql = "DELETE FROM merge WHERE workspace = $1 AND (from_profile = $2 OR into_profile = $2)";
    let merges = execute(tx, "merges", sql, vec![workspace.as_str().into(), profile.0.into()]).await?;
    Ok(merges + unmerges::remove(tx, workspace, profile).await?)
}

/// Merges whose survivors lie in `partitions` and have not heard of them, oldest first.
///
/// # Errors
/// If the database refuses.
pub async fn pending(tx: &impl ConnectionTrait, partitions: &[u16]) -> Result<Vec<Merged>> {
    let postgres = Backend::of(tx) == Backend::Postgres;
    let mut values = Vec::new();
    let wanted = partitions.iter().map(|it| i64::from(*it).into()).collect();
    let condition = any_of(Backend::of(tx), "into_partition", Column::BigInt, wanted, &mut values);
    let lock = if postgres { "FOR UPDATE" } else { "" };
    let sql = format!(
        "SELECT workspace, id, from_profile, into_profile, event, merged_at, historical FROM merge \
         WHERE pending AND {condition} ORDER BY merged_at, id {lock}"
    );
    let rows = query(tx, "pending merges", &sql, values).await?;
    let mut merges = Vec::with_capacity(rows.len());
    for row in &rows {
        let workspace = Workspace::parse(&column::<String>(row, 0)?)
            .map_err(|error| StoreError::Corrupt { what: "workspace", reason: error.to_string() })?;
        merges.push(Merged {
            workspace,
            id: MergeId(column(row, 1)?),
            from: ProfileId(column(row, 2)?),
            into: ProfileId(column(row, 3)?),
            event: column(row, 4)?,
            at: perennial_types::from_micros(column(row, 5)?),
            historical: column(row, 6)?,
            told: None,
        });
    }
    Ok(merges)
}
