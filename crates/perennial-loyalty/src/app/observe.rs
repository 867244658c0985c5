//! What orders on the feed say about coupons: redeemed, undone; and whose a coupon has become.

use std::collections::{BTreeMap, BTreeSet};

use perennial_store::{DatabaseTransaction, StoreError};
use perennial_types::{ProfileId, Timestamp, Workspace};

use super::books_of;
use crate::domain::observe as domain;
use crate::store::exceptions::StoredException;
use crate::store::{coupons, exceptions, ledger, merges};

/// Something the feed told, for one profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// An order was placed with a coupon.
    Placed {
        /// Whose order.
        profile: ProfileId,
        /// The order.
        order: String,
        /// The code it used.
        code: String,
        /// What it got off in all, minor units.
        discount: i64,
        /// When it was placed.
        at: Timestamp,
    },
    /// An order came to nothing: cancelled, or wholly refunded.
    Undone {
        /// The order.
        order: String,
        /// When.
        at: Timestamp,
    },
    /// A profile became another.
    Merged {
        /// The one that ended.
        from: ProfileId,
        /// The survivor.
        into: ProfileId,
    },
    /// A profile that had become another one is itself again.
    Returned {
        /// The profile.
        profile: ProfileId,
        /// Those that had become it.
        leaves: Vec<ProfileId>,
    },
}

/// Takes in what was seen, in order, with the ledger's postings in the same transaction. Seeing the same again changes
/// nothing.
///
/// # Errors
/// If the database refuses.
pub async fn observe(
    tx: &DatabaseTransaction,
    workspace: &Workspace,
    seen: &[Seen],
) -> Result<(), StoreError> {
    let merged = seen.iter().filter_map(|it| match it {
        Seen::Merged { from, into } => Some((*from, *into)),
        _ => None,
    });
    merges::save(tx, workspace, &merged.collect()).await?;
    for it in seen {
        if let Seen::Returned { profile, leaves } = it {
            merges::undo(tx, workspace, *profile, leaves).await?;
        }
    }
    let codes: BTreeSet<&str> = seen
        .iter()
        .filter_map(|it| match it {
            Seen::Placed { code, .. } => Some(code.as_str()),
            _ => None,
        })
        .collect();
    let orders: BTreeSet<&str> = seen
        .iter()
        .filter_map(|it| match it {
            Seen::Placed { order, .. } | Seen::Undone { order, .. } => Some(order.as_str()),
            Seen::Merged { .. } | Seen::Returned { .. } => None,
        })
        .collect();
    if orders.is_empty() {
        return Ok(());
    }
    let mut known = exceptions::of_orders(tx, workspace, orders.iter().copied()).await?;
    let codes = codes.into_iter().chain(known.values().map(|it| it.code.as_str())).collect::<BTreeSet<_>>();
    let mut found = coupons::lock(tx, workspace, codes.into_iter(), orders.iter().copied()).await?;
    if found.is_empty() {
        return Ok(());
    }
    let profiles = found.values().map(|it| it.profile).chain(seen.iter().filter_map(|it| match it {
        Seen::Placed { profile, .. } => Some(*profile),
        _ => None,
    }));
    let current = merges::current(tx, workspace, &profiles.collect()).await?;
    let become_now = |it: ProfileId| *current.get(&it).unwrap_or(&it);
    let mut books = books_of(tx, workspace, &found).await?;
    let mut changed: BTreeMap<(String, String), StoredException> = BTreeMap::new();
    for it in seen {
        match it {
            Seen::Placed { profile, order, code, discount, at } => {
                let key = (code.clone(), order.clone());
                let Some(coupon) = found.get_mut(code) else { continue };
                if known.get(&key).is_some_and(|it| it.apart && !it.undone) {
                    continue;
                }
                let owner = become_now(coupon.profile);
                let profile = if become_now(*profile) == owner { coupon.profile } else { *profile };
                if let Some(it) = domain::observe(&mut books, coupon, profile, order, *discount, *at) {
                    let exception = StoredException {
                        code: it.code,
                        order: it.order,
                        offer: coupon.offer.clone(),
                        reason: it.reason.reason().to_owned(),
                        cost: it.cost,
                        apart: it.apart,
                        at: *at,
                        undone: false,
                    };
                    known.insert(key.clone(), exception.clone());
                    changed.insert(key, exception);
                }
            }
            Seen::Undone { order, at } => {
                for coupon in found.values_mut().filter(|it| it.order.as_deref() == Some(order)) {
                    coupon.release(&mut books, order, *at);
                }
                for (key, exception) in
                    known.iter_mut().filter(|((_, it), stored)| it == order && !stored.undone)
                {
                    if exception.apart
                        && let Some(coupon) = found.get_mut(&exception.code)
                    {
                        domain::take_back(&mut books, coupon, exception.cost, *at);
                    }
                    exception.undone = true;
                    changed.insert(key.clone(), exception.clone());
                }
            }
            Seen::Merged { .. } | Seen::Returned { .. } => {}
        }
    }
    coupons::update(tx, workspace, found.values()).await?;
    ledger::close(tx, workspace, books).await?;
    exceptions::save(tx, workspace, changed.values()).await
}
