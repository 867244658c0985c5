//! Feeds into products, and which of their changes count.

use jiff::SignedDuration;
use perennial_types::{Currency, Money, Timestamp};
use proptest::prelude::*;

use super::batch::Batch;
use super::costs::{Costed, Costs, Named, cost, sorted};
use super::guard::{Asked, Guard, Kind, ProductChange, price_drop};
use super::product::{Availability, Change, Price, Product, Stock, Told};

const GUARD: Guard = Guard {
    hold: SignedDuration::from_mins(15),
    window: SignedDuration::from_hours(30 * 24),
    drop_per_mille: 10,
    new_after: SignedDuration::from_hours(24),
};

fn eur(minor: i64) -> Money {
    Money { minor, currency: Currency::EUR }
}

fn at(minutes: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH.checked_add(SignedDuration::from_mins(minutes)).unwrap()
}

fn priced(minor: i64) -> Told {
    Told { id: "mug".to_owned(), price: Some(Some(Price { now: eur(minor), list: None })), ..Told::default() }
}

fn stocked(in_stock: bool) -> Told {
    let availability = if in_stock { Availability::InStock } else { Availability::OutOfStock };
    Told { id: "mug".to_owned(), stock: Some(Stock { availability, units: None }), ..Told::default() }
}

/// A shop of one product: what it was told, minute by minute.
#[derive(Default)]
struct Shop {
    product: Option<Product>,
    asked: Vec<Asked>,
    changes: Vec<ProductChange>,
}

impl Shop {
    fn tell(&mut self, minute: i64, told: Option<&Told>) {
        let mut batch = Batch::new(self.product.clone().into_iter().collect(), at(minute), GUARD);
        if let Some(told) = told {
            batch.hear(told);
        }
        let written = batch.finish(Some(at(0)));
        for (product, since) in &written.became_cheaper {
            self.changes.extend(price_drop(product, *since, &self.asked, &GUARD));
        }
        self.changes.extend(written.changes);
        for place in &written.priced {
            self.asked.push((at(minute), written.products[*place].price.map(|it| it.now)));
        }
        self.product = written.products.into_iter().next().or(self.product.take());
    }
}

/// What a shop heard counts as, with the minute of each.
fn counted(told: &[(i64, Told)]) -> Vec<(Kind, i64)> {
    let mut shop = Shop::default();
    for (minute, told) in told {
        shop.tell(*minute, Some(told));
    }
    shop.tell(1_000_000, None);
    let minute = |it: Timestamp| it.as_second() / 60;
    shop.changes.iter().map(|it| (it.kind, minute(it.at))).collect()
}

#[test]
fn what_is_told_again_changes_nothing_and_what_is_not_told_stays() {
    let full = Told {
        id: "mug".to_owned(),
        title: Some("Mug".to_owned()),
        cost: Some(Some(eur(400))),
        ..priced(1_290)
    };
    let mut batch = Batch::new(vec![], at(0), GUARD);
    assert_eq!(batch.hear(&full), Change::Created);
    assert_eq!(batch.hear(&full), Change::Unchanged);
    assert_eq!(batch.hear(&stocked(true)), Change::Updated);
    let written = batch.finish(None);
    assert_eq!((written.new, written.priced.len(), written.content), (1, 1, true));
    assert!(written.changes.is_empty(), "a first load is no news");
    let stored = written.products;
    assert_eq!((stored[0].texts.title.as_str(), stored[0].cost), ("Mug", Some(eur(400))));

    let mut batch = Batch::new(stored.clone(), at(1), GUARD);
    assert_eq!(batch.hear(&full), Change::Unchanged);
    assert_eq!(batch.hear(&stocked(true)), Change::Unchanged);
    assert!(batch.finish(Some(at(0))).products.is_empty());
    let mut batch = Batch::new(stored, at(1), GUARD);
    let forgotten = Told { id: "mug".to_owned(), cost: Some(None), ..Told::default() };
    assert_eq!(batch.hear(&forgotten), Change::Updated);
    assert_eq!(batch.finish(Some(at(0))).products[0].cost, None);
}

#[test]
fn units_say_whether_it_is_there_unless_the_feed_does() {
    let told = |availability, units| Stock::told(availability, units).availability;
    assert_eq!(told(Availability::Unknown, Some(0)), Availability::OutOfStock);
    assert_eq!(told(Availability::Unknown, Some(3)), Availability::InStock);
    assert_eq!(told(Availability::Backorder, Some(0)), Availability::Backorder);
    assert_eq!(told(Availability::Unknown, None), Availability::Unknown);
}

#[test]
fn a_product_is_back_when_it_was_away_and_is_here_for_long_enough() {
    let day = 24 * 60;
    let back = |told: &[(i64, bool)]| {
        counted(&told.iter().map(|(minute, there)| (*minute, stocked(*there))).collect::<Vec<_>>())
    };
    assert_eq!(back(&[(0, true), (60, false), (120, true)]), [(Kind::BackInStock, 135)]);
    assert_eq!(back(&[(0, false), (day, true)]), [(Kind::BackInStock, day + 15)]);
    assert_eq!(back(&[(0, true), (60, false), (70, true)]), [], "away for ten minutes is not away");
    assert_eq!(back(&[(0, false), (60, true), (70, false)]), [], "here for ten minutes is not here");
    let flapping: Vec<(i64, bool)> = (0..200).map(|n| (n * 10, n % 2 == 0)).collect();
    assert_eq!(back(&flapping), []);
    assert_eq!(back(&[(0, true), (60, true)]), []);
}

#[test]
fn a_price_drop_is_below_everything_that_held_in_the_window() {
    let (day, month) = (24 * 60, 30 * 24 * 60);
    let drops = |told: &[(i64, i64)]| {
        let told: Vec<_> = told.iter().map(|(minute, minor)| (*minute, priced(*minor))).collect();
        counted(&told).into_iter().filter(|it| it.0 == Kind::PriceDrop).map(|it| it.1).collect::<Vec<_>>()
    };
    assert_eq!(drops(&[(0, 1_000), (day, 800)]), [day + 15]);
    assert_eq!(drops(&[(0, 1_000), (day, 800), (day + 5, 1_000)]), [] as [i64; 0], "it did not hold");
    assert_eq!(drops(&[(0, 1_000), (day, 995)]), [] as [i64; 0], "half a percent is none");
    assert_eq!(
        drops(&[(0, 1_000), (day, 800), (2 * day, 1_000), (3 * day, 800)]),
        [day + 15],
        "the second time it is no lower than it was"
    );
    assert_eq!(
        drops(&[(0, 1_000), (day, 800), (2 * day, 1_000), (month + 3 * day, 800)]),
        [day + 15, month + 3 * day + 15],
        "that was long ago"
    );
    assert_eq!(
        drops(&[(0, 1_000), (day, 1), (day + 5, 1_000), (2 * day, 900)]),
        [2 * day + 15],
        "a slip of five minutes is nothing to compare with"
    );
    assert_eq!(drops(&[(0, 1_000), (day, 1_200), (2 * day, 1_100)]), [] as [i64; 0], "it was 1,000 before");
}

#[test]
fn a_product_is_new_in_a_catalogue_that_was_there_a_day_before() {
    assert_eq!(counted(&[(23 * 60, priced(100))]), []);
    assert_eq!(counted(&[(24 * 60, priced(100))]), [(Kind::New, 24 * 60)]);
}

#[test]
fn a_price_in_another_currency_is_no_drop() {
    let mut dollars = priced(500);
    dollars.price = Some(Some(Price {
        now: Money { minor: 500, currency: Currency::parse("USD").unwrap() },
        list: None,
    }));
    assert_eq!(counted(&[(0, priced(1_000)), (60, dollars)]), []);
}

#[test]
fn a_cost_is_found_by_the_closest_name() {
    let product = |id: &str, sku: &str, group: &str, variant: &str, minor: i64| Costed {
        id: id.to_owned(),
        sku: sku.to_owned(),
        group: group.to_owned(),
        variant: variant.to_owned(),
        cost: eur(minor),
    };
    let products = vec![
        product("1", "MUG-R", "mug", "red", 400),
        product("2", "MUG-B", "mug", "blue", 500),
        product("3", "", "plate", "small", 300),
        product("4", "", "plate", "large", 300),
    ];
    let words = ["1", "2", "MUG-B", "mug", "plate", "none"];
    let costs: Costs = sorted(words, products).into_iter().map(|(word, it)| (word, it.into())).collect();
    let found = |sku: &str, id: &str, variant: &str| {
        let word = |it: &str| (!it.is_empty()).then(|| it.to_owned());
        cost(&Named { line: 0, sku: word(sku), id: word(id), variant: word(variant) }, &costs)
    };
    assert_eq!(found("", "1", ""), Some(eur(400)));
    assert_eq!(found("MUG-B", "mug", "red"), Some(eur(500)), "the SKU is closest");
    assert_eq!(found("", "mug", "red"), Some(eur(400)));
    assert_eq!(found("", "mug", ""), None, "its variants differ");
    assert_eq!(found("", "plate", ""), Some(eur(300)), "its variants do not");
    assert_eq!(found("", "MUG-B", ""), Some(eur(500)), "an id may be a SKU");
    assert_eq!(found("none", "none", "red"), None);
}

proptest! {
    #[test]
    fn however_a_feed_flaps_what_counts_held(minutes in prop::collection::vec((1_i64..60, any::<bool>()), 1..60)) {
        let mut now = 0;
        let mut told = vec![];
        for (gap, there) in &minutes {
            now += gap;
            told.push((now, *there));
        }
        let found = counted(&told.iter().map(|(minute, there)| (*minute, stocked(*there))).collect::<Vec<_>>());
        for (_, minute) in found.iter().filter(|it| it.0 == Kind::BackInStock) {
            // Nobody said anything else in the quarter of an hour before it counted.
            let flipped = told.iter().any(|(then, there)| !there && (minute - 15..*minute).contains(then));
            prop_assert!(!flipped, "{told:?} {found:?}");
        }
        let ups = told.windows(2).filter(|it| !it[0].1 && it[1].1).count();
        prop_assert!(found.len() <= ups);
    }
}
