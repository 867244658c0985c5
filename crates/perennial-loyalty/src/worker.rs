//! What loyalty does unasked: it ends reservations and validities at their instants, and reads the feed for orders that
//! used a coupon and for those that came to nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use perennial_feed::{Erasing, Fold, FoldFault, Listener, Parted, Personal, Record, Turn};
use perennial_rpc::facts::{self, About};
use perennial_store::DatabaseTransaction;
use perennial_types::{Fact, FactKind, OrderChange, OrderState, ProfileId, Timestamp, Workspace, micros};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::app::{App, Seen, observe};
use crate::store;

/// Ends what has come to its end, at the exact instant, until told to stop.
pub async fn end_coupons(app: App, listener: Listener, stop: CancellationToken) {
    let mut failures: u32 = 0;
    loop {
        let due = match app.end_due().await {
            Ok(0) => match app.next_end().await {
                Ok(due) => {
                    failures = 0;
                    due
                }
                Err(error) => app.later(&error, &mut failures),
            },
            Ok(_) => {
                failures = 0;
                continue;
            }
            Err(error) => app.later(&error, &mut failures),
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = listener.idle(due) => {}
        }
    }
}

impl App {
    fn later(&self, error: &crate::error::Error, failures: &mut u32) -> Option<Timestamp> {
        warn!(error = %perennial_rpc::Chain(error), "coupons wait to end");
        *failures += 1;
        self.now().checked_add(Duration::from_millis(100 << (*failures).min(8))).ok()
    }
}

/// What is known of one profile's orders, as far as coupons are concerned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Orders that named a coupon, or of which only the end is known yet.
    #[serde(rename = "o", default, skip_serializing_if = "BTreeMap::is_empty")]
    orders: BTreeMap<String, Known>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Known {
    #[serde(rename = "s")]
    order: OrderState,
    /// The code it named, by the latest telling that names one: the others say nothing of coupons.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// What it got off by that telling, in minor units.
    #[serde(rename = "d", default)]
    discount: i64,
    /// Event time of that telling, in microseconds.
    #[serde(rename = "t", default)]
    told: i64,
    /// It was passed on as placed.
    #[serde(rename = "p", default, skip_serializing_if = "std::ops::Not::not")]
    passed_on: bool,
    /// It was passed on as placed, and as undone since.
    #[serde(rename = "e", default, skip_serializing_if = "std::ops::Not::not")]
    ended: bool,
}

/// Reads orders from ingestion's feed.
#[derive(Clone, Debug)]
pub struct Orders;

impl Orders {
    fn order(state: &mut State, turn: &mut Turn<(Workspace, Seen)>, fact: &Fact, change: &OrderChange) {
        let id = change.order_id();
        let named = match change {
            OrderChange::Placed(it) => {
                let code = it.coupon.as_deref().map(|it| it.trim().to_uppercase());
                code.filter(|it| !it.is_empty()).map(|code| (micros(fact.at), it.discount, Some(code)))
            }
            _ => None,
        };
        if let (OrderChange::Placed(_), None, false) = (change, &named, state.orders.contains_key(id)) {
            return;
        }
        let known = state.orders.entry(id.to_owned()).or_default();
        let before = known.used();
        known.order.apply(&fact.id.to_string(), fact.at, change);
        if let Some(named) = named {
            known.name(named);
        }
        known.settle(id, turn, fact.at, before);
    }
}

/// What an order did with coupons: when that was told, what it got off, and by which code.
type Used = (i64, i64, Option<String>);

impl Known {
    fn used(&self) -> Used {
        (self.told, self.discount, self.code.clone())
    }

    /// Takes in a telling that names a code, unless a later one is known; of two at one instant the one that gave more
    /// counts, so that their order of arrival is no matter.
    fn name(&mut self, named: Used) {
        if self.code.is_none() || named > self.used() {
            (self.told, self.discount, self.code) = named;
        }
    }

    /// Passes on what changed from `before`.
    fn settle(&mut self, id: &str, turn: &mut Turn<(Workspace, Seen)>, at: Timestamp, before: Used) {
        let counts = self.order.counts();
        // Another telling knew better what the coupon was worth: it is used anew.
        let is_new = (before.1, &before.2) != (self.discount, &self.code);
        if let (true, true, Some(placed)) = (is_new, self.passed_on, self.order.placed_at()) {
            self.undo(id, turn, placed);
        }
        // Of an order whose end came first, too, it is told how it used its coupon: then it had been that way in any order.
        if let (Some(code), Some(placed)) = (&self.code, self.order.placed_at())
            && !self.passed_on
            && (counts || is_new || !self.ended)
        {
            let seen = Seen::Placed {
                profile: turn.profile(),
                order: id.to_owned(),
                code: code.clone(),
                discount: self.discount,
                at: placed,
            };
            turn.row((turn.workspace().clone(), seen));
            self.passed_on = true;
        }
        if self.passed_on && !counts {
            self.undo(id, turn, at);
        }
    }

    fn undo(&mut self, id: &str, turn: &mut Turn<(Workspace, Seen)>, at: Timestamp) {
        turn.row((turn.workspace().clone(), Seen::Undone { order: id.to_owned(), at }));
        (self.passed_on, self.ended) = (false, true);
    }
}

#[async_trait]
impl Fold for Orders {
    type State = State;
    type Row = (Workspace, Seen);
    type Book = ();

    async fn book(&self, _: &DatabaseTransaction) -> Result<Arc<()>, FoldFault> {
        Ok(Arc::new(()))
    }

    fn concerns(&self, record: &Record) -> bool {
        record.kind == facts::KIND && matches!(facts::about(&record.payload), Some(About::Order) | None)
    }

    fn apply(
        &self,
        (): &(),
        turn: &mut Turn<Self::Row>,
        state: &mut State,
        record: &Record,
    ) -> Result<(), FoldFault> {
        let fact = facts::decode(&record.payload).map_err(FoldFault::poison)?;
        if let FactKind::Order(change) = &fact.kind {
            Self::order(state, turn, &fact, change);
        }
        Ok(())
    }

    fn fire(&self, (): &(), _: &mut Turn<Self::Row>, _: &mut State, _: &str) -> Result<(), FoldFault> {
        Ok(())
    }

    fn depart(
        &self,
        (): &(),
        turn: &mut Turn<Self::Row>,
        _: &State,
        into: ProfileId,
    ) -> Result<(), FoldFault> {
        let row = (turn.workspace().clone(), Seen::Merged { from: turn.profile(), into });
        turn.row(row);
        Ok(())
    }

    fn merge(
        &self,
        (): &(),
        turn: &mut Turn<Self::Row>,
        into: &mut State,
        from: State,
    ) -> Result<(), FoldFault> {
        let at = turn.at();
        for (id, other) in from.orders {
            let known = into.orders.entry(id.clone()).or_default();
            let before =
                if known.passed_on { known.used() } else { (other.told, other.discount, other.code.clone()) };
            known.order.merge(other.order);
            if other.code.is_some() {
                known.name((other.told, other.discount, other.code));
            }
            known.passed_on |= other.passed_on;
            known.ended |= other.ended;
            known.settle(&id, turn, at, before);
        }
        Ok(())
    }

    fn parted(
        &self,
        (): &(),
        turn: &mut Turn<Self::Row>,
        old: &mut State,
        parted: &Parted<State>,
    ) -> Result<(), FoldFault> {
        // Coupons know for whom they were issued, and the ledger knows coupons: both go back with the profile.
        if let Parted::Returned { leaves } = parted {
            let (profile, leaves) = (turn.profile(), leaves.clone());
            let row = (turn.workspace().clone(), Seen::Returned { profile, leaves });
            turn.row(row);
            *old = State::default();
        }
        Ok(())
    }

    fn personal(&self) -> &'static [Personal] {
        &store::PERSONAL
    }

    async fn erase(
        &self,
        tx: &DatabaseTransaction,
        erasing: &mut Erasing,
        state: &State,
    ) -> Result<(), FoldFault> {
        let orders = state.orders.keys().map(String::as_str);
        Ok(store::erase(tx, erasing, orders).await?)
    }

    async fn write(&self, tx: &DatabaseTransaction, rows: Vec<Self::Row>) -> Result<(), FoldFault> {
        let mut by_workspace: BTreeMap<Workspace, Vec<Seen>> = BTreeMap::new();
        for (workspace, seen) in rows {
            by_workspace.entry(workspace).or_default().push(seen);
        }
        for (workspace, seen) in by_workspace {
            observe(tx, &workspace, &seen).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_types::{Currency, OrderPlaced};

    #[test]
    fn the_latest_telling_that_names_a_coupon_counts_whichever_comes_first() {
        let tellings = [(5, 200, "A"), (7, 300, "A"), (7, 300, "B"), (7, 250, "C")];
        let told = |tellings: &mut dyn Iterator<Item = &(i64, i64, &str)>| {
            let mut known = Known::default();
            tellings.for_each(|(at, discount, code)| known.name((*at, *discount, Some((*code).to_owned()))));
            known.used()
        };
        let straight = told(&mut tellings.iter());
        assert_eq!(straight, (7, 300, Some("B".to_owned())));
        assert_eq!(told(&mut tellings.iter().rev()), straight);
    }

    #[test]
    fn of_an_order_whose_end_comes_first_it_is_told_that_it_used_its_coupon() {
        let (workspace, noon) = (Workspace::parse("main").unwrap(), Timestamp::from_second(43_200).unwrap());
        let told = |changes: &[OrderChange]| {
            let (mut state, mut seen) = (State::default(), Vec::new());
            for (n, change) in (1_u128..).zip(changes) {
                let mut turn = Turn::new(workspace.clone(), ProfileId(uuid::Uuid::from_u128(1)), noon);
                let fact = Fact {
                    id: uuid::Uuid::from_u128(n),
                    name: String::new(),
                    at: noon,
                    properties: Default::default(),
                    kind: FactKind::Order(change.clone()),
                };
                Orders::order(&mut state, &mut turn, &fact, change);
                seen.extend(turn.rows().iter().map(|(_, it)| match it {
                    Seen::Placed { discount, .. } => *discount,
                    _ => -1,
                }));
            }
            seen
        };
        let placed = |discount| {
            OrderChange::Placed(OrderPlaced {
                order_id: "o1".to_owned(),
                currency: Currency::parse("EUR").unwrap(),
                revenue: 900,
                discount,
                profit: 300,
                cost_known_per_mille: 0,
                coupon: Some("GIFT-1".to_owned()),
                lines: Vec::new(),
            })
        };
        let cancelled = OrderChange::Cancelled("o1".to_owned());
        assert_eq!(told(&[placed(200), cancelled.clone(), placed(200)]), [200, -1]);
        assert_eq!(told(&[cancelled.clone(), placed(200), placed(200)]), [200, -1]);
        assert_eq!(told(&[cancelled, placed(200), placed(300)]), [200, -1, 300, -1]);
    }
}
