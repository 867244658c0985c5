//! Pages go from SQLite's write-ahead log to the file beside the writer. A commit that took them there itself would wait,
//! and everybody behind it, for a sync of pages at random places (ADR 16).

use std::sync::Arc;
use std::time::Duration;

use sea_orm::DatabaseConnection;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::{Result, column, query};

/// Pages that gather in the log before they are taken to the file: what several commits change is written once.
const GATHERED: i32 = 4_000;

/// The log's length in pages at which a commit does it after all. Only a log of which nothing is left to take begins anew,
/// and under load that instant never comes by itself; little is left by then.
pub(crate) const LONGEST: &str = "16000";

/// How often the log is looked at while there is writing.
const LOOK: Duration = Duration::from_millis(50);

/// The task that does it, which ends with its store.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoints {
    written: Arc<Notify>,
    _task: Arc<JoinSet<()>>,
}

impl Checkpoints {
    pub(crate) fn new(connection: DatabaseConnection) -> Self {
        let written = Arc::new(Notify::new());
        let mut task = JoinSet::new();
        task.spawn(tend(connection, written.clone()));
        Self { written, _task: Arc::new(task) }
    }

    /// Says that there is writing.
    pub(crate) fn ring(&self) {
        self.written.notify_one();
    }
}

async fn tend(connection: DatabaseConnection, written: Arc<Notify>) {
    loop {
        written.notified().await;
        if let Err(error) = take(&connection).await {
            // The writer's own commits meet the same trouble and tell it to whom it concerns.
            tracing::warn!(%error, "pages were not taken out of the write-ahead log");
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Takes pages to the file if enough have gathered; answers how many it left in the log, as others read or wrote meanwhile.
async fn take(connection: &DatabaseConnection) -> Result<i32> {
    let left = checkpoint(connection, "NOOP").await?;
    if left < GATHERED { Ok(left) } else { checkpoint(connection, "PASSIVE").await }
}

async fn checkpoint(connection: &DatabaseConnection, mode: &str) -> Result<i32> {
    let rows = query(connection, "a checkpoint", &format!("PRAGMA wal_checkpoint({mode})"), vec![]).await?;
    let Some(row) = rows.first() else { return Ok(0) };
    let (pages, taken): (i32, i32) = (column(row, 1)?, column(row, 2)?);
    Ok(pages - taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DatabaseConfig, Migration, Store, execute};

    #[tokio::test]
    async fn sqlite_is_one_that_may_take_pages_on_two_connections() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().display());
        let store = Store::open(&DatabaseConfig { url, ..Default::default() }, "test", &[]).await.unwrap();
        let rows = query(store.read(), "the version", "SELECT sqlite_version()", vec![]).await.unwrap();
        let version: String = column(&rows[0], 0).unwrap();
        let numbers: Vec<u32> = version.split('.').map(|it| it.parse().unwrap()).collect();
        assert!(
            numbers >= vec![3, 51, 3],
            "SQLite {version} may damage a database: https://sqlite.org/wal.html#walresetbug"
        );
    }

    #[tokio::test]
    async fn what_gathers_is_taken_out_of_the_log_beside_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().display());
        let config = DatabaseConfig { url, ..Default::default() };
        let sql = "CREATE TABLE t (id BIGINT PRIMARY KEY, text TEXT NOT NULL);";
        let store = Store::open(&config, "test", &[Migration { name: "t", sql }]).await.unwrap();
        let write = async |rows: u32| {
            let tx = store.write().await.unwrap();
            let sql = format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
                 INSERT INTO t SELECT i, hex(randomblob(1500)) FROM n WHERE true \
                 ON CONFLICT (id) DO UPDATE SET text = excluded.text"
            );
            execute(&tx, "rows", &sql, vec![]).await.unwrap();
            tx
        };
        Store::commit(write(1_000).await).await.unwrap();
        let few = take(store.read()).await.unwrap();
        assert!(few > 900, "{few} pages are left to gather");
        Store::commit(write(5_000).await).await.unwrap();
        // A writer that is at work stops nobody from it, and is not stopped.
        let writing = write(10).await;
        let left = take(store.read()).await.unwrap();
        assert!(left < GATHERED, "{left} pages are left of those that had gathered");
        Store::commit(writing).await.unwrap();
    }
}
