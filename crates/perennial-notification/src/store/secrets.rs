//! Secrets of this installation, made at its first start.

use perennial_store::{ConnectionTrait, Result, column, execute, query_one};

/// The secret of this name; `fresh` becomes it if there is none.
pub async fn find_or_keep(db: &impl ConnectionTrait, name: &str, fresh: &str) -> Result<String> {
    let insert = "INSERT INTO secret (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    execute(db, "a secret", insert, vec![name.into(), fresh.into()]).await?;
    let row =
        query_one(db, "a secret", "SELECT value FROM secret WHERE name = $1", vec![name.into()]).await?;
    row.map_or_else(|| Ok(fresh.to_owned()), |row| column(&row, 0))
}
