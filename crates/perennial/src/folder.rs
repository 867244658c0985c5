//! A data folder: one process at a time holds it, and leaves its address there for the others.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

const NAME: &str = "perennial.lock";

/// A data folder that this process holds. Freed when dropped, and by the operating system if the process dies.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    lock: File,
}

/// Who holds a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Where it answers; nothing while it starts, or if it does not.
    pub grpc: Option<SocketAddr>,
}

/// What became of the wish to hold a folder.
#[derive(Debug)]
pub enum Held {
    /// It is ours.
    Here(Folder),
    /// Another process has it.
    Elsewhere(Holder),
}

impl Folder {
    /// Takes hold of a folder, which is made if it is not there.
    ///
    /// # Errors
    /// If it cannot be made or written.
    pub fn hold(path: &Path) -> anyhow::Result<Held> {
        fs::create_dir_all(path).with_context(|| {
            format!("the data folder {} cannot be made: name another one", path.display())
        })?;
        let file = path.join(NAME);
        let opening = || format!("the data folder {} cannot be written", path.display());
        let mut options = OpenOptions::new();
        let lock =
            options.create(true).truncate(false).read(true).write(true).open(&file).with_context(opening)?;
        match lock.try_lock() {
            Ok(()) => {
                let folder = Self { path: path.to_owned(), lock };
                folder.announce(None)?;
                Ok(Held::Here(folder))
            }
            Err(TryLockError::WouldBlock) => {
                // The holder writes it in one go; whoever reads in between sees nothing, and is told to try again.
                let text = fs::read(file.with_extension("holder")).unwrap_or_default();
                let nobody = Holder { pid: 0, grpc: None };
                Ok(Held::Elsewhere(serde_json::from_slice(&text).unwrap_or(nobody)))
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(opening),
        }
    }

    /// Takes hold of a folder for good: another holder is an error.
    ///
    /// # Errors
    /// If another process has it, saying which.
    pub fn hold_alone(path: &Path) -> anyhow::Result<Self> {
        match Self::hold(path)? {
            Held::Here(folder) => Ok(folder),
            Held::Elsewhere(holder) => {
                let address = holder.grpc.map(|it| format!(" and answers at {it}")).unwrap_or_default();
                bail!(
                    "the data folder {} is held by process {}{address}: stop it, or name another --data-dir",
                    path.display(),
                    holder.pid
                )
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes down where this process answers.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn announce(&self, grpc: Option<SocketAddr>) -> anyhow::Result<()> {
        let holder = Holder { pid: std::process::id(), grpc };
        let file = self.path.join(NAME).with_extension("holder");
        let aside = file.with_extension("tmp");
        let written = File::create(&aside).and_then(|mut it| it.write_all(&serde_json::to_vec(&holder)?));
        written.and_then(|()| fs::rename(&aside, &file)).context("the data folder's lock cannot be written")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind says nothing without the lock.
        drop(fs::remove_file(self.path.join(NAME).with_extension("holder")));
        drop(self.lock.unlock());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_holder_whose_address_the_others_find() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("data");
        let Held::Here(folder) = Folder::hold(&path).unwrap() else { panic!("it is free") };
        let address: SocketAddr = "127.0.0.1:50051".parse().unwrap();
        folder.announce(Some(address)).unwrap();
        let Held::Elsewhere(holder) = Folder::hold(&path).unwrap() else { panic!("it is taken") };
        assert_eq!((holder.pid, holder.grpc), (std::process::id(), Some(address)));
        let refused = Folder::hold_alone(&path).unwrap_err().to_string();
        assert!(refused.contains("answers at 127.0.0.1:50051"), "{refused}");
        drop(folder);
        assert!(matches!(Folder::hold(&path).unwrap(), Held::Here(_)));
    }
}
