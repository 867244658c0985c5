//! A table that goes out, row by row.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, bail};
use parquet::errors::ParquetError;
use serde_json::{Map, Value};

use super::cell::{Cell, Column};
use super::file::Out;
use super::formula;
use super::sheet::Sheet;

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Comma-separated text, with a header
    #[value(name = "csv")]
    Csv,
    /// The same, gzipped
    #[value(name = "csv.gz")]
    CsvGz,
    /// One JSON object a line
    #[value(name = "ndjson")]
    Ndjson,
    /// The same, gzipped
    #[value(name = "ndjson.gz")]
    NdjsonGz,
    /// Typed columns
    #[value(name = "parquet")]
    Parquet,
}

impl Format {
    /// What a file's name says.
    ///
    /// # Errors
    /// If it says nothing we know.
    pub fn of(file: &Path) -> anyhow::Result<Self> {
        let name = file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let (name, zipped) = name.strip_suffix(".gz").map_or((name.as_str(), false), |it| (it, true));
        Ok(match (name.rsplit_once('.').map(|it| it.1), zipped) {
            (Some("csv"), false) => Self::Csv,
            (Some("csv"), true) => Self::CsvGz,
            (Some("ndjson" | "jsonl"), false) => Self::Ndjson,
            (Some("ndjson" | "jsonl"), true) => Self::NdjsonGz,
            (Some("parquet"), false) => Self::Parquet,
            (Some("parquet"), true) => {
                bail!("{} is packed as it is: end its name in .parquet, without .gz", file.display())
            }
            _ => bail!(
                "the name of {} does not say how it is to be written: end it in .csv, .ndjson, .csv.gz, .ndjson.gz or \
                 .parquet, or say --format",
                file.display()
            ),
        })
    }

    /// Whether it is gzipped.
    #[must_use]
    pub fn is_zipped(self) -> bool {
        matches!(self, Self::CsvGz | Self::NdjsonGz)
    }

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::CsvGz => "csv.gz",
            Self::Ndjson => "ndjson",
            Self::NdjsonGz => "ndjson.gz",
            Self::Parquet => "parquet",
        }
    }
}

/// Writes rows.
pub enum Sink {
    /// As CSV.
    Csv(Box<csv::Writer<Out>>),
    /// As NDJSON.
    Lines(Out, &'static [Column]),
    /// As Parquet.
    Parquet(Box<Sheet<Out>>),
}

impl Sink {
    /// Begins a table of `workspace`. `name` is what a row of it is.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn open(
        out: Out,
        format: Format,
        name: &str,
        workspace: &str,
        columns: &'static [Column],
    ) -> anyhow::Result<Self> {
        Ok(match format {
            Format::Csv | Format::CsvGz => {
                let mut writer = csv::Writer::from_writer(out);
                writer
                    .write_record(columns.iter().map(|it| it.name))
                    .context("the file cannot be written")?;
                Self::Csv(Box::new(writer))
            }
            Format::Ndjson | Format::NdjsonGz => Self::Lines(out, columns),
            Format::Parquet => Self::Parquet(Box::new(Sheet::new(out, name, workspace, columns)?)),
        })
    }

    /// Adds a row: a cell for each column.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(&mut self, cells: Vec<Cell>) -> io::Result<()> {
        match self {
            Self::Csv(writer) => {
                let text = |it: &Cell| match it {
                    Cell::Text(it) => formula::guarded(it.clone()),
                    other => other.text(),
                };
                writer.write_record(cells.iter().map(text)).map_err(|error| match error.into_kind() {
                    csv::ErrorKind::Io(error) => error,
                    other => io::Error::other(format!("{other:?}")),
                })
            }
            Self::Lines(out, columns) => {
                let known = columns.iter().zip(&cells).filter(|(_, cell)| **cell != Cell::Nothing);
                let object: Map<String, Value> =
                    known.map(|(column, cell)| (column.name.to_owned(), cell.to_json())).collect();
                serde_json::to_writer(&mut *out, &object).map_err(io::Error::from)?;
                out.write_all(b"\n")
            }
            Self::Parquet(sheet) => sheet.add(cells).map_err(unwritten),
        }
    }

    /// Adds a row of NDJSON that is written already.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn line(&mut self, json: &str) -> io::Result<()> {
        match self {
            Self::Lines(out, _) => out.write_all(json.as_bytes()).and_then(|()| out.write_all(b"\n")),
            _ => Err(io::Error::other("only NDJSON has lines")),
        }
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn end(self) -> io::Result<()> {
        match self {
            Self::Csv(mut writer) => {
                writer.flush()?;
                writer.into_inner().map_err(|it| io::Error::other(it.to_string()))?.end()
            }
            Self::Lines(out, _) => out.end(),
            Self::Parquet(sheet) => sheet.end().map_err(unwritten)?.end(),
        }
    }
}

fn unwritten(error: ParquetError) -> io::Error {
    io::Error::other(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_how_a_file_is_written_or_the_remedy_is_told() {
        for (name, format) in [
            ("a.csv", Format::Csv),
            ("a.b.CSV.gz", Format::CsvGz),
            ("a.ndjson", Format::Ndjson),
            ("a.jsonl.gz", Format::NdjsonGz),
            ("x/a.parquet", Format::Parquet),
        ] {
            assert_eq!(Format::of(Path::new(name)).unwrap(), format, "{name}");
        }
        for name in ["a", "a.gz", "a.xlsx", "csv"] {
            let refused = Format::of(Path::new(name)).unwrap_err().to_string();
            assert!(refused.contains("--format"), "{refused}");
        }
        assert!(Format::of(Path::new("a.parquet.gz")).is_err());
    }
}
