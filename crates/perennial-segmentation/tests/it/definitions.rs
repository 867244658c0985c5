//! Creating, changing, previewing and deleting segments.

use perennial_api::segmentation::v1 as wire;
use perennial_api::segmentation::v1::segment::State;
use tonic::Code;
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::world::{DAY, World, segment_name, worlds};

async fn people(world: &World, viewers: usize, others: usize) {
    let mut records = Vec::new();
    for n in 0..viewers + others {
        let name = if n < viewers { "Product Viewed" } else { "Page" };
        let profile = world.profile();
        records.push(world.event(profile, name, &[("n", perennial_types::Scalar::Int(n as i64))]));
        records.push(world.met(profile));
    }
    world.append(records).await;
}

async fn members(world: &mut World, segment: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = wire::ListMembersRequest { parent: segment_name(segment), page_size: 3, page_token };
        let page = world.client.list_members(request).await.unwrap().into_inner();
        found.extend(page.members.into_iter().map(|it| it.profile));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return found;
        }
    }
}

async fn get(world: &mut World, segment: &str) -> wire::Segment {
    let request = wire::GetSegmentRequest { name: segment_name(segment) };
    world.client.get_segment(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_bad_rule_is_refused_with_a_pointer_into_it() {
    for mut world in worlds().await {
        let refused =
            world.try_create("bad", r#"count("Order Complete", "30d") >= "2""#, false).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(
            refused.message().contains("\n|       ^^^^^^^^^^^^^^^^ no such event in "),
            "{}",
            refused.message()
        );
        let details = refused.get_error_details();
        let violation = &details.bad_request().unwrap().field_violations[0];
        assert_eq!(violation.field, "segment.rule");
        assert!(
            violation.description.starts_with("line 1, column 7: no such event in "),
            "{}",
            violation.description
        );
        assert!(violation.description.ends_with(r#"did you mean "Order Completed"?"#));
        let deep = format!("{}overdue{}", "(".repeat(20), ")".repeat(20));
        let refused = world.try_create("deep", &deep, false).await.unwrap_err();
        assert!(refused.message().contains("nested more than 16 deep"), "{}", refused.message());
        let refused = world.try_create("Bad Name", "overdue", false).await.unwrap_err();
        assert!(refused.message().contains("segment_id is \"Bad Name\""), "{}", refused.message());
        // A name that has come once is known.
        assert!(world.try_create("trips", r#"did("Trip Booked", "7d")"#, true).await.is_err());
        world.track(world.profile(), "Trip Booked").await;
        assert!(world.try_create("trips", r#"did("Trip Booked", "7d")"#, true).await.is_ok());
        world.end().await;
    }
}

#[tokio::test]
async fn a_new_segment_is_previewed_and_then_holds_what_history_says() {
    for mut world in worlds().await {
        people(&world, 7, 13).await;
        world.advance(DAY).await;
        let rule = r#"did("Product Viewed", "30d") && !did("Page", "30d")"#;
        let preview = world.try_create("viewers", rule, true).await.unwrap().preview.unwrap();
        let expected = wire::Preview { members: 7, profiles: 20, entering: 7, leaving: 0, sampled: 20 };
        assert_eq!(preview, expected);
        let missing = wire::GetSegmentRequest { name: segment_name("viewers") };
        assert_eq!(world.client.get_segment(missing).await.unwrap_err().code(), Code::NotFound);

        let created = world.create("viewers", rule).await;
        assert_eq!((created.version, created.etag.as_str()), (1, "1"));
        assert_eq!(get(&mut world, "viewers").await.state(), State::Live);
        assert_eq!(members(&mut world, "viewers").await.len(), 7);
        let told = world.told().await;
        assert!(told.len() == 7 && told.iter().all(|it| it.2 && it.3), "all historical: {told:?}");
        // What was found by recomputing leaves on time, too.
        world.advance(29 * DAY).await;
        assert_eq!(members(&mut world, "viewers").await.len(), 0);
        let left: Vec<_> = world.told().await.into_iter().filter(|it| !it.2).collect();
        assert!(left.len() == 7 && left.iter().all(|it| !it.3), "leaving is live: {left:?}");
        world.end().await;
    }
}

#[tokio::test]
async fn an_edit_moves_members_as_history_and_a_deletion_takes_them_out() {
    for mut world in worlds().await {
        people(&world, 5, 4).await;
        world.create("crowd", r#"did("Product Viewed", "30d")"#).await;
        world.create("others", r#"!in_segment("crowd")"#).await;
        assert_eq!(members(&mut world, "others").await.len(), 4);

        let segment = |rule: &str, etag: &str| {
            Some(wire::Segment {
                name: segment_name("crowd"),
                rule: rule.to_owned(),
                etag: etag.to_owned(),
                ..Default::default()
            })
        };
        let edit = r#"did("Page", "30d")"#;
        let mut request = wire::UpdateSegmentRequest { segment: segment(edit, "7"), ..Default::default() };
        let refused = world.client.update_segment(request.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Aborted);
        request.segment = segment(edit, "1");
        request.validate_only = true;
        let preview =
            world.client.update_segment(request.clone()).await.unwrap().into_inner().preview.unwrap();
        assert_eq!((preview.members, preview.entering, preview.leaving), (4, 4, 5));
        request.validate_only = false;
        let edited = world.client.update_segment(request).await.unwrap().into_inner();
        assert_eq!((edited.version, edited.etag.as_str()), (2, "2"));
        world.settle().await;
        assert_eq!(
            (members(&mut world, "crowd").await.len(), members(&mut world, "others").await.len()),
            (4, 5)
        );
        assert!(world.told().await.iter().all(|it| it.3), "edits are history");

        let circle = wire::UpdateSegmentRequest {
            segment: segment(r#"in_segment("others")"#, ""),
            ..Default::default()
        };
        let refused = world.client.update_segment(circle).await.unwrap_err();
        assert!(refused.message().contains("in a circle"), "{}", refused.message());
        let delete =
            |name: &str| wire::DeleteSegmentRequest { name: segment_name(name), ..Default::default() };
        let refused = world.client.delete_segment(delete("crowd")).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        world.client.delete_segment(delete("others")).await.unwrap();
        world.client.delete_segment(delete("crowd")).await.unwrap();
        world.settle().await;
        assert_eq!(world.client.delete_segment(delete("crowd")).await.unwrap_err().code(), Code::NotFound);
        // The same name again is another segment and starts from what is true now.
        world.create("crowd", r#"did("Product Viewed", "30d")"#).await;
        assert_eq!(members(&mut world, "crowd").await.len(), 5);
        let request = wire::SummarizeSegmentsRequest { parent: "workspaces/main".to_owned() };
        let summary = world.client.summarize_segments(request).await.unwrap().into_inner();
        assert_eq!((summary.profiles, summary.segments.len(), summary.segments[0].members), (9, 1, 5));
        world.end().await;
    }
}

#[tokio::test]
async fn a_retry_gets_the_first_answer() {
    for mut world in worlds().await {
        let request = wire::CreateSegmentRequest {
            parent: "workspaces/main".to_owned(),
            segment_id: "vip".to_owned(),
            segment: Some(wire::Segment { rule: "orders >= 5".to_owned(), ..Default::default() }),
            request_id: Uuid::now_v7().to_string(),
            ..Default::default()
        };
        let first = world.client.create_segment(request.clone()).await.unwrap().into_inner();
        let again = world.client.create_segment(request.clone()).await.unwrap().into_inner();
        assert_eq!((first.name, first.create_time), (again.name, again.create_time));
        let other = wire::CreateSegmentRequest { segment_id: "vips".to_owned(), ..request.clone() };
        let refused = world.client.create_segment(other).await.unwrap_err();
        assert!(refused.message().contains("request_id was used"), "{}", refused.message());
        let anew = wire::CreateSegmentRequest { request_id: String::new(), ..request };
        assert_eq!(world.client.create_segment(anew).await.unwrap_err().code(), Code::AlreadyExists);

        let upsert = wire::UpdateSegmentRequest {
            segment: Some(wire::Segment {
                name: segment_name("regulars"),
                rule: "orders >= 3".to_owned(),
                ..Default::default()
            }),
            allow_missing: true,
            ..Default::default()
        };
        let created = world.client.update_segment(upsert.clone()).await.unwrap().into_inner();
        let unchanged = world.client.update_segment(upsert).await.unwrap().into_inner();
        assert_eq!((created.etag, created.update_time), (unchanged.etag, unchanged.update_time));
        let list = wire::ListSegmentsRequest {
            parent: "workspaces/main".to_owned(),
            page_size: 1,
            ..Default::default()
        };
        let page = world.client.list_segments(list.clone()).await.unwrap().into_inner();
        assert_eq!(page.segments[0].name, segment_name("regulars"));
        let list = wire::ListSegmentsRequest { page_token: page.next_page_token, ..list };
        let page = world.client.list_segments(list).await.unwrap().into_inner();
        assert_eq!(
            (page.segments[0].name.clone(), page.next_page_token),
            (segment_name("vip"), String::new())
        );
        world.end().await;
    }
}
