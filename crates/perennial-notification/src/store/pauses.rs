//! Workspaces that hand nothing over.

use std::collections::BTreeSet;

use perennial_store::{ConnectionTrait, Result, column, execute, query, query_one};
use perennial_types::{Timestamp, Workspace, from_micros, micros};

use super::workspace as read_workspace;

/// Whether a workspace hands over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Nothing is handed over.
    pub paused: bool,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
}

/// What was last said of it.
pub async fn find(db: &impl ConnectionTrait, workspace: &Workspace) -> Result<Option<Pause>> {
    let sql = "SELECT paused, reason, at FROM sending_pause WHERE workspace = $1";
    let row = query_one(db, "a pause", sql, vec![workspace.as_str().into()]).await?;
    row.map(|row| {
        Ok(Pause { paused: column(&row, 0)?, reason: column(&row, 1)?, at: from_micros(column(&row, 2)?) })
    })
    .transpose()
}

/// Says it.
pub async fn save(db: &impl ConnectionTrait, workspace: &Workspace, it: &Pause) -> Result<()> {
    let sql = "INSERT INTO sending_pause (workspace, paused, reason, at) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (workspace) DO UPDATE SET paused = excluded.paused, reason = excluded.reason, \
               at = excluded.at";
    let values =
        vec![workspace.as_str().into(), it.paused.into(), it.reason.as_str().into(), micros(it.at).into()];
    execute(db, "a pause", sql, values).await.map(|_| ())
}

/// All workspaces that are paused.
pub async fn paused(db: &impl ConnectionTrait) -> Result<BTreeSet<Workspace>> {
    let rows = query(db, "pauses", "SELECT workspace FROM sending_pause WHERE paused", vec![]).await?;
    rows.iter().map(|row| read_workspace(row, 0)).collect()
}
