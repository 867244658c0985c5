//! Fitting, publishing, and what publication does to scores.

use perennial_api::scoring::v1::{
    BacktestOperation, BacktestRequest, BatchGetScoresRequest, CancelBacktestRequest, CancelFitRequest,
    ExplainScoreRequest, ExportScoresRequest, FitModelRequest, FitOperation, GetBacktestRequest,
    GetDriftRequest, GetFitRequest, GetModelRequest, GetScoreRequest, ListModelsRequest, ModelState, Score,
    StartBacktestRequest, StartFitRequest,
};
use perennial_scoring::Config;
use tonic::Code;

use crate::shop::{PARENT, Shop, caches, databases, day, orders, placed, profile, refunded};

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
        // The same orders give the same model: it is published, and as nothing that is told has changed, nothing is told.
        let again = shop.fit("auto", "", true).await.unwrap();
        assert_eq!((again.version, &again.parameters), (2, &model.parameters));
        assert_eq!(shop.score(profile(7)).await.unwrap().model, format!("{}@2", model.kind));
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
        assert_eq!(shop.updates(profile(1_000)).await.pop().unwrap().model, format!("{}@2", model.kind));
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

/// Waits until a fit has ended.
async fn ended(shop: &Shop, name: &str) -> FitOperation {
    loop {
        let request = GetFitRequest { name: name.to_owned() };
        let found = shop.client.clone().get_fit(request).await.unwrap().into_inner();
        if found.done {
            return found;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fit_goes_on_by_itself_tells_how_far_it_is_and_can_be_stopped() {
    for database in databases("runs") {
        let shop = with_customers(database).await;
        let start = |kind: &str, cutoff: &str| StartFitRequest {
            fit: Some(FitModelRequest {
                parent: PARENT.to_owned(),
                kind: kind.to_owned(),
                cutoff_date: cutoff.to_owned(),
                publish: true,
                ..FitModelRequest::default()
            }),
        };
        let begun = shop.client.clone().start_fit(start("auto", "")).await.unwrap().into_inner();
        assert!(!begun.done && begun.name.starts_with("workspaces/main/fits/"), "{begun:?}");
        let done = ended(&shop, &begun.name).await;
        assert_eq!((done.steps_done, done.steps_total, done.error.as_str()), (18, 18, ""));
        let model = done.model.unwrap();
        assert_eq!(model.state(), ModelState::Published);

        let begun = shop.client.clone().start_fit(start("stack", "")).await.unwrap().into_inner();
        let cancel = CancelFitRequest { name: begun.name.clone() };
        shop.client.clone().cancel_fit(cancel.clone()).await.unwrap();
        let stopped = ended(&shop, &begun.name).await;
        assert!(stopped.cancelled && stopped.model.is_none(), "{stopped:?}");
        // What has ended stays as it ended.
        assert_eq!(shop.client.clone().cancel_fit(cancel).await.unwrap().into_inner(), stopped);

        let begun = shop.client.clone().start_fit(start("auto", "2024-01-01")).await.unwrap().into_inner();
        let failed = ended(&shop, &begun.name).await;
        assert!(failed.error.contains("no model can be fitted") && !failed.cancelled, "{failed:?}");
        let summary = shop.summary().await;
        assert_eq!(summary.model, format!("{}@1", model.kind), "the one before serves");
        shop.until(day(20_361)).await;
        let begun = shop.client.clone().start_fit(start("auto", "2024-01-01")).await.unwrap().into_inner();
        ended(&shop, &begun.name).await;
        let summary = shop.summary().await;
        assert!(summary.failed_fit.contains("no model can be fitted"), "{}", summary.failed_fit);

        let unknown = GetFitRequest { name: format!("{PARENT}/fits/0198f3a2-7c1e-7abc-8def-001122334455") };
        assert_eq!(shop.client.clone().get_fit(unknown).await.unwrap_err().code(), Code::NotFound);
        shop.close().await;
    }
}

/// Waits until a backtest has ended.
async fn tested(shop: &Shop, name: &str) -> BacktestOperation {
    loop {
        let request = GetBacktestRequest { name: name.to_owned() };
        let found = shop.client.clone().get_backtest(request).await.unwrap().into_inner();
        if found.done {
            return found;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backtest_compares_models_and_baselines_and_registers_nothing() {
    for database in databases("backtest") {
        let shop = with_customers(database).await;
        let request = |cutoff: &str, horizon_days| BacktestRequest {
            parent: PARENT.to_owned(),
            cutoff_date: cutoff.to_owned(),
            horizon_days,
        };
        let found = shop.client.clone().backtest(request("2025-05-09", 120)).await.unwrap().into_inner();
        let names: Vec<&str> = found.lines.iter().map(|it| it.name.as_str()).collect();
        for name in ["pareto-nbd", "mbg-nbd", "bg-nbd", "nbd", "stack", "repeat-last-window", "rfm-cell-mean"]
        {
            assert!(names.contains(&name), "{names:?}");
        }
        assert!(found.lines[0].selected && found.lines[0].calibration.is_some());
        assert_eq!(found.lines.iter().filter(|it| it.selected).count(), 1);
        let weeks: f64 = found.weeks.iter().map(|it| it.actual).sum();
        assert_eq!(weeks as i64, found.repeat_purchase_count + found.held_out_purchase_count);
        assert_eq!(found.deciles.len(), 10);
        assert_eq!(shop.summary().await.model, "");

        // The same, going on by itself.
        let start = |cutoff: &str| StartBacktestRequest { backtest: Some(request(cutoff, 120)) };
        let begun = shop.client.clone().start_backtest(start("2025-05-09")).await.unwrap().into_inner();
        assert!(!begun.done && begun.name.starts_with("workspaces/main/backtests/"), "{begun:?}");
        let done = tested(&shop, &begun.name).await;
        assert_eq!((done.steps_done, done.error.as_str(), done.cancelled), (done.steps_total, "", false));
        assert!(done.steps_total > 10, "{}", done.steps_total);
        assert_eq!(done.result, Some(found));
        let begun = shop.client.clone().start_backtest(start("2025-05-09")).await.unwrap().into_inner();
        let cancel = CancelBacktestRequest { name: begun.name.clone() };
        shop.client.clone().cancel_backtest(cancel.clone()).await.unwrap();
        let stopped = tested(&shop, &begun.name).await;
        assert!(stopped.cancelled && stopped.result.is_none(), "{stopped:?}");
        assert_eq!(shop.client.clone().cancel_backtest(cancel).await.unwrap().into_inner(), stopped);
        let begun = shop.client.clone().start_backtest(start("2020-01-01")).await.unwrap().into_inner();
        let failed = tested(&shop, &begun.name).await;
        assert!(failed.error.contains("choose a later day") && failed.result.is_none(), "{failed:?}");
        assert_eq!(shop.summary().await.failed_fit, "", "a backtest is no fit");
        let fit = GetFitRequest { name: begun.name.replace("backtests", "fits") };
        assert_eq!(shop.client.clone().get_fit(fit).await.unwrap_err().code(), Code::NotFound);
        // After a week it is forgotten with the next one.
        shop.until(day(20_368)).await;
        let next = shop.client.clone().start_backtest(start("2020-01-01")).await.unwrap().into_inner();
        tested(&shop, &next.name).await;
        let get = GetBacktestRequest { name: begun.name };
        assert_eq!(shop.client.clone().get_backtest(get).await.unwrap_err().code(), Code::NotFound);

        let early = shop.client.clone().backtest(request("2020-01-01", 120)).await.unwrap_err();
        assert!(early.message().contains("choose a later day"), "{early}");
        let wrong = shop.client.clone().backtest(request("someday", 0)).await.unwrap_err();
        assert_eq!(wrong.code(), Code::InvalidArgument);
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_score_of_the_past_knows_the_orders_and_the_model_of_then() {
    for database in databases("past") {
        let mut shop = with_customers(database).await;
        shop.fit("mbg-nbd", "", true).await.unwrap();
        let then = shop.score(profile(7)).await.unwrap();
        let at = then.as_of_time;
        shop.until(day(20_365)).await;
        shop.receive(vec![(profile(7), day(20_364), placed("later", 5_000))]).await;
        shop.fit("bg-nbd", "", true).await.unwrap();
        let now = shop.score(profile(7)).await.unwrap();
        assert_ne!((now.orders, &now.model), (then.orders, &then.model));
        let request = GetScoreRequest { name: then.name.clone(), as_of_time: at };
        let again = shop.client.clone().get_score(request).await.unwrap().into_inner();
        // Whether the order before was late is judged by the model of then, not by none as it was when it came.
        let then = Score { reactivated: again.reactivated, ..then };
        assert_eq!(again, then);

        let request = ExplainScoreRequest { name: then.name.clone(), as_of_time: None };
        let why = shop.client.clone().explain_score(request).await.unwrap().into_inner();
        assert_eq!(why.score, Some(now));
        assert_eq!(why.members.iter().map(|it| it.kind.as_str()).collect::<Vec<_>>(), ["bg-nbd"]);
        let (low, high) = (
            why.own_mean_minor.min(why.population_mean_minor),
            why.own_mean_minor.max(why.population_mean_minor),
        );
        assert!((low..=high).contains(&why.expected_value_minor), "{why:?}");

        let request = ExportScoresRequest { parent: PARENT.to_owned(), as_of_time: None };
        let mut pages = shop.client.clone().export_scores(request).await.unwrap().into_inner();
        let mut exported = Vec::new();
        while let Some(page) = pages.message().await.unwrap() {
            exported.extend(page.scores);
        }
        assert_eq!(exported.len(), 300);
        assert!(exported.windows(2).all(|it| it[0].name < it[1].name));
        let request = ExportScoresRequest { parent: PARENT.to_owned(), as_of_time: at };
        let page =
            shop.client.clone().export_scores(request).await.unwrap().into_inner().message().await.unwrap();
        assert!(page.unwrap().scores.contains(&then));
        let drift = GetDriftRequest { parent: PARENT.to_owned() };
        let drift = shop.client.clone().get_drift(drift).await.unwrap().into_inner();
        assert!(drift.verdict.contains("no week has passed"), "{drift:?}");
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_score_is_never_out_of_date() {
    for cache in caches() {
        let config = Config { fit_interval_days: 0, ..Config::default() };
        let mut shop = Shop::open_with(databases("kept").remove(0), day(20_000), config, &cache).await;
        shop.until(day(20_360)).await;
        shop.receive(orders(300, 20_000, 20_360)).await;
        // Redis keeps what earlier runs left; this run's customer is another one.
        let unique = i64::from(uuid::Uuid::now_v7().as_u128() as u16) + 1;
        shop.receive(vec![(profile(7), day(20_100), placed("unique", unique))]).await;
        shop.fit("mbg-nbd", "", true).await.unwrap();
        let hits = |shop: &Shop| shop.host.cache.counts().hits;
        let first = shop.score(profile(7)).await.unwrap();
        let before = hits(&shop);
        assert_eq!(shop.score(profile(7)).await.unwrap(), first);
        assert_eq!(hits(&shop), before + 1, "kept");
        // Another order, another model, another day: each is another score, at once.
        shop.receive(vec![(profile(7), day(20_360), placed("more", 5_000))]).await;
        let more = shop.score(profile(7)).await.unwrap();
        assert_eq!(more.orders, first.orders + 1);
        shop.fit("bg-nbd", "", true).await.unwrap();
        assert!(shop.score(profile(7)).await.unwrap().model.starts_with("bg-nbd@"));
        shop.until(day(20_361)).await;
        let later = shop.score(profile(7)).await.unwrap();
        assert!(later.age_weeks > more.age_weeks);
        assert_eq!(hits(&shop), before + 1, "none of them was kept");
        let names = [7, 8].map(|n| format!("{PARENT}/profiles/{}", profile(n)));
        let request = BatchGetScoresRequest { parent: PARENT.to_owned(), names: names.into() };
        let both = shop.client.clone().batch_get_scores(request).await.unwrap().into_inner().scores;
        assert_eq!((both.len(), &both[0]), (2, &later));
        assert_eq!(hits(&shop), before + 2);
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn percentiles_tenths_and_fifths_are_exact_against_the_published_edges() {
    for database in databases("edges") {
        let shop = with_customers(database).await;
        shop.fit("mbg-nbd", "", true).await.unwrap();
        let request = ExportScoresRequest { parent: PARENT.to_owned(), as_of_time: None };
        let mut pages = shop.client.clone().export_scores(request).await.unwrap().into_inner();
        let mut scores: Vec<Score> = Vec::new();
        while let Some(page) = pages.message().await.unwrap() {
            scores.extend(page.scores);
        }
        let n = scores.len();
        let mut values: Vec<i64> = scores.iter().map(|it| it.values[0].expected_minor).collect();
        values.sort_unstable();
        // The k-th tenth ends with the value at rank ⌈n·k/10⌉.
        let tenths: Vec<i64> = (1..10).map(|k| values[(n * k).div_ceil(10) - 1]).collect();
        let fifths = |of: &dyn Fn(&Score) -> i64| -> Vec<i64> {
            let mut all: Vec<i64> = scores.iter().map(of).collect();
            all.sort_unstable();
            (1..5).map(|k| all[(n * k).div_ceil(5) - 1]).collect()
        };
        let above = |edges: &[i64], value: i64| 1 + edges.iter().filter(|it| value > **it).count() as i32;
        let last = |it: &Score| {
            let at = it.last_order_time.unwrap();
            at.seconds * 1_000_000 + i64::from(at.nanos / 1_000)
        };
        let mean = |it: &Score| it.revenue_minor.div_euclid(it.orders);
        let (recency, frequency, monetary) = (fifths(&last), fifths(&|it| it.orders), fifths(&mean));
        for it in &scores {
            let value = it.values[0].expected_minor;
            let share = values.partition_point(|other| *other <= value) as f64 / n as f64;
            assert_eq!(it.clv_percentile, Some(share), "{}", it.name);
            assert_eq!(it.clv_decile, Some(above(&tenths, value)), "{}", it.name);
            let rfm = it.rfm.unwrap();
            assert_eq!(rfm.recency, above(&recency, last(it)));
            assert_eq!(rfm.frequency, above(&frequency, it.orders), "equal numbers share a score");
            assert_eq!(rfm.monetary, above(&monetary, mean(it)));
        }
        assert!((1..=10).all(|tenth| scores.iter().any(|it| it.clv_decile == Some(tenth))));
        shop.close().await;
    }
}
