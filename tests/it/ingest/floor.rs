//! What the database itself does with the same rows: plain multi-row statements into the same tables, one transaction a
//! batch, as durable as the service's. On SQLite one writer, on PostgreSQL as many as there are senders, each with
//! partitions of its own, as the service's committers have.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::Instant;

use perennial_feed::PARTITIONS;
use perennial_store::{
    Backend, Column, ConnectionTrait as _, DatabaseConfig, Store, Table, Value, column, insert_rows, query,
};
use uuid::Uuid;

use super::process;
use crate::postgres::Postgres;

const EVENT: Table = Table {
    name: "event",
    columns: &[
        ("workspace", Column::Text),
        ("id", Column::Uuid),
        ("profile", Column::Uuid),
        ("at", Column::BigInt),
        ("received", Column::BigInt),
        ("partition", Column::BigInt),
        ("first_seq", Column::BigInt),
        ("records", Column::BigInt),
        ("call", Column::Text),
        ("name", Column::Text),
        ("message_id", Column::Text),
        ("historical", Column::Bool),
        ("body", Column::Text),
    ],
};
const RECORD: Table = Table {
    name: "feed_record",
    columns: &[
        ("partition", Column::BigInt),
        ("seq", Column::BigInt),
        ("workspace", Column::Text),
        ("profile", Column::Uuid),
        ("kind", Column::Text),
        ("min_reader", Column::BigInt),
        ("time", Column::BigInt),
        ("origin_seq", Column::BigInt),
        ("origin_instant", Column::BigInt),
        ("historical", Column::Bool),
        ("correction", Column::Bool),
        ("payload", Column::Bytes),
    ],
};
const SEEN: Table = Table { name: "seen_a", columns: &[("hash", Column::BigInt)] };
const IDENTIFIER: Table = Table {
    name: "identifier",
    columns: &[("workspace", Column::Text), ("identifier", Column::Text), ("profile", Column::Uuid)],
};
const PROFILE: Table = Table {
    name: "profile",
    columns: &[
        ("workspace", Column::Text),
        ("id", Column::Uuid),
        ("created", Column::BigInt),
        ("last_seen", Column::BigInt),
        ("merges", Column::BigInt),
        ("draw_key", Column::Text),
        ("identifiers", Column::Text),
        ("person", Column::Text),
    ],
};
const TABLES: [&Table; 5] = [&EVENT, &RECORD, &SEEN, &IDENTIFIER, &PROFILE];
/// A person who comes again is written again.
const AGAIN: &str =
    "ON CONFLICT (workspace, id) DO UPDATE SET last_seen = excluded.last_seen, person = excluded.person";

type Row = Vec<Value>;

/// Where the service's tables are.
pub enum Tables<'a> {
    Sqlite(PathBuf),
    Postgres(&'a Postgres, String),
}

/// The rows that some events have become, as the service left them.
pub struct Rows {
    events: Vec<Row>,
    records: BTreeMap<i64, Vec<Row>>,
    seen: Vec<Row>,
    identifiers: HashMap<Uuid, Vec<Row>>,
    profiles: HashMap<Uuid, Row>,
}

impl Tables<'_> {
    fn config(&self) -> DatabaseConfig {
        match self {
            Self::Sqlite(folder) => {
                DatabaseConfig { url: format!("sqlite:{}", folder.display()), ..DatabaseConfig::default() }
            }
            Self::Postgres(postgres, prefix) => DatabaseConfig {
                url: postgres.url.clone(),
                schema_prefix: prefix.clone(),
                max_connections: 24,
                ..DatabaseConfig::default()
            },
        }
    }

    /// Empty tables like the service's, in a place of their own.
    async fn empty(&self, folder: PathBuf) -> Store {
        match self {
            Self::Sqlite(_) => {
                let service = Store::open(&self.config(), "ingestion", &[]).await.unwrap();
                let names = TABLES.map(|it| format!("'{}'", it.name)).join(", ");
                let sql =
                    format!("SELECT sql FROM sqlite_master WHERE tbl_name IN ({names}) AND sql IS NOT NULL");
                let rows = query(service.read(), "the schema", &sql, vec![]).await.unwrap();
                let config = Self::Sqlite(folder).config();
                let store = Store::open(&config, "floor", &[]).await.unwrap();
                let tx = store.write().await.unwrap();
                for row in &rows {
                    tx.execute_unprepared(&column::<String>(row, 0).unwrap()).await.unwrap();
                }
                Store::commit(tx).await.unwrap();
                store
            }
            Self::Postgres(postgres, prefix) => {
                let config = DatabaseConfig { schema_prefix: String::new(), ..self.config() };
                let schema = format!("floor_{}", Uuid::now_v7().simple());
                let store = Store::open(&config, &schema, &[]).await.unwrap();
                for table in TABLES.map(|it| it.name) {
                    let from = format!("{prefix}ingestion.{table}");
                    postgres.query(&format!("CREATE TABLE {schema}.{table} (LIKE {from} INCLUDING ALL)"));
                }
                store
            }
        }
    }

    /// Reads the rows that the events of one series became.
    pub async fn rows(&self, series: &str) -> Rows {
        let store = Store::open(&self.config(), "ingestion", &[]).await.unwrap();
        let theirs = format!("message_id LIKE 'message-{series}-%'");
        let events = read(&store, &EVENT, &format!("WHERE {theirs} ORDER BY received, id")).await;
        let wanted = format!("(SELECT profile FROM event WHERE {theirs})");
        let mut identifiers: HashMap<Uuid, Vec<Row>> = HashMap::new();
        for row in read(&store, &IDENTIFIER, &format!("WHERE profile IN {wanted}")).await {
            identifiers.entry(uuid(&row[2])).or_default().push(row);
        }
        let profiles = read(&store, &PROFILE, &format!("WHERE id IN {wanted} ORDER BY id")).await;
        let mut records: BTreeMap<i64, Vec<Row>> = BTreeMap::new();
        for partition in 0..i64::from(PARTITIONS) {
            let sql = format!(
                "WHERE partition = {partition} AND seq >= (SELECT MIN(first_seq) FROM event WHERE partition = {partition} \
                 AND {theirs}) ORDER BY seq"
            );
            records.insert(partition, read(&store, &RECORD, &sql).await);
        }
        // Hashes of message ids: all alike, so that as many are as good as the very same ones.
        let seen = read(&store, &SEEN, &format!("LIMIT {}", events.len())).await;
        let profiles = profiles.into_iter().map(|it| (uuid(&it[1]), it)).collect();
        Rows { events, records, seen, identifiers, profiles }
    }

    /// Writes them, `batch` events a transaction; seconds by the clock, of this process and of the database's.
    pub async fn write(&self, rows: &Rows, batch: usize) -> (f64, f64, f64) {
        let folder = tempfile::tempdir().unwrap();
        let store = self.empty(folder.path().to_owned()).await;
        let parts = if store.backend() == Backend::Sqlite { 1 } else { rows.records.len() };
        let database = |tables: &Self| match tables {
            Self::Sqlite(_) => 0.0,
            Self::Postgres(postgres, _) => process::worked_with_children(postgres.process()),
        };
        let shares: Vec<Vec<Transaction>> =
            (0..parts).map(|it| rows.transactions(it, parts, batch)).collect();
        let (before, there) = (process::worked_here(), database(self));
        let began = Instant::now();
        let mut writers = tokio::task::JoinSet::new();
        for share in shares {
            let store = store.clone();
            writers.spawn(async move {
                for transaction in share {
                    transaction.commit(&store).await;
                }
            });
        }
        writers.join_all().await;
        let seconds = began.elapsed().as_secs_f64();
        (seconds, process::worked_here() - before, database(self) - there)
    }
}

fn uuid(value: &Value) -> Uuid {
    match value {
        Value::Uuid(Some(it)) => *it,
        _ => Uuid::nil(),
    }
}

async fn read(store: &Store, table: &Table, rest: &str) -> Vec<Row> {
    let names = table.columns.iter().map(|it| it.0).collect::<Vec<_>>().join(", ");
    let sql = format!("SELECT {names} FROM {} {rest}", table.name);
    let rows = query(store.read(), "rows", &sql, vec![]).await.unwrap();
    let value = |row: &_, place: usize, kind: Column| -> Value {
        match kind {
            Column::Text => column::<String>(row, place).unwrap().into(),
            Column::BigInt => column::<i64>(row, place).unwrap().into(),
            Column::Double => column::<f64>(row, place).unwrap().into(),
            Column::Bool => column::<bool>(row, place).unwrap().into(),
            Column::Bytes => column::<Vec<u8>>(row, place).unwrap().into(),
            Column::Uuid => column::<Uuid>(row, place).unwrap().into(),
        }
    };
    let row =
        |row| table.columns.iter().enumerate().map(|(place, (_, kind))| value(row, place, *kind)).collect();
    rows.iter().map(row).collect()
}

/// What one batch writes.
#[derive(Default)]
struct Transaction {
    events: Vec<Row>,
    records: Vec<Row>,
    seen: Vec<Row>,
    identifiers: Vec<Row>,
    profiles: Vec<Row>,
}

impl Transaction {
    async fn commit(self, store: &Store) {
        let tx = store.write().await.unwrap();
        insert_rows(&tx, &SEEN, self.seen, "").await.unwrap();
        insert_rows(&tx, &IDENTIFIER, self.identifiers, "").await.unwrap();
        insert_rows(&tx, &PROFILE, self.profiles, AGAIN).await.unwrap();
        insert_rows(&tx, &RECORD, self.records, "").await.unwrap();
        insert_rows(&tx, &EVENT, self.events, "").await.unwrap();
        Store::commit(tx).await.unwrap();
    }
}

impl Rows {
    /// How many events they are of.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Those of the first `events` events, and as large a share of the records.
    pub fn first(&self, events: usize) -> Self {
        let events = events.min(self.events.len());
        let share = |rows: &Vec<Row>| rows[..rows.len() * events / self.events.len().max(1)].to_vec();
        Self {
            events: self.events[..events].to_vec(),
            records: self.records.iter().map(|(partition, rows)| (*partition, share(rows))).collect(),
            seen: self.seen[..events].to_vec(),
            identifiers: self.identifiers.clone(),
            profiles: self.profiles.clone(),
        }
    }

    /// The transactions of one of `parts` writers.
    fn transactions(&self, part: usize, parts: usize, batch: usize) -> Vec<Transaction> {
        let partition = |row: &Row| match row[5] {
            Value::BigInt(Some(it)) => usize::try_from(it).unwrap(),
            _ => 0,
        };
        let places: Vec<usize> =
            (0..self.events.len()).filter(|it| partition(&self.events[*it]) % parts == part).collect();
        let mut records: Vec<Row> = Vec::new();
        for (partition, rows) in &self.records {
            if usize::try_from(*partition).unwrap() % parts == part {
                records.extend(rows.iter().cloned());
            }
        }
        let share = records.len().div_ceil(places.len().div_ceil(batch).max(1)).max(1);
        let mut records = records.into_iter();
        let mut known = BTreeSet::new();
        let transaction = |places: &[usize]| {
            let events: Vec<Row> = places.iter().map(|it| self.events[*it].clone()).collect();
            let people: BTreeSet<Uuid> = events.iter().map(|it| uuid(&it[2])).collect();
            let new: Vec<Uuid> = people.iter().filter(|it| known.insert(**it)).copied().collect();
            let identifiers =
                new.iter().filter_map(|it| self.identifiers.get(it)).flatten().cloned().collect();
            Transaction {
                seen: places.iter().filter_map(|it| self.seen.get(*it).cloned()).collect(),
                profiles: people.iter().filter_map(|it| self.profiles.get(it).cloned()).collect(),
                records: records.by_ref().take(share).collect(),
                identifiers,
                events,
            }
        };
        places.chunks(batch).map(transaction).collect()
    }
}
