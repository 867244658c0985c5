//! Senders are told to wait while a service that reads the log is too far behind.

use crate::house::{House, databases};
use perennial_api::feed::v1::{Cursor, ReadRequest};
use perennial_api::ingestion::v1 as wire;
use perennial_ingestion::Config;
use std::time::Duration;
use tonic::Code;
use tonic_types::StatusExt;

/// Reads as a service does that names itself: from `after` on, or from the first record if there is none.
async fn read(house: &House, consumer: &str, after: &[u64], max_records: u32) -> Vec<u64> {
    let cursor = |partition: u32| Cursor {
        partition,
        after_seq: after.get(partition as usize).copied().unwrap_or_default(),
        complete_after: None,
    };
    let request = ReadRequest {
        feed: "ingestion".to_owned(),
        cursors: (0..16).map(cursor).collect(),
        max_records,
        consumer: consumer.to_owned(),
        ..ReadRequest::default()
    };
    let answer = house.feed.clone().read(request).await.unwrap().into_inner();
    answer.partitions.iter().map(|it| it.records.last().map_or(0, |it| it.seq)).collect()
}

fn batch(from: usize, many: usize) -> Vec<wire::Event> {
    let event = |n: usize| wire::Event {
        r#type: "track".to_owned(),
        event: "E".to_owned(),
        user_id: "u".to_owned(),
        message_id: format!("m{n}"),
        ..wire::Event::default()
    };
    (from..from + many).map(event).collect()
}

async fn import(house: &House, events: Vec<wire::Event>) -> Result<(), tonic::Status> {
    let request =
        wire::IngestEventsRequest { parent: "workspaces/main".to_owned(), events, historical: true };
    house.ingestion.clone().ingest_events(request).await.map(|_| ())
}

const BODY: &str = r#"{"userId":"u","event":"E"}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stays_behind_stops_senders_until_it_has_caught_up() {
    for database in databases() {
        let house = House::open_with(&database, Config { max_lag: 10, ..Config::default() }).await;
        // A profile and twenty facts, all of one partition; nobody reads yet, so nobody is behind.
        import(&house, batch(0, 20)).await.unwrap();
        read(&house, "", &[], 1).await;
        assert_eq!(house.post("/v1/track", BODY).await, 200, "who only looks is not waited for");
        read(&house, "quick", &[], 1_000).await;
        assert_eq!(house.post("/v1/track", BODY).await, 200);

        read(&house, "slow", &[], 1).await;
        let head = format!("POST /v1/track?writeKey={} HTTP/1.1\r\nContent-Type: text/plain", house.key);
        let (status, answer) = house.send(&head, BODY.as_bytes()).await;
        assert_eq!(status, 429);
        assert!(answer.to_ascii_lowercase().contains("retry-after: 5"), "{answer}");
        assert!(answer.contains("slow is too far behind the log"), "{answer}");
        let refused = import(&house, batch(20, 1)).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        let details = refused.get_error_details();
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_secs(5)));
        assert_eq!(details.error_info().unwrap().reason, "READER_TOO_FAR_BEHIND");

        let places = read(&house, "slow", &[], 1_000).await;
        assert_eq!(house.post("/v1/track", BODY).await, 200);
        import(&house, batch(20, 20)).await.unwrap();
        read(&house, "slow", &places, 15).await;
        import(&house, batch(40, 1)).await.unwrap();
        assert_eq!(house.stats().await.accepted_count, 44);
        house.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_is_gone_stops_nobody_for_ever() {
    for database in databases() {
        let house = House::open_with(&database, Config { max_lag: 10, ..Config::default() }).await;
        import(&house, batch(0, 20)).await.unwrap();
        read(&house, "gone", &[], 1).await;
        assert_eq!(house.post("/v1/track", BODY).await, 429);
        house.advance(1).await;
        assert_eq!(house.post("/v1/track", BODY).await, 200);
        // When it is there again, it is waited for again: all of the log was kept for it.
        let places = read(&house, "gone", &[], 1).await;
        assert_eq!(places.iter().sum::<u64>(), 1);
        assert_eq!(house.post("/v1/track", BODY).await, 429);
        house.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_waits_for_a_reader_where_a_request_is_sent_away() {
    for database in databases() {
        let house = House::open_with(&database, Config { max_lag: 10, ..Config::default() }).await;
        import(&house, batch(0, 20)).await.unwrap();
        read(&house, "slow", &[], 1).await;
        let request = wire::IngestStreamRequest {
            parent: "workspaces/main".to_owned(),
            events: batch(20, 2),
            historical: true,
        };
        let mut client = house.ingestion.clone();
        let mut stream = Box::pin(client.ingest_stream(futures::stream::iter([request])));
        assert!(futures::poll!(&mut stream).is_pending());
        assert_eq!(house.post("/v1/track", BODY).await, 429);
        assert!(futures::poll!(&mut stream).is_pending());
        assert_eq!(house.stats().await.accepted_count, 20);
        read(&house, "slow", &[], 1_000).await;
        assert_eq!(stream.await.unwrap().into_inner().accepted_count, 2);
        house.close().await;
    }
}
