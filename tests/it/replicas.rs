//! Two replicas of ingestion: they wake each other's readers. What the second adds is measured by hand: `tests/bench/replicas`,
//! which is part of `make bench`.
#![expect(clippy::print_stdout, reason = "a measurement's answer")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use perennial_api::feed::v1::feed_service_client::FeedServiceClient;
use perennial_api::feed::v1::{AwaitNewsRequest, AwaitNewsResponse};
use perennial_rpc::Transport;
use serde_json::json;

use crate::house::{House, Shape, given, number, request};
use crate::postgres::Postgres;

/// Events of one request.
const BATCH: usize = 100;
/// Senders, shared among the replicas.
const SENDERS: usize = 16;
/// Hundredths of a processor that a replica has, where it is limited.
const SHARE: u32 = 20;

fn batch(n: usize) -> String {
    let item = |m: usize| {
        let (id, user) = (n * BATCH + m, (n * 7_919 + m * 104_729) % 20_000);
        json!({
            "type": "track", "messageId": format!("message-{id}-abcdefghijkl"), "userId": format!("user-{user}"),
            "event": "Product Viewed", "timestamp": "2026-03-01T11:59:00Z",
            "properties": {
                "product_id": format!("p{}", id % 500), "name": "A thing", "price": 19.99, "currency": "EUR",
                "category": "things", "brand": "Acme", "position": 3, "url": "https://shop.example/p",
            },
            "context": { "locale": "de-DE", "timezone": "Europe/Berlin", "ip": "203.0.113.9" },
        })
    };
    json!({ "batch": (0..BATCH).map(item).collect::<Vec<_>>() }).to_string()
}

/// A share of a processor for one process, as a container's limit gives it; gone when dropped, after its process.
struct Quota(PathBuf);

impl Quota {
    /// So many hundredths of a processor; none where this machine does not let us, which takes root.
    fn of(process: u32, percent: u32) -> Option<Self> {
        let (root, name) = (Path::new("/sys/fs/cgroup"), format!("perennial-{process}"));
        let (period, quota) = (100_000, percent * 1_000);
        let (folder, file, text) = if root.join("cpu").is_dir() {
            (root.join("cpu").join(name), "cpu.cfs_quota_us", quota.to_string())
        } else {
            (root.join(name), "cpu.max", format!("{quota} {period}"))
        };
        std::fs::create_dir(&folder).ok()?;
        let it = Self(folder);
        std::fs::write(it.0.join(file), text).ok()?;
        std::fs::write(it.0.join("cgroup.procs"), process.to_string()).ok()?;
        Some(it)
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        drop(std::fs::remove_dir(&self.0));
    }
}

/// Events a second that so many replicas acknowledge, each with so many hundredths of a processor if that is said, and the
/// schema they are in then; none where that cannot be said.
fn acknowledged(
    postgres: &Postgres,
    redis: &str,
    replicas: usize,
    batches: usize,
    percent: Option<u32>,
) -> Option<(f64, String)> {
    let count = replicas.to_string();
    let shape = Shape::Six { postgres: postgres.url.clone(), redis: redis.to_owned() };
    let mut house = House::new(shape, &[("replicas", &count)]);
    house.only("ingestion", replicas);
    let mut quotas = Vec::new();
    let servers = house.serve_all();
    if let Some(percent) = percent {
        for server in &servers {
            quotas.push(Quota::of(server.0.id(), percent)?);
        }
    }
    let key = house.ask(&["keys", "create", "load", "-o", "json"])["key"].as_str().unwrap().to_owned();
    let bodies: Vec<String> = (0..batches).map(batch).collect();
    let headers = [("x-write-key", key.as_str()), ("content-type", "application/json")];
    let began = Instant::now();
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (bodies, headers, house) = (&bodies, &headers, &house);
            scope.spawn(move || {
                let to = house.places[sender % replicas].http;
                for body in bodies.iter().skip(sender).step_by(SENDERS) {
                    let (code, head) = request(to, "POST", "/v1/batch", headers, body).unwrap();
                    assert_eq!(code, 200, "{head}");
                }
            });
        }
    });
    let rate = (batches * BATCH) as f64 / began.elapsed().as_secs_f64();
    let newest =
        "SELECT nspname FROM pg_namespace WHERE nspname LIKE 't%\\_ingestion' ORDER BY oid DESC LIMIT 1";
    let schema = postgres.query(newest);
    let logged: usize = postgres.query(&format!("SELECT COUNT(*) FROM {schema}.event")).parse().unwrap();
    assert_eq!(logged, batches * BATCH, "each event is in the log once");
    Some((rate, schema))
}

/// Events a second that PostgreSQL itself writes: the same rows into tables like those, as literal statements of as many
/// rows as a commit of the service had, from as many connections.
fn floor(postgres: &Postgres, schema: &str, events: usize) -> (f64, usize) {
    let rows = format!(
        "SELECT CEIL(COUNT(*)::float / COUNT(DISTINCT (partition, time)))::int FROM {schema}.feed_record"
    );
    let rows: usize = postgres.query(&rows).parse().unwrap();
    let tables = ["event", "feed_record", "seen_a", "profile", "identifier"];
    let mut dump = postgres.client("pg_dump");
    dump.args(["--data-only", "--inserts", "--rows-per-insert", &rows.to_string()]);
    dump.args(tables.iter().flat_map(|it| ["-t".to_owned(), format!("{schema}.{it}")]));
    let dump = dump.output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let text = String::from_utf8(dump.stdout).unwrap().replace(&format!("{schema}."), "bare.");
    let mut statements: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for statement in text.split("\nINSERT INTO ").skip(1) {
        let end = statement.find(");\n").map_or(statement.len(), |it| it + 2);
        let table = statement.split(' ').next().unwrap();
        statements.entry(table).or_default().push(&statement[..end]);
    }
    postgres.query("CREATE SCHEMA bare");
    for table in tables {
        postgres.query(&format!("CREATE TABLE bare.{table} (LIKE {schema}.{table} INCLUDING ALL)"));
    }
    let folder = tempfile::tempdir().unwrap();
    let most = statements.values().map(Vec::len).max().unwrap();
    for writer in 0..SENDERS {
        let mut script = String::from("SET synchronous_commit = on;\n");
        for n in (writer..most).step_by(SENDERS) {
            script.push_str("BEGIN;\n");
            for statement in statements.values().filter_map(|it| it.get(n)) {
                writeln!(script, "INSERT INTO {statement}").unwrap();
            }
            script.push_str("COMMIT;\n");
        }
        std::fs::write(folder.path().join(writer.to_string()), script).unwrap();
    }
    let began = Instant::now();
    let writers: Vec<_> = (0..SENDERS)
        .map(|writer| {
            let mut psql = postgres.client("psql");
            psql.args(["-q", "-v", "ON_ERROR_STOP=1", "-f"]).arg(folder.path().join(writer.to_string()));
            psql.spawn().unwrap()
        })
        .collect();
    for mut writer in writers {
        assert!(writer.wait().unwrap().success());
    }
    (events as f64 / began.elapsed().as_secs_f64(), rows)
}

#[test]
#[ignore = "a measurement, not a test"]
fn replicas() {
    let Some(redis) = given("PERENNIAL_TEST_REDIS") else { return };
    let Some(postgres) = Postgres::start() else { return };
    let batches = number("PERENNIAL_TEST_BATCHES").unwrap_or(600);
    let (one, schema) = acknowledged(&postgres, &redis, 1, batches, None).unwrap();
    let (two, _) = acknowledged(&postgres, &redis, 2, batches, None).unwrap();
    // Where senders, replicas and database share a few processors, a second replica only takes from the first. With a
    // limit each, as they have in a cluster, it is seen what it adds.
    let limited = |replicas| acknowledged(&postgres, &redis, replicas, batches, Some(SHARE));
    let limited = limited(1).zip(limited(2));
    let (floor, rows) = floor(&postgres, &schema, batches * BATCH);
    println!("  {:<58} {one:>9.0} events/s", "one replica of ingestion on PostgreSQL");
    println!("  {:<58} {two:>9.0} events/s", "two replicas on the same PostgreSQL");
    match limited {
        Some((one, two)) => {
            let what = |replicas: &str| format!("{replicas}, each with {SHARE} % of a processor");
            println!("  {:<58} {:>9.0} events/s", what("one replica"), one.0);
            println!("  {:<58} {:>9.0} events/s", what("two replicas"), two.0);
        }
        None => println!("  replicas cannot be given a share of a processor here: that takes root"),
    }
    let what = format!("the same rows by psql, {rows} a statement, {SENDERS} connections");
    println!("  {what:<58} {floor:>9.0} events/s");
}

async fn await_news(
    client: &mut FeedServiceClient<Transport>,
    after: &AwaitNewsResponse,
    wait_ms: u32,
) -> AwaitNewsResponse {
    let (process, count) = (after.process.clone(), after.count);
    let request = AwaitNewsRequest { feed: "ingestion".to_owned(), process, count, wait_ms };
    client.await_news(request).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_at_one_replica_wakes_who_waits_at_the_other() {
    let (Some(postgres), Some(redis)) = (given("PERENNIAL_TEST_POSTGRES"), given("PERENNIAL_TEST_REDIS"))
    else {
        return;
    };
    let mut house = House::new(Shape::Six { postgres, redis }, &[("replicas", "2")]);
    house.only("ingestion", 2);
    let _servers = house.serve_all();
    let key = house.ask(&["keys", "create", "shop", "-o", "json"])["key"].as_str().unwrap().to_owned();
    let mut other = FeedServiceClient::new(house.processes("perennial.feed.v1.FeedService").remove(1));

    // Until nothing is new: the replicas have found each other, and said so.
    let mut known = AwaitNewsResponse::default();
    loop {
        known = await_news(&mut other, &known, 3_000).await;
        if known.partitions.is_empty() {
            break;
        }
    }
    let began = Instant::now();
    let (news, posted) = tokio::join!(await_news(&mut other, &known, 30_000), async {
        tokio::task::block_in_place(|| house.post(&key, &batch(0)))
    });
    assert!(posted);
    assert!(
        !news.partitions.is_empty() && news.process == known.process,
        "{news:?} after {:?}",
        began.elapsed()
    );
}
