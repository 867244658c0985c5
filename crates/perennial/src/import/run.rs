//! The import itself: one thread reads, and what it reads is sent in batches, several at a time, answered in order.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use futures::StreamExt;
use perennial_api::catalog::v1::Product;
use perennial_api::ingestion::v1::Event;
use perennial_types::{Currency, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::events::{Made, Maker};
use super::fields::{Kind, Mapping};
use super::ids::Equal;
use super::lines::Collector;
use super::reject::{Rejected, Rejects};
use super::resume::{Place, Resume};
use super::returns::Sold;
use super::source::{Meter, Source};
use super::value::Dates;

/// Events of one batch: the most the edge takes at once.
const BATCH: usize = 2_500;
/// Bytes of one batch: somewhat less than the largest request.
const BATCH_BYTES: usize = 3 << 20;
/// Batches under way at a time.
const AT_ONCE: usize = 3;

/// What to import, and how to read it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the file holds.
    pub kind: Kind,
    /// The file.
    pub path: PathBuf,
    /// Columns that were named: field and column.
    pub said: Vec<(String, String)>,
    /// How dates are read.
    pub dates: Dates,
    /// Currency of amounts that name none.
    pub currency: Option<Currency>,
    /// Amounts have a decimal comma.
    pub comma: bool,
    /// The instant of the import: whether a sale is on.
    pub now: Timestamp,
    /// Read and count, but change nothing and write nothing. Products are sent even so, to be asked what would become of
    /// them.
    pub dry_run: bool,
}

/// What a row became.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// An event.
    Event(Box<Event>),
    /// A product of the catalogue.
    Product(Box<Product>),
}

impl Item {
    /// Its size on the wire, in bytes, more or less.
    fn size(&self) -> usize {
        match self {
            Self::Event(it) => prost::Message::encoded_len(&**it),
            Self::Product(it) => prost::Message::encoded_len(&**it),
        }
    }
}

/// What became of an item that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Taken, as something new.
    Accepted,
    /// Taken, as a change of what was there.
    Updated,
    /// It was there already.
    Duplicate,
    /// Refused, with the reason.
    Rejected(String),
}

/// The counts of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// Rows read.
    pub rows: u64,
    /// What they became: events or products.
    pub items: u64,
    /// Taken, as something new.
    pub accepted: u64,
    /// Taken, as a change of what was there.
    pub updated: u64,
    /// There already.
    pub duplicate: u64,
    /// Rows not taken.
    pub rejected: u64,
    /// The first few reasons, with their lines.
    pub reasons: Vec<(u64, String)>,
}

struct Batch {
    made: Vec<Made>,
    rejected: Vec<Rejected>,
    /// Rows of the file that are done when this batch is.
    rows: u64,
}

/// Opens the file and finds out what its columns mean.
///
/// # Errors
/// If the file cannot be read, or a column that has to be there cannot be found.
pub fn look(plan: &Plan) -> anyhow::Result<(Source, Mapping)> {
    let source = Source::open(&plan.path)?;
    anyhow::ensure!(
        plan.kind == Kind::Catalog || !source.is_xml(),
        "{} is XML, which is read for `import catalog` only: write it as CSV or NDJSON",
        plan.path.display()
    );
    let mapping = Mapping::find(plan.kind, &source.columns, &plan.said)?;
    Ok((source, mapping))
}

/// Imports a file. `seen` is shown the mapping and a meter of progress before the first row is read; `send` takes a batch
/// and says what became of each item, in order.
///
/// # Errors
/// If the file cannot be read or a batch not be sent. What was sent by then is kept, and the next run goes on from there.
pub async fn run<Send, Sent>(
    plan: Plan,
    resume: Option<Resume>,
    seen: impl FnOnce(&Mapping, Meter, u64),
    send: Send,
) -> anyhow::Result<(Summary, Option<PathBuf>)>
where
    Send: Fn(Vec<Item>) -> Sent,
    Sent: Future<Output = anyhow::Result<Vec<Outcome>>>,
{
    let (source, mapping) = look(&plan)?;
    seen(&mapping, source.meter.clone(), source.size);
    let place = resume.as_ref().map(Resume::place).unwrap_or_default();
    let mut rejects = Rejects::beside(&plan.path, source.rejected_columns(), place.rejected_bytes);
    let mut summary = place.summary;
    let maker = Maker {
        kind: plan.kind,
        columns: source.columns.clone().into(),
        mapping: Arc::new(mapping),
        dates: plan.dates,
        currency: plan.currency,
        comma: plan.comma,
        now: plan.now,
        orders: Collector::default(),
        sold: Sold::default(),
        equal: Equal::default(),
    };
    let (out, batches) = mpsc::channel(2);
    let reader = tokio::task::spawn_blocking(move || read(source, maker, place.rows, &out));
    let batches = futures::stream::unfold(batches, |mut it| async { Some((it.recv().await?, it)) });
    let dry_run = plan.dry_run;
    // What became of a product is asked even in a dry run; and of two rows about one, the later counts.
    let (asks, at_once) = if plan.kind == Kind::Catalog { (true, 1) } else { (!dry_run, AT_ONCE) };
    let answered = batches.map(|batch: Batch| {
        let items: Vec<Item> = batch.made.iter().map(|it| it.item.clone()).collect();
        let count = items.len();
        let sent = (asks && count > 0).then(|| send(items));
        async move {
            let outcomes = match sent {
                Some(sent) => sent.await?,
                None => vec![Outcome::Accepted; count],
            };
            anyhow::ensure!(outcomes.len() == count, "{count} rows were sent, {} answered", outcomes.len());
            Ok((batch, outcomes))
        }
    });
    let mut answered = std::pin::pin!(answered.buffered(at_once));
    while let Some(answer) = answered.next().await {
        let (batch, outcomes) = answer?;
        let rejected = count(&mut summary, batch.made, outcomes, batch.rejected);
        summary.rows = batch.rows;
        if !dry_run {
            rejects.write(&rejected)?;
            if let Some(resume) = &resume {
                let place =
                    Place { rows: batch.rows, rejected_bytes: rejects.len(), summary: summary.clone() };
                resume.save(&place)?;
            }
        }
    }
    reader.await.context("reading the file")??;
    if let Some(resume) = &resume {
        resume.clear();
    }
    let written = (!dry_run && summary.rejected > 0).then(|| rejects.path().to_owned());
    Ok((summary, written))
}

fn count(
    summary: &mut Summary,
    made: Vec<Made>,
    outcomes: Vec<Outcome>,
    mut rejected: Vec<Rejected>,
) -> Vec<Rejected> {
    summary.items += made.len() as u64;
    for (made, outcome) in made.into_iter().zip(outcomes) {
        match outcome {
            Outcome::Accepted => summary.accepted += 1,
            Outcome::Updated => summary.updated += 1,
            Outcome::Duplicate => summary.duplicate += 1,
            Outcome::Rejected(reason) => {
                let rows = made.rows.into_iter();
                rejected.extend(rows.map(|(line, raw)| Rejected { line, reason: reason.clone(), raw }));
            }
        }
    }
    rejected.sort_by_key(|it| it.line);
    summary.rejected += rejected.len() as u64;
    let room = 5_usize.saturating_sub(summary.reasons.len());
    summary.reasons.extend(rejected.iter().take(room).map(|it| (it.line, it.reason.clone())));
    rejected
}

/// Reads all records; those before `skip` were dealt with by an earlier run, and are read only for what later ones have to
/// do with them.
fn read(mut source: Source, mut maker: Maker, skip: u64, out: &mpsc::Sender<Batch>) -> anyhow::Result<()> {
    let mut made: Vec<Made> = Vec::new();
    let mut bytes = 0;
    let mut rejected: Vec<(u64, Rejected)> = Vec::new();
    let mut rows = 0_u64;
    let mut told = skip;
    while let Some(record) = source.next()? {
        let (whole, bad) = maker.push(rows, record);
        rejected.extend(bad.filter(|_| rows >= skip).map(|it| (rows, it)));
        for it in whole.into_iter().filter(|it| it.first >= skip) {
            bytes += it.item.size();
            made.push(it);
        }
        rows += 1;
        // Rows of an order that is not whole yet are not done; nor are those rejected in between.
        let done = maker.done(rows);
        let ready = rejected.iter().take_while(|(row, _)| *row < done).count();
        if made.len() >= BATCH || bytes >= BATCH_BYTES || ready >= BATCH {
            bytes = 0;
            let later = rejected.split_off(ready);
            let rejected = std::mem::replace(&mut rejected, later).into_iter().map(|(_, it)| it).collect();
            let mut now = std::mem::take(&mut made);
            // Orders become whole many at a time; a batch holds no more than the edge takes.
            while now.len() > BATCH {
                let rest = now.split_off(BATCH);
                let batch = Batch { made: now, rejected: Vec::new(), rows: told };
                if out.blocking_send(batch).is_err() {
                    return Ok(());
                }
                now = rest;
            }
            told = done.max(skip);
            if out.blocking_send(Batch { made: now, rejected, rows: told }).is_err() {
                return Ok(());
            }
        }
    }
    made.extend(maker.finish().into_iter().filter(|it| it.first >= skip));
    let mut rejected: Vec<Rejected> = rejected.into_iter().map(|(_, it)| it).collect();
    loop {
        let rest = made.split_off(made.len().min(BATCH));
        let is_last = rest.is_empty();
        let batch = Batch {
            made: std::mem::replace(&mut made, rest),
            rejected: if is_last { std::mem::take(&mut rejected) } else { Vec::new() },
            rows: if is_last { rows.max(skip) } else { told },
        };
        if out.blocking_send(batch).is_err() || is_last {
            return Ok(());
        }
    }
}
