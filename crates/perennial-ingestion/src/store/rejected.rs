//! Events that were refused, or taken without a part of them, with the reason. Kept for 30 days.

use perennial_store::{
    Backend, Column, ConnectionTrait, QueryResult, Result, Table, Value, any_of, column, delete_rows,
    execute, insert_rows, query,
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
        ("cause", Column::Text),
        ("historical", Column::Bool),
        ("trusted", Column::Bool),
        ("whole", Column::Bool),
        ("fixed", Column::Text),
        ("replayed", Column::BigInt),
    ],
};

const SELECT: &str = "SELECT id, received, message_id, name, field, reason, remedy, taken, body, cause, historical, \
                      trusted, whole, fixed, replayed FROM rejected";

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
    /// As it was sent, with all that its request said of it.
    pub body: String,
    /// What it is grouped by.
    pub cause: String,
    /// Its request said it is history.
    pub historical: bool,
    /// It came from a service.
    pub trusted: bool,
    /// The body is all of it.
    pub whole: bool,
    /// As it was mended.
    pub fixed: Option<String>,
    /// When it was taken at last.
    pub replayed: Option<Timestamp>,
}

/// Which of those that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// All.
    All,
    /// Those of a cause.
    Cause(String),
    /// These.
    Ids(Vec<Uuid>),
}

/// Why events of one name were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Its id.
    pub id: String,
    /// The events' name.
    pub event: String,
    /// What is wrong, as in one of them.
    pub problem: Problem,
    /// How many wait.
    pub count: i64,
    /// How many of those were mended.
    pub fixed: i64,
    /// When the first was received.
    pub first: Timestamp,
    /// When the last was received.
    pub last: Timestamp,
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
    insert_rows(tx, &REJECTED, rows(workspace, rejected), "ON CONFLICT (workspace, id) DO NOTHING").await
}

/// Writes down what became of some that are there: mended, replayed or refused for another reason.
///
/// # Errors
/// If the database refuses.
pub async fn update(tx: &impl ConnectionTrait, workspace: &Workspace, changed: Vec<Rejected>) -> Result<()> {
    let names = ["field", "reason", "remedy", "cause", "fixed", "replayed"];
    let updates: Vec<String> = names.iter().map(|it| format!("{it} = excluded.{it}")).collect();
    let conflict = format!("ON CONFLICT (workspace, id) DO UPDATE SET {}", updates.join(", "));
    insert_rows(tx, &REJECTED, rows(workspace, changed), &conflict).await?;
    Ok(())
}

fn rows(workspace: &Workspace, rejected: Vec<Rejected>) -> Vec<Vec<Value>> {
    let mut ordered = rejected;
    ordered.sort_by_key(|it| it.id);
    ordered.dedup_by_key(|it| it.id);
    let row = |it: Rejected| {
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
            it.cause.into(),
            it.historical.into(),
            it.trusted.into(),
            it.whole.into(),
            it.fixed.into(),
            it.replayed.map(micros).into(),
        ]
    };
    ordered.into_iter().map(row).collect()
}

/// Reads a page of them, newest first; of one cause, if one is given.
///
/// # Errors
/// If the database refuses.
pub async fn list(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    cause: Option<&str>,
    before: Option<(i64, Uuid)>,
    limit: u64,
) -> Result<Vec<Rejected>> {
    let (received, id) = before.unwrap_or((i64::MAX, Uuid::max()));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut values = vec![workspace.as_str().into(), received.into(), id.into(), limit.into()];
    let of_cause = cause.map_or("", |it| {
        values.push(it.into());
        "AND cause = $5"
    });
    let sql = format!(
        "{SELECT} WHERE workspace = $1 AND (received < $2 OR (received = $2 AND id < $3)) {of_cause} \
         ORDER BY received DESC, id DESC LIMIT $4"
    );
    query(db, "rejected events", &sql, values).await?.iter().map(rejected_of).collect()
}

/// Reads a page of those that wait, oldest first.
///
/// # Errors
/// If the database refuses.
pub async fn waiting(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    chosen: &Chosen,
    after: Option<(i64, Uuid)>,
    limit: u64,
) -> Result<Vec<Rejected>> {
    let (received, id) = after.unwrap_or((i64::MIN, Uuid::nil()));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut values = vec![workspace.as_str().into(), received.into(), id.into(), limit.into()];
    let which = match chosen {
        Chosen::All => String::new(),
        Chosen::Cause(cause) => {
            values.push(cause.as_str().into());
            "AND cause = $5".to_owned()
        }
        Chosen::Ids(ids) => {
            let wanted = ids.iter().map(|it| (*it).into()).collect();
            format!("AND {}", any_of(Backend::of(db), "id", Column::Uuid, wanted, &mut values))
        }
    };
    let sql = format!(
        "{SELECT} WHERE workspace = $1 AND NOT taken AND replayed IS NULL \
         AND (received > $2 OR (received = $2 AND id > $3)) {which} ORDER BY received, id LIMIT $4"
    );
    query(db, "waiting rejected events", &sql, values).await?.iter().map(rejected_of).collect()
}

/// Why those that wait were refused, the most frequent first.
///
/// # Errors
/// If the database refuses.
pub async fn causes(db: &impl ConnectionTrait, workspace: &Workspace, limit: u64) -> Result<Vec<Cause>> {
    let sql = "SELECT cause, name, MIN(field), MIN(reason), MIN(remedy), COUNT(*), COUNT(fixed), MIN(received), \
               MAX(received) FROM rejected WHERE workspace = $1 AND NOT taken AND replayed IS NULL \
               GROUP BY cause, name ORDER BY COUNT(*) DESC, cause, name LIMIT $2";
    let values = vec![workspace.as_str().into(), i64::try_from(limit).unwrap_or(i64::MAX).into()];
    let cause = |row: &QueryResult| {
        Ok(Cause {
            id: column(row, 0)?,
            event: column(row, 1)?,
            problem: Problem { field: column(row, 2)?, reason: column(row, 3)?, remedy: column(row, 4)? },
            count: column(row, 5)?,
            fixed: column(row, 6)?,
            first: from_micros(column(row, 7)?),
            last: from_micros(column(row, 8)?),
        })
    };
    query(db, "causes of rejection", sql, values).await?.iter().map(cause).collect()
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
    let sql = format!("{SELECT} WHERE workspace = $1 AND {condition} ORDER BY received, id");
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
        cause: column(row, 9)?,
        historical: column(row, 10)?,
        trusted: column(row, 11)?,
        whole: column(row, 12)?,
        fixed: column(row, 13)?,
        replayed: column::<Option<i64>>(row, 14)?.map(from_micros),
    })
}
