//! What must hold for any bytes that anybody sends: shared by the fuzz targets and by the test that replays their corpora.

use perennial_types::{Currency, Scalar, Workspace};
use std::time::Duration;

use crate::domain::call::{CallKind, Label};
use crate::domain::event::Event;
use crate::domain::intake::{Envelope, Limits};
use crate::domain::normalise::{Arrival, identifies, normalise};
use crate::domain::person::Person;
use crate::domain::plan::Plan;
use crate::domain::settings::{Rates, Settings};
use crate::http::decode;

fn settings() -> Option<Settings> {
    let workspace = Workspace::parse("main").ok()?;
    Some(Settings {
        workspace,
        currency: Currency::EUR,
        default_margin_per_mille: 400,
        time_zone: "UTC".to_owned(),
        locale: String::new(),
        consent_rules: Vec::new(),
        rates: Rates::new(),
    })
}

/// A request's body, of a batch or, by its first bit, of one call: whatever it is, it is understood or refused, what is
/// understood holds no identifier in its facts, and what is refused says why and can be sent in again.
///
/// # Panics
/// If that does not hold.
pub fn bodies(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let limits = Limits::default();
    let Ok(text) = decode(bytes, limits.body_bytes) else { return };
    let (kind, retries) = if first & 1 == 0 { (None, 0) } else { (Some(CallKind::Track), 1) };
    let read = if kind.is_none() {
        Envelope::batch(&text, retries, &limits)
    } else {
        Envelope::single(&text, retries, &limits)
    };
    let Ok(envelope) = read else { return };
    let received = perennial_types::from_micros(1_772_366_400_000_000);
    let max_age = Duration::from_secs(3_600);
    let arrival = Arrival { received, historical: false, max_age, trusted: first & 2 != 0 };
    let Some(settings) = settings() else { return };
    let plan = Plan::parse(
        "mode: enforce\nevents:\n  A:\n    schema: { required: [a], properties: { a: { type: string } } }\n",
    );
    let mut person = Person::default();
    for item in &envelope.items {
        let understood = normalise(kind, item, &envelope.shared, arrival, &settings);
        drop(Label::of(kind, item));
        // As it is kept it means the same, without its request.
        let kept = envelope.kept(item, kind);
        let again = normalise(None, &kept, &Default::default(), arrival, &settings);
        match (&understood, &again) {
            (Ok(one), Ok(other)) => {
                let is_named = Label::of(kind, item).message_id.is_some();
                assert!(same(one, other, is_named), "{item}\n{kept}");
            }
            (Err(problem), _) => assert!(!problem.reason.is_empty() && !problem.remedy.is_empty(), "{item}"),
            (Ok(_), Err(problem)) => panic!("{item} is understood, but as it is kept not: {problem}\n{kept}"),
        }
        let Ok(event) = understood else { continue };
        if let Ok(plan) = &plan {
            drop(plan.judge(&event.name, event.call == "track", item));
        }
        for fact in person.apply(&event, "0123456789abcdef", &settings) {
            for (name, value) in &fact.properties {
                assert!(!identifies(name, value) || *value == Scalar::Bool(true), "{name} in {item}");
            }
            let encoded = perennial_rpc::facts::encode(&fact);
            let payload = prost::Message::encode_to_vec(&encoded);
            assert!(perennial_rpc::facts::decode(&payload).is_ok(), "{item}");
        }
    }
    let text = serde_json::to_string(&person).unwrap_or_default();
    assert!(serde_json::from_str::<Person>(&text).is_ok_and(|it| it == person), "{text}");
}

/// Two events that mean the same. What has no message id is another event each time, with an id of its own.
fn same(one: &Event, other: &Event, is_named: bool) -> bool {
    let plain = |it: &Event| Event {
        id: uuid::Uuid::nil(),
        key: [0; 16],
        body: String::new(),
        message_id: if is_named { it.message_id.clone() } else { String::new() },
        ..it.clone()
    };
    plain(one) == plain(other)
}

/// A definition of a tracking plan: it is read, or refused with its line.
///
/// # Panics
/// If that does not hold.
pub fn plans(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Plan::parse(text) {
        Ok(plan) => drop(plan.judge("Order Completed", true, r#"{"properties":{"a":[{"b":1},null,"x"]}}"#)),
        Err(fault) => assert!(fault.line >= 1 && !fault.problem.is_empty(), "{text}"),
    }
}
