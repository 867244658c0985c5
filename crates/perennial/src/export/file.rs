//! Where an export goes: standard output, or a file that appears under its name when it is whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;

/// What takes an export in.
pub enum Out {
    /// Bytes as they come.
    Plain(Box<dyn Write + Send>),
    /// Bytes packed.
    Zipped(Box<GzEncoder<Box<dyn Write + Send>>>),
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(it) => it.write(bytes),
            Self::Zipped(it) => it.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(it) => it.flush(),
            Self::Zipped(it) => it.flush(),
        }
    }
}

impl Out {
    /// Writes what is left.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn end(self) -> io::Result<()> {
        match self {
            Self::Plain(mut it) => it.flush(),
            Self::Zipped(it) => it.finish()?.flush(),
        }
    }
}

/// Where an export goes. What is dropped before [`Target::keep`] leaves nothing behind.
pub struct Target {
    /// The file beside, and the one whose place it takes.
    aside: Option<(PathBuf, PathBuf)>,
}

impl Target {
    /// Opens standard output, or a place beside `file`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn open(file: Option<&Path>, zipped: bool) -> anyhow::Result<(Self, Out)> {
        let (aside, plain): (_, Box<dyn Write + Send>) = match file {
            None => (None, Box::new(io::BufWriter::new(io::stdout()))),
            Some(file) => {
                let writing = || format!("{} cannot be written: name another place", file.display());
                // A pipe or a device has no other name to take.
                let is_special = fs::metadata(file).is_ok_and(|it| !it.is_file());
                let path = if is_special { file.to_owned() } else { beside(file) };
                let opened = File::create(&path).with_context(writing)?;
                let aside = (!is_special).then(|| (path, file.to_owned()));
                (aside, Box::new(io::BufWriter::with_capacity(256 << 10, opened)))
            }
        };
        let out = match zipped {
            true => Out::Zipped(Box::new(GzEncoder::new(plain, Compression::default()))),
            false => Out::Plain(plain),
        };
        Ok((Self { aside }, out))
    }

    /// All is written: the file takes its name.
    ///
    /// # Errors
    /// If it cannot.
    pub fn keep(mut self) -> anyhow::Result<()> {
        let Some((aside, file)) = self.aside.take() else { return Ok(()) };
        let kept = File::open(&aside).and_then(|it| it.sync_all()).and_then(|()| fs::rename(&aside, &file));
        if kept.is_err() {
            drop(fs::remove_file(&aside));
        }
        kept.with_context(|| format!("{} cannot be written: name another place", file.display()))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some((aside, _)) = &self.aside {
            // What is left half written is of no use to anybody.
            drop(fs::remove_file(aside));
        }
    }
}

/// A name beside a file, that a second export of the same file at the same time does not have.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    file.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_name_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.csv");
        fs::write(&file, "old").unwrap();
        let (target, mut out) = Target::open(Some(&file), false).unwrap();
        out.write_all(b"half").unwrap();
        drop(target);
        assert_eq!(fs::read_to_string(&file).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left");

        let (target, mut out) = Target::open(Some(&file), false).unwrap();
        out.write_all(b"whole").unwrap();
        out.end().unwrap();
        target.keep().unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "whole");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

        let refused = Target::open(Some(&folder.path().join("no/such/place.csv")), false);
        assert!(refused.err().unwrap().to_string().contains("name another place"));
    }
}
