//! What can be done: one method a use case, one transaction each.

mod coupons;
mod observe;
mod offers;

use std::collections::{BTreeMap, BTreeSet};

use perennial_feed::{Bell, Topic};
use perennial_store::{DatabaseTransaction, Store, StoreError};
use perennial_types::{Clock, Currency, Timestamp, Workspace};

use crate::domain::coupon::{Coupon, use_accounts};
use crate::domain::ledger::Books;
use crate::metrics::Metrics;
use crate::store::{ledger, offers as stored_offers};

pub use coupons::{Order, Outcome};
pub use observe::{Seen, observe};
pub use offers::{Change, OfferChange, Totals};

/// The use cases.
#[derive(Clone, Debug)]
pub struct App {
    store: Store,
    clock: Clock,
    bell: Bell,
    currency: Currency,
    metrics: Metrics,
}

impl App {
    /// The use cases over this database.
    #[must_use]
    pub fn new(store: Store, clock: Clock, bell: Bell, currency: Currency) -> Self {
        let metrics = Metrics::new(&opentelemetry::global::meter("perennial.loyalty"));
        Self { store, clock, bell, currency, metrics }
    }

    /// Now, by the process's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Rings when a coupon's next instant may have changed.
    #[must_use]
    pub fn topic() -> Topic {
        Topic::other("loyalty coupons")
    }
}

/// Opens the books for anything that may happen to these coupons.
async fn books_of(
    tx: &DatabaseTransaction,
    workspace: &Workspace,
    coupons: &BTreeMap<String, Coupon>,
) -> Result<Books, StoreError> {
    let names: BTreeSet<&str> = coupons.values().map(|it| it.offer.as_str()).collect();
    let offers = stored_offers::find_all(tx, workspace, &names).await?;
    let (mut accounts, mut others) = (BTreeMap::new(), BTreeSet::new());
    for coupon in coupons.values() {
        if let Some(stored) = offers.get(&coupon.offer) {
            for (name, unit, floor) in use_accounts(&stored.offer, coupon) {
                accounts.insert(name, (unit, floor));
            }
            if !coupon.allowance.is_empty() {
                others.insert(coupon.allowance.clone());
            }
        }
    }
    ledger::open(tx, workspace, accounts, others).await
}
