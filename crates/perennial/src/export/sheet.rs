//! A table as Parquet: typed columns, some ten thousand rows in memory at a time whatever the file's size.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::cell::{Cell, Column, Kind};

/// Rows of a row group: what is held in memory,
const ROWS: usize = 20_000;
/// unless its texts come to more than this, in bytes.
const BYTES: usize = 32 << 20;

/// The version of the columns, in the file's metadata.
const VERSION: &str = "1";

type Result<T> = std::result::Result<T, ParquetError>;

/// Writes rows into a Parquet file.
pub struct Sheet<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    /// For each column the values of the row group that is being gathered.
    columns: Vec<Vec<Cell>>,
    rows: usize,
    bytes: usize,
}

/// The schema, as Parquet writes it.
fn schema(name: &str, columns: &[Column]) -> String {
    let mut text = format!("message {name} {{\n");
    for it in columns {
        let (physical, logical) = match it.kind {
            Kind::Text | Kind::Json => ("binary", " (STRING)"),
            Kind::Integer => ("int64", ""),
            Kind::Real | Kind::Amount => ("double", ""),
            Kind::Time => ("int64", " (TIMESTAMP(MICROS,true))"),
            Kind::Date => ("int32", " (DATE)"),
            Kind::Flag => ("boolean", ""),
        };
        text.push_str(&format!("  optional {physical} {}{logical};\n", it.name));
    }
    text.push_str("}\n");
    text
}

impl<W: Write + Send> Sheet<W> {
    /// An empty file for a table of a workspace. `name` is what a row of it is.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn new(out: W, name: &str, workspace: &str, columns: &[Column]) -> Result<Self> {
        let entry = |key: &str, value: &str| KeyValue::new(key.to_owned(), value.to_owned());
        let version = format!("perennial.{name}.version");
        let told = vec![entry("perennial.workspace", workspace), entry(&version, VERSION)];
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by("perennial".to_owned())
            .set_key_value_metadata(Some(told))
            .build();
        let schema = Arc::new(parse_message_type(&schema(name, columns))?);
        let writer = SerializedFileWriter::new(out, schema, Arc::new(properties))?;
        Ok(Self { writer, columns: vec![Vec::new(); columns.len()], rows: 0, bytes: 0 })
    }

    /// Adds a row: a cell for each column.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn add(&mut self, cells: Vec<Cell>) -> Result<()> {
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            // An object is kept as the text it becomes.
            let cell = if let Cell::Json(it) = cell { Cell::Text(it.to_string()) } else { cell };
            self.bytes += if let Cell::Text(it) = &cell { it.len() } else { 0 };
            column.push(cell);
        }
        self.rows += 1;
        if self.rows < ROWS && self.bytes < BYTES { Ok(()) } else { self.write() }
    }

    /// Writes the rest and the footer, without which the file cannot be read, and gives back what it was written to.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn end(mut self) -> Result<W> {
        self.write()?;
        self.writer.into_inner()
    }

    fn write(&mut self) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for cells in &mut self.columns {
            let Some(mut column) = group.next_column()? else { break };
            fill(column.untyped(), cells)?;
            column.close()?;
            cells.clear();
        }
        group.close()?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

/// Writes one column of a row group; what is not there is a null.
fn fill(column: &mut ColumnWriter<'_>, cells: &[Cell]) -> Result<()> {
    let present: Vec<i16> = cells.iter().map(|it| i16::from(*it != Cell::Nothing)).collect();
    let levels = Some(present.as_slice());
    match column {
        ColumnWriter::ByteArrayColumnWriter(it) => {
            let values: Vec<ByteArray> = cells.iter().filter_map(text).collect();
            it.write_batch(&values, levels, None)?;
        }
        ColumnWriter::Int64ColumnWriter(it) => {
            let values: Vec<i64> = cells.iter().filter_map(integer).collect();
            it.write_batch(&values, levels, None)?;
        }
        ColumnWriter::DoubleColumnWriter(it) => {
            let values: Vec<f64> = cells.iter().filter_map(real).collect();
            it.write_batch(&values, levels, None)?;
        }
        ColumnWriter::Int32ColumnWriter(it) => {
            let values: Vec<i32> = cells.iter().filter_map(date).collect();
            it.write_batch(&values, levels, None)?;
        }
        ColumnWriter::BoolColumnWriter(it) => {
            let values: Vec<bool> = cells.iter().filter_map(flag).collect();
            it.write_batch(&values, levels, None)?;
        }
        _ => return Err(ParquetError::General("a column of a type that no table of ours has".to_owned())),
    }
    Ok(())
}

fn text(it: &Cell) -> Option<ByteArray> {
    if let Cell::Text(it) = it { Some(ByteArray::from(it.as_str())) } else { None }
}

fn integer(it: &Cell) -> Option<i64> {
    if let Cell::Integer(it) = it { Some(*it) } else { it.micros() }
}

fn real(it: &Cell) -> Option<f64> {
    match it {
        Cell::Real(it) => Some(*it),
        // The double that is nearest to the decimal number: written out at its shortest it is that again.
        Cell::Amount(..) => it.text().parse().ok(),
        _ => None,
    }
}

fn date(it: &Cell) -> Option<i32> {
    if let Cell::Date(it) = it { Some(*it) } else { None }
}

fn flag(it: &Cell) -> Option<bool> {
    if let Cell::Flag(it) = it { Some(*it) } else { None }
}
