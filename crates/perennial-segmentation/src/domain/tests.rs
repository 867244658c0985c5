//! Folding record by record with timers must equal looking at the whole history at any instant.

use perennial_types::{
    Channel, ConsentChange, Currency, Fact, FactKind, OrderChange, OrderPlaced, OrderRefunded, Properties,
    Purpose, Scalar, Timestamp, from_micros, micros,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

use super::*;

const DAY: i64 = 86_400_000_000;
const START: i64 = 20_000 * DAY;

fn vocabulary(segments: &[&str]) -> Vocabulary {
    Vocabulary {
        events: KnownEvents::with_seen([]),
        any_event: false,
        currency: Currency::EUR,
        segments: segments.iter().map(|it| (*it).to_owned()).collect(),
        stages: DEFAULT_STAGES.map(|it| it.0.to_owned()).to_vec(),
    }
}

/// Rules named `s0`, `s1`, … in force together.
fn rules(texts: &[&str]) -> Rules {
    let names: Vec<String> = (0..texts.len()).map(|n| format!("s{n}")).collect();
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    let segments = texts.iter().zip(1..).map(|(text, number)| Segment {
        number,
        name: names[number as usize - 1].clone(),
        expr: check(text, &vocabulary(&known)).unwrap_or_else(|fault| panic!("{fault}")),
        version: 1,
        revision: 1,
    });
    Rules::new(Currency::EUR, default_stages(Currency::EUR).unwrap(), segments.collect(), 1).unwrap()
}

fn fact(id: u128, name: &str, at: i64, kind: FactKind, properties: &[(&str, Scalar)]) -> Fact {
    Fact {
        id: Uuid::from_u128(id),
        name: name.to_owned(),
        at: from_micros(at),
        properties: properties
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect::<Properties>(),
        kind,
    }
}

fn placed(id: &str, revenue: i64) -> FactKind {
    FactKind::Order(OrderChange::Placed(OrderPlaced {
        order_id: id.to_owned(),
        currency: Currency::EUR,
        revenue,
        discount: 100,
        profit: revenue * 2 / 5,
        cost_known_per_mille: 1_000,
        coupon: None,
        lines: vec![],
    }))
}

/// Fires every timer due before `until`, as the feed does.
fn run_timers(rules: &Rules, state: &mut State, until: i64) -> Vec<Change> {
    let mut changes = Vec::new();
    while let Some(due) = state.due().filter(|it| *it <= until) {
        changes.extend(fire(rules, state, from_micros(due)));
        assert!(state.due().is_none_or(|it| it > due), "a timer sets itself again");
    }
    changes
}

fn entered(changes: &[Change]) -> Vec<(u32, bool, Timestamp, Cause)> {
    let segment = |it: &Change| match it {
        Change::Segment { number, entered, since, cause } => Some((*number, *entered, *since, cause.clone())),
        Change::Stage { .. } => None,
    };
    changes.iter().filter_map(segment).collect()
}

#[test]
fn a_window_is_left_at_the_exact_instant() {
    let rules = rules(&[r#"count("Product Viewed", "7d", it.category == "shoes") >= 2"#]);
    let mut state = State::default();
    let view = |id, at, category: &str| {
        fact(id, "Product Viewed", at, FactKind::Tracked, &[("category", category.into())])
    };
    let mut tell = |at: i64, fact: &Fact| apply(&rules, &mut state, from_micros(at), &Input::Fact(fact));
    assert!(entered(&tell(START, &view(1, START, "shoes"))).is_empty());
    assert!(entered(&tell(START + 5, &view(2, START + 5, "hats"))).is_empty());
    let changes = tell(START + DAY, &view(3, START + DAY, "shoes"));
    assert_eq!(
        entered(&changes),
        [(1, true, from_micros(START + DAY), Cause::Event("Product Viewed".to_owned()))]
    );
    assert_eq!(state.due(), Some(START + 7 * DAY));
    assert!(run_timers(&rules, &mut state, START + 7 * DAY - 1).is_empty());
    let changes = run_timers(&rules, &mut state, START + 7 * DAY);
    let cause = Cause::Timer("Product Viewed 7d".to_owned());
    assert_eq!(entered(&changes), [(1, false, from_micros(START + 7 * DAY), cause)]);
}

#[test]
fn overdue_and_lapse_move_the_stage_at_their_instants() {
    let rules = rules(&[r#"stage == "at_risk""#]);
    let mut state = State::default();
    let score =
        Score { orders: 2, last_order: START, overdue: START + 10, lapse: START + 20, ..Score::default() };
    apply(&rules, &mut state, from_micros(START), &Input::Score(score));
    let stage = |state: &State| state.stage.clone().unwrap();
    assert_eq!(stage(&state), ("repeat_customer".to_owned(), START));
    let changes = run_timers(&rules, &mut state, START + 10);
    assert_eq!(stage(&state), ("at_risk".to_owned(), START + 10));
    assert_eq!(entered(&changes), [(1, true, from_micros(START + 10), Cause::Timer("overdue".to_owned()))]);
    let changes = run_timers(&rules, &mut state, START + DAY);
    assert_eq!(stage(&state), ("lapsed".to_owned(), START + 20));
    assert_eq!(entered(&changes), [(1, false, from_micros(START + 20), Cause::Timer("lapse".to_owned()))]);
    let back = Score { orders: 3, reactivated: true, ..score };
    let back = Score { last_order: START + DAY, overdue: START + 9 * DAY, lapse: START + 20 * DAY, ..back };
    apply(&rules, &mut state, from_micros(START + DAY), &Input::Score(back));
    assert_eq!(stage(&state).0, "reactivated");
}

#[test]
fn every_stage_is_reached_by_what_it_stands_for() {
    let rules = rules(&[]);
    let stage = |state: &State| state.stage.clone().unwrap().0;
    let mut state = State::default();
    let at = from_micros(START);
    apply(&rules, &mut state, at, &Input::Fact(&fact(1, "Page", START, FactKind::Tracked, &[])));
    assert_eq!(stage(&state), "anonymous");
    apply(&rules, &mut state, at, &Input::Profile { reachable: [Channel::Email].into(), identified: true });
    assert_eq!(stage(&state), "lead");
    apply(&rules, &mut state, at, &Input::Fact(&fact(2, "Product Viewed", START, FactKind::Tracked, &[])));
    assert_eq!(stage(&state), "evaluating");
    run_timers(&rules, &mut state, START + 14 * DAY);
    assert_eq!(state.stage, Some(("lead".to_owned(), START + 14 * DAY)));
    for (orders, percentile, expected) in
        [(1, 0.9, "new_customer"), (2, 0.5, "repeat_customer"), (2, 0.8, "loyal")]
    {
        let score = Score { modelled: true, orders, percentile, ..Score::default() };
        apply(&rules, &mut state, at, &Input::Score(score));
        assert_eq!(stage(&state), expected);
    }
}

#[test]
fn a_refund_undoes_an_order_and_a_second_telling_counts_once() {
    let rules = rules(&[
        r#"count("Order Completed", "30d") >= 2"#,
        r#"sum("Order Completed", "profit", "30d") > money("50.00")"#,
    ]);
    let mut state = State::default();
    let mut tell = |id: u128, name: &str, kind: FactKind| {
        let at = START + i64::try_from(id).unwrap();
        apply(&rules, &mut state, from_micros(at), &Input::Fact(&fact(id, name, at, kind, &[])));
        state.members.keys().copied().collect::<Vec<_>>()
    };
    assert_eq!(tell(1, "Order Completed", placed("a", 10_000)), [0; 0]);
    assert_eq!(tell(2, "Order Completed", placed("a", 10_000)), [0; 0], "told by browser and server");
    assert_eq!(tell(3, "Order Completed", placed("b", 10_000)), [1, 2]);
    let refund = OrderChange::Refunded(OrderRefunded { order_id: "a".to_owned(), amount: None });
    assert_eq!(tell(4, "Order Refunded", FactKind::Order(refund)), [0; 0]);
}

#[test]
fn segments_of_segments_follow_and_circles_are_refused() {
    let both = rules(&["identified", "in_segment(\"s0\") && reachable(\"email\")"]);
    let mut state = State::default();
    apply(
        &both,
        &mut state,
        from_micros(1),
        &Input::Profile { reachable: [Channel::Email].into(), identified: true },
    );
    assert_eq!(state.members.len(), 2);
    apply(
        &both,
        &mut state,
        from_micros(2),
        &Input::Profile { reachable: [Channel::Email].into(), identified: false },
    );
    assert!(state.members.is_empty());
    let segment = |number, name: &str, rule| Segment {
        number,
        name: name.to_owned(),
        expr: check(rule, &vocabulary(&["a", "b"])).unwrap(),
        version: 1,
        revision: 1,
    };
    let circle = vec![segment(1, "a", "in_segment(\"b\")"), segment(2, "b", "in_segment(\"a\")")];
    let refused = Rules::new(Currency::EUR, vec![], circle, 1).unwrap_err();
    assert_eq!(refused.to_string(), "a, b ask for one another in a circle: take one in_segment(…) out");
}

#[test]
fn a_new_rule_waits_for_its_backfill_and_a_new_profile_does_not() {
    let mut rules = rules(&["identified"]);
    let mut old = State::default();
    apply(&rules, &mut old, from_micros(1), &Input::Profile { reachable: BTreeSet::new(), identified: true });
    rules.segments[0].revision = 2;
    rules.revision = 2;
    old.members.clear();
    let input = Input::Profile { reachable: [Channel::Email].into(), identified: true };
    assert!(apply(&rules, &mut old, from_micros(2), &input).is_empty());
    let mut new = State::default();
    apply(&rules, &mut new, from_micros(2), &input);
    assert_eq!(new.members.len(), 1);
    old.revision = 2;
    assert_eq!(entered(&evaluate(&rules, &mut old, from_micros(3), &Cause::Rule)).len(), 1);
}

const POOL: [&str; 12] = [
    r#"count("Product Viewed", "3d") >= 2"#,
    r#"did("Page", "2d") && !did("Product Viewed", "1d")"#,
    r#"sum("Page", "n", "4d") > 5"#,
    r#"count("Product Viewed", "5d", it.n > 2) == 1 || traits.plan == "pro""#,
    r#"count("Order Completed", "6d") >= 2"#,
    r#"sum("Order Completed", "revenue", "5d") > money("60")"#,
    r#"last_order < ago("3d")"#,
    r#"last_order > ago("36h") || last_order == ago("4d")"#,
    r#"stage == "at_risk" || stage == "evaluating""#,
    r#"in_segment("s0") && !in_segment("s6")"#,
    r#"overdue && consent("email", "marketing")"#,
    r#"count("Page", "2d") + count("Product Viewed", "3d") == 3"#,
];

/// One told thing: when it is told and when it happened.
#[derive(Clone, Debug)]
enum Told {
    Fact(Fact),
    Score(Score),
}

fn told() -> impl Strategy<Value = Vec<(i64, Told)>> {
    let hours = 3_600_000_000_i64;
    let one = (0_i64..40, 0_i64..60, 0_u8..8, 0_i64..5, any::<bool>());
    prop::collection::vec(one, 1..25).prop_map(move |items| {
        let mut now = START;
        let mut told = Vec::new();
        for (id, (gap, late, kind, n, flag)) in items.into_iter().enumerate() {
            // No two at one instant: between halves of a history there is no order.
            now += gap * hours / 2 + 1;
            let at = if flag { now } else { now - late * hours };
            let id = id as u128 + 1;
            let tracked = |name: &str| fact(id, name, at, FactKind::Tracked, &[("n", Scalar::Int(n))]);
            let order = format!("o{n}");
            told.push((
                now,
                match kind {
                    0 | 1 => Told::Fact(tracked("Product Viewed")),
                    2 => Told::Fact(tracked("Page")),
                    3 => Told::Fact(fact(id, "Order Completed", at, placed(&order, 1_000 * (n + 1)), &[])),
                    4 => {
                        let amount = flag.then_some(500);
                        let refund = OrderChange::Refunded(OrderRefunded { order_id: order, amount });
                        Told::Fact(fact(id, "Order Refunded", at, FactKind::Order(refund), &[]))
                    }
                    5 => {
                        let set =
                            [("plan".to_owned(), Scalar::from(if flag { "pro" } else { "free" }))].into();
                        Told::Fact(fact(id, "Identify", at, FactKind::Traits { set, unset: vec![] }, &[]))
                    }
                    6 => Told::Fact(fact(
                        id,
                        "Identify",
                        at,
                        FactKind::Consent(ConsentChange {
                            channel: Channel::Email,
                            purpose: Purpose::Marketing,
                            granted: flag,
                            source: String::new(),
                        }),
                        &[],
                    )),
                    _ => Told::Score(Score {
                        orders: n,
                        last_order: now,
                        overdue: now + n * DAY,
                        lapse: now + 2 * n * DAY,
                        ..Score::default()
                    }),
                },
            ));
        }
        told
    })
}

/// The answers of all pool rules, straight from everything told so far.
fn brute(told: &[(i64, Told)], t: i64) -> Vec<bool> {
    let known: Vec<&Told> = told.iter().filter(|(at, _)| *at <= t).map(|(_, it)| it).collect();
    let facts: Vec<&Fact> = known
        .iter()
        .filter_map(|it| match it {
            Told::Fact(it) => Some(it),
            Told::Score(_) => None,
        })
        .collect();
    let score = known.iter().rev().find_map(|it| match it {
        Told::Score(it) => Some(*it),
        Told::Fact(_) => None,
    });
    let within = |name: &str, days: i64| -> Vec<i64> {
        let inside = facts.iter().filter(|it| it.name == name && micros(it.at) + days * DAY > t);
        inside
            .map(|it| match it.properties.get("n") {
                Some(Scalar::Int(n)) => *n,
                _ => 0,
            })
            .collect()
    };
    let mut orders: BTreeMap<&str, perennial_types::OrderState> = BTreeMap::new();
    for fact in &facts {
        if let FactKind::Order(change) = &fact.kind {
            orders.entry(change.order_id()).or_default().apply(&fact.id.to_string(), fact.at, change);
        }
    }
    let live = |days: i64| -> Vec<i64> {
        let inside =
            orders.values().filter(|it| it.counts() && micros(it.placed_at().unwrap()) + days * DAY > t);
        inside.map(perennial_types::OrderState::net_revenue).collect()
    };
    let plan = facts.iter().filter_map(|it| match &it.kind {
        FactKind::Traits { set, .. } => Some((it.at, std::cmp::Reverse(set["plan"].to_string()))),
        _ => None,
    });
    let pro = plan.max().is_some_and(|it| it.1.0 == "pro");
    let consent = facts.iter().filter_map(|it| match &it.kind {
        FactKind::Consent(change) => Some((it.at, !change.granted)),
        _ => None,
    });
    let consent = consent.max().is_some_and(|it| !it.1);
    let last = score.map(|it| it.last_order);
    let past = |pick: fn(&Score) -> i64| score.is_some_and(|it| it.orders > 0 && pick(&it) <= t);
    let (overdue, lapsed) = (past(|it| it.overdue), past(|it| it.lapse));
    let no_orders = score.is_none_or(|it| it.orders == 0);
    let at_risk = overdue && !lapsed;
    let evaluating = no_orders && !within("Product Viewed", 14).is_empty();
    let pages: i64 = within("Page", 4).iter().sum();
    let s0 = within("Product Viewed", 3).len() >= 2;
    let s6 = last.is_some_and(|it| it < t - 3 * DAY);
    vec![
        s0,
        !within("Page", 2).is_empty() && within("Product Viewed", 1).is_empty(),
        pages > 5,
        within("Product Viewed", 5).iter().filter(|it| **it > 2).count() == 1 || pro,
        live(6).len() >= 2,
        live(5).iter().sum::<i64>() > 6_000,
        s6,
        last.is_some_and(|it| it > t - DAY * 3 / 2 || it == t - 4 * DAY),
        at_risk || evaluating,
        s0 && !s6,
        overdue && consent,
        within("Page", 2).len() + within("Product Viewed", 3).len() == 3,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn folding_with_timers_equals_looking_at_the_whole_history_at_every_instant(told in told()) {
        let rules = rules(&POOL);
        let mut instants: BTreeSet<i64> = BTreeSet::new();
        for (at, it) in &told {
            instants.insert(*at);
            let happened = match it { Told::Fact(it) => micros(it.at), Told::Score(it) => it.last_order };
            for half_days in 0..=30 {
                for nudge in [-1, 0, 1] {
                    instants.insert((happened + half_days * DAY / 2 + nudge).max(START));
                }
            }
        }
        let mut state = State::default();
        let mut next = 0;
        for t in instants {
            // Timers due at t fire before records received at t.
            run_timers(&rules, &mut state, t);
            while next < told.len() && told[next].0 <= t {
                let (at, it) = &told[next];
                let input = match it { Told::Fact(it) => Input::Fact(it), Told::Score(it) => Input::Score(*it) };
                apply(&rules, &mut state, from_micros(*at), &input);
                // What is stored is what goes on.
                let json = serde_json::to_string(&state).unwrap();
                prop_assert_eq!(&serde_json::from_str::<State>(&json).unwrap(), &state);
                next += 1;
            }
            if next > 0 {
                let live: Vec<bool> = (1..=POOL.len()).map(|n| state.members.contains_key(&(n as u32))).collect();
                prop_assert_eq!(live, brute(&told, t), "at START + {} h", (t - START) / 3_600_000_000);
            }
        }
    }

    #[test]
    fn two_halves_of_a_history_merge_into_the_whole(told in told(), split in any::<u32>()) {
        let rules = rules(&POOL);
        let (mut one, mut other) = (State::default(), State::default());
        let mut whole = State::default();
        let end = told.last().map_or(START, |it| it.0);
        let mut sides = [false; 2];
        for (n, (at, it)) in told.iter().enumerate() {
            let Told::Fact(fact) = it else { continue };
            let left = split >> n & 1 == 0;
            sides[usize::from(left)] = true;
            let side = if left { &mut one } else { &mut other };
            apply(&rules, side, from_micros(*at), &Input::Fact(fact));
            apply(&rules, &mut whole, from_micros(*at), &Input::Fact(fact));
        }
        prop_assume!(sides == [true, true]);
        merge(&rules, &mut one, other, from_micros(end), 0);
        evaluate(&rules, &mut whole, from_micros(end), &Cause::Rule);
        prop_assert_eq!(one.members.keys().collect::<Vec<_>>(), whole.members.keys().collect::<Vec<_>>());
        prop_assert_eq!(one.due(), whole.due());
    }
}

/// How fast it is: run by hand, optimised, with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn how_many_events_one_core_evaluates() {
    let mut texts: Vec<String> = POOL.iter().map(|it| (*it).to_owned()).collect();
    for n in 0..88 {
        let (days, least) = (1 + n % 30, 1 + n % 5);
        texts.push(match n % 4 {
            0 => format!(
                r#"count("Product Viewed", "{days}d", it.n > {least}) >= {least} && orders >= {least}"#
            ),
            1 => format!(r#"did("Checkout Started", "{days}d") && !did("Order Completed", "{days}d")"#),
            2 => format!(r#"traits.plan == "p{least}" && last_order < ago("{days}d")"#),
            _ => format!(r#"clv.percentile >= 0.{least} && overdue && !did("Email Opened", "{days}d")"#),
        });
    }
    let rules = rules(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let names =
        ["Product Viewed", "Page", "Checkout Started", "Email Opened", "Product Added", "Email Delivered"];
    let profiles = 2_000;
    let mut states = vec![State::default(); profiles];
    let (mut events, mut timers, mut bytes) = (0_u32, 0_u32, 0_usize);
    #[expect(clippy::disallowed_methods, reason = "a measurement of real time")]
    let started = std::time::SystemTime::now();
    for round in 0..60_i64 {
        for (n, state) in states.iter_mut().enumerate() {
            let at = START + round * DAY + i64::try_from(n).unwrap() * 1_000_000;
            while let Some(due) = state.due().filter(|it| *it <= at) {
                fire(&rules, state, from_micros(due));
                timers += 1;
            }
            events += 1;
            if (n as i64 + round) % 20 == 0 {
                let orders = round / 20 + 1;
                let fact =
                    fact(round as u128, "Order Completed", at, placed(&format!("o{round}"), 5_000), &[]);
                apply(&rules, state, from_micros(at), &Input::Fact(&fact));
                let score = Score {
                    modelled: true,
                    orders,
                    last_order: at,
                    overdue: at + 30 * DAY,
                    lapse: at + 90 * DAY,
                    ..Score::default()
                };
                apply(&rules, state, from_micros(at), &Input::Score(score));
                events += 1;
            } else {
                let name = names[(n * 7 + round as usize * 3) % names.len()];
                let fact = fact(1, name, at, FactKind::Tracked, &[("n", Scalar::Int(round % 7))]);
                apply(&rules, state, from_micros(at), &Input::Fact(&fact));
            }
        }
    }
    let took = started.elapsed().unwrap().as_secs_f64();
    for state in &states {
        bytes += serde_json::to_string(state).unwrap().len();
    }
    eprintln!(
        "{} rules, {profiles} profiles: {events} records and {timers} timers in {took:.2} s, {:.0} records/s; state {} bytes a profile",
        rules.segments.len(),
        f64::from(events) / took,
        bytes / profiles
    );
}

#[test]
fn of_two_things_told_at_one_instant_the_same_one_counts_whichever_comes_first() {
    let values = [Some(Scalar::from("b")), None, Some(Scalar::from("a"))];
    let told = |order: [usize; 3]| {
        let mut state = State::default();
        for n in order {
            state.set_trait("plan", values[n].clone(), 7);
            state.set_consent("email:marketing".to_owned(), n != 1, 7);
        }
        (state.traits["plan"].clone(), state.consents["email:marketing"])
    };
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]] {
        assert_eq!(told(order), ((None, 7), (false, 7)), "{order:?}");
    }
}
