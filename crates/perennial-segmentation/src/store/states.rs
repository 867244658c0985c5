//! States as the reader keeps them, in order of their profiles: for previews and for recomputing.

use perennial_store::{ConnectionTrait, Result, StoreError, column, query, query_one};
use perennial_types::{ProfileId, Workspace};
use uuid::Uuid;

use crate::domain::State;

/// States after a profile.
pub async fn page(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    after: Uuid,
    limit: i64,
) -> Result<Vec<(ProfileId, State)>> {
    let sql = "SELECT profile, state FROM profile_state WHERE workspace = $1 AND profile > $2 ORDER BY profile LIMIT $3";
    let rows = query(db, "states", sql, vec![workspace.as_str().into(), after.into(), limit.into()]).await?;
    rows.iter()
        .map(|row| {
            let state: String = column(row, 1)?;
            let state = serde_json::from_str(&state)
                .map_err(|error| StoreError::Corrupt { what: "profile state", reason: error.to_string() })?;
            Ok((ProfileId(column(row, 0)?), state))
        })
        .collect()
}

/// How many profiles there are.
pub async fn count(db: &impl ConnectionTrait, workspace: &Workspace) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM profile_state WHERE workspace = $1";
    let row = query_one(db, "profiles", sql, vec![workspace.as_str().into()]).await?;
    row.map_or(Ok(0), |row| column(&row, 0))
}
