//! Whole events through the domain: from JSON to facts.

use jiff::Timestamp;
use perennial_types::{
    Channel, Currency, Fact, FactKind, IdentifierKind, Money, OrderChange, OrderPlaced, Purpose, Scalar,
    Workspace,
};
use proptest::prelude::*;
use std::time::Duration;

use super::agreement::{Basis, Rule};
use super::call::Shared;
use super::catalogue::costs::{Costed, Costs, sorted};
use super::event::{Event, Meaning};
use super::intake::{BodyFault, Envelope, Limits};
use super::normalise::{Arrival, normalise};
use super::orders::fill;
use super::person::{Origin, Person};
use super::problem::Problem;
use super::settings::{Rates, Settings};

const RECEIVED: &str = "2026-03-01T12:00:00Z";

/// Settings of a workspace that decided nothing.
pub fn settings() -> Settings {
    Settings {
        workspace: Workspace::parse("main").unwrap(),
        currency: Currency::EUR,
        default_margin_per_mille: 400,
        time_zone: "UTC".to_owned(),
        locale: String::new(),
        consent_rules: Vec::new(),
        rates: Rates::new(),
    }
}

fn arrival() -> Arrival {
    let received: Timestamp = RECEIVED.parse().unwrap();
    Arrival { received, historical: false, max_age: Duration::from_secs(3_600), trusted: false }
}

fn read(json: &str) -> Result<Event, Problem> {
    normalise(None, json, &Shared::default(), arrival(), &settings())
}

fn track(event: &str, properties: &str) -> Event {
    read(&format!(r#"{{"type":"track","userId":"1","event":"{event}","properties":{properties}}}"#)).unwrap()
}

fn facts(person: &mut Person, event: &str, properties: &str) -> Vec<Fact> {
    person.apply(&track(event, properties), "0123456789", &settings())
}

fn placed(properties: &str) -> OrderPlaced {
    match facts(&mut Person::default(), "Order Completed", properties).remove(0).kind {
        FactKind::Order(OrderChange::Placed(order)) => order,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_order_is_read_with_its_revenue_profit_and_known_cost() {
    let order = placed(
        r#"{"order_id":"7","revenue":"80.00","discount":20,"currency":"EUR","coupon":"TEN","products":[
            {"product_id":"a","price":30,"quantity":2,"cost":10.5,"category":"x"},
            {"sku":"b","price":"40.00"}]}"#,
    );
    // 60 of 100 of the goods' price have a known cost, so 48.00 of the revenue: 48 − 21 + 40 % of 32.
    assert_eq!((order.revenue, order.profit, order.cost_known_per_mille), (8_000, 2_700 + 1_280, 600));
    assert_eq!((order.discount, order.coupon.as_deref(), order.lines.len()), (2_000, Some("TEN"), 2));
    assert_eq!((order.lines[1].product_id.as_str(), order.lines[1].quantity), ("b", 1));

    let order = placed(r#"{"order_id":7,"total":119,"tax":19,"cost_total":60}"#);
    assert_eq!((order.order_id.as_str(), order.revenue, order.profit), ("7", 10_000, 4_000));
    let order = placed(r#"{"order_id":"7","products":[{"product_id":"a","price":10,"quantity":3}]}"#);
    assert_eq!((order.revenue, order.profit, order.cost_known_per_mille), (3_000, 1_200, 0));
}

#[test]
fn costs_without_prices_tell_the_profit_only_if_all_are_known() {
    let cost = r#"{"product_id":"a","quantity":2,"cost":10}"#;
    let order = placed(&format!(r#"{{"order_id":"7","revenue":50,"products":[{cost}]}}"#));
    assert_eq!((order.profit, order.cost_known_per_mille), (3_000, 1_000));
    let order =
        placed(&format!(r#"{{"order_id":"7","revenue":50,"products":[{cost},{{"product_id":"b"}}]}}"#));
    assert_eq!((order.profit, order.cost_known_per_mille), (2_000, 0), "the default margin");
}

#[test]
fn the_catalogue_tells_what_the_order_does_not() {
    let read = |properties: &str| match track("Order Completed", properties).meaning {
        Meaning::Order(OrderChange::Placed(order), uncosted) => (order, uncosted),
        other => panic!("{other:?}"),
    };
    let costed = |id: &str, minor: i64, currency: &str| Costed {
        id: id.to_owned(),
        sku: String::new(),
        group: String::new(),
        variant: String::new(),
        cost: Money { minor, currency: Currency::parse(currency).unwrap() },
    };
    let products = vec![costed("a", 999, "EUR"), costed("b", 500, "EUR"), costed("c", 300, "USD")];
    let costs: Costs =
        sorted(["a", "b", "c", "d"], products).into_iter().map(|(it, known)| (it, known.into())).collect();
    let (mut order, uncosted) = read(
        r#"{"order_id":"7","products":[{"product_id":"a","price":10,"cost":4},{"product_id":"b","price":10,"quantity":2},
            {"product_id":"c","price":5},{"product_id":"d","price":5}]}"#,
    );
    fill(&mut order, &uncosted, &costs, RECEIVED.parse().unwrap(), &settings());
    let lines: Vec<Option<i64>> = order.lines.iter().map(|it| it.cost).collect();
    // What the event says stands, and what has no rate to the euro is not known.
    assert_eq!(lines, [Some(400), Some(500), None, None]);
    assert_eq!((order.profit, order.cost_known_per_mille), (3_000 - 1_400 + 400, 750));

    let (order, uncosted) =
        read(r#"{"order_id":"7","revenue":10,"cost_total":3,"products":[{"product_id":"b"}]}"#);
    assert!(uncosted.is_empty(), "the event knows better");
    assert_eq!((order.profit, order.cost_known_per_mille), (700, 1_000));
}

#[test]
fn bad_events_are_refused_with_field_reason_and_remedy() {
    for (json, field, reason) in [
        (r#"{"userId":"1"}"#, "type", "missing"),
        (r#"{"type":"purchase","userId":"1"}"#, "type", "not a kind"),
        (r#"{"type":"track","userId":"1"}"#, "event", "missing"),
        (r#"{"type":"track","event":"X"}"#, "anonymousId", "recognises"),
        (r#"{"type":"track","event":"X","userId":"null","anonymousId":0}"#, "userId", "recognises"),
        (r#"{"type":"track","event":"X","userId":{"a":1}}"#, "userId", "object"),
        (r#"{"type":"track","event":"X","userId":"1","properties":[1]}"#, "properties", "not an object"),
        (r#"{"type":"track","event":"X","userId":"1","timestamp":"soon"}"#, "timestamp", "not an instant"),
        (r#"{"type":"track","event":"X","userId":"1","context":"here"}"#, "context", "not an object"),
        (r#"[1]"#, "event", "not an object"),
        (r#"{"type":"track","event":"Order Completed","userId":"1"}"#, "properties.order_id", "missing"),
        (
            r#"{"type":"track","event":"Order Completed","userId":"1","properties":{"order_id":"1"}}"#,
            "properties.revenue",
            "worth",
        ),
        (
            r#"{"type":"track","event":"Order Completed","userId":"1","properties":{"order_id":"1","revenue":"a lot"}}"#,
            "properties.revenue",
            "not an amount",
        ),
        (
            r#"{"type":"track","event":"Order Completed","userId":"1","properties":{"order_id":"1","revenue":1,"currency":"USD"}}"#,
            "properties.currency",
            "no rate from USD to EUR",
        ),
        (
            r#"{"type":"track","event":"Cart Viewed","userId":"1","properties":{"products":[{"price":1}]}}"#,
            "properties.products.0.product_id",
            "missing",
        ),
        (r#"{"type":"alias","userId":"1"}"#, "previousId", "missing"),
    ] {
        let problem = read(json).unwrap_err();
        assert_eq!(problem.field, field, "{json}");
        assert!(problem.reason.contains(reason), "{json}: {problem}");
        assert!(!problem.remedy.is_empty());
    }
}

#[test]
fn no_identifier_of_anybody_is_in_a_fact() {
    let event = read(
        r#"{"type":"identify","userId":"1","traits":{"email":"Ana@Example.com","phone":"+49 30 1234567",
            "backup":"x@y.de","plan":"pro","company":{"email":"o@p.de","size":3}}}"#,
    )
    .unwrap();
    let kinds: Vec<_> = event.identifiers.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [IdentifierKind::UserId, IdentifierKind::Email, IdentifierKind::Phone]);
    let mut person = Person::default();
    let facts = person.apply(&event, "0123456789", &settings());
    let FactKind::Traits { set, .. } = &facts[0].kind else { panic!() };
    assert_eq!(set["email"], Scalar::Bool(true));
    let text = format!("{facts:?}");
    assert!(!text.contains('@') && !text.contains("1234567"), "{text}");
    assert!(text.contains("pro") && text.contains("company.size"));
    assert_eq!(person.traits(true)["email"], Scalar::from("Ana@Example.com"));
    assert!(!person.traits(false).contains_key("email"));
}

#[test]
fn single_cart_events_add_up_to_the_cart_and_an_order_empties_it() {
    let mut person = Person::default();
    let mut minute = 0;
    let mut facts = |person: &mut Person, event: &str, properties: &str| {
        minute += 1;
        let time = format!("2026-03-01T11:{minute:02}:00Z");
        let event = format!(
            r#"{{"type":"track","userId":"1","event":"{event}","timestamp":"{time}","properties":{properties}}}"#
        );
        person.apply(&read(&event).unwrap(), "0123456789", &settings())
    };
    facts(&mut person, "Product Added", r#"{"product_id":"a","price":10,"quantity":2}"#);
    let both = facts(&mut person, "Added Product", r#"{"product_id":"b","price":"5.50"}"#);
    assert_eq!(both[0].name, "Product Added");
    let FactKind::CartChanged { cart_id, lines } = &both[0].kind else { panic!() };
    assert_eq!((cart_id.as_str(), lines.len(), lines[1].price), ("01234567-1", 2, 550));
    let done = facts(&mut person, "Order Completed", r#"{"order_id":"7","revenue":25.5}"#);
    assert_eq!(done.len(), 2);
    assert_ne!(done[0].id, done[1].id);
    assert!(matches!(&done[1].kind, FactKind::CartChanged { lines, .. } if lines.is_empty()));
    // The server reports the same order when the next cart has begun already.
    facts(&mut person, "Product Added", r#"{"product_id":"c","price":1}"#);
    assert_eq!(facts(&mut person, "Order Completed", r#"{"order_id":"7","revenue":25.5}"#).len(), 1);
    let shown =
        facts(&mut person, "Cart Viewed", r#"{"products":[{"product_id":"c","price":1,"quantity":4}]}"#);
    assert!(matches!(&shown[0].kind, FactKind::CartChanged { lines, .. } if lines[0].quantity == 4));
}

#[test]
fn a_stale_page_does_not_undo_an_unsubscribe() {
    let page =
        r#"{"type":"page","anonymousId":"a","context":{"consent":{"categoryPreferences":{"email":true}}}}"#;
    let mut person = Person::default();
    let granted = |facts: &[Fact]| {
        facts.iter().find_map(|it| match &it.kind {
            FactKind::Consent(change) => Some((change.channel, change.granted)),
            _ => None,
        })
    };
    assert_eq!(granted(&person.apply(&read(page).unwrap(), "k", &settings())), Some((Channel::Email, true)));
    let left = facts(&mut person, "Email Unsubscribed", "{}");
    assert_eq!(granted(&left), Some((Channel::Email, false)));
    assert_eq!(granted(&person.apply(&read(page).unwrap(), "k", &settings())), None);
    let back = r#"{"type":"identify","userId":"1","traits":{"email_consent":true},"timestamp":"2026-03-01T12:00:01Z"}"#;
    let back = read(back).unwrap();
    assert_eq!(granted(&person.apply(&back, "k", &settings())), Some((Channel::Email, true)));
}

#[test]
fn others_hear_what_two_agreed_to_who_turn_out_to_be_one() {
    let say = |person: &mut Person, minute: u8, granted: bool| {
        let json = format!(
            r#"{{"type":"identify","userId":"1","timestamp":"2026-03-01T11:{minute:02}:00Z","traits":{{"email_consent":{granted}}}}}"#
        );
        person.apply(&read(&json).unwrap(), "k", &settings())
    };
    let news = |facts: &[Fact]| -> Vec<(bool, Timestamp)> {
        let told = |it: &Fact| match &it.kind {
            FactKind::Consent(change) => Some((change.granted, it.at)),
            _ => None,
        };
        facts.iter().filter_map(told).collect()
    };
    let (mut one, mut other) = (Person::default(), Person::default());
    assert_eq!(news(&say(&mut one, 10, true)).len(), 1);
    assert!(news(&say(&mut one, 30, true)).is_empty(), "that is no news");
    assert_eq!(news(&say(&mut other, 20, false)).len(), 1);
    // Others know of a yes before the no; what counts came after it.
    one.merge(other, "k");
    let page = read(r#"{"type":"page","userId":"1","timestamp":"2026-03-01T11:05:00Z"}"#).unwrap();
    let told = news(&one.apply(&page, "k", &settings()));
    assert_eq!(told, [(true, "2026-03-01T11:30:00Z".parse().unwrap())]);
    assert!(news(&one.apply(&page, "k", &settings())).is_empty(), "once");
}

#[test]
fn consent_is_what_it_takes_where_the_person_lives() {
    let rule = |region: &str, basis| Rule {
        region: region.to_owned(),
        channel: Channel::Email,
        purpose: Purpose::Marketing,
        basis,
    };
    let consent_rules = vec![rule("DE", Basis::DoubleOptIn), rule("US", Basis::Presumed)];
    let settings = Settings { consent_rules, locale: "en".to_owned(), ..settings() };
    let mut person = Person::default();
    let mut say = |json: &str| {
        let told = person.apply(&read(json).unwrap(), "k", &settings);
        let news = told.iter().filter(|it| it.name.starts_with("Consent"));
        let word = |it: &Fact| match &it.kind {
            FactKind::Consent(change) => format!("{} by {}", change.granted, change.source),
            _ => it.name.clone(),
        };
        (news.map(word).collect::<Vec<_>>(), person.region(), person.locale(&settings.locale).1)
    };
    let us = |origin| ("US".to_owned(), origin);
    let (news, region, locale) = say(r#"{"type":"page","userId":"1","context":{"locale":"en-US"}}"#);
    assert_eq!((news.len(), region, locale), (0, us(Origin::Locale), Origin::Context));
    let (news, ..) = say(r#"{"type":"identify","userId":"1","traits":{"email":"a@b.de"}}"#);
    assert_eq!(news, ["true by default:US"], "by now an address is known");
    let (news, region, _) =
        say(r#"{"type":"page","userId":"1","context":{"location":{"country":"de"},"locale":"en-US"}}"#);
    assert_eq!((news, region.1), (vec!["false by default:DE".to_owned()], Origin::Context));
    let (news, ..) = say(r#"{"type":"identify","userId":"1","traits":{"consent":{"email":{"granted":true,
        "source":"checkout","wording":"News?","proof":"https://shop.example/checkout"}}}}"#);
    assert_eq!(news, ["Consent Requested"]);
    let (news, region, locale) =
        say(r#"{"type":"identify","userId":"1","traits":{"address":{"country":"US"},"language":"de"}}"#);
    assert_eq!((region, locale), (us(Origin::Profile), Origin::Profile));
    assert_eq!(news, ["true by default:US"], "there nothing has to be confirmed");
    let (news, ..) = say(r#"{"type":"identify","userId":"1","traits":{"address":{"country":"DE"}}}"#);
    assert_eq!(news, ["false by default:DE"]);
    let confirmed = r#"{"type":"track","userId":"1","event":"Consent Confirmed","timestamp":"2026-03-01T12:00:02Z",
        "properties":{"channel":"email","source":"mail","proof":"token 7"}}"#;
    assert_eq!(say(confirmed).0, ["true by mail"]);
    let consents = person.consents(&settings.consent_rules);
    let by = consents[0].2.by.as_ref().unwrap();
    assert_eq!((by.source.as_str(), by.proof.as_deref()), ("mail", Some("token 7")));
}

#[test]
fn a_zone_that_does_not_exist_costs_only_itself() {
    let event =
        read(r#"{"type":"page","anonymousId":"a","context":{"timezone":"Mars/Olympus","locale":"de_DE"}}"#)
            .unwrap();
    assert_eq!(event.warnings[0].field, "context.timezone");
    let mut person = Person::default();
    person.apply(&event, "k", &settings());
    assert_eq!(person.zone("Europe/Berlin").0, "Europe/Berlin");
    assert_eq!(person.locale("").0, "de-DE");
    let there = read(r#"{"type":"page","anonymousId":"a","context":{"timezone":"asia/tokyo"}}"#).unwrap();
    person.apply(&there, "k", &settings());
    assert_eq!(person.zone("Europe/Berlin").0, "Asia/Tokyo");
}

#[test]
fn what_a_message_led_to_is_a_fact_about_that_message() {
    let decision = "0198f3a2-7c1e-7abc-8def-001122334455";
    let properties = format!(r#"{{"decision_id":"{decision}","campaign":"welcome","step":"1"}}"#);
    let made = facts(&mut Person::default(), "Email Link Clicked", &properties);
    assert!(matches!(&made[0].kind, FactKind::Message(it) if it.campaign == "welcome"));
    let made = facts(&mut Person::default(), "Email Clicked", "{}");
    assert_eq!(made[0].kind, FactKind::Tracked);
}

#[test]
fn what_comes_late_is_history() {
    let at = |timestamp: &str| {
        let json = format!(r#"{{"type":"page","anonymousId":"a","timestamp":"{timestamp}"}}"#);
        read(&json).unwrap().historical
    };
    assert!(!at("2026-03-01T11:00:00Z"));
    assert!(at("2026-03-01T10:59:59Z"));
}

#[test]
fn a_batch_shares_its_context_and_time_with_its_items() {
    let body = r#"{"batch":[{"type":"track","event":"A","anonymousId":null,"userId":"1","context":{"locale":"fr"}},
        {"type":"track","event":"B","userId":"1","originalTimestamp":"2026-03-01T11:59:00Z"}],
        "context":{"locale":"de","timezone":"Europe/Paris"},"integrations":{"All":true},
        "sentAt":null,"timestamp":"2026-03-01T11:58:00Z"}"#;
    let limits = Limits::default();
    let envelope = Envelope::batch(body, 0, &limits).unwrap();
    let events: Vec<Event> = envelope
        .items
        .iter()
        .map(|it| normalise(None, it, &envelope.shared, arrival(), &settings()).unwrap())
        .collect();
    assert_eq!(events[0].about.device_locale.as_deref(), Some("fr"));
    assert_eq!(events[0].about.device_zone.as_deref(), Some("Europe/Paris"));
    assert_eq!(events[0].at.to_string(), "2026-03-01T11:58:00Z");
    assert_eq!(events[1].at.to_string(), "2026-03-01T11:59:00Z");
    let logged: serde_json::Value = serde_json::from_str(&envelope.logged(envelope.items[0])).unwrap();
    assert_eq!(logged["context"]["locale"], "fr");
    assert_eq!(logged["context"]["timezone"], "Europe/Paris");

    assert!(matches!(Envelope::batch("{", 0, &limits), Err(BodyFault::Json(_))));
    assert_eq!(Envelope::batch("{}", 0, &limits).unwrap_err(), BodyFault::NotABatch);
    let few = Limits { events: 1, event_bytes: 10, ..limits };
    assert_eq!(Envelope::batch(body, 0, &few).unwrap_err(), BodyFault::TooMany { found: 2, most: 1 });
    assert!(matches!(Envelope::single(r#"{"type":"page"}"#, 0, &few), Err(BodyFault::TooLarge { .. })));
}

proptest! {
    #[test]
    fn anything_is_read_or_refused_with_a_remedy(text in ".{0,200}", field in "[a-zA-Z]{1,12}", value in ".{0,20}") {
        let quoted = serde_json::Value::String(value).to_string();
        let limits = Limits::default();
        for json in [
            text.clone(),
            format!(r#"{{"type":"track","userId":"1","event":"Order Completed","properties":{{"order_id":"1","revenue":{quoted},"{field}":{quoted}}}}}"#),
            format!(r#"{{"type":"identify","{field}":{quoted},"anonymousId":{quoted},"traits":{{"email":{quoted},"email_consent":{quoted}}}}}"#),
        ] {
            if let Err(problem) = read(&json) {
                prop_assert!(!problem.remedy.is_empty());
            }
            drop(Envelope::batch(&json, 0, &limits));
        }
    }
}
