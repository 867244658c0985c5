use perennial_api::notification::v1 as wire;
use perennial_rpc::time::to_wire;
use perennial_store::{Store, execute};
use perennial_types::{ProfileId, from_micros, micros};

use crate::harness::{HOUR, START, World, grounds, worlds};

#[tokio::test]
async fn a_message_arrives_once_whatever_is_repeated() {
    for mut world in worlds().await {
        world.plain_template().await;
        let ana = world.subscriber("ana@example.com").await;
        let first = world.message(ana);
        assert_eq!(world.send(vec![first.clone()]).await[0].0, "claimed");
        assert_eq!(world.send(vec![first.clone()]).await[0].0, "duplicate");
        let same_step = world.message(ana);
        let namesake = world.subscriber("Ana@Example.com ").await;
        let same_address = world.message(namesake);
        let twice = world.send(vec![same_step, same_address]).await;
        assert!(twice.iter().all(|it| it.0 == "duplicate"), "{twice:?}");

        let mail = world.mail();
        assert_eq!(mail.keys().collect::<Vec<_>>(), [&first.message_id]);
        assert!(mail[&first.message_id].contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click"));
        assert_eq!(world.state(&first.message_id).await.0, "accepted");
        let delivered = world.events("Email Delivered");
        assert_eq!(delivered.len(), 1);
        assert_eq!(delivered[0].profile, first.profile);
        let properties = delivered[0].properties.as_ref().unwrap();
        assert!(format!("{:?}", properties.fields["decision_id"]).contains(&first.decision_id));
        world.end().await;
    }
}

#[tokio::test]
async fn what_can_never_be_sent_is_refused_with_its_reason_and_costs_nobody_else() {
    for mut world in worlds().await {
        world.plain_template().await;
        let ana = world.subscriber("ana@example.com").await;
        let silent = world.person("");
        let undecided = wire::MessageRequest { decision_id: String::new(), ..world.message(ana) };
        let unknown = wire::MessageRequest { template: "helo".to_owned(), ..world.message(ana) };
        let stranger = world.message(ProfileId::new(world.now()));
        let text =
            wire::MessageRequest { channel: "sms".to_owned(), step: "2".to_owned(), ..world.message(ana) };
        let good = wire::MessageRequest { step: "3".to_owned(), ..world.message(ana) };
        let nowhere = world.message(silent);
        let all = vec![undecided, unknown, stranger, text, nowhere.clone(), good];
        let receipts = world.send(all).await;
        let reasons: Vec<_> = receipts.iter().map(|it| it.1.as_str()).collect();
        let step_taken = "";
        assert_eq!(
            reasons,
            [
                "MARKETING_WITHOUT_DECISION",
                step_taken,
                "PROFILE_NOT_FOUND",
                "CHANNEL_NOT_SUPPORTED",
                "NO_ADDRESS",
                ""
            ]
        );
        assert_eq!(
            world.send(vec![nowhere.clone()]).await[0],
            ("refused".to_owned(), "NO_ADDRESS".to_owned())
        );
        assert_eq!(world.mail().len(), 1);
        let told: Vec<_> = world.events("Message Refused").iter().map(|it| it.message_id.clone()).collect();
        assert_eq!(told.len(), 2, "once for each decision on somebody who is known: {told:?}");
        assert!(told.contains(&nowhere.message_id));
        let bad = wire::MessageRequest { purpose: "spam".to_owned(), ..world.message(ana) };
        let request = wire::SendMessagesRequest { parent: "workspaces/main".to_owned(), messages: vec![bad] };
        let refused = world.client.send_messages(request).await.unwrap_err();
        assert!(refused.message().contains("messages[0].purpose is \"spam\""), "{}", refused.message());
        world.end().await;
    }
}

#[tokio::test]
async fn marketing_without_consent_is_suppressed_and_transactional_mail_goes() {
    for mut world in worlds().await {
        world.plain_template().await;
        let (ana, bob) = (world.person("ana@example.com"), world.subscriber("bob@example.com").await);
        world.consent(bob, false).await;
        let (marketing, withdrawn) = (world.message(ana), world.message(bob));
        let receipt = wire::MessageRequest {
            purpose: "transactional".to_owned(),
            decision_id: String::new(),
            step: "receipt".to_owned(),
            ..world.message(ana)
        };
        world.send(vec![marketing.clone(), withdrawn.clone(), receipt.clone()]).await;
        let no_consent = ("suppressed".to_owned(), "NO_CONSENT".to_owned());
        assert_eq!(world.state(&marketing.message_id).await, no_consent);
        assert_eq!(world.state(&withdrawn.message_id).await, no_consent);
        assert_eq!(world.mail().keys().collect::<Vec<_>>(), [&receipt.message_id]);
        assert!(!world.mail()[&receipt.message_id].contains("List-Unsubscribe"));
        world.end().await;
    }
}

#[tokio::test]
async fn a_message_waits_for_its_instant_and_a_pause_and_expires_past_its_last() {
    for mut world in worlds().await {
        world.plain_template().await;
        let (ana, bob) =
            (world.subscriber("ana@example.com").await, world.subscriber("bob@example.com").await);
        let at = |hours: i64| Some(to_wire(from_micros(micros(START.parse().unwrap()) + hours * HOUR)));
        let later = wire::MessageRequest { not_before_time: at(5), ..world.message(ana) };
        let short =
            wire::MessageRequest { not_before_time: at(5), not_after_time: at(6), ..world.message(bob) };
        world.send(vec![later.clone(), short.clone()]).await;
        world.advance(5 * HOUR - 1).await;
        assert!(world.mail().is_empty());
        let parent = || "workspaces/main".to_owned();
        let pause = wire::PauseSendingRequest { parent: parent(), reason: "wrong price".to_owned() };
        assert!(world.client.pause_sending(pause).await.unwrap().into_inner().paused);
        world.advance(2 * HOUR).await;
        assert!(world.mail().is_empty());
        assert_eq!(world.summary().await["claimed"], 2);
        let resume = wire::ResumeSendingRequest { parent: parent() };
        assert!(!world.client.resume_sending(resume).await.unwrap().into_inner().paused);
        world.settle().await;
        assert_eq!(world.state(&later.message_id).await.0, "accepted");
        let expired = ("expired".to_owned(), "PAST_NOT_AFTER".to_owned());
        assert_eq!(world.state(&short.message_id).await, expired);
        let told = world.events("Message Expired");
        assert_eq!(told.len(), 1, "whoever decided on it is told");
        let said = format!("{:?}", told[0].properties);
        assert!(said.contains(&short.decision_id) && said.contains("PAST_NOT_AFTER"), "{said}");
        assert_eq!(told[0].profile, short.profile);
        world.end().await;
    }
}

#[tokio::test]
async fn after_a_kill_during_the_hand_over_a_maildir_is_completed_and_holds_each_message_once() {
    for ground in grounds() {
        let mut world = World::on(ground, START).await;
        world.plain_template().await;
        let ana = world.subscriber("ana@example.com").await;
        let bob = world.subscriber("bob@example.com").await;
        let (first, second) = (world.message(ana), world.message(bob));
        world.send(vec![first.clone(), second.clone()]).await;
        assert_eq!(world.mail().len(), 2);
        let ground = world.end().await;

        // As a kill leaves it: one file written, the other not, both rows still in the hand-over.
        std::fs::remove_file(ground.maildir.join("new").join(&second.message_id)).unwrap();
        let store = Store::open(&ground.database, "notification", &perennial_notification::migrations())
            .await
            .unwrap();
        let tx = store.write().await.unwrap();
        let sql = "UPDATE message SET state = 'handing', settled_at = NULL";
        assert_eq!(execute(&tx, "a kill", sql, vec![]).await.unwrap(), 2);
        Store::commit(tx).await.unwrap();
        drop(store);

        let mut world = World::on(ground, "2026-03-02T10:00:00Z").await;
        world.advance(HOUR).await;
        assert_eq!(world.summary().await["accepted"], 2);
        assert_eq!(world.mail().len(), 2);
        world.end().await;
    }
}
