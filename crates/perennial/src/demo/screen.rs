//! What is shown when the simulated year is over.

use std::path::Path;

use perennial_api::campaign::v1::GetCampaignReportRequest;
use perennial_api::scoring::v1::SummarizeScoresRequest;
use perennial_api::segmentation::v1::SummarizeStagesRequest;
use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::fingerprint::Picture;
use super::{Driven, PLAYBOOKS};
use crate::cli::Demo;
use crate::commands::report::{
    Row, campaign_table, clv_lines, report_json, rfm_lines, scores_json, side_by_side, stage_lines,
};
use crate::output;
use crate::session::{Session, bare, told};

/// Cents of a euro.
const CENTS: f64 = 100.0;

/// What is about to be simulated.
#[must_use]
pub fn headline(what: &Demo) -> String {
    format!(
        "  Simulating Linden & Co: {} customers, {} days, {} playbooks, {} % held out",
        output::thousands(what.customers.into()),
        what.days,
        PLAYBOOKS.len(),
        what.holdout
    )
}

/// Each campaign's report, with what the simulator knows.
async fn rows(session: &Session, driven: &Driven) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (campaign, window) in PLAYBOOKS {
        let request = GetCampaignReportRequest { name: session.name("campaigns", campaign) };
        let report = session.campaign().get_campaign_report(request).await.map_err(told)?.into_inner();
        let (truth, _) = driven.shop.truth(campaign, driven.end, window);
        rows.push(Row { report, truth: Some(truth) });
    }
    Ok(rows)
}

/// The screen for people.
///
/// # Errors
/// If a service refuses.
pub async fn draw(session: &Session, driven: &Driven, folder: &Path) -> anyhow::Result<String> {
    let request = SummarizeStagesRequest { parent: session.parent() };
    let stages = session.segmentation().summarize_stages(request).await.map_err(told)?.into_inner();
    let request = SummarizeScoresRequest { parent: session.parent() };
    let scores = session.scoring().summarize_scores(request).await.map_err(told)?.into_inner();
    let rows = rows(session, driven).await?;
    let took = driven.took.as_secs();
    let days = driven.shop.settings().days;
    let mut text = format!(
        "  ████████████████████████████████ day {days}/{days}   {} events   {} e-mails   {}:{:02}\n\n",
        output::count(driven.events),
        output::thousands(driven.mails),
        took / 60,
        took % 60
    );
    text.push_str(&side_by_side(&[stage_lines(&stages), rfm_lines(&scores), clv_lines(&scores)], 3));
    text.push('\n');
    text.push_str(&campaign_table(&rows, CENTS));
    text.push_str(&format!("  {}\n", "─".repeat(94)));
    let folder = folder.display();
    text.push_str(&format!(
        "  Inbox of everything sent: {folder}/maildir      Look around: perennial serve --data-dir {folder}\n"
    ));
    Ok(text)
}

/// The same for programs, with fingerprints by which two runs are compared.
///
/// # Errors
/// If a service refuses.
pub async fn json(session: &Session, driven: &Driven, what: &Demo) -> anyhow::Result<String> {
    let request = SummarizeStagesRequest { parent: session.parent() };
    let stages = session.segmentation().summarize_stages(request).await.map_err(told)?.into_inner();
    let stages: BTreeMap<&str, i64> =
        stages.stages.iter().map(|it| (it.stage.as_str(), it.members)).collect();
    let request = SummarizeScoresRequest { parent: session.parent() };
    let scores = session.scoring().summarize_scores(request).await.map_err(told)?.into_inner();
    let campaigns: BTreeMap<String, Value> = rows(session, driven)
        .await?
        .into_iter()
        .map(|row| {
            let mut report = report_json(&row.report);
            report["true_profit"] = row.truth.into();
            (bare(&row.report.name).to_owned(), report)
        })
        .collect();
    let everybody = Picture::of(session).await?.to_json();
    let all = json!({
        "customers": what.customers, "days": what.days, "seed": what.seed, "holdout_percent": what.holdout,
        "events": driven.events, "mails": driven.mails, "stages": stages, "scores": scores_json(&scores),
        "campaigns": campaigns, "fingerprint": { "letters": driven.letters.to_json(), "everybody": everybody },
        "end": driven.end.to_string(), "seconds": driven.took.as_secs_f64(),
    });
    Ok(serde_json::to_string_pretty(&all)?)
}
