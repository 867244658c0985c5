//! `perennial status`: everything, counted.

use perennial_api::campaign::v1::{GetWorkspacePauseRequest, WorkspacePause};
use perennial_api::feed::v1::{ConsumerPosition, ListConsumersRequest};
use perennial_api::ingestion::v1::{GetIngestStatsRequest, IngestStats};
use perennial_api::loyalty::v1::{SummarizeLedgerRequest, SummarizeLedgerResponse};
use perennial_api::notification::v1::{SummarizeMessagesRequest, SummarizeMessagesResponse};
use perennial_api::scoring::v1::{ScoreSummary, SummarizeScoresRequest};
use perennial_api::segmentation::v1::{SummarizeStagesRequest, SummarizeStagesResponse};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tonic::Code;

use super::{parked, report};
use crate::output::{self, Align, Table};
use crate::session::{Session, told};

/// All services, in the order in which a fact travels.
pub const SERVICES: [&str; 6] =
    ["ingestion", "scoring", "segmentation", "campaign", "loyalty", "notification"];

/// Everything that is counted.
#[derive(Clone, Debug)]
pub struct Status {
    ingest: IngestStats,
    scores: ScoreSummary,
    stages: SummarizeStagesResponse,
    messages: SummarizeMessagesResponse,
    ledger: SummarizeLedgerResponse,
    pause: WorkspacePause,
    lags: BTreeMap<(String, String), Lag>,
    parked: usize,
}

/// How far a reader is behind one feed, over all partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lag {
    applied: u64,
    behind: u64,
}

/// Counts and shows.
///
/// # Errors
/// If a service refuses.
pub async fn run(session: &Session) -> anyhow::Result<()> {
    let status = gather(session).await?;
    if session.is_json() {
        return output::json(&shown(&status));
    }
    output::show(&text(session, &status))?;
    Ok(())
}

async fn gather(session: &Session) -> anyhow::Result<Status> {
    let parent = session.parent();
    let request = GetIngestStatsRequest { name: format!("{parent}/ingestStats") };
    let ingest = session.ingestion().get_ingest_stats(request).await.map_err(told)?.into_inner();
    let request = SummarizeScoresRequest { parent: parent.clone() };
    let scores = session.scoring().summarize_scores(request).await.map_err(told)?.into_inner();
    let request = SummarizeStagesRequest { parent: parent.clone() };
    let stages = session.segmentation().summarize_stages(request).await.map_err(told)?.into_inner();
    let request = SummarizeMessagesRequest { parent: parent.clone(), campaign: String::new() };
    let messages = session.notification().summarize_messages(request).await.map_err(told)?.into_inner();
    let request = SummarizeLedgerRequest { parent: parent.clone() };
    let ledger = session.loyalty().summarize_ledger(request).await.map_err(told)?.into_inner();
    let request = GetWorkspacePauseRequest { parent };
    let pause = session.campaign().get_workspace_pause(request).await.map_err(told)?.into_inner();
    let mut positions: Vec<ConsumerPosition> = Vec::new();
    for service in SERVICES {
        let answer = match session.feeds_of(service).list_consumers(ListConsumersRequest {}).await {
            // How far readers are concerns all workspaces: no key shows it.
            Err(status) if status.code() == Code::PermissionDenied => continue,
            answer => answer.map_err(told)?,
        };
        for it in answer.into_inner().consumers {
            let same = |known: &ConsumerPosition| {
                (&known.consumer, &known.feed, known.partition) == (&it.consumer, &it.feed, it.partition)
            };
            if !positions.iter().any(same) {
                positions.push(it);
            }
        }
    }
    let mut lags: BTreeMap<(String, String), Lag> = BTreeMap::new();
    for it in positions {
        let lag = lags.entry((it.consumer, it.feed)).or_default();
        lag.applied += it.seq;
        lag.behind += it.head_seq.saturating_sub(it.seq);
    }
    let parked = parked::parked(session).await?.len();
    Ok(Status { ingest, scores, stages, messages, ledger, pause, lags, parked })
}

fn text(session: &Session, it: &Status) -> String {
    let number = output::count;
    let currency = &it.scores.currency;
    let mut text = format!("  workspace {}\n", session.workspace);
    if it.pause.paused {
        let reason = if it.pause.reason.is_empty() { "no reason given" } else { &it.pause.reason };
        text.push_str(&format!("  PAUSED: nothing is sent ({reason}); `perennial resume` goes on\n"));
    }
    text.push_str(&format!(
        "  events    {} accepted, {} duplicate, {} rejected\n  profiles  {}, {} merges\n",
        number(it.ingest.accepted_count),
        number(it.ingest.duplicate_count),
        number(it.ingest.rejected_count),
        number(it.ingest.profile_count),
        number(it.ingest.merge_count)
    ));
    text.push_str(&format!(
        "  orders    {} of {} customers   revenue {}   profit {}\n\n",
        number(it.scores.order_count),
        number(it.scores.customer_count),
        output::money(it.scores.revenue_minor, currency),
        output::money(it.scores.profit_minor, currency)
    ));
    text.push_str(&report::side_by_side(&[report::stage_lines(&it.stages)], 2));
    let mut states: BTreeMap<&str, i64> = BTreeMap::new();
    for count in &it.messages.counts {
        *states.entry(count.state.as_str()).or_default() += count.count;
    }
    let states: Vec<String> =
        states.iter().map(|(state, count)| format!("{} {state}", number(*count))).collect();
    let states = if states.is_empty() { "none".to_owned() } else { states.join(", ") };
    text.push_str(&format!("\n  messages  {states}\n"));
    if !it.ledger.offers.is_empty() {
        let (left, right) = (Align::Left, Align::Right);
        let mut table = Table::new([
            ("offer", left),
            ("open", right),
            ("redeemed", right),
            ("expired", right),
            ("promised", right),
            ("spent", right),
        ])
        .indented(2);
        for offer in &it.ledger.offers {
            table.row([
                offer.offer.clone(),
                number(offer.open_count),
                number(offer.redeemed_count),
                number(offer.expired_count),
                output::money(offer.promised_minor, &offer.currency),
                output::money(offer.spent_minor, &offer.currency),
            ]);
        }
        text.push_str(&format!("\n{table}"));
    }
    let mut table = Table::new([
        ("reader", Align::Left),
        ("of", Align::Left),
        ("applied", Align::Right),
        ("behind", Align::Right),
    ])
    .indented(2);
    for ((consumer, feed), lag) in &it.lags {
        let (applied, behind) = (output::thousands(lag.applied), output::thousands(lag.behind));
        table.row([consumer.clone(), feed.clone(), applied, behind]);
    }
    if it.lags.is_empty() {
        text.push_str("\n  how far readers are is shown to the server's own token, not to a key\n");
    } else {
        text.push_str(&format!("\n{table}"));
    }
    if it.parked > 0 {
        text.push_str(&format!("\n  {} profiles are parked: `perennial parked list`\n", it.parked));
    }
    text
}

fn shown(it: &Status) -> Value {
    let stages: BTreeMap<&str, i64> =
        it.stages.stages.iter().map(|it| (it.stage.as_str(), it.members)).collect();
    let mut messages: BTreeMap<&str, BTreeMap<&str, i64>> = BTreeMap::new();
    for count in &it.messages.counts {
        messages.entry(&count.campaign).or_default().insert(&count.state, count.count);
    }
    let ledger: Vec<Value> = it
        .ledger
        .offers
        .iter()
        .map(|it| {
            json!({
                "offer": it.offer, "currency": it.currency, "open": it.open_count,
                "redeemed": it.redeemed_count, "expired": it.expired_count, "released": it.released_count,
                "promised_minor": it.promised_minor, "spent_minor": it.spent_minor,
                "excess_minor": it.excess_minor, "exceptions": it.exception_count,
            })
        })
        .collect();
    let lags: Vec<Value> = it
        .lags
        .iter()
        .map(|((consumer, feed), lag)| {
            json!({ "consumer": consumer, "feed": feed, "applied": lag.applied, "behind": lag.behind })
        })
        .collect();
    json!({
        "events": {
            "accepted": it.ingest.accepted_count, "duplicate": it.ingest.duplicate_count,
            "rejected": it.ingest.rejected_count,
        },
        "profiles": it.ingest.profile_count, "merges": it.ingest.merge_count,
        "orders": it.scores.order_count, "customers": it.scores.customer_count,
        "currency": it.scores.currency, "revenue_minor": it.scores.revenue_minor,
        "profit_minor": it.scores.profit_minor, "stages": stages, "messages": messages, "ledger": ledger,
        "paused": it.pause.paused, "readers": lags, "parked": it.parked,
    })
}
