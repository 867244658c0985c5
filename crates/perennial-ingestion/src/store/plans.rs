//! Tracking plans, and what was observed against them.

use perennial_store::{
    Column, ConnectionTrait, QueryResult, Result, Table, column, execute, insert_rows, query, query_one,
};
use perennial_types::{Timestamp, Workspace, from_micros, micros};
use std::collections::BTreeMap;

use crate::domain::problem::Problem;

/// A plan as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its definition.
    pub definition: String,
    /// Counts the changes, from 1.
    pub version: i64,
    /// When it last changed.
    pub updated: Timestamp,
}

/// Something that events were taken in spite of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The event's name.
    pub event: String,
    /// Its place, with `*` for places in lists.
    pub field: String,
    /// What is wrong.
    pub reason: String,
    /// How many events.
    pub count: i64,
    /// When the first was received.
    pub first: Timestamp,
    /// When the last was received.
    pub last: Timestamp,
}

const VIOLATIONS: Table = Table {
    name: "plan_violation",
    columns: &[
        ("workspace", Column::Text),
        ("cause", Column::Text),
        ("event", Column::Text),
        ("field", Column::Text),
        ("reason", Column::Text),
        ("count", Column::BigInt),
        ("first", Column::BigInt),
        ("last", Column::BigInt),
    ],
};

/// Reads a workspace's plan.
///
/// # Errors
/// If the database refuses.
pub async fn read(db: &impl ConnectionTrait, workspace: &Workspace) -> Result<Option<Kept>> {
    let sql = "SELECT definition, version, updated FROM tracking_plan WHERE workspace = $1";
    let row = query_one(db, "a tracking plan", sql, vec![workspace.as_str().into()]).await?;
    let kept = |row: QueryResult| {
        Ok(Kept {
            definition: column(&row, 0)?,
            version: column(&row, 1)?,
            updated: from_micros(column(&row, 2)?),
        })
    };
    row.map(kept).transpose()
}

/// Writes a workspace's plan.
///
/// # Errors
/// If the database refuses.
pub async fn write(tx: &impl ConnectionTrait, workspace: &Workspace, kept: &Kept) -> Result<()> {
    let sql = "INSERT INTO tracking_plan (workspace, definition, version, updated) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (workspace) DO UPDATE SET definition = excluded.definition, version = excluded.version, \
               updated = excluded.updated";
    let values = vec![
        workspace.as_str().into(),
        kept.definition.as_str().into(),
        kept.version.into(),
        micros(kept.updated).into(),
    ];
    execute(tx, "a tracking plan", sql, values).await?;
    Ok(())
}

/// Forgets a workspace's plan and what was observed against it.
///
/// # Errors
/// If the database refuses.
pub async fn delete(tx: &impl ConnectionTrait, workspace: &Workspace) -> Result<()> {
    for (what, sql) in [
        ("a tracking plan", "DELETE FROM tracking_plan WHERE workspace = $1"),
        ("violations", "DELETE FROM plan_violation WHERE workspace = $1"),
    ] {
        execute(tx, what, sql, vec![workspace.as_str().into()]).await?;
    }
    Ok(())
}

/// Counts violations: each of an event of this name, received at `at`.
///
/// # Errors
/// If the database refuses.
pub async fn count(
    tx: &impl ConnectionTrait,
    workspace: &Workspace,
    observed: &[(String, Problem)],
    at: Timestamp,
) -> Result<()> {
    let mut counts: BTreeMap<String, (&str, &Problem, i64)> = BTreeMap::new();
    for (event, problem) in observed {
        counts.entry(problem.cause(event)).or_insert((event, problem, 0)).2 += 1;
    }
    let row = |(cause, (event, problem, count)): (String, (&str, &Problem, i64))| {
        vec![
            workspace.as_str().into(),
            cause.into(),
            event.into(),
            problem.place().into(),
            problem.reason.as_str().into(),
            count.into(),
            micros(at).into(),
            micros(at).into(),
        ]
    };
    let conflict = "ON CONFLICT (workspace, cause) DO UPDATE SET count = plan_violation.count + excluded.count, \
                    last = excluded.last";
    insert_rows(tx, &VIOLATIONS, counts.into_iter().map(row).collect(), conflict).await?;
    Ok(())
}

/// What was observed, the most frequent first.
///
/// # Errors
/// If the database refuses.
pub async fn violations(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    limit: u64,
) -> Result<Vec<Violation>> {
    let sql = "SELECT event, field, reason, count, first, last FROM plan_violation WHERE workspace = $1 \
               ORDER BY count DESC, cause LIMIT $2";
    let values = vec![workspace.as_str().into(), i64::try_from(limit).unwrap_or(i64::MAX).into()];
    let violation = |row: &QueryResult| {
        Ok(Violation {
            event: column(row, 0)?,
            field: column(row, 1)?,
            reason: column(row, 2)?,
            count: column(row, 3)?,
            first: from_micros(column(row, 4)?),
            last: from_micros(column(row, 5)?),
        })
    };
    query(db, "observed violations", sql, values).await?.iter().map(violation).collect()
}
