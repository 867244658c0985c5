//! Answers by request id: a retry gets the first one.

use perennial_store::{ConnectionTrait, Result, column, execute, query_one};
use perennial_types::Workspace;
use uuid::Uuid;

/// How long an answer is kept, in microseconds.
const KEPT: i64 = 7 * 86_400_000_000;

/// The fingerprint of the request that was answered under this id, and the answer.
pub async fn find(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    id: Uuid,
) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
    let sql = "SELECT fingerprint, answer FROM answered_request WHERE workspace = $1 AND request_id = $2";
    let row = query_one(db, "an answered request", sql, vec![workspace.as_str().into(), id.into()]).await?;
    row.map(|row| Ok((column(&row, 0)?, column(&row, 1)?))).transpose()
}

/// Keeps an answer, and forgets old ones.
pub async fn record(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    id: Uuid,
    fingerprint: Vec<u8>,
    answer: Vec<u8>,
    now: i64,
) -> Result<()> {
    let sql = "DELETE FROM answered_request WHERE workspace = $1 AND answered_at < $2";
    execute(db, "old answers", sql, vec![workspace.as_str().into(), (now - KEPT).into()]).await?;
    let sql = "INSERT INTO answered_request (workspace, request_id, fingerprint, answer, answered_at)
               VALUES ($1, $2, $3, $4, $5)";
    let values = vec![workspace.as_str().into(), id.into(), fingerprint.into(), answer.into(), now.into()];
    execute(db, "an answer", sql, values).await?;
    Ok(())
}
