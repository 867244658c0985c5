//! Random kills, rivals, merges, late clocks and recomputations: gapless, nothing twice, nothing lost, fold = refold.

use std::collections::{BTreeMap, BTreeSet};

use perennial_feed::Merge;
use perennial_store::query;
use perennial_testing::{TestDatabase, databases};
use perennial_types::{ProfileId, SimulatedClock, from_micros};
use rand::Rng as _;
use rand::SeedableRng as _;

use crate::ledger::{USELESS, told};
use crate::world::{World, main};

async fn torture(home: &TestDatabase, seed: u64, rounds: usize) {
    let mut dice = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let clock = SimulatedClock::at(from_micros(1_000_000));
    let mut world = World::start(home, &clock).await;
    let mut alive: Vec<ProfileId> = (0..40).map(|n| ProfileId::new(from_micros(n * 7_919))).collect();
    let mut home_of: BTreeMap<i64, ProfileId> = BTreeMap::new();
    let mut gone: BTreeSet<ProfileId> = BTreeSet::new();
    let mut number = 0;
    for round in 0..rounds {
        let mut batch = Vec::new();
        for _ in 0..dice.random_range(1..60) {
            let profile = alive[dice.random_range(0..alive.len())];
            number += 1;
            home_of.insert(number, profile);
            batch.push(told(profile, number, dice.random_range(0..4_000_000)));
        }
        world.append(batch).await;
        if dice.random_range(0..3) == 0 {
            // Nothing that the first reader has a use for, but the second waits until it has come past it.
            let profile = alive[dice.random_range(0..alive.len())];
            number += USELESS - number % USELESS;
            home_of.insert(number, profile);
            world.append(vec![told(profile, number, 0)]).await;
        }
        match dice.random_range(0..10) {
            0 | 1 => {
                world.kill().await;
                world = World::start(home, &clock).await;
            }
            2 if alive.len() > 5 => {
                let from = alive.swap_remove(dice.random_range(0..alive.len()));
                let into = alive[dice.random_range(0..alive.len())];
                world.merge(from, into).await;
                gone.insert(from);
                for owner in home_of.values_mut().filter(|it| **it == from) {
                    *owner = into;
                }
            }
            3 => world.rival([1, 4, 16][dice.random_range(0..3)]).await,
            4 => {
                // Work goes on behind an instant that has long passed for the clock.
                clock.advance(from_micros(1_000_000 * (round as i64 + 2)));
                world.bell.clock_moved();
            }
            5 => {
                let profile = alive[dice.random_range(0..alive.len())];
                world.first.refold(&main(), &[profile]).await.unwrap();
            }
            _ => tokio::task::yield_now().await,
        }
    }
    world.advance(1_000_000 * (rounds as i64 + 20)).await;

    // Gapless and in order, in every feed.
    for partition in World::records(&world.ingestion).await {
        let seqs: Vec<u64> = partition.iter().map(|it| it.seq).collect();
        assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
        assert!(partition.windows(2).all(|it| it[0].time <= it[1].time));
    }

    let (first, second) = ((&world.first, &world.first_store), (&world.second, &world.second_store));
    for ((reader, store), skipped) in [(first, USELESS), (second, 5)] {
        let reads = |number: &i64| number % skipped != 0;
        let states = reader.states(&main(), &alive).await.unwrap();
        let mut counted: BTreeMap<i64, (ProfileId, u32)> = BTreeMap::new();
        for (profile, state) in &states {
            for (number, times) in &state.numbers {
                assert!(
                    counted.insert(*number, (*profile, *times)).is_none(),
                    "{number} is with two profiles"
                );
                assert!(state.fired.contains_key(number), "the timer of {number} has fired");
            }
        }
        let expected: BTreeMap<i64, (ProfileId, u32)> = home_of
            .iter()
            .filter(|it| reads(it.0))
            .map(|(number, profile)| (*number, (*profile, 1)))
            .collect();
        let wrong: Vec<_> = (1..=number).filter(|it| counted.get(it) != expected.get(it)).collect();
        assert!(
            wrong.is_empty(),
            "not once with the profile it belongs to: {:?}… of {number}",
            &wrong[..wrong.len().min(9)]
        );
        let gone: Vec<ProfileId> = gone.iter().copied().collect();
        assert!(reader.states(&main(), &gone).await.unwrap().is_empty(), "what was merged away is gone");

        let rows = query(store.read(), "told", "SELECT number, times FROM told", vec![]).await.unwrap();
        let rows: BTreeMap<i64, i64> = rows
            .iter()
            .map(|it| (it.try_get_by_index(0).unwrap(), it.try_get_by_index(1).unwrap()))
            .collect();
        assert!(
            rows == home_of.keys().copied().filter(reads).map(|it| (it, 1)).collect(),
            "and each wrote its row once"
        );
        let left = query(store.read(), "left", "SELECT merge_id FROM transfer", vec![]).await.unwrap();
        assert!(left.is_empty(), "every transfer has arrived");
    }

    // What the first derived reached the second once: each number, and each timer.
    let derived = world.second.states(&main(), &alive).await.unwrap();
    let mut counts: BTreeMap<i64, u32> = BTreeMap::new();
    for (number, times) in derived.values().flat_map(|it| &it.derived) {
        *counts.entry(*number).or_default() += times;
    }
    let derived = home_of.keys().filter(|it| *it % 5 != 0 && *it % USELESS != 0);
    let expected: BTreeMap<i64, u32> = derived.flat_map(|it| [(*it, 1), (*it + 1_000_000, 1)]).collect();
    let wrong: Vec<_> = (1..=number + 1_000_000).filter(|it| counts.get(it) != expected.get(it)).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} derived numbers are not there exactly once: {:?}…",
        wrong.len(),
        expected.len(),
        &wrong[..wrong.len().min(9)]
    );

    // Recomputing from the facts gives what folding gave.
    let before = world.first.states(&main(), &alive).await.unwrap();
    world.first.refold(&main(), &alive).await.unwrap();
    let after = world.first.states(&main(), &alive).await.unwrap();
    assert!(before == after, "fold = refold");
    let merges = World::records(&world.ingestion).await.into_iter().flatten();
    assert!(merges.filter(|it| it.kind == Merge::INTO).count() == gone.len());
    world.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_whatever_dies_and_whenever() {
    let rounds = std::env::var_os("PERENNIAL_TEST_TORTURE_ROUNDS")
        .and_then(|it| it.into_string().ok()?.parse().ok())
        .unwrap_or(25);
    for seed in 1..=2 {
        for home in databases() {
            torture(&home, seed, rounds).await;
        }
    }
}
