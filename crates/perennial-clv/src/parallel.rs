//! Work over many rows on every core, in fixed blocks taken in order: the result does not depend on the number of
//! threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

const BLOCK: usize = 4096;

/// How many threads there are to use.
pub(crate) fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Adds up `width` numbers over all rows; `add` adds those of one block onto the sums it is given.
pub(crate) fn sum<R: Sync>(rows: &[R], width: usize, add: impl Fn(&[R], &mut [f64]) + Sync) -> Vec<f64> {
    let mut total = vec![0.0; width];
    let parts = map(rows, |block| {
        let mut sums = vec![0.0; width];
        add(block, &mut sums);
        sums
    });
    for sums in &parts {
        accumulate(&mut total, sums);
    }
    total
}

/// What `f` makes of each block of rows, in order.
pub(crate) fn map<R: Sync, T: Send>(rows: &[R], f: impl Fn(&[R]) -> T + Sync) -> Vec<T> {
    let blocks: Vec<&[R]> = rows.chunks(BLOCK).collect();
    let workers = threads().min(blocks.len() / 2);
    if workers < 2 {
        return blocks.into_iter().map(f).collect();
    }
    let next = AtomicUsize::new(0);
    let mut parts: Vec<(usize, T)> = thread::scope(|scope| {
        let work = || {
            let mut mine = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(block) = blocks.get(index) else { return mine };
                mine.push((index, f(block)));
            }
        };
        let handles: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
        let mut parts = work();
        for handle in handles {
            match handle.join() {
                Ok(theirs) => parts.extend(theirs),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        parts
    });
    parts.sort_unstable_by_key(|it| it.0);
    parts.into_iter().map(|it| it.1).collect()
}

fn accumulate(total: &mut [f64], sums: &[f64]) {
    for (total, it) in total.iter_mut().zip(sums) {
        *total += it;
    }
}
