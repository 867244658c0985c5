//! A scripted life of a shop, run as one process on SQLite and as six on PostgreSQL: the same to the last decision. Redis
//! is away at first, comes, is flushed, and goes.

use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use perennial::cli::Demo;
use perennial::commands::apply::{Apply, apply};
use perennial::demo::fingerprint::Picture;
use perennial::demo::{Clocks, Driven, World, drive, switch_on};
use perennial::simulator::{Settings, Shop};
use perennial_api::clock::v1::GetClockStatusRequest;
use perennial_api::clock::v1::clock_service_client::ClockServiceClient;
use perennial_api::ingestion::v1::Event;
use perennial_rpc::{structs, time};
use perennial_types::{Timestamp, from_micros, micros};
use serde_json::{Value, json};

use crate::house::{House, Shape, given, number};
use crate::relay::Relay;

/// Steps end in the morning of most customers, outside their quiet hours.
const START: &str = "2025-03-03T09:00:00Z";
const DAY: i64 = 86_400_000_000;

/// A third of a year; `make reliability` takes a whole one.
fn life() -> Demo {
    let days = number("PERENNIAL_TEST_DAYS").unwrap_or(120);
    Demo { customers: 36, days, seed: 7, holdout: 20, slice: 24 }
}

const FILES: &str = "kind: Segment
name: regulars
rule: count(\"Order Completed\", \"120d\") >= 2
---
kind: Segment
name: waverers
rule: did(\"Product Added\", \"3d\") && !did(\"Order Completed\", \"3d\")
---
kind: Segment
name: valuable
rule: clv.percentile >= 0.7 && reachable(\"email\")
---
kind: Campaign
name: thanks
trigger: { event: Order Completed }
reenter: after 20d
holdout: 10%
grace: 24h
steps:
  - wait: 1d
  - offer: { coupon: next-time, valid: 30d }
    message: { template: thanks, expires: 3d }
---
kind: Offer
name: next-time
amount: 5.00 EUR
cost: 5.00 EUR
valid: 30d
limit_per_customer: 3
budget: 40 EUR per month
code_prefix: next
---
kind: Template
name: thanks
subject: Thanks
text: Your code {{ coupon.code }} is for your next order.
";

/// What the demo sets, for processes that are configured from outside.
const SETTINGS: [(&str, &str); 10] = [
    ("clock.simulated_from", START),
    ("ingestion.currency", "EUR"),
    ("ingestion.live_max_age_s", "86400"),
    ("segmentation.currency", "EUR"),
    ("campaign.currency", "EUR"),
    ("loyalty.currency", "EUR"),
    ("notification.maildir.sync", "false"),
    ("scoring.fit_interval_days", "56"),
    ("scoring.least_customers", "20"),
    ("scoring.least_repeaters", "8"),
];

fn day(days: f64) -> Timestamp {
    let start: Timestamp = START.parse().unwrap();
    #[expect(clippy::cast_possible_truncation, reason = "a few hundred days")]
    from_micros(micros(start) + (days * DAY as f64) as i64)
}

struct Script(Vec<(Timestamp, Event)>);

impl Script {
    /// Something that happened on one day and arrived on another.
    fn late(&mut self, happened: f64, arrived: f64, kind: &str, who: [&str; 2], event: &str, said: Value) {
        let [user_id, anonymous_id] = who.map(str::to_owned);
        let previous_id = said["previousId"].as_str().unwrap_or_default().to_owned();
        let event = Event {
            message_id: format!("script-{}", self.0.len()),
            r#type: kind.to_owned(),
            event: event.to_owned(),
            user_id,
            anonymous_id,
            previous_id,
            properties: said.as_object().cloned().map(structs::from_json),
            event_time: Some(time::to_wire(day(happened))),
            ..Event::default()
        };
        self.0.push((day(arrived), event));
    }

    fn at(&mut self, when: f64, kind: &str, who: [&str; 2], event: &str, said: Value) {
        self.late(when, when, kind, who, event, said);
    }
}

/// What arrives besides what the shop's customers do: merges in the middle of things, orders that come late, refunds,
/// a withdrawal.
fn script() -> Vec<(Timestamp, Event)> {
    let order = |id: &str, cents: i64| {
        let products = json!([{ "product_id": "lamp", "price": cents as f64 / 100.0, "quantity": 1 }]);
        json!({ "order_id": id, "revenue": cents as f64 / 100.0, "currency": "EUR", "products": products })
    };
    let mut script = Script(Vec::new());
    for (n, who) in ["c00002", "c00009", "c00016"].into_iter().enumerate() {
        let (from, guest) = (20.0 + 12.0 * n as f64, format!("guest-{n}"));
        let guest = guest.as_str();
        let traits = json!({ "email": format!("{guest}@example.com"), "consent": { "email": true } });
        script.at(from, "identify", ["", guest], "", traits);
        script.at(from + 0.5, "track", ["", guest], "Order Completed", order(&format!("g-{n}"), 4_250));
        let added = json!({ "cart_id": format!("cart-{n}"), "product_id": "lamp", "price": "42.50", "currency": "EUR" });
        script.at(from + 5.5, "track", ["", guest], "Product Added", added);
        // Before the reminder of that cart is due in the first case, after it in the others.
        let merged = from + 5.6 + n as f64;
        script.at(merged, "alias", [who, ""], "", json!({ "previousId": guest }));
        script.at(merged + 10.0, "track", ["", guest], "Order Completed", order(&format!("h-{n}"), 1_990));
        let refund = json!({ "order_id": format!("g-{n}"), "currency": "EUR", "total": "10.00" });
        script.at(merged + 12.0, "track", [who, ""], "Order Refunded", refund);
    }
    for n in 0..4 {
        let (who, visitor) = (format!("c{:05}", 20 + n), format!("kiosk-{n}"));
        let from = 60.0 + 8.0 * f64::from(n);
        script.at(from, "track", ["", &visitor], "Product Viewed", json!({ "product_id": "lamp" }));
        script.at(from + 1.0, "identify", [&who, &visitor], "", json!({ "plan": "club" }));
        // Five days late, and refunded before it was known.
        let id = format!("late-{n}");
        if n == 3 {
            let refund = json!({ "order_id": id, "currency": "EUR" });
            script.at(from + 4.0, "track", [&who, ""], "Order Refunded", refund);
        }
        script.late(from, from + 5.0, "track", [&who, ""], "Order Completed", order(&id, 8_800));
    }
    let withdrawn = json!({ "consent": { "email": false } });
    script.at(75.0, "identify", ["c00005", ""], "", withdrawn);
    script.0.sort_by_key(|it| it.0);
    script.0
}

/// Lets the time pass in an installation.
async fn live(house: &House) -> (Driven, Picture) {
    let what = life();
    let _servers = house.serve_all();
    let session = house.session();
    switch_on(&session, &what).await.unwrap();
    let segments = house.folder.path().join("segments.yaml");
    std::fs::write(&segments, FILES).unwrap();
    let files = Apply { files: vec![segments], dry_run: false, live: true, enter_existing: false };
    let (_, broken) = apply(&session, &files, perennial_campaign::PLAYBOOKS).await.unwrap();
    assert!(broken.is_empty(), "{broken:?}");
    let shop = Shop::new(Settings {
        seed: what.seed,
        customers: what.customers,
        days: what.days,
        start: START.parse().unwrap(),
    });
    let world = World {
        clocks: Clocks::new(house.processes("perennial.clock.v1.ClockService")),
        http: house.place("notification").http,
        mail: house.mail(),
        script: script(),
    };
    let driven = drive(&session, world, shop, &what).await;
    let driven = driven.unwrap_or_else(|error| panic!("{error:#}\n{}", house.said()));
    let picture = Picture::of(&session).await.unwrap();
    (driven, picture)
}

/// Whether two texts say the same: word for word, figures to nine digits.
fn is_same(one: &str, other: &str) -> bool {
    let words = |it: &str| -> Vec<String> {
        it.split([' ', ',', '(', ')', '[', ']', '{', '}']).map(str::to_owned).collect()
    };
    let (one, other) = (words(one), words(other));
    one.len() == other.len()
        && one.iter().zip(&other).all(|(one, other)| {
            one == other
                || match (one.parse::<f64>(), other.parse::<f64>()) {
                    (Ok(a), Ok(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0),
                    _ => false,
                }
        })
}

fn assert_same(what: &str, one: &(Driven, Picture), other: &(Driven, Picture)) {
    let mut wrong = Vec::new();
    for (section, lines) in &one.1.lines {
        let others = &other.1.lines[section];
        let missing = lines.iter().filter(|it| !others.contains(it)).map(|it| format!("- {it}"));
        let surplus = others.iter().filter(|it| !lines.contains(it)).map(|it| format!("+ {it}"));
        let mut differing: Vec<String> = missing.take(6).chain(surplus.take(6)).collect();
        if lines.len() != others.len() {
            differing.push(format!("{} and {} {section}", lines.len(), others.len()));
        }
        wrong.extend(differing);
    }
    for (key, score) in &one.1.scores {
        let (score, other) = (format!("{score:?}"), format!("{:?}", other.1.scores.get(key)));
        if !is_same(&format!("Some({score})"), &other) {
            wrong.push(format!("- {key} {score}\n+ {key} {other}"));
        }
    }
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
    assert_eq!(one.1.scores.len(), other.1.scores.len());
    assert_eq!(
        (one.0.mails, one.0.events, one.0.letters.to_json()),
        (other.0.mails, other.0.events, other.0.letters.to_json()),
        "{what}"
    );
}

/// Forgets all that this test keeps in a Redis. Others may use the same server.
fn flush(server: &str, database: &str) {
    let mut stream = TcpStream::connect(server).unwrap();
    write!(stream, "SELECT {database}\r\nFLUSHDB\r\n").unwrap();
    let mut answer = [0; 10];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+OK\r\n+OK\r\n");
}

/// Redis is away for the first third of the time, is flushed in the second, and is away in the last. Answers how often it
/// was flushed.
async fn weather(house: &House, relay: &mut Relay, server: &str, over: &Cell<bool>) -> u32 {
    let mut clock = ClockServiceClient::new(house.processes("perennial.clock.v1.ClockService").remove(0));
    let mut flushed = 0;
    while !over.get() {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let Ok(status) = clock.get_clock_status(GetClockStatusRequest { wait_ms: 0 }).await else { continue };
        let now = time::from_wire(status.into_inner().now.as_ref().unwrap(), "now").unwrap();
        let thirds = 3 * (micros(now) - micros(day(0.0))) / (i64::from(life().days) * DAY);
        if thirds == 1 {
            relay.open();
            flush(server, DATABASE);
            flushed += 1;
        } else {
            relay.close();
        }
    }
    flushed
}

/// The database of Redis that this test uses.
const DATABASE: &str = "9";

#[tokio::test(flavor = "multi_thread")]
async fn six_processes_on_postgres_do_what_the_one_binary_does() {
    let (Some(postgres), Some(redis)) = (given("PERENNIAL_TEST_POSTGRES"), given("PERENNIAL_TEST_REDIS"))
    else {
        return;
    };
    let server = redis.trim_start_matches("redis://").trim_end_matches('/');
    let mut relay = Relay::to(server);
    let redis = format!("redis://{}/{DATABASE}", relay.address);
    let one = House::new(Shape::One, &SETTINGS);
    let six = House::new(Shape::Six { postgres, redis }, &SETTINGS);
    let over = Cell::new(false);
    let alone = async {
        let lived = live(&six).await;
        over.set(true);
        lived
    };
    let (one, six, flushed) = tokio::join!(live(&one), alone, weather(&six, &mut relay, server, &over));

    let count = |section: &str| one.1.lines.get(section).map_or(0, Vec::len);
    let counts = ["profiles", "decisions", "messages", "coupons", "members"].map(|it| (it, count(it)));
    let published = one.1.scores.values().filter(|it| !it.model.is_empty()).count();
    eprintln!(
        "{counts:?}, {published} scores by a model, {} mails; {:?} as one, {:?} as six, {flushed} flushes",
        one.0.mails, one.0.took, six.0.took
    );
    assert_same("one and six", &one, &six);
    assert!(counts.iter().all(|it| it.1 > 0) && one.0.mails > 50, "too little happens: {counts:?}");
    assert!(published > 20, "no model was published");
    assert!(flushed > 1, "Redis was not flushed while it was there");
}
