//! Which profiles there are a state of.

use perennial_store::{ConnectionTrait, Result, query};
use perennial_types::{ProfileId, Workspace};
use uuid::Uuid;

use super::get;

/// Profiles after one, in order of their ids.
pub async fn after(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    after: Uuid,
    limit: u64,
) -> Result<Vec<ProfileId>> {
    let sql = format!(
        "SELECT profile FROM profile_state WHERE workspace = $1 AND profile > $2 ORDER BY profile LIMIT {limit}"
    );
    let rows = query(db, "profiles", &sql, vec![workspace.as_str().into(), after.into()]).await?;
    rows.iter().map(|row| get(row, "profile").map(ProfileId)).collect()
}
