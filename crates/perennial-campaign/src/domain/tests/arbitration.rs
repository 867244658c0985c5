use super::*;

fn campaign(name: &str, extra: &str) -> String {
    format!(
        "kind: Campaign\nname: {name}\ntrigger: {{ event: Go }}\nholdout: 0%\n{extra}\nsteps:\n  - message: {{ template: {name} }}\n"
    )
}

#[test]
fn the_highest_priority_wins_and_the_loser_waits_for_a_slot() {
    let (low, high) = (campaign("arrivals", "priority: 1"), campaign("ladder", "priority: 2"));
    let mut sim = Sim::new(&[&low, &high]);
    sim.track("2026-03-02T10:00:00Z", "Go");
    sim.advance(at("2026-03-05T00:00:00Z"));
    let sent: Vec<_> =
        sim.sends.iter().map(|it| (it.template.as_str(), from_micros(it.decided).to_string())).collect();
    assert_eq!(sent[0].0, "ladder");
    assert_eq!(sent[1].0, "arrivals");
    assert!(sent[1].1.starts_with("2026-03-02T14:00:00"), "{sent:?}");
    let won = sim.decisions.iter().find(|it| it.outcome == Outcome::Sent).unwrap();
    assert_eq!(won.runner_up, Some(("arrivals".to_owned(), 1.0)));
    assert!(sim.reason(Outcome::Waiting).starts_with("lost: to ladder: priority 2.00 against 1.00"));
}

#[test]
fn equal_priorities_go_by_name_and_transactional_goes_first_and_always() {
    let (b, a) = (campaign("b", ""), campaign("a", ""));
    let receipt = campaign("receipt", "purpose: transactional");
    let mut sim = Sim::new(&[&b, &a, &receipt]);
    sim.track("2026-03-02T23:00:00Z", "Go");
    sim.advance(at("2026-03-02T23:30:00Z"));
    assert_eq!(sim.sends.iter().map(|it| it.template.as_str()).collect::<Vec<_>>(), ["receipt"]);
    sim.advance(at("2026-03-09T00:00:00Z"));
    assert_eq!(sim.sends[1].template, "a");
    assert_eq!(from_micros(sim.sends[1].not_before).to_string(), "2026-03-03T07:00:00Z", "eight in Madrid");
    assert_eq!(sim.sends.len(), 2, "when the night ends one wins, the other expires");
    assert!(sim.reason(Outcome::Expired).starts_with("lost: again to a"), "{}", sim.reason(Outcome::Expired));
}

#[test]
fn a_full_cap_is_waited_for_until_it_frees_or_the_wish_is_too_old() {
    let text = campaign("news", "");
    let mut sim = Sim::new(&[&text]);
    for day in 2..5 {
        sim.track(&format!("2026-03-0{day}T10:00:00Z"), "Go");
    }
    sim.track("2026-03-08T10:00:00Z", "Go");
    sim.advance(at("2026-03-20T00:00:00Z"));
    let sent: Vec<_> = sim.sends.iter().map(|it| from_micros(it.not_before).to_string()).collect();
    assert_eq!(sent.len(), 4);
    assert!(sent[3].starts_with("2026-03-09T10:00:00"), "{sent:?}");
    assert!(
        sim.reason(Outcome::Waiting).starts_with("cap: cap 3 in 7d: 3 of 3 used, frees 2026-03-09T10:00:00")
    );

    let mut sim = Sim::new(&[&text]);
    for day in 2..6 {
        sim.track(&format!("2026-03-0{day}T10:00:00Z"), "Go");
    }
    sim.advance(at("2026-03-20T00:00:00Z"));
    assert_eq!((sim.sends.len(), sim.count(Outcome::Expired)), (3, 1), "three days are too few");
}

#[test]
fn a_calendar_cap_follows_the_customers_own_day() {
    let text = campaign("news", "");
    let mut sim = Sim::new(&[&text]);
    sim.policy.caps = vec![crate::domain::policy::Cap::parse("1 per calendar day").unwrap()];
    sim.policy.quiet.until = sim.policy.quiet.from;
    sim.track("2026-03-02T22:30:00Z", "Go");
    sim.track("2026-03-03T10:00:00Z", "Go");
    sim.track("2026-03-03T23:30:00Z", "Go");
    sim.advance(at("2026-03-20T00:00:00Z"));
    let sent: Vec<_> = sim.sends.iter().map(|it| from_micros(it.not_before).to_string()).collect();
    assert_eq!(sent, ["2026-03-02T22:30:00Z", "2026-03-03T10:00:00Z", "2026-03-03T23:30:00Z"]);
    let mut sim = Sim::new(&[&text]);
    sim.policy.caps = vec![crate::domain::policy::Cap::parse("1 per calendar day").unwrap()];
    sim.track("2026-03-02T10:30:00Z", "Go");
    sim.track("2026-03-02T16:00:00Z", "Go");
    sim.advance(at("2026-03-20T00:00:00Z"));
    assert!(
        from_micros(sim.sends[1].not_before).to_string().starts_with("2026-03-03T07:00"),
        "night is over at eight"
    );
}

#[test]
fn without_consent_address_or_after_a_complaint_nothing_is_sent() {
    let text = campaign("news", "");
    type Breaks = fn(&mut State);
    let break_it: [(&str, Breaks); 3] = [
        ("no_consent", |state| state.consent.clear()),
        ("no_address", |state| state.reachable.clear()),
        ("complained", |state| {
            state.complained.insert("email".to_owned());
        }),
    ];
    for (code, break_it) in break_it {
        let mut sim = Sim::new(&[&text]);
        break_it(&mut sim.state);
        sim.track("2026-03-02T10:00:00Z", "Go");
        sim.advance(at("2026-03-20T00:00:00Z"));
        assert!(sim.sends.is_empty());
        assert!(sim.reason(Outcome::Refused).starts_with(code), "{:?}", sim.decisions);
    }
}

#[test]
fn a_zone_that_does_not_exist_costs_that_profile_only_its_own_clock() {
    let text = campaign("news", "");
    let mut sim = Sim::new(&[&text]);
    sim.state.zone = "Mars/Olympus".to_owned();
    sim.track("2026-03-02T10:00:00Z", "Go");
    sim.advance(at("2026-03-20T00:00:00Z"));
    assert_eq!(sim.sends.len(), 1);
    assert!(sim.reason(Outcome::Sent).contains("\"Mars/Olympus\" is not known"));
}

#[test]
fn a_message_may_not_be_handed_over_once_quiet_hours_begin() {
    let text = campaign("news", "");
    let mut sim = Sim::new(&[&text]);
    sim.track("2026-03-02T19:30:00Z", "Go");
    sim.advance(at("2026-03-02T19:31:00Z"));
    assert_eq!(from_micros(sim.sends[0].not_after).to_string(), "2026-03-02T20:00:00Z");
    // The process was down until after nine: nobody is written to in the night for it.
    let mut sim = Sim::new(&[&text]);
    sim.behind = 3_600_000_000;
    sim.track("2026-03-02T19:30:00Z", "Go");
    sim.advance(at("2026-03-02T23:00:00Z"));
    assert!(sim.sends.is_empty());
    assert!(sim.reason(Outcome::Waiting).starts_with("quiet_hours"));
}

#[test]
fn expected_profit_decides_who_wins_when_asked_to() {
    let a = campaign("a", "priority: { expected_incremental_profit: { lift: 10%, contact: \"0.10\" } }");
    let b = campaign("b", "priority: 50");
    for (profit, winner) in [(10_000, "a"), (100, "b")] {
        let mut sim = Sim::new(&[&a, &b]);
        sim.state.score.profit_90d = profit;
        sim.track("2026-03-02T10:00:00Z", "Go");
        sim.advance(at("2026-03-02T11:00:00Z"));
        assert_eq!(sim.sends[0].template, winner);
    }
}

#[test]
fn the_lift_published_at_or_before_the_instant_decides_who_wins() {
    let campaign = |name: &str| {
        format!(
            "kind: Campaign\nname: {name}\ntrigger: {{ event: Go }}\nholdout: 0%\n\
             priority: {{ expected_incremental_profit: {{ lift: 3% }} }}\nsteps:\n  - message: {{ template: {name} }}\n"
        )
    };
    let (a, b) = (campaign("a"), campaign("b"));
    let winner = |published: &str| {
        let mut sim = Sim::new(&[&a, &b]);
        let lift = crate::domain::stats::Lift { share: 0.09, error: 0.03 };
        let lifts = [("b".to_owned(), vec![(perennial_types::micros(at(published)), lift)])].into();
        sim.book = std::mem::take(&mut sim.book).with_lifts(lifts);
        sim.score("2026-06-01T08:00:00Z", "2027-06-01T08:00:00Z", 10_000);
        sim.track("2026-06-01T10:00:00Z", "Go");
        sim.advance(at("2026-06-01T10:00:00Z"));
        let sent = sim.decisions.iter().find(|it| it.outcome == Outcome::Sent).unwrap().clone();
        (sent.campaign, sent.priority, sent.reasons.last().map(|it| it.text.clone()))
    };
    let (first, priority, reason) = winner("2026-06-01T00:00:00Z");
    assert_eq!((first.as_str(), priority), ("b", 600.0));
    assert_eq!(
        reason.as_deref(),
        Some("lift 6.00 %: stated 3.00 %, measured 9.00 % ± 3.00 % as of 2026-06-01T00:00:00Z")
    );
    let (later, priority, _) = winner("2026-06-02T00:00:00Z");
    assert_eq!((later.as_str(), priority), ("a", 300.0), "what is published tomorrow decides nothing today");
}

#[test]
fn without_complete_inputs_marketing_is_held_and_transactional_goes_and_says_so() {
    let (news, receipt) = (campaign("news", ""), campaign("receipt", "purpose: transactional"));
    let mut sim = Sim::new(&[&news, &receipt]);
    sim.stale = true;
    sim.track("2026-03-02T10:00:00Z", "Go");
    sim.advance(at("2026-03-02T10:05:00Z"));
    assert_eq!(sim.sends.iter().map(|it| it.template.as_str()).collect::<Vec<_>>(), ["receipt"]);
    assert!(sim.reason(Outcome::Sent).starts_with("stale: decided without"), "{}", sim.reason(Outcome::Sent));
    assert!(sim.reason(Outcome::Waiting).starts_with("stale: "));
    sim.stale = false;
    sim.advance(at("2026-03-02T10:06:00Z"));
    assert_eq!(sim.sends.last().map(|it| it.template.as_str()), Some("news"), "as soon as they are complete");
}
