//! `perennial score export`: everybody's scores as CSV, JSON or Parquet, streamed: memory does not grow with the customers.

mod columns;
mod parquet;

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use ::parquet::errors::ParquetError;
use anyhow::{Context, bail};
use perennial_api::scoring::v1::{ExportScoresRequest, Score};

use self::columns::{COLUMNS, Cell};
use self::parquet::Sheet;
use super::show::score_json;
use crate::cli::ExportFormat;
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
    let out: Out = match file {
        Some(file) => {
            let opened =
                File::create(file).with_context(|| format!("{} cannot be written", file.display()))?;
            Box::new(io::BufWriter::new(opened))
        }
        None => Box::new(io::BufWriter::new(io::stdout())),
    };
    let mut sink = match format {
        ExportFormat::Csv => Sink::csv(out)?,
        ExportFormat::Json => Sink::json(out)?,
        ExportFormat::Parquet => Sink::Parquet(Box::new(Sheet::new(out, session.workspace.as_str())?)),
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

type Out = Box<dyn Write + Send>;

enum Sink {
    Csv(Box<csv::Writer<Out>>),
    Json { out: Out, is_first: bool },
    Parquet(Box<Sheet<Out>>),
}

impl Sink {
    fn csv(out: Out) -> anyhow::Result<Self> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(COLUMNS.iter().map(|it| it.name))?;
        Ok(Self::Csv(Box::new(writer)))
    }

    fn json(mut out: Out) -> anyhow::Result<Self> {
        out.write_all(b"[")?;
        Ok(Self::Json { out, is_first: true })
    }

    fn add(&mut self, score: &Score) -> io::Result<()> {
        match self {
            Self::Csv(writer) => {
                let cells = COLUMNS.iter().map(|it| Cell::text(&(it.read)(score)));
                writer.write_record(cells).map_err(|error| match error.into_kind() {
                    csv::ErrorKind::Io(error) => error,
                    other => io::Error::other(format!("{other:?}")),
                })
            }
            Self::Json { out, is_first } => {
                out.write_all(if std::mem::take(is_first) { b"\n" } else { b",\n" })?;
                serde_json::to_writer(out, &score_json(score)).map_err(io::Error::from)
            }
            Self::Parquet(sheet) => sheet.add(score).map_err(unwritten),
        }
    }

    fn end(self) -> io::Result<()> {
        match self {
            Self::Csv(mut writer) => writer.flush(),
            Self::Json { mut out, .. } => out.write_all(b"\n]\n").and_then(|()| out.flush()),
            Self::Parquet(sheet) => sheet.end().map_err(unwritten),
        }
    }
}

fn unwritten(error: ParquetError) -> io::Error {
    io::Error::other(error)
}
