use super::*;

const WELCOME: &str = r#"
kind: Campaign
name: welcome
trigger: { event: Consent Given, where: it.channel == "email" }
entry: consent("email", "marketing") && orders == 0
goal: { event: Order Completed, within: 14d }
reenter: never
holdout: 0%
steps:
  - message: { template: welcome-1 }
  - wait: 2d
  - message: { template: welcome-2 }
"#;

const CART: &str = r#"
kind: Campaign
name: cart
trigger: { event: Cart Changed }
instance: cart_id
retrigger: restart
goal: { event: Order Completed }
holdout: 0%
steps:
  - wait_until: { event: Checkout Started, timeout: 60m, then: [ { exit: checked out } ] }
  - branch: { when: cart.items == 0, then: [ { exit: emptied } ] }
  - message: { template: cart }
  - wait: 1d
  - message: { template: cart-again, when: cart.items > 0 }
"#;

#[test]
fn a_welcome_goes_out_step_by_step_and_ends() {
    let mut sim = Sim::new(&[WELCOME]);
    sim.state.consent.clear();
    sim.consent("2026-03-02T10:00:00Z", true);
    sim.consent("2026-03-02T10:05:00Z", true);
    sim.advance(at("2026-03-10T00:00:00Z"));
    assert_eq!(
        sim.story(),
        [
            "2026-03-02T10:00:00Z welcome entered",
            "2026-03-02T10:00:00Z welcome/welcome-1 sent",
            "2026-03-04T10:00:00Z welcome/welcome-2 sent",
            "2026-03-04T10:00:00Z welcome finished",
        ]
    );
    assert_eq!(sim.sends.len(), 2);
    assert_ne!(sim.sends[0].message, sim.sends[1].message);
    assert!(sim.state.instances.is_empty() && sim.timer.is_none(), "{:?}", sim.state);
}

#[test]
fn whoever_orders_leaves_before_the_next_message() {
    let mut sim = Sim::new(&[WELCOME]);
    sim.state.consent.clear();
    sim.consent("2026-03-02T10:00:00Z", true);
    sim.order("2026-03-04T09:59:59.999999Z", "1", 5_000);
    sim.advance(at("2026-03-10T00:00:00Z"));
    assert_eq!(sim.sends.len(), 1, "{:?}", sim.story());
    assert_eq!(sim.reason(Outcome::GoalReached), "goal: order 1, 50.00 EUR, profit 25.00 EUR");
    let exposure = &sim.state.exposures["welcome"];
    assert_eq!((exposure.totals.converted, exposure.totals.profit), (true, 2_500));
}

#[test]
fn a_refund_takes_the_conversion_back() {
    let mut sim = Sim::new(&[WELCOME]);
    sim.state.consent.clear();
    sim.consent("2026-03-02T10:00:00Z", true);
    sim.order("2026-03-03T10:00:00Z", "1", 5_000);
    sim.order("2026-04-03T10:00:00Z", "2", 7_000);
    assert_eq!(sim.state.exposures["welcome"].totals.revenue, 5_000, "the second is outside the window");
    sim.fact(
        "2026-04-04T10:00:00Z",
        FactKind::Order(OrderChange::Cancelled("1".to_owned())),
        "Order Cancelled",
        Properties::new(),
    );
    assert_eq!(sim.state.exposures["welcome"].totals, Default::default());
}

#[test]
fn a_cart_message_shows_the_cart_as_it_is_then() {
    let mut sim = Sim::new(&[CART]);
    sim.cart("2026-03-02T10:00:00Z", "c1", &[("shoes", 1, 5_990)]);
    sim.cart("2026-03-02T10:30:00Z", "c1", &[("shoes", 1, 5_990), ("socks", 2, 450)]);
    sim.advance(at("2026-03-02T11:29:00Z"));
    assert!(sim.sends.is_empty(), "a change starts the hour over");
    sim.advance(at("2026-03-02T12:00:00Z"));
    assert_eq!(sim.sends.len(), 1, "{:?}", sim.story());
    let cart = &sim.sends[0].data["cart"];
    assert_eq!((cart["id"].as_str(), cart["total"].as_i64()), (Some("c1"), Some(6_890)));
    assert_eq!(cart["lines"][1]["name"], "SOCKS");
    assert_eq!(sim.sends[0].occurrence, "c1");
    sim.cart("2026-03-02T13:00:00Z", "c1", &[]);
    sim.advance(at("2026-03-09T12:00:00Z"));
    assert_eq!(sim.reason(Outcome::Skipped), "when: its condition does not hold");
    sim.cart("2026-03-10T13:00:00Z", "c1", &[("shoes", 1, 5_990)]);
    sim.advance(at("2026-03-19T12:00:00Z"));
    assert_eq!(sim.sends.len(), 1, "one cart, one run");
    assert!(sim.reason(Outcome::NotEntered).starts_with("reenter: was in it"));
}

#[test]
fn a_checkout_in_time_satisfies_the_wait() {
    let mut sim = Sim::new(&[CART]);
    sim.cart("2026-03-02T10:00:00Z", "c1", &[("shoes", 1, 5_990)]);
    sim.fact(
        "2026-03-02T10:59:00Z",
        FactKind::CheckoutStarted { checkout_id: None },
        "Checkout Started",
        Properties::new(),
    );
    sim.advance(at("2026-03-09T12:00:00Z"));
    assert_eq!(sim.sends.len(), 0);
    assert_eq!(sim.reason(Outcome::Left), "exit: checked out");
}

const OVERDUE: &str = r#"
kind: Campaign
name: reorder
trigger: { overdue: true }
entry: orders >= 1
goal: { event: Order Completed, within: 14d }
holdout: 0%
steps:
  - message: { template: plain }
  - wait: 4d
  - offer: { coupon: free-shipping, valid: 7d, when: clv.expected_profit_90d > money("8.00") }
    message: { template: free-shipping }
"#;

#[test]
fn the_overdue_instant_starts_a_ladder_and_value_decides_on_the_offer() {
    for (profit, sent) in [(610, 1), (2_000, 2)] {
        let mut sim = Sim::new(&[OVERDUE]);
        sim.order("2026-01-02T10:00:00Z", "1", 5_000);
        sim.score("2026-01-02T10:00:00Z", "2026-03-02T09:14:07Z", profit);
        sim.advance(at("2026-04-01T00:00:00Z"));
        assert_eq!(sim.sends.len(), sent, "{:?}", sim.story());
        assert!(sim.story()[0].starts_with("2026-03-02T09:14:07Z reorder entered"));
        match sim.sends.get(1) {
            Some(send) => {
                let (id, offer, valid) = send.coupon.clone().unwrap();
                assert_eq!((offer.as_str(), valid), ("free-shipping", 7 * 86_400_000_000));
                assert_ne!(id, send.message);
            }
            None => assert_eq!(
                sim.reason(Outcome::NotOffered),
                "offer: free-shipping: not (clv.expected_profit_90d > money(\"8.00\")), since clv.expected_profit_90d is \
                 6.10 EUR"
            ),
        }
    }
}

#[test]
fn an_order_moves_the_overdue_instant_and_the_past_starts_nothing() {
    let mut sim = Sim::new(&[OVERDUE]);
    sim.order("2026-01-02T10:00:00Z", "1", 5_000);
    sim.score("2026-01-02T10:00:00Z", "2026-03-02T09:00:00Z", 0);
    sim.order("2026-02-02T10:00:00Z", "2", 5_000);
    sim.score("2026-02-02T10:00:00Z", "2026-05-02T09:00:00Z", 0);
    sim.advance(at("2026-05-01T00:00:00Z"));
    assert!(sim.decisions.is_empty());
    sim.score("2026-05-01T10:00:00Z", "2026-04-02T09:00:00Z", 0);
    sim.advance(at("2026-06-01T00:00:00Z"));
    assert!(sim.decisions.is_empty(), "{:?}", sim.story());
}

#[test]
fn one_silence_triggers_once_however_often_a_new_model_moves_its_instant() {
    let mut sim = Sim::new(&[OVERDUE]);
    sim.order("2026-01-02T10:00:00Z", "1", 5_000);
    sim.score("2026-01-02T10:00:00Z", "2026-03-02T09:00:00Z", 0);
    sim.score("2026-03-12T10:00:00Z", "2026-03-20T09:00:00Z", 0);
    sim.advance(at("2026-04-01T00:00:00Z"));
    assert_eq!(sim.count(Outcome::Entered), 1, "{:?}", sim.story());
    sim.order("2026-04-02T10:00:00Z", "2", 5_000);
    sim.score("2026-04-02T10:00:00Z", "2026-05-02T09:00:00Z", 0);
    sim.advance(at("2026-06-01T00:00:00Z"));
    assert_eq!(sim.count(Outcome::Entered), 2, "{:?}", sim.story());
}

#[test]
fn a_stage_starts_and_a_segment_ends_a_wait() {
    let mut sim = Sim::new(&[r#"
kind: Campaign
name: save
trigger: { stage: at_risk }
holdout: 0%
steps:
  - wait_until: { segment: complained, timeout: 1d, then: [ { exit: service first } ] }
  - message: { template: come-back }
"#]);
    let stage = |sim: &mut Sim, time: &str, from: &str, to: &str| {
        sim.advance(at(time));
        sim.step(at(time), |step, state| step.stage(state, from, to));
    };
    stage(&mut sim, "2026-03-02T10:00:00Z", "loyal", "at_risk");
    sim.advance(at("2026-03-03T12:00:00Z"));
    assert_eq!(sim.sends.len(), 1);
    stage(&mut sim, "2026-04-02T10:00:00Z", "at_risk", "loyal");
    stage(&mut sim, "2026-05-02T10:00:00Z", "loyal", "at_risk");
    sim.advance(at("2026-05-02T11:00:00Z"));
    sim.step(at("2026-05-02T11:00:00Z"), |step, state| step.segment(state, "complained", true));
    sim.advance(at("2026-05-09T12:00:00Z"));
    assert_eq!((sim.sends.len(), sim.reason(Outcome::Left).as_str()), (1, "exit: service first"));
}

#[test]
fn a_birthday_is_wished_at_nine_local_time_every_year() {
    let mut sim = Sim::new(&[r#"
kind: Campaign
name: birthday
trigger: { date: traits.birthday, at: "09:00" }
holdout: 0%
steps: [ { message: { template: birthday } } ]
"#]);
    let set = [("birthday".to_owned(), "1990-07-01".into())].into();
    let traits = FactKind::Traits { set, unset: vec![] };
    sim.fact("2026-03-02T10:00:00Z", traits, "Identify", Properties::new());
    sim.advance(at("2027-12-31T00:00:00Z"));
    let sent: Vec<_> = sim.sends.iter().map(|it| from_micros(it.not_before).to_string()).collect();
    assert_eq!(sent, ["2026-07-01T07:00:00Z", "2027-07-01T07:00:00Z"]);
}

#[test]
fn held_out_customers_walk_every_step_in_silence_at_the_same_instants() {
    let held_out = OVERDUE.replace("holdout: 0%", "holdout: 50%");
    let mut seen = [0, 0];
    for profile in 1..40 {
        let mut sim = Sim::bare(&[&held_out], profile);
        sim.state.reachable = ["email".to_owned()].into();
        sim.state.consent = [("email/marketing".to_owned(), true)].into();
        sim.order("2026-01-02T10:00:00Z", "1", 5_000);
        sim.score("2026-01-02T10:00:00Z", "2026-03-02T09:14:07Z", 2_000);
        sim.advance(at("2026-04-01T00:00:00Z"));
        let silent = sim.state.draws["reorder"].held_out;
        seen[usize::from(silent)] += 1;
        assert_eq!(sim.sends.len(), if silent { 0 } else { 2 });
        let word = if silent { "held_out" } else { "sent" };
        assert_eq!(
            sim.story(),
            [
                "2026-03-02T09:14:07Z reorder entered".to_owned(),
                format!("2026-03-02T09:14:07Z reorder/plain {word}"),
                format!("2026-03-06T09:14:07Z reorder/free-shipping {word}"),
                "2026-03-06T09:14:07Z reorder finished".to_owned(),
            ]
        );
    }
    assert!(seen.iter().all(|it| *it > 10), "{seen:?}");
}

#[test]
fn a_split_is_sticky_and_even() {
    let text = r#"
kind: Campaign
name: test
trigger: { event: Go }
holdout: 0%
steps:
  - split:
      name: tone
      arms:
        - { weight: 1, steps: [ { message: a } ] }
        - { weight: 1, steps: [ { message: b } ] }
"#;
    let mut counts = BTreeMap::new();
    for profile in 1..200 {
        let mut sim = Sim::bare(&[text], profile);
        sim.state.reachable = ["email".to_owned()].into();
        sim.state.consent = [("email/marketing".to_owned(), true)].into();
        sim.track("2026-03-02T10:00:00Z", "Go");
        sim.track("2026-04-02T10:00:00Z", "Go");
        sim.advance(at("2026-05-01T00:00:00Z"));
        assert_eq!((sim.sends.len(), &sim.sends[0].template), (2, &sim.sends[1].template));
        *counts.entry(sim.sends[0].template.clone()).or_insert(0) += 1;
    }
    assert!(counts.len() == 2 && counts.values().all(|it| *it > 70), "{counts:?}");
}

#[test]
fn a_running_instance_keeps_its_version() {
    let mut sim = Sim::new(&[WELCOME]);
    sim.state.consent.clear();
    sim.consent("2026-03-02T10:00:00Z", true);
    sim.advance(at("2026-03-03T00:00:00Z"));
    let old = definition::read(WELCOME, Currency::EUR).unwrap();
    let new = definition::read(&WELCOME.replace("welcome-2", "welcome-new"), Currency::EUR).unwrap();
    let versions = [(1, Arc::new(old)), (2, Arc::new(new))].into();
    sim.book = Book::new(
        [("welcome".to_owned(), Entry { lifecycle: Lifecycle::Live, version: 2, versions })].into(),
    );
    sim.advance(at("2026-03-10T00:00:00Z"));
    assert_eq!(sim.sends[1].template, "welcome-2");
}

#[test]
fn a_stopped_campaign_ends_and_a_paused_one_waits() {
    for (lifecycle, resumed, sent) in
        [(Lifecycle::Stopped, false, 1), (Lifecycle::Paused, true, 2), (Lifecycle::Paused, false, 1)]
    {
        let mut sim = Sim::new(&[WELCOME]);
        sim.state.consent.clear();
        sim.consent("2026-03-02T10:00:00Z", true);
        sim.advance(at("2026-03-03T00:00:00Z"));
        let turn = |sim: &mut Sim, lifecycle| {
            let mut entry = sim.book.entry("welcome").unwrap().clone();
            entry.lifecycle = lifecycle;
            sim.book = Book::new([("welcome".to_owned(), entry)].into());
        };
        turn(&mut sim, lifecycle);
        sim.advance(at("2026-03-05T12:00:00Z"));
        if resumed {
            turn(&mut sim, Lifecycle::Live);
        }
        sim.advance(at("2026-03-20T00:00:00Z"));
        assert_eq!(sim.sends.len(), sent, "{:?}", sim.story());
        assert!(sim.state.instances.is_empty());
    }
}

#[test]
fn historical_records_start_and_satisfy_nothing() {
    let mut sim = Sim::new(&[WELCOME, CART]);
    sim.state.consent.clear();
    let change = ConsentChange {
        channel: Channel::Email,
        purpose: Purpose::Marketing,
        granted: true,
        source: "import".to_owned(),
    };
    let fact = Fact {
        id: Uuid::from_u128(9),
        name: "Identify".to_owned(),
        at: at("2026-03-02T10:00:00Z"),
        properties: Properties::new(),
        kind: FactKind::Consent(change),
    };
    sim.step_as(at("2026-03-02T10:00:00Z"), true, |step, state| step.fact(state, &fact));
    sim.advance(at("2026-04-01T00:00:00Z"));
    assert!(sim.decisions.is_empty() && sim.state.consents(Channel::Email, Purpose::Marketing));
}

#[test]
fn a_wait_that_ended_too_late_follows_the_steps_rule() {
    for (rule, sent) in [("send", 2), ("skip", 1)] {
        let mut sim = Sim::new(&[
            &WELCOME.replace("template: welcome-2 }", &format!("template: welcome-2, late: {rule} }}"))
        ]);
        sim.state.consent.clear();
        sim.consent("2026-03-02T10:00:00Z", true);
        sim.advance(at("2026-03-03T00:00:00Z"));
        sim.behind = 2 * 3_600_000_000;
        sim.advance(at("2026-03-10T00:00:00Z"));
        assert_eq!(sim.sends.len(), sent, "{:?}", sim.story());
    }
}
