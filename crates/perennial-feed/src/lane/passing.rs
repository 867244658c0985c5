//! What nobody asks for is passed over without a transaction (ADR 7): only the checkpoints say so, a little later.

use std::collections::BTreeMap;
use std::time::Duration;

use perennial_store::{Backend, Store};
use perennial_types::Timestamp;

use super::{Lane, store_fault};
use crate::batch::{Outcome, PartitionBatch};
use crate::keep;
use crate::{FeedError, Fold, Record};

/// How long a checkpoint may lag behind records that concern nobody here.
const PATIENCE: Duration = Duration::from_secs(5);

impl<F: Fold> Lane<F> {
    /// Whether nothing of a batch can matter: then it is passed over without a transaction, and the checkpoints follow
    /// a little later. So does the progress, where all who read it live and die with this process: after a crash
    /// the same records are passed over again.
    pub(super) async fn is_irrelevant(
        &mut self,
        batches: &BTreeMap<u16, PartitionBatch>,
        due_through: Timestamp,
    ) -> Result<bool, FeedError> {
        let records = || batches.values().flat_map(|it| &it.records).map(|it| &it.record);
        let is_idle = self.parked.is_empty()
            && self.condemned.is_none()
            && self.next_due.is_none_or(|due| due > due_through)
            && batches.keys().all(|partition| {
                let demanded = self.reader.feed.demanded(*partition);
                let awaited = self.reader.store.backend() == Backend::Postgres
                    && self.parts.get(partition).is_some_and(|it| !it.progress.reaches(demanded));
                !awaited
            });
        if !is_idle {
            return Ok(false);
        }
        if !records().any(|it| it.is_for_all() || (!it.is_blank() && self.reader.fold.concerns(it))) {
            return Ok(true);
        }
        let Some(guess) = &self.book else { return Ok(false) };
        if records().any(|it| self.matters(guess, it)) {
            return Ok(false);
        }
        // Only definitions read now, after the records came, can say that nothing asks for them.
        let tx = self.reader.store.write().await?;
        let book = self.reader.fold.book(&tx).await.map_err(store_fault)?;
        drop(tx);
        let irrelevant = !records().any(|it| self.matters(&book, it));
        self.book = Some(book);
        Ok(irrelevant)
    }

    /// Whether a record is worth a turn.
    pub(crate) fn matters(&self, book: &F::Book, record: &Record) -> bool {
        let fold = &self.reader.fold;
        record.is_for_all() || (!record.is_blank() && fold.concerns(record) && fold.matters(book, record))
    }

    pub(super) fn pass_over(&mut self, batches: &BTreeMap<u16, PartitionBatch>) {
        let taken = batches.iter().map(|(partition, batch)| (*partition, batch.records.len())).collect();
        let mut progress = BTreeMap::new();
        if self.reader.store.backend() == Backend::Sqlite {
            progress = batches.iter().filter_map(|(it, batch)| Some((*it, batch.progress?))).collect();
            self.reader.feed.progressed(&progress);
        }
        self.advance(&taken, &progress);
        for partition in batches.keys() {
            let Some(part) = self.parts.get(partition) else { continue };
            for (source, fetched) in self.reader.sources.iter().zip(&part.sources) {
                self.reader.passed_over(&source.name, *partition, fetched.applied);
            }
        }
        let soon = self.reader.clock.now().checked_add(PATIENCE).ok();
        self.unsaved = self.unsaved.or(soon);
    }

    /// Writes down how far records that concern nobody here were passed over.
    pub(super) async fn save_positions(&mut self) -> Result<(), FeedError> {
        let tx = self.begin().await?;
        let (moves, _) = self.moves(&Outcome::nothing());
        keep::move_checkpoints(&tx, &self.reader.name, &moves).await?;
        let progress = self.parts.iter().map(|(partition, part)| (*partition, part.progress)).collect();
        // Readers know it already.
        drop(self.reader.feed.append_derived(&tx, &self.heads, Vec::new(), &progress).await?);
        Store::commit(tx).await?;
        self.positions_saved(&moves, &progress);
        Ok(())
    }
}
