//! What loyalty does unasked: it ends reservations and validities at their instants, and reads the feed for orders that
//! used a coupon and for those that came to nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use perennial_feed::{Erasing, Fold, FoldFault, Listener, Parted, Personal, Record, Turn};
use perennial_rpc::facts::{self, About};
use perennial_store::DatabaseTransaction;
use perennial_types::{Fact, FactKind, OrderChange, OrderState, ProfileId, Workspace};
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
    fn later(&self, error: &crate::error::Error, failures: &mut u32) -> Option<perennial_types::Timestamp> {
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
    /// The code it named.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// It was passed on as placed.
    #[serde(rename = "p", default, skip_serializing_if = "std::ops::Not::not")]
    passed_on: bool,
}

/// Reads orders from ingestion's feed.
#[derive(Clone, Debug)]
pub struct Orders;

impl Orders {
    fn order(state: &mut State, turn: &mut Turn<(Workspace, Seen)>, fact: &Fact, change: &OrderChange) {
        let id = change.order_id();
        let named = match change {
            OrderChange::Placed(it) => it.coupon.as_deref().map(|it| it.trim().to_uppercase()),
            _ => None,
        };
        let named = named.filter(|it| !it.is_empty());
        if let (OrderChange::Placed(_), None, false) = (change, &named, state.orders.contains_key(id)) {
            return;
        }
        let known = state.orders.entry(id.to_owned()).or_default();
        known.order.apply(&fact.id.to_string(), fact.at, change);
        known.code = named.or(known.code.take());
        known.settle(id, turn, fact.at);
    }
}

impl Known {
    /// Passes on what changed.
    fn settle(&mut self, id: &str, turn: &mut Turn<(Workspace, Seen)>, at: perennial_types::Timestamp) {
        let (counts, workspace) = (self.order.counts(), turn.workspace().clone());
        match (&self.code, self.order.placed_at()) {
            (Some(code), Some(placed)) if counts && !self.passed_on => {
                let seen = Seen::Placed {
                    profile: turn.profile(),
                    order: id.to_owned(),
                    code: code.clone(),
                    discount: self.order.discount(),
                    at: placed,
                };
                turn.row((workspace, seen));
                self.passed_on = true;
            }
            _ if !counts && self.passed_on => {
                turn.row((workspace, Seen::Undone { order: id.to_owned(), at }));
                self.passed_on = false;
            }
            _ => {}
        }
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
            known.order.merge(other.order);
            known.code = known.code.take().or(other.code);
            known.passed_on |= other.passed_on;
            known.settle(&id, turn, at);
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
