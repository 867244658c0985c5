//! Profiles are read through the cache, in memory and in Redis, and are never older than what was acknowledged.

use crate::house::{House, databases};
use perennial_cache::Config as CacheConfig;
use perennial_ingestion::Config;

/// Every cache there is: memory, and Redis where there is one.
pub fn caches() -> Vec<CacheConfig> {
    let redis = std::env::vars().find(|(name, _)| name == "PERENNIAL_TEST_REDIS").map(|it| it.1);
    let redis = redis.map(|url| CacheConfig { url, ..CacheConfig::default() });
    std::iter::once(CacheConfig::default()).chain(redis).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_that_was_read_is_kept_until_it_changes() {
    for cache in caches() {
        for database in databases() {
            let house = House::open_cached(&database, Config::default(), cache.clone()).await;
            let tell = async |message: &str, city: &str| {
                let body = format!(
                    r#"{{"userId":"ann","messageId":"{message}","traits":{{"city":"{city}"}},"context":{{}}}}"#
                );
                assert_eq!(house.post("/v1/identify", &body).await, 200);
            };
            tell("m1", "Riga").await;
            let first = house.lookup("ann").await.unwrap();
            assert!(first.traits_json.contains("Riga") && first.complete_through.is_some(), "{first:?}");
            let before = house.host.cache.counts();
            assert_eq!(house.lookup("ann").await.unwrap(), first);
            let after = house.host.cache.counts();
            assert_eq!((after.hits, after.misses), (before.hits + 1, before.misses), "kept");

            // Acknowledged, and so to be read.
            tell("m2", "Oslo").await;
            assert!(house.lookup("ann").await.unwrap().traits_json.contains("Oslo"));

            // An anonymous history that turns out to be hers: she is read under her id, with it.
            let anonymous = r#"{"anonymousId":"web-1","messageId":"m3","event":"Seen"}"#;
            assert_eq!(house.post("/v1/track", anonymous).await, 200);
            let nobody = house.lookup("web-1").await.unwrap();
            let both = r#"{"anonymousId":"web-1","userId":"ann","messageId":"m4","traits":{}}"#;
            assert_eq!(house.post("/v1/identify", both).await, 200);
            let now = house.lookup("web-1").await.unwrap();
            assert_eq!(now.identifiers.len(), 2, "{now:?}");
            assert_eq!(house.lookup("ann").await.unwrap(), now);
            let by_old_name = house.profile(&nobody.name).await;
            assert_eq!((by_old_name.name, by_old_name.identifiers), (now.name, now.identifiers));
            house.close().await;
        }
    }
}
