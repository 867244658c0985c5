//! Where an import stands, so that one that was interrupted goes on from there.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::run::Summary;

/// A small file beside the data that says how far an import got.
#[derive(Clone, Debug)]
pub struct Resume(PathBuf);

/// What it says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Rows of the file that are done.
    pub rows: u64,
    /// Length of the file of rejected rows by then.
    pub rejected_bytes: u64,
    /// The counts so far.
    pub summary: Summary,
}

impl Resume {
    /// The place of this import among those of a data directory. `options` is everything that changes what rows mean.
    ///
    /// # Errors
    /// If the file cannot be read or the folder not be made.
    pub fn of(data: &Path, file: &Path, options: &str) -> anyhow::Result<Self> {
        let folder = data.join("imports");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut hash = Sha256::new();
        let mut start = Vec::new();
        let opened = fs::File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
        hash.update(opened.metadata().map(|it| it.len()).unwrap_or_default().to_be_bytes());
        opened.take(64 << 10).read_to_end(&mut start).context("cannot read the file")?;
        hash.update(&start);
        hash.update(options.as_bytes());
        let name: String = hash.finalize()[..12].iter().map(|it| format!("{it:02x}")).collect();
        Ok(Self(folder.join(format!("{name}.json"))))
    }

    /// Where an interrupted run stood; the beginning if there was none.
    #[must_use]
    pub fn place(&self) -> Place {
        fs::read(&self.0).ok().and_then(|it| serde_json::from_slice(&it).ok()).unwrap_or_default()
    }

    /// Writes down where it stands.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, place: &Place) -> anyhow::Result<()> {
        let aside = self.0.with_extension("tmp");
        let writing = || format!("cannot write {}", self.0.display());
        fs::write(&aside, serde_json::to_vec(place)?).with_context(writing)?;
        fs::rename(&aside, &self.0).with_context(writing)
    }

    /// The import is through: the next one of the same file begins at its beginning.
    pub fn clear(&self) {
        // One that stays only makes the next import of the very same file skip what it would skip as duplicates.
        drop(fs::remove_file(&self.0));
    }
}
