//! What two runs are compared by: everything that must be the same, hashed, with nothing in it that is new in every run.

use std::collections::BTreeMap;

use perennial_api::loyalty::v1::SummarizeLedgerRequest;
use perennial_api::profile::v1::ListProfilesRequest;
use perennial_api::scoring::v1::{BatchGetScoresRequest, Score};
use perennial_api::segmentation::v1::GetStageRequest;
use perennial_types::micros;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::commands::instant;
use crate::session::{Session, told};
use crate::simulator::{Coupon, Letter};

/// A hash of lines.
#[derive(Clone, Debug, Default)]
pub struct Fingerprint {
    hash: Sha256,
    lines: u64,
}

impl Fingerprint {
    /// Takes in a line.
    pub fn line(&mut self, line: &str) {
        self.hash.update(line.as_bytes());
        self.hash.update(b"\n");
        self.lines += 1;
    }

    /// Takes in a message: who got which step of what, when, with which offer; not its id, nor the coupon's code.
    pub fn letter(&mut self, it: &Letter) {
        let coupon = it.coupon.as_ref().map(|it| {
            let Coupon { per_mille, amount, free_shipping, until, .. } = it;
            format!("{per_mille} {amount} {free_shipping} {}", micros(*until))
        });
        self.line(&format!("{} {} {} {} {coupon:?}", it.customer, it.campaign, it.step, micros(it.at)));
    }

    /// The hash and how many lines it is of.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let bytes: String = self.hash.clone().finalize()[..16].iter().map(|it| format!("{it:02x}")).collect();
        json!({ "hash": bytes, "count": self.lines })
    }
}

/// Stages, scores and balances of everybody, by the shop's own ids.
///
/// # Errors
/// If a service refuses.
pub async fn of_everybody(session: &Session) -> anyhow::Result<Value> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut request =
        ListProfilesRequest { parent: session.parent(), page_size: 1_000, ..Default::default() };
    loop {
        let page = session.profiles().list_profiles(request.clone()).await.map_err(told)?.into_inner();
        for it in page.profiles {
            let known = it.identifiers.iter().find(|id| id.kind == "user_id").or(it.identifiers.first());
            let key = known.map_or_else(String::new, |id| format!("{} {}", id.kind, id.value));
            names.insert(key, it.name);
        }
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let mut stages = Fingerprint::default();
    let mut scores = Fingerprint::default();
    let keys: BTreeMap<&str, &str> = names.iter().map(|(key, name)| (name.as_str(), key.as_str())).collect();
    let all: Vec<&String> = names.values().collect();
    let mut scored: BTreeMap<&str, Score> = BTreeMap::new();
    for some in all.chunks(1_000) {
        let wanted = some.iter().map(|it| (*it).clone()).collect();
        let request = BatchGetScoresRequest { parent: session.parent(), names: wanted };
        let answer = session.scoring().batch_get_scores(request).await.map_err(told)?.into_inner();
        for it in answer.scores {
            if let Some(key) = keys.get(it.name.as_str()) {
                scored.insert(key, it);
            }
        }
    }
    for (key, it) in &scored {
        scores.line(&format!("{key} {}", score_line(it)));
    }
    for (key, name) in &names {
        let request = GetStageRequest { name: name.clone() };
        // Who only ever looked around without a fact is in no stage.
        if let Ok(stage) = session.segmentation().get_stage(request).await {
            let stage = stage.into_inner();
            let history: Vec<String> = stage
                .history
                .iter()
                .map(|it| format!("{} {}", it.stage, instant(it.since.as_ref())))
                .collect();
            stages.line(&format!("{key} {} {}", stage.stage, history.join(" ")));
        }
    }
    let request = SummarizeLedgerRequest { parent: session.parent() };
    let ledger = session.loyalty().summarize_ledger(request).await.map_err(told)?.into_inner();
    let balances: Vec<Value> = ledger
        .offers
        .iter()
        .map(|it| {
            json!([
                it.offer,
                it.open_count,
                it.redeemed_count,
                it.expired_count,
                it.promised_minor,
                it.spent_minor
            ])
        })
        .collect();
    Ok(json!({ "stages": stages.to_json(), "scores": scores.to_json(), "balances": balances }))
}

/// Figures that come out of a fit are the same to nine digits, not to the last bit.
fn score_line(it: &Score) -> String {
    let values: Vec<String> = it
        .values
        .iter()
        .map(|it| format!("{} {} {:.6e}", it.months, it.expected_minor, it.expected_orders))
        .collect();
    format!(
        "{} {} {} {} {:?} {:.6e} {} {}",
        it.orders,
        it.revenue_minor,
        it.profit_minor,
        it.x,
        it.p_alive.map(|it| format!("{it:.6e}")),
        it.expected_orders_90d,
        values.join(" "),
        instant(it.overdue_time.as_ref())
    )
}
