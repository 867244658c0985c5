//! Maildir: a message becomes a file named by its id, written aside and renamed into `new/`, so that it is there wholly
//! or not at all, and writing it twice is the same as once.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{Outcome, Parcel, Prepared};

/// Writers that sync at once: the file system answers many syncs with one commit.
const WRITERS: usize = 8;

/// A folder with `tmp`, `new` and `cur`.
#[derive(Clone, Debug)]
pub struct Maildir {
    folder: PathBuf,
    sync: bool,
}

impl Maildir {
    /// The mail folder at `folder`; with `sync`, a message counts as accepted only when the disk has it.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, sync: bool) -> Self {
        Self { folder: folder.into(), sync }
    }

    pub(super) fn prepare(&self, parcels: &[Parcel]) -> Vec<Prepared> {
        let made = ["tmp", "new", "cur"].iter().try_for_each(|it| fs::create_dir_all(self.folder.join(it)));
        let answer = match made {
            Ok(()) => Prepared::Ready,
            Err(it) => Prepared::Later(format!("mail folder {}: {it}", self.folder.display())),
        };
        vec![answer; parcels.len()]
    }

    pub(super) async fn hand_over(&self, parcels: &[Parcel], ready: &[usize]) -> Vec<Outcome> {
        let files: Vec<_> = ready
            .iter()
            .filter_map(|it| parcels.get(*it))
            .map(|(id, letter)| (id.hyphenated().to_string(), letter.bytes.clone()))
            .collect();
        let (count, mailbox) = (files.len(), self.clone());
        let written = tokio::task::spawn_blocking(move || mailbox.write_all(&files)).await;
        // A panic here would leave it open whether the files are there; writing them again is harmless.
        written.unwrap_or_else(|it| vec![Outcome::Later(it.to_string()); count])
    }

    fn write_all(&self, files: &[(String, Vec<u8>)]) -> Vec<Outcome> {
        // Without a sync there is nothing to wait for together: many would only compete for the folder.
        let writers = if self.sync { WRITERS } else { 1 };
        let share = files.len().div_ceil(writers).max(1);
        let results = std::thread::scope(|scope| {
            let chunks = files.chunks(share);
            let write = |chunk: &[(String, Vec<u8>)]| -> Vec<io::Result<()>> {
                chunk.iter().map(|(name, bytes)| self.write(name, bytes)).collect()
            };
            let writers: Vec<_> =
                chunks.map(|chunk| (chunk.len(), scope.spawn(move || write(chunk)))).collect();
            let mut results = Vec::with_capacity(files.len());
            for (count, writer) in writers {
                match writer.join() {
                    Ok(written) => results.extend(written),
                    Err(_) => results.extend((0..count).map(|_| Err(io::Error::other("the writer stopped")))),
                }
            }
            results
        });
        let mut outcomes: Vec<Outcome> = results
            .into_iter()
            .map(|it| match it {
                Ok(()) => Outcome::Accepted,
                Err(it) => Outcome::Later(format!("mail folder {}: {it}", self.folder.display())),
            })
            .collect();
        // The names are on disk only when the folder is.
        if self.sync
            && let Err(it) = fs::File::open(self.folder.join("new")).and_then(|it| it.sync_all())
        {
            outcomes.fill(Outcome::Later(format!("mail folder {}: {it}", self.folder.display())));
        }
        outcomes
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let target = self.folder.join("new").join(name);
        if target.exists() || self.read_already(name) {
            return Ok(());
        }
        let aside = self.folder.join("tmp").join(name);
        let mut file = fs::File::create(&aside)?;
        file.write_all(bytes)?;
        if self.sync {
            file.sync_all()?;
        }
        fs::rename(&aside, &target)
    }

    /// A mail program has moved it to `cur` by now.
    fn read_already(&self, name: &str) -> bool {
        let moved = |suffix: &str| -> bool {
            Path::new(&self.folder).join("cur").join(format!("{name}{suffix}")).exists()
        };
        ["", ":2,", ":2,S"].iter().any(|it| moved(it))
    }
}
