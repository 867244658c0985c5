use std::collections::BTreeMap;

use perennial_types::{Currency, ProfileId, Timestamp, from_micros};
use proptest::prelude::*;
use uuid::Uuid;

use super::coupon::{self, Allowance, Coupon, Issue, Refusal, State};
use super::ledger::{Account, Books};
use super::observe::{observe, take_back};
use super::offer::{Benefit, Offer};

const DAY: i64 = 86_400_000_000;

fn offer(extra: &str) -> Offer {
    let yaml = format!(
        "kind: Offer\nname: ten-percent\npercent: 10\ncost: 5.00 EUR\nvalid: 7d\ncode_prefix: ten\n{extra}"
    );
    Offer::from_yaml(&yaml, Currency::EUR).unwrap()
}

fn profile(n: u128) -> ProfileId {
    ProfileId(Uuid::from_u128(n))
}

fn books(offer: &Offer, profiles: u128) -> Books {
    let mut accounts = BTreeMap::new();
    for n in 0..profiles {
        let probe = Coupon { profile: profile(n), ..coupon_of(offer, n) };
        let all = coupon::issue_accounts(offer, &funded(n), at(0))
            .into_iter()
            .chain(coupon::use_accounts(offer, &probe));
        for (name, unit, floor) in all {
            accounts.insert(name, Account { unit, balance: 0, floor });
        }
    }
    Books::open(accounts)
}

fn coupon_of(offer: &Offer, n: u128) -> Coupon {
    let mut free = Books::open(
        coupon::issue_accounts(offer, &wish(n), at(0))
            .into_iter()
            .map(|(name, unit, _)| (name, Account { unit, balance: 0, floor: None }))
            .collect(),
    );
    coupon::issue(&mut free, offer, &wish(n), format!("TEN-{n}"), at(0)).unwrap()
}

fn wish(n: u128) -> Issue {
    Issue {
        id: Uuid::from_u128(n),
        offer: "ten-percent".to_owned(),
        profile: profile(n),
        campaign: "ladder".to_owned(),
        valid_from: None,
        valid_seconds: 0,
        allowance: None,
    }
}

/// The same out of a campaign's own budget of 12 EUR.
fn funded(n: u128) -> Issue {
    let allowance = Allowance { period: "2026-03".to_owned(), limit: 1_200, currency: Currency::EUR };
    Issue { allowance: Some(allowance), ..wish(n) }
}

fn at(micros: i64) -> Timestamp {
    from_micros(micros)
}

fn balance(books: &Books, name: &str) -> i64 {
    books.account(name).unwrap().balance
}

#[test]
fn an_offer_is_read_and_bad_ones_name_the_field() {
    let it = offer("budget: 2500 EUR per month\nlimit_per_customer: 1\n");
    assert_eq!((it.benefit, it.cost, it.monthly_budget), (Benefit::PerMille(100), 500, Some(250_000)));
    assert_eq!((it.valid_seconds, it.code_prefix.as_str()), (604_800, "TEN"));
    for (yaml, said) in [
        ("name: a\npercent: 10\namount: 5 EUR\nvalid: 7d\n", "exactly one of percent"),
        ("name: a\npercent: 120\nvalid: 7d\n", "percent: 120"),
        ("name: a\nfree_shipping: true\nvalid: soon\n", "valid: \"soon\""),
        ("name: a\npercent: 10\nvalid: 7d\nbudget: 100 EUR\n", "2500 EUR per month"),
        ("name: a\npercent: 10\nvalid: 7d\nbudget: 100 EUR per month\n", "needs cost"),
        ("name: a\npercent: 10\nvalid: 7d\ncost: 1 USD\nbudget: 100 EUR per month\n", "another currency"),
        ("name: a\npercnt: 10\nvalid: 7d\n", "percnt"),
        ("kind: Segment\nname: a\npercent: 10\nvalid: 7d\n", "kind: Offer"),
    ] {
        let refused = Offer::from_yaml(yaml, Currency::EUR).unwrap_err().to_string();
        assert!(refused.contains(said), "{yaml}: {refused}");
    }
}

#[test]
fn budget_and_customer_limit_hold_at_issue() {
    let offer = offer("budget: 12 EUR per month\nlimit_per_customer: 1\n");
    let mut books = books(&offer, 3);
    let issue = |books: &mut Books, n| coupon::issue(books, &offer, &wish(n), format!("C{n}"), at(0));
    assert!(issue(&mut books, 0).is_ok());
    assert_eq!(issue(&mut books, 0).unwrap_err(), Refusal::LimitPerCustomer);
    assert!(issue(&mut books, 1).is_ok());
    assert_eq!(issue(&mut books, 2).unwrap_err(), Refusal::BudgetSpent);
    assert_eq!(balance(&books, "promised/ten-percent"), 1_000);
}

#[test]
fn a_campaigns_own_budget_bears_its_coupons_and_gets_back_what_they_did_not_cost() {
    let offer = offer("");
    let mut books = books(&offer, 3);
    let issue = |books: &mut Books, n| coupon::issue(books, &offer, &funded(n), format!("C{n}"), at(0));
    let left = |books: &Books| 1_200 + balance(books, "allowance/ladder/2026-03");
    let mut first = issue(&mut books, 0).unwrap();
    let mut second = issue(&mut books, 1).unwrap();
    assert_eq!(left(&books), 200);
    assert_eq!(issue(&mut books, 2).unwrap_err(), Refusal::CampaignBudgetSpent);
    first.redeem(&mut books, None, "o1", 300, at(1)).unwrap();
    assert_eq!(left(&books), 400);
    assert!(second.lapse(&mut books, at(7 * DAY)));
    assert_eq!(left(&books), 900);
    let mut third = issue(&mut books, 2).unwrap();
    // What goes beyond the budget had happened anyway: it is an exception, and the budget is not overspent.
    let broken = observe(&mut books, &mut third, profile(2), "o3", 1_000, at(1)).unwrap();
    assert_eq!((broken.reason, broken.cost), (Refusal::BudgetSpent, 500));
    assert_eq!(left(&books), 400);
    assert!(third.release(&mut books, "o3", at(2)));
    assert_eq!((left(&books), balance(&books, "spent/ten-percent")), (400, 300));

    let free = Offer::from_yaml("name: ten-percent\npercent: 10\nvalid: 7d\n", Currency::EUR).unwrap();
    let refused = coupon::issue(&mut books, &free, &funded(9), "C9".to_owned(), at(0)).unwrap_err();
    assert_eq!(refused, Refusal::OfferWithoutCost);
}

#[test]
fn a_second_redemption_is_refused_and_a_retry_is_not() {
    let offer = offer("");
    let mut books = books(&offer, 1);
    let mut it = coupon::issue(&mut books, &offer, &wish(0), "C0".to_owned(), at(0)).unwrap();
    assert_eq!(it.redeem(&mut books, Some(profile(0)), "o1", 420, at(1)), Ok(()));
    let after = it.clone();
    assert_eq!(it.redeem(&mut books, Some(profile(0)), "o1", 420, at(2)), Ok(()));
    assert_eq!(it, after);
    assert_eq!(it.redeem(&mut books, Some(profile(0)), "o2", 420, at(2)), Err(Refusal::Redeemed));
    assert_eq!(balance(&books, "spent/ten-percent"), 420);
    assert_eq!(balance(&books, "promised/ten-percent"), 0);
}

#[test]
fn a_refund_gives_the_coupon_back_while_it_is_valid() {
    let offer = offer("limit: 1\n");
    let mut books = books(&offer, 2);
    let mut it = coupon::issue(&mut books, &offer, &wish(0), "C0".to_owned(), at(0)).unwrap();
    let mut other = coupon::issue(&mut books, &offer, &wish(1), "C1".to_owned(), at(0)).unwrap();
    it.redeem(&mut books, None, "o1", 700, at(1)).unwrap();
    assert_eq!(other.redeem(&mut books, None, "o2", 100, at(1)), Err(Refusal::LimitReached));
    assert!(!it.release(&mut books, "o9", at(2)));
    assert!(it.release(&mut books, "o1", at(2)));
    assert_eq!((it.state, balance(&books, "spent/ten-percent")), (State::Issued, 0));
    other.redeem(&mut books, None, "o2", 100, at(3)).unwrap();
    assert!(other.release(&mut books, "o2", at(8 * DAY)));
    assert_eq!(other.state, State::Expired);
    assert!(it.lapse(&mut books, at(7 * DAY)));
    assert_eq!(balance(&books, "budget/ten-percent/1970-01"), 0);
    assert_eq!(balance(&books, "uses/ten-percent"), 0);
}

#[test]
fn a_coupon_expires_at_the_exact_instant_and_a_reservation_before() {
    let offer = offer("");
    let mut books = books(&offer, 1);
    let mut it = coupon::issue(&mut books, &offer, &wish(0), "C0".to_owned(), at(0)).unwrap();
    it.reserve(&mut books, None, "o1", at(DAY), at(1)).unwrap();
    assert_eq!(it.reserve(&mut books, None, "o2", at(DAY), at(2)), Err(Refusal::Reserved));
    assert!(!it.lapse(&mut books, at(DAY - 1)));
    assert!(it.lapse(&mut books, at(DAY)));
    assert_eq!((it.state, it.due()), (State::Issued, Some(at(7 * DAY))));
    assert!(!it.lapse(&mut books, at(7 * DAY - 1)));
    assert_eq!(it.redeem(&mut books, None, "o2", 1, at(7 * DAY)), Err(Refusal::Expired));
    assert!(it.lapse(&mut books, at(7 * DAY)));
    assert_eq!(it.state, State::Expired);
}

#[test]
fn an_observed_order_counts_over_every_limit_as_an_exception_with_its_cost() {
    let offer = offer("limit: 1\nbudget: 10 EUR per month\n");
    let mut books = books(&offer, 2);
    let mut first = coupon::issue(&mut books, &offer, &wish(0), "C0".to_owned(), at(0)).unwrap();
    let mut second = coupon::issue(&mut books, &offer, &wish(1), "C1".to_owned(), at(0)).unwrap();
    assert_eq!(observe(&mut books, &mut first, profile(0), "o1", 500, at(1)), None);
    assert_eq!(observe(&mut books, &mut first, profile(0), "o1", 500, at(2)), None);
    let twice = observe(&mut books, &mut first, profile(0), "o2", 300, at(3)).unwrap();
    assert_eq!((twice.reason, twice.cost, twice.apart), (Refusal::Redeemed, 300, true));
    let over = observe(&mut books, &mut second, profile(1), "o3", 900, at(3)).unwrap();
    assert_eq!(over.reason, Refusal::LimitReached);
    assert_eq!(balance(&books, "spent/ten-percent"), 1_700);
    assert_eq!(balance(&books, "excess/ten-percent"), -700);
    assert_eq!(balance(&books, "uses/ten-percent"), -1);
    take_back(&mut books, &mut first, twice.cost, at(4));
    assert!(second.release(&mut books, "o3", at(4)));
    assert_eq!((balance(&books, "spent/ten-percent"), balance(&books, "excess/ten-percent")), (500, 0));
}

#[test]
fn an_order_placed_in_time_counts_even_if_heard_of_after_the_coupon_expired() {
    let offer = offer("");
    let mut books = books(&offer, 1);
    let mut it = coupon::issue(&mut books, &offer, &wish(0), "C0".to_owned(), at(0)).unwrap();
    assert!(it.lapse(&mut books, at(7 * DAY)));
    assert_eq!(observe(&mut books, &mut it, profile(0), "o1", 500, at(7 * DAY - 1)), None);
    assert_eq!((it.state, balance(&books, "budget/ten-percent/1970-01")), (State::Redeemed, -500));
    let late = observe(&mut books, &mut it.clone(), profile(0), "o2", 1, at(7 * DAY)).unwrap();
    assert_eq!(late.reason, Refusal::Redeemed);
}

proptest! {
    #[test]
    fn whatever_happens_books_balance_and_floors_hold(
        steps in prop::collection::vec((0_usize..7, 0_usize..4, 0_u8..3, 0_i64..1_500, 0_i64..DAY), 1..60),
    ) {
        let offer = offer("limit: 3\nbudget: 15 EUR per month\nlimit_per_customer: 1\n");
        let mut books = books(&offer, 4);
        let mut coupons: Vec<Option<Coupon>> = vec![None; 4];
        let mut now = 0;
        for (what, who, order, amount, pause) in steps {
            now += pause;
            let order = format!("o{order}");
            let n = who as u128;
            match (&mut coupons[who], what) {
                (slot @ None, _) => {
                    *slot = coupon::issue(&mut books, &offer, &funded(n), format!("C{n}"), at(0)).ok();
                }
                (Some(it), 0) => { let _ = it.reserve(&mut books, None, &order, at(now + DAY), at(now)); }
                (Some(it), 1) => { let _ = it.redeem(&mut books, None, &order, amount, at(now)); }
                (Some(it), 2) => { it.release(&mut books, &order, at(now)); }
                (Some(it), 3) => { it.lapse(&mut books, at(now)); }
                (Some(it), 4) => { it.withdraw(&mut books, true, at(now)); }
                (Some(it), _) => { observe(&mut books, it, profile(n), &order, amount, at(now)); }
            }
        }
        let promised: i64 = coupons.iter().flatten().filter(|it| it.state != State::Redeemed).map(|it| it.promised).sum();
        prop_assert_eq!(balance(&books, "promised/ten-percent"), promised);
        prop_assert!(balance(&books, "budget/ten-percent/1970-01") >= -1_500);
        prop_assert!(balance(&books, "allowance/ladder/2026-03") >= -1_200);
        prop_assert_eq!(balance(&books, "allowance/ladder/2026-03"), balance(&books, "budget/ten-percent/1970-01"));
        prop_assert!(balance(&books, "uses/ten-percent") >= -3);
        prop_assert_eq!(balance(&books, "uses/ten-percent"), -balance(&books, "used/ten-percent"));
        let (entries, changes) = books.close();
        let mut sums: BTreeMap<String, i64> = BTreeMap::new();
        let mut keys = std::collections::BTreeSet::new();
        for entry in entries {
            prop_assert!(keys.insert((entry.coupon.clone(), entry.sequence)), "{:?}", entry);
            for (name, amount) in entry.postings { *sums.entry(name).or_default() += amount; }
        }
        prop_assert_eq!(sums, changes);
    }
}
