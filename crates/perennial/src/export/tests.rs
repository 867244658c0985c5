//! What goes out comes in again.

use std::io::Write;
use std::path::Path;

use perennial_api::catalog::v1::Product;
use perennial_api::catalog::v1::product::Availability;
use perennial_api::ingestion::v1::{
    Event, ExportedOrder, LoggedEvent, OrderPlacement, OrderPlacementLine, OrderReturn,
};
use perennial_api::profile::v1::{Consent, Contact, Identifier, Profile};
use perennial_rpc::{structs, time};
use perennial_types::{Timestamp, from_micros};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Cell, Column, Format, Sink, Target, events, orders, people, products};
use crate::import::{self, Dates, Item, Kind, Outcome, Plan};

const FORMATS: [Format; 5] = [Format::Csv, Format::CsvGz, Format::Ndjson, Format::NdjsonGz, Format::Parquet];

fn wire(at: i64) -> Option<prost_types::Timestamp> {
    Some(time::to_wire(from_micros(at)))
}

/// Writes rows, and imports what was written.
fn there_and_back(
    folder: &Path,
    (kind, format): (Kind, Format),
    columns: &'static [Column],
    rows: Vec<Vec<Cell>>,
) -> Vec<Item> {
    let path = folder.join("file");
    let (target, out) = Target::open(Some(&path), format.is_zipped()).unwrap();
    let mut sink = Sink::open(out, format, "row", "main", columns).unwrap();
    rows.into_iter().for_each(|it| sink.add(it).unwrap());
    sink.end().unwrap();
    target.keep().unwrap();
    imported(kind, &path)
}

fn imported(kind: Kind, path: &Path) -> Vec<Item> {
    let plan = Plan {
        kind,
        path: path.to_owned(),
        said: vec![],
        dates: Dates { format: None, zone: jiff::tz::TimeZone::UTC },
        currency: None,
        comma: false,
        now: Timestamp::UNIX_EPOCH,
        dry_run: false,
    };
    let items = std::sync::Mutex::new(Vec::new());
    let send = async |batch: Vec<Item>| {
        let outcomes = vec![Outcome::Accepted; batch.len()];
        items.lock().unwrap().extend(batch);
        Ok(outcomes)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (summary, rejects) = runtime.block_on(import::run(plan, None, |_, _, _| {}, send)).unwrap();
    let told = rejects.map(|it| std::fs::read_to_string(it).unwrap());
    assert_eq!((summary.rejected, told), (0, None));
    items.into_inner().unwrap()
}

/// Texts as anybody may send them: separators, quotes, line ends, formulas, other scripts. Blanks at the ends are no part
/// of a word of a file.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "=cmd|' /C calc'!A0",
        "+1",
        "-",
        "@x",
        "'",
        "''=",
        "\"",
        ",",
        ";",
        "\n",
        "\r\n",
        "\t",
        "é",
        "名",
        "🦄",
        "\u{202e}",
        "a",
        "0",
        "007",
        "true",
        "{",
        "[1]",
        "null",
        " ",
        "\\",
    ]);
    prop::collection::vec(piece, 1..6).prop_map(|it| it.concat().trim().to_owned())
}

fn word() -> impl Strategy<Value = String> {
    hostile().prop_map(|it| if it.is_empty() { "x".to_owned() } else { it })
}

fn property() -> impl Strategy<Value = Value> {
    prop_oneof![
        hostile().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Value::from),
        (-1_000_000_i64..1_000_000).prop_map(|it| json!(it as f64 / 64.0 + 1.0 / 128.0)),
        Just(json!({"a": {"b": [1, null, "=x"]}})),
    ]
}

fn object() -> impl Strategy<Value = serde_json::Map<String, Value>> {
    prop::collection::btree_map(word(), property(), 0..4).prop_map(|it| it.into_iter().collect())
}

fn event_of(items: &[Item]) -> &Event {
    match items {
        [Item::Event(it)] => it,
        other => panic!("{other:?}"),
    }
}

fn json_of(it: &Option<prost_types::Struct>) -> Value {
    it.clone().map_or_else(|| json!({}), |it| Value::Object(structs::to_json(it)))
}

fn order() -> impl Strategy<Value = ExportedOrder> {
    let cost = prop::option::of(0_i64..9_999);
    let line = (word(), hostile(), hostile(), 0_i64..9, 0_i64..99_999, cost).prop_map(
        |(product_id, product_name, category, quantity, price_minor, cost_minor)| OrderPlacementLine {
            product_id,
            product_name,
            category,
            quantity,
            price_minor,
            cost_minor,
        },
    );
    let placed = (0_i64..999_999, prop::collection::vec(line, 0..4), hostile(), 0_i64..999, -50_i64..999_999);
    let placed =
        placed.prop_map(|(revenue_minor, lines, coupon, discount_minor, profit_minor)| OrderPlacement {
            message_id: "placed".to_owned(),
            order_time: wire(1_700_000_000_123_456),
            revenue_minor,
            discount_minor,
            profit_minor: profit_minor.min(revenue_minor),
            cost_known_per_mille: 1_000,
            coupon,
            channel: "search".to_owned(),
            lines,
            ..Default::default()
        });
    let returns = prop::collection::vec((hostile(), prop::option::of(1_i64..99_999)), 0..3);
    let currency = prop::sample::select(vec!["EUR", "JPY", "BHD"]);
    ((word(), word(), any::<bool>()), currency, placed, returns).prop_map(
        |((order_id, user, is_guest), currency, placed, returns)| {
            let returns = returns.into_iter().enumerate().map(|(n, (refund_id, amount_minor))| OrderReturn {
                message_id: format!("back {n}"),
                refund_id,
                return_time: wire(1_700_000_500_000_000),
                amount_minor,
            });
            ExportedOrder {
                user_id: if is_guest { String::new() } else { user },
                anonymous_id: "visitor".to_owned(),
                email: if is_guest { "a+b@example.com".to_owned() } else { String::new() },
                order_id,
                currency: currency.to_owned(),
                placement: Some(placed),
                returns: returns.collect(),
                ..Default::default()
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_order_comes_in_as_it_went_out(order in order()) {
        let folder = tempfile::tempdir().unwrap();
        for format in FORMATS {
            let items = there_and_back(folder.path(), (Kind::Orders, format), orders::COLUMNS, orders::rows(&order));
            let placed = order.placement.as_ref().unwrap();
            let of = perennial_types::Currency::parse(&order.currency).unwrap();
            let minor = |it: &Value| it.as_str().map(|it| of.minor_units(it).unwrap());
            let mut returned = 0;
            for item in &items {
                let Item::Event(event) = item else { panic!("{item:?}") };
                prop_assert_eq!(&event.user_id, &order.user_id);
                let properties = json_of(&event.properties);
                prop_assert_eq!(&properties["order_id"], &Value::from(order.order_id.clone()));
                if event.event == "Order Completed" {
                    prop_assert_eq!(&event.message_id, "placed");
                    prop_assert_eq!(&event.event_time, &placed.order_time);
                    prop_assert_eq!(minor(&properties["revenue"]), Some(placed.revenue_minor));
                    prop_assert_eq!(minor(&properties["discount"]).unwrap_or(0), placed.discount_minor);
                    prop_assert_eq!(minor(&properties["cost_total"]), Some(placed.revenue_minor - placed.profit_minor));
                    prop_assert_eq!(properties["coupon"].as_str().unwrap_or(""), &placed.coupon);
                    let lines = properties["products"].as_array().cloned().unwrap_or_default();
                    prop_assert_eq!(lines.len(), placed.lines.len());
                    for (line, told) in lines.iter().zip(&placed.lines) {
                        prop_assert_eq!(line["product_id"].as_str().unwrap(), &told.product_id);
                        prop_assert_eq!(line["name"].as_str().unwrap_or(""), &told.product_name);
                        prop_assert_eq!(line["category"].as_str().unwrap_or(""), &told.category);
                        prop_assert_eq!(line["quantity"].as_i64(), Some(told.quantity));
                        prop_assert_eq!(minor(&line["price"]), Some(told.price_minor));
                        prop_assert_eq!(minor(&line["cost"]), told.cost_minor);
                    }
                } else {
                    let back = &order.returns[event.message_id[5..].parse::<usize>().unwrap()];
                    returned += 1;
                    if back.amount_minor.is_some() {
                        prop_assert_eq!(minor(&properties["revenue"]), back.amount_minor);
                    }
                }
            }
            prop_assert_eq!(items.len(), 1 + order.returns.len());
            prop_assert_eq!(returned, order.returns.len());
        }
    }

    #[test]
    fn an_event_comes_in_as_it_went_out(
        (name, customer) in (word(), word()),
        properties in object(),
        kind in prop::sample::select(vec!["track", "identify", "page", "group", "alias"]),
    ) {
        let told = if matches!(kind, "identify" | "group") { "traits" } else { "properties" };
        let mut call = json!({
            "type": kind, "userId": customer, "messageId": "m", "timestamp": "2023-11-14T22:13:20.000001Z",
            told: properties.clone(), "context": { "ip": "::1", "traits": {"email": "=a@example.com"} },
        });
        if kind == "track" { call["event"] = name.clone().into() }
        if kind == "alias" { call["previousId"] = "before".into() }
        if kind == "group" { call["groupId"] = "club".into() }
        let logged = LoggedEvent {
            profile: "workspaces/main/profiles/p".to_owned(),
            message_id: "m".to_owned(),
            call: kind.to_owned(),
            event: if kind == "track" { name } else { "Some".to_owned() },
            event_time: wire(1_700_000_000_000_001),
            call_json: call.to_string(),
            ..Default::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("calls.ndjson");
        std::fs::File::create(&path).unwrap().write_all(format!("{}\n", logged.call_json).as_bytes()).unwrap();
        let as_call = imported(Kind::Events, &path);
        let expected = event_of(&as_call);
        prop_assert_eq!(json_of(&expected.properties), Value::Object(properties));
        for format in FORMATS {
            let items = there_and_back(folder.path(), (Kind::Events, format), events::COLUMNS, vec![events::row(&logged)]);
            let found = event_of(&items);
            prop_assert_eq!(json_of(&found.properties), json_of(&expected.properties));
            let bare = |it: &Event| Event { properties: None, ..it.clone() };
            prop_assert_eq!(bare(found), bare(expected), "{:?}", format);
        }
    }

    #[test]
    fn a_person_comes_in_as_they_went_out(
        (customer, wording) in (word(), hostile()),
        traits in object(),
        (granted, confirmed, is_guest) in any::<(bool, bool, bool)>(),
    ) {
        let flat = structs_flat(&traits);
        let id = |kind: &str, value: &str| Identifier { kind: kind.to_owned(), value: value.to_owned() };
        let mut identifiers = vec![id("email", "=a@example.com"), id("anonymous_id", "-visitor")];
        if !is_guest { identifiers.push(id("user_id", &customer)) }
        let said = Consent {
            channel: "email".to_owned(),
            purpose: "marketing".to_owned(),
            granted,
            confirmed: granted && confirmed,
            source: "form".to_owned(),
            wording: wording.clone(),
            update_time: wire(1_600_000_000_000_000),
            ..Default::default()
        };
        let waits = Consent { channel: "sms".to_owned(), request_time: said.update_time, ..said.clone() };
        let person = Profile {
            name: "workspaces/main/profiles/0198f3a2-7c1e-7abc-8def-001122334455".to_owned(),
            identifiers,
            consents: vec![said, waits],
            create_time: wire(1_500_000_000_000_000),
            last_seen_time: wire(1_700_000_000_000_001),
            time_zone: "Europe/Oslo".to_owned(),
            time_zone_source: "context".to_owned(),
            ..Default::default()
        };
        let contact =
            Contact { email: "=a@example.com".to_owned(), traits_json: Value::Object(flat.clone()).to_string(), ..Default::default() };
        let expected = people::told(&person, &contact).unwrap();
        let told = json_of(&expected.properties);
        for (name, value) in &flat { prop_assert_eq!(&told[name], value) }
        prop_assert_eq!(&told["consent.email.marketing"]["granted"], &Value::from(granted));
        prop_assert_eq!(told["consent.email.marketing"]["wording"].as_str().unwrap_or(""), &wording);
        prop_assert_eq!(told.get("consent.sms.marketing"), None, "it waits");
        prop_assert!(told.get("email").is_none() || flat.contains_key("email"), "an address is no trait by itself");
        prop_assert_eq!(&json_of(&expected.context)["timezone"], &Value::from("Europe/Oslo"));
        let folder = tempfile::tempdir().unwrap();
        for format in FORMATS {
            let row = people::row(&person, &contact);
            let items = there_and_back(folder.path(), (Kind::Profiles, format), people::COLUMNS, vec![row]);
            let found = Event { message_id: String::new(), ..event_of(&items).clone() };
            prop_assert_eq!(&found, &expected, "{:?}", format);
        }
    }

    #[test]
    fn a_product_comes_in_as_it_went_out(
        (id, title, category) in (word(), hostile(), hostile()),
        (price, list, cost, stock) in any::<(Option<u32>, Option<u32>, Option<u32>, Option<u16>)>(),
    ) {
        // Control characters are refused where products are kept, and a category is a path.
        let plain = |it: String| it.replace(|it: char| it.is_control(), "").trim().to_owned();
        let id = plain(id);
        prop_assume!(!id.is_empty());
        let product = Product {
            product_id: id,
            title: plain(title),
            category: plain(category),
            currency: if price.is_some() { "EUR".to_owned() } else { String::new() },
            price_minor: price.map(Into::into),
            list_price_minor: list.filter(|_| price.is_some()).map(Into::into),
            cost_currency: if cost.is_some() { "BHD".to_owned() } else { String::new() },
            cost_minor: cost.map(Into::into),
            availability: Availability::Backorder.into(),
            stock_quantity: stock.map(Into::into),
            create_time: wire(1_500_000_000_000_000),
            ..Default::default()
        };
        let folder = tempfile::tempdir().unwrap();
        for format in FORMATS {
            let items = there_and_back(folder.path(), (Kind::Catalog, format), products::COLUMNS, vec![products::row(&product)]);
            let [Item::Product(found)] = &items[..] else { panic!("{items:?}") };
            prop_assert_eq!(&**found, &Product { create_time: None, ..product.clone() }, "{:?}", format);
        }
    }
}

/// Traits as a profile has them: scalars by dotted names.
fn structs_flat(traits: &serde_json::Map<String, Value>) -> serde_json::Map<String, Value> {
    let flat = structs::flatten(traits);
    serde_json::to_value(flat).unwrap().as_object().cloned().unwrap()
}

#[test]
fn a_cell_that_somebody_changes_counts() {
    let said = Consent {
        channel: "email".to_owned(),
        purpose: "marketing".to_owned(),
        granted: true,
        update_time: wire(1),
        ..Default::default()
    };
    let person = Profile {
        identifiers: vec![Identifier { kind: "user_id".to_owned(), value: "7".to_owned() }],
        consents: vec![said],
        last_seen_time: wire(2_000_000),
        ..Default::default()
    };
    let contact = Contact { traits_json: json!({"city": "Oslo"}).to_string(), ..Default::default() };
    let row = people::row(&person, &contact);
    let mut object: serde_json::Map<String, Value> = people::COLUMNS
        .iter()
        .zip(row)
        .filter(|(_, cell)| *cell != Cell::Nothing)
        .map(|(column, cell)| (column.name.to_owned(), cell.to_json()))
        .collect();
    object.insert("email_consent".to_owned(), false.into());
    object.insert("email".to_owned(), "new@example.com".into());
    let event = import::identify_object(object).unwrap();
    let traits = json_of(&event.properties);
    assert_eq!(traits, json!({"city": "Oslo", "email": "new@example.com", "email_consent": false}));
}

#[test]
fn the_documentation_names_every_column_with_its_type_in_order() {
    let page = include_str!("../../../../docs/exports.md");
    let word = |kind: super::Kind| match kind {
        super::Kind::Text => "text",
        super::Kind::Integer => "integer",
        super::Kind::Real => "real",
        super::Kind::Amount => "amount",
        super::Kind::Time => "instant",
        super::Kind::Date => "day",
        super::Kind::Flag => "flag",
        super::Kind::Json => "json",
    };
    for (name, columns) in [
        ("orders", orders::COLUMNS),
        ("events", events::COLUMNS),
        ("profiles", people::COLUMNS),
        ("catalog", products::COLUMNS),
    ] {
        let part = page.split("\n## ").find(|it| it.starts_with(name)).unwrap();
        let written: Vec<(&str, &str)> = part
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
            .filter_map(|(name, rest)| Some((name, rest.split(" | ").next()?)))
            .collect();
        let known: Vec<(&str, &str)> = columns.iter().map(|it| (it.name, word(it.kind))).collect();
        assert_eq!(written, known, "{name}");
    }
}
