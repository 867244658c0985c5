//! `perennial score export`: everybody's scores as CSV, JSON or Parquet, streamed: memory does not grow with the customers.

mod columns;

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, bail};
use perennial_api::scoring::v1::{ExportScoresRequest, Score};

use super::show::score_json;
use crate::cli::ExportFormat;
use crate::export::{Format, Out, Sink, Target};
use crate::output;
use crate::session::{Session, told};

/// Streams the scores into a file or to standard output.
///
/// # Errors
/// If scoring refuses or the file cannot be written.
pub async fn run(
    session: &Session,
    file: Option<&Path>,
    format: Option<ExportFormat>,
    as_of: Option<&str>,
) -> anyhow::Result<()> {
    let format = format.unwrap_or_else(|| guess(session, file));
    if format == ExportFormat::Parquet && file.is_none() {
        bail!("Parquet is for programs: name a file with --file");
    }
    let as_of_time = as_of.map(instant_of_text).transpose()?;
    let request = ExportScoresRequest { parent: session.parent(), as_of_time };
    let mut pages = session.scoring().export_scores(request).await.map_err(told)?.into_inner();
    let (target, out) = Target::open(file, false)?;
    let mut sink = match format {
        ExportFormat::Csv => Writing::Table(table(out, Format::Csv, session)?),
        ExportFormat::Json => Writing::json(out)?,
        ExportFormat::Parquet => Writing::Table(table(out, Format::Parquet, session)?),
    };
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
    target.keep()?;
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

/// The format that the file's name or the output asked for says.
fn guess(session: &Session, file: Option<&Path>) -> ExportFormat {
    let ending = file.and_then(Path::extension).and_then(|it| it.to_str()).unwrap_or_default();
    match ending {
        "parquet" => ExportFormat::Parquet,
        "json" => ExportFormat::Json,
        _ if session.is_json() => ExportFormat::Json,
        _ => ExportFormat::Csv,
    }
}

fn table(out: Out, format: Format, session: &Session) -> anyhow::Result<Sink> {
    Sink::open(out, format, "score", session.workspace.as_str(), columns::plain())
}

/// A table, or one JSON array, which says more than columns can.
enum Writing {
    Table(Sink),
    Json { out: Out, is_first: bool },
}

impl Writing {
    fn json(mut out: Out) -> anyhow::Result<Self> {
        out.write_all(b"[")?;
        Ok(Self::Json { out, is_first: true })
    }

    fn add(&mut self, score: &Score) -> io::Result<()> {
        match self {
            Self::Table(sink) => sink.add(columns::cells(score)),
            Self::Json { out, is_first } => {
                out.write_all(if std::mem::take(is_first) { b"\n" } else { b",\n" })?;
                serde_json::to_writer(out, &score_json(score)).map_err(io::Error::from)
            }
        }
    }

    fn end(self) -> io::Result<()> {
        match self {
            Self::Table(sink) => sink.end(),
            Self::Json { mut out, .. } => out.write_all(b"\n]\n").and_then(|()| out.end()),
        }
    }
}

#[cfg(test)]
mod tests;
