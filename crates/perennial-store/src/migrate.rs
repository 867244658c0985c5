//! Migrations: literal DDL, applied once each, in order; never edited after release, only added to.

use sea_orm::ConnectionTrait;

use crate::{Backend, Result, Store, StoreError, execute, query};

/// One step of a schema. `{blob}`, `{uuid}`, `{double}` and `{integer}` (64 bits; as a primary key the row's own place on
/// SQLite) in the text become the database's own types, and `{first_64_bits:hash}` a number: the first half of the `{uuid}` in
/// the column `hash`.
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

/// Digit by digit, as SQLite has no numbers of bytes.
const SQLITE_FIRST_64_BITS: &str = "(SELECT SUM((INSTR('0123456789ABCDEF', SUBSTR(HEX(hash), value, 1)) - 1) << (64 - 4 * value)) \
     FROM JSON_EACH('[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]'))";
const POSTGRES_FIRST_64_BITS: &str = "('x' || LEFT(REPLACE(hash::text, '-', ''), 16))::bit(64)::bigint";

fn statements(sql: &str, backend: Backend) -> Vec<String> {
    let (blob, uuid, double, integer, first_64_bits) = match backend {
        Backend::Sqlite => ("BLOB", "BLOB", "REAL", "INTEGER", SQLITE_FIRST_64_BITS),
        Backend::Postgres => ("BYTEA", "UUID", "DOUBLE PRECISION", "BIGINT", POSTGRES_FIRST_64_BITS),
    };
    let names = [("{blob}", blob), ("{uuid}", uuid), ("{double}", double), ("{integer}", integer)];
    let sql = names.iter().fold(sql.to_owned(), |sql, (name, own)| sql.replace(name, own));
    let sql = sql.replace("{first_64_bits:hash}", first_64_bits);
    sql.split(";\n")
        .map(|it| it.trim().trim_end_matches(';').to_owned())
        .filter(|it| !it.is_empty())
        .collect()
}
