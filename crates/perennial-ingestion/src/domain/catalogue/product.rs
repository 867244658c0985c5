//! A product: what is known of it, and how a feed changes that.

use perennial_types::{Money, Timestamp};

use super::guard::Held;

/// What one unit is sold for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// The price that is asked now.
    pub now: Money,
    /// The price when not on sale, minor units of the same currency.
    pub list: Option<i64>,
}

/// Whether a product can be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Availability {
    /// Nobody said.
    #[default]
    Unknown,
    /// Now.
    InStock,
    /// Not at all.
    OutOfStock,
    /// It can be ordered before it is first there.
    Preorder,
    /// It can be ordered while it is away.
    Backorder,
}

impl Availability {
    /// Its word, as it is stored; empty for unknown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::InStock => "in_stock",
            Self::OutOfStock => "out_of_stock",
            Self::Preorder => "preorder",
            Self::Backorder => "backorder",
        }
    }

    /// Reads a stored word; one that this version does not know is unknown.
    pub fn parse(word: &str) -> Self {
        [Self::InStock, Self::OutOfStock, Self::Preorder, Self::Backorder]
            .into_iter()
            .find(|it| it.as_str() == word)
            .unwrap_or_default()
    }

    /// Whether it lies in the shop; none if nobody said.
    pub fn in_stock(self) -> Option<bool> {
        (self != Self::Unknown).then_some(self == Self::InStock)
    }
}

/// What is there of a product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// Whether it can be had.
    pub availability: Availability,
    /// Units, if told.
    pub units: Option<i64>,
}

impl Stock {
    /// Stock as told: where only units are, they say whether it can be had.
    pub fn told(availability: Availability, units: Option<i64>) -> Self {
        let availability = match (availability, units) {
            (Availability::Unknown, Some(0)) => Availability::OutOfStock,
            (Availability::Unknown, Some(_)) => Availability::InStock,
            (told, _) => told,
        };
        Self { availability, units }
    }
}

/// Texts about a product; an empty one is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// Stock keeping unit.
    pub sku: String,
    /// The article of which it is a size or colour.
    pub group: String,
    /// Which of its group it is.
    pub variant: String,
    /// Its name.
    pub title: String,
    /// Its brand.
    pub brand: String,
    /// Its category, as a path.
    pub category: String,
    /// Its page.
    pub url: String,
    /// A picture.
    pub image_url: String,
}

/// One thing that can be bought.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    /// Its id in the shop.
    pub id: String,
    /// Texts about it.
    pub texts: Texts,
    /// What it is sold for.
    pub price: Option<Price>,
    /// What it costs the shop.
    pub cost: Option<Money>,
    /// What is there of it.
    pub stock: Stock,
    /// When it became known.
    pub created: Timestamp,
    /// When anything of it last changed.
    pub updated: Timestamp,
    /// What of it counts as held.
    pub held: Held,
}

/// What a feed says of a product; what it does not say stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Its id in the shop.
    pub id: String,
    /// Stock keeping unit; an empty text is forgotten, here and below.
    pub sku: Option<String>,
    /// The article of which it is a size or colour.
    pub group: Option<String>,
    /// Which of its group it is.
    pub variant: Option<String>,
    /// Its name.
    pub title: Option<String>,
    /// Its brand.
    pub brand: Option<String>,
    /// Its category, as a path.
    pub category: Option<String>,
    /// Its page.
    pub url: Option<String>,
    /// A picture.
    pub image_url: Option<String>,
    /// What it is sold for; told to be none, it is forgotten.
    pub price: Option<Option<Price>>,
    /// What it costs; likewise.
    pub cost: Option<Option<Money>>,
    /// What is there of it; likewise.
    pub stock: Option<Stock>,
}

/// What became of a product that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing of it changed.
    Unchanged,
    /// It was not known before.
    Created,
    /// Something of it changed.
    Updated,
}

impl Product {
    /// A product of which nothing is known but its id.
    pub fn new(id: &str, now: Timestamp) -> Self {
        Self {
            id: id.to_owned(),
            texts: Texts::default(),
            price: None,
            cost: None,
            stock: Stock::default(),
            created: now,
            updated: now,
            held: Held::default(),
        }
    }

    /// Takes in what a feed says; tells whether that changed anything.
    pub fn hear(&mut self, told: &Told, now: Timestamp, hold: jiff::SignedDuration) -> bool {
        let before = (self.texts.clone(), self.price, self.cost, self.stock);
        let texts = &mut self.texts;
        for (text, told) in [
            (&mut texts.sku, &told.sku),
            (&mut texts.group, &told.group),
            (&mut texts.variant, &told.variant),
            (&mut texts.title, &told.title),
            (&mut texts.brand, &told.brand),
            (&mut texts.category, &told.category),
            (&mut texts.url, &told.url),
            (&mut texts.image_url, &told.image_url),
        ] {
            if let Some(told) = told {
                text.clone_from(told);
            }
        }
        self.price = told.price.unwrap_or(self.price);
        self.cost = told.cost.unwrap_or(self.cost);
        self.stock = told.stock.unwrap_or(self.stock);
        let (texts, price, cost, stock) = before;
        self.held.hear(
            (price.map(|it| it.now), self.price.map(|it| it.now)),
            (stock.availability.in_stock(), self.stock.availability.in_stock()),
            now.checked_add(hold).unwrap_or(Timestamp::MAX),
        );
        let changed = (&texts, price, cost, stock) != (&self.texts, self.price, self.cost, self.stock);
        if changed {
            self.updated = now;
        }
        changed
    }
}
