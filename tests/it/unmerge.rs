//! Two people become one by mistake, live on as one for a while, and are taken apart: in every service each is then what they
//! would be had it never happened.

use std::collections::BTreeMap;

use perennial::commands::apply::{Apply, apply};
use perennial::demo::Clocks;
use perennial::demo::fingerprint::Picture;
use perennial::session::{Session, told};
use perennial_api::notification::v1::ListMessagesRequest;
use perennial_api::profile::v1::{
    ListMergesRequest, LookupProfileRequest, Profile, Unmerge, UnmergeProfileRequest,
};
use perennial_types::{Timestamp, from_micros, micros};
use serde_json::{Value, json};

use crate::house::{House, Shape, THANKS, given};

const START: &str = "2026-03-02T09:00:00Z";
const DAY: i64 = 86_400_000_000;
/// Pairs of people; each lives a story of its own.
const PAIRS: usize = 24;

const SETTINGS: [(&str, &str); 6] = [
    ("clock.simulated_from", START),
    ("ingestion.currency", "EUR"),
    ("segmentation.currency", "EUR"),
    ("campaign.currency", "EUR"),
    ("loyalty.currency", "EUR"),
    ("notification.maildir.sync", "false"),
];

const FILES: &str = "kind: Segment
name: regulars
rule: count(\"Order Completed\", \"90d\") >= 2
---
kind: Segment
name: waverers
rule: did(\"Product Added\", \"10d\") && !did(\"Order Completed\", \"10d\")
---
kind: Segment
name: club
rule: traits.plan == \"club\" && reachable(\"email\")
";

/// A source of numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Who somebody is to the shop: a customer with an account, or a visitor on a device.
fn who(pair: usize, is_customer: bool) -> (&'static str, String) {
    if is_customer { ("userId", format!("ana-{pair}")) } else { ("anonymousId", format!("device-{pair}")) }
}

fn at(day: f64) -> String {
    let start: Timestamp = START.parse().unwrap();
    #[expect(clippy::cast_possible_truncation, reason = "a few days")]
    from_micros(micros(start) + (day * DAY as f64) as i64).to_string()
}

/// Something one of a pair does on a day; `n` makes it its own.
fn deed(dice: &mut Dice, pair: usize, n: usize, day: f64) -> Value {
    let (field, value) = who(pair, dice.roll(2) == 0);
    let id = format!("{pair}-{n}");
    let happened = at(day - if dice.roll(5) == 0 { 2.5 } else { 0.0 });
    let own = dice.roll(3);
    let (kind, name, said) = match dice.roll(8) {
        0 | 1 => {
            let line = json!({ "product_id": format!("p-{own}"), "price": 10 + own, "quantity": 1 });
            let order = json!({ "order_id": id, "revenue": 10 + own, "currency": "EUR", "products": [line] });
            ("track", "Order Completed", order)
        }
        2 => {
            // Of an order of the same person or of nobody.
            let order = json!({ "order_id": format!("{pair}-{}", n.saturating_sub(2)), "currency": "EUR", "total": 3 });
            ("track", "Order Refunded", order)
        }
        3 | 4 => ("track", "Product Added", json!({ "product_id": format!("p-{own}"), "price": 7 })),
        5 => {
            let said = json!({ "channel": "email", "granted": own > 0 });
            ("track", "Consent Changed", said)
        }
        6 => ("identify", "", json!({ "plan": if own == 0 { "club" } else { "none" }, "seen": n })),
        _ => ("page", "Home", json!({ "path": "/" })),
    };
    let mut event = json!({ "messageId": id, "type": kind, "timestamp": happened });
    event[field] = value.into();
    match kind {
        "identify" => event["traits"] = said,
        "track" => (event["event"], event["properties"]) = (name.into(), said),
        _ => event["properties"] = said,
    }
    event
}

/// The mistake: somebody logs in on another one's device. Without it, they log in on their own.
fn link(pair: usize, is_wrong: bool) -> Value {
    let mut event = json!({
        "messageId": format!("link-{pair}"), "type": "identify", "timestamp": at(10.0), "userId": format!("ana-{pair}"),
        "traits": { "last": "login" },
    });
    if is_wrong {
        event["anonymousId"] = format!("device-{pair}").into();
    }
    event
}

/// All that happens, by the day it arrives on: before the mistake, as one, and after the two are two again.
fn story(is_wrong: bool) -> [BTreeMap<u64, Vec<Value>>; 3] {
    let mut parts = [BTreeMap::new(), BTreeMap::new(), BTreeMap::new()];
    let mut dice = Dice(11);
    for pair in 0..PAIRS {
        let known = [
            ("userId", format!("ana-{pair}"), format!("ana-{pair}@example.com")),
            ("anonymousId", format!("device-{pair}"), format!("ben-{pair}@example.com")),
        ];
        for (field, value, email) in known {
            let mut event = json!({
                "messageId": format!("hello-{value}"), "type": "identify", "timestamp": at(0.0),
                "traits": { "email": email, "consent": { "email": true } },
            });
            event[field] = value.into();
            parts[0].entry(0).or_insert_with(Vec::new).push(event);
        }
        for n in 0..24 {
            let day = 1 + dice.roll(24);
            let day = if (10..12).contains(&day) { 12 } else { day };
            let place = if day < 10 {
                0
            } else if day < 18 {
                1
            } else {
                2
            };
            let event = deed(&mut dice, pair, n, day as f64);
            if dice.roll(6) == 0 {
                // It comes twice.
                parts[place].entry(day).or_insert_with(Vec::new).push(event.clone());
            }
            parts[place].entry(day).or_insert_with(Vec::new).push(event);
        }
        parts[1].entry(10).or_insert_with(Vec::new).push(link(pair, is_wrong));
    }
    parts
}

/// A house in which time passes as we say.
struct Home {
    house: House,
    session: Session,
    clocks: Clocks,
    key: String,
}

impl Home {
    async fn pass(&self, part: &BTreeMap<u64, Vec<Value>>) {
        for (day, events) in part {
            self.until(*day as f64).await;
            let body = json!({ "batch": events }).to_string();
            assert!(self.house.post(&self.key, &body), "{}", self.house.said());
            self.clocks.quiet().await.unwrap();
        }
    }

    async fn until(&self, day: f64) {
        let to: Timestamp = at(day).parse().unwrap();
        while let Some(due) = self.clocks.next_due().await.unwrap().filter(|it| *it < micros(to)) {
            self.clocks.advance(from_micros(due)).await.unwrap();
            self.clocks.quiet().await.unwrap();
        }
        self.clocks.advance(to).await.unwrap();
        self.clocks.quiet().await.unwrap();
    }

    async fn lookup(&self, identifier: &str) -> Profile {
        let (parent, identifier) = (self.session.parent(), identifier.to_owned());
        let request = LookupProfileRequest { parent, identifier };
        self.session.profiles().lookup_profile(request).await.map_err(told).unwrap().into_inner()
    }

    async fn unmerge(&self, name: &str, validate_only: bool) -> Unmerge {
        let request =
            UnmergeProfileRequest { name: name.to_owned(), validate_only, request_id: String::new() };
        self.session.identity().unmerge_profile(request).await.map_err(told).unwrap().into_inner()
    }

    /// Who each of a pair is, apart from times of day and names.
    async fn people(&self) -> BTreeMap<String, String> {
        let mut people = BTreeMap::new();
        for pair in 0..PAIRS {
            for it in [format!("ana-{pair}"), format!("device-{pair}")] {
                let profile = self.lookup(&it).await;
                people.insert(it, portrait(&profile));
            }
        }
        people
    }
}

fn portrait(it: &Profile) -> String {
    let ids: Vec<String> = it.identifiers.iter().map(|it| format!("{} {}", it.kind, it.value)).collect();
    let consents: Vec<String> = it
        .consents
        .iter()
        .map(|it| format!("{}/{}={} {}", it.channel, it.purpose, it.granted, it.source))
        .collect();
    // Not when they were last seen: mail that came while they were one was seen by the one it came to.
    format!("{ids:?} {} {consents:?} {} {}", it.traits_json, it.time_zone, it.locale)
}

/// Everything that says who somebody is, and nothing of what happened to them while they were one: those who are in a
/// segment now, but not since when.
fn lines(picture: &Picture) -> BTreeMap<&'static str, Vec<String>> {
    let head = |it: &String, words: usize| it.split(' ').take(words).collect::<Vec<_>>().join(" ");
    let stages = picture.lines.get("stages").into_iter().flatten().map(|it| head(it, 3));
    let members = picture.lines.get("members").into_iter().flatten().map(|it| head(it, 3));
    let scores = picture.scores.iter().map(|(key, it)| {
        format!("{key} {} {} {} {:?} {:?}", it.orders, it.revenue_minor, it.profit_minor, it.rfm, it.values)
    });
    [
        ("profiles", picture.lines.get("profiles").cloned().unwrap_or_default()),
        ("stages", stages.collect()),
        ("members", members.collect()),
        ("scores", scores.collect()),
    ]
    .into()
}

async fn home(shape: Shape) -> (Home, Vec<crate::house::Server>) {
    let house = House::new(shape, &SETTINGS);
    let servers = house.serve_all();
    let session = house.session();
    let file = house.folder.path().join("shop.yaml");
    std::fs::write(&file, format!("{FILES}{THANKS}")).unwrap();
    let files = Apply { files: vec![file], dry_run: false, live: true, enter_existing: false };
    let (_, broken) = apply(&session, &files, perennial_campaign::PLAYBOOKS).await.unwrap();
    assert!(broken.is_empty(), "{broken:?}");
    let key = house.ask(&["keys", "create", "shop", "-o", "json"])["key"].as_str().unwrap().to_owned();
    let clocks = Clocks::new(house.processes("perennial.clock.v1.ClockService"));
    (Home { house, session, clocks, key }, servers)
}

/// Lives the story with the mistake and without it, and takes the mistake back.
async fn live_and_part(shape: Shape) {
    let (wrong, _servers) = home(shape).await;
    let (right, _others) = home(Shape::One).await;
    let (mistaken, [before, meanwhile, after]) = (story(true), story(false));
    wrong.pass(&mistaken[0]).await;
    right.pass(&before).await;
    let mut visitors = Vec::new();
    for pair in 0..PAIRS {
        visitors.push(wrong.lookup(&format!("device-{pair}")).await.name);
    }
    wrong.pass(&mistaken[1]).await;
    right.pass(&meanwhile).await;

    // Customer and visitor were both known and are of one instant: either may have become the other.
    let mut lost = Vec::new();
    for (pair, visitor) in visitors.iter().enumerate() {
        let parent = wrong.lookup(&format!("ana-{pair}")).await.name;
        let request = ListMergesRequest { parent, ..Default::default() };
        let merges = wrong.session.identity().list_merges(request).await.unwrap().into_inner().merges;
        assert_eq!((merges.len(), merges[0].event_name.as_str()), (1, "Identify"));
        assert!([&merges[0].profile, &merges[0].survivor].contains(&visitor));
        lost.push(merges[0].profile.clone());
    }
    let returning = lost.iter().filter(|it| visitors.contains(it)).count();
    assert!((1..PAIRS).contains(&returning), "{returning} visitors come back");
    let mailed = mails(&wrong).await;
    for name in &lost {
        let preview = wrong.unmerge(name, true).await;
        let done = wrong.unmerge(name, false).await;
        assert!(preview.undo_time.is_none() && done.undo_time.is_some());
        assert_eq!((&preview.returned, &preview.survivor), (&done.returned, &done.survivor));
        let again = wrong.unmerge(name, false).await;
        let events = |it: &Unmerge| it.returned.as_ref().map(|it| (it.event_count, it.order_count));
        assert_eq!(events(&again), events(&done), "doing it again changes nothing");
    }
    wrong.clocks.quiet().await.unwrap();
    assert_eq!(mails(&wrong).await, mailed, "taking people apart sends nothing");
    assert_same(&wrong, &right, "when the two are two again").await;

    wrong.pass(&mistaken[2]).await;
    right.pass(&after).await;
    // What showed them to be one comes again, in another event: they stay two.
    let again = |is_wrong| {
        let mut events: Vec<Value> = (0..PAIRS).map(|pair| link(pair, is_wrong)).collect();
        events.iter_mut().enumerate().for_each(|(n, it)| it["messageId"] = format!("again-{n}").into());
        BTreeMap::from([(26, events)])
    };
    wrong.pass(&again(true)).await;
    right.pass(&again(false)).await;
    assert_same(&wrong, &right, "as life goes on").await;
    coupons_are_with_whom_they_were_for(&wrong).await;
}

async fn mails(home: &Home) -> usize {
    let request =
        ListMessagesRequest { parent: home.session.parent(), page_size: 1_000, ..Default::default() };
    home.session.notification().list_messages(request).await.unwrap().into_inner().messages.len()
}

async fn assert_same(one: &Home, other: &Home, when: &str) {
    for (who, it) in one.people().await {
        assert_eq!(it, other.people().await[&who], "{who} {when}");
    }
    let (one, other) = (Picture::of(&one.session).await.unwrap(), Picture::of(&other.session).await.unwrap());
    let (one, other) = (lines(&one), lines(&other));
    for (section, lines) in &one {
        let others = &other[section];
        let missing: Vec<_> = others.iter().filter(|it| !lines.contains(it)).take(8).collect();
        let surplus: Vec<_> = lines.iter().filter(|it| !others.contains(it)).take(8).collect();
        assert!(
            missing.is_empty() && surplus.is_empty(),
            "{section} {when}: {missing:#?} are missing, {surplus:#?} too many"
        );
    }
    let full = one.values().all(|it| it.len() > PAIRS / 4);
    assert!(full, "too little happens: {:?}", one.values().map(Vec::len).collect::<Vec<_>>());
}

/// A coupon that was issued to somebody before the mistake is theirs again.
async fn coupons_are_with_whom_they_were_for(home: &Home) {
    let picture = Picture::of(&home.session).await.unwrap();
    let coupons = picture.lines.get("coupons").cloned().unwrap_or_default();
    let early: Vec<&String> = coupons.iter().filter(|it| it.as_str() < at(10.0).as_str()).collect();
    let of = |who: &str| early.iter().filter(|it| it.contains(who)).count();
    assert!(of("ana-") > 3 && of("ben-") > 3, "{early:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_were_one_by_mistake_are_what_each_would_be_without_it() {
    live_and_part(Shape::One).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn likewise_in_six_processes_on_postgres() {
    let (Some(postgres), Some(redis)) = (given("PERENNIAL_TEST_POSTGRES"), given("PERENNIAL_TEST_REDIS"))
    else {
        return;
    };
    live_and_part(Shape::Six { postgres, redis: format!("{redis}/11") }).await;
}
