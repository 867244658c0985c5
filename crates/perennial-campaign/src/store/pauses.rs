//! Emergency pauses: one row a workspace.

use std::collections::BTreeSet;

use perennial_store::{ConnectionTrait, Result, execute, query, query_one};
use perennial_types::{Timestamp, Workspace, from_micros, micros};

use super::{get, workspace};

/// Whether a workspace sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pause {
    /// Nothing is sent.
    pub paused: bool,
    /// Why.
    pub reason: String,
    /// Since when; absent if it never was paused.
    pub updated: Option<Timestamp>,
}

/// Pauses a workspace, or ends its pause.
pub async fn set(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    paused: bool,
    reason: &str,
    at: Timestamp,
) -> Result<()> {
    let sql = "INSERT INTO workspace_pause (workspace, paused, reason, updated) VALUES ($1, $2, $3, $4)
        ON CONFLICT (workspace) DO UPDATE SET paused = excluded.paused, reason = excluded.reason, updated = excluded.updated";
    let values = vec![workspace.as_str().into(), paused.into(), reason.into(), micros(at).into()];
    execute(db, "pausing a workspace", sql, values).await.map(drop)
}

/// Whether a workspace is paused.
pub async fn find(db: &impl ConnectionTrait, workspace: &Workspace) -> Result<Pause> {
    let sql = "SELECT paused, reason, updated FROM workspace_pause WHERE workspace = $1";
    let Some(row) = query_one(db, "a workspace's pause", sql, vec![workspace.as_str().into()]).await? else {
        return Ok(Pause::default());
    };
    Ok(Pause {
        paused: get(&row, "paused")?,
        reason: get(&row, "reason")?,
        updated: Some(from_micros(get(&row, "updated")?)),
    })
}

/// The workspaces that are paused.
pub async fn paused(db: &impl ConnectionTrait) -> Result<BTreeSet<Workspace>> {
    let rows =
        query(db, "paused workspaces", "SELECT workspace FROM workspace_pause WHERE paused", vec![]).await?;
    rows.iter().map(workspace).collect()
}
