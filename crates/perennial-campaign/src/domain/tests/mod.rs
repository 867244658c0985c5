//! Whole journeys over a simulated feed: records in order of time, timers exactly as the feed fires them.

mod arbitration;
mod merges;
mod returns;
mod rules;
mod stories;

use std::collections::BTreeMap;
use std::sync::Arc;

use perennial_types::{
    CartLine, Channel, ConsentChange, Currency, Fact, FactKind, OrderChange, OrderPlaced, ProfileId,
    Properties, Purpose, Timestamp, Workspace, from_micros, micros,
};
use uuid::Uuid;

use super::book::Entry;
use super::definition;
use super::effect::{Decision, Outcome};
use super::state::Score;
use super::state::State;
use super::{Book, Lifecycle, Policy, Row, Send, Step};

/// One profile under test.
pub struct Sim {
    pub book: Book,
    pub policy: Policy,
    pub state: State,
    pub profile: ProfileId,
    pub sends: Vec<Send>,
    pub decisions: Vec<Decision>,
    pub rows: Vec<Row>,
    /// How far the clock is ahead of what is applied.
    /// What others derive is not there yet.
    pub stale: bool,
    pub behind: i64,
    pub timer: Option<i64>,
    facts: u128,
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn book(definitions: &[&str]) -> Book {
    let mut campaigns = BTreeMap::new();
    for text in definitions {
        let campaign =
            definition::read(text, Currency::EUR).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let versions = [(1, Arc::new(campaign.clone()))].into();
        campaigns.insert(campaign.name.clone(), Entry { lifecycle: Lifecycle::Live, version: 1, versions });
    }
    Book::new(campaigns)
}

impl Sim {
    /// A reachable, consenting customer in Madrid.
    pub fn new(definitions: &[&str]) -> Self {
        let mut sim = Self::bare(definitions, 1);
        sim.state.zone = "Europe/Madrid".to_owned();
        sim.state.reachable = ["email".to_owned()].into();
        sim.state.consent = [("email/marketing".to_owned(), true)].into();
        sim
    }

    pub fn bare(definitions: &[&str], profile: u128) -> Self {
        let state = State { draw_key: format!("key-{profile}"), ..State::default() };
        Self {
            book: book(definitions),
            policy: Policy::default(),
            state,
            profile: ProfileId(Uuid::from_u128(profile)),
            sends: vec![],
            decisions: vec![],
            rows: vec![],
            behind: 0,
            stale: false,
            timer: None,
            facts: profile << 64,
        }
    }

    /// Fires every timer due up to and including `until`.
    pub fn advance(&mut self, until: Timestamp) {
        for _ in 0..10_000 {
            match self.timer {
                Some(due) if due <= micros(until) => {
                    self.step(from_micros(due), |step, state| step.timer(state));
                    assert!(self.timer.is_none_or(|it| it >= due), "timers do not go back: {:?}", self.state);
                }
                _ => return,
            }
        }
        panic!("timers without end: {:?}", self.state);
    }

    /// One step, with its effects; the timer is set as the worker sets it.
    pub fn step(&mut self, at: Timestamp, run: impl FnOnce(&mut Step<'_>, &mut State)) {
        self.step_as(at, false, run);
    }

    pub fn step_as(&mut self, at: Timestamp, historical: bool, run: impl FnOnce(&mut Step<'_>, &mut State)) {
        let workspace = Workspace::parse("main").unwrap();
        let mut step = Step {
            book: &self.book,
            policy: &self.policy,
            workspace: &workspace,
            profile: self.profile,
            at,
            now: from_micros(micros(at) + self.behind),
            historical,
            stale: self.stale,
            effects: Default::default(),
        };
        run(&mut step, &mut self.state);
        let effects = step.effects;
        self.timer = self.state.next_due();
        // What is kept between steps is what survives as JSON.
        let json = serde_json::to_string(&self.state).unwrap();
        let kept: State = serde_json::from_str(&json).unwrap();
        assert_eq!(kept, self.state);
        for row in &effects.rows {
            if let Row::Decision(it) = row {
                self.decisions.push((**it).clone());
            }
        }
        self.rows.extend(effects.rows);
        self.sends.extend(effects.sends);
    }

    pub fn fact(&mut self, time: &str, kind: FactKind, name: &str, properties: Properties) {
        self.fact_at(at(time), kind, name, properties);
    }

    pub fn fact_at(&mut self, time: Timestamp, kind: FactKind, name: &str, properties: Properties) {
        self.advance(time);
        self.facts += 1;
        let fact =
            Fact { id: Uuid::from_u128(self.facts), name: name.to_owned(), at: time, properties, kind };
        self.step(time, |step, state| step.fact(state, &fact));
    }

    pub fn track(&mut self, time: &str, name: &str) {
        self.fact(time, FactKind::Tracked, name, Properties::new());
    }

    pub fn order(&mut self, time: &str, id: &str, revenue: i64) {
        let order = OrderPlaced {
            order_id: id.to_owned(),
            currency: Currency::EUR,
            revenue,
            discount: 0,
            profit: revenue / 2,
            cost_known_per_mille: 1_000,
            coupon: None,
            lines: vec![],
        };
        self.fact(time, FactKind::Order(OrderChange::Placed(order)), "Order Completed", Properties::new());
    }

    pub fn cart(&mut self, time: &str, id: &str, products: &[(&str, i64, i64)]) {
        let lines = products
            .iter()
            .map(|(name, quantity, price)| CartLine {
                product_id: (*name).to_owned(),
                name: Some((*name).to_uppercase()),
                quantity: *quantity,
                price: *price,
            })
            .collect();
        let kind = FactKind::CartChanged { cart_id: id.to_owned(), lines };
        self.fact(time, kind, "Product Added", Properties::new());
    }

    pub fn consent(&mut self, time: &str, granted: bool) {
        let change = ConsentChange {
            channel: Channel::Email,
            purpose: Purpose::Marketing,
            granted,
            source: "identify".to_owned(),
        };
        self.fact(time, FactKind::Consent(change), "Identify", Properties::new());
    }

    pub fn score(&mut self, time: &str, overdue: &str, profit_90d: i64) {
        let time = at(time);
        self.advance(time);
        let score = Score {
            model: "bg-nbd@1".to_owned(),
            overdue: micros(at(overdue)),
            profit_90d,
            clv_12m: profit_90d * 3,
            ..Score::default()
        };
        self.step(time, |step, state| step.score(state, score));
    }

    /// What was decided: instant, campaign, step, outcome.
    pub fn story(&self) -> Vec<String> {
        self.decisions
            .iter()
            .map(|it| {
                let step = if it.step.is_empty() { String::new() } else { format!("/{}", it.step) };
                format!("{} {}{step} {}", from_micros(it.at), it.campaign, it.outcome.as_str())
            })
            .collect()
    }

    pub fn count(&self, outcome: Outcome) -> usize {
        self.decisions.iter().filter(|it| it.outcome == outcome).count()
    }

    pub fn reason(&self, outcome: Outcome) -> String {
        let found = self.decisions.iter().rev().find(|it| it.outcome == outcome);
        found
            .and_then(|it| it.reasons.first())
            .map(|it| format!("{}: {}", it.code, it.text))
            .unwrap_or_default()
    }
}
