//! One scripted year of a shop, run as one process on SQLite and as six on PostgreSQL: the same to the last decision.

use perennial::cli::Demo;
use perennial::commands::apply::{Apply, apply};
use perennial::demo::fingerprint::Picture;
use perennial::demo::{Clocks, Driven, World, drive, switch_on};
use perennial::simulator::{Settings, Shop};
use perennial_api::ingestion::v1::Event;
use perennial_rpc::{structs, time};
use perennial_types::{Timestamp, from_micros, micros};
use serde_json::{Value, json};

use crate::house::{House, Shape, free, given};

const START: &str = "2025-03-03T00:00:00Z";
const DAY: i64 = 86_400_000_000;
const YEAR: Demo = Demo { customers: 36, days: 365, seed: 7, holdout: 20, slice: 72 };

const SEGMENTS: &str = "kind: Segment
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
";

/// What the demo sets, for processes that are configured from outside.
const SETTINGS: [(&str, &str); 10] = [
    ("clock.simulated_from", START),
    ("ingestion.currency", "EUR"),
    ("ingestion.live_max_age_s", "259200"),
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
        let (from, guest) = (60.0 + 20.0 * n as f64, format!("guest-{n}"));
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
        let from = 130.0 + 9.0 * f64::from(n);
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
    script.at(150.0, "identify", ["c00005", ""], "", withdrawn);
    script.0.sort_by_key(|it| it.0);
    script.0
}

/// Lets the year pass in an installation.
async fn live(house: &House) -> (Driven, Picture) {
    let _servers = house.serve_all();
    let session = house.session();
    switch_on(&session, &YEAR).await.unwrap();
    let segments = house.folder.path().join("segments.yaml");
    std::fs::write(&segments, SEGMENTS).unwrap();
    let what = Apply { files: vec![segments], dry_run: false, live: true, enter_existing: false };
    let (_, broken) = apply(&session, &what, perennial_campaign::PLAYBOOKS).await.unwrap();
    assert!(broken.is_empty(), "{broken:?}");
    let shop = Shop::new(Settings {
        seed: YEAR.seed,
        customers: YEAR.customers,
        days: YEAR.days,
        start: START.parse().unwrap(),
    });
    let world = World {
        clocks: Clocks::new(house.processes("perennial.clock.v1.ClockService")),
        http: house.place("notification").http,
        mail: house.mail(),
        script: script(),
    };
    let driven = drive(&session, world, shop, &YEAR).await;
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

/// Flushes a Redis again and again.
fn flush(redis: &str, stop: &AtomicBool) -> u32 {
    let mut flushed = 0;
    while !stop.load(Ordering::SeqCst) {
        // Only what this test keeps there: others may use the same server.
        let (address, database) =
            redis.trim_start_matches("redis://").split_once('/').unwrap_or((redis, "0"));
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "SELECT {database}\r\nFLUSHDB\r\n").unwrap();
        let mut answer = [0; 10];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"+OK\r\n+OK\r\n");
        flushed += 1;
        std::thread::sleep(Duration::from_millis(700));
    }
    flushed
}

#[tokio::test(flavor = "multi_thread")]
async fn six_processes_on_postgres_do_what_the_one_binary_does() {
    let (Some(postgres), Some(redis)) = (given("PERENNIAL_TEST_POSTGRES"), given("PERENNIAL_TEST_REDIS"))
    else {
        return;
    };
    let redis = format!("{}/9", redis.trim_end_matches('/'));
    let one = House::new(Shape::One, &SETTINGS);
    let six = House::new(Shape::Six { postgres: postgres.clone(), redis: redis.clone() }, &SETTINGS);
    let nowhere = format!("redis://{}", free());
    let bare = House::new(Shape::Six { postgres, redis: nowhere }, &SETTINGS);

    let stop = Arc::new(AtomicBool::new(false));
    let heard = stop.clone();
    let flushing = std::thread::spawn(move || flush(&redis, &heard));
    let (one, six, bare) = tokio::join!(live(&one), live(&six), live(&bare));
    stop.store(true, Ordering::SeqCst);
    assert!(flushing.join().unwrap() > 2);

    let count = |section: &str| one.1.lines.get(section).map_or(0, Vec::len);
    let counts = ["profiles", "decisions", "messages", "coupons", "members"].map(|it| (it, count(it)));
    let published = one.1.scores.values().filter(|it| !it.model.is_empty()).count();
    eprintln!(
        "{counts:?}, {published} scores by a model; {:?} as one, {:?} as six, {:?} without Redis",
        one.0.took, six.0.took, bare.0.took
    );
    assert_same("six processes, Redis flushed", &one, &six);
    assert_same("six processes, no Redis", &one, &bare);
    assert!(counts.iter().all(|it| it.1 > 0) && one.0.mails > 50, "too little happens: {counts:?}");
    assert!(published > 20, "no model was published");
}
