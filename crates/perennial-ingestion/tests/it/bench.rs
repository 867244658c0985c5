//! How fast it is; run by hand: `cargo test --release -p perennial-ingestion -- --ignored --nocapture speed`.

use crate::cached::caches;
use crate::house::{House, databases};
use perennial_cache::Config as CacheConfig;
use perennial_ingestion::Config;
use std::time::Instant;

/// Batches of 100 over HTTP, 16 senders, everything durable before it is acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn speed() {
    for database in databases() {
        let house = House::open_with(&database, Config::default()).await;
        let batch = |n: usize| {
            let item = |m: usize| {
                let (id, user) = (n * 100 + m, (n * 7919 + m * 104_729) % 20_000);
                format!(
                    r#"{{"type":"track","messageId":"message-{id}-abcdefghijkl","userId":"user-{user}","event":"Product Viewed",
                    "timestamp":"2026-03-01T11:59:00Z","properties":{{"product_id":"p{}","name":"A thing","price":19.99,"currency":"EUR",
                    "category":"things","brand":"Acme","position":3,"url":"https://shop.example/p"}},"context":{{"locale":"de-DE",
                    "timezone":"Europe/Berlin","userAgent":"Mozilla/5.0 (X11; Linux x86_64)","ip":"203.0.113.9","library":{{"name":"bench",
                    "version":"1.0"}},"page":{{"path":"/p","url":"https://shop.example/p","title":"A thing"}}}}}}"#,
                    id % 500
                )
            };
            format!(r#"{{"batch":[{}]}}"#, (0..100).map(item).collect::<Vec<_>>().join(","))
        };
        let batches: Vec<String> = (0..600).map(batch).collect();
        let (began, worked) = (Instant::now(), cpu_seconds());
        let house = &house;
        let senders = (0..16).map(|sender| {
            let batches = &batches;
            async move {
                for body in batches.iter().skip(sender).step_by(16) {
                    assert_eq!(house.post("/v1/batch", body).await, 200);
                }
            }
        });
        futures::future::join_all(senders).await;
        let seconds = began.elapsed().as_secs_f64();
        let rate = 60_000.0 / seconds;
        assert_eq!(house.stats().await.accepted_count, 60_000);
        #[expect(clippy::print_stdout, reason = "the measurement's answer")]
        {
            println!(
                "{}: {rate:.0} events/s; {:.0} events per CPU-second of service and senders together",
                database.url.split(':').next().unwrap(),
                60_000.0 / (cpu_seconds() - worked),
            );
        }
    }
}

/// Nineteen reads of a profile for one change, eight at a time: without a cache, in memory, in Redis.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn reads() {
    let without = CacheConfig { memory_bytes: 0, ..CacheConfig::default() };
    for cache in std::iter::once(without).chain(caches()) {
        for database in databases() {
            let house = House::open_cached(&database, Config::default(), cache.clone()).await;
            let change = |user: usize, n: usize| {
                format!(r#"{{"userId":"user-{user}","messageId":"{user}-{n}","traits":{{"n":{n}}}}}"#)
            };
            let mut names = Vec::new();
            for user in 0..200 {
                assert_eq!(house.post("/v1/identify", &change(user, 0)).await, 200);
                names.push(house.lookup(&format!("user-{user}")).await.unwrap().name);
            }
            let (began, before) = (Instant::now(), house.host.cache.counts());
            let (house, names) = (&house, &names);
            let callers = (0..8).map(|caller| async move {
                for n in 0..1_000 {
                    let user = (n * 31 + caller * 17) % names.len();
                    if n % 20 == 19 {
                        let body = change(user, 1 + caller * 1_000 + n);
                        assert_eq!(house.post("/v1/identify", &body).await, 200);
                    } else {
                        assert_eq!(house.profile(&names[user]).await.name, names[user]);
                    }
                }
            });
            futures::future::join_all(callers).await;
            let (seconds, after) = (began.elapsed().as_secs_f64(), house.host.cache.counts());
            let hits = after.hits - before.hits;
            let asked = hits + after.misses - before.misses;
            #[expect(clippy::print_stdout, reason = "the measurement's answer")]
            {
                println!(
                    "{} with {} ({} bytes): {:.0} calls/s, {:.1} % of reads kept",
                    database.url.split(':').next().unwrap(),
                    cache.url.split(':').next().unwrap(),
                    cache.memory_bytes,
                    8_000.0 / seconds,
                    100.0 * hits as f64 / asked.max(1) as f64,
                );
            }
        }
    }
}

/// CPU time of this process so far, where the system tells it.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    // User and system time, in hundredths of a second.
    let ticks: f64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|it| it.parse::<f64>().ok()).sum();
    ticks / 100.0
}
