//! Opening a service's database. Knows each database's quirks so that nobody else has to.

use std::num::NonZeroU16;
use std::path::Path;
use std::time::Duration;

use sea_orm::{
    AccessMode, ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction,
    DbBackend, IsolationLevel, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use crate::checkpoint::{self, Checkpoints};
use crate::{Migration, Result, StoreError, column, migrate, query};

/// How long a connection of SQLite waits for others, in milliseconds.
const PATIENCE_MS: u32 = 30_000;

/// Which of the two databases it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// One file a service, one process, one writer.
    Sqlite,
    /// One schema a service, any number of processes and writers.
    Postgres,
}

impl Backend {
    /// The backend behind a connection or transaction.
    #[must_use]
    pub fn of(db: &impl ConnectionTrait) -> Self {
        match db.get_database_backend() {
            DbBackend::Postgres => Self::Postgres,
            _ => Self::Sqlite,
        }
    }
}

/// How a commit is kept on SQLite. PostgreSQL keeps its own settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// A commit is on the disk before it is acknowledged.
    #[default]
    Full,
    /// A crash of the machine may lose the last commits: for demos and simulations that can be run again.
    Relaxed,
}

/// Where a service keeps its state.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `sqlite:FOLDER` (one file a service in it) or `postgres://…` (one schema a service in it).
    pub url: String,
    /// Connections for reading (SQLite) or in all (PostgreSQL).
    pub max_connections: u32,
    /// How commits are kept on SQLite.
    pub durability: Durability,
    /// On PostgreSQL, put this before the schema's name, so that several installations can share a database.
    pub schema_prefix: String,
    /// How many workers share what a service has to do on PostgreSQL: as many replicas of it as that work at once, and more
    /// stand by. One is quickest as long as one is enough, as each adds transactions that hold less. Unless it is set, as many
    /// as `replicas`; at most 16. SQLite has one writer.
    pub lanes: Option<NonZeroU16>,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: "sqlite:./data".to_owned(),
            max_connections: 8,
            durability: Durability::Full,
            schema_prefix: String::new(),
            lanes: None,
        }
    }
}

/// A service's database: a way to write and a way to read.
#[derive(Clone, Debug)]
pub struct Store {
    backend: Backend,
    lanes: usize,
    writer: DatabaseConnection,
    reader: DatabaseConnection,
    /// Of SQLite's log; PostgreSQL takes its own.
    checkpoints: Option<Checkpoints>,
}

impl Store {
    /// Opens the database of `service`, creating file or schema if need be, and migrates it.
    ///
    /// # Errors
    /// If the address is malformed, the database cannot be reached, or a migration fails.
    pub async fn open(config: &DatabaseConfig, service: &str, migrations: &[Migration]) -> Result<Self> {
        let store = if let Some(folder) = config.url.strip_prefix("sqlite:") {
            Self::sqlite(config, Path::new(folder.trim_start_matches("//")), service).await?
        } else if config.url.starts_with("postgres://") || config.url.starts_with("postgresql://") {
            Self::postgres(config, service).await?
        } else {
            return Err(StoreError::Url {
                url: without_password(&config.url),
                reason: "use sqlite:FOLDER or postgres://user:password@host/database".to_owned(),
            });
        };
        migrate::run(&store, migrations).await?;
        Ok(store)
    }

    async fn sqlite(config: &DatabaseConfig, folder: &Path, service: &str) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|error| StoreError::Url {
            url: config.url.clone(),
            reason: format!("its folder cannot be created: {error}"),
        })?;
        let url = format!("sqlite://{}?mode=rwc", folder.join(format!("{service}.db")).display());
        let synchronous = match config.durability {
            Durability::Full => SqliteSynchronous::Full,
            Durability::Relaxed => SqliteSynchronous::Off,
        };
        let open = async |connections: u32, writes: bool| {
            let mut options = ConnectOptions::new(&url);
            options
                .max_connections(connections)
                // All at once: one that opens while the writer writes would wait for it.
                .min_connections(connections)
                .sqlx_logging(false)
                .test_before_acquire(false)
                // A pool of one must not close its connection between two transactions.
                .idle_timeout(None::<Duration>)
                .max_lifetime(None::<Duration>)
                .map_sqlx_sqlite_opts(move |options: SqliteConnectOptions| {
                    // The file remembers these two; setting them again takes a lock.
                    let options = if writes {
                        options
                            .journal_mode(SqliteJournalMode::Wal)
                            .auto_vacuum(SqliteAutoVacuum::Incremental)
                    } else {
                        options
                    };
                    options
                        .synchronous(synchronous)
                        .busy_timeout(Duration::from_millis(PATIENCE_MS.into()))
                        .foreign_keys(false)
                        .statement_cache_capacity(400)
                        // A whole batch of rows at once, instead of two threads that wait for each other every 50.
                        .row_buffer_size(1_024)
                        .pragma("temp_store", "memory")
                        // What is deleted or replaced is overwritten: an erased person's values are in no free page.
                        .pragma("secure_delete", "on")
                        .pragma("cache_size", "-16384")
                        .pragma("mmap_size", "134217728")
                        .pragma("wal_autocheckpoint", checkpoint::LONGEST)
                });
            connect(options).await
        };
        let writer = open(1, true).await?;
        let reader = open(config.max_connections.max(1), false).await?;
        let checkpoints = Some(Checkpoints::new(reader.clone()));
        Ok(Self { backend: Backend::Sqlite, lanes: 1, writer, reader, checkpoints })
    }

    async fn postgres(config: &DatabaseConfig, service: &str) -> Result<Self> {
        let schema = format!("{}{service}", config.schema_prefix);
        if !schema.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_') {
            return Err(StoreError::Url {
                url: without_password(&config.url),
                reason: format!("schema {schema:?} may hold only a–z, 0–9 and _: mend schema_prefix"),
            });
        }
        let mut bare = ConnectOptions::new(&config.url);
        bare.max_connections(1).sqlx_logging(false);
        let admin = connect(bare).await?;
        // Two processes that start at once may both try; the loser's error means the schema is there.
        let created = admin.execute_unprepared(&format!("CREATE SCHEMA IF NOT EXISTS {schema}")).await;
        admin.close().await.map_err(StoreError::of("closing"))?;
        if let Err(error) = created
            && !error.to_string().contains("pg_namespace_nspname_index")
        {
            return Err(StoreError::of("creating the schema")(error));
        }

        let mut options = ConnectOptions::new(&config.url);
        options
            .max_connections(config.max_connections.max(2))
            .sqlx_logging(false)
            .acquire_timeout(Duration::from_secs(10))
            .map_sqlx_postgres_opts(move |options: PgConnectOptions| {
                options.statement_cache_capacity(400).options([
                    ("search_path", schema.as_str()),
                    // What a paused process can hold up is bounded.
                    ("lock_timeout", "10s"),
                    ("idle_in_transaction_session_timeout", "30s"),
                    // A plan that was kept from when a table was empty reads all of it, until its statistics are made:
                    // for a minute after an installation begins, and after each swap of the hashes.
                    ("plan_cache_mode", "force_custom_plan"),
                    ("application_name", "perennial"),
                ])
            });
        let pool = connect(options).await?;
        let lanes = config.lanes.map_or(1, |it| usize::from(it.get()));
        Ok(Self { backend: Backend::Postgres, lanes, writer: pool.clone(), reader: pool, checkpoints: None })
    }

    /// Which database it is.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Begins a transaction that may write. On SQLite it waits for the one writer and takes the write lock at once;
    /// await nothing but SQL until it ends.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn write(&self) -> Result<DatabaseTransaction> {
        let mode = match self.backend {
            Backend::Sqlite => Some(SqliteTransactionMode::Immediate),
            Backend::Postgres => None,
        };
        let options = TransactionOptions { sqlite_transaction_mode: mode, ..Default::default() };
        if let Some(checkpoints) = &self.checkpoints {
            checkpoints.ring();
        }
        self.writer.begin_with_options(options).await.map_err(StoreError::of("beginning a transaction"))
    }

    /// Begins a transaction that only reads: all its statements see one state of everything, and no writer waits for it.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn snapshot(&self) -> Result<DatabaseTransaction> {
        let options = match self.backend {
            // Any transaction is one, from its first statement on.
            Backend::Sqlite => TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Deferred),
                ..Default::default()
            },
            Backend::Postgres => TransactionOptions {
                isolation_level: Some(IsolationLevel::RepeatableRead),
                access_mode: Some(AccessMode::ReadOnly),
                ..Default::default()
            },
        };
        self.reader.begin_with_options(options).await.map_err(StoreError::of("beginning to read"))
    }

    /// Connections for reading outside a transaction.
    #[must_use]
    pub fn read(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// Makes sure that what was deleted is gone from the files, too. On SQLite, deleting overwrites, and what is left is the
    /// write-ahead log, which this empties; it needs an instant in which nobody reads. On PostgreSQL that is the
    /// database's own business: dead rows go with its vacuum, and its log with its archive.
    ///
    /// # Errors
    /// If readers were in the way, which passes; if the database refuses.
    pub async fn scrub(&self) -> Result<()> {
        if self.backend == Backend::Postgres {
            return Ok(());
        }
        // The writer waits here, and everybody behind it: not for long at a time.
        let wait = |millis: u32| format!("PRAGMA busy_timeout = {millis}");
        query(&self.writer, "emptying the log", &wait(100), vec![]).await?;
        let emptied = self.empty_log().await;
        query(&self.writer, "emptying the log", &wait(PATIENCE_MS), vec![]).await?;
        emptied
    }

    async fn empty_log(&self) -> Result<()> {
        for _ in 0..50 {
            let rows =
                query(&self.writer, "emptying the log", "PRAGMA wal_checkpoint(TRUNCATE)", vec![]).await?;
            let busy = rows.first().map(|row| column::<i32>(row, 0)).transpose()?;
            if busy == Some(0) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(StoreError::Busy { what: "emptying the log" })
    }

    /// Which partitions one worker takes together in one transaction: on SQLite all, as there is one writer anyway and a
    /// commit costs a sync; on PostgreSQL all, too, unless replicas share the work (`lanes` in [`DatabaseConfig`]): a
    /// transaction of few rows costs nearly as much as one of many.
    #[must_use]
    pub fn lanes(&self, partitions: u16) -> Vec<Vec<u16>> {
        let all: Vec<u16> = (0..partitions).collect();
        all.chunks(all.len().div_ceil(self.lanes).max(1)).map(<[u16]>::to_vec).collect()
    }
}

/// Commits, naming what was being done.
impl Store {
    /// Ends a transaction well.
    ///
    /// # Errors
    /// If the database refuses, in which case nothing of it happened or (connection lost) it is not known.
    pub async fn commit(tx: DatabaseTransaction) -> Result<()> {
        tx.commit().await.map_err(StoreError::of("committing"))
    }
}

async fn connect(options: ConnectOptions) -> Result<DatabaseConnection> {
    let url = without_password(options.get_url());
    #[expect(clippy::disallowed_methods, reason = "this is the one place that opens databases")]
    Database::connect(options)
        .await
        .map_err(|error| StoreError::Url { url, reason: format!("{error}: is it running, and may we in?") })
}

fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}://…{}", &url[..scheme], &url[at..]),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        assert_eq!(without_password("postgres://ana:secret@db/x"), "postgres://…@db/x");
    }

    #[tokio::test]
    async fn what_was_deleted_is_in_no_file_once_it_is_scrubbed() {
        let folder = tempfile::tempdir().unwrap();
        let config =
            DatabaseConfig { url: format!("sqlite:{}", folder.path().display()), ..Default::default() };
        let sql =
            "CREATE TABLE t (id BIGINT PRIMARY KEY, text TEXT NOT NULL);\nCREATE INDEX t_text ON t (text);";
        let store = Store::open(&config, "test", &[Migration { name: "t", sql }]).await.unwrap();
        let secret =
            |n: u32, round: u32| format!("secret{n}of{round}{}", "x".repeat((n * 37 % 900) as usize));
        for round in 0..3 {
            for n in 0..400 {
                let sql = "INSERT INTO t (id, text) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET text = excluded.text";
                let tx = store.write().await.unwrap();
                let values = vec![i64::from(n * 7_919 % 400).into(), secret(n, round).into()];
                crate::execute(&tx, "a row", sql, values).await.unwrap();
                Store::commit(tx).await.unwrap();
            }
        }
        let bytes = || {
            let files = std::fs::read_dir(folder.path()).unwrap();
            files.flat_map(|it| std::fs::read(it.unwrap().path()).unwrap()).collect::<Vec<u8>>()
        };
        let holds = |it: &[u8]| it.windows(6).any(|it| it == b"secret");
        assert!(holds(&bytes()));
        let tx = store.write().await.unwrap();
        crate::execute(&tx, "rows", "DELETE FROM t WHERE id < 390", vec![]).await.unwrap();
        crate::execute(&tx, "rows", "UPDATE t SET text = ''", vec![]).await.unwrap();
        Store::commit(tx).await.unwrap();
        store.scrub().await.unwrap();
        assert!(!holds(&bytes()));
    }

    #[tokio::test]
    async fn a_wrong_url_says_what_to_use() {
        let config = DatabaseConfig { url: "mysql://x".to_owned(), ..Default::default() };
        let error = Store::open(&config, "test", &[]).await.unwrap_err().to_string();
        assert!(error.contains("sqlite:FOLDER"), "{error}");
    }
}
