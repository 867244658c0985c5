//! What Linden & Co sells: linen for the house, at prices that never change.

use super::chance::Chance;
use super::happening::Line;

/// A product, money in cents.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// Its id.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its category.
    pub category: &'static str,
    /// Price of one.
    pub price: i64,
    /// What one costs the shop.
    pub cost: i64,
}

const fn product(
    id: &'static str,
    name: &'static str,
    category: &'static str,
    price: i64,
    cost: i64,
) -> Product {
    Product { id, name, category, price, cost }
}

/// The catalogue, from the cheapest to the dearest.
pub const CATALOGUE: [Product; 24] = [
    product("soap-dish", "Soap dish, olive wood", "bath", 790, 330),
    product("tea-towel", "Tea towel, striped", "kitchen", 990, 460),
    product("candle", "Beeswax candle", "home", 1190, 560),
    product("face-cloths", "Face cloths, set of three", "bath", 1290, 610),
    product("napkins", "Napkins, set of four", "kitchen", 1690, 900),
    product("oven-glove", "Oven glove", "kitchen", 1890, 940),
    product("pouch", "Travel pouch", "home", 2190, 1080),
    product("apron", "Apron, cross-back", "kitchen", 2690, 1410),
    product("hand-towel", "Hand towel, waffle", "bath", 2890, 1590),
    product("pillowcase", "Pillowcase, washed linen", "bedroom", 3290, 1780),
    product("cushion", "Cushion cover, heavy linen", "living", 3490, 1920),
    product("runner", "Table runner", "kitchen", 3990, 2210),
    product("bath-towel", "Bath towel, waffle", "bath", 4490, 2510),
    product("bag", "Market bag, waxed", "home", 4990, 2640),
    product("tablecloth", "Tablecloth, 140 × 220", "kitchen", 6490, 3640),
    product("robe", "Bath robe", "bath", 7990, 4560),
    product("throw", "Throw, wool and linen", "living", 8490, 4750),
    product("fitted-sheet", "Fitted sheet, washed linen", "bedroom", 8990, 5120),
    product("curtain", "Curtain, one panel", "living", 9490, 5310),
    product("sheet", "Flat sheet, washed linen", "bedroom", 9990, 5690),
    product("pyjamas", "Pyjamas", "bedroom", 10900, 5780),
    product("duvet-cover", "Duvet cover, washed linen", "bedroom", 14900, 8490),
    product("bed-set", "Bed set, washed linen", "bedroom", 21900, 12480),
    product("armchair-cover", "Armchair cover, made to measure", "living", 28900, 15900),
];

/// Shipping below [`FREE_FROM`].
pub const SHIPPING: i64 = 490;
/// Orders of this much are shipped free.
pub const FREE_FROM: i64 = 7_900;

/// What the goods of some lines cost the customer, before anything is taken off.
#[must_use]
pub fn value(lines: &[Line]) -> i64 {
    lines.iter().map(|it| CATALOGUE[usize::from(it.product)].price * it.quantity).sum()
}

/// What they cost the shop.
#[must_use]
pub fn cost(lines: &[Line]) -> i64 {
    lines.iter().map(|it| CATALOGUE[usize::from(it.product)].cost * it.quantity).sum()
}

/// Picks one to four products worth about `worth` cents together.
pub fn basket(chance: &mut Chance, worth: f64) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    #[expect(clippy::cast_possible_truncation, reason = "an order is worth less than a billion")]
    let mut left = worth.clamp(0.0, 1e9) as i64;
    for turn in 0..4 {
        let affordable = CATALOGUE.iter().take_while(|it| it.price <= left).count();
        if affordable == 0 && turn > 0 {
            break;
        }
        // Towards the dearest of what they can spend, so that an order has few lines.
        let from = affordable / 2;
        let product = from + chance.below((affordable - from).max(1));
        left -= CATALOGUE[product].price;
        let product = u16::try_from(product).unwrap_or_default();
        match lines.iter_mut().find(|it| it.product == product) {
            Some(line) => line.quantity += 1,
            None => lines.push(Line { product, quantity: 1 }),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_in_order_and_earns_something() {
        assert!(CATALOGUE.is_sorted_by_key(|it| it.price));
        assert!(CATALOGUE.iter().all(|it| it.cost * 10 > it.price * 3 && it.cost * 10 < it.price * 7));
    }

    #[test]
    fn a_basket_is_worth_about_what_was_asked_for() {
        let mut chance = Chance::new(7, 7);
        for worth in [500.0, 3_000.0, 6_000.0, 25_000.0, 90_000.0] {
            let n = 2_000;
            let mean = (0..n).map(|_| value(&basket(&mut chance, worth)) as f64).sum::<f64>() / f64::from(n);
            assert!(mean <= worth.max(790.0), "{worth}: {mean}");
            assert!(mean > worth * 0.5, "{worth}: {mean}");
        }
    }
}
