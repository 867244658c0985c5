//! Products of one batch, changed one after the other: what came of each, and what has to be written.

use std::collections::BTreeMap;

use perennial_types::Timestamp;

use super::guard::{Flip, Guard, ProductChange, back_in_stock, new_product, settle};
use super::product::{Change, Product, Told};

/// Products in memory.
pub struct Batch {
    now: Timestamp,
    guard: Guard,
    products: BTreeMap<String, Kept>,
    became_cheaper: Vec<(Product, Timestamp)>,
    changes: Vec<ProductChange>,
}

struct Kept {
    /// As it is stored; none if it is new.
    stored: Option<Product>,
    product: Product,
}

/// What has to be written.
#[derive(Debug, Default)]
pub struct Written {
    /// Products that are new or changed, by id.
    pub products: Vec<Product>,
    /// How many of them are new.
    pub new: i64,
    /// Places of those among them whose price or cost is another.
    pub priced: Vec<usize>,
    /// Anything but what counts as held is another.
    pub content: bool,
    /// Products as they became cheaper, and when; whether that counts, their history says.
    pub became_cheaper: Vec<(Product, Timestamp)>,
    /// Changes that count, but for price drops.
    pub changes: Vec<ProductChange>,
}

impl Batch {
    /// A batch over products as they are stored. What is due of them takes its place first.
    pub fn new(stored: Vec<Product>, now: Timestamp, guard: Guard) -> Self {
        let mut batch =
            Self { now, guard, products: BTreeMap::new(), became_cheaper: Vec::new(), changes: Vec::new() };
        for stored in stored {
            let mut product = stored.clone();
            for flip in settle(&mut product, now) {
                match flip {
                    Flip::Cheaper(at) => batch.became_cheaper.push((product.clone(), at)),
                    Flip::Back(at) => batch.changes.push(back_in_stock(&product, at)),
                }
            }
            batch.products.insert(product.id.clone(), Kept { stored: Some(stored), product });
        }
        batch
    }

    /// Takes in what a feed says of one product.
    pub fn hear(&mut self, told: &Told) -> Change {
        let (now, hold) = (self.now, self.guard.hold);
        match self.products.get_mut(&told.id) {
            Some(kept) => {
                if kept.product.hear(told, now, hold) {
                    Change::Updated
                } else {
                    Change::Unchanged
                }
            }
            None => {
                let mut product = Product::new(&told.id, now);
                product.hear(told, now, hold);
                self.products.insert(told.id.clone(), Kept { stored: None, product });
                Change::Created
            }
        }
    }

    /// What has to be written. `catalogue` is since when there is a catalogue; none if these are its first products.
    pub fn finish(self, catalogue: Option<Timestamp>) -> Written {
        let mut written =
            Written { became_cheaper: self.became_cheaper, changes: self.changes, ..Written::default() };
        for Kept { stored, product } in self.products.into_values() {
            if stored.as_ref() == Some(&product) {
                continue;
            }
            let money = |it: &Product| (it.price, it.cost);
            // A product without price and cost begins its history with the first of them.
            if stored.as_ref().map_or((None, None), money) != money(&product) {
                written.priced.push(written.products.len());
            }
            match &stored {
                None => {
                    written.new += 1;
                    written.content = true;
                    let told = catalogue.and_then(|it| new_product(&product, it, &self.guard));
                    written.changes.extend(told);
                }
                Some(stored) => {
                    written.content |= stored.updated != product.updated || differs(stored, &product)
                }
            }
            written.products.push(product);
        }
        written
    }
}

/// Whether anything that was told differs.
fn differs(a: &Product, b: &Product) -> bool {
    (&a.texts, a.price, a.cost, a.stock) != (&b.texts, b.price, b.cost, b.stock)
}
