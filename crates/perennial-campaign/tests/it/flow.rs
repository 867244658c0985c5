//! Pauses, failures, merges, reports.

use perennial_api::campaign::v1 as wire;

use crate::world::{DAY, HOUR, key, worlds};

const NEWS: &str = "kind: Campaign\nname: news\ntrigger: { event: Go }\nholdout: 50%\n\
    goal: { event: Order Completed, within: 10d }\nsteps:\n  - message: { template: news }\n";

async fn go(world: &crate::world::World, profile: perennial_types::ProfileId) {
    world.told(profile, "Go", perennial_types::FactKind::Tracked).await;
}

#[tokio::test]
async fn an_emergency_pause_stops_sending_before_the_next_call_and_resume_goes_on() {
    for mut world in worlds().await {
        world.live(NEWS).await;
        let profile = world.profile(&key("news", 0.5, false)).await;
        world.consents(profile).await;
        let parent = "workspaces/main".to_owned();
        let request =
            wire::PauseWorkspaceRequest { parent: parent.clone(), reason: "wrong price".to_owned() };
        assert!(world.client.pause_workspace(request).await.unwrap().into_inner().paused);
        go(&world, profile).await;
        world.advance(HOUR).await;
        assert_eq!(world.taken.look().calls, 0, "not even a call");
        let found = world.explain(profile, "news").await;
        assert_eq!((found[1].outcome.as_str(), found[1].delivery.as_str()), ("sent", "queued"));
        let pause = wire::GetWorkspacePauseRequest { parent: parent.clone() };
        assert_eq!(world.client.get_workspace_pause(pause).await.unwrap().into_inner().reason, "wrong price");
        world.client.resume_workspace(wire::ResumeWorkspaceRequest { parent }).await.unwrap();
        world.settle().await;
        assert_eq!(world.templates(), ["news"]);
        world.end().await;
    }
}

#[tokio::test]
async fn a_peer_that_fails_gets_each_message_once_in_the_end() {
    for mut world in worlds().await {
        world.live(NEWS).await;
        world.taken.look().failures = 3;
        let profile = world.profile(&key("news", 0.5, false)).await;
        world.consents(profile).await;
        go(&world, profile).await;
        world.advance(HOUR).await;
        assert_eq!(world.templates(), ["news"]);
        assert_eq!(world.taken.look().calls, 4);
        world.end().await;
    }
}

#[tokio::test]
async fn a_merge_takes_decisions_along_and_counts_the_person_once() {
    for mut world in worlds().await {
        world.live(NEWS).await;
        let first = world.profile(&key("news", 0.5, false)).await;
        world.consents(first).await;
        go(&world, first).await;
        world.advance(HOUR).await;
        let second = world.profile(&key("news", 0.5, true)).await;
        world.consents(second).await;
        go(&world, second).await;
        world.advance(HOUR).await;
        world.merge(first, second).await;
        world.orders(second, "1", 4_000).await;
        world.advance(11 * DAY).await;
        let story = world.explain(second, "news").await;
        let outcomes: Vec<_> = story.iter().map(|it| it.outcome.as_str()).collect();
        assert_eq!(outcomes, ["entered", "sent", "finished", "entered", "held_out", "finished"]);
        assert!(world.explain(first, "").await.is_empty());
        let report = world.report("news").await;
        let (treated, held_out) = (report.treated.unwrap(), report.held_out.unwrap());
        assert_eq!(
            (treated.customers, treated.conversions, held_out.customers),
            (1, 1, 0),
            "the earliest arm counts"
        );
        go(&world, second).await;
        world.advance(HOUR).await;
        assert_eq!(world.templates().len(), 1, "one side held out is enough to stay silent");
        world.end().await;
    }
}

#[tokio::test]
async fn a_report_compares_the_arms_and_proves_a_large_effect() {
    for mut world in worlds().await {
        world.live(NEWS).await;
        let mut arms = [0, 0];
        for n in 0..160 {
            let key = format!("customer-{n}");
            let held_out = perennial_types::hash_draw("news:holdout", &key) < 0.5;
            arms[usize::from(held_out)] += 1;
            let profile = world.profile(&key).await;
            world.consents(profile).await;
            go(&world, profile).await;
            // Whoever is written to orders; of the others every fifth does.
            if !held_out || n % 5 == 0 {
                world.orders(profile, &n.to_string(), 4_000 + n * 10).await;
            }
        }
        let open = world.report("news").await;
        assert_eq!((open.open, open.treated.unwrap().customers), (160, 0));
        world.advance(10 * DAY).await;
        let report = world.report("news").await;
        let (treated, held_out) = (report.treated.unwrap(), report.held_out.unwrap());
        assert_eq!([treated.customers, held_out.customers], arms);
        assert_eq!(treated.conversions, treated.customers);
        let profit = report.profit.unwrap();
        assert!(
            profit.proven
                && profit.low > 0.0
                && profit.low < profit.estimate
                && profit.estimate < profit.high
        );
        assert_eq!((report.verdict.as_str(), report.sample_ratio_alarm), ("gains", false));
        assert_eq!(report.sent, treated.customers);
        world.end().await;
    }
}

#[tokio::test]
async fn quiet_hours_are_explained_and_waited_for() {
    for mut world in worlds().await {
        world.live(NEWS).await;
        let profile = world.profile(&key("news", 0.5, false)).await;
        world.consents(profile).await;
        world.advance(13 * HOUR).await;
        go(&world, profile).await;
        assert!(world.templates().is_empty());
        let entries = world.explain(profile, "news").await;
        assert_eq!(entries[1].outcome, "waiting");
        assert_eq!(entries[1].reasons[0].text, "quiet until 2026-03-03T07:00:00Z (Europe/Madrid)");
        world.advance(12 * HOUR).await;
        assert_eq!(world.templates(), ["news"]);
        world.end().await;
    }
}

#[tokio::test]
async fn a_message_that_expired_is_explained_not_counted_and_sent_again() {
    for mut world in worlds().await {
        world.live(NEWS).await;
        let profile = world.profile(&key("news", 0.5, false)).await;
        world.consents(profile).await;
        go(&world, profile).await;
        assert_eq!(world.report("news").await.sent, 1);
        let decision = world.explain(profile, "news").await[1].decision_id.clone();
        world.advance(12 * HOUR).await;
        world.comes_back(profile, &decision, "Message Expired", "PAST_NOT_AFTER").await;
        let entries = world.explain(profile, "news").await;
        assert_eq!((entries[1].outcome.as_str(), entries[1].delivery.as_str()), ("sent", "expired"));
        assert_eq!(entries[1].delivery_reason, "PAST_NOT_AFTER");
        let last = entries.iter().find(|it| it.outcome == "expired").unwrap();
        assert!(last.reasons[0].text.starts_with("not delivered: PAST_NOT_AFTER; decided on again until"));
        assert_eq!(world.report("news").await.sent, 0, "what came back was not sent");
        world.advance(24 * HOUR).await;
        assert_eq!(world.templates(), ["news", "news"]);
        assert_eq!(world.report("news").await.sent, 1);
        let (first, second) = {
            let ledger = world.taken.look();
            (ledger.messages[0].clone(), ledger.messages[1].clone())
        };
        assert_eq!(second.occurrence, format!("{}~2", first.occurrence));
        world.comes_back(profile, &second.decision_id, "Message Refused", "ADDRESS_SUPPRESSED").await;
        world.advance(5 * DAY).await;
        assert_eq!(world.templates().len(), 2, "a refusal is final");
        let refused = world.explain(profile, "news").await.pop().unwrap();
        assert_eq!((refused.outcome.as_str(), refused.step.as_str()), ("refused", "news"));
        world.end().await;
    }
}

#[tokio::test]
async fn a_coupon_that_is_refused_is_told_to_ingestion_with_its_decision() {
    let offer = "kind: Campaign\nname: offer\ntrigger: { event: Go }\nholdout: 0%\nsteps:\n  \
        - offer: { coupon: ten }\n    message: { template: ten }\n";
    for mut world in worlds().await {
        world.live(offer).await;
        world.taken.look().refused.insert("ten".to_owned());
        let profile = world.profile("any").await;
        world.consents(profile).await;
        go(&world, profile).await;
        assert!(world.templates().is_empty());
        let decision = world.explain(profile, "offer").await[1].clone();
        assert_eq!(
            (decision.delivery.as_str(), decision.delivery_reason.as_str()),
            ("refused", "offer ten: BUDGET_SPENT")
        );
        assert_eq!(world.report("offer").await.sent, 0);
        {
            let ledger = world.taken.look();
            let event = &ledger.events[0];
            assert_eq!(event.event, "Message Refused");
            assert_eq!(event.profile, format!("workspaces/main/profiles/{profile}"));
            assert!(format!("{:?}", event.properties).contains(&decision.decision_id));
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_priority_follows_the_lift_that_was_published_at_midnight() {
    let news = NEWS.replace("goal:", "priority: { expected_incremental_profit: { lift: 3% } }\ngoal:");
    for mut world in worlds().await {
        world.live(&news).await;
        // Both arms order alike, but those written to spend 2.00 more, of which half is profit.
        let customer = |n: i64| {
            let held_out = n % 2 == 0;
            (key("news", 0.5, held_out), if held_out { 4_000 } else { 4_200 } + n)
        };
        world.crowd((0..104).map(customer)).await;
        let late = world.profile(&key("news", 0.5, false)).await;
        world.consents(late).await;
        world.scored(late, 0, 10_000).await;
        // The windows close ten days after nine o'clock; the midnight after that publishes.
        world.advance(10 * DAY + 14 * HOUR).await;
        world.advance(11 * HOUR).await;
        go(&world, late).await;
        let sent = world.explain(late, "news").await[1].clone();
        assert_eq!(sent.outcome, "sent");
        let text = &sent.reasons.last().unwrap().text;
        assert!(text.starts_with("lift 1.") && text.ends_with("as of 2026-03-13T00:00:00Z"), "{text}");
        world.end().await;
    }
}
