//! A person who is erased is gone from every place a reader keeps things, and nobody else notices.

use std::time::Duration;

use perennial_feed::AnyReader;
use perennial_store::{Store, column, execute, query};
use perennial_testing::databases;
use perennial_types::{ProfileId, SimulatedClock, from_micros};

use crate::ledger::{HOPELESS, told};
use crate::world::{World, main};

/// Two profiles in different partitions.
fn two() -> (ProfileId, ProfileId) {
    let ana = ProfileId::new(from_micros(1_000));
    let bob = std::iter::repeat_with(|| ProfileId::new(from_micros(2_000)));
    (ana, bob.filter(|it| it.partition(16) != ana.partition(16)).take(1).next().unwrap())
}

async fn count(store: &Store, sql: &str, profile: ProfileId) -> i64 {
    let rows = query(store.read(), "a count", sql, vec![profile.0.into()]).await.unwrap();
    column(&rows[0], 0).unwrap()
}

/// Rows of a store that name the profile, but for those that say it was erased.
async fn rows(store: &Store, profile: ProfileId) -> i64 {
    let mut all = 0;
    for table in
        ["profile_state", "transfer", "parked", "parked_record", "outbox", "feed_record", "heard", "counted"]
    {
        all += count(store, &format!("SELECT COUNT(*) FROM {table} WHERE profile = $1"), profile).await;
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_person_is_nowhere_and_whoever_comes_after_is_new() {
    for home in databases() {
        let clock = SimulatedClock::at(from_micros(5_000));
        let world = World::start(&home, &clock).await;
        let (ana, bob) = two();
        world
            .append(vec![told(ana, 1, 50), told(ana, 2, 90_000), told(bob, 3, 0), told(bob, 4, 90_000)])
            .await;
        world.quiet().await;
        let before = world.first.states(&main(), &[bob]).await.unwrap();
        assert!(rows(&world.first_store, ana).await > 0 && rows(&world.second_store, ana).await > 0);
        let exported = AnyReader::export(&*world.first, &main(), &[ana]).await.unwrap();
        let tables: Vec<&str> = exported.iter().map(|it| it.0.as_str()).collect();
        assert_eq!(tables, ["profile_state", "heard", "counted"]);

        let id = world.erase(&[ana]).await;
        world.append(vec![told(ana, 9, 0)]).await;
        world.quiet().await;
        let state = world.first.states(&main(), &[ana]).await.unwrap().remove(&ana).unwrap();
        assert_eq!(state.numbers.keys().collect::<Vec<_>>(), [&9], "somebody new");
        world.advance(200_000).await;
        let state = world.first.states(&main(), &[ana]).await.unwrap().remove(&ana).unwrap();
        assert!(!state.fired.contains_key(&2), "her timers went with her");

        assert_eq!(world.first.states(&main(), &[bob]).await.unwrap()[&bob].numbers, before[&bob].numbers);
        let kept = "SELECT COUNT(*) FROM counted WHERE profile <> $1 AND note = ''";
        assert_eq!(count(&world.first_store, kept, ana).await, 2, "what has to stay stays, without her");
        let mut receipts = world.office.receipts.lock().unwrap().clone();
        receipts.sort_by(|one, other| one.service.cmp(&other.service));
        let services: Vec<&str> = receipts.iter().map(|it| it.service.as_str()).collect();
        assert_eq!(services, ["first", "second"]);
        for it in &receipts {
            assert!(it.name.ends_with(&id.to_string()) && it.profile.ends_with(&ana.to_string()), "{it:?}");
        }
        let store = |name: &str| receipts[0].stores.iter().find(|it| it.store == name).unwrap();
        assert_eq!((store("heard").erased_count, store("counted").unlinked_count), (2, 2));
        assert!(!store("counted").kept.is_empty() && store("feed_record").unlinked_count >= 2);
        world.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_person_and_whoever_waits_for_it_are_erased_and_the_lane_goes_on() {
    for home in databases() {
        let clock = SimulatedClock::at(from_micros(5_000));
        let world = World::start(&home, &clock).await;
        let (ana, bob) = two();
        let cem = ProfileId::new(from_micros(3_000));
        world.append(vec![told(ana, 1, 0), told(ana, HOPELESS, 0), told(bob, 4, 0)]).await;
        world.quiet().await;
        world.merge(ana, bob).await;
        world.quiet().await;
        assert_eq!(world.parked().await.len(), 2);
        world.erase(&[bob, ana]).await;
        world.append(vec![told(cem, 8, 0)]).await;
        world.quiet().await;
        assert!(world.parked().await.is_empty());
        for profile in [ana, bob] {
            assert_eq!(rows(&world.first_store, profile).await, 0);
            assert_eq!(rows(&world.second_store, profile).await, 0);
        }
        assert!(world.second.states(&main(), &[cem]).await.unwrap().contains_key(&cem));
        assert_eq!(world.office.receipts.lock().unwrap().len(), 4);
        world.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_half_of_which_was_emptied_holds_nobody_up() {
    for home in databases() {
        let clock = SimulatedClock::at(from_micros(5_000));
        let world = World::start(&home, &clock).await;
        let (ana, bob) = two();
        world.append(vec![told(ana, 1, 0), told(bob, 2, 0)]).await;
        world.quiet().await;
        world.kill().await;

        let mut world = World::start(&home, &clock).await;
        world.stall_first().await;
        world.merge(ana, bob).await;
        world.append(vec![told(bob, 3, 0)]).await;
        // Hers has gone when the readers come to it; his has not.
        world.erase(&[ana]).await;
        world.kill().await;

        let world = World::start(&home, &clock).await;
        world.quiet().await;
        let state = world.first.states(&main(), &[bob]).await.unwrap().remove(&bob).unwrap();
        assert_eq!(state.numbers.keys().collect::<Vec<_>>(), [&2, &3]);
        assert_eq!(rows(&world.first_store, ana).await, 0);
        world.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_survives_crashes_of_whoever_carries_it_out() {
    for home in databases() {
        let clock = SimulatedClock::at(from_micros(5_000));
        let mut world = World::start(&home, &clock).await;
        let people: Vec<ProfileId> = (0..24).map(|n| ProfileId::new(from_micros(1_000 + n))).collect();
        let facts = |n: i64| people.iter().map(move |it| told(*it, n, 3)).collect();
        world.append(facts(1)).await;
        let mut receipts = Vec::new();
        for (n, two) in (2..).zip(people.chunks(2).take(8)) {
            world.append(facts(n)).await;
            world.erase(&two[..1]).await;
            if n % 2 == 0 {
                world.rival(16).await;
            }
            tokio::time::sleep(Duration::from_millis(u64::try_from(n * 3 % 11).unwrap())).await;
            let came = world.office.receipts.clone();
            world.kill().await;
            receipts.extend(came.lock().unwrap().drain(..));
            world = World::start(&home, &clock).await;
        }
        world.quiet().await;
        receipts.extend(world.office.receipts.lock().unwrap().drain(..));
        for (n, two) in (2..).zip(people.chunks(2).take(8)) {
            let (gone, stays) = (two[0], two[1]);
            for service in ["first", "second"] {
                let theirs = |it: &&_| {
                    let it: &perennial_api::profile::v1::RecordErasureReceiptRequest = it;
                    it.service == service && it.profile.ends_with(&gone.to_string())
                };
                assert!(receipts.iter().any(|it| theirs(&it)), "{service} has not answered for {gone}");
            }
            for store in [&world.first_store, &world.second_store] {
                let heard = "SELECT COUNT(*) FROM heard WHERE profile = $1 AND number <= ";
                assert_eq!(count(store, &format!("{heard}{n}"), gone).await, 0);
                assert!(count(store, &format!("{heard}{n}"), stays).await > 0);
            }
        }
        world.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_begins_anew_passes_over_what_was_emptied() {
    for home in databases() {
        let clock = SimulatedClock::at(from_micros(5_000));
        let world = World::start(&home, &clock).await;
        let (ana, bob) = two();
        world.append(vec![told(ana, 1, 0), told(bob, 2, 0)]).await;
        world.merge(ana, bob).await;
        world.append(vec![told(bob, 3, 0)]).await;
        let cem = ProfileId::new(from_micros(3_000));
        world.append(vec![told(cem, 4, 0)]).await;
        world.quiet().await;
        world.erase(&[bob, ana]).await;
        world.quiet().await;
        let before = world.second.states(&main(), &[cem]).await.unwrap();
        let store = world.second_store.clone();
        world.kill().await;
        for table in ["checkpoint", "profile_state", "erased_profile", "heard", "counted"] {
            let tx = store.write().await.unwrap();
            execute(&tx, "a fresh start", &format!("DELETE FROM {table}"), vec![]).await.unwrap();
            Store::commit(tx).await.unwrap();
        }
        let world = World::start(&home, &clock).await;
        world.quiet().await;
        let now = world.second.states(&main(), &[cem, ana, bob]).await.unwrap();
        assert_eq!(now.keys().collect::<Vec<_>>(), [&cem]);
        assert_eq!(now[&cem].numbers, before[&cem].numbers);
        assert!(world.parked().await.is_empty());
        world.kill().await;
    }
}
