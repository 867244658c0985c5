//! What events are agreed to look like, and the mending of those that were refused.

crate::on_every_database!(
    a_plan_refuses_what_it_enforces_and_counts_what_it_observes,
    refused_events_are_mended_and_taken_once_as_history,
    a_replay_means_what_the_first_try_meant,
    a_plan_is_checked_told_and_ended,
    patches_that_do_not_fit_change_nothing,
);

mod cases {
    use crate::house::House;
    use perennial_api::ingestion::v1 as wire;
    use perennial_api::ingestion::v1::fix_rejected_events_request::Patch;
    use perennial_api::ingestion::v1::update_tracking_plan_response::Change;
    use perennial_types::{FactKind, OrderChange};
    use tonic::{Code, Status};

    const PARENT: &str = "workspaces/main";

    const PLAN: &str = r#"
kind: TrackingPlan
mode: enforce
events:
  Song Played:
    schema: { type: object, required: [title], properties: { title: { type: string }, stars: { type: integer } } }
  Song Liked:
    mode: observe
    schema: { required: [title] }
"#;

    async fn plan(house: &House, definition: &str, validate_only: bool) -> Result<Change, Status> {
        let tracking_plan = Some(wire::TrackingPlan {
            name: format!("{PARENT}/trackingPlan"),
            definition: definition.to_owned(),
            ..Default::default()
        });
        let request = wire::UpdateTrackingPlanRequest { tracking_plan, validate_only };
        Ok(house.quality.clone().update_tracking_plan(request).await?.into_inner().change())
    }

    async fn causes(house: &House) -> Vec<wire::RejectionCause> {
        let request = wire::SummarizeRejectionsRequest { parent: PARENT.to_owned(), page_size: 0 };
        house.quality.clone().summarize_rejections(request).await.unwrap().into_inner().causes
    }

    async fn fix(
        house: &House,
        cause: &str,
        patch: Patch,
        validate_only: bool,
    ) -> wire::FixRejectedEventsResponse {
        let request = wire::FixRejectedEventsRequest {
            parent: PARENT.to_owned(),
            cause: cause.to_owned(),
            patch: Some(patch),
            validate_only,
            ..Default::default()
        };
        house.quality.clone().fix_rejected_events(request).await.unwrap().into_inner()
    }

    /// Accepted, duplicate and rejected.
    async fn replay(house: &House, cause: &str) -> (i64, i64, i64) {
        let request = wire::ReplayRejectedEventsRequest {
            parent: PARENT.to_owned(),
            cause: cause.to_owned(),
            ..Default::default()
        };
        let it = house.quality.clone().replay_rejected_events(request).await.unwrap().into_inner();
        (it.accepted_count, it.duplicate_count, it.rejected_count)
    }

    pub async fn a_plan_refuses_what_it_enforces_and_counts_what_it_observes(house: &House) {
        assert_eq!(plan(house, PLAN, false).await.unwrap(), Change::Created);
        let body = r#"{"batch":[
            {"type":"track","messageId":"1","userId":"a","event":"Song Played","properties":{"title":"T"}},
            {"type":"track","messageId":"2","userId":"a","event":"Song Played","properties":{"stars":4}},
            {"type":"track","messageId":"3","userId":"a","event":"Song Played","properties":{"title":"T","stars":"many"}},
            {"type":"track","messageId":"4","userId":"a","event":"Song Played"},
            {"type":"track","messageId":"5","userId":"a","event":"Song Liked","properties":{}},
            {"type":"track","messageId":"6","userId":"a","event":"Anything"}]}"#;
        for _ in 0..2 {
            assert_eq!(house.post("/v1/batch", body).await, 200);
        }
        let stats = house.stats().await;
        assert_eq!((stats.accepted_count, stats.rejected_count), (3, 3));
        let causes = causes(house).await;
        let told: Vec<_> = causes.iter().map(|it| (it.event.as_str(), it.field.as_str(), it.count)).collect();
        assert_eq!(told, [("Song Played", "properties.title", 2), ("Song Played", "properties.stars", 1)]);
        let request = wire::SummarizePlanViolationsRequest { parent: PARENT.to_owned(), page_size: 0 };
        let seen =
            house.quality.clone().summarize_plan_violations(request).await.unwrap().into_inner().violations;
        let told: Vec<_> = seen.iter().map(|it| (it.event.as_str(), it.field.as_str(), it.count)).collect();
        assert_eq!(told, [("Song Liked", "properties.title", 1)], "a repetition is no further violation");
        let request = wire::ListRejectedEventsRequest {
            parent: PARENT.to_owned(),
            cause: causes[1].name.clone(),
            ..Default::default()
        };
        let of_cause = house.ingestion.clone().list_rejected_events(request).await.unwrap().into_inner();
        assert_eq!(of_cause.rejected_events.len(), 1);
        assert!(!of_cause.rejected_events[0].reason.contains("many"), "a value may be about a person");
    }

    pub async fn refused_events_are_mended_and_taken_once_as_history(house: &House) {
        let order = |n: u32| {
            let id = if n == 0 { String::new() } else { format!(r#""messageId":"m{n}","#) };
            format!(
                r#"{{"type":"track",{id}"userId":"u{n}","event":"completed_order","properties":{{"number":"o{n}","revenue":"1{n}.50"}}}}"#
            )
        };
        let batch = (0..4).map(order).collect::<Vec<_>>().join(",");
        assert_eq!(house.post("/v1/batch", &format!(r#"{{"batch":[{batch}]}}"#)).await, 200);
        let cause = causes(house).await.remove(0);
        assert_eq!((cause.count, cause.field.as_str()), (4, "properties.order_id"));
        let patch = || {
            let text = r#"[{"op":"move","from":"/properties/number","path":"/properties/order_id"}]"#;
            Patch::JsonPatch(text.to_owned())
        };
        let would = fix(house, &cause.name, patch(), true).await;
        assert_eq!((would.good_count, would.bad_count, would.skipped_count), (4, 0, 0));
        assert!(would.samples[0].body.contains("order_id"));
        assert_eq!(causes(house).await[0].fixed_count, 0, "asking changes nothing");
        assert_eq!(replay(house, &cause.name).await, (0, 0, 4), "nothing was mended yet");
        assert_eq!(fix(house, &cause.name, patch(), false).await.good_count, 4);
        assert_eq!(causes(house).await[0].fixed_count, 4);
        house.advance(120).await;
        // One of them came again by itself, correct by now.
        let again = order(1).replace("number", "order_id");
        assert_eq!(house.post("/v1/batch", &format!(r#"{{"batch":[{again}]}}"#)).await, 200);
        assert_eq!(replay(house, &cause.name).await, (3, 1, 0));
        assert_eq!(replay(house, &cause.name).await, (0, 0, 0), "what was taken waits no longer");
        assert!(causes(house).await.is_empty());
        let placed = |it: &perennial_types::Fact| matches!(it.kind, FactKind::Order(OrderChange::Placed(_)));
        assert_eq!(house.facts().await.iter().filter(|it| placed(it)).count(), 4);
        let records = house.records().await;
        let historical = records.iter().filter(|it| it.kind == "fact" && it.historical).count();
        assert_eq!(historical, 3, "two hours after they happened they start nothing");
        assert!(house.rejected().await.iter().all(|it| it.replay_time.is_some()));
    }

    pub async fn a_replay_means_what_the_first_try_meant(house: &House) {
        // A clock a day slow; the time, the context and the kind of call are said by the request, not by the event.
        let body = r#"{"batch":[{"type":"track","messageId":"slow","userId":"a","event":"Order Completed",
              "timestamp":"2026-02-28T11:59:00Z","properties":{}},
            {"type":"track","messageId":"silent","userId":"b","event":"Order Completed","properties":{}}],
            "context":{"timezone":"Europe/Madrid"},"sentAt":"2026-02-28T12:00:00Z"}"#;
        assert_eq!(house.post("/v1/batch", body).await, 200);
        assert_eq!(house.post("/v1/track", r#"{"userId":"c","event":"Order Completed"}"#).await, 200);
        let kept = house.rejected().await;
        assert!(kept.iter().all(|it| it.blocked.is_empty() && !it.body.contains("writeKey")));
        house.advance(30).await;
        let cause = causes(house).await.remove(0);
        let patch =
            Patch::MergePatch(r#"{"properties":{"order_id":"1","revenue":7,"order":null}}"#.to_owned());
        assert_eq!(fix(house, &cause.name, patch, false).await.good_count, 3);
        assert_eq!(replay(house, "").await, (3, 0, 0));
        let facts = house.facts().await;
        let times: Vec<String> = facts.iter().map(|it| it.at.to_string()).collect();
        let first = facts.iter().filter(|it| it.at.to_string() == "2026-03-01T11:59:00Z").count();
        let received = facts.iter().filter(|it| it.at.to_string() == "2026-03-01T12:00:00Z").count();
        assert_eq!((first, received), (1, 2), "{times:?}");
        assert!(house.records().await.iter().all(|it| !it.historical), "half an hour is not long ago");
        assert_eq!(house.lookup("a").await.unwrap().time_zone, "Europe/Madrid");
    }

    pub async fn a_plan_is_checked_told_and_ended(house: &House) {
        let mut client = house.quality.clone();
        let name = format!("{PARENT}/trackingPlan");
        let get = || wire::GetTrackingPlanRequest { name: format!("{PARENT}/trackingPlan") };
        assert_eq!(client.get_tracking_plan(get()).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(plan(house, PLAN, true).await.unwrap(), Change::Created);
        assert_eq!(client.get_tracking_plan(get()).await.unwrap_err().code(), Code::NotFound);
        for (definition, expected) in
            [(PLAN, Change::Created), (PLAN, Change::Unchanged), ("mode: observe\n", Change::Updated)]
        {
            assert_eq!(plan(house, definition, false).await.unwrap(), expected);
        }
        assert_eq!(client.get_tracking_plan(get()).await.unwrap().into_inner().version, 2);
        let refused = plan(house, "events:\n  A:\n    schema: { type: 7 }\n", false).await.unwrap_err();
        assert!(refused.code() == Code::InvalidArgument && refused.message().contains("line 2"), "{refused}");
        plan(house, PLAN, false).await.unwrap();
        let event = r#"{"userId":"a","event":"Song Played"}"#;
        house.post("/v1/track", event).await;
        client.delete_tracking_plan(wire::DeleteTrackingPlanRequest { name }).await.unwrap();
        house.post("/v1/track", event).await;
        let stats = house.stats().await;
        assert_eq!((stats.accepted_count, stats.rejected_count), (1, 1));
    }

    pub async fn patches_that_do_not_fit_change_nothing(house: &House) {
        let large = "x".repeat(70 * 1024);
        let batch = format!(
            r#"{{"batch":[7,{{"type":"track","messageId":"l","userId":"a","event":"L","properties":{{"x":"{large}"}}}},
                {{"type":"track","messageId":"a","event":"A"}}]}}"#
        );
        assert_eq!(house.post("/v1/batch", &batch).await, 200);
        let all = causes(house).await;
        assert_eq!(all.len(), 3);
        for cause in all {
            let patch = Patch::JsonPatch(r#"[{"op":"remove","path":"/properties/y"}]"#.to_owned());
            let fixed = fix(house, &cause.name, patch, false).await;
            assert_eq!((fixed.good_count, fixed.bad_count, fixed.skipped_count), (0, 0, 1), "{cause:?}");
            assert!(!fixed.samples[0].problem.is_empty());
        }
        assert!(causes(house).await.iter().all(|it| it.fixed_count == 0));
        for patch in [Patch::JsonPatch("{}".to_owned()), Patch::MergePatch("[]".to_owned())] {
            let request = wire::FixRejectedEventsRequest {
                parent: PARENT.to_owned(),
                cause: format!("{PARENT}/rejectionCauses/x"),
                patch: Some(patch),
                ..Default::default()
            };
            let refused = house.quality.clone().fix_rejected_events(request).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument);
        }
        // Somebody is named, and the event is good.
        let request = wire::FixRejectedEventsRequest {
            parent: PARENT.to_owned(),
            names: house.rejected().await.into_iter().map(|it| it.name).collect(),
            patch: Some(Patch::MergePatch(r#"{"anonymousId":"somebody"}"#.to_owned())),
            ..Default::default()
        };
        let fixed = house.quality.clone().fix_rejected_events(request).await.unwrap().into_inner();
        assert_eq!((fixed.good_count, fixed.bad_count, fixed.skipped_count), (1, 1, 1));
        assert_eq!(replay(house, "").await, (1, 0, 1));
    }
}
