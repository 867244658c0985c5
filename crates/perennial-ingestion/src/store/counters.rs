//! Counts of a workspace since it began. Each lane adds to rows of its own, so that lanes do not wait for each other.

use perennial_store::{Column, ConnectionTrait, Result, Table, column, insert_rows, query};
use perennial_types::Workspace;
use std::collections::BTreeMap;

const COUNTERS: Table = Table {
    name: "counter",
    columns: &[
        ("workspace", Column::Text),
        ("name", Column::Text),
        ("lane", Column::BigInt),
        ("value", Column::BigInt),
    ],
};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Count {
    /// Events in the log.
    Accepted,
    /// Events that came again.
    Duplicate,
    /// Merges.
    Merges,
    /// Profiles that were not merged into others.
    Profiles,
    /// Events refused.
    Rejected,
}

impl Count {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Merges => "merges",
            Self::Profiles => "profiles",
            Self::Rejected => "rejected",
        }
    }
}

/// Adds to the counts.
///
/// # Errors
/// If the database refuses.
pub async fn add(
    tx: &impl ConnectionTrait,
    lane: i64,
    counts: &BTreeMap<(Workspace, Count), i64>,
) -> Result<()> {
    let rows = counts.iter().filter(|(_, value)| **value != 0).map(|((workspace, count), value)| {
        vec![workspace.as_str().into(), count.as_str().into(), lane.into(), (*value).into()]
    });
    let update = "ON CONFLICT (workspace, name, lane) DO UPDATE SET value = counter.value + excluded.value";
    insert_rows(tx, &COUNTERS, rows.collect(), update).await?;
    Ok(())
}

/// The counts of a workspace.
///
/// # Errors
/// If the database refuses.
pub async fn read(db: &impl ConnectionTrait, workspace: &Workspace) -> Result<BTreeMap<String, i64>> {
    let sql = "SELECT name, CAST(SUM(value) AS BIGINT) FROM counter WHERE workspace = $1 GROUP BY name";
    let rows = query(db, "counts", sql, vec![workspace.as_str().into()]).await?;
    rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?))).collect()
}
