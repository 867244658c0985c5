//! Sums over many rows on every core, in fixed blocks added in order: the result does not depend on the number of threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

const BLOCK: usize = 4096;

/// How many threads there are to use.
pub(crate) fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Adds up `width` numbers over all rows; `add` adds those of one block onto the sums it is given.
pub(crate) fn sum<R: Sync>(rows: &[R], width: usize, add: impl Fn(&[R], &mut [f64]) + Sync) -> Vec<f64> {
    let blocks: Vec<&[R]> = rows.chunks(BLOCK).collect();
    let workers = threads().min(blocks.len() / 2);
    if workers < 2 {
        let mut total = vec![0.0; width];
        for block in blocks {
            let mut sums = vec![0.0; width];
            add(block, &mut sums);
            accumulate(&mut total, &sums);
        }
        return total;
    }
    let next = AtomicUsize::new(0);
    let mut parts: Vec<(usize, Vec<f64>)> = thread::scope(|scope| {
        let work = || {
            let mut mine = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(block) = blocks.get(index) else { return mine };
                let mut sums = vec![0.0; width];
                add(block, &mut sums);
                mine.push((index, sums));
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
    let mut total = vec![0.0; width];
    for (_, sums) in &parts {
        accumulate(&mut total, sums);
    }
    total
}

fn accumulate(total: &mut [f64], sums: &[f64]) {
    for (total, it) in total.iter_mut().zip(sums) {
        *total += it;
    }
}
