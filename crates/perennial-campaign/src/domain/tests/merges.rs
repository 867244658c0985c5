use super::*;

const TEXT: &str = r#"
kind: Campaign
name: news
trigger: { event: Go }
holdout: 50%
goal: { event: Order Completed, within: 30d }
steps:
  - message: { template: one }
  - wait: 2d
  - message: { template: two }
"#;

fn sim(profile: u128) -> Sim {
    let mut sim = Sim::bare(&[TEXT], profile);
    sim.state.reachable = ["email".to_owned()].into();
    sim.state.consent = [("email/marketing".to_owned(), true)].into();
    sim
}

fn drawn(held_out: bool) -> u128 {
    (1..100)
        .find(|it| {
            let unit = format!("key-{it}");
            (perennial_types::hash_draw("news:holdout", &unit) < 0.5) == held_out
        })
        .unwrap()
}

fn merged(first: u128, second: u128) -> Sim {
    let (mut a, mut b) = (sim(first), sim(second + 1_000));
    b.state.draw_key = format!("key-{second}");
    a.track("2026-03-02T10:00:00Z", "Go");
    b.track("2026-03-02T12:00:00Z", "Go");
    a.advance(at("2026-03-02T15:00:00Z"));
    b.advance(at("2026-03-02T15:00:00Z"));
    let from = b.state;
    a.step(at("2026-03-02T15:00:00Z"), |step, state| step.merge(state, from));
    a.advance(at("2026-03-20T00:00:00Z"));
    a
}

#[test]
fn the_earliest_assignment_counts_and_either_side_held_out_is_silence() {
    let (held_out, treated) = (drawn(true), drawn(false));
    for (first, second, counts_as_held_out, sent) in
        [(treated, held_out, false, 1), (held_out, treated, true, 0), (treated, treated, false, 2)]
    {
        let sim = merged(first, second);
        assert_eq!(sim.state.exposures["news"].held_out, counts_as_held_out);
        assert_eq!(sim.sends.len(), sent, "{:?}", sim.story());
        assert_eq!(sim.state.draws["news"].blocked, first == held_out || second == held_out);
    }
}

#[test]
fn orders_of_both_sides_count_once() {
    let treated = drawn(false);
    let (mut a, mut b) = (sim(treated), sim(treated + 1_000));
    a.track("2026-03-02T10:00:00Z", "Go");
    a.order("2026-03-03T10:00:00Z", "1", 4_000);
    b.order("2026-03-03T10:00:00Z", "1", 4_000);
    b.order("2026-03-04T10:00:00Z", "2", 1_000);
    let from = b.state;
    a.step(at("2026-03-05T15:00:00Z"), |step, state| step.merge(state, from));
    assert_eq!(a.state.exposures["news"].totals.revenue, 5_000);
}

#[test]
fn contacts_of_both_sides_fill_one_cap() {
    let (mut a, mut b) = (sim(1), sim(2));
    let contact = |at: i64| crate::domain::state::Contact {
        at,
        channel: Channel::Email,
        campaign: "x".to_owned(),
        decision: None,
    };
    a.state.contacts = vec![contact(3), contact(5)];
    b.state.contacts = vec![contact(4)];
    let from = std::mem::take(&mut b.state);
    a.step(at("2026-03-05T15:00:00Z"), |step, state| step.merge(state, from));
    assert_eq!(a.state.contacts.iter().map(|it| it.at).collect::<Vec<_>>(), [3, 4, 5]);
}
