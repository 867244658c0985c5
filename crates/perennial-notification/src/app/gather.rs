//! Work that many bring at once and that is cheaper done together: whoever's turn it is does it for all who wait.

use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

/// Work at hand, and whose turn it is.
pub struct Gather<T> {
    waiting: Mutex<Vec<(T, oneshot::Sender<()>)>>,
    turn: tokio::sync::Mutex<()>,
}

impl<T> Default for Gather<T> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }
}

/// Pieces of work done together, at most.
const MOST: usize = 500;

impl<T: Clone> Gather<T> {
    /// Joins a piece of work to what waits, and returns when it has been done, by us or by another. If a caller goes away
    /// in the middle, the next does its work again: work must be such that this harms nobody.
    pub async fn join<F: Future<Output = ()>>(&self, piece: T, work: impl Fn(Vec<T>) -> F) {
        let (done, mut is_done) = oneshot::channel();
        self.waiting().push((piece, done));
        let _turn = self.turn.lock().await;
        // Somebody before us may have done ours meanwhile; then whoever waits behind us has a turn, too.
        while is_done.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
            let pieces: Vec<T> = self.waiting().iter().take(MOST).map(|it| it.0.clone()).collect();
            let count = pieces.len();
            work(pieces).await;
            for (_, done) in self.waiting().drain(..count) {
                let _ = done.send(());
            }
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<(T, oneshot::Sender<()>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_comes_while_work_is_done_is_done_together() {
        let gather = Gather::default();
        let batches = Mutex::new(Vec::new());
        let (open, gate) = tokio::sync::watch::channel(false);
        let work = |pieces: Vec<u32>| {
            let (mut gate, batches) = (gate.clone(), &batches);
            async move {
                batches.lock().unwrap().push(pieces);
                gate.wait_for(|it| *it).await.unwrap();
            }
        };
        let all = futures::future::join_all((0..5).map(|it| gather.join(it, work)));
        let ((), _) = tokio::join!(
            async {
                all.await;
            },
            async {
                tokio::task::yield_now().await;
                open.send(true).unwrap();
            }
        );
        assert_eq!(*batches.lock().unwrap(), [vec![0], vec![1, 2, 3, 4]]);
    }
}
