//! The shop as a whole.

use super::*;

fn shop(seed: u64, customers: u32, days: u32) -> Shop {
    Shop::new(Settings { seed, customers, days, start: "2025-03-01T00:00:00Z".parse().unwrap() })
}

/// A day after they come, everybody with consent is written to.
fn letters(shop: &Shop, campaign: &str) -> Vec<Letter> {
    let start = shop.settings.start;
    let letter = |it: &Customer| Letter {
        id: format!("{campaign}-{}", it.number),
        customer: it.number,
        campaign: campaign.to_owned(),
        step: "one".to_owned(),
        at: customer::plus(start, it.arrival.floor() + 2.0),
        coupon: None,
    };
    shop.customers.iter().filter(|it| it.consent).map(letter).collect()
}

fn run(shop: &mut Shop, letters: &[Letter]) -> Vec<Happening> {
    let mut all = Vec::new();
    let mut letters: Vec<_> = letters.to_vec();
    letters.sort_by_key(|it| it.at);
    let mut letters = letters.into_iter().peekable();
    for hour in 1..=(shop.settings.days * 24) {
        let now = customer::plus(shop.settings.start, f64::from(hour) / 24.0);
        all.extend(shop.until(now));
        while let Some(letter) = letters.next_if(|it| it.at <= now) {
            shop.receive(&letter);
        }
    }
    all
}

fn profit(happened: &[Happening], of: impl Fn(u32) -> bool) -> i64 {
    let mut orders: BTreeMap<&str, i64> = BTreeMap::new();
    for it in happened.iter().filter(|it| of(it.customer)) {
        match &it.what {
            What::Ordered(order) => {
                let earned = catalogue::value(&order.lines) - order.discount - catalogue::cost(&order.lines);
                orders.insert(&order.id, earned);
            }
            What::Refunded { order, amount: None } => {
                orders.insert(order, 0);
            }
            _ => {}
        }
    }
    orders.values().sum()
}

#[test]
fn the_same_seed_and_messages_give_the_same_events() {
    let one = |order: fn(&mut Vec<Letter>)| {
        let mut shop = shop(11, 300, 60);
        let mut letters = letters(&shop, "welcome");
        order(&mut letters);
        run(&mut shop, &letters)
    };
    let first = one(|_| {});
    assert_eq!(first, one(|_| {}));
    assert_eq!(first, one(|it| it.reverse()), "the order of messages seen in one slice is no matter");
    assert!(first.iter().any(|it| matches!(it.what, What::Clicked(_))));
}

#[test]
fn what_a_message_brings_is_added_to_what_would_have_happened_anyway() {
    let mut silent = shop(12, 500, 90);
    let silent = run(&mut silent, &[]);
    let mut loud = shop(12, 500, 90);
    let letters = letters(&loud, "welcome");
    let loud = run(&mut loud, &letters);
    let base: Vec<_> = loud.iter().filter(|it| it.key.starts_with('b')).cloned().collect();
    assert_eq!(silent, base);
    assert!(loud.len() > base.len());
}

#[test]
fn the_truth_is_what_happens_on_average() {
    let mut expected = 0.0;
    let mut found = 0.0;
    for seed in 0..12 {
        let mut silent = shop(seed, 3_000, 40);
        let silent = profit(&run(&mut silent, &[]), |_| true);
        let mut loud = shop(seed, 3_000, 40);
        let letters = letters(&loud, "at-risk-save");
        let happened = run(&mut loud, &letters);
        let end = customer::plus(loud.settings.start, 40.0);
        expected += loud.truth("at-risk-save", end, 0.0).0;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let difference = (profit(&happened, |_| true) - silent) as f64;
        found += difference;
    }
    assert!(expected > 0.0);
    assert!((found / expected - 1.0).abs() < 0.12, "expected {expected:.0}, found {found:.0}");
}

#[test]
fn a_campaign_nobody_received_earned_nothing() {
    let shop = shop(1, 10, 10);
    assert_eq!(shop.truth("welcome", Timestamp::MAX, 0.0), (0.0, 0));
}

#[test]
fn a_coupon_is_used_once() {
    let mut shop = shop(5, 2_000, 60);
    let mut letters = letters(&shop, "welcome");
    for (number, letter) in letters.iter_mut().enumerate() {
        letter.coupon = Some(Coupon {
            code: format!("TEN-{number}"),
            per_mille: 100,
            amount: 0,
            free_shipping: false,
            until: customer::plus(letter.at, 30.0),
        });
    }
    let happened = run(&mut shop, &letters);
    let mut codes: Vec<_> = happened
        .iter()
        .filter_map(|it| match &it.what {
            What::Ordered(order) => order.coupon.clone(),
            _ => None,
        })
        .collect();
    let count = codes.len();
    codes.sort();
    codes.dedup();
    assert!(count > 50, "{count}");
    assert_eq!(codes.len(), count);
}
