//! One suite for every place a cache can be: memory always, Redis where `PERENNIAL_TEST_REDIS` holds its URL.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use bytes::Bytes;
use perennial_cache::{Cache, Config, News, Wake};
use perennial_types::Workspace;
use uuid::Uuid;

const LONG: Duration = Duration::from_secs(60);

fn caches() -> Vec<Cache> {
    let mut caches = vec![Cache::memory(1 << 20)];
    if let Some(url) = std::env::var_os("PERENNIAL_TEST_REDIS") {
        let config = Config { url: url.into_string().unwrap(), ..Config::default() };
        caches.push(Cache::open(&config).unwrap());
    }
    caches
}

/// A workspace of its own for each test, since a Redis is shared.
fn workspace() -> Workspace {
    Workspace::parse(&format!("w{}", Uuid::now_v7())).unwrap()
}

fn bytes(text: &'static str) -> Option<Bytes> {
    Some(Bytes::from_static(text.as_bytes()))
}

#[tokio::test]
async fn what_is_put_is_found_until_it_is_forgotten() {
    for cache in caches() {
        let workspace = workspace();
        cache.put(&workspace, "score/1", "7", LONG).await;
        cache.put(&workspace, "score/2", "8", LONG).await;
        let found = cache.get_many(&workspace, &["score/2", "score/3", "score/1"]).await;
        assert_eq!(found, [bytes("8"), None, bytes("7")]);
        cache.put(&workspace, "score/1", "9", LONG).await;
        assert_eq!(cache.get(&workspace, "score/1").await, bytes("9"));
        cache.forget(&workspace, &["score/1", "score/3"]).await;
        assert_eq!(cache.get(&workspace, "score/1").await, None);
        let counts = cache.counts();
        assert_eq!((counts.hits, counts.misses, counts.errors), (3, 2, 0));
    }
}

#[tokio::test]
async fn a_workspace_never_sees_anothers_values() {
    for cache in caches() {
        let (one, other) = (workspace(), workspace());
        cache.put(&one, "score/1", "7", LONG).await;
        assert_eq!(cache.get(&other, "score/1").await, None);
    }
}

#[tokio::test]
async fn a_value_goes_when_its_lifetime_ends() {
    for cache in caches() {
        let workspace = workspace();
        cache.put(&workspace, "short", "1", Duration::from_millis(20)).await;
        cache.put(&workspace, "none", "1", Duration::ZERO).await;
        assert_eq!(cache.get(&workspace, "none").await, None);
        let gone = async {
            while cache.get(&workspace, "short").await.is_some() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
    }
}

#[tokio::test]
async fn memory_is_bounded() {
    let (cache, workspace) = (Cache::memory(10_000), workspace());
    for n in 0..1_000 {
        cache.put(&workspace, &n.to_string(), vec![0; 100], LONG).await;
    }
    let few = async {
        loop {
            let keys: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
            if cache.get_many(&workspace, &keys).await.iter().flatten().count() <= 100 {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), few).await.unwrap();
}

async fn heard(news: &mut News, channel: &str) {
    while news.next().await != Wake::Channel(channel.to_owned()) {}
}

#[tokio::test]
async fn a_wake_up_reaches_everyone_who_listens() {
    for cache in caches() {
        let channel = format!("{}/3", workspace());
        let (mut one, mut other) = (cache.news(), cache.news());
        if cache.is_shared() {
            // Redis listens once it says that anything may have been missed before.
            assert_eq!((one.next().await, other.next().await), (Wake::Anywhere, Wake::Anywhere));
        }
        cache.wake(&channel).await;
        let both = async { futures::join!(heard(&mut one, &channel), heard(&mut other, &channel)) };
        tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
    }
}

#[tokio::test]
async fn a_listener_that_is_too_slow_is_told_to_look_everywhere() {
    let cache = Cache::memory(1 << 20);
    let mut news = cache.news();
    for n in 0..5_000 {
        cache.wake(&n.to_string()).await;
    }
    assert_eq!(news.next().await, Wake::Anywhere);
}

#[tokio::test]
async fn without_redis_everything_is_a_miss_and_nothing_fails_or_waits_long() {
    // Bound and closed again: nothing listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("redis://127.0.0.1:{port}");
    let cache = Cache::open(&Config { url, ..Config::default() }).unwrap();
    let workspace = workspace();
    let calls = async {
        for _ in 0..1_000 {
            cache.put(&workspace, "score/1", "7", LONG).await;
            assert_eq!(cache.get(&workspace, "score/1").await, None);
            cache.wake("ingestion/3").await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), calls).await.unwrap();
    let counts = cache.counts();
    assert_eq!((counts.hits, counts.misses, counts.errors), (0, 1_000, 3_000));
}

#[tokio::test]
async fn a_wrong_url_is_refused_with_the_remedy_and_without_its_password() {
    let config = Config { url: "http://ana:s3cret@redis".to_owned(), ..Config::default() };
    let refused = Cache::open(&config).unwrap_err().to_string();
    assert!(refused.starts_with("cache.url") && refused.contains("redis://redis:6379/0"), "{refused}");
    assert!(!refused.contains("s3cret"), "{refused}");
}

/// Reads `key` through the cache from a database that holds `stored`, and lets `meanwhile` happen before it answers.
async fn read(
    cache: &Cache,
    workspace: &Workspace,
    stored: Option<Bytes>,
    meanwhile: impl Future<Output = ()>,
) -> (Option<Bytes>, bool) {
    let looked = cache.look(workspace, &["profile/1"]).await;
    if let Some(kept) = looked.values[0].clone() {
        return (Some(kept), false);
    }
    meanwhile.await;
    cache.fill(&looked, stored.clone().map(|it| (0, it)), LONG).await;
    (stored, true)
}

#[tokio::test]
async fn a_read_through_asks_the_database_once_and_again_after_a_change() {
    for cache in caches() {
        let workspace = workspace();
        let nothing = || std::future::ready(());
        assert_eq!(read(&cache, &workspace, bytes("old"), nothing()).await, (bytes("old"), true));
        assert_eq!(read(&cache, &workspace, bytes("new"), nothing()).await, (bytes("old"), false));
        cache.forget(&workspace, &["profile/1"]).await;
        assert_eq!(read(&cache, &workspace, bytes("new"), nothing()).await, (bytes("new"), true));
        // What is not there is not kept: it may come.
        cache.forget(&workspace, &["profile/1"]).await;
        assert_eq!(read(&cache, &workspace, None, nothing()).await, (None, true));
    }
}

#[tokio::test]
async fn what_was_read_before_a_change_is_not_kept_after_it() {
    for cache in caches() {
        let workspace = workspace();
        let change = cache.forget(&workspace, &["profile/1"]);
        // It was right when it was read, so it is answered; nobody after may get it.
        assert_eq!(read(&cache, &workspace, bytes("old"), change).await, (bytes("old"), true));
        let next = read(&cache, &workspace, bytes("new"), std::future::ready(())).await;
        assert_eq!(next, (bytes("new"), true));

        // A second reader, while the first still reads, keeps nothing of its own.
        cache.forget(&workspace, &["profile/1"]).await;
        let second = async {
            let read = read(&cache, &workspace, bytes("older"), std::future::ready(())).await;
            assert_eq!(read, (bytes("older"), true));
        };
        assert_eq!(read(&cache, &workspace, bytes("newer"), second).await, (bytes("newer"), true));
        let kept = read(&cache, &workspace, None, std::future::ready(())).await;
        assert_eq!(kept, (bytes("newer"), false));
    }
}

#[tokio::test]
async fn a_count_is_the_sum_of_all_who_counted() {
    for cache in caches() {
        let workspace = workspace();
        let other = cache.clone();
        assert_eq!(cache.add(&workspace, "events/1", 3, LONG).await, 3);
        assert_eq!(other.add(&workspace, "events/1", 4, LONG).await, 7);
        assert_eq!(cache.add(&workspace, "events/2", 1, LONG).await, 1);
    }
    let away = Config { url: "redis://127.0.0.1:1/".to_owned(), ..Config::default() };
    let away = Cache::open(&away).unwrap();
    assert_eq!(away.add(&workspace(), "events/1", 3, LONG).await, 0);
}
