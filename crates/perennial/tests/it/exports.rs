//! A small shop goes out of one folder and into others, and is the same shop there.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{Ran, perennial};

/// Who reads the file of an order in a spreadsheet should not run this.
const FORMULA: &str = "=HYPERLINK(\"https://example.com\",\"x\"), \n'très' 名";

/// What happened, in the order in which it is told.
fn calls() -> Vec<Value> {
    let order = |id: &str, who: &str, at: &str, more: Value| {
        let mut properties = json!({ "order_id": id, "currency": "EUR" });
        properties.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        json!({ "type": "track", "event": "Order Completed", "userId": who, "messageId": format!("o{id}"),
                "timestamp": at, "properties": properties })
    };
    let about = |event: &str, who: &str, message: &str, at: &str, properties: Value| {
        json!({ "type": "track", "event": event, "userId": who, "messageId": message, "timestamp": at,
                "properties": properties })
    };
    let lines = json!([
        { "product_id": "mug", "name": FORMULA, "quantity": 2, "price": 10 },
        { "product_id": "rug", "category": "Home", "quantity": 1, "price": "9.99", "cost": 3 },
    ]);
    vec![
        json!({ "type": "page", "anonymousId": "visitor", "messageId": "p1", "timestamp": "2025-01-01T10:00:00Z",
                "name": "Home", "context": { "timezone": "Europe/Oslo", "locale": "nb-NO" } }),
        json!({ "type": "track", "event": "Product Viewed", "anonymousId": "visitor", "messageId": "p2",
                "timestamp": "2025-01-01T10:01:00Z", "properties": { "product_id": "mug" } }),
        json!({ "type": "identify", "userId": "ana", "anonymousId": "visitor", "messageId": "i1",
                "timestamp": "2025-01-02T10:00:00.123456Z",
                "traits": { "email": "Ana@Example.com", "phone": "+49 30 1234567", "name": FORMULA, "age": 41,
                            "address": { "city": "Oslo" }, "vip": true, "code": "007",
                            "consent": { "email": { "marketing": { "granted": true, "source": "form",
                                                                   "wording": "Send me,\nnews" } } } } }),
        order(
            "1",
            "ana",
            "2025-01-03T10:00:00Z",
            json!({ "revenue": "27.99", "discount": 2, "coupon": "@TEN", "channel": "search", "products": lines }),
        ),
        // Told again by the server, with other amounts: it is one order.
        json!({ "type": "track", "event": "Order Updated", "userId": "ana", "messageId": "o1b",
                "timestamp": "2025-01-03T10:00:05Z", "properties": { "order_id": "1", "revenue": "26.99", "currency": "EUR",
                "discount": 3, "coupon": "@TEN", "products": lines } }),
        about(
            "Order Refunded",
            "ana",
            "r1",
            "2025-02-01T00:00:00Z",
            json!({ "order_id": "1", "revenue": 5, "refund_id": "1", "currency": "EUR" }),
        ),
        order("2", "ana", "2025-03-01T10:00:00Z", json!({ "revenue": 50 })),
        about("Order Cancelled", "ana", "x2", "2025-03-02T00:00:00Z", json!({ "order_id": "2" })),
        order(
            "3",
            "ben",
            "2025-03-05T10:00:00Z",
            json!({ "revenue": 12.5, "products": [{ "product_id": "mug" }] }),
        ),
        order("4", "ben", "2025-04-05T10:00:00Z", json!({ "revenue": 40 })),
        about("Order Refunded", "ben", "r4", "2025-04-06T00:00:00Z", json!({ "order_id": "4" })),
        about("Email Unsubscribed", "ana", "u1", "2025-05-01T00:00:00Z", json!({ "source": "one-click" })),
        json!({ "type": "track", "event": "Order Completed", "anonymousId": "guest", "messageId": "o5",
                "timestamp": "2025-05-05T10:00:00Z", "context": { "traits": { "email": "=guest@example.com" } },
                "properties": { "order_id": "5", "revenue": 7, "currency": "EUR" } }),
        // Two numbers that turn out to be one customer's: merged, told once.
        json!({ "type": "identify", "anonymousId": "old-phone", "messageId": "i2", "timestamp": "2025-06-01T00:00:00Z",
                "traits": { "email": "ben@example.com" } }),
        json!({ "type": "identify", "userId": "ben", "messageId": "i3", "timestamp": "2025-06-02T00:00:00Z",
                "traits": { "email": "ben@example.com", "sms_consent": true } }),
        json!({ "type": "identify", "userId": "gone", "messageId": "i9", "timestamp": "2025-06-02T00:00:00Z",
                "traits": { "email": "gone@example.com" } }),
        order("9", "gone", "2025-06-03T00:00:00Z", json!({ "revenue": 99 })),
    ]
}

struct Shop {
    folder: tempfile::TempDir,
}

impl Shop {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ask(&self, words: &[&str]) -> Ran {
        let ran = perennial(&self.path("data"), words);
        assert_eq!(ran.code, 0, "{words:?}: {}", ran.err);
        ran
    }

    fn import(&self, kind: &str, file: &Path) -> Value {
        let counts = self.ask(&["import", kind, &file.to_string_lossy(), "-o", "json"]).json();
        assert_eq!(counts["rejected"], 0, "{kind} {}: {counts}", file.display());
        counts
    }

    fn export(&self, kind: &str, name: &str) -> PathBuf {
        let path = self.path(name);
        let counts = self.ask(&["export", kind, &path.to_string_lossy(), "-o", "json"]).json();
        assert!(counts["rows"].as_u64().unwrap() > 0, "{counts}");
        path
    }

    /// Rows of an export, as objects.
    fn rows(&self, kind: &str) -> Vec<BTreeMap<String, Value>> {
        let text = self.ask(&["export", kind, "--format", "ndjson"]).out;
        text.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
    }

    /// What can be said of the shop, whatever ids it gives its people.
    fn told(&self) -> Value {
        let people = self.rows("profiles");
        let text = |it: &BTreeMap<String, Value>, name: &str| {
            it.get(name).and_then(Value::as_str).unwrap_or("").to_owned()
        };
        // Who somebody is, by what the shop knows them by.
        let who =
            |it: &BTreeMap<String, Value>| text(it, "customer") + "/" + &text(it, "email").to_lowercase();
        let ids: BTreeMap<String, String> =
            people.iter().map(|it| (text(it, "perennial_profile"), who(it))).collect();
        let orders = self.rows("orders");
        let buyers: BTreeSet<String> = orders
            .iter()
            .filter(|it| it.contains_key("perennial_net_revenue"))
            .map(|it| text(it, "perennial_profile"))
            .collect();
        // On a machine with far too much to do a command may answer before all has been taken in: it is asked again.
        let export = || self.ask(&["score", "export"]).out;
        let scores =
            (0..20).map(|_| export()).find(|it| it.lines().count() > buyers.len()).unwrap_or_else(export);
        let mut reader = csv::Reader::from_reader(scores.as_bytes());
        let scores: BTreeMap<String, BTreeMap<String, String>> = reader
            .deserialize()
            .map(|it| {
                let mut it: BTreeMap<String, String> = it.unwrap();
                let wanted = [
                    "orders",
                    "revenue_minor",
                    "profit_minor",
                    "refund_minor",
                    "first_order",
                    "last_order",
                    "known_cost_share",
                    "currency",
                ];
                let id = ids[&it["profile"]].clone();
                it.retain(|name, _| wanted.contains(&name.as_str()));
                (id, it)
            })
            .collect();
        let ours = ["perennial_profile", "perennial_first_seen", "perennial_updated_at"];
        let plain = |rows: Vec<BTreeMap<String, Value>>| {
            let mut rows: Vec<String> = rows
                .into_iter()
                .map(|mut it| {
                    it.retain(|name, _| !ours.contains(&name.as_str()));
                    serde_json::to_string(&it).unwrap()
                })
                .collect();
            rows.sort();
            rows
        };
        let status = self.ask(&["status", "-o", "json"]).json();
        json!({
            "scores": scores,
            "people": plain(people),
            "orders": plain(orders),
            "products": plain(self.rows("catalog")),
            "counts": [&status["profiles"], &status["orders"], &status["profit_minor"]],
        })
    }
}

fn shop() -> Shop {
    let shop = Shop::new();
    let products = shop.path("products.csv");
    std::fs::write(
        &products,
        "id,title,category,price,list_price,currency,cost,cost_currency,stock\n\
         mug,\"A \"\"mug\"\", red\",Home > Mugs,10.00,12.00,EUR,4.00,EUR,3\nrug,-5 % rug,,,,,,,\n",
    )
    .unwrap();
    shop.import("catalog", &products);
    let file = shop.path("calls.ndjson");
    let text: String = calls().iter().map(|it| format!("{it}\n")).collect();
    std::fs::write(&file, text).unwrap();
    let counts = shop.import("events", &file);
    assert_eq!(counts["accepted"], calls().len());
    shop.ask(&["erase", "gone", "--yes"]);
    shop
}

#[track_caller]
fn same(one: &Value, other: &Value) {
    for part in ["counts", "products", "orders", "people", "scores"] {
        assert_eq!(one[part], other[part], "{part}");
    }
}

#[test]
fn a_shop_is_the_same_after_its_files_went_to_other_folders_and_back() {
    let shop = shop();
    let told = shop.told();
    assert_eq!(told["counts"][1], 3, "one order of each, what was cancelled or taken back is none: {told}");
    assert_eq!(told["people"].as_array().unwrap().len(), 3);
    assert_eq!(told["scores"]["ana/ana@example.com"]["revenue_minor"], "2199", "{told}");
    assert!(!told.to_string().contains("gone"), "whoever was erased is in no export");

    for endings in
        [["csv.gz", "csv", "csv", "csv.gz"], ["ndjson", "ndjson.gz", "ndjson", "ndjson"], ["parquet"; 4]]
    {
        let kinds = ["orders", "events", "profiles", "catalog"];
        let files: Vec<PathBuf> = kinds
            .iter()
            .zip(endings)
            .map(|(kind, ending)| shop.export(kind, &format!("{kind}.{ending}")))
            .collect();
        let [orders, events, profiles, catalog] = &files[..] else { panic!("{files:?}") };

        // Back into the same folder: nothing changes.
        for (kind, file) in kinds.iter().zip(&files) {
            let counts = shop.import(kind, file);
            let news = ["accepted", "created", "updated"].map(|it| counts[it].as_u64().unwrap_or(0));
            assert_eq!(news, [0; 3], "{kind} {}: {counts}", file.display());
        }
        same(&shop.told(), &told);

        // Orders and people alone.
        let copy = Shop::new();
        copy.import("orders", orders);
        copy.import("profiles", profiles);
        copy.import("catalog", catalog);
        same(&copy.told(), &told);

        // Everything that ever happened; orders and people that are told besides count once.
        let copy = Shop::new();
        copy.import("catalog", catalog);
        copy.import("events", events);
        same(&copy.told(), &told);
        assert_eq!(copy.import("orders", orders)["accepted"], 0);
        copy.import("profiles", profiles);
        same(&copy.told(), &told);
    }
}

#[test]
fn an_export_says_what_it_wrote_and_what_is_wrong() {
    let shop = shop();
    let all = shop.ask(&["export", "orders"]);
    assert!(all.out.starts_with("order,customer,email,"), "{}", all.out);
    assert!(all.out.contains("'@TEN") && all.out.contains("\"'=HYPERLINK("), "{}", all.out);
    assert!(all.err.contains("9 rows: 5 orders, 3 refunds"), "{}", all.err);
    let part = shop.path("march.csv.gz");
    let counts = shop.ask(&[
        "export",
        "orders",
        &part.to_string_lossy(),
        "--since",
        "2025-03-01",
        "--until",
        "2025-03-31",
        "-o",
        "json",
    ]);
    let counts = counts.json();
    assert_eq!((&counts["rows"], &counts["orders"], &counts["refunds"]), (&3.into(), &2.into(), &1.into()));
    assert_eq!(counts["format"], "csv.gz");
    let mut text = String::new();
    let zipped = std::fs::File::open(&part).unwrap();
    flate2::read::GzDecoder::new(zipped).read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 4, "{text}");
    let events = shop.ask(&["export", "events", "--format", "ndjson", "--since", "2025-06-01T00:00:00Z"]);
    let first: Value = serde_json::from_str(events.out.lines().next().unwrap()).unwrap();
    assert_eq!((&first["type"], &first["messageId"]), (&"identify".into(), &"i2".into()));

    let refused = |words: &[&str], why: &str| {
        let ran = perennial(&shop.path("data"), words);
        assert_eq!(ran.code, 1, "{words:?}");
        assert!(ran.err.contains(why), "{}", ran.err);
    };
    let nameless = shop.path("orders.xlsx");
    refused(&["export", "orders", &nameless.to_string_lossy()], "say --format");
    refused(&["export", "catalog", "--format", "parquet"], "name a file");
    refused(&["export", "events", "--since", "yesterday"], "--since \"yesterday\" is no date");
    refused(
        &["export", "events", "--since", "2025-02-01", "--until", "2025-01-01"],
        "--until is not after --since",
    );
    refused(&["export", "profiles", &shop.path("no/folder/a.csv").to_string_lossy()], "cannot be written");
    let left: Vec<_> =
        std::fs::read_dir(shop.folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(!left.iter().any(|it| it.to_string_lossy().contains("part")), "{left:?}");
}
