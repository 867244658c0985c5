//! The cart of a person, as the shop's single events tell it: what is in it now.
//!
//! Events arrive late and in any order, so the latest are kept and played again in the order in which they happened.

use perennial_types::CartLine;
use serde::{Deserialize, Serialize};

/// So many events about a cart are kept to be played again: what is older than all of them, and comes after them, is in
/// no cart.
const KEPT: usize = 24;

/// Something that changes a cart; of what happens at one instant what empties it comes last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Move {
    /// The shop's id of the cart, if it has one, and all that is in it.
    #[serde(rename = "s")]
    Shown(Option<String>, Vec<CartLine>),
    /// Likewise, and what was put in.
    #[serde(rename = "a")]
    Added(Option<String>, CartLine),
    /// Likewise, and what was taken out; without a quantity, all of it.
    #[serde(rename = "r")]
    Removed(Option<String>, String, Option<i64>),
    /// An order, by its id: its first report empties the cart, and what is put in then is in another one.
    #[serde(rename = "o")]
    Ordered(String),
}

/// A cart instance and its lines: as they stood once, and what came then.
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
    /// Event time, in microseconds, of the latest that is in all this.
    #[serde(rename = "b", default, skip_serializing_if = "is_nought")]
    since: i64,
    /// What came then, by event time.
    #[serde(rename = "m", default, skip_serializing_if = "Vec::is_empty")]
    moves: Vec<(i64, Move)>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form serde asks for")]
fn is_nought(it: &i64) -> bool {
    *it == 0
}

impl Cart {
    /// The cart as it is now; `orders` are those whose first report is long played.
    pub fn now(&self, orders: &[String], owner: &str) -> Self {
        let mut cart = self.clone();
        let mut orders = orders.to_vec();
        for (at, it) in std::mem::take(&mut cart.moves) {
            cart.play(at, &it, &mut orders, owner);
        }
        cart
    }

    /// Whether an event of this time still concerns the cart there is now.
    pub fn concerns(&self, at: i64) -> bool {
        at > self.emptied && at >= self.since
    }

    /// Takes in what happened at `at`; `orders` are those whose first report is long played.
    pub fn take(&mut self, at: i64, it: Move, orders: &mut Vec<String>, owner: &str) {
        if let Move::Ordered(id) = &it {
            // Browser and server report the same order: only its first report counts.
            let is_same = |one: &(i64, Move)| matches!(&one.1, Move::Ordered(known) if known == id);
            if orders.contains(id) || self.moves.iter().any(|one| is_same(one) && one.0 <= at) {
                return;
            }
            self.moves.retain(|one| !is_same(one));
        }
        if at >= self.since {
            self.put((at, it));
            self.tidy(orders, owner);
        }
    }

    /// Takes over what another profile of the same person had and did; `orders` are those of both that are long played.
    pub fn merge(&mut self, other: Self, orders: &mut Vec<String>, owner: &str) {
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
        for (at, it) in other.moves {
            match it {
                Move::Ordered(_) => self.take(at, it, orders, owner),
                it => self.put((at, it)),
            }
        }
        self.since = self.since.max(other.since);
        self.tidy(orders, owner);
    }

    fn put(&mut self, it: (i64, Move)) {
        let place = self.moves.partition_point(|one| *one <= it);
        self.moves.insert(place, it);
    }

    fn tidy(&mut self, orders: &mut Vec<String>, owner: &str) {
        while self.moves.len() > KEPT {
            let (at, it) = self.moves.remove(0);
            self.since = self.since.max(at);
            self.play(at, &it, orders, owner);
        }
    }

    fn play(&mut self, at: i64, it: &Move, orders: &mut Vec<String>, owner: &str) {
        match it {
            Move::Ordered(id) if orders.contains(id) => {}
            Move::Ordered(id) => {
                orders.push(id.clone());
                if at > self.emptied {
                    self.empty(at);
                }
            }
            _ if at <= self.emptied => {}
            Move::Shown(id, lines) => self.show(id.as_deref(), lines.clone(), owner),
            Move::Added(id, line) => self.add(id.as_deref(), line.clone(), owner),
            Move::Removed(id, product, quantity) => self.remove(id.as_deref(), product, *quantity, owner),
        }
    }

    /// Puts a line in, opening a cart if there is none or the shop names another one.
    fn add(&mut self, id: Option<&str>, line: CartLine, owner: &str) {
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
    fn remove(&mut self, id: Option<&str>, product_id: &str, quantity: Option<i64>, owner: &str) {
        self.open(id, owner);
        if let Some(line) = self.lines.iter_mut().find(|it| it.product_id == product_id) {
            line.quantity = quantity.map_or(0, |it| line.quantity.saturating_sub(it));
        }
        self.lines.retain(|it| it.quantity > 0);
    }

    /// Replaces all lines by those that were shown.
    fn show(&mut self, id: Option<&str>, lines: Vec<CartLine>, owner: &str) {
        self.open(id, owner);
        self.lines = lines;
        self.lines.retain(|it| it.quantity > 0);
    }

    /// Empties it, as an order does: the next thing put in opens a new one.
    fn empty(&mut self, at: i64) {
        self.emptied = self.emptied.max(at);
        self.lines.clear();
        self.id.clear();
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
    use proptest::prelude::*;

    const OWNER: &str = "0123456789";

    fn line(product: &str, quantity: i64) -> CartLine {
        CartLine { product_id: product.to_owned(), name: None, quantity, price: 100 }
    }

    fn added(product: &str, quantity: i64) -> Move {
        Move::Added(None, line(product, quantity))
    }

    fn removed(product: &str, quantity: Option<i64>) -> Move {
        Move::Removed(None, product.to_owned(), quantity)
    }

    fn ordered(id: &str) -> Move {
        Move::Ordered(id.to_owned())
    }

    fn played(moves: &[(i64, Move)]) -> (Cart, Vec<String>) {
        let (mut cart, mut orders) = (Cart::default(), Vec::new());
        moves.iter().for_each(|(at, it)| cart.take(*at, it.clone(), &mut orders, OWNER));
        (cart, orders)
    }

    fn held(moves: &[(i64, Move)]) -> (String, Vec<(String, i64)>) {
        let (cart, orders) = played(moves);
        let now = cart.now(&orders, OWNER);
        (now.id, now.lines.into_iter().map(|it| (it.product_id, it.quantity)).collect())
    }

    fn of(id: &str, lines: &[(&str, i64)]) -> (String, Vec<(String, i64)>) {
        (id.to_owned(), lines.iter().map(|it| (it.0.to_owned(), it.1)).collect())
    }

    #[test]
    fn units_are_added_up_and_taken_out() {
        let mut moves = vec![(1, added("a", 1)), (2, added("a", 2)), (3, added("b", 1))];
        assert_eq!(held(&moves), of("01234567-1", &[("a", 3), ("b", 1)]));
        moves.extend([(4, removed("a", Some(1))), (5, removed("b", None))]);
        assert_eq!(held(&moves), of("01234567-1", &[("a", 2)]));
    }

    #[test]
    fn after_an_order_the_next_cart_is_another_one() {
        let mut moves = vec![(1, added("a", 1)), (10, ordered("7"))];
        assert_eq!(held(&moves), of("", &[]));
        assert!(!played(&moves).0.now(&[], OWNER).concerns(9));
        moves.push((11, added("b", 1)));
        assert_eq!(held(&moves), of("01234567-2", &[("b", 1)]));
        moves.push((12, Move::Added(Some("shop-7".to_owned()), line("c", 1))));
        assert_eq!(held(&moves), of("shop-7", &[("c", 1)]));
    }

    #[test]
    fn what_comes_late_takes_its_place() {
        // Taken out before it was put in; an order that leaves what was put in after it; the same order, reported later.
        assert_eq!(held(&[(2, removed("a", None)), (1, added("a", 1))]).1, []);
        let late = [(1, added("a", 1)), (3, added("b", 1)), (2, ordered("7"))];
        assert_eq!(held(&late), of("01234567-2", &[("b", 1)]));
        let twice = [(1, added("a", 1)), (4, ordered("7")), (3, added("b", 1)), (2, ordered("7"))];
        assert_eq!(held(&twice), of("01234567-2", &[("b", 1)]));
    }

    #[test]
    fn of_many_events_only_the_latest_are_played_again() {
        let moves: Vec<(i64, Move)> = (1..=100).map(|it| (it, added("a", 1))).collect();
        let (cart, orders) = played(&moves);
        assert_eq!((cart.moves.len(), held(&moves).1), (KEPT, vec![("a".to_owned(), 100)]));
        let mut late = cart.clone();
        late.take(50, added("b", 1), &mut orders.clone(), OWNER);
        assert_eq!(late, cart, "it is in no cart");
    }

    fn any_move() -> impl Strategy<Value = Move> {
        let product = || prop::sample::select(vec!["a", "b", "c"]);
        let cart = prop::sample::select(vec![None, Some("x".to_owned())]);
        prop_oneof![
            (product(), 1..3_i64).prop_map(|(product, units)| added(product, units)),
            (product(), prop::sample::select(vec![None, Some(1)])).prop_map(|(it, units)| removed(it, units)),
            (cart, product()).prop_map(|(cart, it)| Move::Shown(cart, vec![line(it, 2)])),
            product().prop_map(ordered),
        ]
    }

    proptest! {
        #[test]
        fn events_in_any_order_and_of_two_profiles_come_to_the_same(
            moves in prop::collection::vec((0..8_i64, any_move()), 0..KEPT),
            keys in prop::collection::vec(any::<u64>(), KEPT),
        ) {
            let mut sorted = moves.clone();
            sorted.sort_by_key(|it| it.0);
            let mut shuffled: Vec<_> = moves.into_iter().zip(&keys).collect();
            shuffled.sort_by_key(|(_, key)| **key);
            let (one, other): (Vec<_>, Vec<_>) = shuffled.into_iter().partition(|(_, key)| *key % 2 == 0);
            let bare = |it: Vec<((i64, Move), &u64)>| it.into_iter().map(|it| it.0).collect::<Vec<_>>();
            let ((mut one, mut orders), (other, _)) = (played(&bare(one)), played(&bare(other)));
            one.merge(other, &mut orders, OWNER);
            let (straight, known) = played(&sorted);
            prop_assert_eq!(one.now(&orders, OWNER), straight.now(&known, OWNER));
        }
    }
}
