//! Which changes of a product count. Feeds flap: stock that is there at the full hour and gone at the half, prices that go
//! back and forth, a first load of everything. So
//!
//! - a price or a stock state counts only once it has **held** for a while; what goes back before was never there;
//! - a product is **back in stock** if it was away that long, and then is there that long;
//! - a **price drop** is one below everything it was sold for in the window before it, by at least a small share; prices
//!   that did not hold are nothing to compare with;
//! - a product is **new** if its catalogue was there long before it.

use jiff::SignedDuration;
use perennial_types::{Money, Timestamp};

use super::product::Product;

/// How long and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// How long a price or a stock state has to hold.
    pub hold: SignedDuration,
    /// How far back a lower price is compared.
    pub window: SignedDuration,
    /// By how much a price has to drop at least, in per mille.
    pub drop_per_mille: i64,
    /// How old a catalogue is when a product that is added to it is new.
    pub new_after: SignedDuration,
}

/// The price and the stock state that held last, and when others will have held long enough to take their place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The price.
    pub price: Option<Money>,
    /// When the price there is now will have held.
    pub price_due: Option<Timestamp>,
    /// Whether it was in stock; none while nobody said.
    pub in_stock: Option<bool>,
    /// When the stock state there is now will have held.
    pub stock_due: Option<Timestamp>,
}

/// A change that held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flip {
    /// The price is lower than the one that held before; whether that counts, its history says.
    Cheaper(Timestamp),
    /// It was away, and is there again.
    Back(Timestamp),
}

/// What a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A product was added.
    New,
    /// It costs less than ever in the window.
    PriceDrop,
    /// It is there again.
    BackInStock,
}

impl Kind {
    /// Its word, as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::PriceDrop => "price_drop",
            Self::BackInStock => "back_in_stock",
        }
    }

    /// Reads a stored word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::New, Self::PriceDrop, Self::BackInStock].into_iter().find(|it| it.as_str() == word)
    }
}

/// A change that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductChange {
    /// What it is.
    pub kind: Kind,
    /// The product.
    pub product: String,
    /// When it counted.
    pub at: Timestamp,
    /// The price by then.
    pub price: Option<Money>,
    /// For a price drop: the lowest price before, minor units of the same currency.
    pub old_price: Option<i64>,
}

impl Held {
    /// When the next of them is due.
    pub fn due(&self) -> Option<Timestamp> {
        [self.price_due, self.stock_due].into_iter().flatten().min()
    }

    /// A price and a stock state were told, each before and now; what differs will have held at `due`.
    pub fn hear(
        &mut self,
        (old, price): (Option<Money>, Option<Money>),
        (was, is): (Option<bool>, Option<bool>),
        due: Timestamp,
    ) {
        wait(&mut self.price, &mut self.price_due, old, price, due);
        wait(&mut self.in_stock, &mut self.stock_due, was, is, due);
    }
}

/// What is told for the first time has nothing to be held against; what goes back to what held never left.
fn wait<T: Copy + PartialEq>(
    held: &mut Option<T>,
    held_due: &mut Option<Timestamp>,
    was: Option<T>,
    is: Option<T>,
    due: Timestamp,
) {
    if held.is_none() || *held == is {
        *held = is;
        *held_due = None;
    } else if was != is {
        *held_due = Some(due);
    }
}

/// Lets what is due by `now` take its place; gives what changed by it, in the order in which it did.
pub fn settle(product: &mut Product, now: Timestamp) -> Vec<Flip> {
    let mut flips = Vec::new();
    let held = &mut product.held;
    if let Some(due) = held.price_due.take_if(|it| *it <= now) {
        let price = product.price.map(|it| it.now);
        if let (Some(old), Some(price)) = (held.price, price)
            && old.currency == price.currency
            && price.minor < old.minor
        {
            flips.push(Flip::Cheaper(due));
        }
        held.price = price;
    }
    if let Some(due) = held.stock_due.take_if(|it| *it <= now) {
        let in_stock = product.stock.availability.in_stock();
        if (held.in_stock, in_stock) == (Some(false), Some(true)) {
            flips.push(Flip::Back(due));
        }
        held.in_stock = in_stock;
    }
    flips.sort_by_key(|it| match it {
        Flip::Cheaper(at) | Flip::Back(at) => *at,
    });
    flips
}

/// A price and since when it was asked.
pub type Asked = (Timestamp, Option<Money>);

/// The change of a product that became cheaper at `at`, if it counts: below every price that held within the window.
/// `asked` are its prices from the oldest on, up to the one there is now.
pub fn price_drop(product: &Product, at: Timestamp, asked: &[Asked], guard: &Guard) -> Option<ProductChange> {
    let price = product.price?.now;
    let window = at.checked_sub(guard.window).unwrap_or(Timestamp::MIN);
    // A change of something else, such as the cost, is no other price.
    let mut prices = asked.to_vec();
    prices.dedup_by_key(|it| it.1);
    let (began, _) = prices.pop_if(|(_, asked)| *asked == Some(price))?;
    let ends = prices.iter().skip(1).map(|it| it.0).chain([began]);
    let lowest = prices
        .iter()
        .zip(ends)
        .filter(|((since, _), end)| *end > window && end.duration_since(*since) >= guard.hold)
        .filter_map(|((_, asked), _)| asked.filter(|it| it.currency == price.currency))
        .map(|it| it.minor)
        .min()?;
    let counts = i128::from(price.minor) * 1_000
        <= i128::from(lowest) * i128::from(1_000 - guard.drop_per_mille)
        && price.minor < lowest;
    counts.then(|| ProductChange {
        kind: Kind::PriceDrop,
        product: product.id.clone(),
        at,
        price: Some(price),
        old_price: Some(lowest),
    })
}

/// The change of a product that is there again.
pub fn back_in_stock(product: &Product, at: Timestamp) -> ProductChange {
    let price = product.price.map(|it| it.now);
    ProductChange { kind: Kind::BackInStock, product: product.id.clone(), at, price, old_price: None }
}

/// The change of a product that was added, if its catalogue was there long before it.
pub fn new_product(product: &Product, catalogue: Timestamp, guard: &Guard) -> Option<ProductChange> {
    let price = product.price.map(|it| it.now);
    (product.created.duration_since(catalogue) >= guard.new_after).then(|| ProductChange {
        kind: Kind::New,
        product: product.id.clone(),
        at: product.created,
        price,
        old_price: None,
    })
}
