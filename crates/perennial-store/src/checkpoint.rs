//! Pages go from SQLite's write-ahead log to the file beside the writer. A commit that took them there itself would wait,
//! and everybody behind it, for a sync of pages at random places (ADR 16).

use std::sync::Arc;
use std::time::Duration;

use sea_orm::DatabaseConnection;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::{Result, column, query_one};

/// Pages that gather in the log before they are taken to the file: what several commits change is written once.
const GATHERED: i32 = 16_000;

/// The log's length in pages at which a commit does it after all, while everybody waits. Only a log of which nothing is left
/// to take begins anew, and under load that instant never comes by itself.
pub(crate) const LONGEST: &str = "48000";

/// The length from which on no more than a few gather, so that little is left for that commit.
const LONG: i32 = 40_000;
const FEW: i32 = 500;

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

/// What a log holds.
#[derive(Clone, Copy, Debug)]
struct Log {
    /// Negative while another connection takes pages.
    pages: i32,
    /// Pages that are not in the file: they were not taken yet, or others read or wrote meanwhile.
    left: i32,
}

impl Log {
    fn is_due(self) -> bool {
        self.left >= if self.pages < LONG { GATHERED } else { FEW }
    }
}

/// Takes pages to the file if enough have gathered; answers what the log holds then.
async fn take(connection: &DatabaseConnection) -> Result<Log> {
    let log = checkpoint(connection, "NOOP").await?;
    if log.is_due() { checkpoint(connection, "PASSIVE").await } else { Ok(log) }
}

async fn checkpoint(connection: &DatabaseConnection, mode: &str) -> Result<Log> {
    let row =
        query_one(connection, "a checkpoint", &format!("PRAGMA wal_checkpoint({mode})"), vec![]).await?;
    let Some(row) = row else { return Ok(Log { pages: 0, left: 0 }) };
    let (pages, taken): (i32, i32) = (column(&row, 1)?, column(&row, 2)?);
    Ok(Log { pages, left: pages - taken })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DatabaseConfig, Durability, Migration, Store, execute};
    use sea_orm::DatabaseTransaction;

    async fn opened(folder: &tempfile::TempDir) -> Store {
        let url = format!("sqlite:{}", folder.path().display());
        let config = DatabaseConfig { url, durability: Durability::Relaxed, ..Default::default() };
        let sql = "CREATE TABLE t (id BIGINT PRIMARY KEY, text TEXT NOT NULL);";
        Store::open(&config, "test", &[Migration { name: "t", sql }]).await.unwrap()
    }

    /// Writes rows, each about a page, the same ones each time.
    async fn write(store: &Store, rows: i32) -> DatabaseTransaction {
        let tx = store.write().await.unwrap();
        let sql = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
             INSERT INTO t SELECT i, hex(randomblob(1500)) FROM n WHERE true \
             ON CONFLICT (id) DO UPDATE SET text = excluded.text"
        );
        execute(&tx, "rows", &sql, vec![]).await.unwrap();
        tx
    }

    #[tokio::test]
    async fn sqlite_is_one_that_may_take_pages_on_two_connections() {
        let folder = tempfile::tempdir().unwrap();
        let store = opened(&folder).await;
        let row = query_one(store.read(), "the version", "SELECT sqlite_version()", vec![]).await.unwrap();
        let version: String = column(&row.unwrap(), 0).unwrap();
        let numbers: Vec<u32> = version.split('.').map(|it| it.parse().unwrap()).collect();
        assert!(
            numbers >= vec![3, 51, 3],
            "SQLite {version} may damage a database: https://sqlite.org/wal.html#walresetbug"
        );
    }

    /// The store's own task may be at it.
    async fn taken(store: &Store) -> Log {
        loop {
            let log = take(store.read()).await.unwrap();
            if log.pages >= 0 {
                return log;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_gathers_is_taken_out_of_the_log_beside_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let store = opened(&folder).await;
        Store::commit(write(&store, 1_000).await).await.unwrap();
        let few = taken(&store).await;
        assert!(few.left > 900, "too early: {few:?}");
        Store::commit(write(&store, GATHERED).await).await.unwrap();
        // A writer that is at work stops nobody from it, and is not stopped.
        let writing = write(&store, 10).await;
        let many = taken(&store).await;
        assert!(many.left < FEW, "{many:?}");
        Store::commit(writing).await.unwrap();
    }

    #[test]
    fn little_is_left_for_the_commit_that_makes_the_log_too_long() {
        assert!(!Log { pages: LONG - 1, left: GATHERED - 1 }.is_due());
        assert!(Log { pages: LONG - 1, left: GATHERED }.is_due());
        assert!(Log { pages: LONG, left: FEW }.is_due());
        assert!(LONG < LONGEST.parse().unwrap());
        assert!(!Log { pages: -1, left: 0 }.is_due(), "somebody is at it");
    }
}
