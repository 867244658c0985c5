//! The store's promises, on SQLite always and on PostgreSQL when one is given.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::num::NonZeroU16;

use perennial_store::{
    Backend, Column, DatabaseConfig, Migration, Store, Table, Value, any_of, delete_rows, insert_rows, query,
};

const THINGS: Table = Table {
    name: "thing",
    columns: &[
        ("workspace", Column::Text),
        ("id", Column::Uuid),
        ("count", Column::BigInt),
        ("data", Column::Bytes),
        ("score", Column::Double),
        ("live", Column::Bool),
    ],
};

const MIGRATIONS: &[Migration] = &[Migration {
    name: "0001_thing",
    sql:
        "CREATE TABLE thing (workspace TEXT NOT NULL, id {uuid} NOT NULL, count BIGINT NOT NULL, data {blob},
        score {double}, live BOOLEAN NOT NULL, PRIMARY KEY (workspace, id));\n
        CREATE INDEX thing_count ON thing (count);",
}];

async fn stores() -> Vec<(Store, Option<tempfile::TempDir>)> {
    let folder = tempfile::tempdir().unwrap();
    let config = DatabaseConfig { url: format!("sqlite:{}", folder.path().display()), ..Default::default() };
    let mut stores = vec![(Store::open(&config, "test", MIGRATIONS).await.unwrap(), Some(folder))];
    if let Some(url) = std::env::var_os("PERENNIAL_TEST_POSTGRES") {
        let schema_prefix = format!("t{}_", uuid::Uuid::now_v7().simple());
        let lanes = NonZeroU16::new(4);
        let config =
            DatabaseConfig { url: url.into_string().unwrap(), schema_prefix, lanes, ..Default::default() };
        stores.push((Store::open(&config, "test", MIGRATIONS).await.unwrap(), None));
    }
    stores
}

fn thing(n: i64) -> Vec<Value> {
    let id = uuid::Uuid::from_u128(u128::try_from(n).unwrap());
    let data = (n % 2 == 0).then(|| vec![1_u8, 2]);
    vec!["main".into(), id.into(), n.into(), Value::Bytes(data), 0.5.into(), true.into()]
}

#[tokio::test]
async fn many_rows_are_written_read_and_deleted_at_once() {
    for (store, _folder) in stores().await {
        let tx = store.write().await.unwrap();
        let rows = (0..12_000).map(thing).collect();
        let upsert = "ON CONFLICT (workspace, id) DO UPDATE SET count = excluded.count";
        assert_eq!(insert_rows(&tx, &THINGS, rows, upsert).await.unwrap(), 12_000);
        assert_eq!(insert_rows(&tx, &THINGS, vec![thing(3)], "ON CONFLICT DO NOTHING").await.unwrap(), 0);
        Store::commit(tx).await.unwrap();

        let id = |n| Value::from(uuid::Uuid::from_u128(n));
        let kinds: [(&str, Column, Vec<Value>, &[i64]); 5] = [
            ("count", Column::BigInt, vec![5_i64.into(), 7_i64.into()], &[5, 7]),
            ("id", Column::Uuid, vec![id(9), id(11_999), id(77_777)], &[9, 11_999]),
            ("data", Column::Bytes, vec![vec![1_u8].into(), vec![2_u8, 1].into()], &[]),
            ("workspace", Column::Text, vec!["a \"quoted\" one".into()], &[]),
            ("id", Column::Uuid, vec![], &[]),
        ];
        for (column, kind, wanted, found) in kinds {
            let mut values = vec!["main".into()];
            let condition = any_of(store.backend(), column, kind, wanted, &mut values);
            let sql = format!("SELECT count FROM thing WHERE workspace = $1 AND {condition} ORDER BY count");
            let rows = query(store.read(), "things", &sql, values).await.unwrap();
            let counts: Vec<i64> = rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
            assert_eq!(counts, found, "{column} on {:?}", store.backend());
        }

        let tx = store.write().await.unwrap();
        let key = Table { name: "thing", columns: &THINGS.columns[..2] };
        let keys = (0..11_998).map(|n| thing(n)[..2].to_vec()).collect();
        assert_eq!(delete_rows(&tx, &key, keys).await.unwrap(), 11_998);
        Store::commit(tx).await.unwrap();
    }
}

#[tokio::test]
async fn an_uncommitted_transaction_leaves_nothing() {
    for (store, _folder) in stores().await {
        let tx = store.write().await.unwrap();
        insert_rows(&tx, &THINGS, vec![thing(1)], "").await.unwrap();
        drop(tx);
        let tx = store.write().await.unwrap();
        let rows = query(&tx, "things", "SELECT count FROM thing", vec![]).await.unwrap();
        assert!(rows.is_empty());
    }
}

#[tokio::test]
async fn lanes_follow_the_number_of_writers() {
    for (store, _folder) in stores().await {
        let lanes = store.lanes(16).len();
        assert_eq!(lanes, if store.backend() == Backend::Sqlite { 1 } else { 4 });
    }
}

#[tokio::test]
async fn a_snapshot_sees_one_state_and_keeps_nobody_waiting() {
    for (store, _folder) in stores().await {
        let count = async |db: &perennial_store::DatabaseTransaction| {
            let rows = query(db, "things", "SELECT COUNT(*) FROM thing", vec![]).await.unwrap();
            rows[0].try_get_by_index::<i64>(0).unwrap()
        };
        let snapshot = store.snapshot().await.unwrap();
        assert_eq!(count(&snapshot).await, 0);
        let tx = store.write().await.unwrap();
        insert_rows(&tx, &THINGS, vec![thing(1)], "").await.unwrap();
        Store::commit(tx).await.unwrap();
        assert_eq!(count(&snapshot).await, 0, "on {:?}", store.backend());
        drop(snapshot);
        assert_eq!(count(&store.snapshot().await.unwrap()).await, 1);
    }
}
