//! The cart of a person, as the shop's single events tell it: what is in it now.

use perennial_types::CartLine;
use serde::{Deserialize, Serialize};

/// A cart instance and its lines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cart {
    /// The instance: the shop's id of it, or one of ours.
    #[serde(rename = "i", default)]
    pub id: String,
    /// What is in it.
    #[serde(rename = "l", default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<CartLine>,
    /// How many carts this person had that the shop gave no id.
    #[serde(rename = "n", default)]
    count: u32,
    /// Event time, in microseconds, of what last emptied it: what happened before it is no news.
    #[serde(rename = "e", default)]
    emptied: i64,
}

impl Cart {
    /// Whether an event of this time still concerns the cart there is now.
    pub fn concerns(&self, at: i64) -> bool {
        at >= self.emptied
    }

    /// Puts a line in, opening a cart if there is none or the shop names another one.
    pub fn add(&mut self, id: Option<&str>, line: CartLine, owner: &str) {
        self.open(id, owner);
        match self.lines.iter_mut().find(|it| it.product_id == line.product_id) {
            Some(there) => {
                there.quantity = there.quantity.saturating_add(line.quantity);
                there.name = line.name.or(there.name.take());
                if line.price != 0 {
                    there.price = line.price;
                }
            }
            None => self.lines.push(line),
        }
    }

    /// Takes units out, or the whole line.
    pub fn remove(&mut self, id: Option<&str>, product_id: &str, quantity: Option<i64>, owner: &str) {
        self.open(id, owner);
        if let Some(line) = self.lines.iter_mut().find(|it| it.product_id == product_id) {
            line.quantity = quantity.map_or(0, |it| line.quantity.saturating_sub(it));
        }
        self.lines.retain(|it| it.quantity > 0);
    }

    /// Replaces all lines by those that were shown.
    pub fn show(&mut self, id: Option<&str>, lines: Vec<CartLine>, owner: &str) {
        self.open(id, owner);
        self.lines = lines;
        self.lines.retain(|it| it.quantity > 0);
    }

    /// Empties it, as an order does; says whether there was anything in it. The next thing put in opens a new one.
    pub fn empty(&mut self, at: i64) -> bool {
        self.emptied = self.emptied.max(at);
        !std::mem::take(&mut self.lines).is_empty()
    }

    /// The id, closing the instance: the next thing put in opens a new one.
    pub fn close(&mut self) -> String {
        std::mem::take(&mut self.id)
    }

    /// Takes over what another profile of the same person had in its cart.
    pub fn merge(&mut self, other: Self) {
        self.emptied = self.emptied.max(other.emptied);
        self.count = self.count.max(other.count);
        if self.id.is_empty() {
            self.id = other.id;
        }
        for line in other.lines {
            if !self.lines.iter().any(|it| it.product_id == line.product_id) {
                self.lines.push(line);
            }
        }
    }

    fn open(&mut self, id: Option<&str>, owner: &str) {
        match id {
            Some(id) if id != self.id => {
                id.clone_into(&mut self.id);
                self.lines.clear();
            }
            None if self.id.is_empty() => {
                self.count += 1;
                self.id = format!("{}-{}", owner.get(..8).unwrap_or(owner), self.count);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(product: &str, quantity: i64) -> CartLine {
        CartLine { product_id: product.to_owned(), name: None, quantity, price: 100 }
    }

    fn held(cart: &Cart) -> Vec<(&str, i64)> {
        cart.lines.iter().map(|it| (it.product_id.as_str(), it.quantity)).collect()
    }

    #[test]
    fn units_are_added_up_and_taken_out() {
        let mut cart = Cart::default();
        cart.add(None, line("a", 1), "0123456789");
        cart.add(None, line("a", 2), "0123456789");
        cart.add(None, line("b", 1), "0123456789");
        assert_eq!((cart.id.as_str(), held(&cart)), ("01234567-1", vec![("a", 3), ("b", 1)]));
        cart.remove(None, "a", Some(1), "0123456789");
        cart.remove(None, "b", None, "0123456789");
        assert_eq!(held(&cart), [("a", 2)]);
    }

    #[test]
    fn after_an_order_the_next_cart_is_another_one() {
        let mut cart = Cart::default();
        cart.add(None, line("a", 1), "0123456789");
        assert!(cart.empty(10));
        assert_eq!(cart.close(), "01234567-1");
        assert!(!cart.concerns(9));
        cart.add(None, line("b", 1), "0123456789");
        assert_eq!((cart.id.as_str(), held(&cart)), ("01234567-2", vec![("b", 1)]));
        cart.add(Some("shop-7"), line("c", 1), "0123456789");
        assert_eq!((cart.id.as_str(), held(&cart)), ("shop-7", vec![("c", 1)]));
    }
}
