//! Scores as Parquet: typed columns, some ten thousand rows in memory at a time whatever the file's size.

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
use perennial_api::scoring::v1::Score;

use super::columns::{COLUMNS, Cell, Kind};

/// Rows of a row group: what is held in memory.
const ROWS: usize = 20_000;

/// The version of the columns, in the file's metadata.
const VERSION: &str = "1";

type Result<T> = std::result::Result<T, ParquetError>;

/// Writes scores into a Parquet file.
pub struct Sheet<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    /// For each column the values of the row group that is being gathered.
    columns: Vec<Vec<Cell>>,
    rows: usize,
}

/// The schema, as Parquet writes it.
#[must_use]
pub fn schema() -> String {
    let mut text = "message score {\n".to_owned();
    for it in &COLUMNS {
        let (physical, logical) = match it.kind {
            Kind::Text => ("binary", " (STRING)"),
            Kind::Integer => ("int64", ""),
            Kind::Real => ("double", ""),
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
    /// An empty file for the scores of a workspace.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn new(out: W, workspace: &str) -> Result<Self> {
        let entry = |key: &str, value: &str| KeyValue::new(key.to_owned(), value.to_owned());
        let told = vec![entry("perennial.workspace", workspace), entry("perennial.score.version", VERSION)];
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by("perennial".to_owned())
            .set_key_value_metadata(Some(told))
            .build();
        let schema = Arc::new(parse_message_type(&schema())?);
        let writer = SerializedFileWriter::new(out, schema, Arc::new(properties))?;
        Ok(Self { writer, columns: vec![Vec::new(); COLUMNS.len()], rows: 0 })
    }

    /// Adds a score.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn add(&mut self, score: &Score) -> Result<()> {
        for (cells, column) in self.columns.iter_mut().zip(&COLUMNS) {
            cells.push((column.read)(score));
        }
        self.rows += 1;
        if self.rows < ROWS { Ok(()) } else { self.write() }
    }

    /// Writes the rest and the footer: without it the file cannot be read.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn end(mut self) -> Result<()> {
        self.write()?;
        let mut out = self.writer.into_inner()?;
        out.flush()?;
        Ok(())
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
        self.rows = 0;
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
        _ => return Err(ParquetError::General("a column of a type that scores do not have".to_owned())),
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
    if let Cell::Real(it) = it { Some(*it) } else { None }
}

fn date(it: &Cell) -> Option<i32> {
    if let Cell::Date(it) = it { Some(*it) } else { None }
}

fn flag(it: &Cell) -> Option<bool> {
    if let Cell::Flag(it) = it { Some(*it) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::{Field, RowAccessor};
    use perennial_api::scoring::v1::{Interval, Value};

    #[test]
    fn a_file_reads_back_as_it_was_written_over_several_row_groups() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scores.parquet");
        let mut sheet = Sheet::new(std::fs::File::create(&path).unwrap(), "main").unwrap();
        let count = 2 * ROWS + 17;
        let at = |seconds: i64, nanos: i32| Some(prost_types::Timestamp { seconds, nanos });
        for n in 0..count {
            let whole = i64::try_from(n).unwrap();
            let has_model = n % 3 > 0;
            let interval = Interval { level: 0.8, low_minor: -5, high_minor: whole };
            let value =
                Value { months: 12, expected_minor: whole, expected_orders: 0.5, intervals: vec![interval] };
            let score = Score {
                name: format!("workspaces/main/profiles/{n:06}"),
                as_of_time: at(1_700_000_000, 123_456_000),
                model: if has_model { "stack@3".to_owned() } else { String::new() },
                model_cutoff_date: if has_model { "2025-02-23".to_owned() } else { String::new() },
                currency: "EUR".to_owned(),
                orders: whole + 1,
                profit_minor: -whole,
                p_alive: has_model.then_some(0.25),
                values: if has_model { vec![value] } else { vec![] },
                reactivated: n % 2 == 0,
                ..Score::default()
            };
            sheet.add(&score).unwrap();
        }
        sheet.end().unwrap();

        let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
        let metadata = reader.metadata();
        assert_eq!((metadata.num_row_groups(), metadata.file_metadata().num_rows()), (3, count as i64));
        let told = metadata.file_metadata().key_value_metadata().unwrap();
        assert!(told.iter().any(|it| it.key == "perennial.workspace" && it.value.as_deref() == Some("main")));
        let position = |name: &str| COLUMNS.iter().position(|it| it.name == name).unwrap();
        for (n, row) in reader.get_row_iter(None).unwrap().enumerate() {
            let row = row.unwrap();
            assert_eq!(row.get_string(position("profile")).unwrap(), &format!("{n:06}"));
            assert_eq!(row.get_timestamp_micros(position("as_of")).unwrap(), 1_700_000_000_123_456);
            assert_eq!(row.get_long(position("profit_minor")).unwrap(), -(n as i64));
            assert_eq!(row.get_bool(position("reactivated")).unwrap(), n % 2 == 0);
            let (_, date) = row.get_column_iter().nth(position("model_cutoff_date")).unwrap();
            if n % 3 > 0 {
                assert_eq!(*date, Field::Date(20_142));
                assert_eq!(row.get_double(position("p_alive")).unwrap().to_bits(), 0.25_f64.to_bits());
                assert_eq!(row.get_long(position("clv_12m_minor")).unwrap(), n as i64);
                assert_eq!(row.get_long(position("clv_12m_low_minor")).unwrap(), -5);
            } else {
                assert_eq!(*date, Field::Null);
                assert!(row.get_string(position("model")).is_err(), "a null");
                assert!(row.get_double(position("p_alive")).is_err());
            }
            assert!(row.get_timestamp_micros(position("lapse")).is_err());
        }
    }
}
