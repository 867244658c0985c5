//! Merges that were undone, and which of them the survivor's partition has not heard of yet.

use perennial_store::{
    Backend, Column, ConnectionTrait, QueryResult, Result, StoreError, Table, any_of, column, execute,
    insert_rows, query,
};
use perennial_types::{MergeId, ProfileId, Timestamp, Workspace, from_micros, micros};
use std::collections::BTreeMap;
use uuid::Uuid;

const UNMERGES: Table = Table {
    name: "unmerge",
    columns: &[
        ("workspace", Column::Text),
        ("merge", Column::Uuid),
        ("profile", Column::Uuid),
        ("survivor", Column::Uuid),
        ("at", Column::BigInt),
        ("pending", Column::Bool),
        ("own_events", Column::BigInt),
        ("own_orders", Column::BigInt),
        ("other_events", Column::BigInt),
        ("other_orders", Column::BigInt),
    ],
};

/// How much a side has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Events.
    pub events: i64,
    /// Orders.
    pub orders: i64,
}

/// A merge that was undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// The workspace.
    pub workspace: Workspace,
    /// The merge.
    pub merge: MergeId,
    /// Who came back.
    pub profile: ProfileId,
    /// What it had become.
    pub survivor: ProfileId,
    /// When.
    pub at: Timestamp,
    /// The survivor's partition has not heard of it.
    pub pending: bool,
    /// What went with who came back.
    pub own: Share,
    /// What stayed.
    pub other: Share,
}

/// Writes down that a merge was undone.
///
/// # Errors
/// If the database refuses.
pub async fn begin(tx: &impl ConnectionTrait, it: &Undone) -> Result<()> {
    let row = vec![
        it.workspace.as_str().into(),
        it.merge.0.into(),
        it.profile.0.into(),
        it.survivor.0.into(),
        micros(it.at).into(),
        it.pending.into(),
        it.own.events.into(),
        it.own.orders.into(),
        it.other.events.into(),
        it.other.orders.into(),
    ];
    insert_rows(tx, &UNMERGES, vec![row], "").await?;
    Ok(())
}

/// The survivor's partition has heard of it; answers whether that was news.
///
/// # Errors
/// If the database refuses.
pub async fn told(tx: &impl ConnectionTrait, workspace: &Workspace, merge: MergeId) -> Result<bool> {
    let sql = "UPDATE unmerge SET pending = FALSE WHERE workspace = $1 AND merge = $2 AND pending";
    Ok(execute(tx, "an undone merge", sql, vec![workspace.as_str().into(), merge.0.into()]).await? > 0)
}

/// Those that the survivor's partition has not heard of, oldest first.
///
/// # Errors
/// If the database refuses.
pub async fn pending(db: &impl ConnectionTrait) -> Result<Vec<Undone>> {
    let sql = format!("{} WHERE pending ORDER BY at, merge", select());
    query(db, "undone merges", &sql, Vec::new()).await?.iter().map(read).collect()
}

/// The last time a profile came back.
///
/// # Errors
/// If the database refuses.
pub async fn last(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    profile: ProfileId,
) -> Result<Option<Undone>> {
    let sql = format!("{} WHERE workspace = $1 AND profile = $2 ORDER BY at DESC LIMIT 1", select());
    let values = vec![workspace.as_str().into(), profile.0.into()];
    query(db, "an undone merge", &sql, values).await?.first().map(read).transpose()
}

/// Who came back from a profile.
///
/// # Errors
/// If the database refuses.
pub async fn gone_from(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    survivor: ProfileId,
) -> Result<Vec<ProfileId>> {
    let sql = "SELECT profile FROM unmerge WHERE workspace = $1 AND survivor = $2 ORDER BY at";
    let values = vec![workspace.as_str().into(), survivor.0.into()];
    let rows = query(db, "undone merges", sql, values).await?;
    rows.iter().map(|row| Ok(ProfileId(column(row, 0)?))).collect()
}

/// Who came back by each of these undone merges, and who stayed.
///
/// # Errors
/// If the database refuses.
pub async fn sides(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    merges: impl Iterator<Item = Uuid>,
) -> Result<BTreeMap<Uuid, (ProfileId, ProfileId)>> {
    let mut values = vec![workspace.as_str().into()];
    let wanted = merges.map(Into::into).collect();
    let condition = any_of(Backend::of(db), "merge", Column::Uuid, wanted, &mut values);
    let sql = format!("SELECT merge, profile, survivor FROM unmerge WHERE workspace = $1 AND {condition}");
    let rows = query(db, "undone merges", &sql, values).await?;
    rows.iter()
        .map(|row| Ok((column(row, 0)?, (ProfileId(column(row, 1)?), ProfileId(column(row, 2)?)))))
        .collect()
}

/// Forgets what was undone of an erased profile. Where it stayed, it stays known that the other came back; not how much
/// the erased one had.
///
/// # Errors
/// If the database refuses.
pub async fn remove(tx: &impl ConnectionTrait, workspace: &Workspace, profile: ProfileId) -> Result<u64> {
    let values = || vec![workspace.as_str().into(), profile.0.into()];
    let sql = "UPDATE unmerge SET other_events = 0, other_orders = 0, pending = FALSE \
               WHERE workspace = $1 AND survivor = $2";
    execute(tx, "undone merges", sql, values()).await?;
    let sql = "DELETE FROM unmerge WHERE workspace = $1 AND profile = $2";
    execute(tx, "undone merges", sql, values()).await
}

fn select() -> String {
    let columns: Vec<&str> = UNMERGES.columns.iter().map(|it| it.0).collect();
    format!("SELECT {} FROM unmerge", columns.join(", "))
}

fn read(row: &QueryResult) -> Result<Undone> {
    let workspace = Workspace::parse(&column::<String>(row, 0)?)
        .map_err(|error| StoreError::Corrupt { what: "workspace", reason: error.to_string() })?;
    Ok(Undone {
        workspace,
        merge: MergeId(column(row, 1)?),
        profile: ProfileId(column(row, 2)?),
        survivor: ProfileId(column(row, 3)?),
        at: from_micros(column(row, 4)?),
        pending: column(row, 5)?,
        own: Share { events: column(row, 6)?, orders: column(row, 7)? },
        other: Share { events: column(row, 8)?, orders: column(row, 9)? },
    })
}
