//! Entering, leaving and moving, live and at exact instants.

use perennial_api::scoring::v1::ScoreUpdated;
use perennial_api::segmentation::v1 as wire;
use perennial_types::{from_micros, micros};
use tonic::Code;

use crate::world::{DAY, profile_name, segment_name, wire_time, worlds};

fn event(name: &str) -> Option<wire::Cause> {
    Some(wire::Cause { kind: Some(wire::cause::Kind::Event(name.to_owned())) })
}

fn timer(part: &str) -> Option<wire::Cause> {
    Some(wire::Cause { kind: Some(wire::cause::Kind::Timer(part.to_owned())) })
}

#[tokio::test]
async fn a_profile_enters_with_the_event_and_leaves_at_the_exact_instant() {
    for mut world in worlds().await {
        world.create("browsers", r#"count("Product Viewed", "7d", it.category == "shoes") >= 2"#).await;
        let ana = world.profile();
        let first = world.now();
        let view = || world.event(ana, "Product Viewed", &[("category", "shoes".into())]);
        world.append(vec![view()]).await;
        world.append(vec![world.event(ana, "Product Viewed", &[("category", "hats".into())])]).await;
        assert!(!world.check(ana, "browsers").await.member);
        world.advance(DAY).await;
        let second = world.now();
        let view = world.event(ana, "Product Viewed", &[("category", "shoes".into())]);
        world.append(vec![view]).await;
        let found = world.check(ana, "browsers").await;
        assert!(found.member && !found.historical);
        assert_eq!((found.since, found.cause), (wire_time(second), event("Product Viewed")));

        let leaving = from_micros(micros(first) + 7 * DAY);
        world.advance(6 * DAY - 1).await;
        assert!(world.check(ana, "browsers").await.member, "one microsecond before");
        world.advance(3 * DAY).await;
        let found = world.check(ana, "browsers").await;
        assert!(!found.member);
        assert_eq!((found.since, found.cause), (wire_time(leaving), timer("Product Viewed 7d")));
        assert!(world.check_at(ana, "browsers", Some(second)).await.member, "as of then it was");
        let told = world.told().await;
        assert_eq!(
            told,
            [(ana, "browsers".to_owned(), true, false), (ana, "browsers".to_owned(), false, false)]
        );
        world.end().await;
    }
}

#[tokio::test]
async fn stages_move_with_orders_and_with_time() {
    for mut world in worlds().await {
        world.create("slipping", r#"stage == "at_risk" && reachable("email")"#).await;
        let ana = world.profile();
        world.track(ana, "Page").await;
        assert_eq!(world.stage(ana).await.stage, "anonymous");
        world.known(ana).await;
        world.track(ana, "Product Viewed").await;
        assert_eq!(world.stage(ana).await.stage, "evaluating");
        let start = micros(world.now());
        let score = ScoreUpdated {
            orders: 1,
            last_order_micros: start,
            overdue_micros: start + 30 * DAY,
            lapse_micros: start + 90 * DAY,
            ..Default::default()
        };
        world.score(ana, score.clone()).await;
        assert_eq!(world.stage(ana).await.stage, "new_customer");
        world.advance(30 * DAY).await;
        let stage = world.stage(ana).await;
        assert_eq!((stage.stage.as_str(), stage.cause), ("at_risk", timer("overdue")));
        assert_eq!(stage.since, wire_time(from_micros(start + 30 * DAY)));
        let found = world.check(ana, "slipping").await;
        assert_eq!((found.member, found.cause), (true, timer("overdue")));
        world.advance(100 * DAY).await;
        let stage = world.stage(ana).await;
        assert_eq!(stage.since, wire_time(from_micros(start + 90 * DAY)));
        let moves: Vec<_> = stage.history.iter().map(|it| it.stage.as_str()).collect();
        // What happened at one instant shows as where it ended.
        assert_eq!(moves, ["lapsed", "at_risk", "new_customer"]);
        assert!(!world.check(ana, "slipping").await.member);

        let bea = world.profile();
        world.append(vec![world.event(bea, "Page", &[]), world.met(bea)]).await;
        let request = wire::SummarizeStagesRequest { parent: "workspaces/main".to_owned() };
        let summary = world.client.summarize_stages(request).await.unwrap().into_inner();
        assert_eq!((summary.profiles, summary.stages.len()), (2, 9));
        let members = |name: &str| summary.stages.iter().find(|it| it.stage == name).unwrap().members;
        assert_eq!((members("lapsed"), members("anonymous"), members("loyal")), (1, 1, 0));
        world.end().await;
    }
}

#[tokio::test]
async fn a_merged_profile_takes_its_history_along() {
    for mut world in worlds().await {
        world.create("viewers", r#"count("Product Viewed", "7d") >= 2"#).await;
        let (guest, ana) = (world.profile(), world.profile());
        world.track(guest, "Product Viewed").await;
        world.advance(DAY).await;
        world.track(ana, "Product Viewed").await;
        assert!(!world.check(ana, "viewers").await.member);
        world.merge(guest, ana).await;
        assert!(world.check(ana, "viewers").await.member);
        assert!(world.check(guest, "viewers").await.member, "the old name leads to the survivor");
        assert_eq!(world.stage(guest).await.profile, profile_name(ana));
        let request = wire::SummarizeStagesRequest { parent: "workspaces/main".to_owned() };
        assert_eq!(world.client.summarize_stages(request).await.unwrap().into_inner().profiles, 1);
        world.advance(6 * DAY).await;
        assert!(!world.check(ana, "viewers").await.member, "the guest's view left the window");
        world.end().await;
    }
}

#[tokio::test]
async fn ids_of_another_workspace_are_not_found() {
    for mut world in worlds().await {
        world.create("viewers", r#"did("Product Viewed", "7d")"#).await;
        let ana = world.profile();
        world.track(ana, "Product Viewed").await;
        let other = |it: String| it.replace("workspaces/main", "workspaces/other");
        for (name, segment) in [
            (other(profile_name(ana)), other(segment_name("viewers"))),
            (other(profile_name(ana)), segment_name("viewers")),
            (profile_name(ana), other(segment_name("viewers"))),
            (profile_name(world.profile()), segment_name("viewers")),
        ] {
            let request = wire::CheckMembershipRequest { name, segment, as_of: None };
            assert_eq!(world.client.check_membership(request).await.unwrap_err().code(), Code::NotFound);
        }
        let request = wire::GetStageRequest { name: other(profile_name(ana)) };
        assert_eq!(world.client.get_stage(request).await.unwrap_err().code(), Code::NotFound);
        let request = wire::GetSegmentRequest { name: other(segment_name("viewers")) };
        assert_eq!(world.client.get_segment(request).await.unwrap_err().code(), Code::NotFound);
        let request = wire::SummarizeSegmentsRequest { parent: "workspaces/other".to_owned() };
        let summary = world.client.summarize_segments(request).await.unwrap().into_inner();
        assert_eq!((summary.profiles, summary.segments.len()), (0, 0));
        world.end().await;
    }
}

#[tokio::test]
async fn an_import_changes_membership_as_history() {
    for mut world in worlds().await {
        world.create("viewers", r#"did("Product Viewed", "7d")"#).await;
        let ana = world.profile();
        world.append(vec![world.imported(ana, "Product Viewed")]).await;
        let found = world.check(ana, "viewers").await;
        assert!(found.member && found.historical);
        assert_eq!(world.told().await, [(ana, "viewers".to_owned(), true, true)]);
        assert!(world.stage(ana).await.history[0].historical);
        world.end().await;
    }
}

#[tokio::test]
async fn an_answer_is_kept_until_the_feed_tells_that_it_changed() {
    for mut world in worlds().await {
        world.create("viewers", r#"did("Product Viewed", "30d")"#).await;
        let ana = world.profile();
        world.known(ana).await;
        let (member, stage) = (world.check(ana, "viewers").await, world.stage(ana).await);
        assert!(!member.member && member.complete_through.is_some() && stage.complete_through.is_some());
        let before = world.host.cache.counts();
        assert_eq!(world.check(ana, "viewers").await, member);
        assert_eq!(world.stage(ana).await, stage);
        let after = world.host.cache.counts();
        assert_eq!((after.hits, after.misses), (before.hits + 2, before.misses));

        world.track(ana, "Product Viewed").await;
        assert!(world.check(ana, "viewers").await.member);
        let moved = world.stage(ana).await;
        assert_eq!((stage.stage.as_str(), moved.stage.as_str()), ("lead", "evaluating"));
        world.end().await;
    }
}
