//! One bad record costs its profile only, and nothing is lost while it waits.

use std::sync::atomic::Ordering;

use perennial_testing::databases;
use perennial_types::{ProfileId, SimulatedClock, from_micros};

use crate::ledger::{POISON, REFUSES, told};
use crate::world::{World, main};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisoned_profile_waits_in_order_and_goes_on_when_mended() {
    for home in databases() {
        REFUSES.store(true, Ordering::SeqCst);
        let clock = SimulatedClock::at(from_micros(1_000));
        let world = World::start(&home, &clock).await;
        let (ana, bob) = (ProfileId::new(from_micros(1_000)), ProfileId::new(from_micros(2_000)));
        world.append(vec![told(ana, 1, 0), told(ana, POISON, 0), told(ana, 3, 0), told(bob, 4, 0)]).await;
        world.quiet().await;
        world.append(vec![told(ana, 5, 0)]).await;
        world.quiet().await;
        // Bob is merged from Ana: he has to wait for what she will bring.
        world.merge(ana, bob).await;
        world.append(vec![told(bob, 6, 0)]).await;
        world.quiet().await;

        let parked = world.parked().await;
        assert_eq!(parked.len(), 2, "{parked:?}");
        let hers = parked.iter().find(|it| it.profile == ana).unwrap();
        assert_eq!((hers.records, hers.error.as_str()), (4, "a number that cannot be"), "with the merge");
        let his = parked.iter().find(|it| it.profile == bob).unwrap();
        assert!(his.error.contains("which is parked"), "{}", his.error);

        let (applied, error) = world.first.retry(&main(), ana).await.unwrap();
        assert_eq!((applied, error.as_str()), (0, "a number that cannot be"), "nothing has changed yet");
        REFUSES.store(false, Ordering::SeqCst);
        for reader in [&world.first, &world.second] {
            assert_eq!(reader.retry(&main(), ana).await.unwrap().1, "");
            assert_eq!(reader.retry(&main(), bob).await.unwrap().1, "");
            world.quiet().await;
        }
        world.quiet().await;
        assert!(world.parked().await.is_empty());
        let state = world.first.states(&main(), &[bob]).await.unwrap().remove(&bob).unwrap();
        let numbers: Vec<i64> = state.numbers.keys().copied().collect();
        assert_eq!(numbers, [POISON, 1, 3, 4, 5, 6]);
        world.kill().await;
    }
}
