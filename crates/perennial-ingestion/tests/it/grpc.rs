//! What services call.

crate::on_every_database!(
    a_batch_has_an_outcome_for_each_event,
    a_stream_is_counted,
    a_stream_is_answered_batch_by_batch,
    one_event_is_answered_with_its_outcome,
    reports_about_a_message_become_facts_about_it,
    the_first_amount_decides_the_currency,
    keys_are_made_listed_and_ended,
    what_is_history_is_marked,
    a_workspace_never_sees_anothers_people,
);

mod cases {
    use crate::house::House;
    use perennial_api::ingestion::v1 as wire;
    use perennial_api::ingestion::v1::event_outcome::Result as Word;
    use perennial_types::{FactKind, OrderChange};
    use prost_types::{Struct, Value, value::Kind};
    use tonic::Code;

    fn properties(pairs: &[(&str, &str)]) -> Option<Struct> {
        let value = |it: &str| Value { kind: Some(Kind::StringValue(it.to_owned())) };
        Some(Struct { fields: pairs.iter().map(|(name, it)| ((*name).to_owned(), value(it))).collect() })
    }

    fn track(id: &str, user: &str, event: &str, pairs: &[(&str, &str)]) -> wire::Event {
        wire::Event {
            message_id: id.to_owned(),
            r#type: "track".to_owned(),
            user_id: user.to_owned(),
            event: event.to_owned(),
            properties: properties(pairs),
            ..Default::default()
        }
    }

    async fn ingest(house: &House, events: Vec<wire::Event>, historical: bool) -> Vec<wire::EventOutcome> {
        let request = wire::IngestEventsRequest { parent: "workspaces/main".to_owned(), events, historical };
        house.ingestion.clone().ingest_events(request).await.unwrap().into_inner().outcomes
    }

    pub async fn a_batch_has_an_outcome_for_each_event(house: &House) {
        let events = vec![
            track("1", "ana", "A", &[]),
            track("1", "ana", "A", &[]),
            track("2", "", "A", &[]),
            track("3", "ben", "Order Completed", &[("order_id", "7"), ("revenue", "12.50")]),
        ];
        let outcomes = ingest(house, events, false).await;
        let words: Vec<Word> = outcomes.iter().map(|it| it.result()).collect();
        assert_eq!(words, [Word::Accepted, Word::Duplicate, Word::Rejected, Word::Accepted]);
        assert!(outcomes[2].reason.starts_with("anonymousId: "), "{}", outcomes[2].reason);
        let many = vec![wire::Event::default(); 2_501];
        let request = wire::IngestEventsRequest {
            parent: "workspaces/main".to_owned(),
            events: many,
            historical: false,
        };
        let refused = house.ingestion.clone().ingest_events(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let request = wire::IngestEventsRequest { parent: "main".to_owned(), ..Default::default() };
        let refused = house.ingestion.clone().ingest_events(request).await.unwrap_err();
        assert!(refused.message().contains("workspaces/{workspace}"), "{refused}");
    }

    pub async fn a_stream_is_counted(house: &House) {
        let message = |n: usize| wire::IngestStreamRequest {
            parent: if n == 0 { "workspaces/main".to_owned() } else { String::new() },
            events: (0..100).map(|m| track(&format!("{}", n * 50 + m), &format!("u{m}"), "A", &[])).collect(),
            historical: false,
        };
        let stream = futures::stream::iter((0..5).map(message));
        let counts = house.ingestion.clone().ingest_stream(stream).await.unwrap().into_inner();
        assert_eq!((counts.accepted_count, counts.duplicate_count, counts.rejected_count), (300, 200, 0));
        let mut bad = message(0);
        bad.events[3].event = String::new();
        bad.events[3].message_id = "bad".to_owned();
        let stream = futures::stream::iter([message(0), bad]);
        let counts = house.ingestion.clone().ingest_stream(stream).await.unwrap().into_inner();
        let rejected = &counts.rejections[0];
        assert_eq!((counts.rejected_count, rejected.index), (1, 103));
        assert_eq!(rejected.outcome.as_ref().unwrap().field, "event");
    }

    pub async fn a_stream_is_answered_batch_by_batch(house: &House) {
        let (batches, sent) = futures::channel::mpsc::channel(1);
        let mut batches = batches;
        let mut answers = house.ingestion.clone().stream_events(sent).await.unwrap().into_inner();
        for n in 0..3 {
            let events = vec![
                track(&n.to_string(), "ana", "A", &[]),
                track("0", "ana", "A", &[]),
                track("", "", "A", &[]),
            ];
            let parent = if n == 0 { "workspaces/main".to_owned() } else { String::new() };
            let batch = wire::StreamEventsRequest { parent, events, historical: false };
            futures::SinkExt::send(&mut batches, batch).await.unwrap();
            // Each is answered before the next is sent.
            let outcomes = answers.message().await.unwrap().unwrap().outcomes;
            let words: Vec<Word> = outcomes.iter().map(|it| it.result()).collect();
            let first = Word::Accepted;
            assert_eq!(words, [first, Word::Duplicate, Word::Rejected]);
            assert_eq!(outcomes[2].field, "anonymousId");
            assert!(!outcomes[2].remedy.is_empty() && outcomes[2].reason.contains(&outcomes[2].remedy));
        }
        drop(batches);
        assert!(answers.message().await.unwrap().is_none());
        let stream = futures::stream::iter([wire::StreamEventsRequest::default()]);
        let mut refused = house.ingestion.clone().stream_events(stream).await.unwrap().into_inner();
        assert_eq!(refused.message().await.unwrap_err().code(), Code::InvalidArgument);
    }

    pub async fn one_event_is_answered_with_its_outcome(house: &House) {
        let one = |event| wire::IngestEventRequest {
            parent: "workspaces/main".to_owned(),
            event,
            historical: false,
        };
        let mut client = house.ingestion.clone();
        for expected in [Word::Accepted, Word::Duplicate] {
            let outcome =
                client.ingest_event(one(Some(track("1", "ana", "A", &[])))).await.unwrap().into_inner();
            assert_eq!(outcome.result(), expected);
        }
        let refused = client.ingest_event(one(None)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let outcome = client.ingest_event(one(Some(track("2", "ana", "", &[])))).await.unwrap().into_inner();
        assert_eq!((outcome.result(), outcome.field.as_str()), (Word::Rejected, "event"));
    }

    pub async fn reports_about_a_message_become_facts_about_it(house: &House) {
        ingest(house, vec![track("1", "ana", "A", &[])], false).await;
        let profile = house.lookup("ana").await.unwrap().name;
        let decision = uuid::Uuid::now_v7().to_string();
        let report = |id: &str, name: &str, profile: &str| wire::Event {
            profile: profile.to_owned(),
            ..track(
                id,
                "",
                name,
                &[
                    ("decision_id", &decision),
                    ("campaign", "welcome"),
                    ("step", "1"),
                    ("source", "one-click"),
                ],
            )
        };
        let outcomes = ingest(
            house,
            vec![
                report("2", "Email Clicked", &profile),
                report("3", "Email Unsubscribed", &profile),
                report("4", "Email Clicked", &format!("workspaces/main/profiles/{}", uuid::Uuid::nil())),
                report("5", "Email Clicked", "workspaces/other/profiles/x"),
            ],
            false,
        )
        .await;
        let words: Vec<Word> = outcomes.iter().map(|it| it.result()).collect();
        assert_eq!(words, [Word::Accepted, Word::Accepted, Word::Rejected, Word::Rejected]);
        let facts = house.read_facts(&profile).await;
        let messages = facts.iter().filter(|it| matches!(it.kind, FactKind::Message(_))).count();
        assert_eq!(messages, 2);
        let withdrawn = facts
            .iter()
            .any(|it| matches!(&it.kind, FactKind::Consent(c) if !c.granted && c.source == "one-click"));
        assert!(withdrawn);
    }

    pub async fn the_first_amount_decides_the_currency(house: &House) {
        let mut client = house.ingestion.clone();
        let get = || wire::GetWorkspaceRequest { name: "workspaces/main".to_owned() };
        assert_eq!(client.get_workspace(get()).await.unwrap().into_inner().currency, "");
        let order = |id: &str, currency: &str| {
            track(
                id,
                "ana",
                "Order Completed",
                &[("order_id", id), ("revenue", "10"), ("currency", currency)],
            )
        };
        let words =
            |outcomes: Vec<wire::EventOutcome>| outcomes.iter().map(|it| it.result()).collect::<Vec<_>>();
        assert_eq!(words(ingest(house, vec![order("1", "USD")], false).await), [Word::Accepted]);
        assert_eq!(client.get_workspace(get()).await.unwrap().into_inner().currency, "USD");
        let refused = ingest(house, vec![order("2", "EUR")], false).await;
        assert!(refused[0].reason.contains("no rate from EUR to USD"), "{}", refused[0].reason);

        let update = |currency: &str| wire::UpdateWorkspaceRequest {
            workspace: Some(wire::Workspace {
                name: "workspaces/main".to_owned(),
                currency: currency.to_owned(),
                default_margin_per_mille: Some(300),
                time_zone: "Europe/Madrid".to_owned(),
                exchange_rates: vec![wire::ExchangeRate {
                    currency: "EUR".to_owned(),
                    start_date: "2026-01-01".to_owned(),
                    rate: 1.1,
                }],
                ..Default::default()
            }),
            update_mask: None,
        };
        assert_eq!(
            client.update_workspace(update("EUR")).await.unwrap_err().code(),
            Code::FailedPrecondition
        );
        client.update_workspace(update("")).await.unwrap();
        assert_eq!(words(ingest(house, vec![order("2", "EUR")], false).await), [Word::Accepted]);
        let placed = house.facts().await.into_iter().find_map(|it| match it.kind {
            FactKind::Order(OrderChange::Placed(order)) if order.order_id == "2" => Some(order),
            _ => None,
        });
        let placed = placed.unwrap();
        assert_eq!((placed.revenue, placed.profit, placed.currency.code()), (1_100, 330, "USD"));
        assert_eq!(house.lookup("ana").await.unwrap().time_zone, "Europe/Madrid");
    }

    pub async fn keys_are_made_listed_and_ended(house: &House) {
        let mut client = house.ingestion.clone();
        assert_eq!(house.post("/v1/track", r#"{"userId":"1","event":"A"}"#).await, 200);
        let list =
            || wire::ListWriteKeysRequest { parent: "workspaces/main".to_owned(), ..Default::default() };
        let keys = client.list_write_keys(list()).await.unwrap().into_inner().write_keys;
        assert_eq!(keys.len(), 1);
        assert!(keys[0].key.is_empty() && house.key.starts_with(&keys[0].key_prefix));
        assert!(keys[0].last_use_time.is_some() && house.key.len() > 43);
        let revoke = || wire::RevokeWriteKeyRequest { name: keys[0].name.clone() };
        let first = client.revoke_write_key(revoke()).await.unwrap().into_inner();
        let second = client.revoke_write_key(revoke()).await.unwrap().into_inner();
        assert_eq!(first, second);
        assert!(first.revoke_time.is_some());
        assert_eq!(house.post("/v1/track", r#"{"userId":"1","event":"A"}"#).await, 401);
        let unknown = wire::RevokeWriteKeyRequest { name: "workspaces/main/writeKeys/x".to_owned() };
        assert_eq!(client.revoke_write_key(unknown).await.unwrap_err().code(), Code::NotFound);
    }

    pub async fn what_is_history_is_marked(house: &House) {
        let mut late = track("3", "ana", "Late", &[]);
        late.event_time = Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 });
        ingest(house, vec![track("1", "ana", "Live", &[]), late], false).await;
        ingest(house, vec![track("2", "ana", "Imported", &[])], true).await;
        let records = house.records().await;
        let marked: Vec<(String, bool)> = records
            .iter()
            .filter(|it| it.kind == "fact")
            .map(|it| (perennial_rpc::facts::decode(&it.payload).unwrap().name, it.historical))
            .collect();
        let expected = [("Live", false), ("Late", true), ("Imported", true)];
        assert_eq!(marked, expected.map(|(name, marked)| (name.to_owned(), marked)));
    }

    pub async fn a_workspace_never_sees_anothers_people(house: &House) {
        let at = |workspace: &str| wire::IngestEventsRequest {
            parent: format!("workspaces/{workspace}"),
            events: vec![track("same", "ana", "A", &[]), track("bad", "", "A", &[])],
            historical: false,
        };
        for workspace in ["main", "other"] {
            let outcomes =
                house.ingestion.clone().ingest_events(at(workspace)).await.unwrap().into_inner().outcomes;
            // The same message id in another workspace is another event.
            assert_eq!(outcomes[0].result(), Word::Accepted, "{workspace}");
        }
        let mine = house.lookup("ana").await.unwrap().name;
        let theirs = mine.replace("workspaces/main/", "workspaces/other/");
        let get = perennial_api::profile::v1::GetProfileRequest { name: theirs.clone() };
        let refused = house.profiles.clone().get_profile(get).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
        let read = perennial_api::profile::v1::ReadFactsRequest { name: theirs, ..Default::default() };
        assert_eq!(house.profiles.clone().read_facts(read).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(house.rejected().await.len(), 1);
        assert_eq!(house.stats().await.accepted_count, 1);
        assert_eq!(house.read_facts(&mine).await.len(), 1);
    }
}
