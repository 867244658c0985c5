//! `perennial score export`: everybody's scores as CSV or JSON.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use perennial_api::scoring::v1::{ExportScoresRequest, Score};

use super::show::score_json;
use crate::commands::instant_of;
use crate::output;
use crate::session::{Session, bare, told};

const COLUMNS: [&str; 31] = [
    "profile",
    "as_of",
    "model",
    "model_cutoff_date",
    "currency",
    "orders",
    "revenue_minor",
    "profit_minor",
    "refund_minor",
    "first_order",
    "last_order",
    "x",
    "t_x_weeks",
    "age_weeks",
    "p_alive",
    "expected_orders_90d",
    "expected_profit_90d_minor",
    "clv_12m_minor",
    "clv_12m_low_minor",
    "clv_12m_high_minor",
    "clv_24m_minor",
    "clv_36m_minor",
    "clv_endless_minor",
    "clv_percentile",
    "recency",
    "frequency",
    "monetary",
    "next_order",
    "overdue",
    "lapse",
    "reactivated",
];

/// Streams the scores into a file or to standard output.
///
/// # Errors
/// If scoring refuses or the file cannot be written.
pub async fn run(session: &Session, file: Option<&Path>, as_of: Option<&str>) -> anyhow::Result<()> {
    let as_of_time = as_of.map(instant_of_text).transpose()?;
    let request = ExportScoresRequest { parent: session.parent(), as_of_time };
    let mut pages = session.scoring().export_scores(request).await.map_err(told)?.into_inner();
    let out: Box<dyn Write> = match file {
        Some(file) => {
            let opened =
                File::create(file).with_context(|| format!("{} cannot be written", file.display()))?;
            Box::new(io::BufWriter::new(opened))
        }
        None => Box::new(io::BufWriter::new(io::stdout())),
    };
    let mut sink = if session.is_json() { Sink::json(out)? } else { Sink::csv(out)? };
    let mut count = 0_u64;
    while let Some(page) = pages.message().await.map_err(told)? {
        for score in &page.scores {
            match sink.add(score) {
                // A reader that went away (`| head`) is no error.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                other => other?,
            }
            count += 1;
        }
    }
    match sink.end() {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
        other => other?,
    }
    if let Some(file) = file {
        output::say(&format!("  {} scores in {}", output::thousands(count), file.display()));
    }
    Ok(())
}

/// The end of a day in UTC, or an instant.
fn instant_of_text(text: &str) -> anyhow::Result<prost_types::Timestamp> {
    let at: perennial_types::Timestamp = match text.parse::<jiff::civil::Date>() {
        Ok(date) => format!("{date}T23:59:59.999999Z").parse()?,
        Err(_) => text.parse().with_context(|| {
            format!("--as-of {text:?} is no date: write 2026-03-01 or 2026-03-01T12:00:00Z")
        })?,
    };
    Ok(perennial_rpc::time::to_wire(at))
}

enum Sink {
    Csv(Box<csv::Writer<Box<dyn Write>>>),
    Json { out: Box<dyn Write>, is_first: bool },
}

impl Sink {
    fn csv(out: Box<dyn Write>) -> anyhow::Result<Self> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(COLUMNS)?;
        Ok(Self::Csv(Box::new(writer)))
    }

    fn json(mut out: Box<dyn Write>) -> anyhow::Result<Self> {
        out.write_all(b"[")?;
        Ok(Self::Json { out, is_first: true })
    }

    fn add(&mut self, score: &Score) -> io::Result<()> {
        match self {
            Self::Csv(writer) => writer.write_record(cells(score)).map_err(|error| match error.into_kind() {
                csv::ErrorKind::Io(error) => error,
                other => io::Error::other(format!("{other:?}")),
            }),
            Self::Json { out, is_first } => {
                out.write_all(if std::mem::take(is_first) { b"\n" } else { b",\n" })?;
                serde_json::to_writer(out, &score_json(score)).map_err(io::Error::from)
            }
        }
    }

    fn end(self) -> io::Result<()> {
        match self {
            Self::Csv(mut writer) => writer.flush(),
            Self::Json { mut out, .. } => out.write_all(b"\n]\n").and_then(|()| out.flush()),
        }
    }
}

fn cells(it: &Score) -> [String; 31] {
    let at = |wire: &Option<prost_types::Timestamp>| {
        instant_of(wire.as_ref()).map(|it| it.to_string()).unwrap_or_default()
    };
    let value = |months: i32| it.values.iter().find(|it| it.months == months);
    let expected = |months: i32| value(months).map(|it| it.expected_minor.to_string()).unwrap_or_default();
    let band = value(12).and_then(|it| it.intervals.iter().find(|it| (it.level - 0.8).abs() < 1e-9));
    let rfm = |of: fn(&perennial_api::scoring::v1::Rfm) -> i32| {
        it.rfm.as_ref().map(|it| of(it).to_string()).unwrap_or_default()
    };
    let optional = |it: Option<f64>| it.map(|it| it.to_string()).unwrap_or_default();
    [
        bare(&it.name).to_owned(),
        at(&it.as_of_time),
        it.model.clone(),
        it.model_cutoff_date.clone(),
        it.currency.clone(),
        it.orders.to_string(),
        it.revenue_minor.to_string(),
        it.profit_minor.to_string(),
        it.refund_minor.to_string(),
        at(&it.first_order_time),
        at(&it.last_order_time),
        it.x.to_string(),
        it.t_x_weeks.to_string(),
        it.age_weeks.to_string(),
        optional(it.p_alive),
        it.expected_orders_90d.to_string(),
        it.expected_profit_90d_minor.to_string(),
        expected(12),
        band.map(|it| it.low_minor.to_string()).unwrap_or_default(),
        band.map(|it| it.high_minor.to_string()).unwrap_or_default(),
        expected(24),
        expected(36),
        expected(0),
        optional(it.clv_percentile),
        rfm(|it| it.recency),
        rfm(|it| it.frequency),
        rfm(|it| it.monetary),
        it.next_order.as_ref().map(|it| at(&it.median_time)).unwrap_or_default(),
        at(&it.overdue_time),
        at(&it.lapse_time),
        it.reactivated.to_string(),
    ]
}
