//! Hands messages to notification, and has loyalty issue the coupons they carry first.
//!
//! Both are idempotent by their ids, which derive from campaign, profile, run and step: a crash between the two, or
//! before the answer is noted, repeats the same calls and changes nothing.

mod events;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use perennial_api::campaign::v1::SendCommand;
use perennial_api::loyalty::v1::loyalty_service_client::LoyaltyServiceClient;
use perennial_api::loyalty::v1::{CampaignBudget, CouponRequest, IssueCouponsRequest};
use perennial_api::notification::v1::notification_service_client::NotificationServiceClient;
use perennial_api::notification::v1::{MessageRequest, SendMessagesRequest};
use perennial_feed::{Command, Deliver, Outbox};
use perennial_rpc::{Transport, structs, time};
use perennial_store::Store;
use perennial_types::{Clock, Currency, Workspace, from_micros};
use prost::Message as _;
use uuid::Uuid;

use crate::metrics::Metrics;
use crate::store::{decisions, pauses};

pub use events::{INGESTION, ToIngestion};

/// What campaign calls.
#[derive(Clone)]
pub struct Peers {
    /// Sends messages.
    pub notification: NotificationServiceClient<Transport>,
    /// Issues coupons.
    pub loyalty: LoyaltyServiceClient<Transport>,
}

/// Delivers send commands.
pub struct Sender {
    store: Store,
    peers: Peers,
    clock: Clock,
    outbox: Outbox,
    currency: Currency,
    metrics: Metrics,
}

/// A command that was read, and the coupon it carries once it is issued.
struct Letter {
    id: Uuid,
    decision: Uuid,
    send: SendCommand,
    coupon: Option<serde_json::Value>,
}

/// What became of commands.
#[derive(Default)]
struct Answers {
    /// Ids and decisions by outcome and reason.
    by_outcome: BTreeMap<(String, String), Vec<(Uuid, Uuid)>>,
    /// Events for ingestion about those that notification never saw.
    events: Vec<Command>,
}

impl Sender {
    /// A sender that notes in `store` what became of each command, and leaves events for ingestion in `outbox`.
    #[must_use]
    pub fn new(
        store: Store,
        peers: Peers,
        clock: Clock,
        outbox: Outbox,
        currency: Currency,
        metrics: Metrics,
    ) -> Self {
        Self { store, peers, clock, outbox, currency, metrics }
    }

    async fn workspace(&self, workspace: &Workspace, letters: Vec<Letter>) -> Result<Vec<Uuid>, String> {
        let mut answers = Answers::default();
        // After a crash: what was refused and told as refused stays so, whatever loyalty would say now.
        let with_offer: Vec<Uuid> =
            letters.iter().filter(|it| it.send.coupon.is_some()).map(|it| it.decision).collect();
        let refused = match with_offer.is_empty() {
            true => BTreeSet::new(),
            false => decisions::refused(self.store.read(), workspace, with_offer)
                .await
                .map_err(|error| error.to_string())?,
        };
        let (over, letters): (Vec<_>, Vec<_>) =
            letters.into_iter().partition(|it| refused.contains(&it.decision));
        let letters = self.with_coupons(workspace, letters, &mut answers).await?;
        if !letters.is_empty() {
            self.hand_over(workspace, letters, &mut answers).await?;
        }
        let tx = self.store.write().await.map_err(|error| error.to_string())?;
        let mut done: Vec<Uuid> = over.iter().map(|it| it.id).collect();
        let Answers { by_outcome, events } = answers;
        for ((delivery, reason), ids) in by_outcome {
            self.metrics.answered(ids.len(), &delivery);
            let (commands, of): (Vec<_>, Vec<_>) = ids.into_iter().unzip();
            decisions::delivered(&tx, workspace, of, &delivery, &reason)
                .await
                .map_err(|error| error.to_string())?;
            done.extend(commands);
        }
        let told = !events.is_empty();
        if told {
            self.outbox.leave(&tx, events).await.map_err(|error| error.to_string())?;
        }
        Store::commit(tx).await.map_err(|error| error.to_string())?;
        if told {
            self.outbox.ring(INGESTION);
        }
        Ok(done)
    }

    /// Issues the coupons that messages carry. A message whose coupon is refused is not sent: it would promise nothing.
    async fn with_coupons(
        &self,
        workspace: &Workspace,
        mut letters: Vec<Letter>,
        answers: &mut Answers,
    ) -> Result<Vec<Letter>, String> {
        let coupons: Vec<CouponRequest> = letters
            .iter()
            .filter_map(|it| {
                let coupon = it.send.coupon.as_ref()?;
                Some(CouponRequest {
                    issue_id: uuid(&coupon.issue).to_string(),
                    offer: coupon.offer.clone(),
                    profile: profile(workspace, &it.send),
                    campaign: it.send.campaign.clone(),
                    valid_from_time: Some(time::to_wire(from_micros(it.send.decided_micros))),
                    valid_seconds: coupon.valid_seconds,
                    budget: (!coupon.budget_period.is_empty()).then(|| CampaignBudget {
                        period: coupon.budget_period.clone(),
                        limit_minor: coupon.budget_minor,
                        currency: self.currency.to_string(),
                    }),
                })
            })
            .collect();
        if coupons.is_empty() {
            return Ok(letters);
        }
        let request = IssueCouponsRequest { parent: workspace.resource(), coupons };
        let answer = self.peers.loyalty.clone().issue_coupons(request).await;
        let answer = answer.map_err(|status| format!("loyalty: {}", status.message()))?.into_inner();
        let receipts: BTreeMap<String, _> =
            answer.receipts.into_iter().map(|it| (it.issue_id.clone(), it)).collect();
        let mut kept = Vec::new();
        for mut letter in letters.drain(..) {
            let Some(coupon) = &letter.send.coupon else {
                kept.push(letter);
                continue;
            };
            let Some(receipt) = receipts.get(&uuid(&coupon.issue).to_string()) else {
                // Not answered: it stays, and is asked again.
                continue;
            };
            if receipt.code.is_empty() {
                let reason = format!("offer {}: {}", coupon.offer, receipt.reason);
                let now = self.clock.now();
                answers.events.push(events::refused(workspace, letter.id, &letter.send, &reason, now));
                let key = ("refused".to_owned(), reason);
                answers.by_outcome.entry(key).or_default().push((letter.id, letter.decision));
                continue;
            }
            let expires = receipt.expire_time.as_ref().and_then(|it| time::from_wire(it, "expire_time").ok());
            letter.coupon = Some(serde_json::json!({
                "code": receipt.code,
                "offer": coupon.offer,
                "expires": expires.map(|it| it.to_string()),
            }));
            kept.push(letter);
        }
        Ok(kept)
    }

    async fn hand_over(
        &self,
        workspace: &Workspace,
        letters: Vec<Letter>,
        answers: &mut Answers,
    ) -> Result<(), String> {
        let known: BTreeMap<String, (Uuid, Uuid)> =
            letters.iter().map(|it| (it.id.to_string(), (it.id, it.decision))).collect();
        let messages = letters.into_iter().map(|it| message(workspace, it)).collect();
        let request = SendMessagesRequest { parent: workspace.resource(), messages };
        let answer = self.peers.notification.clone().send_messages(request).await;
        let answer = answer.map_err(|status| format!("notification: {}", status.message()))?.into_inner();
        for receipt in answer.receipts {
            if let Some(ids) = known.get(&receipt.message_id) {
                answers.by_outcome.entry((receipt.outcome, receipt.reason)).or_default().push(*ids);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Deliver for Sender {
    async fn deliver(&self, commands: &[Command]) -> Result<Vec<Uuid>, String> {
        // An emergency pause takes effect here: before the next call.
        let paused: BTreeSet<Workspace> =
            pauses::paused(self.store.read()).await.map_err(|error| error.to_string())?;
        let mut by_workspace: BTreeMap<&Workspace, Vec<Letter>> = BTreeMap::new();
        let mut done = Vec::new();
        for command in commands.iter().filter(|it| !paused.contains(&it.workspace)) {
            match SendCommand::decode(&command.payload[..]) {
                Ok(send) => by_workspace.entry(&command.workspace).or_default().push(Letter {
                    id: command.id,
                    decision: uuid(&send.decision),
                    send,
                    coupon: None,
                }),
                Err(error) => {
                    tracing::error!(command = %command.id, %error, "a command of our own cannot be read: dropped");
                    done.push(command.id);
                }
            }
        }
        let mut trouble = None;
        for (workspace, letters) in by_workspace {
            match self.workspace(workspace, letters).await {
                Ok(answered) => done.extend(answered),
                Err(reason) => trouble = Some(reason),
            }
        }
        match trouble {
            Some(reason) if done.is_empty() => Err(reason),
            None if done.is_empty() => Err("sending is paused".to_owned()),
            _ => Ok(done),
        }
    }
}

fn message(workspace: &Workspace, letter: Letter) -> MessageRequest {
    let profile = profile(workspace, &letter.send);
    let Letter { id, decision, send, coupon } = letter;
    let mut data = match serde_json::from_str(&send.data_json) {
        Ok(serde_json::Value::Object(map)) => map,
        _ => serde_json::Map::new(),
    };
    if let Some(coupon) = coupon {
        data.insert("coupon".to_owned(), coupon);
    }
    let instant = |micros: i64| Some(time::to_wire(from_micros(micros)));
    MessageRequest {
        message_id: id.to_string(),
        decision_id: decision.to_string(),
        profile,
        campaign: send.campaign,
        step: send.step,
        occurrence: send.occurrence,
        channel: send.channel,
        purpose: send.purpose,
        template: send.template,
        data: Some(structs::from_json(data)),
        not_before_time: instant(send.not_before_micros),
        not_after_time: instant(send.not_after_micros),
        decide_time: instant(send.decided_micros),
    }
}

fn profile(workspace: &Workspace, send: &SendCommand) -> String {
    format!("{}/profiles/{}", workspace.resource(), uuid(&send.profile))
}

fn uuid(bytes: &[u8]) -> Uuid {
    Uuid::from_slice(bytes).unwrap_or_default()
}
