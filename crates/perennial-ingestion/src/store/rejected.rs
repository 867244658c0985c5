//! Events that were refused, or taken without a part of them, with the reason. Kept for 30 days.

use perennial_store::{
    Backend, Column, ConnectionTrait, QueryResult, Result, Table, any_of, column, delete_rows, execute,
    insert_rows, query,
};
use perennial_types::{Timestamp, Workspace, from_micros, micros};
use uuid::Uuid;

use crate::domain::problem::Problem;

/// How long they are kept.
pub const KEPT: jiff::SignedDuration = jiff::SignedDuration::from_hours(30 * 24);

const REJECTED: Table = Table {
    name: "rejected",
    columns: &[
        ("workspace", Column::Text),
        ("id", Column::Uuid),
        ("received", Column::BigInt),
        ("message_id", Column::Text),
        ("name", Column::Text),
        ("field", Column::Text),
        ("reason", Column::Text),
        ("remedy", Column::Text),
        ("taken", Column::Bool),
        ("body", Column::Text),
    ],
};

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its id: the same for a retry.
    pub id: Uuid,
    /// When it was received.
    pub received: Timestamp,
    /// The sender's message id.
    pub message_id: String,
    /// The event's name.
    pub name: String,
    /// What is wrong.
    pub problem: Problem,
    /// Only the field was left out.
    pub taken: bool,
    /// As it was sent.
    pub body: String,
}

/// Writes them down; answers how many were new.
///
/// # Errors
/// If the database refuses.
pub async fn insert(
    tx: &impl ConnectionTrait,
    workspace: &Workspace,
    rejected: Vec<Rejected>,
) -> Result<u64> {
    let mut ordered = rejected;
    ordered.sort_by_key(|it| it.id);
    ordered.dedup_by_key(|it| it.id);
    let rows = ordered.into_iter().map(|it| {
        vec![
            workspace.as_str().into(),
            it.id.into(),
            micros(it.received).into(),
            it.message_id.into(),
            it.name.into(),
            it.problem.field.into(),
            it.problem.reason.into(),
            it.problem.remedy.into(),
            it.taken.into(),
            it.body.into(),
        ]
    });
    insert_rows(tx, &REJECTED, rows.collect(), "ON CONFLICT (workspace, id) DO NOTHING").await
}

/// Reads a page of them, newest first.
///
/// # Errors
/// If the database refuses.
pub async fn list(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    before: Option<(i64, Uuid)>,
    limit: u64,
) -> Result<Vec<Rejected>> {
    let (received, id) = before.unwrap_or((i64::MAX, Uuid::max()));
    let sql = "SELECT id, received, message_id, name, field, reason, remedy, taken, body FROM rejected \
               WHERE workspace = $1 AND (received < $2 OR (received = $2 AND id < $3)) \
               ORDER BY received DESC, id DESC LIMIT $4";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = vec![workspace.as_str().into(), received.into(), id.into(), limit.into()];
    query(db, "rejected events", sql, values).await?.iter().map(rejected_of).collect()
}

/// Reads those with these ids.
///
/// # Errors
/// If the database refuses.
pub async fn find(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    ids: impl IntoIterator<Item = Uuid>,
) -> Result<Vec<Rejected>> {
    let mut values = vec![workspace.as_str().into()];
    let wanted = ids.into_iter().map(Into::into).collect();
    let condition = any_of(Backend::of(db), "id", Column::Uuid, wanted, &mut values);
    let sql = format!(
        "SELECT id, received, message_id, name, field, reason, remedy, taken, body FROM rejected \
         WHERE workspace = $1 AND {condition} ORDER BY received, id"
    );
    query(db, "rejected events", &sql, values).await?.iter().map(rejected_of).collect()
}

/// Forgets what was received before `until`.
///
/// # Errors
/// If the database refuses.
pub async fn forget(tx: &impl ConnectionTrait, until: Timestamp) -> Result<u64> {
    execute(tx, "old rejected events", "DELETE FROM rejected WHERE received < $1", vec![micros(until).into()])
        .await
}

/// Takes out those with these ids.
///
/// # Errors
/// If the database refuses.
pub async fn remove(tx: &impl ConnectionTrait, workspace: &Workspace, ids: &[Uuid]) -> Result<u64> {
    let table = Table { name: REJECTED.name, columns: &REJECTED.columns[..2] };
    let keys = ids.iter().map(|it| vec![workspace.as_str().into(), (*it).into()]).collect();
    delete_rows(tx, &table, keys).await
}

fn rejected_of(row: &QueryResult) -> Result<Rejected> {
    Ok(Rejected {
        id: column(row, 0)?,
        received: from_micros(column(row, 1)?),
        message_id: column(row, 2)?,
        name: column(row, 3)?,
        problem: Problem { field: column(row, 4)?, reason: column(row, 5)?, remedy: column(row, 6)? },
        taken: column(row, 7)?,
        body: column(row, 8)?,
    })
}
