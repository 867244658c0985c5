//! The order in which a fold sees the world.

use perennial_testing::databases;
use perennial_types::{ProfileId, SimulatedClock, from_micros};

use crate::ledger::told;
use crate::world::{World, main};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timers_fire_at_their_instant_between_what_came_before_and_what_came_after() {
    for home in databases() {
        let clock = SimulatedClock::at(from_micros(1_000));
        let world = World::start(&home, &clock).await;
        let ana = ProfileId::new(from_micros(1_000));
        world.append(vec![told(ana, 1, 500), told(ana, 2, 0)]).await;
        world.quiet().await;
        world.advance(1_499).await;
        world.append(vec![told(ana, 3, 10_000)]).await;
        world.quiet().await;
        world.advance(5_000).await;
        world.append(vec![told(ana, 4, 10_000)]).await;
        world.quiet().await;

        let state = world.second.states(&main(), &[ana]).await.unwrap().remove(&ana).unwrap();
        let expected = [
            // 2's timer is due at the instant of its own record: after all that this instant brought.
            "told 1",
            "derived 1",
            "told 2",
            "derived 2",
            "derived 1000002",
            "fired 2",
            "told 3",
            "derived 3",
            // Due at 1,500, noticed only at 5,000: still before what came later. What the first reader made of its own
            // timer of that instant comes before ours.
            "derived 1000001",
            "fired 1",
            "told 4",
            "derived 4",
        ];
        assert_eq!(state.seen, expected);
        assert_eq!(state.fired.get(&1), Some(&1_500), "at the exact instant");
        world.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_said() {
    use perennial_api::feed::v1 as wire;
    for home in databases() {
        let clock = SimulatedClock::at(from_micros(1_000));
        let world = World::start(&home, &clock).await;
        let record = wire::Record::default();
        assert!(perennial_feed::Record::try_from(record).is_err(), "a record without workspace and profile");
        let read = world
            .ingestion
            .read(&[perennial_feed::Cursor { partition: 99, after_seq: 0, complete_after: None }], 10);
        let error = read.await.unwrap_err().to_string();
        assert!(error.contains("no partition 99"), "{error}");
        // A checkpoint beyond the head (the feed lost its end) is seen as such.
        let beyond = perennial_feed::Cursor { partition: 3, after_seq: 99, complete_after: None };
        assert_eq!(world.ingestion.read(&[beyond], 10).await.unwrap()[0].head_seq, 0);
        world.kill().await;
    }
}
