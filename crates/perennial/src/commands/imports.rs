//! `perennial import`.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::tz::TimeZone;
use perennial_api::ingestion::v1::event_outcome::Result as Taken;
use perennial_api::ingestion::v1::{
    GetWorkspaceRequest, IngestEventsRequest, UpdateWorkspaceRequest, Workspace,
};
use perennial_types::Currency;
use serde_json::json;
use tonic::Code;

use crate::cli::Import;
use crate::import::{self, Dates, Item, Mapping, Outcome, Plan, Resume, Summary};
use crate::output;
use crate::session::{Session, told};

/// Imports a file. `data` is the folder that remembers where an interrupted import stood.
///
/// # Errors
/// If the file cannot be read, or ingestion refuses.
pub async fn run(session: &Session, what: Import, data: Option<&Path>) -> anyhow::Result<()> {
    let options = format!("{what:?} {}", session.workspace);
    let currency = what.currency.as_deref().map(Currency::parse).transpose()?;
    let zone = TimeZone::get(&what.time_zone).with_context(|| {
        format!("--time-zone {:?} is no known zone: use an IANA name such as Europe/Madrid", what.time_zone)
    })?;
    let plan = Plan {
        kind: what.kind,
        path: what.file.clone(),
        said: what.columns,
        dates: Dates { format: what.date_format, zone },
        currency,
        comma: what.decimal_comma,
        dry_run: what.dry_run,
    };
    if let Some(currency) = currency.filter(|_| !what.dry_run) {
        settle_currency(session, currency).await?;
    }
    let resume = match data {
        Some(data) if !what.dry_run => Some(Resume::of(data, &what.file, &options)?),
        _ => None,
    };
    if let Some(place) = resume.as_ref().map(Resume::place).filter(|it| it.rows > 0) {
        output::say(&format!(
            "  going on after row {} of an interrupted import",
            output::thousands(place.rows)
        ));
    }
    let seen_by: OnceLock<(output::Progress, import::Meter)> = OnceLock::new();
    let seen = |mapping: &Mapping, meter: import::Meter, size: u64| {
        if !session.is_json() {
            output::say(&explained(mapping));
        }
        let _ = seen_by.set((output::bytes(size), meter));
    };
    let send = |items: Vec<Item>| send(session, items);
    let work = import::run(plan, resume, seen, send);
    let (summary, rejects) = watched(work, &seen_by).await?;
    show(session, &summary, rejects.as_deref(), what.dry_run)
}

/// Moves the bar while the work goes on.
async fn watched<T>(work: impl Future<Output = T>, bar: &OnceLock<(output::Progress, import::Meter)>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(Duration::from_millis(100), &mut work).await {
            Ok(done) => {
                if let Some((bar, _)) = bar.get() {
                    bar.clear();
                }
                return done;
            }
            Err(_) => {
                if let Some((bar, meter)) = bar.get() {
                    bar.set(meter.bytes());
                }
            }
        }
    }
}

/// The first amounts decide the currency of a workspace's reports; what it is by then stays.
async fn settle_currency(session: &Session, currency: Currency) -> anyhow::Result<()> {
    let request = GetWorkspaceRequest { name: session.parent() };
    let found = session.ingestion().get_workspace(request).await.map_err(told)?.into_inner();
    if found.currency == currency.code() {
        return Ok(());
    }
    let workspace =
        Workspace { name: session.parent(), currency: currency.code().to_owned(), ..Workspace::default() };
    let request = UpdateWorkspaceRequest { workspace: Some(workspace), update_mask: None };
    match session.ingestion().update_workspace(request).await {
        Err(status) if status.code() == Code::FailedPrecondition => Ok(()),
        other => other.map(|_| ()).map_err(told),
    }
}

fn explained(mapping: &Mapping) -> String {
    let mut text = String::from("  columns: ");
    let fields: Vec<String> = mapping
        .fields
        .iter()
        .map(|(field, (column, said))| format!("{field} = {column}{}", if *said { "" } else { " (guessed)" }))
        .collect();
    text.push_str(&fields.join(", "));
    if fields.is_empty() {
        text.push_str("found in each object by their names");
    }
    if !mapping.rest.is_empty() {
        text.push_str(&format!("; other columns: {}", mapping.rest.join(", ")));
    }
    text
}

async fn send(session: &Session, items: Vec<Item>) -> anyhow::Result<Vec<Outcome>> {
    let mut events = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Item::Event(event) => events.push(*event),
            Item::Product(_) => bail!("this server keeps no catalogue: send the cost with the orders"),
        }
    }
    let request = IngestEventsRequest { parent: session.parent(), events, historical: true };
    let mut pause = Duration::from_millis(200);
    for _ in 0..8 {
        let answer = session.ingestion().ingest_events(request.clone()).await;
        match answer {
            Ok(answer) => return Ok(answer.into_inner().outcomes.into_iter().map(outcome).collect()),
            // The edge is full or away for a moment; what it took of the batch counts as a duplicate next time.
            Err(status) if matches!(status.code(), Code::ResourceExhausted | Code::Unavailable) => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            Err(status) => return Err(told(status)),
        }
    }
    session
        .ingestion()
        .ingest_events(request)
        .await
        .map(|it| it.into_inner().outcomes.into_iter().map(outcome).collect())
        .map_err(told)
        .context("the import stopped; run it again to go on from here")
}

fn outcome(it: perennial_api::ingestion::v1::EventOutcome) -> Outcome {
    match it.result() {
        Taken::Duplicate => Outcome::Duplicate,
        Taken::Rejected => Outcome::Rejected(it.reason),
        Taken::Accepted | Taken::Unspecified => Outcome::Accepted,
    }
}

fn show(session: &Session, it: &Summary, rejects: Option<&Path>, dry_run: bool) -> anyhow::Result<()> {
    if session.is_json() {
        let reasons: Vec<_> =
            it.reasons.iter().map(|(line, reason)| json!({ "line": line, "reason": reason })).collect();
        return output::json(&json!({
            "rows": it.rows, "events": it.items, "accepted": it.accepted, "duplicate": it.duplicate,
            "rejected": it.rejected, "rejected_file": rejects, "first_reasons": reasons, "dry_run": dry_run,
        }));
    }
    let number = output::thousands;
    let verb = if dry_run { "would be accepted" } else { "accepted" };
    let mut text = format!("  {} rows read, {} {verb}", number(it.rows), number(it.accepted));
    if it.duplicate > 0 {
        text.push_str(&format!(", {} were there already", number(it.duplicate)));
    }
    if it.rejected > 0 {
        text.push_str(&format!(", {} rejected", number(it.rejected)));
    }
    text.push('\n');
    for (line, reason) in &it.reasons {
        text.push_str(&format!("    line {line}: {reason}\n"));
    }
    if let Some(path) = rejects {
        text.push_str(&format!(
            "  rejected rows: {} (mend them there and import that file)\n",
            path.display()
        ));
    }
    output::show(&text)?;
    Ok(())
}
