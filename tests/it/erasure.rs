//! A person is erased from every service of a running product: no table, file, Redis key or log holds anything of them any
//! more, nobody else notices, and they are not written to again. Mails that were handed over lie in the world outside.

use std::process::Stdio;
use std::time::Duration;

use perennial_api::feed::v1 as feed;
use perennial_store::{Column, DatabaseConfig, Store, Table, insert_rows};
use serde_json::{Value, json};

use crate::home::{Home, SERVICES};
use crate::kill::noon;

const FILES: &str = "
kind: Offer
name: thanks
amount: 5.00 EUR
cost: 5.00 EUR
valid: 14d
limit_per_customer: 3
budget: 500 EUR per month
code_prefix: thanks
---
kind: Template
name: thank-you
subject: 'Thank you, {{ profile.lastName }}'
text: |
  Your order {{ event.order_id }} ({{ event.note }}) is on its way to {{ profile.street }}. Next time use {{ coupon.code }}.
---
kind: Campaign
name: thanks
trigger: { event: Order Completed }
holdout: 0%
steps:
  - offer: { coupon: thanks, valid: 14d }
    message: { template: thank-you }
";

/// A person of whom everything is unlike anybody else.
struct Person {
    tag: String,
    user: String,
    email: String,
    phone: String,
    device: String,
    name: String,
    street: String,
    order: String,
    note: String,
}

impl Person {
    fn new(word: &str) -> Self {
        let number = u128::from_str_radix(&uuid::Uuid::now_v7().simple().to_string()[18..], 16).unwrap();
        let tag = format!("{word}{number:x}");
        Self {
            user: format!("user-{tag}"),
            email: format!("{tag}@example.com"),
            phone: format!("+4930{}", number % 10_000_000_000),
            device: format!("device-{tag}"),
            name: format!("Quetzal{tag}"),
            street: format!("Windrose {tag} 17"),
            order: format!("order-{tag}"),
            note: format!("engraved for {tag}"),
            tag,
        }
    }

    fn values(&self) -> [&str; 9] {
        let Self { tag, user, email, phone, device, name, street, order, note } = self;
        [tag, user, email, phone, device, name, street, order, note]
    }

    fn visits(&self) -> Vec<Value> {
        vec![json!({
            "type": "track", "event": "Product Viewed", "anonymousId": self.device, "messageId": format!("v-{}", self.tag),
            "properties": { "product_id": "p1", "name": "Ring", "text": self.note },
        })]
    }

    fn signs_up(&self, at: u32) -> Value {
        json!({
            "type": "identify", "userId": self.user, "anonymousId": self.device,
            "messageId": format!("i{at}-{}", self.tag), "context": { "timezone": noon() },
            "traits": {
                "email": self.email, "phone": self.phone, "lastName": self.name, "street": self.street,
                "email_consent": true,
            },
        })
    }

    fn orders(&self, number: u32, coupon: &str) -> Value {
        json!({
            "type": "track", "event": "Order Completed", "userId": self.user,
            "messageId": format!("o{number}-{}", self.tag),
            "properties": {
                "order_id": format!("{}-{number}", self.order), "revenue": 25, "currency": "EUR", "note": self.note,
                "coupon": coupon,
                "products": [{ "product_id": format!("made-for-{}", self.tag), "price": 25, "quantity": 1 }],
            },
        })
    }

    /// An event that is refused and kept.
    fn errs(&self) -> Value {
        json!({
            "type": "track", "event": "Order Completed", "userId": self.user, "messageId": format!("x-{}", self.tag),
            "properties": { "revenue": "?", "street": self.street },
        })
    }
}

/// A profile whose records cannot be applied, as a fault of a service would leave it: with one that waits.
fn park(config: &DatabaseConfig, profile: &str, text: &str) {
    const PARKED: Table = Table {
        name: "parked",
        columns: &[
            ("workspace", Column::Text),
            ("profile", Column::Uuid),
            ("partition", Column::BigInt),
            ("error", Column::Text),
            ("parked_at", Column::BigInt),
        ],
    };
    const RECORDS: Table = Table {
        name: "parked_record",
        columns: &[
            ("workspace", Column::Text),
            ("profile", Column::Uuid),
            ("ordinal", Column::Uuid),
            ("feed", Column::Text),
            ("rank", Column::BigInt),
            ("record", Column::Bytes),
        ],
    };
    let id = uuid::Uuid::parse_str(profile).unwrap();
    let low = u64::from_be_bytes(id.as_bytes()[8..].try_into().unwrap()) & 0x3fff_ffff_ffff_ffff;
    let record = feed::Record {
        workspace: "main".to_owned(),
        profile: id.as_bytes().to_vec(),
        kind: "fact".to_owned(),
        payload: text.as_bytes().to_vec().into(),
        ..Default::default()
    };
    let record = prost::Message::encode_to_vec(&record);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(config, "scoring", &[]).await.unwrap();
        let tx = store.write().await.unwrap();
        let partition = i64::try_from(low % 16).unwrap();
        let error = format!("it holds {text}");
        let row = vec!["main".into(), id.into(), partition.into(), error.into(), 0_i64.into()];
        insert_rows(&tx, &PARKED, vec![row], "").await.unwrap();
        let row = vec!["main".into(), id.into(), id.into(), "ingestion".into(), 0_i64.into(), record.into()];
        insert_rows(&tx, &RECORDS, vec![row], "").await.unwrap();
        Store::commit(tx).await.unwrap();
    });
}

/// The rows of a service's table in an export.
fn rows<'a>(export: &'a Value, service: &str, store: &str) -> &'a [Value] {
    export["services"][service][store].as_array().map_or(&[], Vec::as_slice)
}

fn code_of(home: &Home, profile: &Value) -> String {
    let coupons = home.ask(&["get", "coupons", "-o", "json"]);
    let theirs = coupons.as_array().unwrap().iter().find(|it| it["profile"] == *profile).unwrap();
    theirs["code"].as_str().unwrap().to_owned()
}

fn story(home: &Home) {
    let (ana, ben) = (Person::new("ana"), Person::new("ben"));
    let server = home.serve();
    let file = home.folder.path().join("all.yaml");
    std::fs::write(&file, FILES).unwrap();
    home.ask(&["apply", "-f", file.to_str().unwrap(), "--live"]);
    let key = home.ask(&["keys", "create", "shop", "-o", "json"])["key"].as_str().unwrap().to_owned();

    // Each comes by as a visitor, signs up, orders, gets a mail with a coupon, and uses it.
    for person in [&ana, &ben] {
        home.post(&key, &person.visits());
        home.post(&key, &[person.signs_up(1), person.orders(1, ""), person.errs()]);
    }
    home.wait("both get their mail", || home.mails_to(&ana.email) == 1 && home.mails_to(&ben.email) == 1);
    let profile = home.ask(&["describe", "profile", &ana.email, "-o", "json"])["name"].clone();
    let id = profile.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let code = code_of(home, &json!(id));
    home.post(&key, &[ana.orders(2, &code)]);
    let redeemed = |code: &str| {
        let coupons = home.ask(&["get", "coupons", "-o", "json"]);
        coupons.as_array().unwrap().iter().any(|it| it["code"] == code && it["state"] == "redeemed")
    };
    home.wait("she uses it", || redeemed(&code));
    home.ask(&["score", "show", &ana.email]);
    drop(server);
    park(&home.database.config, &id, &ana.note);
    let server = home.serve();
    home.post(&key, &[ana.orders(3, "")]);

    // All of it is in her export, and nothing of his.
    let mut values = ana.values().to_vec();
    values.push(&code);
    home.wait("her third order is everywhere", || {
        let export = home.ask(&["export", "person", &ana.phone, "-o", "json"]);
        rows(&export, "ingestion", "event").len() >= 6 && rows(&export, "campaign", "decision").len() >= 4
    });
    let export = home.ask(&["export", "person", &ana.user, "-o", "json"]);
    let text = export.to_string();
    let missing: Vec<_> =
        values.iter().filter(|it| !text.to_lowercase().contains(&it.to_lowercase())).collect();
    assert!(missing.is_empty(), "{missing:?} in {export:#}");
    assert!(!text.contains(&ben.tag));
    for (service, store) in [
        ("ingestion", "profile"),
        ("ingestion", "event"),
        ("ingestion", "rejected"),
        ("scoring", "profile_state"),
        ("scoring", "parked"),
        ("scoring", "purchase_day"),
        ("segmentation", "stage"),
        ("campaign", "decision"),
        ("campaign", "exposure"),
        ("loyalty", "coupon"),
        ("notification", "message"),
        ("notification", "consent"),
    ] {
        assert!(!rows(&export, service, store).is_empty(), "{service} {store}: {export:#}");
    }
    let his = home.ask(&["export", "person", &ben.user, "-o", "json"]);
    let status = home.ask(&["status", "-o", "json"]);
    assert!(!home.leaks(&values).is_empty(), "it is where it is looked for");

    // A look at what would go changes nothing; then she goes.
    assert_eq!(home.ask(&["erase", &ana.email, "-o", "json"])["erased"], false);
    assert_eq!(home.ask(&["export", "person", &ana.user, "-o", "json"])["profile"], json!(id));
    let erasure = home.ask(&["erase", &ana.email, "--yes", "-o", "json"]);
    assert_eq!((&erasure["state"], &erasure["awaited"]), (&json!("done"), &json!([])), "{erasure:#}");
    for service in SERVICES {
        let receipts = erasure["receipts"].as_array().unwrap();
        assert!(receipts.iter().any(|it| it["service"] == service), "{service}: {erasure:#}");
    }
    assert_eq!(home.leaks(&values), Vec::<String>::new());
    assert_eq!(home.ask(&["erase", &id, "--yes", "-o", "json"]), erasure, "once is for ever");
    assert_eq!(home.ask(&["get", "erasures", "-o", "json"]).as_array().unwrap().len(), 1);
    let by_address = home.try_asking(&["erase", &ana.email, "--yes"]).unwrap_err();
    assert!(by_address.contains("perennial get erasures"), "{by_address}");

    // Nobody else notices; what is counted stays counted.
    assert_eq!(home.ask(&["export", "person", &ben.user, "-o", "json"]), his);
    let after = home.ask(&["status", "-o", "json"]);
    assert_eq!(after["messages"], status["messages"]);
    assert_eq!(after["events"]["accepted"], status["events"]["accepted"]);
    assert_eq!(after["ledger"], status["ledger"], "the books balance as before");
    assert_eq!((&after["parked"], &status["parked"]), (&json!(0), &json!(1)));
    let profiles = |it: &Value| it["profiles"].as_i64().unwrap();
    assert_eq!(profiles(&after), profiles(&status) - 1);

    // She comes back and says yes to everything: she is somebody new, and not written to.
    let mails = home.mails_to(&ana.email);
    home.post(&key, &[ana.signs_up(2), ana.orders(4, &code)]);
    home.wait("her message is stopped", || home.messages("suppressed") == 1);
    assert_eq!(home.mails_to(&ana.email), mails);
    let new = home.ask(&["export", "person", &ana.email, "-o", "json"]);
    assert_ne!(new["profile"], json!(id));
    assert_eq!(rows(&new, "ingestion", "profile").len(), 1);
    assert_eq!(rows(&new, "loyalty", "coupon").len(), 1, "only the one of today");
    drop(server);
}

#[test]
fn an_erased_person_is_in_no_file_and_no_log_and_nobody_else_notices() {
    story(&Home::new(perennial_testing::sqlite(), None));
}

#[test]
fn an_erased_person_is_in_no_table_no_redis_key_and_no_log() {
    let redis = std::env::vars().find(|(name, _)| name == "PERENNIAL_TEST_REDIS").map(|it| it.1);
    let Some(database) = perennial_testing::postgres() else { return };
    story(&Home::new(database, redis));
}

#[test]
fn a_command_erases_on_a_folder_without_a_server_and_sends_nothing() {
    let home = Home::new(perennial_testing::sqlite(), None);
    let ana = Person::new("ana");
    let folder = home.database.config.url.trim_start_matches("sqlite:").to_owned();
    let server = home.serve();
    let key = home.ask(&["keys", "create", "shop", "-o", "json"])["key"].as_str().unwrap().to_owned();
    home.post(&key, &ana.visits());
    home.post(&key, &[ana.signs_up(1), ana.orders(1, ""), ana.errs()]);
    drop(server);
    let export = home.work(&["export", "person", &ana.email, "-o", "json", "--data-dir", &folder]);
    assert_eq!(rows(&export, "ingestion", "event").len(), 3);
    let erasure = home.work(&["erase", &ana.email, "--yes", "-o", "json", "--data-dir", &folder]);
    assert_eq!(erasure["state"], "done", "{erasure:#}");
    assert_eq!(home.leaks(&ana.values()), Vec::<String>::new());
    assert_eq!(home.mails_to(&ana.email), 0);
}

#[test]
fn an_erasure_is_ended_however_the_process_is_killed_in_its_midst() {
    let home = Home::new(perennial_testing::sqlite(), None);
    let mut server = home.serve();
    let key = home.ask(&["keys", "create", "shop", "-o", "json"])["key"].as_str().unwrap().to_owned();
    let people: Vec<Person> = (0..4).map(|n| Person::new(&format!("ana{n}"))).collect();
    for ana in &people {
        home.post(&key, &ana.visits());
        home.post(&key, &[ana.signs_up(1), ana.orders(1, "")]);
    }
    for (n, ana) in people.iter().enumerate() {
        let profile = home.ask(&["describe", "profile", &ana.email, "-o", "json"])["name"].clone();
        let asked = home
            .command()
            .env("PERENNIAL_ADDR", home.grpc.to_string())
            .args(["erase", &ana.email, "--yes"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        std::thread::sleep(Duration::from_millis(20 + 45 * u64::try_from(n).unwrap()));
        drop(server);
        asked.unwrap().wait().unwrap();
        server = home.serve();
        // Asked for once more, since nobody knows how far it came.
        let id = profile.as_str().unwrap().rsplit('/').next().unwrap();
        let erasure = home.ask(&["erase", id, "--yes", "-o", "json"]);
        assert_eq!(erasure["state"], "done", "{erasure:#}");
        assert_eq!(home.leaks(&ana.values()), Vec::<String>::new());
    }
    assert_eq!(home.ask(&["get", "erasures", "-o", "json"]).as_array().unwrap().len(), people.len());
    drop(server);
}
