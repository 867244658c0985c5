//! Fits on schedule.

use perennial_api::scoring::v1::{ListModelsRequest, Model, ModelState};
use perennial_rpc::time;
use perennial_scoring::Config;
use perennial_types::{Timestamp, from_micros, micros};

use crate::shop::{DAY, PARENT, Shop, databases, day, orders, placed, profile};

async fn models(shop: &Shop) -> Vec<Model> {
    let request = ListModelsRequest { parent: PARENT.to_owned(), ..ListModelsRequest::default() };
    shop.client.clone().list_models(request).await.unwrap().into_inner().models
}

fn published(model: &Model) -> Timestamp {
    time::required(model.publish_time.as_ref(), "publish_time").unwrap()
}

/// Lives through a stretch of time, receiving orders as they happen, in steps of some hours.
async fn live(shop: &mut Shop, customers: u32, days: std::ops::Range<i64>, hours: i64) {
    let mut all = orders(customers, 20_000, days.end);
    all.sort_by_key(|it| it.1);
    let mut at = micros(day(days.start));
    while at < micros(day(days.end)) {
        let next = at + hours * DAY / 24;
        let now = all.iter().filter(|it| (at..next).contains(&micros(it.1))).cloned().collect::<Vec<_>>();
        shop.until(from_micros(next)).await;
        if !now.is_empty() {
            shop.receive(now).await;
        }
        at = next;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_fitted_every_week_once_there_are_enough_customers() {
    for database in databases("schedule") {
        let mut shop = Shop::open(database, day(20_000), Config::default()).await;
        live(&mut shop, 200, 20_000..20_110, 24).await;
        let mut found = models(&shop).await;
        found.reverse();
        assert!(found.len() > 5, "{}", found.len());
        let first = &found[0];
        assert!(first.customer_count >= 100 && first.repeat_customer_count >= 30);
        let served: Vec<&Model> = found.iter().filter(|it| it.state() == ModelState::Published).collect();
        assert!(served.iter().any(|it| it.kind != "empirical"), "{found:?}");
        for it in &served {
            assert_eq!(micros(published(it)).rem_euclid(DAY), 3 * DAY / 24, "at three o'clock");
        }
        for pair in found.windows(2) {
            let [one, next] = pair else { continue };
            let apart = |it: &Model| micros(time::required(it.create_time.as_ref(), "create_time").unwrap());
            assert_eq!(apart(next) - apart(one), 7 * DAY);
        }
        // What is received after the publication is scored by it.
        let last = served.last().unwrap();
        shop.receive(vec![(profile(5_000), day(20_110), placed("x", 5_000))]).await;
        let update = shop.updates(profile(5_000)).await.pop().unwrap();
        assert_eq!(update.model, format!("{}@{}", last.kind, last.version));
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_stop_coming_as_expected_call_for_a_fit_before_it_is_due() {
    for database in databases("drift") {
        let config = Config { fit_interval_days: 300, drift_check_days: 14, ..Config::default() };
        let mut shop = Shop::open(database, day(20_000), config).await;
        live(&mut shop, 200, 20_000..20_110, 24).await;
        let before = models(&shop).await;
        let serving = before.iter().find(|it| it.state() == ModelState::Published).unwrap();
        assert_eq!(before.len(), 1, "the next one is due in three hundred days");
        // If nothing could be foretold yet, a model by hand may be watched, too.
        let served = if serving.kind == "empirical" {
            shop.fit("mbg-nbd", "", true).await.unwrap()
        } else {
            serving.clone()
        };
        assert_eq!(served.state(), ModelState::Published, "{}", served.reason);
        let known = models(&shop).await.len();
        // Nobody orders any more.
        for n in 20_111..20_160 {
            shop.until(day(n)).await;
        }
        let after = models(&shop).await;
        assert!(after.len() > known, "{} models", after.len());
        let fitted: Vec<&Model> =
            after.iter().filter(|it| it.fit_note.contains("before it was due")).collect();
        assert!(!fitted.is_empty(), "{after:?}");
        assert!(fitted.iter().all(|it| it.fit_note.contains("orders came of")), "{fitted:?}");
        // The world went on: what was published serves, and what was refused says so.
        let summary = shop.summary().await;
        assert!(!summary.model.is_empty());
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_publish_the_same_at_the_same_instants_however_time_is_sliced() {
    let mut runs = Vec::new();
    for hours in [24, 24, 6] {
        let database = databases("same").remove(0);
        let mut shop = Shop::open(database, day(20_000), Config::default()).await;
        live(&mut shop, 150, 20_000..20_090, hours).await;
        let mut scores = Vec::new();
        for n in 0..20 {
            scores.push(shop.updates(profile(n)).await);
        }
        runs.push((models(&shop).await, scores));
        shop.close().await;
    }
    let [one, same, finer] = runs.as_slice() else { panic!("three runs") };
    assert!(one.0.len() > 1, "{}", one.0.len());
    assert_eq!(one, same);
    assert_eq!(
        one.0, finer.0,
        "finer steps receive orders sooner, but a fit sees what was received before its instant"
    );
}
