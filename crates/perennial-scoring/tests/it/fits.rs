//! Fitting, publishing, and what publication does to scores.

use perennial_api::scoring::v1::{FitModelRequest, GetModelRequest, ListModelsRequest, ModelState};
use perennial_scoring::Config;
use tonic::Code;

use crate::shop::{PARENT, Shop, databases, day, orders, placed, profile, refunded};

/// A shop without fits on schedule, 300 customers in its first year.
async fn with_customers(database: (perennial_store::DatabaseConfig, tempfile::TempDir)) -> Shop {
    let config = Config { fit_interval_days: 0, ..Config::default() };
    let mut shop = Shop::open(database, day(20_000), config).await;
    shop.until(day(20_360)).await;
    shop.receive(orders(300, 20_000, 20_360)).await;
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_model_scores_everybody_anew() {
    for database in databases("publish") {
        let mut shop = with_customers(database).await;
        let before = shop.updates(profile(7)).await.len();
        let model = shop.fit("auto", "", true).await.unwrap();
        assert_eq!(model.state(), ModelState::Published, "{model:?}");
        assert_eq!((model.version, model.customer_count), (1, 300));
        assert!(model.name.ends_with("@1") && model.name.starts_with("workspaces/main/models/"));
        assert!(model.hold_out.as_ref().unwrap().contenders.iter().any(|it| it.kind == "repeat-last-window"));

        for n in [0, 7, 299] {
            let update = shop.updates(profile(n)).await.pop().unwrap();
            assert_eq!(update.model, format!("{}@1", model.kind));
            assert!(update.p_alive > 0.0 && update.p_alive <= 1.0);
            assert!(update.clv_12m_low_minor <= update.clv_12m_high_minor && update.clv_percentile > 0.0);
            assert!((1..=5).contains(&update.recency_score) && (1..=5).contains(&update.frequency_score));
            let score = shop.score(profile(n)).await.unwrap();
            assert_eq!(score.values[0].expected_minor, update.clv_12m_minor, "the clock stands still");
            assert_eq!((score.values.len(), score.values[3].months), (4, 0));
            assert_eq!(score.p_alive, Some(update.p_alive));
            assert!(score.next_order.unwrap().never >= 0.0);
        }
        assert_eq!(shop.updates(profile(7)).await.len(), before + 1);

        let summary = shop.summary().await;
        assert_eq!(summary.customer_count, 300);
        assert_eq!(summary.rfm_cells.len(), 25);
        assert_eq!(summary.rfm_cells.iter().map(|it| it.customer_count).sum::<i64>(), 300);
        let clv = summary.clv.unwrap();
        assert_eq!(clv.bins.iter().map(|it| it.customer_count).sum::<i64>(), 300);
        assert!(clv.top_fifth_share > 0.2 && clv.top_fifth_share < 1.0);

        // Somebody new is scored by the model at once.
        shop.receive(vec![(profile(1_000), day(20_360), placed("new", 5_000))]).await;
        assert_eq!(shop.updates(profile(1_000)).await.pop().unwrap().model, format!("{}@1", model.kind));
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cutoff_in_the_past_knows_nothing_of_what_came_later() {
    for database in databases("cutoff") {
        let mut shop = with_customers(database).await;
        let cutoff = "2025-05-09"; // day 20,217
        let then = shop.fit("bg-nbd", cutoff, false).await.unwrap();
        assert_eq!((then.state(), then.cutoff_date.as_str()), (ModelState::Candidate, cutoff));
        let late = orders(300, 20_000, 20_360).into_iter().filter(|it| it.1 >= day(20_218));
        let ids = late.filter_map(|(profile, at, kind)| match kind {
            perennial_types::FactKind::Order(it) => Some((profile, at, refunded(it.order_id(), None))),
            _ => None,
        });
        shop.receive(ids.collect()).await;
        let now = shop.fit("bg-nbd", cutoff, false).await.unwrap();
        assert_eq!(now.parameters, then.parameters);
        assert_eq!((now.log_likelihood, now.version), (then.log_likelihood, 2));
        assert_eq!(now.spend_parameters, then.spend_parameters);
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_gets_the_first_answer() {
    for database in databases("repeat") {
        let shop = with_customers(database).await;
        let request = FitModelRequest {
            parent: PARENT.to_owned(),
            kind: "mbg-nbd".to_owned(),
            publish: true,
            request_id: "0198f3a2-7c1e-7abc-8def-001122334455".to_owned(),
            ..FitModelRequest::default()
        };
        let first = shop.client.clone().fit_model(request.clone()).await.unwrap().into_inner();
        let again = shop.client.clone().fit_model(request.clone()).await.unwrap().into_inner();
        assert_eq!(first, again);
        let other = FitModelRequest { kind: "bg-nbd".to_owned(), ..request };
        let refused = shop.client.clone().fit_model(other).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_cannot_prove_itself_is_refused_and_the_one_before_serves() {
    for database in databases("refused") {
        let shop = with_customers(database).await;
        let good = shop.fit("mbg-nbd", "", true).await.unwrap();
        assert_eq!(good.state(), ModelState::Published, "{}", good.reason);
        let short = shop.fit("bg-nbd", "2024-11-05", true).await.unwrap();
        assert_eq!(short.state(), ModelState::Refused);
        assert!(short.reason.contains("too short"), "{}", short.reason);

        let get = |name: String| GetModelRequest { name };
        let serving = shop.client.clone().get_model(get(format!("{PARENT}/models/published"))).await.unwrap();
        assert_eq!(serving.into_inner(), good);
        let one = shop.client.clone().get_model(get(short.name.clone())).await.unwrap().into_inner();
        assert_eq!(one, short);
        let missing =
            shop.client.clone().get_model(get(format!("{PARENT}/models/bg-nbd@9"))).await.unwrap_err();
        assert_eq!(missing.code(), Code::NotFound);

        let list = |page_token| ListModelsRequest { parent: PARENT.to_owned(), page_size: 1, page_token };
        let page = shop.client.clone().list_models(list(String::new())).await.unwrap().into_inner();
        assert_eq!(page.models, [short]);
        let page = shop.client.clone().list_models(list(page.next_page_token)).await.unwrap().into_inner();
        assert_eq!((page.models, page.next_page_token), (vec![good], String::new()));
        shop.close().await;
    }
}
