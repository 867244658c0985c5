use perennial_types::{OrderChange, ProfileId};

use crate::harness::{DAY, placed, refunded, worlds};
use perennial_api::loyalty::v1 as wire;

#[tokio::test]
async fn an_order_redeems_its_coupon_and_a_refund_gives_it_back() {
    for mut world in worlds().await {
        world.offer("").await;
        let ana = ProfileId::new(world.now());
        let wish = world.wish(ana);
        let code = world.issue(vec![wish]).await.remove(0).code;
        world.told(ana, placed("o1", &code.to_lowercase(), 450)).await;
        let coupon = world.coupon(&code).await;
        assert_eq!(
            (coupon.state.as_str(), coupon.order_id.as_str(), coupon.discount_minor),
            ("redeemed", "o1", 450)
        );
        world.told(ana, placed("o1", &code, 450)).await;
        world.told(ana, refunded("o1")).await;
        assert_eq!(world.coupon(&code).await.state, "issued");
        // The browser tells the order once more, after its refund.
        world.told(ana, placed("o1", &code, 450)).await;
        assert_eq!(world.coupon(&code).await.state, "issued");
        world.advance(7 * DAY).await;
        assert_eq!(world.coupon(&code).await.state, "expired");
        assert_eq!(world.totals().await.spent_minor, 0);
        world.audited().await;
        world.end().await;
    }
}

#[tokio::test]
async fn a_second_order_is_recorded_as_an_exception_with_its_cost_and_undone_by_its_cancellation() {
    for mut world in worlds().await {
        world.offer("").await;
        let ana = ProfileId::new(world.now());
        let wish = world.wish(ana);
        let code = world.issue(vec![wish]).await.remove(0).code;
        world.told(ana, placed("o1", &code, 450)).await;
        world.told(ana, placed("o2", &code, 300)).await;
        world.told(ana, placed("o2", &code, 300)).await;
        let list = wire::ListExceptionsRequest { parent: "workspaces/main".to_owned(), ..Default::default() };
        let found = world.client.list_exceptions(list.clone()).await.unwrap().into_inner().exceptions;
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].reason.as_str(), found[0].cost_minor, found[0].undone),
            ("COUPON_REDEEMED", 300, false)
        );
        let totals = world.totals().await;
        assert_eq!((totals.spent_minor, totals.excess_minor, totals.exception_count), (750, 300, 1));
        world.audited().await;
        world.told(ana, OrderChange::Cancelled("o2".to_owned())).await;
        assert!(world.client.list_exceptions(list).await.unwrap().into_inner().exceptions[0].undone);
        let totals = world.totals().await;
        assert_eq!((totals.spent_minor, totals.excess_minor), (450, 0));
        world.audited().await;
        world.end().await;
    }
}

#[tokio::test]
async fn a_coupon_follows_its_customer_through_a_merge() {
    for mut world in worlds().await {
        world.offer("").await;
        let (guest, ana, eve) =
            (ProfileId::new(world.now()), ProfileId::new(world.now()), ProfileId::new(world.now()));
        let wishes = vec![world.wish(guest), world.wish(guest)];
        let issued = world.issue(wishes).await;
        world.merge(guest, ana).await;
        world.told(ana, placed("o1", &issued[0].code, 450)).await;
        assert_eq!(world.totals().await.exception_count, 0);
        world.told(eve, placed("o2", &issued[1].code, 450)).await;
        let list = wire::ListExceptionsRequest { parent: "workspaces/main".to_owned(), ..Default::default() };
        let found = world.client.list_exceptions(list).await.unwrap().into_inner().exceptions;
        assert_eq!(found[0].reason, "COUPON_OF_OTHER_CUSTOMER");
        world.audited().await;
        world.end().await;
    }
}

#[tokio::test]
async fn the_books_balance_without_an_erased_customer_and_their_codes_are_worth_nothing() {
    for mut world in worlds().await {
        world.offer("limit_per_customer: 3\n").await;
        let (ana, eve) = (ProfileId::new(world.now()), ProfileId::new(world.now()));
        let wishes = vec![world.wish(ana), world.wish(ana), world.wish(eve)];
        let codes: Vec<String> = world.issue(wishes).await.into_iter().map(|it| it.code).collect();
        world.told(ana, placed("order-of-hers", &codes[0], 450)).await;
        // Orders that broke a rule: her own code again, Eve's, and one that never was.
        world.told(ana, placed("second-of-hers", &codes[0], 300)).await;
        world.told(ana, placed("third-of-hers", &codes[2], 200)).await;
        world.told(ana, placed("fourth-of-hers", "BELOVED", 100)).await;
        let before = world.totals().await;
        world.audited().await;

        world.erase(ana).await;
        assert_eq!(world.totals().await, before);
        world.audited().await;
        let receipts = world.office.receipts.lock().unwrap().clone();
        let told = |store: &str| receipts[0].stores.iter().find(|it| it.store == store).unwrap();
        assert_eq!(
            (told("coupon").unlinked_count, told("redemption_exception").unlinked_count > 2),
            (2, true)
        );
        let config = world.database.config.clone();
        let ana = ana.to_string();
        let values = [codes[0].as_str(), &codes[1], "order-of-hers", "second-of-hers", "third-of-hers"];
        let left = perennial_testing::leaks(&config, &["loyalty"], &values).await;
        assert!(left.is_empty(), "{left:?}");
        let left = perennial_testing::leaks(&config, &["loyalty"], &["fourth-of-hers", "BELOVED"]).await;
        assert!(left.is_empty(), "{left:?}");
        let other = world.coupon(&codes[2]).await;
        assert_eq!(
            (other.state.as_str(), other.order_id.as_str()),
            ("redeemed", ""),
            "Eve's coupon stays Eve's"
        );

        let wish = world.wish(ProfileId::parse(&ana).unwrap());
        assert_eq!(world.issue(vec![wish]).await[0].reason, "CUSTOMER_ERASED");
        world.advance(8 * DAY).await;
        assert_eq!(world.totals().await.promised_minor, 0, "what was promised to her expires as ever");
        world.audited().await;
        world.end().await;
    }
}
