//! Rows that cannot be used: kept beside the file, with the reason, in a form that can be mended and imported.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The columns of rejected objects, which have none of their own.
pub const REJECTED_OBJECTS: [&str; 3] = ["rejected_line", "rejected_reason", "row"];

/// A row that was not taken.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// Its line in the file.
    pub line: u64,
    /// What is wrong and what to do.
    pub reason: String,
    /// Its fields as they stood there.
    pub raw: Vec<String>,
}

/// The file of rejected rows; made when the first one comes.
#[derive(Debug)]
pub struct Rejects {
    path: PathBuf,
    columns: Vec<String>,
    writer: Option<csv::Writer<File>>,
    /// Rows before this length were written by an earlier run that this one goes on from.
    keep: u64,
}

impl Rejects {
    /// Rejected rows of `file`, a file with these columns. The first `keep` bytes of an earlier run are kept.
    #[must_use]
    pub fn beside(file: &Path, columns: &[String], keep: u64) -> Self {
        let mut name = file.as_os_str().to_owned();
        name.push(".rejected.csv");
        Self { path: name.into(), columns: columns.to_vec(), writer: None, keep }
    }

    /// Where they are.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes rows down.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&mut self, rows: &[Rejected]) -> anyhow::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let writing = || format!("cannot write the rejected rows to {}", self.path.display());
        if self.writer.is_none() {
            let fresh = self.keep == 0;
            let file = OpenOptions::new()
                .create(true)
                .truncate(fresh)
                .write(true)
                .open(&self.path)
                .with_context(writing)?;
            if !fresh {
                file.set_len(self.keep).with_context(writing)?;
                std::io::Seek::seek(&mut &file, std::io::SeekFrom::End(0)).with_context(writing)?;
            }
            let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(file);
            if fresh {
                let [line, reason, row] = REJECTED_OBJECTS;
                let columns: Vec<&str> = match &self.columns[..] {
                    [] => vec![row],
                    columns => columns.iter().map(String::as_str).collect(),
                };
                writer.write_record([line, reason].into_iter().chain(columns)).with_context(writing)?;
            }
            self.writer = Some(writer);
        }
        if let Some(writer) = &mut self.writer {
            for row in rows {
                let line = row.line.to_string();
                let head = [line.as_str(), row.reason.as_str()].into_iter();
                writer.write_record(head.chain(row.raw.iter().map(String::as_str))).with_context(writing)?;
            }
            writer.flush().with_context(writing)?;
        }
        Ok(())
    }

    /// How long the file is.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.writer {
            Some(writer) => writer.get_ref().metadata().map(|it| it.len()).unwrap_or_default(),
            None => self.keep,
        }
    }
}
