//! Which order money goes back for, where a file says only who brought back what.

use std::collections::{HashMap, VecDeque};

use sha2::{Digest, Sha256};

/// So many of the latest lines that were sold are remembered.
const REMEMBERED: usize = 1 << 18;

/// Units of a product that a customer bought and has not brought back.
#[derive(Debug)]
struct Sale {
    order: String,
    units: f64,
}

/// The latest lines that were sold.
#[derive(Debug, Default)]
pub struct Sold {
    sales: HashMap<u64, VecDeque<Sale>>,
    latest: VecDeque<u64>,
}

impl Sold {
    /// A customer bought units of a product.
    pub fn add(&mut self, customer: &str, product: &str, order: &str, units: f64) {
        let key = key(customer, product);
        self.sales.entry(key).or_default().push_back(Sale { order: order.to_owned(), units });
        self.latest.push_back(key);
        if self.latest.len() > REMEMBERED
            && let Some(oldest) = self.latest.pop_front()
            && let Some(sales) = self.sales.get_mut(&oldest)
        {
            sales.pop_front();
            if sales.is_empty() {
                self.sales.remove(&oldest);
            }
        }
    }

    /// A customer brings units back: the orders they are of, the latest first, with their share. What nobody remembers
    /// to have sold is of no order.
    pub fn take(&mut self, customer: &str, product: &str, units: f64) -> Vec<(Option<String>, f64)> {
        let mut left = units;
        let mut found = Vec::new();
        for sale in self.sales.get_mut(&key(customer, product)).into_iter().flatten().rev() {
            let taken = left.min(sale.units);
            if taken > 0.0 {
                // An entry stays when nothing is left of it, so that each goes in its turn.
                sale.units -= taken;
                left -= taken;
                found.push((Some(sale.order.clone()), taken / units));
            }
        }
        if left > 0.0 || found.is_empty() {
            found.push((None, if units > 0.0 { left / units } else { 1.0 }));
        }
        found
    }
}

fn key(customer: &str, product: &str) -> u64 {
    let mut hash = Sha256::new();
    for part in [customer, product] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    u64::from_be_bytes(hash.finalize()[..8].try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_is_of_the_latest_order_that_has_it() {
        let mut sold = Sold::default();
        sold.add("ana", "mug", "1", 2.0);
        sold.add("ana", "mug", "2", 3.0);
        sold.add("ben", "mug", "3", 9.0);
        let of = |order: &str, share| (Some(order.to_owned()), share);
        assert_eq!(sold.take("ana", "mug", 1.0), [of("2", 1.0)]);
        assert_eq!(sold.take("ana", "mug", 4.0), [of("2", 0.5), of("1", 0.5)]);
        assert_eq!(sold.take("ana", "mug", 1.0), [(None, 1.0)]);
        assert_eq!(sold.take("ana", "pot", 1.0), [(None, 1.0)]);
        assert_eq!(sold.take("ben", "mug", 10.0), [of("3", 0.9), (None, 0.1)]);
    }

    #[test]
    fn only_so_much_is_remembered() {
        let mut sold = Sold::default();
        for n in 0..=REMEMBERED {
            sold.add("ana", &n.to_string(), "1", 1.0);
        }
        assert_eq!(sold.take("ana", "0", 1.0), [(None, 1.0)]);
        assert_eq!(sold.latest.len(), REMEMBERED);
        assert_eq!(sold.sales.len(), REMEMBERED);
    }
}
