//! `perennial export orders|events|profiles|catalog`: everything into files, page by page.

use std::io;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use perennial_api::catalog::v1::ListProductsRequest;
use perennial_api::ingestion::v1::{ExportEventsRequest, ExportOrdersRequest, GetIngestStatsRequest};
use perennial_api::profile::v1::{BatchGetContactsRequest, ListProfilesRequest};
use perennial_types::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

use crate::cli::{Plain, Timed};
use crate::export::{Cell, Column, Format, Sink, Target, events, orders, people, products};
use crate::output;
use crate::session::{Session, told};

/// What is listed at once.
const PAGE: i32 = 1_000;

/// A reader that went away (`| head`): the rest is for nobody.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads any further")]
struct Gone;

/// An export that is being written.
struct Writing<'a> {
    session: &'a Session,
    file: Option<&'a Path>,
    format: Format,
    target: Target,
    sink: Sink,
    bar: output::Progress,
    rows: u64,
}

impl<'a> Writing<'a> {
    fn open(
        session: &'a Session,
        to: &'a Plain,
        name: &str,
        columns: &'static [Column],
    ) -> anyhow::Result<Self> {
        let file = to.file.as_deref();
        let format = match (to.format, file) {
            (Some(format), _) => format,
            (None, Some(file)) => Format::of(file)?,
            (None, None) if session.is_json() => Format::Ndjson,
            (None, None) => Format::Csv,
        };
        if format == Format::Parquet && file.is_none() {
            bail!("Parquet is for programs: name a file, such as {name}s.parquet");
        }
        let (target, out) = Target::open(file, format.is_zipped())?;
        let sink = Sink::open(out, format, name, session.workspace.as_str(), columns)?;
        // On one screen rows and a bar would be in each other's way.
        let is_shown = file.is_some() || !io::IsTerminal::is_terminal(&io::stdout());
        let bar = if is_shown { output::rows() } else { output::hidden() };
        Ok(Self { session, file, format, target, sink, bar, rows: 0 })
    }

    fn add(&mut self, cells: Vec<Cell>) -> anyhow::Result<()> {
        self.rows += 1;
        written(self.sink.add(cells))
    }

    /// A row that is a line of NDJSON already.
    fn line(&mut self, json: &str) -> anyhow::Result<()> {
        self.rows += 1;
        written(self.sink.line(json))
    }

    /// Says how far it is.
    fn at(&self, read: i64, of: i64) {
        self.bar.expect(u64::try_from(of.max(read)).unwrap_or_default());
        self.bar.set(u64::try_from(read).unwrap_or_default());
        self.bar.say(format!("{} rows", output::thousands(self.rows)));
    }

    /// Gives the file its name, and counts. `of` is what the rows are of.
    fn end(self, of: &[(&str, u64)]) -> anyhow::Result<()> {
        written(self.sink.end())?;
        self.target.keep()?;
        self.bar.clear();
        if self.session.is_json()
            && let Some(file) = self.file
        {
            let mut counts = Map::from_iter([("rows".to_owned(), Value::from(self.rows))]);
            counts.extend(of.iter().map(|(name, count)| ((*name).to_owned(), (*count).into())));
            counts.insert("file".to_owned(), json!(file));
            counts.insert("format".to_owned(), self.format.as_str().into());
            return output::json(&counts);
        }
        let number = output::thousands;
        let parts: Vec<String> =
            of.iter().map(|(name, count)| format!("{} {name}", number(*count))).collect();
        let of = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
        let place = self.file.map(|it| format!(" in {}", it.display())).unwrap_or_default();
        output::say(&format!("  {} rows{place}{of}", number(self.rows)));
        Ok(())
    }
}

fn written(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Gone.into()),
        other => other.context("the export cannot be written: is there room left?"),
    }
}

/// Whoever reads may stop reading.
fn forgiven(result: anyhow::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.is::<Gone>() => Ok(()),
        other => other,
    }
}

/// Writes the orders.
///
/// # Errors
/// If ingestion refuses or the file cannot be written.
pub async fn orders(session: &Session, what: &Timed) -> anyhow::Result<()> {
    let (start_time, end_time) = when(what)?;
    let request = ExportOrdersRequest { parent: session.parent(), start_time, end_time };
    let people = counts(session).await?.1;
    let mut pages = session.export().export_orders(request).await.map_err(told)?.into_inner();
    let mut out = Writing::open(session, &what.plain, "order", orders::COLUMNS)?;
    let (mut placed, mut returns) = (0, 0);
    let work = async {
        while let Some(page) = pages.message().await.map_err(told)? {
            for order in &page.orders {
                placed += u64::from(order.placement.is_some());
                returns += order.returns.len() as u64;
                for row in orders::rows(order) {
                    out.add(row)?;
                }
            }
            out.at(page.read_count, people);
        }
        out.end(&[("orders", placed), ("refunds", returns)])
    };
    forgiven(work.await)
}

/// Writes the events.
///
/// # Errors
/// If ingestion refuses or the file cannot be written.
pub async fn events(session: &Session, what: &Timed) -> anyhow::Result<()> {
    let (start_time, end_time) = when(what)?;
    let request = ExportEventsRequest { parent: session.parent(), start_time, end_time };
    let all = counts(session).await?.0;
    let mut pages = session.export().export_events(request).await.map_err(told)?.into_inner();
    let mut out = Writing::open(session, &what.plain, "event", events::COLUMNS)?;
    let as_calls = matches!(out.format, Format::Ndjson | Format::NdjsonGz);
    let work = async {
        while let Some(page) = pages.message().await.map_err(told)? {
            for event in &page.events {
                if as_calls { out.line(&event.call_json)? } else { out.add(events::row(event))? }
            }
            out.at(page.read_count, all);
        }
        out.end(&[])
    };
    forgiven(work.await)
}

/// Writes everybody.
///
/// # Errors
/// If ingestion refuses or the file cannot be written.
pub async fn profiles(session: &Session, to: &Plain) -> anyhow::Result<()> {
    let all = counts(session).await?.1;
    let mut out = Writing::open(session, to, "profile", people::COLUMNS)?;
    let work = async {
        let mut request =
            ListProfilesRequest { parent: session.parent(), page_size: PAGE, ..Default::default() };
        let mut read = 0;
        loop {
            let page = session.profiles().list_profiles(request.clone()).await.map_err(told)?.into_inner();
            let names = page.profiles.iter().map(|it| it.name.clone()).collect();
            let asked = BatchGetContactsRequest { parent: session.parent(), names };
            let contacts = session.profiles().batch_get_contacts(asked).await.map_err(told)?.into_inner();
            let contacts: HashMap<_, _> =
                contacts.contacts.into_iter().map(|it| (it.name.clone(), it)).collect();
            for it in &page.profiles {
                // Whoever was erased or merged in between is not, or elsewhere, in it.
                if let Some(contact) =
                    contacts.get(&it.name).filter(|contact| contact.current_name == it.name)
                {
                    out.add(people::row(it, contact))?;
                }
            }
            read += i64::try_from(page.profiles.len()).unwrap_or_default();
            out.at(read, all);
            if page.next_page_token.is_empty() {
                return out.end(&[]);
            }
            request.page_token = page.next_page_token;
        }
    };
    forgiven(work.await)
}

/// Writes the products.
///
/// # Errors
/// If ingestion refuses or the file cannot be written.
pub async fn catalog(session: &Session, to: &Plain) -> anyhow::Result<()> {
    let mut out = Writing::open(session, to, "product", products::COLUMNS)?;
    let work = async {
        let mut request =
            ListProductsRequest { parent: session.parent(), page_size: PAGE, ..Default::default() };
        let mut read = 0;
        loop {
            let page = session.catalog().list_products(request.clone()).await.map_err(told)?.into_inner();
            for it in &page.products {
                out.add(products::row(it))?;
            }
            read += i64::try_from(page.products.len()).unwrap_or_default();
            out.at(read, read);
            if page.next_page_token.is_empty() {
                return out.end(&[]);
            }
            request.page_token = page.next_page_token;
        }
    };
    forgiven(work.await)
}

/// How many events and people there are.
async fn counts(session: &Session) -> anyhow::Result<(i64, i64)> {
    let request = GetIngestStatsRequest { name: format!("{}/ingestStats", session.parent()) };
    let found = session.ingestion().get_ingest_stats(request).await.map_err(told)?.into_inner();
    Ok((found.accepted_count, found.profile_count))
}

type Instant = Option<prost_types::Timestamp>;

fn when(what: &Timed) -> anyhow::Result<(Instant, Instant)> {
    let since = what.since.as_deref().map(|it| instant("--since", it, false)).transpose()?;
    let until = what.until.as_deref().map(|it| instant("--until", it, true)).transpose()?;
    if let (Some(since), Some(until)) = (since, until) {
        ensure!(since < until, "--until is not after --since: nothing happened in between");
    }
    let wire = |it: Option<Timestamp>| it.map(perennial_rpc::time::to_wire);
    Ok((wire(since), wire(until)))
}

/// The begin of a day in UTC, or its end; or an instant.
fn instant(option: &str, text: &str, is_end: bool) -> anyhow::Result<Timestamp> {
    let at = match text.parse::<Date>() {
        // `2026-03-01T12:00` is a date to the parser, too.
        Ok(date) if text.len() <= 10 => {
            let day = if is_end { date.tomorrow().unwrap_or(date) } else { date };
            day.to_zoned(TimeZone::UTC).map(|it| it.timestamp()).ok()
        }
        _ => text.parse().ok(),
    };
    at.with_context(|| {
        format!("{option} {text:?} is no date: write 2026-03-01, or an instant such as 2026-03-01T12:00:00Z")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_whole_and_an_instant_is_one() {
        let at = |text, is_end| instant("--since", text, is_end).map(|it| it.to_string());
        assert_eq!(at("2026-03-01", false).unwrap(), "2026-03-01T00:00:00Z");
        assert_eq!(at("2026-02-28", true).unwrap(), "2026-03-01T00:00:00Z");
        assert_eq!(at("2026-03-01T12:00:00+01:00", true).unwrap(), "2026-03-01T11:00:00Z");
        for text in ["march", "2026-03-01T12:00", "01.03.2026", ""] {
            assert!(at(text, false).unwrap_err().to_string().contains("--since"), "{text}");
        }
    }
}
