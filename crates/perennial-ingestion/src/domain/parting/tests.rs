use super::*;
use crate::domain::call::Shared;
use crate::domain::normalise::{Arrival, normalise};
use crate::domain::tests::settings;
use perennial_types::{IdentifierKind, from_micros};
use std::time::Duration;

const ANA: ProfileId = ProfileId(Uuid::from_u128(1));
const BEN: ProfileId = ProfileId(Uuid::from_u128(2));
const CARL: ProfileId = ProfileId(Uuid::from_u128(3));
const NOON: i64 = 1_700_000_000_000_000;

fn user(value: &str) -> Identifier {
    Identifier { kind: IdentifierKind::UserId, value: value.to_owned() }
}

fn device(value: &str) -> Identifier {
    Identifier { kind: IdentifierKind::AnonymousId, value: value.to_owned() }
}

fn member(identifiers: &[Identifier], merged_into: Option<ProfileId>) -> Member {
    Member {
        identifiers: identifiers.iter().cloned().collect(),
        draw_key: "0123456789".to_owned(),
        merged_into,
    }
}

fn logged(n: i64, leaf: ProfileId, json: &str) -> Logged {
    let received = from_micros(NOON + n * 1_000_000);
    let arrival = Arrival { received, historical: false, max_age: Duration::from_secs(3_600), trusted: true };
    let event = normalise(None, json, &Shared::default(), arrival, &settings()).unwrap();
    Logged { id: event.id, leaf, received, event: Some(event), facts: Vec::new() }
}

fn joined(from: ProfileId, into: ProfileId, by: &Logged) -> Joined {
    Joined { from, into, event: by.id, at: by.received }
}

/// Ben, a visitor, was taken for Ana; Carl, another device, joined them later through Ben's address.
fn family() -> Family {
    let events = vec![
        logged(0, ANA, r#"{"messageId":"0","type":"identify","userId":"ana","traits":{"plan":"club"}}"#),
        logged(
            1,
            BEN,
            r#"{"messageId":"1","type":"identify","anonymousId":"ben","traits":{"email":"ben@example.com"}}"#,
        ),
        logged(2, CARL, r#"{"messageId":"2","type":"page","anonymousId":"carl"}"#),
        logged(
            3,
            ANA,
            r#"{"messageId":"3","type":"identify","userId":"ana","anonymousId":"ben","traits":{"size":"m"}}"#,
        ),
        logged(4, ANA, r#"{"messageId":"4","type":"track","anonymousId":"ben","event":"Seen"}"#),
        logged(5, ANA, r#"{"messageId":"5","type":"track","userId":"ana","event":"Seen"}"#),
        logged(
            6,
            ANA,
            r#"{"messageId":"6","type":"identify","anonymousId":"carl","traits":{"email":"ben@example.com","plan":"none"}}"#,
        ),
        logged(7, ANA, r#"{"messageId":"7","type":"page","anonymousId":"new"}"#),
        logged(8, ANA, r#"{"messageId":"8","type":"track","anonymousId":"carl","event":"Seen"}"#),
    ];
    let email = Identifier { kind: IdentifierKind::Email, value: "ben@example.com".to_owned() };
    let all = [user("ana"), device("ben"), device("carl"), device("new"), email.clone()];
    Family {
        merge: joined(BEN, ANA, &events[3]),
        root: ANA,
        members: BTreeMap::from([
            (ANA, member(&all, None)),
            (BEN, member(&[device("ben"), email], Some(ANA))),
            (CARL, member(&[device("carl")], Some(ANA))),
        ]),
        merges: vec![joined(CARL, ANA, &events[6])],
        events,
    }
}

#[test]
fn everything_goes_to_the_side_its_strongest_identifier_belongs_to() {
    let split = family().split();
    let back: Vec<usize> = (0..9).filter(|n| split.events[*n] == Side::Back).collect();
    assert_eq!(back, [1, 2, 4, 6, 8], "what nothing decides stays");
    assert_eq!(split.members, BTreeMap::from([(ANA, Side::Stays), (BEN, Side::Back), (CARL, Side::Back)]));
    let back: Vec<String> = split.identifiers.iter().map(|it| it.value.clone()).collect();
    assert_eq!(back, ["ben@example.com", "ben", "carl"]);
}

#[test]
fn what_an_alias_names_first_goes_with_whom_it_names() {
    let mut family = family();
    family.events.push(logged(
        9,
        ANA,
        r#"{"messageId":"9","type":"alias","anonymousId":"ben","previousId":"bens-tablet"}"#,
    ));
    let tablet = device("bens-tablet");
    family.members.get_mut(&ANA).unwrap().identifiers.insert(tablet.clone());
    assert!(family.split().identifiers.contains(&tablet));
}

#[test]
fn what_was_first_seen_while_they_were_one_is_not_the_survivors_because_that_became_somebody_else_since() {
    let events = vec![
        logged(0, ANA, r#"{"messageId":"0","type":"page","anonymousId":"ana"}"#),
        logged(1, BEN, r#"{"messageId":"1","type":"page","anonymousId":"ben"}"#),
        logged(2, CARL, r#"{"messageId":"2","type":"page","anonymousId":"carl"}"#),
        logged(3, ANA, r#"{"messageId":"3","type":"identify","userId":"ben","anonymousId":"ben"}"#),
        logged(4, CARL, r#"{"messageId":"4","type":"page","anonymousId":"ana"}"#),
    ];
    let one = [device("ana"), device("ben"), user("ben")];
    let all = [device("ana"), device("ben"), device("carl"), user("ben")];
    let family = Family {
        merge: Joined { event: Uuid::nil(), ..joined(BEN, ANA, &events[2]) },
        root: CARL,
        members: BTreeMap::from([
            (ANA, member(&one, Some(CARL))),
            (BEN, member(&[device("ben")], Some(ANA))),
            (CARL, member(&all, None)),
        ]),
        merges: vec![joined(ANA, CARL, &events[4])],
        events,
    };
    let back: Vec<Identifier> = family.split().identifiers.into_iter().collect();
    assert_eq!(back, [user("ben"), device("ben")]);
}

#[test]
fn each_is_known_by_what_is_their_own() {
    let family = family();
    let split = family.split();
    let names = |side| -> Vec<String> {
        family
            .relive(&split, side, &settings())
            .0
            .traits(true)
            .into_iter()
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect()
    };
    assert_eq!(names(Side::Stays), ["plan=Text(\"club\")", "size=Text(\"m\")"]);
    assert_eq!(names(Side::Back), ["email=Text(\"ben@example.com\")", "plan=Text(\"none\")"]);
}

#[test]
fn an_order_keeps_what_it_was_worth_on_its_day_and_a_cart_is_the_own_again() {
    let added = |n: i64, id: &str, product: &str| {
        let json = format!(
            r#"{{"messageId":"{n}","type":"track",{id},"event":"Product Added","properties":{{"product_id":"{product}","price":1}}}}"#
        );
        logged(n, ANA, &json)
    };
    let mut events = vec![
        logged(0, ANA, r#"{"messageId":"0","type":"identify","userId":"ana"}"#),
        logged(1, BEN, r#"{"messageId":"1","type":"page","anonymousId":"ben"}"#),
        logged(2, ANA, r#"{"messageId":"2","type":"identify","userId":"ana","anonymousId":"ben"}"#),
        added(3, r#""anonymousId":"ben""#, "of-ben"),
        added(4, r#""userId":"ana""#, "of-ana"),
        logged(
            5,
            ANA,
            r#"{"messageId":"5","type":"track","userId":"ana","event":"Order Completed","properties":{"order_id":"1","revenue":9}}"#,
        ),
    ];
    let mut person = Person::default();
    for it in &mut events {
        it.facts = person.apply(it.event.as_ref().unwrap(), "0123456789", &settings());
    }
    let FactKind::Order(perennial_types::OrderChange::Placed(order)) = &mut events[5].facts[0].kind else {
        panic!()
    };
    order.order_id = "as it was booked".to_owned();
    let family = Family {
        merge: joined(BEN, ANA, &events[2]),
        root: ANA,
        members: BTreeMap::from([
            (ANA, member(&[user("ana"), device("ben")], None)),
            (BEN, member(&[device("ben")], Some(ANA))),
        ]),
        merges: vec![],
        events,
    };
    let (_, retold) = family.relive(&family.split(), Side::Stays, &settings());
    let told = |n: usize| &retold.iter().find(|it| it.0 == n).unwrap().1[0].kind;
    let FactKind::CartChanged { lines, .. } = told(4) else { panic!("{:?}", told(4)) };
    assert_eq!(lines.iter().map(|it| it.product_id.as_str()).collect::<Vec<_>>(), ["of-ana"]);
    let FactKind::Order(change) = told(5) else { panic!("{:?}", told(5)) };
    assert_eq!(change.order_id(), "as it was booked");
}
