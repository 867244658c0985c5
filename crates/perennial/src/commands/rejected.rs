//! `perennial rejected`: events that were refused, by cause; mending them, and sending them in again.

use std::path::Path;

use anyhow::{Context, ensure};
use perennial_api::ingestion::v1::fix_rejected_events_request::Patch;
use perennial_api::ingestion::v1::{
    FixRejectedEventsRequest, FixRejectedEventsResponse, ListRejectedEventsRequest, RejectedEvent,
    RejectionCause, ReplayRejectedEventsRequest, ReplayRejectedEventsResponse,
    SummarizePlanViolationsRequest, SummarizeRejectionsRequest,
};
use serde_json::{Value, json};

use crate::cli::Rejected;
use crate::output::{self, Align, Table};
use crate::session::{Session, bare, told};

/// Most causes and violations that are listed.
const LISTED: i32 = 1_000;

/// Lists, shows, mends or replays.
///
/// # Errors
/// If ingestion refuses, or a patch cannot be read.
pub async fn run(session: &Session, what: Rejected) -> anyhow::Result<()> {
    match what {
        Rejected::List => list(session).await,
        Rejected::Show { cause, number } => show(session, &cause, number).await,
        Rejected::Fix { cause, patch, merge, undo, dry_run } => {
            let patch = match (patch, merge, undo) {
                (Some(it), None, false) => Some(Patch::JsonPatch(text_of(&it)?)),
                (None, Some(it), false) => Some(Patch::MergePatch(text_of(&it)?)),
                (None, None, true) => None,
                _ => anyhow::bail!("say how to mend them: one of --patch, --merge and --undo"),
            };
            fix(session, &cause, patch, dry_run).await
        }
        Rejected::Replay { cause } => replay(session, cause).await,
    }
}

/// What was written, or what stands in the file that was named.
fn text_of(told: &str) -> anyhow::Result<String> {
    if told.trim_start().starts_with(['[', '{']) {
        return Ok(told.to_owned());
    }
    std::fs::read_to_string(Path::new(told))
        .with_context(|| format!("{told} is neither JSON nor a file that can be read"))
}

async fn list(session: &Session) -> anyhow::Result<()> {
    let request = SummarizeRejectionsRequest { parent: session.parent(), page_size: LISTED };
    let causes = session.quality().summarize_rejections(request).await.map_err(told)?.into_inner().causes;
    let request = SummarizePlanViolationsRequest { parent: session.parent(), page_size: LISTED };
    let found =
        session.quality().summarize_plan_violations(request).await.map_err(told)?.into_inner().violations;
    if session.is_json() {
        let causes = causes.iter().map(|it| {
            json!({
                "cause": bare(&it.name), "event": it.event, "field": it.field, "reason": it.reason,
                "remedy": it.remedy, "count": it.count, "fixed": it.fixed_count,
            })
        });
        let violations = found.iter().map(
            |it| json!({ "event": it.event, "field": it.field, "reason": it.reason, "count": it.count }),
        );
        return output::json(&json!({
            "causes": causes.collect::<Vec<_>>(), "observed": violations.collect::<Vec<_>>(),
        }));
    }
    if causes.is_empty() {
        output::show("  no refused event waits")?;
    } else {
        output::show(&listed(&causes).to_string())?;
    }
    if !found.is_empty() {
        let mut table = Table::new([
            ("OBSERVED", Align::Right),
            ("EVENT", Align::Left),
            ("FIELD", Align::Left),
            ("WHY", Align::Left),
        ]);
        for it in found {
            table.row([output::thousands(it.count.unsigned_abs()), it.event, it.field, it.reason]);
        }
        output::show(&table.to_string())?;
    }
    Ok(())
}

fn listed(causes: &[RejectionCause]) -> Table {
    let mut table = Table::new([
        ("CAUSE", Align::Left),
        ("WAIT", Align::Right),
        ("MENDED", Align::Right),
        ("EVENT", Align::Left),
        ("FIELD", Align::Left),
        ("WHY", Align::Left),
    ]);
    for it in causes {
        table.row([
            bare(&it.name).to_owned(),
            output::thousands(it.count.unsigned_abs()),
            output::thousands(it.fixed_count.unsigned_abs()),
            it.event.clone(),
            it.field.clone(),
            format!("{}: {}", it.reason, it.remedy),
        ]);
    }
    table
}

async fn show(session: &Session, cause: &str, number: i32) -> anyhow::Result<()> {
    let request = ListRejectedEventsRequest {
        parent: session.parent(),
        page_size: number,
        page_token: String::new(),
        cause: session.name("rejectionCauses", bare(cause)),
    };
    let found =
        session.ingestion().list_rejected_events(request).await.map_err(told)?.into_inner().rejected_events;
    ensure!(
        !found.is_empty(),
        "nothing was refused for {cause:?}: `perennial rejected list` shows the causes"
    );
    if session.is_json() {
        return output::json(&found.iter().map(shown).collect::<Vec<_>>());
    }
    let mut text = String::new();
    for it in &found {
        let state = match (&it.replay_time, it.blocked.is_empty()) {
            (Some(_), _) => "taken since",
            (None, true) => "waits",
            (None, false) => it.blocked.as_str(),
        };
        text.push_str(&format!(
            "  {}  {}  {}: {}  ({state})\n",
            bare(&it.name),
            it.event,
            it.field,
            it.reason
        ));
        text.push_str(&format!("    sent    {}\n", it.body));
        if !it.fixed_body.is_empty() {
            text.push_str(&format!("    mended  {}\n", it.fixed_body));
        }
    }
    output::show(&text)?;
    Ok(())
}

fn shown(it: &RejectedEvent) -> Value {
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|_| text.into());
    let mended = (!it.fixed_body.is_empty()).then(|| parsed(&it.fixed_body));
    json!({
        "rejected_event": bare(&it.name), "event": it.event, "message_id": it.message_id, "field": it.field,
        "reason": it.reason, "remedy": it.remedy, "sent": parsed(&it.body), "mended": mended,
        "blocked": it.blocked, "taken": it.taken, "replayed": it.replay_time.is_some(),
    })
}

async fn fix(session: &Session, cause: &str, patch: Option<Patch>, dry_run: bool) -> anyhow::Result<()> {
    let mut all = FixRejectedEventsResponse::default();
    loop {
        let request = FixRejectedEventsRequest {
            parent: session.parent(),
            cause: session.name("rejectionCauses", bare(cause)),
            patch: patch.clone(),
            validate_only: dry_run,
            page_token: std::mem::take(&mut all.next_page_token),
            ..FixRejectedEventsRequest::default()
        };
        let page = session.quality().fix_rejected_events(request).await.map_err(told)?.into_inner();
        all.good_count += page.good_count;
        all.bad_count += page.bad_count;
        all.skipped_count += page.skipped_count;
        if all.samples.is_empty() {
            all.samples = page.samples;
        }
        all.next_page_token = page.next_page_token;
        if all.next_page_token.is_empty() {
            break;
        }
    }
    if session.is_json() {
        let samples = all
            .samples
            .iter()
            .map(|it| json!({ "event": bare(&it.name), "body": it.body, "problem": it.problem }));
        return output::json(&json!({
            "good": all.good_count, "bad": all.bad_count, "skipped": all.skipped_count,
            "samples": samples.collect::<Vec<_>>(), "dry_run": dry_run,
        }));
    }
    let number = |it: i64| output::thousands(it.unsigned_abs());
    let verb = if dry_run { "would be" } else { "are" };
    let mut text = format!(
        "  {} {verb} good, {} still wrong, {} left as they are\n",
        number(all.good_count),
        number(all.bad_count),
        number(all.skipped_count)
    );
    for it in &all.samples {
        text.push_str(&format!("    {}\n", it.body));
        if !it.problem.is_empty() {
            text.push_str(&format!("      {}\n", it.problem));
        }
    }
    if !dry_run && all.good_count > 0 {
        text.push_str(&format!("  send them in: perennial rejected replay {}\n", bare(cause)));
    }
    output::show(&text)?;
    Ok(())
}

async fn replay(session: &Session, cause: Option<String>) -> anyhow::Result<()> {
    let mut all = ReplayRejectedEventsResponse::default();
    loop {
        let request = ReplayRejectedEventsRequest {
            parent: session.parent(),
            cause: cause.as_ref().map(|it| session.name("rejectionCauses", bare(it))).unwrap_or_default(),
            page_token: std::mem::take(&mut all.next_page_token),
            ..ReplayRejectedEventsRequest::default()
        };
        let page = session.quality().replay_rejected_events(request).await.map_err(told)?.into_inner();
        all.accepted_count += page.accepted_count;
        all.duplicate_count += page.duplicate_count;
        all.rejected_count += page.rejected_count;
        all.blocked_count += page.blocked_count;
        all.next_page_token = page.next_page_token;
        if all.next_page_token.is_empty() {
            break;
        }
    }
    if session.is_json() {
        return output::json(&json!({
            "accepted": all.accepted_count, "duplicate": all.duplicate_count, "rejected": all.rejected_count,
            "blocked": all.blocked_count,
        }));
    }
    let number = |it: i64| output::thousands(it.unsigned_abs());
    let mut text =
        format!("  {} taken, {} were there already", number(all.accepted_count), number(all.duplicate_count));
    for (count, what) in [(all.rejected_count, "refused again"), (all.blocked_count, "not kept whole")] {
        if count > 0 {
            text.push_str(&format!(", {} {what}", number(count)));
        }
    }
    output::show(&text)?;
    Ok(())
}
