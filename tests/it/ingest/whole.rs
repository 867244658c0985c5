//! The whole way of events: from the first byte sent until profiles, scores and segments reflect the last of them.

use std::time::{Duration, Instant};

use perennial_api::feed::v1::ListConsumersRequest;
use perennial_api::feed::v1::feed_service_client::FeedServiceClient;

use super::load::{Load, Way};
use super::process;
use crate::house::{House, Server};
use crate::postgres::Postgres;

/// Segments whose rules most of the events touch.
const FILES: &str = "kind: Segment
name: regulars
rule: count(\"Order Completed\", \"120d\") >= 2
---
kind: Segment
name: waverers
rule: did(\"Product Added\", \"3d\") && !did(\"Order Completed\", \"3d\")
---
kind: Segment
name: lookers
rule: count(\"Product Viewed\", \"7d\") >= 3
---
kind: Segment
name: buyers
rule: did(\"Order Completed\", \"30d\")
---
kind: Segment
name: reachable
rule: reachable(\"email\")
";

/// What the whole way took.
pub struct Went {
    pub seconds: f64,
    /// Seconds of processor by process, and of the database's last.
    pub worked: Vec<(String, f64)>,
}

/// Gives the house its segments.
pub fn furnish(house: &House) {
    let files = house.folder.path().join("segments.yaml");
    std::fs::write(&files, FILES).unwrap();
    house.ask(&["apply", "-f", &files.display().to_string(), "--live"]);
}

/// Waits until every reader in every process has applied all there is, twice in a row.
fn worked_off(house: &House) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut processes: Vec<_> = house
            .processes("perennial.feed.v1.FeedService")
            .into_iter()
            .map(FeedServiceClient::new)
            .collect();
        let (began, mut quiet) = (Instant::now(), 0);
        while quiet < 2 {
            let mut behind = 0;
            for process in &mut processes {
                let answer = process.list_consumers(ListConsumersRequest {}).await.unwrap().into_inner();
                behind += answer.consumers.iter().map(|it| it.head_seq.saturating_sub(it.seq)).sum::<u64>();
            }
            quiet = if behind == 0 { quiet + 1 } else { 0 };
            assert!(began.elapsed() < Duration::from_secs(600), "{behind} records are not worked off");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    });
}

/// Sends events, and waits until everything reflects them.
pub fn measure(
    house: &House,
    servers: &[Server],
    postgres: Option<&Postgres>,
    key: &str,
    load: &Load,
) -> Went {
    let names = house.places.iter().map(|it| if it.services.len() == 1 { it.services[0] } else { "all" });
    let names: Vec<&str> = names.collect();
    let worked = || {
        let mut all: Vec<f64> = servers.iter().map(|it| process::worked(it.0.id())).collect();
        all.extend(postgres.map(|it| process::worked_with_children(it.process())));
        all
    };
    let orders = || house.ask(&["status", "-o", "json"])["orders"].as_u64().unwrap();
    let (known, before) = (orders(), worked());
    let sent = load.send(Way::Http, house, key, None);
    worked_off(house);
    let (seconds, after) = (sent.began.elapsed().as_secs_f64(), worked());
    // A fast wrong answer does not count.
    assert_eq!(usize::try_from(orders() - known).unwrap(), load.orders());
    let members = |name: &str| {
        let segments = house.ask(&["get", "segments", "-o", "json"]);
        let found = segments.as_array().unwrap().iter().find(|it| it["name"] == name).cloned();
        found.and_then(|it| it["members"].as_u64()).unwrap()
    };
    assert!(members("buyers") > 0 && members("waverers") > 0);
    let worked = after.into_iter().zip(before).map(|(after, before)| after - before);
    let worked = names.into_iter().chain(["database"]).map(str::to_owned).zip(worked).collect();
    Went { seconds, worked }
}
