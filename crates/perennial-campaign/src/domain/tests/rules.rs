//! What holds whatever happens.

use proptest::prelude::*;

use super::*;
use crate::domain::duration::{DAY, HOUR};
use crate::domain::policy::Cap;

/// Six campaigns that all want everything, with every kind of step.
fn definitions(holdout: &str) -> Vec<String> {
    (0..6)
        .map(|n| {
            format!(
                r#"
kind: Campaign
name: c{n}
trigger: {{ event: Go {event} }}
instance: {instance}
reenter: always
goal: {{ event: Order Completed }}
holdout: {holdout}
priority: {priority}
steps:
  - wait_until: {{ event: Checkout Started, timeout: {first}m, then: [ {{ message: {{ template: a, expires: 2d }} }} ] }}
  - message: {{ template: b, expires: {expires}h }}
  - wait: {wait}h
  - split:
      arms:
        - {{ steps: [ {{ message: {{ template: c, when: orders == 0 }} }} ] }}
        - {{ steps: [ {{ wait: 3h }}, {{ message: d }} ] }}
  - message: {{ template: e, late: skip }}
"#,
                event = n % 3,
                instance = if n == 4 { "key" } else { "profile" },
                priority = n % 2,
                first = n * 7,
                expires = 6 + n * 20,
                wait = 1 + n * 9,
            )
        })
        .collect()
}

const ZONES: [&str; 8] = [
    "Europe/Madrid",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Asia/Kathmandu",
    "America/Santiago",
    "Africa/Casablanca",
    "Nowhere/Atall",
];

#[derive(Clone, Debug)]
enum Happening {
    Go(u8),
    Checkout,
    Order,
    Consent(bool),
    Zone(usize),
    Outage(i64),
    Merge(u8),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (0_u8..3).prop_map(Happening::Go),
        2 => Just(Happening::Checkout),
        1 => Just(Happening::Order),
        1 => any::<bool>().prop_map(Happening::Consent),
        1 => (0..ZONES.len()).prop_map(Happening::Zone),
        1 => (0_i64..20 * HOUR).prop_map(Happening::Outage),
        1 => (0_u8..4).prop_map(Happening::Merge),
    ]
}

fn run(start: Timestamp, holdout: &str, happenings: &[(i64, Happening)], check: impl Fn(&Sim, usize)) -> Sim {
    let texts = definitions(holdout);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut sim = Sim::new(&texts);
    sim.policy.caps = vec![Cap::parse("3 per 7d").unwrap(), Cap::parse("1 per calendar day").unwrap()];
    let mut time = start;
    for (n, (gap, it)) in happenings.iter().enumerate() {
        time += jiff::SignedDuration::from_micros(*gap);
        // Each send is looked at with the state it left behind.
        while sim.timer.is_some_and(|due| due <= micros(time)) {
            let sent = sim.sends.len();
            let due = from_micros(sim.timer.unwrap());
            sim.advance(due);
            check(&sim, sent);
        }
        match it {
            Happening::Go(kind) => {
                let it = [("key".to_owned(), (if n % 2 == 0 { "x" } else { "y" }).into())].into();
                sim.fact_at(time, FactKind::Tracked, &format!("Go {kind}"), it);
            }
            Happening::Checkout => {
                sim.fact_at(
                    time,
                    FactKind::CheckoutStarted { checkout_id: None },
                    "Checkout Started",
                    Properties::new(),
                );
            }
            Happening::Order => sim.order(&time.to_string(), &n.to_string(), 1_000),
            Happening::Consent(granted) => sim.consent(&time.to_string(), *granted),
            Happening::Zone(zone) => sim.state.zone = ZONES[*zone].to_owned(),
            Happening::Outage(length) => sim.behind = *length,
            Happening::Merge(other) => {
                let mut from = Sim::bare(&texts, 100 + u128::from(*other)).state;
                from.reachable = ["email".to_owned()].into();
                from.contacts = sim.state.contacts.first().cloned().into_iter().collect();
                for name in ["c0", "c3"] {
                    from.draw(name, 0.5, 0.0, micros(time) - DAY, "u");
                }
                sim.step(time, |step, state| step.merge(state, from));
            }
        }
    }
    while let Some(due) = sim.timer {
        let sent = sim.sends.len();
        sim.advance(from_micros(due));
        check(&sim, sent);
        assert!(due < micros(time) + 60 * DAY, "it ends: {:?}", sim.state.instances);
    }
    sim
}

fn starts() -> impl Strategy<Value = Timestamp> {
    // Around the transitions of the zones above, both ways, and an ordinary week.
    prop::sample::select(vec![
        "2026-03-07T00:00:00Z",
        "2026-03-28T00:00:00Z",
        "2026-04-03T12:00:00Z",
        "2026-10-02T12:00:00Z",
        "2026-10-24T00:00:00Z",
        "2026-10-31T00:00:00Z",
        "2026-02-14T00:00:00Z",
        "2026-06-10T00:00:00Z",
    ])
    .prop_map(at)
}

fn week() -> impl Strategy<Value = Vec<(i64, Happening)>> {
    prop::collection::vec(
        ((0_i64..14 * HOUR).prop_map(|it| it / 1_800_000_000 * 1_800_000_000), happening()),
        1..40,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn caps_quiet_hours_and_consent_hold_in_any_order_of_events(start in starts(), happenings in week()) {
        run(start, "0%", &happenings, |sim, before| {
            for send in &sim.sends[before..] {
                let decided = from_micros(send.decided);
                let (zone, _) = sim.policy.zone_of(&sim.state.zone);
                assert!(!sim.policy.quiet.is_quiet(decided, &zone), "{decided} in {}", sim.state.zone);
                let last = from_micros(send.not_after - 1);
                assert!(!sim.policy.quiet.is_quiet(last, &zone), "{last} in {}", sim.state.zone);
                assert!(sim.state.consents(Channel::Email, Purpose::Marketing));
                let week = sim.state.contacts.iter().filter(|it| it.at > send.decided - 7 * DAY && it.at <= send.decided);
                assert!(week.count() <= 3, "{:?}", sim.state.contacts);
                let day = |at: i64| zone.to_datetime(from_micros(at)).date();
                let today = sim.state.contacts.iter().filter(|it| day(it.at) == day(send.decided)).count();
                assert!(today <= 1, "{:?}", sim.state.contacts);
            }
        });
    }

    #[test]
    fn nobody_held_out_is_ever_sent_to(start in starts(), happenings in week()) {
        run(start, "50%", &happenings, |sim, before| {
            for send in &sim.sends[before..] {
                let draw = &sim.state.draws[&send.campaign];
                assert!(!draw.blocked && !draw.held_out, "{send:?}");
            }
        });
    }

    #[test]
    fn no_message_follows_the_goal_of_its_run(start in starts(), happenings in week()) {
        let sim = run(start, "0%", &happenings, |_, _| {});
        for (n, decision) in sim.decisions.iter().enumerate() {
            if matches!(decision.outcome, Outcome::GoalReached | Outcome::Left | Outcome::Finished) {
                let later = sim.decisions[n + 1..].iter().take_while(|it| {
                    !(it.campaign == decision.campaign && it.outcome == Outcome::Entered)
                });
                let again = later.filter(|it| {
                    it.campaign == decision.campaign && it.occurrence == decision.occurrence && it.outcome == Outcome::Sent
                });
                prop_assert_eq!(again.count(), 0);
            }
        }
    }

    #[test]
    fn the_same_events_give_the_same_messages(start in starts(), happenings in week()) {
        let (a, b) = (run(start, "30%", &happenings, |_, _| {}), run(start, "30%", &happenings, |_, _| {}));
        prop_assert_eq!(a.sends, b.sends);
        prop_assert_eq!(a.state, b.state);
    }
}
