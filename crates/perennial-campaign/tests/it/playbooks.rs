//! Each shipped playbook of this list from the triggering event to the command, and on to its end.

use perennial_types::{FactKind, Properties, micros};

use crate::world::{DAY, HOUR, World, key, worlds};

fn playbook(path: &str) -> &'static str {
    perennial_campaign::PLAYBOOKS.iter().find(|(it, _)| *it == path).unwrap().1
}

fn outcomes(entries: &[perennial_api::campaign::v1::Decision]) -> Vec<String> {
    entries.iter().map(|it| format!("{} {}", it.step, it.outcome).trim().to_owned()).collect()
}

#[tokio::test]
async fn welcome_runs_from_consent_to_the_first_order() {
    for mut world in worlds().await {
        world.live(playbook("welcome/campaign.yaml")).await;
        let profile = world.profile(&key("welcome", 0.05, false)).await;
        world.consents(profile).await;
        assert_eq!(world.templates(), ["welcome-benefits"]);
        world.advance(3 * DAY + HOUR).await;
        assert_eq!(world.templates(), ["welcome-benefits", "welcome-reason"]);
        world.orders(profile, "1", 5_000).await;
        world.advance(20 * DAY).await;
        assert_eq!(world.templates().len(), 2, "whoever orders leaves before the next message");
        let entries = world.explain(profile, "welcome").await;
        assert_eq!(
            outcomes(&entries),
            ["entered", "welcome-benefits sent", "welcome-reason sent", "goal_reached"]
        );
        assert_eq!(entries[1].delivery, "claimed");
        assert_eq!(entries[0].reasons[0].text, "event Consent Given");
        assert_eq!(entries[3].reasons[0].text, "order 1, 50.00 EUR, profit 25.00 EUR");
        {
            let ledger = world.taken.look();
            let message = &ledger.messages[0];
            assert_eq!((message.purpose.as_str(), message.channel.as_str()), ("marketing", "email"));
            assert_eq!(message.decision_id, entries[1].decision_id);
            assert!(
                message.not_after_time.as_ref().unwrap().seconds
                    > message.decide_time.as_ref().unwrap().seconds
            );
        }
        let report = world.report("welcome").await;
        let treated = report.treated.unwrap();
        assert_eq!((treated.customers, treated.conversions, treated.profit_minor), (1, 1, 2_500));
        assert_eq!(report.verdict, "not proven yet: fewer than 50 customers in an arm");
        world.end().await;
    }
}

#[tokio::test]
async fn whoever_is_held_out_walks_the_welcome_in_silence() {
    for mut world in worlds().await {
        world.live(playbook("welcome/campaign.yaml")).await;
        let profile = world.profile(&key("welcome", 0.05, true)).await;
        world.consents(profile).await;
        world.advance(20 * DAY).await;
        assert!(world.templates().is_empty());
        let entries = world.explain(profile, "welcome").await;
        assert_eq!(
            outcomes(&entries),
            [
                "entered",
                "welcome-benefits held_out",
                "welcome-reason held_out",
                "welcome-guide held_out",
                "finished"
            ]
        );
        world.end().await;
    }
}

#[tokio::test]
async fn the_cart_message_shows_the_cart_and_the_ladder_ends_with_an_offer_that_pays() {
    for mut world in worlds().await {
        world.live(playbook("cart/campaign.yaml")).await;
        let profile = world.profile(&key("cart", 0.05, false)).await;
        world.consents(profile).await;
        world.scored(profile, 0, 2_000).await;
        world.cart(profile, "c1", &[("lamp", 4_000)]).await;
        world.advance(HOUR / 2).await;
        world.cart(profile, "c1", &[("lamp", 4_000), ("bulb", 500)]).await;
        world.advance(HOUR).await;
        assert_eq!(world.templates(), ["cart-reminder"]);
        {
            let ledger = world.taken.look();
            let data = perennial_rpc::structs::to_json(ledger.messages[0].data.clone().unwrap());
            assert_eq!(data["cart"]["total"], 4_500);
            assert_eq!(data["cart"]["lines"][1]["name"], "bulb");
            assert_eq!(ledger.messages[0].occurrence, "c1");
        }
        world.advance(4 * DAY).await;
        assert_eq!(world.templates(), ["cart-reminder", "cart-help", "cart-free-shipping"]);
        {
            let ledger = world.taken.look();
            let coupon = &ledger.coupons[0];
            assert_eq!((coupon.offer.as_str(), coupon.valid_seconds), ("free-shipping", 3 * 86_400));
            let data = perennial_rpc::structs::to_json(ledger.messages[2].data.clone().unwrap());
            assert!(data["coupon"]["code"].as_str().unwrap().starts_with("free-shipping-"));
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_checkout_or_an_emptied_cart_ends_the_cart_messages() {
    for mut world in worlds().await {
        world.live(playbook("cart/campaign.yaml")).await;
        let profile = world.profile(&key("cart", 0.05, false)).await;
        world.consents(profile).await;
        world.cart(profile, "c1", &[("lamp", 4_000)]).await;
        world.told(profile, "Checkout Started", FactKind::CheckoutStarted { checkout_id: None }).await;
        world.advance(2 * HOUR).await;
        world.cart(profile, "c2", &[("lamp", 4_000)]).await;
        world.cart(profile, "c2", &[]).await;
        world.advance(8 * DAY).await;
        assert!(world.templates().is_empty());
        world.end().await;
    }
}

async fn at_risk(world: &mut World, ticket: bool) -> Vec<String> {
    world.live(playbook("at-risk-save/campaign.yaml")).await;
    let profile = world.profile(&key("at-risk-save", 0.05, false)).await;
    world.consents(profile).await;
    world.orders(profile, "1", 5_000).await;
    world.scored(profile, micros(world.now()) + 40 * DAY, 3_000).await;
    world.advance(38 * DAY).await;
    if ticket {
        world.told(profile, "Support Ticket Opened", FactKind::Tracked).await;
    }
    world.advance(2 * DAY).await;
    world.staged(profile, "new_customer", "at_risk").await;
    world.advance(30 * DAY).await;
    world.templates()
}

#[tokio::test]
async fn at_risk_customers_get_a_reason_then_an_offer_and_service_first_after_a_complaint() {
    for mut world in worlds().await {
        assert_eq!(at_risk(&mut world, false).await, ["at-risk-reason", "at-risk-offer"]);
        world.end().await;
    }
    for mut world in worlds().await {
        assert_eq!(at_risk(&mut world, true).await, ["at-risk-service", "at-risk-offer"]);
        world.end().await;
    }
}

#[tokio::test]
async fn the_reorder_ladder_starts_at_the_overdue_instant_and_a_refused_coupon_sends_nothing() {
    for mut world in worlds().await {
        world.taken.look().refused.insert("free-shipping".to_owned());
        world.live(playbook("reorder-ladder/campaign.yaml")).await;
        let profile = world.profile(&key("reorder-ladder", 0.05, false)).await;
        world.consents(profile).await;
        world.orders(profile, "1", 5_000).await;
        let overdue = micros(world.now()) + 40 * DAY;
        world.scored(profile, overdue, 3_000).await;
        world.advance(40 * DAY - 1).await;
        assert!(world.templates().is_empty());
        world.advance(15 * DAY).await;
        assert_eq!(world.templates(), ["reorder-plain", "reorder-ten-percent"]);
        let entries = world.explain(profile, "reorder-ladder").await;
        let refused = entries.iter().find(|it| it.step == "reorder-free-shipping").unwrap();
        assert_eq!(
            (refused.delivery.as_str(), refused.delivery_reason.as_str()),
            ("refused", "offer free-shipping: BUDGET_SPENT")
        );
        assert_eq!(
            micros(perennial_rpc::time::required(entries[0].decide_time.as_ref(), "t").unwrap()),
            overdue
        );
        world.end().await;
    }
}

#[tokio::test]
async fn a_birthday_is_kept_for_whoever_was_known_before_the_campaign_went_live() {
    for mut world in worlds().await {
        let profile = world.profile(&key("birthday", 0.05, false)).await;
        world.consents(profile).await;
        let set = [("birthday".to_owned(), "1990-03-10".into())].into();
        world.told(profile, "Identify", FactKind::Traits { set, unset: vec![] }).await;
        world.live(playbook("birthday/campaign.yaml")).await;
        world.advance(10 * DAY).await;
        assert_eq!(world.templates(), ["birthday-treat"]);
        let at = world.taken.look().messages[0].not_before_time.as_ref().unwrap().seconds;
        assert_eq!(at, "2026-03-10T08:00:00Z".parse::<perennial_types::Timestamp>().unwrap().as_second());
        world.end().await;
    }
}

#[tokio::test]
async fn every_other_playbook_sends_its_first_message() {
    let plays: [(&str, &str, &str, i64); 9] = [
        ("free-trial", "Trial Started", "trial-first-steps", HOUR),
        ("browse", "Product Viewed", "browse-product", 6 * HOUR),
        ("checkout", "Checkout Started", "checkout-reassurance", 3 * HOUR),
        ("post-purchase", "Order Completed", "after-purchase-use", 6 * DAY),
        ("review-request", "Order Delivered", "review-request", 11 * DAY),
        ("csat", "Support Ticket Closed", "csat-question", 3 * HOUR),
        ("service-recovery", "Complaint Received", "recovery-apology", HOUR),
        ("dunning", "Payment Failed", "dunning-notice", HOUR),
        ("first-order", "Consent Given", "first-order-credit", 16 * DAY),
    ];
    for mut world in worlds().await {
        for (name, event, template, wait) in plays {
            world.taken.look().messages.clear();
            world.live(playbook(&format!("{name}/campaign.yaml"))).await;
            let profile = world.profile(&key(name, 0.1, false)).await;
            world.consents(profile).await;
            let ids = ["ticket_id", "subscription_id"].map(|it| (it.to_owned(), "7".into()));
            let kind = match event {
                "Product Viewed" => FactKind::ProductViewed { product_id: "p1".to_owned() },
                "Checkout Started" => FactKind::CheckoutStarted { checkout_id: None },
                _ => FactKind::Tracked,
            };
            match event {
                "Consent Given" => {}
                "Order Completed" => world.orders(profile, "1", 5_000).await,
                _ => world.told_with(profile, event, kind, Properties::from(ids)).await,
            }
            world.advance(wait).await;
            let sent = world.explain(profile, name).await;
            let sent: Vec<_> =
                sent.iter().filter(|it| it.outcome == "sent").map(|it| it.step.clone()).collect();
            assert_eq!(sent.first().map(String::as_str), Some(template), "{name}");
        }
        world.live(playbook("referral/campaign.yaml")).await;
        let profile = world.profile(&key("referral", 0.1, false)).await;
        world.consents(profile).await;
        for order in ["1", "2", "3", "4"] {
            world.orders(profile, order, 5_000).await;
        }
        world.advance(8 * DAY).await;
        let mut found = outcomes(&world.explain(profile, "referral").await);
        // The playbooks that ran before share the slots of the week.
        found.retain(|it| !it.ends_with("waiting"));
        assert_eq!(found, ["not_entered", "entered", "referral-invitation sent", "finished"]);
        for (name, stage, template) in
            [("win-back", "lapsed", "win-back-news"), ("community", "loyal", "community-invitation")]
        {
            world.live(playbook(&format!("{name}/campaign.yaml"))).await;
            let profile = world.profile(&key(name, 0.1, false)).await;
            world.consents(profile).await;
            world.staged(profile, "at_risk", stage).await;
            world.advance(4 * DAY).await;
            assert!(world.templates().contains(&template.to_owned()), "{name}");
        }
        world.end().await;
    }
}
