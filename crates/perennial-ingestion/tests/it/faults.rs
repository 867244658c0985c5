//! When the database is away or busy: senders are told to send again, and nothing is lost or counted twice.

use crate::house::{House, databases};
use perennial_api::ingestion::v1 as wire;
use perennial_ingestion::Config;
use perennial_store::{DatabaseConfig, Store};

/// The tables the test takes away, as another connection to the same database would lock or lose them.
async fn other(database: &crate::house::Database) -> Store {
    let config = DatabaseConfig {
        url: database.url.clone(),
        schema_prefix: database.prefix.clone(),
        ..DatabaseConfig::default()
    };
    Store::open(&config, "ingestion", &[]).await.unwrap()
}

async fn run(store: &Store, sql: &str) {
    let tx = store.write().await.unwrap();
    perennial_store::execute(&tx, "the test", sql, vec![]).await.unwrap();
    Store::commit(tx).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_could_not_be_written_is_asked_for_again_and_counted_once() {
    for database in databases() {
        let house = House::open(&database).await;
        let store = other(&database).await;
        let body = r#"{"batch":[{"type":"track","messageId":"m1","userId":"1","event":"A"},
            {"type":"track","messageId":"m2","anonymousId":"x","event":"B"}]}"#;
        run(&store, "ALTER TABLE event RENAME TO event_away").await;
        assert_eq!(house.post("/v1/batch", body).await, 503);
        assert_eq!(house.stats().await.accepted_count, 0);
        run(&store, "ALTER TABLE event_away RENAME TO event").await;
        for _ in 0..2 {
            assert_eq!(house.post("/v1/batch", body).await, 200);
        }
        let stats = house.stats().await;
        assert_eq!((stats.accepted_count, stats.duplicate_count, stats.profile_count), (2, 2, 2));
        assert_eq!(house.facts().await.len(), 2);
        house.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_key_store_is_no_judgement_on_the_key() {
    for database in databases() {
        let house = House::open(&database).await;
        let store = other(&database).await;
        run(&store, "ALTER TABLE write_key RENAME TO write_key_away").await;
        let (status, answer) = house
            .send(
                &format!("POST /v1/track HTTP/1.1\r\nX-Write-Key: {}", house.key),
                br#"{"userId":"1","event":"A"}"#,
            )
            .await;
        assert_eq!(status, 503);
        assert!(answer.to_ascii_lowercase().contains("retry-after: 1"), "{answer}");
        run(&store, "ALTER TABLE write_key_away RENAME TO write_key").await;
        assert_eq!(house.post("/v1/track", r#"{"userId":"1","event":"A"}"#).await, 200);
        house.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn senders_are_told_to_wait_when_too_much_waits() {
    let database = databases().remove(0);
    let house = House::open_with(&database, Config { max_waiting_events: 3, ..Config::default() }).await;
    let store = other(&database).await;
    // The first use of a key is written down; the next ones are not.
    assert_eq!(house.post("/v1/page", r#"{"anonymousId":"a"}"#).await, 200);
    // Another writer holds the database, so what comes has to wait.
    let tx = store.write().await.unwrap();
    let body = r#"{"batch":[{"type":"page","anonymousId":"a"},{"type":"page","anonymousId":"b"}]}"#;
    let both = [Box::pin(house.post("/v1/batch", body)), Box::pin(house.post("/v1/batch", body))];
    let (refused, _, mut others) = futures::future::select_all(both).await;
    assert_eq!(refused, 429);
    tx.commit().await.unwrap();
    assert_eq!(others.remove(0).await, 200);
    drop(others);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_waits_for_room_where_a_request_is_sent_away() {
    let database = databases().remove(0);
    let house = House::open_with(&database, Config { max_waiting_events: 3, ..Config::default() }).await;
    let store = other(&database).await;
    let tx = store.write().await.unwrap();
    let batch = |n: u32| wire::IngestStreamRequest {
        parent: "workspaces/main".to_owned(),
        events: (0..2)
            .map(|m| wire::Event {
                r#type: "page".to_owned(),
                anonymous_id: "a".to_owned(),
                message_id: format!("{n} {m}"),
                ..Default::default()
            })
            .collect(),
        historical: false,
    };
    let stream = |n: u32| {
        let mut client = house.ingestion.clone();
        async move { client.ingest_stream(futures::stream::iter([batch(n), batch(n + 1)])).await.unwrap() }
    };
    let mut both = Box::pin(futures::future::join(stream(0), stream(2)));
    // Neither is sent away while another writer holds the database.
    assert!(futures::poll!(&mut both).is_pending());
    house.refused_events_while_full().await;
    assert!(futures::poll!(&mut both).is_pending());
    tx.commit().await.unwrap();
    let (one, other) = both.await;
    assert_eq!(one.into_inner().accepted_count + other.into_inner().accepted_count, 8);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_left_half_told_by_a_crash_is_told_at_the_next_start() {
    for database in databases() {
        let house = House::open(&database).await;
        house.post("/v1/page", r#"{"anonymousId":"a"}"#).await;
        house.post("/v1/identify", r#"{"userId":"1","anonymousId":"b","traits":{}}"#).await;
        house.post("/v1/identify", r#"{"userId":"1","anonymousId":"a","traits":{}}"#).await;
        house.close().await;
        // As if the process had ended between the two halves.
        let store = other(&database).await;
        run(&store, "UPDATE merge SET pending = TRUE").await;
        let house = House::open(&database).await;
        assert_eq!(house.post("/v1/page", r#"{"anonymousId":"a"}"#).await, 200);
        let into = house.records().await.iter().filter(|it| it.kind == "merged_into").count();
        assert_eq!(into, 2, "the one that was told, and the one the test took back");
        house.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workspace_that_sends_too_fast_is_told_when_to_go_on() {
    let config = Config { max_events_per_second: 2, ..Config::default() };
    for database in databases() {
        let house = House::open_with(&database, config.clone()).await;
        let batch = |from: usize, many: usize| {
            let item =
                |n: usize| format!(r#"{{"type":"track","event":"E","userId":"u","messageId":"m{n}"}}"#);
            format!(r#"{{"batch":[{}]}}"#, (from..from + many).map(item).collect::<Vec<_>>().join(","))
        };
        // Larger than a whole window, and alone: it is taken, or it would never be.
        assert_eq!(house.post("/v1/batch", &batch(0, 30)).await, 200);
        let head = format!("POST /v1/batch?writeKey={} HTTP/1.1\r\nContent-Type: text/plain", house.key);
        let (status, answer) = house.send(&head, batch(30, 1).as_bytes()).await;
        assert_eq!(status, 429);
        // The clock stands at a full minute: the window has ten seconds left.
        assert!(answer.to_lowercase().contains("retry-after: 10"), "{answer}");
        assert!(answer.contains("2 events a second"), "{answer}");
        house.advance(1).await;
        assert_eq!(house.post("/v1/batch", &batch(30, 20)).await, 200);
        assert_eq!(house.stats().await.accepted_count, 50);
        house.close().await;
    }
}
