//! What orders do to scores.

use perennial_api::scoring::v1::BatchGetScoresRequest;
use perennial_types::{FactKind, OrderChange};
use tonic::Code;

use crate::shop::{PARENT, Shop, at, born, databases, day, placed, profile, refunded};

const START: &str = "2026-03-01T12:00:00Z";

#[tokio::test(flavor = "multi_thread")]
async fn orders_in_any_order_and_twice_give_one_score() {
    for database in databases("any_order") {
        let mut shop = Shop::open(database, at(START), perennial_scoring::Config::default()).await;
        let [ana, ben] = [profile(1), profile(2)];
        let facts = [
            (at("2026-01-05T10:00:00Z"), placed("A1", 4_000)),
            (at("2026-01-05T18:00:00Z"), placed("A2", 1_000)),
            (at("2026-02-10T10:00:00Z"), placed("A3", 6_000)),
        ];
        shop.receive(facts.iter().map(|(at, it)| (ana, *at, it.clone())).collect()).await;
        for (at, it) in facts.iter().rev().chain(&facts) {
            shop.receive(vec![(ben, *at, it.clone())]).await;
        }
        let (one, mut other) = (shop.score(ana).await.unwrap(), shop.score(ben).await.unwrap());
        assert_eq!((one.orders, one.revenue_minor, one.profit_minor, one.x), (3, 11_000, 4_400, 1));
        assert_eq!(one.currency, "USD");
        assert!((one.t_x_weeks - 36.0 / 7.0).abs() < 1e-12 && (one.known_cost_share - 1.0).abs() < 1e-12);
        other.name.clone_from(&one.name);
        assert_eq!(one, other);

        let updates = shop.updates(ben).await;
        assert_eq!(updates.len(), 3, "what was known already is no news");
        assert_eq!(updates.last(), shop.updates(ana).await.last());
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_takes_its_part_back_and_a_cancellation_all() {
    for database in databases("refund") {
        let mut shop = Shop::open(database, at(START), perennial_scoring::Config::default()).await;
        let ana = profile(1);
        let bought = at("2026-01-05T10:00:00Z");
        // The refund of the second order arrives before the order.
        shop.receive(vec![
            (ana, at("2026-02-12T00:00:00Z"), refunded("A2", None)),
            (ana, bought, placed("A1", 4_000)),
            (ana, at("2026-02-10T00:00:00Z"), placed("A2", 9_000)),
            (ana, at("2026-01-20T00:00:00Z"), refunded("A1", Some(1_000))),
        ])
        .await;
        let score = shop.score(ana).await.unwrap();
        assert_eq!(
            (score.orders, score.revenue_minor, score.profit_minor, score.refund_minor),
            (1, 3_000, 1_200, 10_000)
        );
        assert_eq!(score.last_order_time, score.first_order_time);
        assert_eq!(score.overdue_reason, "the longest silence the workspace allows");

        let cancelled = FactKind::Order(OrderChange::Cancelled("A1".to_owned()));
        shop.receive(vec![(ana, at("2026-02-13T00:00:00Z"), cancelled)]).await;
        let score = shop.score(ana).await.unwrap();
        assert_eq!((score.orders, score.revenue_minor), (0, 0));
        assert_eq!((score.overdue_time, score.lapse_time), (None, None));
        assert_eq!(shop.summary().await.customer_count, 0);
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_unites_two_customers() {
    for database in databases("merge") {
        let mut shop = Shop::open(database, at(START), perennial_scoring::Config::default()).await;
        let [ana, phone] = [profile(1), profile(2)];
        shop.receive(vec![
            (ana, at("2026-01-05T10:00:00Z"), placed("A1", 4_000)),
            (phone, at("2026-01-25T10:00:00Z"), placed("A2", 2_000)),
            // Both sides reported this one.
            (phone, at("2026-01-05T10:00:00Z"), placed("A1", 4_000)),
        ])
        .await;
        shop.merge(phone, ana).await;
        let score = shop.score(ana).await.unwrap();
        assert_eq!((score.orders, score.revenue_minor, score.x), (2, 6_000, 1));
        assert_eq!(shop.score(phone).await.unwrap_err().code(), Code::NotFound);
        let summary = shop.summary().await;
        assert_eq!((summary.customer_count, summary.order_count, summary.revenue_minor), (1, 2, 6_000));
        assert_eq!(shop.updates(ana).await.last().unwrap().orders, 2);
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_order_leaves_no_trace_on_the_feed() {
    for database in databases("no_order") {
        let mut shop = Shop::open(database, at(START), perennial_scoring::Config::default()).await;
        let viewed = FactKind::ProductViewed { product_id: "P1".to_owned() };
        shop.append(vec![born(profile(1))]).await;
        shop.receive(vec![(profile(1), day(20_500), viewed)]).await;
        assert_eq!(shop.received().await, 2);
        assert!(shop.updates(profile(1)).await.is_empty());
        let names = [1, 2].map(|it| format!("{PARENT}/profiles/{}", profile(it))).into();
        let request = BatchGetScoresRequest { parent: PARENT.to_owned(), names };
        let scores = shop.client.clone().batch_get_scores(request).await.unwrap().into_inner().scores;
        assert_eq!(scores.len(), 1, "who was never seen is left out");
        assert_eq!(scores[0].orders, 0);
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_request_names_its_fields() {
    for database in databases("wrong") {
        let shop = Shop::open(database, at(START), perennial_scoring::Config::default()).await;
        let refused = shop.fit("arima", "last week", true).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains("kind is \"arima\"") && refused.message().contains("pareto-nbd"));
        assert!(refused.message().contains("cutoff_date"), "{}", refused.message());
        let empty = shop.fit("bg-nbd", "", true).await.unwrap_err();
        assert_eq!(empty.code(), Code::FailedPrecondition);
        assert!(empty.message().contains("import or track"), "{}", empty.message());
        let names = vec![format!("workspaces/other/profiles/{}", profile(1)), "ana".to_owned()];
        let request = BatchGetScoresRequest { parent: PARENT.to_owned(), names };
        let refused = shop.client.clone().batch_get_scores(request).await.unwrap_err();
        assert!(refused.message().contains("names[0]") && refused.message().contains("names[1]"));
        shop.close().await;
    }
}
