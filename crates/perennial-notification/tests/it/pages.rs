use perennial_api::notification::v1 as wire;
use perennial_rpc::time::to_wire;
use perennial_types::{from_micros, micros};

use crate::harness::{HOUR, worlds};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

#[tokio::test]
async fn only_a_post_unsubscribes_and_it_stops_what_is_queued() {
    for mut world in worlds().await {
        world.plain_template().await;
        let ana = world.subscriber("ana@example.com").await;
        let first = world.message(ana);
        world.send(vec![first.clone()]).await;
        let tomorrow = Some(to_wire(from_micros(micros(world.now()) + 24 * HOUR)));
        let queued = wire::MessageRequest {
            step: "second".to_owned(),
            not_before_time: tomorrow,
            ..world.message(ana)
        };
        world.send(vec![queued.clone()]).await;

        let link = world.link(&first.message_id, "/u/");
        for method in ["GET", "HEAD"] {
            let page = world.get(method, &link, FIREFOX).await;
            assert!(page.starts_with("HTTP/1.1 200"), "{page}");
        }
        assert!(world.get("GET", &link, FIREFOX).await.contains("method=\"post\""));
        assert!(world.events("Email Unsubscribed").is_empty());
        let wrong = world.post(&format!("{link}x"), "application/x-www-form-urlencoded", "").await;
        assert!(wrong.starts_with("HTTP/1.1 404"), "{wrong}");

        let body =
            "--b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--b--\r\n";
        let done = world.post(&link, "multipart/form-data; boundary=b", body).await;
        assert!(done.starts_with("HTTP/1.1 200"), "{done}");
        let told = world.events("Email Unsubscribed");
        assert_eq!((told.len(), told[0].profile.as_str()), (1, first.profile.as_str()));
        world.advance(25 * HOUR).await;
        let suppressed = ("suppressed".to_owned(), "ADDRESS_SUPPRESSED".to_owned());
        assert_eq!(world.state(&queued.message_id).await, suppressed);

        // Whoever agrees again is written to again.
        world.consent(ana, true).await;
        let again = wire::MessageRequest { step: "third".to_owned(), ..world.message(ana) };
        world.send(vec![again.clone()]).await;
        assert_eq!(world.state(&again.message_id).await.0, "accepted");
        let body = "List-Unsubscribe=One-Click";
        world.post(&link, "application/x-www-form-urlencoded", body).await;
        let last = wire::MessageRequest { step: "fourth".to_owned(), ..world.message(ana) };
        world.send(vec![last.clone()]).await;
        assert_eq!(world.state(&last.message_id).await, suppressed);
        world.end().await;
    }
}

#[tokio::test]
async fn a_click_leads_only_where_it_was_signed_for_and_counts_once_and_only_for_people() {
    for mut world in worlds().await {
        world.plain_template().await;
        let ana = world.subscriber("ana@example.com").await;
        let message = world.message(ana);
        world.send(vec![message.clone()]).await;
        let (click, open) = (world.link(&message.message_id, "/c/"), world.link(&message.message_id, "/o/"));
        // Scanners follow every link at once.
        let at_once = world.get("GET", &click, FIREFOX).await;
        assert!(at_once.contains("location: https://linden.example/cart?a=1&b=2"), "{at_once}");
        world.advance(HOUR).await;
        world.get("GET", &click, "Barracuda Sentinel (EE)").await;
        world.get("GET", &open, "Mozilla/5.0").await;
        world.get("HEAD", &click, FIREFOX).await;
        assert!(world.events("Email Clicked").is_empty() && world.events("Email Opened").is_empty());
        for _ in 0..2 {
            world.get("GET", &click, FIREFOX).await;
            assert!(world.get("GET", &open, FIREFOX).await.contains("image/gif"));
        }
        assert_eq!((world.events("Email Clicked").len(), world.events("Email Opened").len()), (1, 1));
        let forged = format!("{}A{}", &click[..10], &click[11..]);
        assert!(world.get("GET", &forged, FIREFOX).await.starts_with("HTTP/1.1 404"));
        world.end().await;
    }
}

#[tokio::test]
async fn an_erased_person_is_not_written_to_again_and_what_was_sent_stays_counted() {
    for mut world in worlds().await {
        world.plain_template().await;
        let ana = world.subscriber("ana@example.com").await;
        let data = perennial_rpc::structs::from_json(
            serde_json::json!({ "note": "engraved for her" }).as_object().unwrap().clone(),
        );
        let first = wire::MessageRequest { data: Some(data.clone()), ..world.message(ana) };
        let tomorrow = Some(to_wire(from_micros(micros(world.now()) + 24 * HOUR)));
        let queued = wire::MessageRequest {
            step: "second".to_owned(),
            occurrence: "cart-of-hers".to_owned(),
            not_before_time: tomorrow,
            data: Some(data),
            ..world.message(ana)
        };
        world.send(vec![first.clone(), queued.clone()]).await;
        let link = world.link(&first.message_id, "/c/");

        world.erase(ana, "Ana@example.com").await;
        let kept = world.listed().await;
        assert!(kept.iter().all(|it| it.profile != first.profile), "{kept:?}");
        let summary = world.summary().await;
        assert_eq!((summary["accepted"], summary["suppressed"]), (1, 1));
        let database = world.ground.database.clone();
        let values = ["engraved for her", "cart-of-hers", "ana@example.com", &ana.to_string()];
        // Her id stays where it says that she was erased.
        let left = perennial_testing::leaks(&database, &["notification"], &values[..3]).await;
        assert!(left.is_empty(), "{left:?}");
        let receipts = world.office.receipts.lock().unwrap().clone();
        let told = |store: &str| receipts[0].stores.iter().find(|it| it.store == store).unwrap().clone();
        assert_eq!((told("message").unlinked_count, told("consent").erased_count), (2, 1));

        world.advance(25 * HOUR).await;
        assert_eq!(world.mail().len(), 1, "what was queued is never sent");
        world.get("GET", &link, FIREFOX).await;
        assert!(
            world.events("Email Clicked").is_empty(),
            "what she does with an old mail is her own business"
        );
        let late = wire::MessageRequest { step: "third".to_owned(), ..world.message(ana) };
        assert_eq!(world.send(vec![late]).await, [("refused".to_owned(), "PROFILE_ERASED".to_owned())]);

        // She comes back as somebody new, and agrees to everything: her address stays on the list.
        let new = world.subscriber("ana@example.com").await;
        for purpose in ["marketing", "transactional"] {
            let (step, purpose) = (purpose.to_owned(), purpose.to_owned());
            let again = wire::MessageRequest { step, purpose, ..world.message(new) };
            world.send(vec![again.clone()]).await;
            assert_eq!(world.state(&again.message_id).await.0, "suppressed");
        }
        assert_eq!(world.mail().len(), 1);
        world.end().await;
    }
}
