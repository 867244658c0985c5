//! What tests share: a fresh database of each kind there is, and a wait until nothing is left to do.
//!
//! A dev-dependency; nothing that ships uses it.
#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that cannot go on fails here")]

mod facts;
mod office;

pub use facts::Facts;
pub use office::Office;

use std::num::NonZeroU16;
use std::time::Duration;

use perennial_feed::Bell;
use perennial_store::{DatabaseConfig, Store, column, query};

/// A database that nobody else uses, gone when this is dropped (a PostgreSQL schema stays with its private server).
#[derive(Debug)]
pub struct TestDatabase {
    /// How to open it.
    pub config: DatabaseConfig,
    _folder: Option<tempfile::TempDir>,
}

/// A fresh SQLite folder.
#[must_use]
pub fn sqlite() -> TestDatabase {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().display());
    TestDatabase { config: DatabaseConfig { url, ..Default::default() }, _folder: Some(folder) }
}

/// A fresh set of schemas on the PostgreSQL that `PERENNIAL_TEST_POSTGRES` names, if it names one.
#[must_use]
pub fn postgres() -> Option<TestDatabase> {
    let Some(url) = std::env::var_os("PERENNIAL_TEST_POSTGRES") else {
        eprintln!(
            "PERENNIAL_TEST_POSTGRES is not set: not tested on PostgreSQL (tests/with-services sets it)"
        );
        return None;
    };
    let schema_prefix = format!("t{}_", uuid::Uuid::now_v7().simple());
    let url = url.into_string().unwrap();
    // Several lanes, as replicas would have: what one alone does is tried on SQLite.
    let lanes = NonZeroU16::new(4);
    let config = DatabaseConfig { url, schema_prefix, max_connections: 24, lanes, ..Default::default() };
    Some(TestDatabase { config, _folder: None })
}

/// A fresh database of each kind there is: SQLite always, PostgreSQL where the environment names one.
#[must_use]
pub fn databases() -> Vec<TestDatabase> {
    std::iter::once(sqlite()).chain(postgres()).collect()
}

/// Waits until every background loop that listens to the bell is idle, twice in a row with nothing in between.
///
/// # Panics
/// After a minute, naming a loop that is still busy.
pub async fn quiet(bell: &Bell) {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        let mut last = None;
        loop {
            let now = bell.is_quiet().then(|| bell.activity());
            if now.is_some() && now == last {
                return;
            }
            last = now;
            bell.quiet().await;
        }
    });
    assert!(waited.await.is_ok(), "still busy after a minute: {:?}", bell.busy());
}

/// Where any of some values still is in the databases of some services: in a file of SQLite, byte by byte; in a row of
/// PostgreSQL, as text or within bytes.
///
/// # Panics
/// If a database cannot be read.
pub async fn leaks(config: &DatabaseConfig, services: &[&str], values: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(folder) = config.url.strip_prefix("sqlite:") {
        for file in std::fs::read_dir(folder.trim_start_matches("//")).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if services.iter().any(|it| name.starts_with(&format!("{it}.db"))) {
                found.extend(
                    values_in(&std::fs::read(&path).unwrap(), values).map(|it| format!("{name}: {it}")),
                );
            }
        }
        return found;
    }
    for service in services {
        let store = Store::open(config, service, &[]).await.unwrap();
        let sql =
            "SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema()";
        for row in &query(store.read(), "tables", sql, vec![]).await.unwrap() {
            let table: String = column(row, 0).unwrap();
            let sql = format!("SELECT r::text FROM \"{table}\" AS r");
            for row in &query(store.read(), "rows", &sql, vec![]).await.unwrap() {
                let text: String = column(row, 0).unwrap();
                found.extend(values_in(text.as_bytes(), values).map(|it| format!("{service}.{table}: {it}")));
                for value in values {
                    let hex: String = value.bytes().map(|it| format!("{it:02x}")).collect();
                    if text.contains(&hex) {
                        found.push(format!("{service}.{table}, in bytes: {value}"));
                    }
                }
            }
        }
    }
    found
}

/// Which of some values are in some bytes, whatever their case.
pub fn values_in<'a>(bytes: &[u8], values: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let lower = bytes.to_ascii_lowercase();
    let is_in = move |value: &&&str| {
        let value = value.to_ascii_lowercase();
        lower.windows(value.len()).any(|it| it == value.as_bytes())
    };
    values.iter().filter(is_in).copied()
}
