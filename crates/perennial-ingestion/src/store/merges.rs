//! The journal of merges. A merge that crosses partitions is pending until the survivor's partition has heard of it.

use perennial_store::{
    Backend, Column, ConnectionTrait, Result, StoreError, Table, any_of, column, execute, insert_rows, query,
};
use perennial_types::{MergeId, ProfileId, Timestamp, Workspace, micros};
use uuid::Uuid;

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
    /// The survivor's partition has not heard of it yet.
    pub pending: bool,
}

/// Writes merges into the journal.
///
/// # Errors
/// If the database refuses.
pub async fn insert(tx: &impl ConnectionTrait, merges: &[Merged]) -> Result<()> {
    let rows = merges.iter().map(|it| {
        vec![
            it.workspace.as_str().into(),
            it.id.0.into(),
            it.from.0.into(),
            it.into.0.into(),
            i64::from(it.into.partition(perennial_feed::PARTITIONS)).into(),
            it.event.into(),
            micros(it.at).into(),
            it.historical.into(),
            it.pending.into(),
        ]
    });
    insert_rows(tx, &MERGES, rows.collect(), "").await?;
    Ok(())
}

/// Merges whose survivors lie in `partitions` and have not heard of them, oldest first; they count as told once this
/// transaction commits.
///
/// # Errors
/// If the database refuses.
pub async fn take_pending(tx: &impl ConnectionTrait, partitions: &[u16]) -> Result<Vec<Merged>> {
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
            pending: false,
        });
    }
    if !merges.is_empty() {
        let mut values = Vec::new();
        let ids = merges.iter().map(|it| it.id.0.into()).collect();
        let condition = any_of(Backend::of(tx), "id", Column::Uuid, ids, &mut values);
        execute(
            tx,
            "telling of merges",
            &format!("UPDATE merge SET pending = FALSE WHERE {condition}"),
            values,
        )
        .await?;
    }
    Ok(merges)
}
