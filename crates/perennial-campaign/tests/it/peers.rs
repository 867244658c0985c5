//! The services around campaign: two that take commands and keep them, two that tell on the feed what they are told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use perennial_api::ingestion::v1 as ingestion;
use perennial_api::loyalty::v1 as loyalty;
use perennial_api::notification::v1 as notification;
use perennial_feed::{Fold, FoldFault, Personal, Record, Turn};
use perennial_store::DatabaseTransaction;
use prost::Message as _;

/// What reached notification and loyalty.
#[derive(Clone, Default)]
pub struct Taken(Arc<Mutex<Ledger>>);

#[derive(Default)]
pub struct Ledger {
    pub messages: Vec<notification::MessageRequest>,
    pub coupons: Vec<loyalty::CouponRequest>,
    /// Events that reached ingestion.
    pub events: Vec<ingestion::Event>,
    pub calls: usize,
    /// Tenths of a percent off, by offer, other than ten percent.
    pub per_mille: BTreeMap<String, i32>,
    /// Offers that are refused.
    pub refused: BTreeSet<String>,
    /// How many calls fail before one is answered.
    pub failures: usize,
}

impl Taken {
    pub fn look(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn send(
        &self,
        request: notification::SendMessagesRequest,
    ) -> Option<notification::SendMessagesResponse> {
        let mut ledger = self.look();
        ledger.calls += 1;
        if ledger.failures > 0 {
            ledger.failures -= 1;
            return None;
        }
        let receipts = request.messages.into_iter().map(|it| {
            let message_id = it.message_id.clone();
            let known = ledger.messages.iter().any(|known| known.message_id == message_id);
            if !known {
                ledger.messages.push(it);
            }
            let outcome = if known { "duplicate" } else { "claimed" };
            notification::MessageReceipt { message_id, outcome: outcome.to_owned(), reason: String::new() }
        });
        let receipts = receipts.collect();
        Some(notification::SendMessagesResponse { receipts })
    }

    pub fn ingest(&self, request: ingestion::IngestEventsRequest) -> ingestion::IngestEventsResponse {
        let accepted = ingestion::EventOutcome {
            result: ingestion::event_outcome::Result::Accepted.into(),
            ..Default::default()
        };
        let outcomes = vec![accepted; request.events.len()];
        self.look().events.extend(request.events);
        ingestion::IngestEventsResponse { outcomes }
    }

    /// An offer by its name; none whose name begins with `no-`.
    pub fn offer(&self, name: &str) -> Option<loyalty::Offer> {
        let bare = name.rsplit('/').next().filter(|it| !it.starts_with("no-"))?;
        let per_mille = *self.look().per_mille.get(bare).unwrap_or(&100);
        Some(loyalty::Offer { name: name.to_owned(), per_mille, cost_minor: 500, ..Default::default() })
    }

    pub fn issue(&self, request: loyalty::IssueCouponsRequest) -> loyalty::IssueCouponsResponse {
        let mut ledger = self.look();
        ledger.calls += 1;
        let receipts = request.coupons.into_iter().map(|it| {
            let issue_id = it.issue_id.clone();
            if ledger.refused.contains(&it.offer) {
                let reason = "BUDGET_SPENT".to_owned();
                return loyalty::CouponReceipt { issue_id, reason, ..Default::default() };
            }
            let code = format!("{}-{}", it.offer, &issue_id[..4]);
            if !ledger.coupons.iter().any(|known| known.issue_id == issue_id) {
                ledger.coupons.push(it);
            }
            loyalty::CouponReceipt { issue_id, code, ..Default::default() }
        });
        let receipts = receipts.collect();
        loyalty::IssueCouponsResponse { receipts }
    }
}

/// Tells on a derived feed what a test puts into the ingestion feed for it, as scoring and segmentation do.
pub struct Echo(pub &'static str);

#[async_trait]
impl Fold for Echo {
    type State = ();
    type Row = ();
    type Book = ();

    async fn book(&self, _: &DatabaseTransaction) -> Result<Arc<()>, FoldFault> {
        Ok(Arc::new(()))
    }

    fn apply(&self, (): &(), turn: &mut Turn<()>, (): &mut (), record: &Record) -> Result<(), FoldFault> {
        let payload = &record.payload[..];
        match (self.0, &*record.kind) {
            ("scoring", "echo_score") => {
                let it =
                    perennial_api::scoring::v1::ScoreUpdated::decode(payload).map_err(FoldFault::poison)?;
                turn.append("score_updated", &it);
            }
            ("segmentation", "echo_stage") => {
                let it = perennial_api::segmentation::v1::StageChanged::decode(payload)
                    .map_err(FoldFault::poison)?;
                turn.append("stage_changed", &it);
            }
            _ => {}
        }
        Ok(())
    }

    fn fire(&self, (): &(), _: &mut Turn<()>, (): &mut (), _: &str) -> Result<(), FoldFault> {
        Ok(())
    }

    fn merge(&self, (): &(), _: &mut Turn<()>, (): &mut (), (): ()) -> Result<(), FoldFault> {
        Ok(())
    }

    fn personal(&self) -> &'static [Personal] {
        &[]
    }

    async fn write(&self, _: &DatabaseTransaction, _: Vec<()>) -> Result<(), FoldFault> {
        Ok(())
    }
}
