//! Migrations: literal DDL, applied once each, in order; never edited after release, only added to.

use sea_orm::ConnectionTrait;

use crate::{Backend, Result, Store, StoreError, execute, query};

/// One step of a schema. `{blob}`, `{uuid}` and `{double}` in the text become the database's own types.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its name, unique within the service, such as `0001_profiles`.
    pub name: &'static str,
    /// Statements, separated by `;` at the end of a line.
    pub sql: &'static str,
}

/// Applies what is not applied yet. Several processes may start at once: those of one schema take turns.
pub(crate) async fn run(store: &Store, migrations: &[Migration]) -> Result<()> {
    let tx = store.write().await?;
    if store.backend() == Backend::Postgres {
        let turn = "SELECT pg_advisory_xact_lock(hashtextextended(current_schema(), 7036874417766))";
        execute(&tx, "taking turns to migrate", turn, vec![]).await?;
    }
    tx.execute_unprepared(
        "CREATE TABLE IF NOT EXISTS schema_migration (name TEXT PRIMARY KEY, sequence BIGINT NOT NULL)",
    )
    .await
    .map_err(StoreError::of("creating the list of migrations"))?;
    let applied = query(&tx, "listing migrations", "SELECT name FROM schema_migration", vec![]).await?;
    let applied: Vec<String> = applied.iter().filter_map(|row| row.try_get_by_index(0).ok()).collect();
    for (sequence, migration) in (0_i64..).zip(migrations) {
        if applied.iter().any(|it| it == migration.name) {
            continue;
        }
        for statement in statements(migration.sql, store.backend()) {
            tx.execute_unprepared(&statement).await.map_err(StoreError::of(migration.name))?;
        }
        let record = "INSERT INTO schema_migration (name, sequence) VALUES ($1, $2)";
        execute(&tx, "recording a migration", record, vec![migration.name.into(), sequence.into()]).await?;
    }
    Store::commit(tx).await
}

fn statements(sql: &str, backend: Backend) -> Vec<String> {
    let (blob, uuid, double) = match backend {
        Backend::Sqlite => ("BLOB", "BLOB", "REAL"),
        Backend::Postgres => ("BYTEA", "UUID", "DOUBLE PRECISION"),
    };
    let sql = sql.replace("{blob}", blob).replace("{uuid}", uuid).replace("{double}", double);
    sql.split(";\n")
        .map(|it| it.trim().trim_end_matches(';').to_owned())
        .filter(|it| !it.is_empty())
        .collect()
}
