//! A file as a stream of records, each knowing its line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, bail};
use serde_json::{Map, Value};

use super::columns::{Columns, MAGIC};
use super::reject::REJECTED_OBJECTS;
use super::xml::Feed;
use crate::export::formula;

/// The longest record, in bytes: what is longer is a quote that was never closed.
const LONGEST: u64 = 4 << 20;

/// One record: a row of a CSV or Parquet file or an object of an NDJSON file.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its line in the file, from 1.
    pub line: u64,
    /// Its fields, or what is wrong with it.
    pub content: Result<Content, String>,
    /// Its text, for the file of rejected rows.
    pub raw: Vec<String>,
}

/// What a record says.
#[derive(Clone, Debug)]
pub enum Content {
    /// Texts by column, in the order of the header.
    Row(Vec<String>),
    /// An object.
    Object(Map<String, Value>),
}

/// How far a file is read, in bytes as they lie on disk.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<AtomicU64>);

impl Meter {
    /// Bytes read so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A file being read.
pub struct Source {
    reader: Reader,
    /// The columns of a CSV or Parquet file; empty for NDJSON and XML.
    pub columns: Vec<String>,
    /// Bytes read so far.
    pub meter: Meter,
    /// Bytes in all.
    pub size: u64,
}

enum Reader {
    Csv(Box<csv::Reader<Guarded>>, Guard),
    Lines(BufReader<Box<dyn Read + Send>>, u64),
    Xml(Box<Feed<Guarded>>),
    Parquet(Box<Columns>),
}

impl Source {
    /// Opens a file; whether it is gzipped, and CSV, NDJSON, Parquet or XML, is seen from its first bytes.
    ///
    /// # Errors
    /// If it cannot be read, or its first line is no header.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file =
            File::open(path).with_context(|| format!("cannot open {}: check the path", path.display()))?;
        let size = file.metadata().map(|it| it.len()).unwrap_or_default();
        let meter = Meter::default();
        let mut disk = BufReader::with_capacity(256 << 10, Metered { file, meter: meter.clone() });
        if disk.fill_buf().context("cannot read the file")?.starts_with(MAGIC) {
            let file = File::open(path)
                .with_context(|| format!("cannot open {}: check the path", path.display()))?;
            let parquet = Columns::open(file, size, meter.0.clone())?;
            let columns = parquet.names.clone();
            return Ok(Self { reader: Reader::Parquet(Box::new(parquet)), columns, meter, size });
        }
        let zipped = disk.fill_buf().context("cannot read the file")?.starts_with(&[0x1f, 0x8b]);
        let text: Box<dyn Read + Send> =
            if zipped { Box::new(flate2::bufread::MultiGzDecoder::new(disk)) } else { Box::new(disk) };
        let mut text = BufReader::with_capacity(64 << 10, text);
        let start = text.fill_buf().context("cannot read the file")?;
        let mark = [0xef, 0xbb, 0xbf];
        if start.starts_with(&mark) {
            text.consume(mark.len());
        }
        let start = text.fill_buf().context("cannot read the file")?;
        let first = start.iter().find(|it| !it.is_ascii_whitespace());
        let Some(first) = first else { bail!("{} is empty", path.display()) };
        if *first == b'{' {
            let text: Box<dyn Read + Send> = Box::new(text);
            let reader = Reader::Lines(BufReader::with_capacity(64 << 10, text), 0);
            return Ok(Self { reader, columns: Vec::new(), meter, size });
        }
        if *first == b'<' {
            let guard = Guard::default();
            let problem = "an item is longer than 4 MiB: look for an element that is never closed";
            let feed = Feed::new(Guarded { text: Box::new(text), guard: guard.clone(), problem }, guard);
            return Ok(Self { reader: Reader::Xml(Box::new(feed)), columns: Vec::new(), meter, size });
        }
        let head = &start[..start.iter().position(|it| *it == b'\n').unwrap_or(start.len())];
        let delimiter = delimiter(head);
        let guard = Guard::default();
        let problem = "a row is longer than 4 MiB: look for a quote that is never closed";
        let guarded = Guarded { text: Box::new(text), guard: guard.clone(), problem };
        let mut csv = csv::ReaderBuilder::new()
            .flexible(true)
            .delimiter(delimiter)
            .trim(csv::Trim::All)
            .from_reader(guarded);
        let header = csv.byte_headers().context("the header cannot be read")?;
        let columns: Vec<String> = header.iter().map(|it| String::from_utf8_lossy(it).into_owned()).collect();
        // Rejected rows of NDJSON and XML are objects in a column: mended, they are that again.
        let columns = if columns == REJECTED_OBJECTS { Vec::new() } else { columns };
        Ok(Self { reader: Reader::Csv(Box::new(csv), guard), columns, meter, size })
    }

    /// Whether it is a feed in XML.
    #[must_use]
    pub fn is_xml(&self) -> bool {
        matches!(self.reader, Reader::Xml(_))
    }

    /// The columns of the file of rejected rows; none if they are objects.
    #[must_use]
    pub fn rejected_columns(&self) -> &[String] {
        if matches!(self.reader, Reader::Parquet(_)) { &[] } else { &self.columns }
    }

    /// The next record; nothing at the end.
    ///
    /// # Errors
    /// If the file cannot be read any further.
    pub fn next(&mut self) -> anyhow::Result<Option<Record>> {
        let columns = self.columns.len();
        match &mut self.reader {
            Reader::Csv(csv, guard) => row(csv, guard, columns),
            Reader::Lines(text, line) => object(text, line),
            Reader::Xml(feed) => feed.next(),
            Reader::Parquet(columns) => columns.next(),
        }
    }
}

/// The character that separates the header's names: the one there is most of.
fn delimiter(head: &[u8]) -> u8 {
    let count = |it: u8| head.iter().filter(|byte| **byte == it).count();
    [b',', b';', b'\t', b'|'].into_iter().rev().max_by_key(|it| count(*it)).unwrap_or(b',')
}

fn row(csv: &mut csv::Reader<Guarded>, guard: &Guard, columns: usize) -> anyhow::Result<Option<Record>> {
    let mut row = csv::ByteRecord::new();
    guard.begin();
    if !csv.read_byte_record(&mut row).context("the file cannot be read any further")? {
        return Ok(None);
    }
    let line = row.position().map_or(0, csv::Position::line);
    let raw: Vec<String> = row.iter().map(|it| String::from_utf8_lossy(it).into_owned()).collect();
    if let (0, [_, _, text]) = (columns, &raw[..]) {
        return Ok(Some(Record { line, content: parsed(text), raw: vec![text.clone()] }));
    }
    let content = if row.len() != columns {
        Err(format!("it has {} fields, the header {columns}: check quotes and separators", row.len()))
    } else if row.iter().any(|it| std::str::from_utf8(it).is_err()) {
        Err("it is not UTF-8: save the file as UTF-8".to_owned())
    } else {
        Ok(Content::Row(raw.iter().map(|it| formula::plain(it).to_owned()).collect()))
    };
    Ok(Some(Record { line, content, raw }))
}

fn object(text: &mut BufReader<Box<dyn Read + Send>>, line: &mut u64) -> anyhow::Result<Option<Record>> {
    loop {
        let mut bytes = Vec::new();
        let read = text.by_ref().take(LONGEST).read_until(b'\n', &mut bytes);
        if read.context("the file cannot be read any further")? == 0 {
            return Ok(None);
        }
        *line += 1;
        let whole = bytes.ends_with(b"\n") || u64::try_from(bytes.len()).unwrap_or(LONGEST) < LONGEST;
        if !whole {
            bail!("line {line} is longer than {} MiB: one JSON object a line is wanted", LONGEST >> 20);
        }
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        return Ok(Some(Record { line: *line, content: parsed(text), raw: vec![text.to_owned()] }));
    }
}

fn parsed(text: &str) -> Result<Content, String> {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(it)) => Ok(Content::Object(it)),
        Ok(_) => Err("it is not a JSON object: write one object a line".to_owned()),
        Err(error) => Err(format!("it is not JSON ({error}): write one object a line")),
    }
}

struct Metered {
    file: File,
    meter: Meter,
}

impl Read for Metered {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(into)?;
        self.meter.0.fetch_add(u64::try_from(read).unwrap_or_default(), Ordering::Relaxed);
        Ok(read)
    }
}

/// Bytes read since the last record was whole.
#[derive(Clone, Debug, Default)]
pub struct Guard(Arc<AtomicU64>);

impl Guard {
    /// The next record begins.
    pub fn begin(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

struct Guarded {
    text: Box<dyn Read + Send>,
    guard: Guard,
    /// What a record that never ends comes of.
    problem: &'static str,
}

impl Read for Guarded {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.text.read(into)?;
        let read_since = u64::try_from(read).unwrap_or_default();
        if self.guard.0.fetch_add(read_since, Ordering::Relaxed) > LONGEST {
            return Err(std::io::Error::other(self.problem));
        }
        Ok(read)
    }
}
