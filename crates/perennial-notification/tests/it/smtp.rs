use perennial_api::notification::v1::MessageRequest;
use perennial_rpc::time::to_wire;
use perennial_store::{Store, execute};
use perennial_types::{from_micros, micros};
use tokio::net::TcpListener;

use crate::harness::{HOUR, START, World, grounds};
use crate::sink::{Mailbox, serve};

#[tokio::test]
async fn an_unreachable_server_costs_nothing_but_time() {
    for mut ground in grounds() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        ground.smtp = Some(address);
        let mut world = World::on(ground, START).await;
        world.plain_template().await;
        let ana = world.subscriber("ana@example.com").await;
        let message = world.message(ana);
        world.send(vec![message.clone()]).await;
        let (state, reason) = world.state(&message.message_id).await;
        assert_eq!(state, "claimed");
        assert!(reason.contains("is not reachable"), "{reason}");

        let mailbox = Mailbox::default();
        let sink = serve(TcpListener::bind(address).await.unwrap(), mailbox.clone());
        world.advance(HOUR).await;
        assert_eq!(world.state(&message.message_id).await, ("accepted".to_owned(), String::new()));
        let mail = mailbox.mail.lock().unwrap().clone();
        assert_eq!(mail.len(), 1);
        assert_eq!(mail[0].0, "ana@example.com");
        assert!(mail[0].1.contains(&message.message_id));
        world.end().await;
        drop(sink);
    }
}

#[tokio::test]
async fn a_server_that_stays_away_lets_a_message_expire_at_its_last_instant() {
    for mut ground in grounds() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        ground.smtp = Some(listener.local_addr().unwrap());
        drop(listener);
        let mut world = World::on(ground, START).await;
        world.plain_template().await;
        let ana = world.subscriber("ana@example.com").await;
        let last = from_micros(micros(world.now()) + 7 * HOUR);
        let message = MessageRequest { not_after_time: Some(to_wire(last)), ..world.message(ana) };
        world.send(vec![message.clone()]).await;
        for _ in 0..14 {
            world.advance(HOUR / 2).await;
        }
        assert_eq!(world.state(&message.message_id).await.0, "claimed");
        world.advance(1).await;
        let expired = ("expired".to_owned(), "PAST_NOT_AFTER".to_owned());
        assert_eq!(world.state(&message.message_id).await, expired);
        assert_eq!(world.events("Message Expired").len(), 1);
        world.end().await;
    }
}

#[tokio::test]
async fn refusals_settle_delays_retry_and_silence_is_never_repeated() {
    for mut ground in grounds() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        ground.smtp = Some(listener.local_addr().unwrap());
        let mailbox = Mailbox::default();
        let sink = serve(listener, mailbox.clone());
        let mut world = World::on(ground, START).await;
        world.plain_template().await;
        let mut messages = Vec::new();
        for email in ["refuse@example.com", "later@example.com", "silent@example.com", "ana@example.com"] {
            let profile = world.subscriber(email).await;
            messages.push(world.message(profile));
        }
        let stopped = world.person("nobody@example.com");
        messages.push(world.message(stopped));
        world.send(messages.clone()).await;
        let (state, reason) = world.state(&messages[0].message_id).await;
        assert!(state == "refused" && reason.contains("550"), "{state}: {reason}");
        let (state, reason) = world.state(&messages[1].message_id).await;
        assert!(state == "claimed" && reason.contains("451"), "{state}: {reason}");
        let (state, reason) = world.state(&messages[2].message_id).await;
        assert!(state == "unknown" && reason.contains("no answer after the message"), "{state}: {reason}");
        assert_eq!(world.state(&messages[3].message_id).await.0, "accepted");
        assert_eq!(world.state(&messages[4].message_id).await.0, "suppressed");
        let mut told: Vec<_> = world.events("Message Refused").into_iter().map(|it| it.message_id).collect();
        told.sort_unstable();
        let mut expected = vec![messages[0].message_id.clone(), messages[4].message_id.clone()];
        expected.sort_unstable();
        assert_eq!(told, expected, "what may have arrived is not given back");
        world.advance(24 * HOUR).await;
        assert_eq!(world.state(&messages[1].message_id).await.0, "accepted");
        assert_eq!(world.state(&messages[2].message_id).await.0, "unknown");
        let mail = mailbox.mail.lock().unwrap().clone();
        let mut to: Vec<_> = mail.iter().map(|it| it.0.as_str()).collect();
        to.sort_unstable();
        assert_eq!(to, ["ana@example.com", "later@example.com", "silent@example.com"]);
        world.end().await;
        drop(sink);
    }
}

#[tokio::test]
async fn after_a_kill_during_the_hand_over_smtp_shows_unknown_and_sends_nothing_again() {
    for mut ground in grounds() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        ground.smtp = Some(listener.local_addr().unwrap());
        let mailbox = Mailbox::default();
        let sink = serve(listener, mailbox.clone());
        let mut world = World::on(ground, START).await;
        world.plain_template().await;
        let ana = world.subscriber("ana@example.com").await;
        let message = world.message(ana);
        world.send(vec![message.clone()]).await;
        let ground = world.end().await;
        let store = Store::open(&ground.database, "notification", &perennial_notification::migrations())
            .await
            .unwrap();
        let tx = store.write().await.unwrap();
        let sql = "UPDATE message SET state = 'handing', settled_at = NULL";
        execute(&tx, "a kill", sql, vec![]).await.unwrap();
        Store::commit(tx).await.unwrap();
        drop(store);

        let mut world = World::on(ground, "2026-03-02T10:00:00Z").await;
        world.advance(HOUR).await;
        let unknown = ("unknown".to_owned(), "STOPPED_DURING_HANDOVER".to_owned());
        assert_eq!(world.state(&message.message_id).await, unknown);
        assert_eq!(mailbox.mail.lock().unwrap().len(), 1);
        world.end().await;
        drop(sink);
    }
}
