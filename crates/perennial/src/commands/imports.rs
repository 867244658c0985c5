//! `perennial import`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context;
use jiff::tz::TimeZone;
use perennial_api::catalog::v1::product_outcome::Result as Kept;
use perennial_api::catalog::v1::{BatchUpsertProductsRequest, Product, ProductOutcome};
use perennial_api::ingestion::v1::event_outcome::Result as Taken;
use perennial_api::ingestion::v1::{
    Event, EventOutcome, GetWorkspaceRequest, IngestEventsRequest, UpdateWorkspaceRequest, Workspace,
};
use perennial_api::profile::v1::{BatchGetContactsRequest, BatchGetProfilesRequest, Profile};
use perennial_types::{Clock, Currency, ProfileId};
use serde_json::json;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;

use crate::cli::Import;
use crate::export::people;
use crate::import::{self, Dates, Item, Kind, Mapping, Outcome, Plan, Resume, Summary};
use crate::output;
use crate::session::{Session, bare, told};

/// People who are compared at once.
const AT_ONCE: usize = 1_000;

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
    // Amounts of a catalogue are read here, so what they are in by default has to be known here.
    let of = match currency {
        None if what.kind == Kind::Catalog => workspace_currency(session).await?,
        said => said,
    };
    let plan = Plan {
        kind: what.kind,
        path: what.file.clone(),
        said: what.columns,
        dates: Dates { format: what.date_format, zone },
        currency: of,
        comma: what.decimal_comma,
        now: Clock::system().now(),
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
    let send = |items: Vec<Item>| send(session, items, what.dry_run);
    let work = import::run(plan, resume, seen, send);
    let (summary, rejects) = watched(work, &seen_by).await?;
    show(session, what.kind, &summary, rejects.as_deref(), what.dry_run)
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

/// The currency of a workspace's reports, if it is decided.
async fn workspace_currency(session: &Session) -> anyhow::Result<Option<Currency>> {
    let request = GetWorkspaceRequest { name: session.parent() };
    let found = session.ingestion().get_workspace(request).await.map_err(told)?.into_inner();
    Ok(Currency::parse(&found.currency).ok())
}

/// The first amounts decide the currency of a workspace's reports; what it is by then stays.
async fn settle_currency(session: &Session, currency: Currency) -> anyhow::Result<()> {
    if workspace_currency(session).await? == Some(currency) {
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

async fn send(session: &Session, items: Vec<Item>, dry_run: bool) -> anyhow::Result<Vec<Outcome>> {
    let (mut events, mut products) = (Vec::new(), Vec::new());
    for item in items {
        match item {
            Item::Event(event) => events.push(*event),
            Item::Product(product) => products.push(*product),
        }
    }
    // A file holds either.
    if products.is_empty() {
        send_people(session, events).await
    } else {
        send_products(session, products, dry_run).await
    }
}

/// Sends events. Those that an export told the profile of are left out if that says the same here: nothing of it changed.
async fn send_people(session: &Session, mut events: Vec<Event>) -> anyhow::Result<Vec<Outcome>> {
    let mut told: Vec<String> =
        events.iter().map(|it| it.profile.clone()).filter(|it| !it.is_empty()).collect();
    if told.is_empty() {
        return send_events(session, events).await;
    }
    told.sort();
    told.dedup();
    let mut here: HashMap<String, Event> = HashMap::new();
    for ids in told.chunks(AT_ONCE) {
        here.extend(people_here(session, ids).await?);
    }
    let mut outcomes = vec![Outcome::Duplicate; events.len()];
    let is_new = |it: &Event| here.get(&it.profile).is_none_or(|here| *here != unnamed(it));
    let news: Vec<usize> = events.iter().enumerate().filter(|(_, it)| is_new(it)).map(|(n, _)| n).collect();
    for it in &mut events {
        it.profile.clear();
    }
    let sent = news.iter().filter_map(|n| events.get(*n).cloned()).collect();
    for (n, outcome) in news.into_iter().zip(send_events(session, sent).await?) {
        if let Some(there) = outcomes.get_mut(n) {
            *there = outcome;
        }
    }
    Ok(outcomes)
}

/// What rows of people who are known here would say, by their ids. Those that are no ids, or of nobody here, are left out.
async fn people_here(session: &Session, ids: &[String]) -> anyhow::Result<HashMap<String, Event>> {
    let ids = ids.iter().filter_map(|it| ProfileId::parse(it).ok());
    let names: Vec<String> = ids.map(|it| session.name("profiles", &it.to_string())).collect();
    let parent = session.parent();
    let request = BatchGetProfilesRequest { parent: parent.clone(), names: names.clone() };
    let found = match session.profiles().batch_get_profiles(request).await {
        // A key that may only send cannot compare; sending again is no harm.
        Err(status) if status.code() == Code::PermissionDenied => return Ok(HashMap::new()),
        other => other.map_err(told)?.into_inner().profiles,
    };
    let request = BatchGetContactsRequest { parent, names };
    let contacts = session.profiles().batch_get_contacts(request).await.map_err(told)?.into_inner().contacts;
    let contacts: HashMap<String, _> = contacts.into_iter().map(|it| (it.name.clone(), it)).collect();
    let event = |it: &Profile| {
        let event = people::told(it, contacts.get(&it.name)?)?;
        Some((bare(&it.name).to_owned(), unnamed(&event)))
    };
    Ok(found.iter().filter_map(event).collect())
}

/// What an event says, whatever its id.
fn unnamed(it: &Event) -> Event {
    Event { message_id: String::new(), profile: String::new(), ..it.clone() }
}

async fn send_events(session: &Session, events: Vec<Event>) -> anyhow::Result<Vec<Outcome>> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let request = IngestEventsRequest { parent: session.parent(), events, historical: true };
    let answer = patiently(async || session.ingestion().ingest_events(request.clone()).await).await?;
    let outcome = |it: EventOutcome| match it.result() {
        Taken::Duplicate => Outcome::Duplicate,
        Taken::Rejected => Outcome::Rejected(it.reason),
        Taken::Accepted | Taken::Unspecified => Outcome::Accepted,
    };
    Ok(answer.outcomes.into_iter().map(outcome).collect())
}

async fn send_products(
    session: &Session,
    products: Vec<Product>,
    validate_only: bool,
) -> anyhow::Result<Vec<Outcome>> {
    let parent = session.parent();
    let request = BatchUpsertProductsRequest { parent, products, update_mask: None, validate_only };
    let answer = patiently(async || session.catalog().batch_upsert_products(request.clone()).await).await?;
    let outcome = |it: ProductOutcome| match it.result() {
        Kept::Created => Outcome::Accepted,
        Kept::Updated => Outcome::Updated,
        Kept::Unchanged | Kept::Unspecified => Outcome::Duplicate,
        Kept::Rejected => Outcome::Rejected(format!("{}: {}", it.field, it.reason)),
    };
    Ok(answer.outcomes.into_iter().map(outcome).collect())
}

/// Calls until it is answered: the edge may be full or away for a moment, and what it took of a batch changes nothing the
/// next time. It waits as long as it is told to wait, but not as long for one that is away.
async fn patiently<T>(call: impl AsyncFn() -> Result<Response<T>, Status>) -> anyhow::Result<T> {
    const ATTEMPTS: u32 = 8;
    let mut pause = Duration::from_millis(200);
    let (mut away, mut said) = (0, false);
    loop {
        match call().await {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(status) if status.code() == Code::ResourceExhausted => {
                let asked = status.get_error_details().retry_info().and_then(|it| it.retry_delay);
                if !std::mem::replace(&mut said, true) {
                    output::say(&format!("  waiting: {}", status.message()));
                }
                tokio::time::sleep(asked.unwrap_or(pause)).await;
            }
            Err(status) if status.code() == Code::Unavailable && away < ATTEMPTS => {
                away += 1;
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            Err(status) => {
                let gone = status.code() == Code::Unavailable;
                let error = told(status);
                return Err(if gone {
                    error.context("the import stopped; run it again to go on from here")
                } else {
                    error
                });
            }
        }
    }
}

fn show(
    session: &Session,
    kind: Kind,
    it: &Summary,
    rejects: Option<&Path>,
    dry_run: bool,
) -> anyhow::Result<()> {
    if session.is_json() {
        let reasons: Vec<_> =
            it.reasons.iter().map(|(line, reason)| json!({ "line": line, "reason": reason })).collect();
        let (rows, items, rejected) = (it.rows, it.items, it.rejected);
        return output::json(&match kind {
            Kind::Catalog => json!({
                "rows": rows, "products": items, "created": it.accepted, "updated": it.updated,
                "unchanged": it.duplicate, "rejected": rejected, "rejected_file": rejects,
                "first_reasons": reasons, "dry_run": dry_run,
            }),
            _ => json!({
                "rows": rows, "events": items, "accepted": it.accepted, "duplicate": it.duplicate,
                "rejected": rejected, "rejected_file": rejects, "first_reasons": reasons, "dry_run": dry_run,
            }),
        });
    }
    let number = output::thousands;
    let mut text = format!("  {} rows read, ", number(it.rows));
    if kind == Kind::Catalog {
        let (created, updated) = (number(it.accepted), number(it.updated));
        let verb = if dry_run { "would be " } else { "" };
        text.push_str(&format!(
            "{created} products {verb}created, {updated} {verb}updated, {} unchanged",
            number(it.duplicate)
        ));
    } else {
        let verb = if dry_run { "would be accepted" } else { "accepted" };
        text.push_str(&format!("{} {verb}", number(it.accepted)));
        if it.duplicate > 0 {
            text.push_str(&format!(", {} were there already", number(it.duplicate)));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::time::Instant;
    use tonic_types::ErrorDetails;

    /// Refuses so often, then answers; how long that took, if it came to an answer, and how often it was asked.
    async fn refused(times: u32, status: Status) -> (Option<Duration>, u32) {
        let (asked, began) = (AtomicU32::new(0), Instant::now());
        let call = async || {
            let refuse = asked.fetch_add(1, Ordering::SeqCst) < times;
            if refuse { Err(status.clone()) } else { Ok(Response::new(())) }
        };
        let answer = patiently(call).await.ok().map(|()| began.elapsed());
        (answer, asked.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn an_import_waits_as_long_as_it_is_told_to() {
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(5)));
        let behind =
            Status::with_error_details(Code::ResourceExhausted, "scoring is too far behind", details);
        let (took, asked) = refused(200, behind).await;
        assert_eq!(asked, 201);
        let took = took.unwrap().as_secs();
        assert!((1_000..1_001).contains(&took), "{took} s");
    }

    #[tokio::test(start_paused = true)]
    async fn an_import_does_not_wait_for_ever_for_one_that_is_away() {
        let away = || Status::unavailable("not here");
        assert!(refused(8, away()).await.0.is_some());
        assert_eq!(refused(20, away()).await, (None, 9));
    }
}
