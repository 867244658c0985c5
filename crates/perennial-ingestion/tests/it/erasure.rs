//! What a person may ask for: all that is known about them, and to be forgotten.

use crate::house::{Database, House, databases};
use perennial_api::profile::v1 as wire;
use perennial_api::profile::v1::erasure::State;
use perennial_feed::Erasure;
use perennial_store::{DatabaseConfig, Store};
use perennial_testing::leaks;
use std::collections::BTreeSet;
use tonic::Code;

/// What this person and nobody else is known by, said and bought.
const VALUES: [&str; 8] = [
    "ana-4711-user",
    "ana.quetzalcoatl@example.com",
    "+493012345678",
    "Quetzalcoatl",
    "Windrose 17b",
    "device-of-hers-99",
    "engraved for my dearest",
    "order-of-hers-1",
];

const SERVICES: [&str; 5] = ["scoring", "segmentation", "campaign", "loyalty", "notification"];

fn config(database: &Database) -> DatabaseConfig {
    DatabaseConfig {
        url: database.url.clone(),
        schema_prefix: database.prefix.clone(),
        ..DatabaseConfig::default()
    }
}

async fn live(house: &House) {
    house.post("/v1/page", r#"{"anonymousId":"device-of-hers-99","properties":{"title":"Home"}}"#).await;
    let login = r#"{"userId":"ana-4711-user","traits":{"email":"Ana.Quetzalcoatl@example.com","phone":"+49 30 12345678",
        "lastName":"Quetzalcoatl","street":"Windrose 17b","consent.email":true}}"#;
    assert_eq!(house.post("/v1/identify", login).await, 200);
    house
        .post("/v1/identify", r#"{"userId":"ana-4711-user","anonymousId":"device-of-hers-99","traits":{}}"#)
        .await;
    let order = r#"{"userId":"ana-4711-user","event":"Order Completed","properties":{"order_id":"order-of-hers-1",
        "revenue":20,"note":"engraved for my dearest"}}"#;
    assert_eq!(house.post("/v1/track", order).await, 200);
    // Refused, and kept with the reason; once more in other words.
    let bad = r#"{"userId":"ana-4711-user","event":"Order Completed","properties":{"revenue":20,"x":"Windrose 17b"}}"#;
    assert_eq!(house.post("/v1/track", bad).await, 200);
    let bad = r#"{"userId":"ben","event":"Order Completed","properties":{"gift_for":"ANA.Quetzalcoatl@example.com"}}"#;
    assert_eq!(house.post("/v1/track", bad).await, 200);
    house.post("/v1/identify", r#"{"userId":"ben","traits":{"email":"ben@example.com"}}"#).await;
    house
        .post("/v1/track", r#"{"userId":"ben","event":"Order Completed","properties":{"revenue":"?"}}"#)
        .await;
}

async fn erase(house: &House, name: &str) -> wire::Erasure {
    let request = wire::EraseProfileRequest { name: name.to_owned(), request_id: String::new() };
    house.privacy.clone().erase_profile(request).await.unwrap().into_inner()
}

async fn read(house: &House, name: &str) -> wire::Erasure {
    let request = wire::GetErasureRequest { name: name.to_owned() };
    house.privacy.clone().get_erasure(request).await.unwrap().into_inner()
}

async fn answer(house: &House, erasure: &str, service: &str, profile: &str) {
    let stores = vec![wire::StoreReceipt { store: "rows".to_owned(), erased_count: 2, ..Default::default() }];
    let (name, service, profile) = (erasure.to_owned(), service.to_owned(), profile.to_owned());
    let request = wire::RecordErasureReceiptRequest { name, service, profile, stores };
    house.privacy.clone().record_erasure_receipt(request).await.unwrap();
}

async fn export(house: &House, name: &str) -> Vec<(String, String)> {
    let request = wire::ExportProfileRequest { name: name.to_owned() };
    let mut parts = house.privacy.clone().export_profile(request).await.unwrap().into_inner();
    let mut rows = Vec::new();
    while let Some(it) = parts.message().await.unwrap() {
        rows.extend(it.rows_json.into_iter().map(|row| (it.store.clone(), row)));
    }
    rows
}

crate::on_every_database!(
    an_export_tells_all_that_is_known,
    whoever_comes_back_is_somebody_new,
    what_is_reported_about_an_erased_person_is_dropped,
    events_under_way_are_erased_with_the_person_or_are_of_somebody_new,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_person_is_nowhere_and_everybody_else_is_still_there() {
    for database in databases() {
        let house = House::open(&database).await;
        live(&house).await;
        let ana = house.lookup("ana-4711-user").await.unwrap();
        assert_eq!(ana.merged_profiles.len(), 1);
        assert_eq!(house.rejected().await.len(), 3);
        let before = house.records().await;
        assert!(!leaks(&config(&database), &["ingestion"], &VALUES).await.is_empty());

        let erasure = erase(&house, &ana.name).await;
        assert_eq!((erasure.state(), erasure.profile_count), (State::Running, 2));
        assert_eq!(erasure.awaited_services, SERVICES);
        for value in ["ana-4711-user", "Ana.Quetzalcoatl@example.com", "device-of-hers-99"] {
            assert!(house.lookup(value).await.is_none(), "{value}");
        }
        assert!(house.lookup("ben@example.com").await.is_some());
        assert_eq!(house.rejected().await.len(), 1, "only hers are gone");
        assert_eq!(house.stats().await.profile_count, 1);

        let after = house.records().await;
        let (gone, told): (Vec<_>, Vec<_>) = after.iter().partition(|it| it.is_blank());
        assert!(gone.iter().all(|it| it.payload.is_empty()) && gone.len() >= 6);
        assert_eq!(told.iter().filter(|it| it.kind == Erasure::KIND).count(), 2);
        let place =
            |it: &perennial_feed::Record| (it.profile.partition(16), it.seq, it.kind.clone(), it.time);
        let places: BTreeSet<_> = after.iter().map(place).collect();
        assert!(before.iter().all(|it| places.contains(&place(it))), "position, kind and time stay");

        // The addresses wait for the suppression list, and go with its receipts.
        let addresses = || async {
            let request = wire::ReadErasedAddressesRequest { name: erasure.name.clone() };
            house.privacy.clone().read_erased_addresses(request).await.unwrap().into_inner().addresses
        };
        let known: Vec<String> = addresses().await.into_iter().map(|it| it.address).collect();
        assert_eq!(known, ["ana.quetzalcoatl@example.com", "+493012345678"]);
        for service in SERVICES.iter().rev() {
            for profile in [&ana.name, &ana.merged_profiles[0]] {
                for _ in 0..2 {
                    answer(&house, &erasure.name, service, profile).await;
                }
            }
        }
        assert!(addresses().await.is_empty());
        let done = read(&house, &erasure.name).await;
        assert_eq!((done.state(), done.awaited_services.len()), (State::Done, 0));
        let rows = done.receipts.iter().find(|it| it.service == "campaign").unwrap();
        assert_eq!((rows.store.as_str(), rows.erased_count), ("rows", 4), "a repeated receipt counts once");
        let events = done.receipts.iter().find(|it| it.store == "event").unwrap();
        assert_eq!((events.service.as_str(), events.erased_count), ("ingestion", 4));
        let kept = jiff::SignedDuration::from_hours(35 * 24).as_secs();
        let seconds = |it: Option<prost_types::Timestamp>| it.unwrap().seconds;
        assert_eq!(seconds(done.backups_expire_time), seconds(done.create_time) + kept);

        let left = leaks(&config(&database), &["ingestion"], &VALUES).await;
        assert!(left.is_empty(), "{left:?}");
        assert!(!leaks(&config(&database), &["ingestion"], &["ben@example.com"]).await.is_empty());

        // Erasing again, by either name she had, finds what was done.
        for name in [&ana.name, &ana.merged_profiles[0]] {
            assert_eq!(erase(&house, name).await, done);
        }
        let list = wire::ListErasuresRequest { parent: "workspaces/main".to_owned(), ..Default::default() };
        let list = house.privacy.clone().list_erasures(list).await.unwrap().into_inner().erasures;
        assert_eq!(list.iter().map(|it| &it.name).collect::<Vec<_>>(), [&done.name]);
        let elsewhere = done.name.replace("workspaces/main", "workspaces/other");
        let request = wire::GetErasureRequest { name: elsewhere };
        assert_eq!(house.privacy.clone().get_erasure(request).await.unwrap_err().code(), Code::NotFound);
        house.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_that_was_left_half_done_is_ended_at_the_next_start() {
    for database in databases() {
        let house = House::open(&database).await;
        live(&house).await;
        let ana = house.lookup("ana-4711-user").await.unwrap();
        let erasure = erase(&house, &ana.name).await;
        house.close().await;
        // As if the process had ended between the two profiles.
        let store = Store::open(&config(&database), "ingestion", &[]).await.unwrap();
        let tx = store.write().await.unwrap();
        for sql in [
            "DELETE FROM erasure_receipt WHERE profile <> (SELECT profile FROM erasure)",
            "UPDATE erasure_profile SET pending = TRUE WHERE profile <> (SELECT profile FROM erasure)",
        ] {
            assert_eq!(perennial_store::execute(&tx, "the test", sql, vec![]).await.unwrap(), 1);
        }
        Store::commit(tx).await.unwrap();
        drop(store);

        let house = House::open(&database).await;
        house.quiet().await;
        let told = house.records().await.iter().filter(|it| it.kind == Erasure::KIND).count();
        assert_eq!(told, 3, "the second is told again");
        let config = perennial_ingestion::ErasureConfig { receipts_from: vec![], ..Default::default() };
        house.close().await;
        let all = perennial_ingestion::Config { erasure: config, ..Default::default() };
        let house = House::open_with(&database, all).await;
        assert_eq!(erase(&house, &ana.name).await.state(), State::Done, "nobody is awaited any more");
        assert_eq!(read(&house, &erasure.name).await.profile_count, 2);
        house.close().await;
    }
}

mod cases {
    use super::*;
    use perennial_api::ingestion::v1 as ingestion;

    pub async fn an_export_tells_all_that_is_known(house: &House) {
        live(house).await;
        let ana = house.lookup("ana-4711-user").await.unwrap();
        let rows = export(house, &ana.name).await;
        let text: String = rows.iter().map(|it| it.1.to_lowercase()).collect();
        for value in VALUES {
            assert!(text.contains(&value.to_lowercase()) || value.starts_with('+'), "{value} in {text}");
        }
        let count = |store: &str| rows.iter().filter(|it| it.0 == store).count();
        assert_eq!((count("profile"), count("event"), count("rejected")), (2, 4, 2));
        assert!(!text.contains("ben@example.com"));
        let request = wire::ExportProfileRequest { name: ana.name.replace("main", "other") };
        let refused = house.privacy.clone().export_profile(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
    }

    pub async fn whoever_comes_back_is_somebody_new(house: &House) {
        live(house).await;
        let ana = house.lookup("ana-4711-user").await.unwrap();
        erase(house, &ana.name).await;
        house.advance(1).await;
        house.post("/v1/track", r#"{"userId":"ana-4711-user","event":"Hello"}"#).await;
        let new = house.lookup("ana-4711-user").await.unwrap();
        assert_ne!(new.name, ana.name);
        assert_eq!((new.identifiers.len(), new.traits_json.as_str(), new.consents.len()), (1, "{}", 0));
        let names: Vec<String> = house.read_facts(&new.name).await.into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["Hello"]);
        // Erased once more, and back at the same instant.
        let again = erase(house, &new.name).await;
        house.post("/v1/track", r#"{"userId":"ana-4711-user","event":"Hello again"}"#).await;
        let third = house.lookup("ana-4711-user").await.unwrap();
        let names: Vec<String> = house.read_facts(&third.name).await.into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["Hello again"]);
        assert_ne!(again.name, erase(house, &third.name).await.name);
    }

    pub async fn what_is_reported_about_an_erased_person_is_dropped(house: &House) {
        live(house).await;
        let ana = house.lookup("ana-4711-user").await.unwrap();
        erase(house, &ana.name).await;
        let refused = house.rejected().await.len();
        let records = house.records().await.len();
        let report = |profile: &str| ingestion::Event {
            message_id: uuid::Uuid::now_v7().to_string(),
            r#type: "track".to_owned(),
            event: "Email Opened".to_owned(),
            profile: profile.to_owned(),
            ..Default::default()
        };
        let request = ingestion::IngestEventsRequest {
            parent: "workspaces/main".to_owned(),
            events: vec![report(&ana.name), report(&ana.merged_profiles[0])],
            historical: false,
        };
        let answer = house.ingestion.clone().ingest_events(request).await.unwrap().into_inner();
        assert!(answer.outcomes.iter().all(|it| it.reason.contains("erased")), "{answer:?}");
        assert_eq!(house.rejected().await.len(), refused, "not even listed");
        assert_eq!(house.records().await.len(), records);
    }

    pub async fn events_under_way_are_erased_with_the_person_or_are_of_somebody_new(house: &House) {
        for n in 0..4 {
            house.post("/v1/page", &format!(r#"{{"anonymousId":"v{n}"}}"#)).await;
        }
        house.post("/v1/identify", r#"{"userId":"ana","traits":{"email":"ana@example.com"}}"#).await;
        let ana = house.lookup("ana").await.unwrap();
        let body = |n: usize| match n % 3 {
            0 => format!(r#"{{"userId":"ana","event":"E{n}"}}"#),
            1 => format!(r#"{{"userId":"ana","anonymousId":"v{}","event":"E{n}"}}"#, n % 4),
            _ => format!(r#"{{"anonymousId":"v{}","event":"E{n}"}}"#, n % 4),
        };
        house.advance_quietly(1);
        let posts = futures::future::join_all((0..60).map(|n| {
            let body = body(n);
            async move { house.post("/v1/track", &body).await }
        }));
        let (answers, erasure) = tokio::join!(posts, async {
            tokio::time::sleep(std::time::Duration::from_millis(15)).await;
            erase(house, &ana.name).await
        });
        assert!(answers.iter().all(|it| *it == 200), "{answers:?}");
        let records = house.records().await;
        let erased: BTreeSet<_> =
            records.iter().filter(|it| it.kind == Erasure::KIND).map(|it| it.profile).collect();
        assert_eq!(i64::try_from(erased.len()).unwrap(), erasure.profile_count);
        assert!(records.iter().all(|it| it.kind == Erasure::KIND || !erased.contains(&it.profile)));
        // Whatever is still known by her id is readable as a whole, and none of it is of before.
        if let Some(new) = house.lookup("ana").await {
            assert_ne!(new.name, ana.name);
            for fact in house.read_facts(&new.name).await {
                assert!(fact.name.starts_with('E') || fact.name == "Page", "{}", fact.name);
            }
        }
        for n in 0..4 {
            if let Some(visitor) = house.lookup(&format!("v{n}")).await {
                house.read_facts(&visitor.name).await;
            }
        }
    }
}
