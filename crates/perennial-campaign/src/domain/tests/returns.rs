//! Messages that come back from notification or loyalty.

use perennial_types::{FactKind, Properties};

use super::{Sim, at};
use crate::domain::effect::Outcome;
use crate::domain::policy::Cap;
use crate::domain::{Lifecycle, Row};

const NEWS: &str = "kind: Campaign\nname: news\ntrigger: { event: Go }\nholdout: 0%\n\
    goal: { event: Order Completed, within: 10d }\nsteps:\n  - message: { template: news }\n";
const OTHER: &str = "kind: Campaign\nname: other\ntrigger: { event: Go }\nholdout: 0%\npriority: -1\n\
    steps:\n  - message: { template: other, expires: 10d }\n";

impl Sim {
    /// The message of the `nth` send comes back.
    fn comes_back(&mut self, time: &str, nth: usize, event: &str, reason: &str) {
        self.advance(at(time) - jiff::SignedDuration::from_secs(1));
        let decision = self.sends[nth].decision.to_string();
        let properties: Properties =
            [("decision_id".to_owned(), decision.as_str().into()), ("reason".to_owned(), reason.into())]
                .into();
        self.fact(time, FactKind::Tracked, event, properties);
        self.advance(at(time));
    }

    fn templates(&self) -> Vec<&str> {
        self.sends.iter().map(|it| it.template.as_str()).collect()
    }
}

#[test]
fn an_expired_message_is_decided_again_while_its_step_makes_sense() {
    let mut sim = Sim::new(&[NEWS]);
    sim.track("2026-06-01T18:00:00Z", "Go");
    sim.advance(at("2026-06-01T18:30:00Z"));
    // Quiet hours begin at 21:00 in Madrid, 19:00 here: the server was away until then.
    sim.comes_back("2026-06-01T19:00:01Z", 0, "Message Expired", "PAST_NOT_AFTER");
    assert!(sim.state.contacts.is_empty(), "what was not sent does not count");
    assert_eq!(sim.sends.len(), 1);
    let text = sim.reason(Outcome::Expired);
    assert_eq!(text, "returned: not delivered: PAST_NOT_AFTER; decided on again until 2026-06-04T18:00:00Z");
    let noted = sim.rows.iter().any(|it| {
        matches!(it, Row::Returned { decision, delivery: "expired", reason }
            if *decision == sim.sends[0].decision && reason == "PAST_NOT_AFTER")
    });
    assert!(noted);
    sim.advance(at("2026-06-02T12:00:00Z"));
    assert_eq!(sim.templates(), ["news", "news"]);
    let (first, second) = (&sim.sends[0], &sim.sends[1]);
    assert_ne!(first.message, second.message, "it is another message");
    assert_ne!(first.occurrence, second.occurrence);
    assert_eq!(sim.state.contacts.len(), 1);
    // Told twice, the first one changes nothing.
    sim.comes_back("2026-06-02T12:00:01Z", 0, "Message Expired", "PAST_NOT_AFTER");
    assert_eq!(sim.state.contacts.len(), 1);
    // It comes back until the step's own limit, and not beyond it.
    sim.comes_back("2026-06-02T19:00:01Z", 1, "Message Expired", "PAST_NOT_AFTER");
    sim.advance(at("2026-06-03T12:00:00Z"));
    sim.comes_back("2026-06-04T18:00:01Z", 2, "Message Expired", "PAST_NOT_AFTER");
    sim.advance(at("2026-07-01T00:00:00Z"));
    assert_eq!(sim.sends.len(), 3);
    assert_eq!(sim.reason(Outcome::Expired), "returned: not delivered: PAST_NOT_AFTER");
    assert!(sim.state.instances.is_empty() && sim.state.underway.is_empty());
}

#[test]
fn a_refused_message_is_final_and_its_slot_goes_to_who_waits() {
    let mut sim = Sim::new(&[NEWS, OTHER]);
    sim.policy.caps = vec![Cap::parse("1 per 7d").unwrap()];
    sim.track("2026-06-01T09:00:00Z", "Go");
    sim.advance(at("2026-06-01T10:00:00Z"));
    assert_eq!(sim.templates(), ["news"]);
    sim.comes_back("2026-06-01T10:00:00Z", 0, "Message Refused", "ADDRESS_SUPPRESSED");
    assert_eq!(sim.templates(), ["news", "other"], "the freed slot is arbitrated at once");
    assert_eq!(sim.reason(Outcome::Refused), "returned: not delivered: ADDRESS_SUPPRESSED");
    sim.advance(at("2026-07-01T00:00:00Z"));
    assert_eq!(sim.sends.len(), 2);
}

#[test]
fn whoever_reached_the_goal_or_was_told_something_newer_gets_no_repeat() {
    let mut sim = Sim::new(&[NEWS]);
    sim.track("2026-06-01T09:00:00Z", "Go");
    sim.order("2026-06-01T10:00:00Z", "1", 1_000);
    sim.comes_back("2026-06-01T11:00:00Z", 0, "Message Expired", "PAST_NOT_AFTER");
    assert_eq!(sim.sends.len(), 1);

    let ladder = "kind: Campaign\nname: ladder\ntrigger: { event: Go }\nholdout: 0%\nsteps:\n  \
        - message: { template: first }\n  - wait: 1d\n  - message: { template: second }\n";
    let mut sim = Sim::new(&[ladder]);
    sim.track("2026-06-01T09:00:00Z", "Go");
    sim.advance(at("2026-06-02T12:00:00Z"));
    assert_eq!(sim.templates(), ["first", "second"]);
    sim.comes_back("2026-06-02T12:00:00Z", 0, "Message Expired", "PAST_NOT_AFTER");
    sim.advance(at("2026-06-03T12:00:00Z"));
    assert_eq!(sim.sends.len(), 2);

    // Waiting to be sent again, it is stopped by the goal, once, and said so.
    let mut sim = Sim::new(&[NEWS]);
    sim.track("2026-06-01T18:00:00Z", "Go");
    sim.comes_back("2026-06-01T19:30:00Z", 0, "Message Expired", "PAST_NOT_AFTER");
    sim.order("2026-06-01T20:00:00Z", "1", 1_000);
    sim.advance(at("2026-06-10T00:00:00Z"));
    assert_eq!(sim.sends.len(), 1);
    assert_eq!(sim.reason(Outcome::Skipped), "overtaken: the goal was reached before it could be sent");
}

#[test]
fn a_stopped_campaign_sends_nothing_again_and_a_delivered_message_is_settled() {
    let mut sim = Sim::new(&[NEWS]);
    sim.track("2026-06-01T09:00:00Z", "Go");
    sim.advance(at("2026-06-01T09:00:00Z"));
    let mut entry = sim.book.entry("news").unwrap().clone();
    entry.lifecycle = Lifecycle::Stopped;
    sim.book = crate::domain::Book::new([("news".to_owned(), entry)].into());
    sim.comes_back("2026-06-01T10:00:00Z", 0, "Message Expired", "PAST_NOT_AFTER");
    sim.advance(at("2026-06-09T00:00:00Z"));
    assert_eq!(sim.sends.len(), 1);

    let mut sim = Sim::new(&[NEWS]);
    sim.track("2026-06-01T09:00:00Z", "Go");
    sim.advance(at("2026-06-01T09:00:00Z"));
    let reaction = perennial_types::MessageReaction {
        decision_id: sim.sends[0].decision,
        campaign: "news".to_owned(),
        step: "news".to_owned(),
        event: perennial_types::MessageEvent::Delivered,
    };
    sim.fact("2026-06-01T09:00:02Z", FactKind::Message(reaction), "Email Delivered", Properties::new());
    assert!(sim.state.underway.is_empty());
    assert_eq!(sim.state.contacts.len(), 1);
}
