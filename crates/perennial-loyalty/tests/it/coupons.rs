use futures::future::join_all;
use perennial_api::loyalty::v1 as wire;
use perennial_store::{Store, execute};
use perennial_types::ProfileId;

use crate::harness::{DAY, World, order, worlds};

fn parent() -> String {
    "workspaces/main".to_owned()
}

async fn redeem(world: &mut World, coupons: Vec<wire::CouponOrder>) -> Vec<wire::CouponResult> {
    let request = wire::RedeemCouponsRequest { parent: parent(), coupons };
    world.client.redeem_coupons(request).await.unwrap().into_inner().results
}

#[tokio::test]
async fn a_retry_gets_the_same_coupon_and_a_second_order_is_refused() {
    for mut world in worlds().await {
        world.offer("limit_per_customer: 1\n").await;
        let ana = ProfileId::new(world.now());
        let wish = world.wish(ana);
        let first = world.issue(vec![wish.clone()]).await.remove(0);
        assert!(first.code.starts_with("TEN-"), "{first:?}");
        assert_eq!(world.issue(vec![wish]).await.remove(0), first);
        let again = world.wish(ana);
        assert_eq!(world.issue(vec![again]).await[0].reason, "LIMIT_PER_CUSTOMER");

        let code = first.code;
        assert!(redeem(&mut world, vec![order(&code, "o1", 420)]).await[0].done);
        assert!(redeem(&mut world, vec![order(&code.to_lowercase(), "o1", 420)]).await[0].done);
        let second = redeem(&mut world, vec![order(&code, "o2", 420), order("NONE", "o2", 1)]).await;
        assert_eq!((second[0].reason.as_str(), second[0].state.as_str()), ("COUPON_REDEEMED", "redeemed"));
        assert_eq!(second[1].reason, "COUPON_NOT_FOUND");
        let totals = world.totals().await;
        assert_eq!((totals.redeemed_count, totals.spent_minor, totals.promised_minor), (1, 420, 0));
        world.audited().await;
        world.end().await;
    }
}

#[tokio::test]
async fn an_audit_names_what_does_not_agree() {
    for mut world in worlds().await {
        world.offer("limit_per_customer: 1\n").await;
        let wish = world.wish(ProfileId::new(world.now()));
        let code = world.issue(vec![wish]).await.remove(0).code;
        world.audited().await;

        let store = Store::open(&world.database.config, "loyalty", &[]).await.unwrap();
        let tamper = async |sql: &str| {
            let tx = store.write().await.unwrap();
            assert_eq!(execute(&tx, "tampering", sql, vec![]).await.unwrap(), 1, "{sql}");
            Store::commit(tx).await.unwrap();
        };
        tamper("UPDATE ledger_account SET balance = balance + 7 WHERE name = 'promised/ten'").await;
        let said = world.audit().await.problems;
        assert_eq!(said[0], "account promised/ten: balance 507, but its postings add up to 500");
        assert_eq!(said[1], "offer ten: promised 507, but its coupons say 500");
        tamper("UPDATE ledger_account SET balance = balance - 7 WHERE name = 'promised/ten'").await;
        world.audited().await;
        tamper("DELETE FROM ledger_posting WHERE account = 'promised/ten'").await;
        let said = world.audit().await.problems;
        assert_eq!(said[0], "account promised/ten: balance 500, but its postings add up to 0");
        assert_eq!(said[1], format!("entry 0 of coupon {code}: its EUR postings add up to -500"));
        world.end().await;
    }
}

#[tokio::test]
async fn two_hundred_at_once_end_exactly_at_the_limit() {
    for mut world in worlds().await {
        world.offer("limit: 37\nbudget: 500 EUR per month\n").await;
        let wishes: Vec<_> = (0..200).map(|_| world.wish(ProfileId::new(world.now()))).collect();
        let issued = join_all(wishes.into_iter().map(|wish| {
            let mut client = world.client.clone();
            async move {
                let request = wire::IssueCouponsRequest { parent: parent(), coupons: vec![wish] };
                client.issue_coupons(request).await.unwrap().into_inner().receipts.remove(0)
            }
        }))
        .await;
        let codes: Vec<_> =
            issued.iter().filter(|it| it.reason.is_empty()).map(|it| it.code.clone()).collect();
        assert_eq!(codes.len(), 100, "500 EUR pay for a hundred at 5 EUR");
        assert!(issued.iter().all(|it| it.reason.is_empty() || it.reason == "BUDGET_SPENT"));

        let tries = (0..200).map(|n| (codes[n % 100].clone(), format!("order-{n}")));
        let redeemed = join_all(tries.map(|(code, id)| {
            let mut client = world.client.clone();
            async move {
                let request =
                    wire::RedeemCouponsRequest { parent: parent(), coupons: vec![order(&code, &id, 300)] };
                client.redeem_coupons(request).await.unwrap().into_inner().results.remove(0)
            }
        }))
        .await;
        assert_eq!(redeemed.iter().filter(|it| it.done).count(), 37);
        let totals = world.totals().await;
        assert_eq!((totals.redeemed_count, totals.spent_minor, totals.open_count), (37, 37 * 300, 63));
        world.audited().await;
        world.end().await;
    }
}

#[tokio::test]
async fn a_coupon_expires_at_its_instant_and_gives_its_budget_back() {
    for mut world in worlds().await {
        world.offer("budget: 5 EUR per month\n").await;
        let (ana, bob) = (ProfileId::new(world.now()), ProfileId::new(world.now()));
        let wishes = vec![world.wish(ana), world.wish(bob)];
        let issued = world.issue(wishes).await;
        assert_eq!(issued[1].reason, "BUDGET_SPENT");
        world.advance(7 * DAY - 1).await;
        assert_eq!(world.coupon(&issued[0].code).await.state, "issued");
        world.advance(1).await;
        assert_eq!(world.coupon(&issued[0].code).await.state, "expired");
        let late = redeem(&mut world, vec![order(&issued[0].code, "o1", 100)]).await;
        assert_eq!(late[0].reason, "COUPON_EXPIRED");
        let wish = world.wish(bob);
        assert_eq!(world.issue(vec![wish]).await[0].reason, "");
        world.audited().await;
        world.end().await;
    }
}

#[tokio::test]
async fn a_reservation_keeps_the_coupon_for_its_order_until_it_ends() {
    for mut world in worlds().await {
        world.offer("").await;
        let wish = world.wish(ProfileId::new(world.now()));
        let code = world.issue(vec![wish]).await.remove(0).code;
        let request = wire::ReserveCouponsRequest { parent: parent(), coupons: vec![order(&code, "o1", 0)] };
        assert!(world.client.reserve_coupons(request.clone()).await.unwrap().into_inner().results[0].done);
        assert_eq!(redeem(&mut world, vec![order(&code, "o2", 1)]).await[0].reason, "COUPON_RESERVED");
        world.advance(15 * 60 * 1_000_000).await;
        assert_eq!(world.coupon(&code).await.state, "issued");
        assert!(redeem(&mut world, vec![order(&code, "o2", 100)]).await[0].done);
        let release = wire::ReleaseCouponsRequest { parent: parent(), coupons: vec![order(&code, "o2", 0)] };
        assert_eq!(
            world.client.release_coupons(release.clone()).await.unwrap().into_inner().results[0].state,
            "issued"
        );
        let withdraw = wire::ReleaseCouponsRequest { parent: parent(), coupons: vec![order(&code, "", 0)] };
        let withdrawn = world.client.release_coupons(withdraw).await.unwrap().into_inner();
        assert_eq!(withdrawn.results[0].state, "released");
        assert_eq!(redeem(&mut world, vec![order(&code, "o3", 1)]).await[0].reason, "COUPON_WITHDRAWN");
        world.audited().await;
        world.end().await;
    }
}

#[tokio::test]
async fn a_wrong_offer_or_request_names_the_field() {
    for mut world in worlds().await {
        let offer = |definition: &str| wire::UpdateOfferRequest {
            offer: Some(wire::Offer {
                name: "workspaces/main/offers/ten".to_owned(),
                definition: definition.to_owned(),
                ..Default::default()
            }),
            allow_missing: true,
            validate_only: true,
        };
        let wrong =
            world.client.update_offer(offer("name: ten\npercent: 10\nvalid: soon\n")).await.unwrap_err();
        assert!(wrong.message().contains("valid: \"soon\""), "{}", wrong.message());
        let other =
            world.client.update_offer(offer("name: five\npercent: 5\nvalid: 7d\n")).await.unwrap_err();
        assert!(other.message().contains("use one name"), "{}", other.message());
        let good = world.client.update_offer(offer("name: ten\npercent: 10\nvalid: 7d\n")).await.unwrap();
        assert_eq!(good.into_inner().change(), wire::update_offer_response::Change::Created);
        let missing = wire::GetOfferRequest { name: "workspaces/main/offers/ten".to_owned() };
        assert_eq!(world.client.get_offer(missing).await.unwrap_err().code(), tonic::Code::NotFound);
        let request = wire::IssueCouponsRequest {
            parent: parent(),
            coupons: vec![wire::CouponRequest { issue_id: "x".to_owned(), ..Default::default() }],
        };
        let refused = world.client.issue_coupons(request).await.unwrap_err();
        assert!(refused.message().contains("coupons[0].issue_id"), "{}", refused.message());
        assert!(refused.message().contains("coupons[0].profile"), "{}", refused.message());
        world.end().await;
    }
}

#[tokio::test]
async fn a_campaigns_budget_is_never_overspent_by_two_hundred_at_once() {
    for mut world in worlds().await {
        world.offer("").await;
        let budget = |period: &str| {
            let (period, currency) = (period.to_owned(), "EUR".to_owned());
            Some(wire::CampaignBudget { period, limit_minor: 10_000, currency })
        };
        let wishes: Vec<_> = (0..200)
            .map(|_| wire::CouponRequest {
                budget: budget("2026-03"),
                ..world.wish(ProfileId::new(world.now()))
            })
            .collect();
        let issued = join_all(wishes.iter().cloned().map(|wish| {
            let mut client = world.client.clone();
            async move {
                let request = wire::IssueCouponsRequest { parent: parent(), coupons: vec![wish] };
                client.issue_coupons(request).await.unwrap().into_inner().receipts.remove(0)
            }
        }))
        .await;
        let given = issued.iter().filter(|it| it.reason.is_empty()).count();
        assert_eq!(given, 20, "100 EUR pay for twenty at 5 EUR");
        assert!(issued.iter().all(|it| it.reason.is_empty() || it.reason == "CAMPAIGN_BUDGET_SPENT"));
        // A retry of what was given is no second charge; the next period has a budget of its own.
        let first = issued.iter().position(|it| it.reason.is_empty()).unwrap();
        assert_eq!(world.issue(vec![wishes[first].clone()]).await[0], issued[first]);
        let next =
            wire::CouponRequest { budget: budget("2026-04"), ..world.wish(ProfileId::new(world.now())) };
        assert_eq!(world.issue(vec![next]).await[0].reason, "");
        // What a coupon did not cost pays for others.
        assert!(redeem(&mut world, vec![order(&issued[first].code, "o1", 0)]).await[0].done);
        let again = |world: &World| wire::CouponRequest {
            budget: budget("2026-03"),
            ..world.wish(ProfileId::new(world.now()))
        };
        let wishes = vec![again(&world), again(&world)];
        let reasons: Vec<_> = world.issue(wishes).await.into_iter().map(|it| it.reason).collect();
        assert_eq!(reasons, ["", "CAMPAIGN_BUDGET_SPENT"]);
        let other = wire::CampaignBudget { currency: "USD".to_owned(), ..budget("2026-03").unwrap() };
        let wish = wire::CouponRequest { budget: Some(other), ..again(&world) };
        assert_eq!(world.issue(vec![wish]).await[0].reason, "BUDGET_CURRENCY");
        world.audited().await;
        world.end().await;
    }
}
