//! What the products of an order cost, as the catalogue knows it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use perennial_types::Money;

/// How an order names a product whose cost it does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// The place of its line.
    pub line: usize,
    /// Its stock keeping unit, if told.
    pub sku: Option<String>,
    /// Its id, if told.
    pub id: Option<String>,
    /// Which of its group it is, if told.
    pub variant: Option<String>,
}

impl Named {
    /// The words by which the catalogue may know it.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        [&self.sku, &self.id].into_iter().flatten().map(String::as_str)
    }
}

/// A product of the catalogue, as far as its cost goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Costed {
    /// Its id.
    pub id: String,
    /// Its stock keeping unit.
    pub sku: String,
    /// Its group.
    pub group: String,
    /// Which of the group it is.
    pub variant: String,
    /// What it costs.
    pub cost: Money,
}

/// A cost that several products have, as long as they have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Common {
    #[default]
    None,
    One(Money),
    Several,
}

impl Common {
    fn add(&mut self, cost: Money) {
        *self = match *self {
            Self::None => Self::One(cost),
            Self::One(same) if same == cost => *self,
            _ => Self::Several,
        };
    }

    fn get(self) -> Option<Money> {
        match self {
            Self::One(cost) => Some(cost),
            _ => None,
        }
    }
}

/// What the catalogue knows by one word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    id: Option<Money>,
    sku: Common,
    group: Common,
    variants: BTreeMap<String, Common>,
}

/// What the catalogue knows by each word that was asked for.
pub type Costs = HashMap<String, Arc<Known>>;

/// Sorts products by the words that were asked for. A word that leads nowhere is known to lead nowhere.
pub fn sorted<'a>(words: impl IntoIterator<Item = &'a str>, products: Vec<Costed>) -> HashMap<String, Known> {
    let mut found: HashMap<String, Known> =
        words.into_iter().map(|it| (it.to_owned(), Known::default())).collect();
    for it in products {
        if let Some(known) = found.get_mut(&it.id) {
            known.id = Some(it.cost);
        }
        if let Some(known) = found.get_mut(&it.sku) {
            known.sku.add(it.cost);
        }
        if let Some(known) = found.get_mut(&it.group) {
            known.group.add(it.cost);
            known.variants.entry(it.variant).or_default().add(it.cost);
        }
    }
    found
}

/// The cost of a product as an order names it, from the closest name to the widest: its SKU; its group and variant; its
/// id; a SKU it is called by as id; its group, if all of that cost the same.
pub fn cost(named: &Named, costs: &Costs) -> Option<Money> {
    let own = |word: &Option<String>| {
        let known = costs.get(word.as_deref()?)?;
        known.id.or(known.sku.get())
    };
    let of_group = || {
        let known = costs.get(named.id.as_deref()?)?;
        let variant = named.variant.as_deref().and_then(|it| known.variants.get(it)).copied();
        variant.and_then(Common::get)
    };
    let all = || costs.get(named.id.as_deref()?)?.group.get();
    own(&named.sku).or_else(of_group).or_else(|| own(&named.id)).or_else(all)
}
