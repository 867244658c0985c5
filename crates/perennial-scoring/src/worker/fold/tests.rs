//! The fold as the feed drives it, without a database.

use perennial_feed::Progress;
use perennial_types::{Fact, OrderChange, OrderPlaced, Properties, Scalar, from_micros};
use uuid::Uuid;

use super::*;
use crate::Config;

fn fact(n: u128, kind: FactKind) -> Fact {
    let properties: Properties = [("tier".to_owned(), Scalar::Text("gold".to_owned()))].into();
    Fact { id: Uuid::from_u128(n), name: "Any".to_owned(), at: from_micros(1_000_000), properties, kind }
}

fn bytes(fact: &Fact) -> Vec<u8> {
    prost::Message::encode_to_vec(&facts::encode(fact))
}

fn order(n: u128) -> Fact {
    let order = OrderPlaced {
        order_id: format!("A{n}"),
        currency: Currency::EUR,
        revenue: 5_000,
        discount: 0,
        profit: 2_000,
        cost_known_per_mille: 500,
        coupon: None,
        lines: vec![],
    };
    fact(n, FactKind::Order(OrderChange::Placed(order)))
}

fn record(fact: &Fact) -> Record {
    Record {
        seq: 1,
        workspace: Workspace::parse("main").unwrap(),
        profile: ProfileId(Uuid::nil()),
        kind: facts::KIND.into(),
        min_reader: 1,
        time: from_micros(2_000_000),
        origin: Progress { seq: 1, instant: from_micros(2_000_000) },
        historical: false,
        correction: false,
        payload: bytes(fact).into(),
    }
}

fn turn() -> Turn<Row> {
    Turn::new(Workspace::parse("main").unwrap(), ProfileId(Uuid::nil()), from_micros(2_000_000))
}

#[test]
fn an_order_told_twice_is_scored_once() {
    let fold = ScoreFold::new(Arc::new(Config::default().settings().unwrap()));
    let (book, mut state, mut turn) = (Book::new(), Customer::default(), turn());
    let record = record(&order(1));
    fold.apply(&book, &mut turn, &mut state, &record).unwrap();
    fold.apply(&book, &mut turn, &mut state, &record).unwrap();
    assert_eq!(turn.appended().len(), 1);
    let score: ScoreUpdated = prost::Message::decode(turn.appended()[0].1).unwrap();
    assert_eq!((score.orders, score.revenue_minor, score.profit_minor), (1, 5_000, 2_000));
    assert_eq!(score.overdue_micros, 1_000_000 + 180 * 86_400_000_000, "the workspace's maximum");
    assert_eq!(score.lapse_micros, 1_000_000 + 365 * 86_400_000_000);
    assert_eq!((score.model.as_str(), score.clv_12m_minor), ("", 0));
    assert_eq!(turn.rows().len(), 4, "a day, what was known at it, a score and the workspace's currency");
}

#[test]
fn a_cancelled_order_leaves_nothing_behind() {
    let fold = ScoreFold::new(Arc::new(Config::default().settings().unwrap()));
    let (book, mut state, mut turn) = (Book::new(), Customer::default(), turn());
    fold.apply(&book, &mut turn, &mut state, &record(&order(1))).unwrap();
    let cancelled = fact(2, FactKind::Order(OrderChange::Cancelled("A1".to_owned())));
    fold.apply(&book, &mut turn, &mut state, &record(&cancelled)).unwrap();
    let score: ScoreUpdated = prost::Message::decode(turn.appended()[1].1).unwrap();
    assert_eq!((score.orders, score.revenue_minor, score.overdue_micros), (0, 0, 0));
    let key = (turn.workspace().clone(), turn.profile());
    assert!(turn.rows().contains(&Row::Day((key.0.clone(), key.1, 0), None)));
    assert!(turn.rows().contains(&Row::Score(key.0, key.1, None)));
}

#[test]
fn a_visit_tells_only_what_has_changed() {
    let fold = ScoreFold::new(Arc::new(Config::default().settings().unwrap()));
    let (book, mut state, mut first) = (Book::new(), Customer::default(), turn());
    fold.apply(&book, &mut first, &mut state, &record(&order(1))).unwrap();
    let (before, mut visit) = (state.clone(), turn());
    fold.visit(&book, &mut visit, &mut state, "publish").unwrap();
    assert_eq!(state, before);
    assert!(visit.appended().is_empty() && visit.rows().is_empty(), "without a model it says what it said");
    state.told = 0;
    fold.visit(&book, &mut visit, &mut state, "publish").unwrap();
    assert_eq!(state, before);
    assert!(visit.historical(), "a new model starts nothing by itself");
    assert_eq!(visit.appended().len(), 1);
}

#[test]
fn recomputing_keeps_what_was_decided_by_an_earlier_model() {
    let fold = ScoreFold::new(Arc::new(Config::default().settings().unwrap()));
    let (book, mut old) = (Book::new(), Customer::default());
    fold.apply(&book, &mut turn(), &mut old, &record(&order(1))).unwrap();
    old.reactivated = true;
    let (mut fresh, mut again) = (Customer::default(), turn());
    fold.apply(&book, &mut turn(), &mut fresh, &record(&order(1))).unwrap();
    fold.refolded(&book, &mut again, &old, &mut fresh).unwrap();
    assert_eq!(fresh, old);
    assert!(again.appended().is_empty() && again.rows().is_empty());
}
