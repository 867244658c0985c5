//! Parquet as a stream of objects.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use jiff::Timestamp;
use jiff::civil::Date;
use parquet::data_type::Decimal;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use serde_json::{Map, Number, Value};

use super::source::{Content, Record};

/// The first bytes of such a file.
pub const MAGIC: &[u8] = b"PAR1";

/// Rows of a Parquet file: a page of each column is in memory at a time.
pub struct Columns {
    rows: RowIter<'static>,
    /// The names of its columns.
    pub names: Vec<String>,
    read: u64,
    all: u64,
    size: u64,
    meter: Arc<AtomicU64>,
}

impl Columns {
    /// Opens a file of `size` bytes. Where rows lie in it is not known, so what `meter` tells is their share of all.
    ///
    /// # Errors
    /// If it is damaged, or of a kind that cannot be read.
    pub fn open(file: File, size: u64, meter: Arc<AtomicU64>) -> anyhow::Result<Self> {
        let reader = SerializedFileReader::new(file).context("the Parquet file is damaged")?;
        let told = reader.metadata().file_metadata();
        let names = told.schema().get_fields().iter().map(|it| it.name().to_owned()).collect();
        let all = u64::try_from(told.num_rows()).unwrap_or_default();
        Ok(Self { names, read: 0, all, size, meter, rows: RowIter::from_file_into(Box::new(reader)) })
    }

    /// The next row; nothing at the end.
    ///
    /// # Errors
    /// If the file cannot be read any further.
    pub fn next(&mut self) -> anyhow::Result<Option<Record>> {
        let Some(row) = self.rows.next() else { return Ok(None) };
        let row = row.context("the Parquet file cannot be read any further")?;
        self.read += 1;
        let share = u128::from(self.size) * u128::from(self.read) / u128::from(self.all.max(1));
        self.meter.store(u64::try_from(share).unwrap_or(self.size), Ordering::Relaxed);
        let mut object = object(row);
        let raw = Value::Object(object.clone()).to_string();
        // As in CSV, what is empty was not told; only within an object a null says something.
        object.retain(|_, it| !it.is_null());
        Ok(Some(Record { line: self.read, content: Ok(Content::Object(object)), raw: vec![raw] }))
    }
}

fn object(row: Row) -> Map<String, Value> {
    row.into_columns().into_iter().map(|(name, field)| (name, value(field))).collect()
}

fn value(field: Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(it) => it.into(),
        Field::Byte(it) => it.into(),
        Field::Short(it) => it.into(),
        Field::Int(it) => it.into(),
        Field::Long(it) => it.into(),
        Field::UByte(it) => it.into(),
        Field::UShort(it) => it.into(),
        Field::UInt(it) => it.into(),
        Field::ULong(it) => it.into(),
        Field::Float16(it) => shortest(f32::from(it)),
        Field::Float(it) => shortest(it),
        Field::Double(it) => Number::from_f64(it).map_or(Value::Null, Value::Number),
        Field::Decimal(it) => decimal(&it).into(),
        Field::Str(it) => it.into(),
        Field::Bytes(it) => String::from_utf8_lossy(it.data()).into_owned().into(),
        Field::Date(days) => date(days).map_or(Value::Null, |it| it.to_string().into()),
        Field::TimestampMillis(it) => instant(Timestamp::from_millisecond(it)),
        Field::TimestampMicros(it) => instant(Timestamp::from_microsecond(it)),
        Field::TimeMillis(it) => it.into(),
        Field::TimeMicros(it) => it.into(),
        Field::Group(row) => Value::Object(object(row)),
        Field::ListInternal(list) => list.elements().iter().cloned().map(value).collect(),
        Field::MapInternal(map) => {
            let text = |it: Field| match value(it) {
                Value::String(it) => it,
                other => other.to_string(),
            };
            let entries = map.entries().iter().cloned();
            Value::Object(entries.map(|(key, it)| (text(key), value(it))).collect())
        }
    }
}

/// A number of single precision as it was meant: 0.1 rather than 0.10000000149.
fn shortest(number: f32) -> Value {
    number.to_string().parse::<Number>().map_or(Value::Null, Value::Number)
}

fn date(days: i32) -> Option<Date> {
    Date::constant(1970, 1, 1).checked_add(jiff::Span::new().try_days(days).ok()?).ok()
}

fn instant(at: Result<Timestamp, jiff::Error>) -> Value {
    at.map_or(Value::Null, |it| it.to_string().into())
}

/// An exact number as decimal text.
fn decimal(it: &Decimal) -> String {
    let bytes = it.data();
    let negative = bytes.first().is_some_and(|it| *it >= 0x80);
    let start = if negative { -1_i128 } else { 0 };
    // At most 16 bytes hold 38 digits, the most that anybody writes.
    let whole = bytes.iter().fold(start, |sum, byte| sum.wrapping_shl(8) | i128::from(*byte));
    let scale = usize::try_from(it.scale()).unwrap_or_default();
    let digits = format!("{:0>width$}", whole.unsigned_abs(), width = scale + 1);
    let (before, after) = digits.split_at(digits.len() - scale);
    let sign = if whole < 0 { "-" } else { "" };
    if scale == 0 { format!("{sign}{before}") } else { format!("{sign}{before}.{after}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_numbers_and_days_are_read_as_they_were_written() {
        for (number, scale, text) in
            [(1_990, 2, "19.90"), (-5, 2, "-0.05"), (-1_990, 2, "-19.90"), (7, 0, "7"), (0, 3, "0.000")]
        {
            assert_eq!(decimal(&Decimal::from_i64(number, 18, scale)), text);
            assert_eq!(decimal(&Decimal::from_bytes(number.to_be_bytes().to_vec().into(), 18, scale)), text);
        }
        assert_eq!(date(14_579).unwrap().to_string(), "2009-12-01");
        assert_eq!(date(-1).unwrap().to_string(), "1969-12-31");
        assert_eq!(value(Field::Float(0.1)).to_string(), "0.1");
        assert_eq!(value(Field::Double(f64::NAN)), Value::Null);
    }
}
