//! Whose events are, over the wire and in the feed.

crate::on_every_database!(
    a_visitor_who_logs_in_moves_to_the_customer_with_all_it_did,
    one_batch_about_one_person_is_taken_in_order,
    merges_under_load_leave_every_partition_whole,
    people_and_their_consent_can_be_read,
    consent_is_kept_with_its_provenance_and_by_the_rules_of_a_country,
);

mod cases {
    use crate::house::House;
    use perennial_api::profile::v1::{BatchGetContactsRequest, GetProfileRequest};
    use perennial_feed::Merge;
    use perennial_types::{FactKind, OrderChange};
    use std::collections::HashMap;

    pub async fn a_visitor_who_logs_in_moves_to_the_customer_with_all_it_did(house: &House) {
        house.post("/v1/page", r#"{"anonymousId":"device","timestamp":"2026-03-01T11:50:00Z"}"#).await;
        house
            .post("/v1/track", r#"{"userId":"ana","event":"Bought","timestamp":"2026-03-01T11:40:00Z"}"#)
            .await;
        let visitor = house.lookup("device").await.unwrap();
        let customer = house.lookup("ana").await.unwrap();
        assert_ne!(visitor.name, customer.name);
        let login = r#"{"userId":"ana","anonymousId":"device","traits":{"email":"ana@example.com"}}"#;
        assert_eq!(house.post("/v1/identify", login).await, 200);
        assert_eq!(house.post("/v1/track", r#"{"anonymousId":"device","event":"Later"}"#).await, 200);

        let now = house.lookup("device").await.unwrap();
        assert_eq!(now.name, customer.name);
        assert_eq!(now.merged_profiles, std::slice::from_ref(&visitor.name));
        let request = GetProfileRequest { name: visitor.name.clone() };
        let through = house.profiles.clone().get_profile(request).await.unwrap().into_inner();
        assert_eq!(through.name, customer.name);
        let names: Vec<String> =
            house.read_facts(&customer.name).await.into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["Bought", "Page", "Identify", "Later"]);

        let records = house.records().await;
        let away: Vec<_> = records.iter().filter(|it| it.kind == Merge::AWAY).collect();
        let into: Vec<_> = records.iter().filter(|it| it.kind == Merge::INTO).collect();
        assert_eq!((away.len(), into.len()), (1, 1));
        let merge = Merge::decode(&away[0].payload).unwrap();
        assert_eq!(merge, Merge::decode(&into[0].payload).unwrap());
        assert_eq!((away[0].profile, into[0].profile), (merge.from, merge.into));
        let before = house.read_facts_up_to(&customer.name, into[0].seq - 1).await;
        let names: Vec<String> = before.into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["Bought"], "as it was known before the merge");
        let last = records.iter().rfind(|it| it.profile == merge.from).unwrap();
        assert_eq!(last.kind, Merge::AWAY, "it is the last that profile will ever get");

        let request = BatchGetContactsRequest {
            parent: "workspaces/main".to_owned(),
            names: vec![visitor.name.clone(), format!("workspaces/main/profiles/{}", uuid::Uuid::nil())],
        };
        let contacts =
            house.profiles.clone().batch_get_contacts(request).await.unwrap().into_inner().contacts;
        assert_eq!(contacts.len(), 1);
        assert_eq!((&contacts[0].name, &contacts[0].current_name), (&visitor.name, &customer.name));
        assert_eq!(contacts[0].email, "ana@example.com");
    }

    pub async fn one_batch_about_one_person_is_taken_in_order(house: &House) {
        // Customers exist already, so that on PostgreSQL visitor and customer lie in different partitions.
        for n in 0..20 {
            house.post("/v1/identify", &format!(r#"{{"userId":"u{n}","traits":{{}}}}"#)).await;
            house.post("/v1/page", &format!(r#"{{"anonymousId":"d{n}"}}"#)).await;
        }
        let story = |n: usize| {
            format!(
                r#"{{"type":"track","anonymousId":"d{n}","event":"Product Added","properties":{{"product_id":"p","price":10}}}},
                {{"type":"identify","anonymousId":"d{n}","userId":"u{n}","traits":{{}}}},
                {{"type":"track","userId":"u{n}","event":"Product Added","properties":{{"product_id":"q","price":5}}}},
                {{"type":"track","userId":"u{n}","event":"Order Completed","properties":{{"order_id":"o{n}","revenue":15}}}}"#
            )
        };
        let stories: Vec<String> = (0..20).map(story).collect();
        assert_eq!(house.post("/v1/batch", &format!(r#"{{"batch":[{}]}}"#, stories.join(","))).await, 200);
        let stats = house.stats().await;
        assert_eq!((stats.accepted_count, stats.profile_count, stats.merge_count), (120, 20, 20));
        for n in 0..20 {
            let name = house.lookup(&format!("d{n}")).await.unwrap().name;
            let facts = house.read_facts(&name).await;
            let carts: Vec<usize> = facts
                .iter()
                .filter_map(|it| match &it.kind {
                    FactKind::CartChanged { lines, .. } => Some(lines.len()),
                    _ => None,
                })
                .collect();
            let mut sorted = carts.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2], "customer {n}");
            let orders =
                facts.iter().filter(|it| matches!(it.kind, FactKind::Order(OrderChange::Placed(_)))).count();
            assert_eq!(orders, 1);
        }
    }

    pub async fn merges_under_load_leave_every_partition_whole(house: &House) {
        // Many requests at once about few people: identifiers are met, made and merged by several committers.
        let mut requests = Vec::new();
        for round in 0..8 {
            for n in 0..6 {
                let body = match round % 4 {
                    0 => format!(
                        r#"{{"batch":[{{"type":"page","anonymousId":"v{n}"}},{{"type":"page","anonymousId":"w{n}"}}]}}"#
                    ),
                    1 => format!(
                        r#"{{"batch":[{{"type":"identify","userId":"c{n}","anonymousId":"v{n}","traits":{{}}}}]}}"#
                    ),
                    2 => format!(
                        r#"{{"batch":[{{"type":"track","userId":"c{n}","anonymousId":"w{n}","event":"X"}}]}}"#
                    ),
                    _ => format!(r#"{{"batch":[{{"type":"alias","userId":"c{n}","previousId":"v{n}"}}]}}"#),
                };
                requests.push(body);
            }
        }
        let answers =
            futures::future::join_all(requests.iter().map(|body| house.post("/v1/batch", body))).await;
        assert!(answers.iter().all(|it| *it == 200), "{answers:?}");
        let stats = house.stats().await;
        assert_eq!((stats.accepted_count, stats.rejected_count, stats.profile_count), (60, 0, 6));
        let records = house.records().await;
        let mut merges: HashMap<_, Vec<&str>> = HashMap::new();
        let mut gone = HashMap::new();
        for record in &records {
            assert!(!gone.contains_key(&record.profile), "nothing follows a profile's end");
            if record.kind == Merge::AWAY || record.kind == Merge::INTO {
                merges.entry(Merge::decode(&record.payload).unwrap().id).or_default().push(&record.kind);
            }
            if record.kind == Merge::AWAY {
                gone.insert(record.profile, ());
            }
        }
        assert_eq!(i64::try_from(merges.len()).unwrap(), stats.merge_count);
        assert!(merges.values().all(|it| it.len() == 2), "both halves of each: {merges:?}");
        for n in 0..6 {
            let names: Vec<String> = futures::future::join_all(
                [format!("c{n}"), format!("v{n}"), format!("w{n}")]
                    .iter()
                    .map(|it| async { house.lookup(it).await.unwrap().name }),
            )
            .await;
            assert!(names.iter().all(|it| *it == names[0]), "{names:?}");
        }
    }

    pub async fn people_and_their_consent_can_be_read(house: &House) {
        let identify = r#"{"userId":"ana","traits":{"email":"ana@example.com","phone":"+49 30 1234567","timezone":"Europe/Berlin",
            "consent":{"email":{"marketing":true}},"sms_consent":false},"context":{"locale":"de-DE"}}"#;
        assert_eq!(house.post("/v1/identify", identify).await, 200);
        let ana = house.lookup("+49301234567").await.unwrap();
        let consents: Vec<_> = ana.consents.iter().map(|it| (it.channel.as_str(), it.granted)).collect();
        assert_eq!(consents, [("email", true), ("sms", false)]);
        assert_eq!((ana.time_zone_source.as_str(), ana.locale.as_str()), ("profile", "de-DE"));
        assert!(!ana.traits_json.contains("ana@"));
        let told = house.records().await.into_iter().find(|it| it.kind == "profile").unwrap();
        let told: perennial_api::ingestion::v1::ProfileUpdated =
            prost::Message::decode(told.payload).unwrap();
        assert_eq!(told.time_zone, "Europe/Berlin");
        assert!(told.identified && told.reachable.contains(&"email".to_owned()) && told.draw_key.len() == 32);
        let texts =
            format!("{:?}", house.records().await.iter().map(|it| it.payload.clone()).collect::<Vec<_>>());
        assert!(!texts.contains("ana@") && !texts.contains("1234567"), "no identifier is in the feed");
        assert!(house.lookup("nobody").await.is_none());
    }

    pub async fn consent_is_kept_with_its_provenance_and_by_the_rules_of_a_country(house: &House) {
        use perennial_api::ingestion::v1 as wire;
        let rule = |region: &str, basis: &str| wire::ConsentRule {
            region: region.to_owned(),
            channel: "email".to_owned(),
            purpose: "marketing".to_owned(),
            basis: basis.to_owned(),
        };
        let update = |consent_rules| wire::UpdateWorkspaceRequest {
            workspace: Some(wire::Workspace {
                name: "workspaces/main".to_owned(),
                locale: "en".to_owned(),
                consent_rules,
                ..Default::default()
            }),
            update_mask: None,
        };
        let mut client = house.ingestion.clone();
        for wrong in
            [vec![rule("Germany", "explicit")], vec![rule("", "maybe")], vec![rule("de", "explicit"); 2]]
        {
            let refused = client.update_workspace(update(wrong)).await.unwrap_err();
            assert!(refused.message().contains("workspace.consent_rules"), "{refused}");
        }
        let rules = vec![rule("de", "double_opt_in"), rule("", "explicit")];
        let kept = client.update_workspace(update(rules)).await.unwrap().into_inner();
        assert_eq!((kept.consent_rules[0].region.as_str(), kept.locale.as_str()), ("DE", "en"));
        let grant = |who: &str, country: &str| {
            format!(
                r#"{{"userId":"{who}","traits":{{"email":"{who}@example.com","country":"{country}","consent":{{"email":
                {{"granted":true,"source":"checkout","wording":"Send me news","proof":"form 7"}}}}}}}}"#
            )
        };
        assert_eq!(house.post("/v1/identify", &grant("ana", "FR")).await, 200);
        assert_eq!(house.post("/v1/identify", &grant("ben", "DE")).await, 200);
        let ana = house.lookup("ana").await.unwrap();
        let consent = &ana.consents[0];
        assert!(consent.granted && consent.update_time.is_some() && consent.request_time.is_none());
        let told = (consent.source.as_str(), consent.wording.as_str(), consent.proof.as_str());
        assert_eq!(told, ("checkout", "Send me news", "form 7"));
        assert_eq!((ana.region.as_str(), ana.region_source.as_str()), ("FR", "profile"));
        assert_eq!((ana.locale.as_str(), ana.locale_source.as_str()), ("en", "workspace"));
        let ben = house.lookup("ben").await.unwrap();
        assert!(!ben.consents[0].granted && ben.consents[0].request_time.is_some());
        house.advance(1).await;
        let confirmed = r#"{"userId":"ben","event":"Consent Confirmed","properties":{"channel":"email","proof":"link 9"}}"#;
        assert_eq!(house.post("/v1/track", confirmed).await, 200);
        let ben = house.lookup("ben").await.unwrap();
        assert!(ben.consents[0].granted && ben.consents[0].request_time.is_none());
        assert_eq!(ben.consents[0].proof, "link 9");
        let granted = |it: &perennial_types::Fact| matches!(&it.kind, perennial_types::FactKind::Consent(it) if it.granted);
        assert_eq!(house.facts().await.iter().filter(|it| granted(it)).count(), 2);
        let texts =
            format!("{:?}", house.records().await.iter().map(|it| it.payload.clone()).collect::<Vec<_>>());
        assert!(!texts.contains("link 9") && !texts.contains("form 7"), "a proof stays with the profile");
    }
}
