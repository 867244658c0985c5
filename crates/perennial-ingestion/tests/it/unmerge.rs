//! Merges that are undone, over the wire.

crate::on_every_database!(
    marks_of_others_go_with_them,
    who_comes_back_after_another_did_has_only_what_is_theirs,
    two_mistakes_of_one_moment_are_undone_by_the_order_they_came_in,
    undoing_it_again_gives_the_first_answer_even_when_the_survivor_was_erased,
    what_a_mail_server_does_is_no_sign_of_life,
);

mod cases {
    use crate::export::cases::{call, log};
    use crate::house::House;
    use perennial_api::profile::v1::identity_service_client::IdentityServiceClient;
    use perennial_api::profile::v1::{
        EraseProfileRequest, ListMergesRequest, Profile, Unmerge, UnmergeProfileRequest,
    };
    use serde_json::Value;

    fn identity(house: &House) -> IdentityServiceClient<perennial_rpc::Transport> {
        IdentityServiceClient::new(house.host.mesh.transport("perennial.profile.v1.IdentityService"))
    }

    async fn know(house: &House, who: &str) -> Profile {
        house.lookup(who).await.unwrap()
    }

    fn known_by(it: &Profile) -> Vec<&str> {
        it.identifiers.iter().map(|it| it.value.as_str()).collect()
    }

    /// Somebody is seen with what recognises them.
    async fn see(house: &House, event: &str, user: &str, devices: &[&str]) {
        let ids: Vec<String> =
            devices.iter().map(|it| format!(r#"{{"type":"anonymous_id","id":"{it}"}}"#)).collect();
        let user = if user.is_empty() { String::new() } else { format!(r#""userId":"{user}","#) };
        let body = format!(r#"{{{user}"event":"{event}","context":{{"externalIds":[{}]}}}}"#, ids.join(","));
        assert_eq!(house.post("/v1/track", &body).await, 200);
    }

    async fn undo(house: &House, profile: &str) -> Unmerge {
        let request = UnmergeProfileRequest { name: profile.to_owned(), ..Default::default() };
        identity(house).unmerge_profile(request).await.unwrap().into_inner()
    }

    /// Who became another one by an event of this name.
    async fn merged_by(house: &House, who: &str, event: &str) -> Option<String> {
        let parent = know(house, who).await.name;
        let request = ListMergesRequest { parent, ..Default::default() };
        let merges = identity(house).list_merges(request).await.unwrap().into_inner().merges;
        merges.into_iter().find(|it| it.event_name == event).map(|it| it.profile)
    }

    /// Undoes the merge that an event of this name showed.
    async fn undo_by(house: &House, who: &str, event: &str) -> Unmerge {
        undo(house, &merged_by(house, who, event).await.unwrap()).await
    }

    pub async fn marks_of_others_go_with_them(house: &House) {
        for (user, devices) in [("", ["c"]), ("", ["d"]), ("ana", ["a"])] {
            see(house, "Seen", user, &devices).await;
        }
        see(house, "One", "", &["c", "d"]).await;
        undo_by(house, "c", "One").await;
        assert_ne!(know(house, "c").await.name, know(house, "d").await.name);
        // Ana is taken for one of the two, and is not any more: the other one may well be her.
        see(house, "Two", "ana", &["d"]).await;
        undo_by(house, "ana", "Two").await;
        see(house, "Three", "ana", &["c"]).await;
        assert_eq!(know(house, "c").await.name, know(house, "ana").await.name);
        assert_eq!(known_by(&know(house, "d").await), ["d"]);
    }

    pub async fn who_comes_back_after_another_did_has_only_what_is_theirs(house: &House) {
        // The older one survives: the first becomes the second, and that one the third.
        for device in ["c", "b", "a"] {
            see(house, "Seen", "", &[device]).await;
            house.advance(1).await;
        }
        see(house, "One", "", &["a", "b"]).await;
        see(house, "Two", "", &["a", "c"]).await;
        undo_by(house, "a", "One").await;
        undo_by(house, "c", "Two").await;
        for device in ["a", "b", "c"] {
            assert_eq!(known_by(&know(house, device).await), [device]);
        }
    }

    pub async fn two_mistakes_of_one_moment_are_undone_by_the_order_they_came_in(house: &House) {
        // Everything at one moment, so that only the order in which it was taken in tells what was before a merge. The
        // older one survives.
        let ages = ["abc", "acb", "bac", "bca", "cab", "cba"];
        let cases = ages.into_iter().flat_map(|age| [(age, ["One", "Two"]), (age, ["Two", "One"])]);
        for (age, undone) in cases {
            let called = |it: char| format!("{it}-{age}-{}", undone[0]);
            for device in age.chars() {
                see(house, "Seen", "", &[&called(device)]).await;
            }
            see(house, "One", "", &[&called('a'), &called('b')]).await;
            see(house, "Two", "", &[&called('b'), &called('c')]).await;
            for event in undone {
                let (a, c) = (called('a'), called('c'));
                let merged = match merged_by(house, &a, event).await {
                    Some(merged) => merged,
                    None => merged_by(house, &c, event).await.unwrap(),
                };
                undo(house, &merged).await;
            }
            let mut told = Vec::new();
            for device in ['a', 'b', 'c'] {
                let facts = house.read_facts(&know(house, &called(device)).await.name).await;
                told.push(facts.iter().map(|it| it.name.clone()).collect::<Vec<_>>());
            }
            assert_eq!(told, [vec!["Seen", "One"], vec!["Seen", "Two"], vec!["Seen"]], "{age} {undone:?}");
        }
        // So does an export, though some events have been told anew since.
        let names: Vec<Value> = log(house).await.iter().map(|it| call(it)["event"].clone()).collect();
        let expected = ["Seen", "Seen", "Seen", "One", "Two"].repeat(12);
        assert_eq!(names, expected);
    }

    pub async fn undoing_it_again_gives_the_first_answer_even_when_the_survivor_was_erased(house: &House) {
        see(house, "Seen", "ana", &["a"]).await;
        see(house, "Seen", "", &["b"]).await;
        see(house, "One", "ana", &["b"]).await;
        let first = undo_by(house, "ana", "One").await;
        let back = first.returned.clone().unwrap().profile.unwrap().name;
        house.quiet().await;
        let name = know(house, "ana").await.name;
        let request = EraseProfileRequest { name, ..Default::default() };
        house.privacy.clone().erase_profile(request).await.unwrap();
        let again = undo(house, &back).await;
        assert_eq!((again.returned, again.undo_time), (first.returned, first.undo_time));
        assert_eq!(again.survivor, None);
    }

    pub async fn what_a_mail_server_does_is_no_sign_of_life(house: &House) {
        let tell = async |event: &str, minute: u8| {
            let time = format!("2026-03-01T11:{minute}:00Z");
            let body = format!(r#"{{"userId":"ana","event":"{event}","timestamp":"{time}"}}"#);
            assert_eq!(house.post("/v1/track", &body).await, 200);
            know(house, "ana").await.last_seen_time
        };
        let opened = tell("Email Opened", 10).await;
        for event in ["Email Delivered", "Email Bounced", "email_dropped"] {
            assert_eq!(tell(event, 20).await, opened, "{event}");
        }
        assert_ne!(tell("Email Link Clicked", 30).await, opened);
    }
}
