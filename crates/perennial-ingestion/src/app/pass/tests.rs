use super::*;
use crate::domain::call::Shared;
use crate::domain::normalise::{Arrival, normalise};
use crate::domain::tests::settings;
use perennial_types::from_micros;
use proptest::prelude::*;
use std::time::Duration;

const ALL: [u16; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

fn event(at: i64, json: &str) -> Event {
    let received = from_micros(1_700_000_000_000_000 + at * 1_000);
    let arrival = Arrival { received, historical: false, max_age: Duration::from_secs(3_600), trusted: true };
    normalise(None, json, &Shared::default(), arrival, &settings()).unwrap()
}

fn pass(lane: &[u16]) -> Pass<'_> {
    Pass::new(lane, Arc::new(settings()), Vec::new(), HashSet::new())
}

/// Which identifiers are together, whatever the profiles are called; and how many events were taken.
fn taken(events: &[String]) -> (BTreeSet<BTreeSet<Identifier>>, i64, usize) {
    let mut pass = pass(&ALL);
    for (n, json) in events.iter().enumerate() {
        let taken = pass.take(n, &event(i64::try_from(n).unwrap(), json));
        assert!(matches!(taken, Taken::Accepted | Taken::Duplicate), "{json}: {taken:?}");
    }
    let (effects, changed) = pass.finish();
    let alive = changed.iter().filter(|it| it.merged_into.is_none()).map(|it| it.identifiers.clone());
    (alive.collect(), effects.counts[&Count::Accepted], effects.merges.len())
}

#[test]
fn a_lane_stops_where_another_partition_has_to_go_on() {
    let visitor = event(0, r#"{"type":"page","anonymousId":"a","messageId":"1"}"#);
    let key = identity::draw_key(&settings().workspace, &visitor.identifiers[0]);
    let own = partition(identity::profile_id(&key, visitor.received));
    let (here, there) = ([own], [(own + 1) % 16]);
    assert_eq!(pass(&there).take(0, &visitor), Taken::Elsewhere(own));
    let mut pass = pass(&here);
    assert_eq!(pass.take(0, &visitor), Taken::Accepted);
    assert_eq!(pass.take(1, &visitor), Taken::Duplicate);
    let (effects, changed) = pass.finish();
    assert_eq!((effects.records.len(), effects.hashes.len(), changed.len()), (2, 1, 1));
    assert_eq!(effects.records[0].kind, PROFILE);
}

#[test]
fn an_alias_of_an_id_to_itself_changes_nobody() {
    let mut pass = pass(&ALL);
    assert_eq!(pass.take(0, &event(0, r#"{"type":"alias","userId":"1","previousId":"1"}"#)), Taken::Accepted);
    let (effects, changed) = pass.finish();
    assert_eq!((effects.merges.len(), changed[0].identifiers.len()), (0, 1));
}

#[test]
fn another_customers_id_is_no_former_id() {
    let mut pass = pass(&ALL);
    for (n, user) in ["1", "2"].iter().enumerate() {
        let json = format!(r#"{{"type":"identify","userId":"{user}","traits":{{}}}}"#);
        assert_eq!(pass.take(n, &event(0, &json)), Taken::Accepted);
    }
    let Taken::Rejected(problem) =
        pass.take(2, &event(1, r#"{"type":"alias","userId":"1","previousId":"2"}"#))
    else {
        panic!("two customers became one");
    };
    assert_eq!(problem.field, "previousId");
    assert_eq!(pass.finish().0.merges.len(), 0);
}

proptest! {
    #[test]
    fn identify_alias_and_repetitions_in_any_order_give_one_graph(
        calls in prop::collection::vec((0..3_usize, 0..4_usize, 0..5_u8), 1..20),
        keys in prop::collection::vec(any::<u64>(), 40),
    ) {
        // Each customer has one id and at most four devices: no limit is in the way, so order must not matter.
        let calls: Vec<String> = calls
            .iter()
            .enumerate()
            .map(|(n, (person, thing, form))| {
                let (user, device) = (format!("user-{person}"), format!("device-{person}-{thing}"));
                match form {
                    0 => format!(r#"{{"type":"identify","messageId":"{n}","userId":"{user}","anonymousId":"{device}","traits":{{}}}}"#),
                    1 => format!(r#"{{"type":"alias","messageId":"{n}","userId":"{user}","previousId":"{device}"}}"#),
                    2 => format!(r#"{{"type":"track","messageId":"{n}","userId":"{user}","event":"X"}}"#),
                    3 => format!(r#"{{"type":"identify","messageId":"{n}","userId":"{user}","traits":{{"email":"{user}@example.com"}}}}"#),
                    _ => format!(r#"{{"type":"page","messageId":"{n}","anonymousId":"{device}"}}"#),
                }
            })
            .collect();
        let (graph, accepted, _) = taken(&calls);
        prop_assert_eq!(usize::try_from(accepted).unwrap(), calls.len());
        let mut shuffled: Vec<_> = calls.iter().chain(&calls).zip(&keys).collect();
        shuffled.sort_by_key(|(_, key)| **key);
        let shuffled: Vec<String> = shuffled.into_iter().map(|(json, _)| json.clone()).collect();
        let (other, again, _) = taken(&shuffled);
        prop_assert_eq!((graph, accepted), (other, again));
    }
}

/// All that is known of everybody alive, whatever the profiles are called.
type Known = BTreeSet<(BTreeSet<Identifier>, String)>;

/// What is known after events that come one by one, each at the place it has in the list.
fn known(events: &[String]) -> Known {
    let mut pass = pass(&ALL);
    for (n, json) in events.iter().enumerate() {
        let taken = pass.take(n, &event(i64::try_from(n).unwrap(), json));
        assert!(matches!(taken, Taken::Accepted | Taken::Duplicate), "{json}: {taken:?}");
    }
    let alive = pass.finish().1.into_iter().filter(|it| it.merged_into.is_none());
    let told = |it: Profile| {
        let (ids, person) = (&it.identifiers, &it.person);
        let said = format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {}",
            person.cart_lines(),
            person.traits(true),
            person.consents(&[]),
            person.email(ids),
            person.phone(ids),
            person.zone("UTC"),
            person.locale(""),
            person.region(),
            it.last_seen
        );
        (it.identifiers, said)
    };
    alive.map(told).collect()
}

/// A call of person `who` on one of its devices; `n` is its message id. Several are of one instant.
fn call(n: usize, who: usize, thing: usize, form: u8, at: u64) -> String {
    let (user, device) = (format!("user-{who}"), format!("device-{who}-{thing}"));
    let email = format!("{user}.{}@example.com", thing % 2);
    let time = format!("2023-11-14T12:{at:02}:00Z");
    let yes = at.is_multiple_of(2);
    let (zone, country) = if yes { ("Europe/Madrid", "ES") } else { ("Asia/Tokyo", "JP") };
    let body = match form {
        0 => format!(
            r#""type":"identify","userId":"{user}","anonymousId":"{device}","traits":{{"plan":{n},"timezone":"{zone}"}}"#
        ),
        1 => format!(r#""type":"alias","userId":"{user}","previousId":"{device}""#),
        2 => format!(
            r#""type":"track","userId":"{user}","event":"Consent Changed","properties":{{"channel":"email","granted":{yes},"proof":"{n}"}}"#
        ),
        3 => format!(
            r#""type":"identify","userId":"{user}","traits":{{"email":"{email}","country":"{country}","old":null}}"#
        ),
        4 => format!(
            r#""type":"identify","anonymousId":"{device}","traits":{{"old":{at},"consent":{{"sms":{{"confirmed":{yes},"granted":{yes}}}}}}}"#
        ),
        5 => format!(r#""type":"track","anonymousId":"{device}","event":"Email Unsubscribed""#),
        6 => format!(
            r#""type":"track","anonymousId":"{device}","event":"Product Added","properties":{{"product_id":"p{thing}","price":{n}}}"#
        ),
        7 => format!(
            r#""type":"track","userId":"{user}","event":"Product Removed","properties":{{"product_id":"p{thing}","quantity":1}}"#
        ),
        8 => format!(
            r#""type":"track","userId":"{user}","event":"Order Completed","properties":{{"order_id":"{who}-{thing}","revenue":7}}"#
        ),
        9 => format!(
            r#""type":"page","userId":"{user}","context":{{"consent":{{"categoryPreferences":{{"email":{yes}}}}}}}"#
        ),
        _ => format!(
            r#""type":"page","anonymousId":"{device}","context":{{"timezone":"{zone}","locale":"es-{country}"}}"#
        ),
    };
    format!(r#"{{"messageId":"{n}","timestamp":"{time}",{body}}}"#)
}

proptest! {
    #[test]
    fn any_order_of_identify_alias_merge_late_and_repeated_events_comes_to_what_the_sorted_ones_do(
        calls in prop::collection::vec((0..3_usize, 0..3_usize, 0..11_u8, 0..12_u64), 1..24),
        keys in prop::collection::vec(any::<u64>(), 48),
    ) {
        let mut calls: Vec<String> = calls
            .iter()
            .enumerate()
            .map(|(n, (who, thing, form, at))| call(n, *who, *thing, *form, *at))
            .collect();
        let mut shuffled: Vec<_> = calls.iter().chain(&calls).cloned().zip(&keys).collect();
        shuffled.sort_by_key(|(_, key)| **key);
        let shuffled: Vec<String> = shuffled.into_iter().map(|(json, _)| json).collect();
        let time = |json: &String| json.split("timestamp").nth(1).map(str::to_owned);
        calls.sort_by_key(time);
        prop_assert_eq!(known(&shuffled), known(&calls));
    }
}
