//! The catalogue, and what orders take from it.

crate::on_every_database!(
    a_feed_is_taken_in_once_and_what_is_wrong_costs_only_itself,
    products_are_listed_by_group_and_category,
    what_a_feed_does_not_tell_stays_and_what_is_masked_is_forgotten,
    an_order_takes_its_cost_from_the_catalogue_and_keeps_it,
    prices_have_a_history,
    changes_count_once_they_held,
    a_catalogue_is_its_workspaces_own,
    a_dry_run_changes_nothing,
    feeds_that_come_at_once_do_not_disturb_each_other,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_to_count_survives_a_restart() {
    for database in crate::house::databases() {
        let house = crate::house::House::open(&database).await;
        cases::goes_and_comes_back(&house).await;
        house.close().await;
        let house = crate::house::House::open(&database).await;
        assert!(cases::changes(&house, 0).await.is_empty());
        house.advance(60).await;
        assert_eq!(cases::changes(&house, 0).await.len(), 1);
        house.close().await;
    }
}

mod cases {
    use crate::house::House;
    use perennial_api::catalog::v1 as wire;
    use perennial_api::catalog::v1::product::Availability;
    use perennial_api::catalog::v1::product_change::Kind;
    use perennial_api::catalog::v1::product_outcome::Result as Word;
    use perennial_api::ingestion::v1 as events;
    use perennial_types::{FactKind, OrderChange, OrderPlaced};
    use tonic::Code;

    const MAIN: &str = "workspaces/main";

    fn product(id: &str, price: i64, cost: Option<i64>) -> wire::Product {
        wire::Product {
            product_id: id.to_owned(),
            price_minor: Some(price),
            cost_minor: cost,
            ..Default::default()
        }
    }

    async fn told(house: &House, products: Vec<wire::Product>) -> Vec<wire::ProductOutcome> {
        let parent = MAIN.to_owned();
        let request = wire::BatchUpsertProductsRequest { parent, products, ..Default::default() };
        house.catalog.clone().batch_upsert_products(request).await.unwrap().into_inner().outcomes
    }

    fn words(outcomes: &[wire::ProductOutcome]) -> Vec<Word> {
        outcomes.iter().map(wire::ProductOutcome::result).collect()
    }

    async fn found(house: &House, id: &str) -> wire::Product {
        let request = wire::GetProductRequest { name: format!("{MAIN}/products/{id}") };
        house.catalog.clone().get_product(request).await.unwrap().into_inner()
    }

    async fn ordered(house: &House, id: &str, products: &str) -> OrderPlaced {
        let body = format!(
            r#"{{"userId":"ana","messageId":"{id}","event":"Order Completed",
                "properties":{{"order_id":"{id}","products":{products}}}}}"#
        );
        assert_eq!(house.post("/v1/track", &body).await, 200);
        let mut orders = house.facts().await.into_iter().filter_map(|it| match it.kind {
            FactKind::Order(OrderChange::Placed(order)) if order.order_id == id => Some(order),
            _ => None,
        });
        orders.next_back().unwrap()
    }

    pub async fn changes(house: &House, after_position: i64) -> Vec<wire::ProductChange> {
        house.quiet().await;
        let request =
            wire::ListChangesRequest { parent: MAIN.to_owned(), after_position, ..Default::default() };
        house.catalog.clone().list_changes(request).await.unwrap().into_inner().changes
    }

    pub async fn a_feed_is_taken_in_once_and_what_is_wrong_costs_only_itself(house: &House) {
        let feed = || {
            vec![
                wire::Product { currency: "EUR".to_owned(), ..product("a", 1_290, Some(400)) },
                product("", 100, None),
                product("b", -1, None),
                wire::Product { currency: "euro".to_owned(), ..product("c", 100, None) },
                wire::Product { cost_currency: "USD".to_owned(), ..product("d", 100, Some(50)) },
                wire::Product { url: "javascript:x".to_owned(), ..product("e", 100, None) },
                wire::Product { title: "x".repeat(2_000), ..product("f", 100, None) },
                wire::Product { availability: 99, ..product("g", 100, None) },
                product("SKU 7/8 100%", 990, None),
            ]
        };
        let first = told(house, feed()).await;
        let wrong = [Word::Rejected; 7];
        let expected = |word| [&[word][..], &wrong, &[word]].concat();
        assert_eq!(words(&first), expected(Word::Created));
        let fields: Vec<&str> = first[1..8].iter().map(|it| it.field.as_str()).collect();
        assert_eq!(
            fields,
            ["product_id", "price_minor", "currency", "cost_currency", "url", "title", "availability"]
        );
        assert!(first[4].reason.contains("add a rate for USD"), "{}", first[4].reason);
        assert_eq!(words(&told(house, feed()).await), expected(Word::Unchanged));
        let odd = found(house, "SKU 7%2F8 100%25").await;
        assert_eq!((odd.product_id.as_str(), odd.price_minor), ("SKU 7/8 100%", Some(990)));
        assert_eq!(odd.currency, "EUR");

        let twice = told(house, vec![product("a", 1_000, None), product("a", 1_290, None)]).await;
        assert_eq!(words(&twice), [Word::Updated, Word::Updated], "the later one counts");
        assert_eq!(found(house, "a").await.price_minor, Some(1_290));

        let get = wire::GetProductRequest { name: format!("{MAIN}/products/none") };
        assert_eq!(house.catalog.clone().get_product(get).await.unwrap_err().code(), Code::NotFound);
        let get = wire::GetProductRequest { name: format!("{MAIN}/products/100%") };
        let refused = house.catalog.clone().get_product(get).await.unwrap_err();
        assert!(refused.message().contains("%25"), "{refused}");
        let many = wire::BatchUpsertProductsRequest {
            parent: MAIN.to_owned(),
            products: vec![wire::Product::default(); 2_501],
            ..Default::default()
        };
        let refused = house.catalog.clone().batch_upsert_products(many).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }

    pub async fn products_are_listed_by_group_and_category(house: &House) {
        let of = |id: &str, group: &str, category: &str| wire::Product {
            group_id: group.to_owned(),
            category: category.to_owned(),
            ..product(id, 100, None)
        };
        let feed = vec![
            of("1", "mug", "Kitchen > Mugs"),
            of("2", "mug", "Kitchen > Mugs"),
            of("3", "plate", "Kitchen"),
            of("4", "", "Kitchenware"),
            of("5", "", ""),
        ];
        told(house, feed).await;
        let list = async |group: &str, category: &str| {
            let (mut ids, mut page_token) = (Vec::new(), String::new());
            loop {
                let request = wire::ListProductsRequest {
                    parent: MAIN.to_owned(),
                    page_size: 2,
                    page_token,
                    group_id: group.to_owned(),
                    category: category.to_owned(),
                };
                let answer = house.catalog.clone().list_products(request).await.unwrap().into_inner();
                ids.extend(answer.products.into_iter().map(|it| it.product_id));
                page_token = answer.next_page_token;
                if page_token.is_empty() {
                    return ids.join(" ");
                }
            }
        };
        assert_eq!(list("", "").await, "1 2 3 4 5");
        assert_eq!(list("mug", "").await, "1 2");
        assert_eq!(list("", "Kitchen").await, "1 2 3");
        assert_eq!(list("mug", "Kitchen > Mugs").await, "1 2");
        let request = wire::ListCategoriesRequest { parent: MAIN.to_owned(), ..Default::default() };
        let answer = house.catalog.clone().list_categories(request).await.unwrap().into_inner();
        let found: Vec<_> = answer.categories.into_iter().map(|it| (it.path, it.product_count)).collect();
        let expected = [("Kitchen", 1), ("Kitchen > Mugs", 2), ("Kitchenware", 1)];
        assert_eq!(found, expected.map(|(path, count)| (path.to_owned(), count)));
    }

    pub async fn what_a_feed_does_not_tell_stays_and_what_is_masked_is_forgotten(house: &House) {
        let full = wire::Product {
            title: "Mug".to_owned(),
            brand: "Ours".to_owned(),
            list_price_minor: Some(1_500),
            stock_quantity: Some(3),
            ..product("a", 1_290, Some(400))
        };
        told(house, vec![full]).await;
        let only =
            wire::Product { product_id: "a".to_owned(), stock_quantity: Some(0), ..Default::default() };
        assert_eq!(words(&told(house, vec![only]).await), [Word::Updated]);
        let it = found(house, "a").await;
        assert_eq!((it.title.as_str(), it.cost_minor, it.list_price_minor), ("Mug", Some(400), Some(1_500)));
        assert_eq!((it.availability(), it.stock_quantity), (Availability::OutOfStock, Some(0)));

        let masked = |paths: &[&str]| wire::BatchUpsertProductsRequest {
            parent: MAIN.to_owned(),
            products: vec![wire::Product { title: "Cup".to_owned(), ..product("a", 1, None) }],
            update_mask: Some(prost_types::FieldMask {
                paths: paths.iter().map(|it| (*it).to_owned()).collect(),
            }),
            validate_only: false,
        };
        house.catalog.clone().batch_upsert_products(masked(&["title", "cost_minor", "brand"])).await.unwrap();
        let it = found(house, "a").await;
        assert_eq!((it.title.as_str(), it.brand.as_str(), it.cost_minor), ("Cup", "", None));
        assert_eq!(it.price_minor, Some(1_290), "it was not named");
        let refused = house.catalog.clone().batch_upsert_products(masked(&["colour"])).await.unwrap_err();
        assert!(refused.message().contains("image_url"), "{refused}");
    }

    pub async fn an_order_takes_its_cost_from_the_catalogue_and_keeps_it(house: &House) {
        let line = r#"{"product_id":"mug","variant":"red","price":10,"quantity":2}"#;
        let both = format!(r#"[{line},{{"sku":"P-1","price":"20.00"}}]"#);
        let before = ordered(house, "1", &both).await;
        assert_eq!((before.revenue, before.profit, before.cost_known_per_mille), (4_000, 1_600, 0));

        let mug = wire::Product {
            group_id: "mug".to_owned(),
            variant: "red".to_owned(),
            ..product("mug-red", 1_000, Some(400))
        };
        told(house, vec![mug]).await;
        let half = ordered(house, "2", &both).await;
        assert_eq!(half.lines.iter().map(|it| it.cost).collect::<Vec<_>>(), [Some(400), None]);
        // 20.00 − 8.00, and the default margin of the other 20.00.
        assert_eq!((half.profit, half.cost_known_per_mille), (1_200 + 800, 500));

        let plate = wire::Product { sku: "P-1".to_owned(), ..product("plate", 2_000, Some(1_500)) };
        told(house, vec![plate.clone()]).await;
        let all = ordered(house, "3", &both).await;
        assert_eq!((all.profit, all.cost_known_per_mille), (1_200 + 500, 1_000));
        let own = ordered(house, "4", r#"[{"sku":"P-1","price":20,"cost":1}]"#).await;
        assert_eq!(own.profit, 1_900, "what the event says counts");

        told(house, vec![wire::Product { cost_minor: Some(1_900), ..plate }]).await;
        let dearer = ordered(house, "5", &both).await;
        assert_eq!(dearer.profit, 1_200 + 100);
        let profile = house.lookup("ana").await.unwrap().name;
        let kept: Vec<i64> = house
            .read_facts(&profile)
            .await
            .into_iter()
            .filter_map(|it| match it.kind {
                FactKind::Order(OrderChange::Placed(order)) => Some(order.profit),
                _ => None,
            })
            .collect();
        assert_eq!(kept, [1_600, 2_000, 1_700, 1_900, 1_300], "a fact never changes");
    }

    pub async fn prices_have_a_history(house: &House) {
        told(house, vec![product("a", 1_000, Some(400))]).await;
        house.advance(60).await;
        told(house, vec![product("a", 1_000, Some(400))]).await;
        house.advance(60).await;
        told(house, vec![wire::Product { list_price_minor: Some(1_000), ..product("a", 900, None) }]).await;
        let list = |page_size, page_token| wire::ListPricesRequest {
            parent: format!("{MAIN}/products/a"),
            page_size,
            page_token,
        };
        let first = house.catalog.clone().list_prices(list(1, String::new())).await.unwrap().into_inner();
        let rest = list(5, first.next_page_token.clone());
        let rest = house.catalog.clone().list_prices(rest).await.unwrap().into_inner();
        assert!(rest.next_page_token.is_empty());
        let found = |it: &wire::Price| (it.price_minor, it.list_price_minor, it.cost_minor);
        assert_eq!(found(&first.prices[0]), (Some(900), Some(1_000), Some(400)));
        assert_eq!(rest.prices.iter().map(found).collect::<Vec<_>>(), [(Some(1_000), None, Some(400))]);
        let seconds = |it: &wire::Price| it.start_time.as_ref().unwrap().seconds;
        assert_eq!(seconds(&first.prices[0]) - seconds(&rest.prices[0]), 120 * 60);
        let unknown = wire::ListPricesRequest { parent: format!("{MAIN}/products/b"), ..Default::default() };
        assert_eq!(house.catalog.clone().list_prices(unknown).await.unwrap_err().code(), Code::NotFound);
    }

    pub async fn changes_count_once_they_held(house: &House) {
        let stock = |id: &str, units: i64| wire::Product {
            product_id: id.to_owned(),
            stock_quantity: Some(units),
            ..Default::default()
        };
        told(house, vec![product("a", 1_000, None), product("b", 1_000, None), stock("c", 0), stock("d", 0)])
            .await;
        assert!(changes(house, 0).await.is_empty(), "a first load is no news");
        house.advance(24 * 60).await;
        told(house, vec![product("a", 800, None), product("b", 800, None), stock("c", 5), stock("d", 5)])
            .await;
        house.advance(10).await;
        told(house, vec![product("b", 1_000, None), stock("d", 0)]).await;
        assert!(changes(house, 0).await.is_empty(), "nothing held yet");
        house.advance(10).await;
        let found = changes(house, 0).await;
        let told_of: Vec<_> =
            found.iter().map(|it| (it.position, it.kind(), it.product_id.as_str())).collect();
        assert_eq!(told_of, [(1, Kind::PriceDrop, "a"), (2, Kind::BackInStock, "c")]);
        assert_eq!((found[0].price_minor, found[0].old_price_minor), (Some(800), Some(1_000)));
        assert_eq!(found[0].product, format!("{MAIN}/products/a"));
        let start: perennial_types::Timestamp = crate::house::START.parse().unwrap();
        let counted = found[0].change_time.as_ref().unwrap().seconds - start.as_second();
        assert_eq!(counted, (24 * 60 + 15) * 60, "at the very instant");

        told(house, vec![product("e", 100, None)]).await;
        // A feed that comes when others are due finds them settled first.
        told(house, vec![product("b", 700, None)]).await;
        house.advance_quietly(20);
        told(house, vec![product("b", 1_000, None)]).await;
        let found = changes(house, 2).await;
        let told_of: Vec<_> =
            found.iter().map(|it| (it.position, it.kind(), it.product_id.as_str())).collect();
        assert_eq!(told_of, [(3, Kind::New, "e"), (4, Kind::PriceDrop, "b")]);
    }

    pub async fn a_catalogue_is_its_workspaces_own(house: &House) {
        told(house, vec![product("a", 1_000, Some(400))]).await;
        let get = wire::GetProductRequest { name: "workspaces/other/products/a".to_owned() };
        assert_eq!(house.catalog.clone().get_product(get).await.unwrap_err().code(), Code::NotFound);
        let event: events::Event = events::Event {
            r#type: "track".to_owned(),
            user_id: "ben".to_owned(),
            event: "Order Completed".to_owned(),
            properties: Some(perennial_rpc::structs::from_json(
                serde_json::json!({ "order_id": "9", "products": [{ "product_id": "a", "price": 10 }] })
                    .as_object()
                    .unwrap()
                    .clone(),
            )),
            ..Default::default()
        };
        let parent = "workspaces/other".to_owned();
        let request = events::IngestEventsRequest { parent, events: vec![event], historical: false };
        house.ingestion.clone().ingest_events(request).await.unwrap();
        let known = house.facts().await.into_iter().find_map(|it| match it.kind {
            FactKind::Order(OrderChange::Placed(order)) => Some(order.cost_known_per_mille),
            _ => None,
        });
        assert_eq!(known, Some(0));
    }

    pub async fn a_dry_run_changes_nothing(house: &House) {
        let request = wire::BatchUpsertProductsRequest {
            parent: MAIN.to_owned(),
            products: vec![wire::Product { currency: "USD".to_owned(), ..product("a", 1_000, Some(400)) }],
            update_mask: None,
            validate_only: true,
        };
        let outcomes =
            house.catalog.clone().batch_upsert_products(request).await.unwrap().into_inner().outcomes;
        assert_eq!(words(&outcomes), [Word::Created]);
        let list = wire::ListProductsRequest { parent: MAIN.to_owned(), ..Default::default() };
        assert!(house.catalog.clone().list_products(list).await.unwrap().into_inner().products.is_empty());
        let get = events::GetWorkspaceRequest { name: MAIN.to_owned() };
        let workspace = house.ingestion.clone().get_workspace(get).await.unwrap().into_inner();
        assert_eq!(workspace.currency, "", "nor the workspace's currency");
    }

    /// Stock that was away for long, and is here since now.
    pub async fn goes_and_comes_back(house: &House) {
        let stock = |units| wire::Product {
            product_id: "a".to_owned(),
            stock_quantity: Some(units),
            ..Default::default()
        };
        told(house, vec![stock(0)]).await;
        told(house, vec![stock(1)]).await;
    }

    pub async fn feeds_that_come_at_once_do_not_disturb_each_other(house: &House) {
        told(house, vec![product("first", 1, None)]).await;
        house.advance(24 * 60).await;
        let feed = |n: i64| {
            (0..200).map(|it| product(&format!("p{}", it * 7 % 200), 100 + n, Some(n))).collect::<Vec<_>>()
        };
        let outcomes = futures::future::join_all((0..8).map(|n| told(house, feed(n)))).await;
        let created = outcomes.iter().flatten().filter(|it| it.result() == Word::Created).count();
        assert_eq!(created, 200, "each by one of them");
        let news = changes(house, 0).await;
        assert_eq!(news.len(), 50, "a page");
        let positions: Vec<i64> = news.iter().map(|it| it.position).collect();
        assert_eq!(positions, (1..=50).collect::<Vec<_>>());
        assert_eq!(changes(house, 150).await.len(), 50);
        assert!(changes(house, 200).await.is_empty());
        let (one, other) = (found(house, "p1").await, found(house, "p199").await);
        assert_eq!(one.price_minor, other.price_minor, "one feed counts as a whole");
    }
}
