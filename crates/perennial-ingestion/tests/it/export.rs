//! Everything out again: the log and the orders, as streams.

crate::on_every_database!(
    the_log_goes_out_once_in_the_order_of_receipt_and_says_whose_each_event_is_now,
    a_log_that_is_sent_in_again_changes_nothing,
    many_events_of_one_instant_go_out_each_once,
    orders_go_out_as_they_are_counted_with_what_went_back,
    only_what_happened_in_time_goes_out,
    whoever_was_erased_is_in_no_export,
    many_profiles_are_read_at_once,
    a_list_may_say_when_people_agreed,
);

pub mod cases {
    use crate::house::House;
    use perennial_api::ingestion::v1 as wire;
    use perennial_api::profile::v1::{BatchGetProfilesRequest, EraseProfileRequest, Profile};
    use serde_json::Value;
    use tonic::Code;

    const PARENT: &str = "workspaces/main";

    fn instant(text: &str) -> Option<prost_types::Timestamp> {
        Some(perennial_rpc::time::to_wire(text.parse().unwrap()))
    }

    async fn events(house: &House, request: wire::ExportEventsRequest) -> Vec<wire::LoggedEvent> {
        let request = wire::ExportEventsRequest { parent: PARENT.to_owned(), ..request };
        let mut pages = house.export.clone().export_events(request).await.unwrap().into_inner();
        let (mut all, mut read) = (Vec::new(), 0);
        while let Some(page) = pages.message().await.unwrap() {
            assert!(page.events.len() <= 1_000 && page.read_count >= read);
            read = page.read_count;
            all.extend(page.events);
        }
        all
    }

    pub async fn log(house: &House) -> Vec<wire::LoggedEvent> {
        events(house, wire::ExportEventsRequest::default()).await
    }

    async fn orders(house: &House, request: wire::ExportOrdersRequest) -> Vec<wire::ExportedOrder> {
        let request = wire::ExportOrdersRequest { parent: PARENT.to_owned(), ..request };
        let mut pages = house.export.clone().export_orders(request).await.unwrap().into_inner();
        let mut all = Vec::new();
        while let Some(page) = pages.message().await.unwrap() {
            all.extend(page.orders);
        }
        all
    }

    pub fn call(it: &wire::LoggedEvent) -> Value {
        serde_json::from_str(&it.call_json).unwrap()
    }

    pub async fn the_log_goes_out_once_in_the_order_of_receipt_and_says_whose_each_event_is_now(
        house: &House,
    ) {
        let page =
            r#"{"anonymousId":"device","messageId":"m1","timestamp":"2026-03-01T11:00:00Z","name":"Home"}"#;
        assert_eq!(house.post("/v1/page", page).await, 200);
        house.advance_quietly(1);
        let late = r#"{"userId":"ana","event":"order_completed","messageId":"m2","timestamp":"2025-01-01T00:00:00Z",
            "properties":{"order_id":"1","revenue":"19.90"}}"#;
        assert_eq!(house.post("/v1/track", late).await, 200);
        house.advance_quietly(1);
        let login = r#"{"userId":"ana","anonymousId":"device","messageId":"m3","traits":{"city":"Oslo"}}"#;
        assert_eq!(house.post("/v1/identify", login).await, 200);
        let ana = house.lookup("ana").await.unwrap();
        // A report of one of our own services names a profile, and nobody.
        let report = wire::Event {
            r#type: "track".to_owned(),
            message_id: "m4".to_owned(),
            event: "Email Opened".to_owned(),
            profile: ana.name.clone(),
            ..Default::default()
        };
        let request =
            wire::IngestEventRequest { parent: PARENT.to_owned(), event: Some(report), historical: false };
        house.advance_quietly(1);
        house.ingestion.clone().ingest_event(request).await.unwrap();

        let log = log(house).await;
        let said: Vec<_> =
            log.iter().map(|it| (it.message_id.as_str(), it.call.as_str(), it.event.as_str())).collect();
        assert_eq!(
            said,
            [
                ("m1", "page", "Page"),
                ("m2", "track", "Order Completed"),
                ("m3", "identify", "Identify"),
                ("m4", "track", "Email Opened"),
            ]
        );
        assert!(log.iter().all(|it| it.profile == ana.name), "the visitor is the customer by now: {log:?}");
        assert_eq!(log[1].event_time, instant("2025-01-01T00:00:00Z"));
        assert_eq!(log[1].receive_time, instant("2026-03-01T12:01:00Z"));
        let calls: Vec<Value> = log.iter().map(call).collect();
        assert_eq!((&calls[0]["anonymousId"], &calls[0]["name"]), (&"device".into(), &"Home".into()));
        assert_eq!(
            (&calls[1]["event"], &calls[1]["properties"]["revenue"]),
            (&"order_completed".into(), &"19.90".into())
        );
        assert_eq!((&calls[3]["userId"], calls[3].get("profile")), (&"ana".into(), None));
    }

    pub async fn a_log_that_is_sent_in_again_changes_nothing(house: &House) {
        // Without a message id, too: it got one.
        assert_eq!(house.post("/v1/track", r#"{"userId":"ana","event":"Seen"}"#).await, 200);
        assert_eq!(house.post("/v1/page", r#"{"anonymousId":"v","messageId":"m1"}"#).await, 200);
        let before = log(house).await;
        assert_eq!(before.len(), 2);
        assert!(before.iter().all(|it| !it.message_id.is_empty()));
        let calls: Vec<&str> = before.iter().map(|it| it.call_json.as_str()).collect();
        assert_eq!(house.post("/v1/batch", &format!("{{\"batch\":[{}]}}", calls.join(","))).await, 200);
        assert_eq!(log(house).await, before);
        assert_eq!(house.stats().await.duplicate_count, 2);
    }

    pub async fn many_events_of_one_instant_go_out_each_once(house: &House) {
        // More than are looked at at once, and two large ones among them.
        for batch in 0..3 {
            let events = (0..2_000).map(|n| wire::Event {
                r#type: "track".to_owned(),
                message_id: format!("{batch}-{n}"),
                user_id: format!("c{}", n % 7),
                event: "Seen".to_owned(),
                properties: (n < 2).then(|| {
                    let json = serde_json::json!({ "text": "x".repeat(200 << 10) });
                    perennial_rpc::structs::from_json(json.as_object().cloned().unwrap())
                }),
                ..Default::default()
            });
            let parent = PARENT.to_owned();
            let request = wire::IngestEventsRequest { parent, events: events.collect(), historical: true };
            house.ingestion.clone().ingest_events(request).await.unwrap();
            if batch == 0 {
                house.advance_quietly(1);
            }
        }
        let log = log(house).await;
        let ids: std::collections::BTreeSet<_> = log.iter().map(|it| it.message_id.clone()).collect();
        assert_eq!((log.len(), ids.len()), (6_000, 6_000));
        // What one person did in one instant comes as it was taken in.
        let of_one = log.iter().filter(|it| it.message_id.starts_with("0-") && call(it)["userId"] == "c3");
        let order: Vec<u32> = of_one.map(|it| it.message_id[2..].parse().unwrap()).collect();
        assert!(order.is_sorted() && order.len() == 286, "{order:?}");
    }

    async fn shop(house: &House) {
        for (path, body) in [
            (
                "track",
                r#"{"anonymousId":"v","messageId":"o1-browser","timestamp":"2026-01-05T10:00:00Z","event":"Order Completed",
                "properties":{"order_id":"1","revenue":30,"currency":"EUR"}}"#,
            ),
            (
                "track",
                r#"{"anonymousId":"v","messageId":"o1","timestamp":"2026-01-05T10:00:09Z","event":"Order Completed",
                "properties":{"order_id":"1","revenue":"28.50","discount":1.5,"coupon":"TEN","channel":"search","currency":"EUR",
                "products":[{"product_id":"mug","name":"Red mug","quantity":2,"price":10,"cost":4},
                            {"sku":"pot","category":"Kitchen","price":10}]}}"#,
            ),
            (
                "track",
                r#"{"userId":"ana","messageId":"o2","timestamp":"2026-02-05T10:00:00Z","event":"Order Completed",
                "properties":{"order_id":"2","revenue":10,"currency":"EUR"}}"#,
            ),
            (
                "identify",
                r#"{"userId":"ana","anonymousId":"v","messageId":"i","timestamp":"2026-02-06T00:00:00Z",
                "traits":{"email":"ana@example.com"}}"#,
            ),
            (
                "track",
                r#"{"userId":"ana","messageId":"r1","timestamp":"2026-02-07T00:00:00Z","event":"Order Refunded",
                "properties":{"order_id":"1","refund_id":"R1","revenue":8.5,"currency":"EUR"}}"#,
            ),
            (
                "track",
                r#"{"userId":"ana","messageId":"x2","timestamp":"2026-02-08T00:00:00Z","event":"Order Cancelled",
                "properties":{"order_id":"2"}}"#,
            ),
            (
                "track",
                r#"{"userId":"ben","messageId":"r0","timestamp":"2026-02-09T00:00:00Z","event":"Order Refunded",
                "properties":{"order_id":"unknown","revenue":5,"currency":"EUR"}}"#,
            ),
        ] {
            house.advance_quietly(1);
            assert_eq!(house.post(&format!("/v1/{path}"), body).await, 200, "{body}");
        }
    }

    pub async fn orders_go_out_as_they_are_counted_with_what_went_back(house: &House) {
        shop(house).await;
        let found = orders(house, wire::ExportOrdersRequest::default()).await;
        let said: Vec<_> = found.iter().map(|it| (it.user_id.as_str(), it.order_id.as_str())).collect();
        assert_eq!(said.len(), 3, "{said:?}");
        let of = |id: &str| found.iter().find(|it| it.order_id == id).unwrap().clone();
        let (one, two, unknown) = (of("1"), of("2"), of("unknown"));
        assert_eq!(
            (one.profile.clone(), one.email.as_str()),
            (house.lookup("v").await.unwrap().name, "ana@example.com")
        );
        assert_eq!((one.anonymous_id.as_str(), one.currency.as_str()), ("v", "EUR"));
        let placed = one.placement.unwrap();
        assert_eq!((placed.message_id.as_str(), placed.order_time), ("o1", instant("2026-01-05T10:00:00Z")));
        assert_eq!((placed.revenue_minor, placed.discount_minor), (2_850, 150));
        assert_eq!((placed.coupon.as_str(), placed.channel.as_str()), ("TEN", "search"));
        let lines: Vec<_> = placed
            .lines
            .iter()
            .map(|it| {
                (
                    it.product_id.as_str(),
                    it.product_name.as_str(),
                    it.category.as_str(),
                    it.quantity,
                    it.price_minor,
                    it.cost_minor,
                )
            })
            .collect();
        assert_eq!(
            lines,
            [("mug", "Red mug", "", 2, 1_000, Some(400)), ("pot", "", "Kitchen", 1, 1_000, None)]
        );
        let back: Vec<_> = one
            .returns
            .iter()
            .map(|it| (it.message_id.as_str(), it.refund_id.as_str(), it.amount_minor))
            .collect();
        assert_eq!(back, [("r1", "R1", Some(850))]);
        assert_eq!(one.net_revenue_minor, 2_000);
        assert_eq!((two.net_revenue_minor, two.returns[0].amount_minor), (0, None), "cancelled");
        assert_eq!((unknown.placement, unknown.returns[0].amount_minor), (None, Some(500)));
    }

    pub async fn only_what_happened_in_time_goes_out(house: &House) {
        shop(house).await;
        let (start_time, end_time) = (instant("2026-02-01T00:00:00Z"), instant("2026-02-08T00:00:00Z"));
        let request = wire::ExportEventsRequest { start_time, end_time, ..Default::default() };
        let ids: Vec<String> = events(house, request).await.into_iter().map(|it| it.message_id).collect();
        assert_eq!(ids, ["o2", "i", "r1"]);
        let found =
            orders(house, wire::ExportOrdersRequest { start_time, end_time, ..Default::default() }).await;
        let said: Vec<_> =
            found.iter().map(|it| (it.order_id.as_str(), it.placement.is_some(), it.returns.len())).collect();
        assert_eq!(said, [("2", true, 0), ("1", false, 1)], "what went back is of when it did");
        let request =
            wire::ExportEventsRequest { parent: PARENT.to_owned(), start_time, end_time: start_time };
        let refused = house.export.clone().export_events(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains("end_time"), "{refused}");
    }

    pub async fn whoever_was_erased_is_in_no_export(house: &House) {
        shop(house).await;
        let name = house.lookup("ana").await.unwrap().name;
        let request = EraseProfileRequest { name, request_id: String::new() };
        house.privacy.clone().erase_profile(request).await.unwrap();
        let log = log(house).await;
        assert_eq!(log.iter().map(|it| it.message_id.as_str()).collect::<Vec<_>>(), ["r0"]);
        let found = orders(house, wire::ExportOrdersRequest::default()).await;
        assert_eq!(found.iter().map(|it| it.user_id.as_str()).collect::<Vec<_>>(), ["ben"]);
    }

    async fn profiles(house: &House, names: Vec<String>) -> Vec<Profile> {
        let request = BatchGetProfilesRequest { parent: PARENT.to_owned(), names };
        house.profiles.clone().batch_get_profiles(request).await.unwrap().into_inner().profiles
    }

    pub async fn many_profiles_are_read_at_once(house: &House) {
        house.post("/v1/page", r#"{"anonymousId":"v"}"#).await;
        let visitor = house.lookup("v").await.unwrap().name;
        shop(house).await;
        let (ana, ben) = (house.lookup("ana").await.unwrap(), house.lookup("ben").await.unwrap());
        let nobody = format!("{PARENT}/profiles/{}", uuid::Uuid::nil());
        let mut asked = vec![ben.name.clone(), nobody, ana.name.clone()];
        asked.extend((ana.name != visitor).then(|| visitor.clone()));
        asked.extend(ana.merged_profiles.clone());
        let mut found = profiles(house, asked).await;
        let mut expected = [ana, ben];
        for it in found.iter_mut().chain(&mut expected) {
            it.complete_through = None;
        }
        expected.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(found, expected, "unknown and merged ones are left out");
        let request = BatchGetProfilesRequest {
            parent: PARENT.to_owned(),
            names: vec![format!("workspaces/other/profiles/{}", uuid::Uuid::nil())],
        };
        let refused = house.profiles.clone().batch_get_profiles(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }

    pub async fn a_list_may_say_when_people_agreed(house: &House) {
        let list = r#"{"userId":"ana","timestamp":"2026-02-01T00:00:00Z","traits":{
            "consent.email.marketing":{"granted":true,"confirmed":true,"at":"2025-06-01T10:00:00Z","source":"form"},
            "consent.sms.marketing":{"granted":true,"at":"2031-01-01T00:00:00Z"}}}"#;
        assert_eq!(house.post("/v1/identify", list).await, 200);
        let ana = house.lookup("ana").await.unwrap();
        let said: Vec<_> = ana
            .consents
            .iter()
            .map(|it| (it.channel.as_str(), it.granted, it.confirmed, it.update_time))
            .collect();
        let told = instant("2026-02-01T00:00:00Z");
        let expected = [("email", true, true, instant("2025-06-01T10:00:00Z")), ("sms", true, false, told)];
        assert_eq!(said, expected, "nobody agreed after it was told");
        let broken = r#"{"userId":"ana","messageId":"b","traits":{"consent.email":{"granted":true,"at":"last year"}}}"#;
        house.post("/v1/identify", broken).await;
        let refused = house.rejected().await;
        assert_eq!(refused[0].field, "traits.consent.email.at", "{refused:?}");
    }
}
