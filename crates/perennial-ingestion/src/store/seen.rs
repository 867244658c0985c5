//! What came already: two tables of hashes, of which one takes new ones while the other only remembers. Every week they
//! swap and the older one is emptied, so a repetition is known for 7 to 14 days, at the price of a small index.
//!
//! A hash is of the workspace and the message id together, and of 64 bits: docs/adr/0017 weighs that.

use perennial_store::{
    Backend, Column, ConnectionTrait, Result, any_of, array_of, column, execute, query, query_one,
};
use perennial_types::{Timestamp, from_micros, micros};
use std::collections::{BTreeSet, HashSet};

/// How long the tables keep their places.
pub const TURN: jiff::SignedDuration = jiff::SignedDuration::from_hours(7 * 24);

/// Which table takes new hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// `seen_a`.
    A,
    /// `seen_b`.
    B,
}

impl Turn {
    fn current(self) -> &'static str {
        if self == Self::A { "seen_a" } else { "seen_b" }
    }

    fn other(self) -> Self {
        if self == Self::A { Self::B } else { Self::A }
    }
}

/// Says whose turn it is, and keeps it so until the transaction ends.
///
/// # Errors
/// If the database refuses.
pub async fn turn(tx: &impl ConnectionTrait) -> Result<Turn> {
    let lock = if Backend::of(tx) == Backend::Postgres { " FOR SHARE" } else { "" };
    let row =
        query_one(tx, "whose turn it is", &format!("SELECT current FROM seen_turn{lock}"), vec![]).await?;
    Ok(match row.map(|it| column::<i64>(&it, 0)).transpose()? {
        Some(1) => Turn::B,
        _ => Turn::A,
    })
}

/// Makes the row that says whose turn it is, once. Call it in a transaction before any other.
///
/// # Errors
/// If the database refuses.
pub async fn open(tx: &impl ConnectionTrait, now: Timestamp) -> Result<()> {
    if Backend::of(tx) == Backend::Postgres {
        execute(tx, "taking turns to open", "SELECT pg_advisory_xact_lock(7036874417768)", vec![]).await?;
    }
    let sql = "INSERT INTO seen_turn (current, since) SELECT 0, CAST($1 AS BIGINT) \
               WHERE NOT EXISTS (SELECT 1 FROM seen_turn)";
    execute(tx, "the first turn", sql, vec![micros(now).into()]).await?;
    Ok(())
}

/// Remembers those of `hashes` that are new, and answers which came already. A writer that has one of them and has not
/// committed is waited for.
///
/// # Errors
/// If the database refuses.
pub async fn claim(tx: &impl ConnectionTrait, turn: Turn, hashes: &BTreeSet<i64>) -> Result<HashSet<i64>> {
    if hashes.is_empty() {
        return Ok(HashSet::new());
    }
    let (current, other) = (turn.current(), turn.other().current());
    // In one order everywhere, so that two writers wait for each other but never in a circle. What the older table has is
    // asked for one by one: joined, PostgreSQL might read all of it.
    let mut values = Vec::new();
    let given = array_of(Backend::of(tx), Column::BigInt, hashes.iter().map(|it| (*it).into()), &mut values);
    let sql = format!(
        "INSERT INTO {current} (hash) SELECT value FROM {given} \
         WHERE (SELECT hash FROM {other} WHERE hash = value) IS NULL ON CONFLICT (hash) DO NOTHING RETURNING hash"
    );
    let mut known: HashSet<i64> = hashes.iter().copied().collect();
    for row in &query(tx, "what came already", &sql, values).await? {
        known.remove(&column(row, 0)?);
    }
    Ok(known)
}

/// Forgets hashes that were claimed for events that are not taken in after all.
///
/// # Errors
/// If the database refuses.
pub async fn release(tx: &impl ConnectionTrait, turn: Turn, hashes: Vec<i64>) -> Result<()> {
    if hashes.is_empty() {
        return Ok(());
    }
    let mut values = Vec::new();
    let hashes = hashes.into_iter().map(Into::into).collect();
    let condition = any_of(Backend::of(tx), "hash", Column::BigInt, hashes, &mut values);
    execute(tx, "what came already", &format!("DELETE FROM {} WHERE {condition}", turn.current()), values)
        .await?;
    Ok(())
}

/// When the tables swap next.
///
/// # Errors
/// If the database refuses.
pub async fn next_swap(db: &impl ConnectionTrait) -> Result<Option<Timestamp>> {
    let row = query_one(db, "the last swap", "SELECT since FROM seen_turn", vec![]).await?;
    let since = row.map(|it| column::<i64>(&it, 0)).transpose()?;
    Ok(since.and_then(|it| from_micros(it).checked_add(TURN).ok()))
}

/// Swaps the tables if it is time, and empties the one that takes over.
///
/// # Errors
/// If the database refuses.
pub async fn swap(tx: &impl ConnectionTrait, now: Timestamp) -> Result<bool> {
    let (lock, empty) = match Backend::of(tx) {
        Backend::Postgres => (" FOR UPDATE", "TRUNCATE"),
        Backend::Sqlite => ("", "DELETE FROM"),
    };
    let sql = format!("SELECT current, since FROM seen_turn{lock}");
    let Some(row) = query_one(tx, "whose turn it is", &sql, vec![]).await? else { return Ok(false) };
    let (current, since): (i64, i64) = (column(&row, 0)?, column(&row, 1)?);
    if from_micros(since).checked_add(TURN).is_ok_and(|due| due > now) {
        return Ok(false);
    }
    let next = if current == 0 { Turn::B } else { Turn::A }.current();
    execute(tx, "emptying the older hashes", &format!("{empty} {next}"), vec![]).await?;
    let sql = "UPDATE seen_turn SET current = $1, since = $2";
    execute(tx, "swapping", sql, vec![(1 - current).into(), micros(now).into()]).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::migrations::MIGRATIONS;
    use perennial_store::Store;
    use perennial_testing::databases;
    use perennial_types::Timestamp;
    use uuid::Uuid;

    const HOUR: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

    fn set<const N: usize>(hashes: [i64; N]) -> BTreeSet<i64> {
        hashes.into()
    }

    async fn claimed(store: &Store, hashes: BTreeSet<i64>) -> BTreeSet<i64> {
        let tx = store.write().await.unwrap();
        let turn = turn(&tx).await.unwrap();
        let known = claim(&tx, turn, &hashes).await.unwrap();
        Store::commit(tx).await.unwrap();
        known.into_iter().collect()
    }

    async fn swapped(store: &Store, now: Timestamp) -> bool {
        let tx = store.write().await.unwrap();
        let swapped = swap(&tx, now).await.unwrap();
        Store::commit(tx).await.unwrap();
        swapped
    }

    #[tokio::test]
    async fn what_came_is_known_for_a_week_at_least_and_two_at_most() {
        for database in databases() {
            let store = Store::open(&database.config, "ingestion", &MIGRATIONS).await.unwrap();
            let start: Timestamp = "2026-01-05T00:00:00Z".parse().unwrap();
            let tx = store.write().await.unwrap();
            open(&tx, start).await.unwrap();
            Store::commit(tx).await.unwrap();
            assert_eq!(claimed(&store, set([i64::MIN, 2, 3])).await, set([]));
            assert_eq!(claimed(&store, set([2, 4])).await, set([2]));
            assert!(!swapped(&store, start + TURN - HOUR).await);
            assert!(swapped(&store, start + TURN).await);
            assert_eq!(claimed(&store, set([i64::MIN, 4, 5])).await, set([i64::MIN, 4]));
            assert!(swapped(&store, start + TURN + TURN).await);
            assert_eq!(claimed(&store, set([i64::MIN, 4, 5])).await, set([5]));
        }
    }

    #[tokio::test]
    async fn what_was_claimed_and_not_taken_may_come_again() {
        for database in databases() {
            let store = Store::open(&database.config, "ingestion", &MIGRATIONS).await.unwrap();
            let tx = store.write().await.unwrap();
            let turn = turn(&tx).await.unwrap();
            claim(&tx, turn, &set([1, 2])).await.unwrap();
            release(&tx, turn, vec![2]).await.unwrap();
            Store::commit(tx).await.unwrap();
            assert_eq!(claimed(&store, set([1, 2])).await, set([1]));
        }
    }

    #[tokio::test]
    async fn what_came_before_hashes_were_numbers_is_known() {
        for database in databases() {
            let (before, _) = MIGRATIONS.split_at(8);
            let store = Store::open(&database.config, "ingestion", before).await.unwrap();
            let keys: Vec<[u8; 16]> = ["00", "7f", "80", "ff"]
                .map(|it| format!("{it}23456789abcdef0123456789abcdef"))
                .map(|it| it.parse::<Uuid>().unwrap().into_bytes())
                .into();
            for (key, table) in keys.iter().zip(["seen_a", "seen_b", "seen_a", "seen_b"]) {
                let sql = format!("INSERT INTO {table} (workspace, hash) VALUES ('default', $1)");
                execute(store.read(), "hashes", &sql, vec![Uuid::from_bytes(*key).into()]).await.unwrap();
            }
            drop(store);
            let store = Store::open(&database.config, "ingestion", &MIGRATIONS).await.unwrap();
            let hashes: BTreeSet<i64> =
                keys.iter().map(|it| i64::from_be_bytes(*it.first_chunk().unwrap())).collect();
            assert_eq!(claimed(&store, hashes.clone()).await, hashes);
        }
    }
}
