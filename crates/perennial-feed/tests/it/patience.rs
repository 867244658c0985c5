//! A fold that does not wait forever for what others derive.

use std::time::Duration;

use perennial_testing::databases;
use perennial_types::{ProfileId, SimulatedClock, from_micros};

use crate::ledger::told;
use crate::world::{World, main};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_impatient_fold_goes_on_without_a_source_and_says_so() {
    for home in databases() {
        let clock = SimulatedClock::at(from_micros(1_000));
        let patience = Some(Duration::from_secs(30));
        let mut world = World::patient(&home, &clock, patience).await;
        let ana = ProfileId::new(from_micros(1_000));
        world.stall_first().await;
        world.append(vec![told(ana, 1, 0)]).await;
        world.quiet().await;
        world.advance(30_000_999).await;
        assert!(world.second.states(&main(), &[ana]).await.unwrap().is_empty(), "it still waits");
        world.advance(30_001_000).await;
        let seen = async |world: &World| {
            world.second.states(&main(), &[ana]).await.unwrap().remove(&ana).unwrap_or_default().seen
        };
        assert_eq!(seen(&world).await, ["told 1, stale", "fired 1, stale"]);

        // What was missing comes after all, out of order, and from then on nothing is stale.
        world.kill().await;
        let world = World::patient(&home, &clock, patience).await;
        world.quiet().await;
        world.append(vec![told(ana, 2, 5)]).await;
        world.advance(30_002_000).await;
        assert_eq!(
            seen(&world).await,
            [
                "told 1, stale",
                "fired 1, stale",
                "derived 1",
                "derived 1000001",
                "told 2",
                "derived 2",
                "derived 1000002",
                "fired 2"
            ]
        );
        world.kill().await;
    }
}
