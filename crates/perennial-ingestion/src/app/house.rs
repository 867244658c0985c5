//! What nobody asks for: the weekly swap of the hashes, forgetting rejected events after 30 days and changes of
//! products after 90, erasures and undone merges that a crash left half done.

use jiff::SignedDuration;
use perennial_feed::Bell;
use perennial_store::Store;
use perennial_types::{Clock, Timestamp};
use tokio_util::sync::CancellationToken;

use super::{App, erasure, unmerge};
use crate::error::Result;
use crate::store::{catalogue, rejected, seen};

/// At least this often it is looked after.
const ROUND: SignedDuration = SignedDuration::from_hours(24);
/// After a failure, this much later.
const AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// Keeps house until told to stop.
pub async fn run(app: &App, bell: &Bell, clock: &Clock, stop: &CancellationToken) {
    let listener = bell.listener("ingestion housekeeping", [erasure::topic(), unmerge::topic()]);
    while !stop.is_cancelled() {
        let now = clock.now();
        let next = match round(app, now).await {
            Ok(next) => next,
            Err(error) => {
                tracing::warn!(error = %perennial_rpc::Chain(&error), "housekeeping is put off");
                now.checked_add(AGAIN).unwrap_or(now)
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = listener.idle(Some(next)) => {}
        }
    }
}

/// One round; says when the next is due.
async fn round(app: &App, now: Timestamp) -> Result<Timestamp> {
    app.go_on_erasing().await?;
    app.go_on_unmerging().await?;
    let store = &app.store;
    let tx = store.write().await?;
    seen::swap(&tx, now).await?;
    if let Ok(until) = now.checked_sub(rejected::KEPT) {
        rejected::forget(&tx, until).await?;
    }
    if let Ok(until) = now.checked_sub(catalogue::KEPT) {
        catalogue::forget_changes(&tx, until).await?;
    }
    Store::commit(tx).await?;
    let tomorrow = now.checked_add(ROUND).unwrap_or(Timestamp::MAX);
    let swap = seen::next_swap(store.read()).await?.unwrap_or(tomorrow);
    Ok(swap.min(tomorrow).max(now.checked_add(AGAIN).unwrap_or(now)))
}
