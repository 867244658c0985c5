//! What is known from the first order on makes a model finer, where it proves itself.

use jiff::SignedDuration;
use perennial_api::scoring::v1::{FitModelRequest, GetDriftRequest, Model, ModelState, Score};
use perennial_scoring::Config;
use perennial_types::{Fact, FactKind, ProfileId, Properties, Scalar, Timestamp};
use tonic::Code;
use uuid::Uuid;

use crate::shop::{PARENT, Shop, databases, day, orders, placed, profile, record};

/// Receives orders that name a channel and a country.
async fn receive(shop: &Shop, orders: Vec<(ProfileId, Timestamp, FactKind, &str, &str)>) {
    let records = orders.into_iter().enumerate().map(|(n, (profile, at, kind, channel, country))| {
        let text = |it: &str| Scalar::Text(it.to_owned());
        let properties: Properties =
            [("context.campaign.medium".to_owned(), text(channel)), ("country".to_owned(), text(country))]
                .into();
        let id = Uuid::from_u128((profile.0.as_u128() << 20) + n as u128);
        record(profile, &Fact { id, name: "Order Completed".to_owned(), at, properties, kind })
    });
    shop.append(records.collect()).await;
}

/// Customers of two channels, who come all through the year. One brings people who order a fourth as often; the country says
/// nothing.
async fn with_channels(database: (perennial_store::DatabaseConfig, tempfile::TempDir)) -> Shop {
    let config = Config { fit_interval_days: 0, ..Config::default() };
    let shop = Shop::open(database, day(20_000), config).await;
    shop.until(day(20_360)).await;
    let mut counts = std::collections::HashMap::new();
    let mut told = Vec::new();
    for (profile, at, kind) in orders(1_500, 20_000, 20_360) {
        let late = SignedDuration::from_hours(24 * 25 * (profile.0.as_u128() % 10) as i64);
        let at = at.checked_add(late).unwrap();
        if at > day(20_359) {
            continue;
        }
        let count = counts.entry(profile).or_insert(0);
        *count += 1;
        let n = profile.0.as_u128() as u32;
        let channel = if (n / 10).is_multiple_of(2) { "Organic" } else { " ads" };
        let country = if (n / 20).is_multiple_of(2) { "DE" } else { "AT" };
        if (n / 10).is_multiple_of(2) || *count % 4 == 1 {
            told.push((profile, at, kind, channel, country));
        }
    }
    receive(&shop, told).await;
    shop
}

async fn fit(shop: &Shop, kind: &str, grouping: &str) -> Result<Model, tonic::Status> {
    let request = FitModelRequest {
        parent: PARENT.to_owned(),
        kind: kind.to_owned(),
        publish: true,
        grouping: grouping.to_owned(),
        ..FitModelRequest::default()
    };
    Ok(shop.client.clone().fit_model(request).await?.into_inner())
}

/// Two customers who each bought once, at the same instant, by their channel.
async fn newcomers(shop: &Shop, first: u32) -> [Score; 2] {
    let one = |n: u32, channel| (profile(n), day(20_350), placed(format!("new{n}"), 5_000), channel, "DE");
    receive(shop, vec![one(first, "organic"), one(first + 1, "ads")]).await;
    [shop.score(profile(first)).await.unwrap(), shop.score(profile(first + 1)).await.unwrap()]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_brings_others_has_a_level_of_its_own() {
    for database in databases("channels") {
        let shop = with_channels(database).await;
        let model = fit(&shop, "mbg-nbd", "channel").await.unwrap();
        assert_eq!(model.state(), ModelState::Published, "{}", model.reason);
        let [trial] = model.trials.as_slice() else { panic!("{:?}", model.trials) };
        assert!(trial.won && trial.name == "channel" && trial.gain > 2.0 * trial.gain_error, "{trial:?}");
        let factor = |name: &str| model.effects.iter().find(|it| it.name == name).map(|it| it.factor);
        let (ads, organic) = (factor("channel=ads").unwrap(), factor("channel=organic").unwrap());
        assert!(ads < 0.8 && organic > 1.1, "{ads} {organic}");
        assert!(model.effects.iter().all(|it| it.kept_share > 0.5 && it.kept_share < 1.0));

        let [organic, ads] = newcomers(&shop, 5_000).await;
        assert!(organic.expected_orders_90d > 1.3 * ads.expected_orders_90d, "{organic:?} {ads:?}");
        assert!(organic.values[0].expected_minor > ads.values[0].expected_minor);
        assert_eq!(ads.effects[0].name, "channel=ads");
        assert_eq!((ads.x, ads.age_weeks), (0, 10.0 / 7.0));

        // What nobody can be told apart by changes nothing, and neither does what the data do not carry.
        let plain = fit(&shop, "mbg-nbd", "none").await.unwrap();
        assert!(plain.trials.is_empty() && plain.effects.is_empty());
        for (grouping, trials) in [("country", 1), ("category", 0), ("season", 0)] {
            let model = fit(&shop, "mbg-nbd", grouping).await.unwrap();
            assert_eq!(
                (model.trials.len(), model.effects.len()),
                (trials, 0),
                "{grouping}: {:?}",
                model.trials
            );
            assert!(model.trials.iter().all(|it| !it.won));
            assert_eq!(model.parameters, plain.parameters);
        }
        let [organic, ads] = newcomers(&shop, 5_002).await;
        assert_eq!((organic.expected_orders_90d, organic.effects.len()), (ads.expected_orders_90d, 0));
        let wrong = fit(&shop, "mbg-nbd", "shoe_size").await.unwrap_err();
        assert_eq!(wrong.code(), Code::InvalidArgument);
        assert!(wrong.message().contains("grouping") && wrong.message().contains("channel"), "{wrong}");
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_covariates_of_the_first_order_answer_a_cold_start() {
    for database in databases("covariates") {
        let shop = with_channels(database).await;
        let model = fit(&shop, "auto", "").await.unwrap();
        assert_eq!(model.state(), ModelState::Published, "{}", model.reason);
        let names: Vec<&str> = model.trials.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["covariates", "channel", "country"], "what the data can carry");
        assert_eq!(model.trials.iter().filter(|it| it.won).count(), 1, "{:?}", model.trials);
        let covariates = fit(&shop, "auto", "covariates").await.unwrap();
        assert!(covariates.trials[0].won, "{:?}", covariates.trials);
        assert!(covariates.effects.iter().any(|it| it.name.starts_with("channel=")));
        let [organic, ads] = newcomers(&shop, 6_000).await;
        assert!(organic.expected_orders_90d > 1.3 * ads.expected_orders_90d, "{organic:?} {ads:?}");
        // The watch over the model looks through the same lens.
        shop.until(day(20_430)).await;
        let drift = GetDriftRequest { parent: PARENT.to_owned() };
        let drift = shop.client.clone().get_drift(drift).await.unwrap().into_inner();
        assert!(drift.drifting && drift.total.unwrap().expected > 10.0, "nothing came for ten weeks");
        shop.close().await;
    }
}
