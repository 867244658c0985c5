//! Which event names there are: a rule about one that does not exist would never match, and nobody would notice.

use std::collections::BTreeSet;

/// Names known without having been seen: the commerce specification, and what we track ourselves.
const STANDARD: [&str; 62] = [
    "Account Created",
    "Cart Shared",
    "Cart Viewed",
    "Checkout Started",
    "Checkout Step Completed",
    "Checkout Step Viewed",
    "Coupon Applied",
    "Coupon Denied",
    "Coupon Entered",
    "Coupon Removed",
    "Email Bounced",
    "Email Clicked",
    "Email Complained",
    "Email Delivered",
    "Email Link Clicked",
    "Email Marked as Spam",
    "Email Opened",
    "Email Unsubscribed",
    "Identify",
    "Group",
    "Message Bounced",
    "Message Clicked",
    "Message Complained",
    "Message Delivered",
    "Message Opened",
    "Message Unsubscribed",
    "Order Cancelled",
    "Order Completed",
    "Order Delivered",
    "Order Refunded",
    "Order Shipped",
    "Order Updated",
    "Page",
    "Payment Failed",
    "Payment Info Entered",
    "Product Added",
    "Product Added to Wishlist",
    "Product Clicked",
    "Product List Filtered",
    "Product List Viewed",
    "Product Removed",
    "Product Removed from Wishlist",
    "Product Reviewed",
    "Product Shared",
    "Product Viewed",
    "Products Searched",
    "Promotion Clicked",
    "Promotion Viewed",
    "Screen",
    "Signed In",
    "Signed Up",
    "Subscription Cancelled",
    "Subscription Renewed",
    "Subscription Started",
    "Support Ticket Closed",
    "Support Ticket Opened",
    "Survey Answered",
    "Trial Ended",
    "Trial Started",
    "Wishlist Product Added to Cart",
    "Campaign Goal Reached",
    "Coupon Redeemed",
];

/// The event names of a workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownEvents(BTreeSet<String>);

impl KnownEvents {
    /// The standard names and the names that were seen.
    pub fn with_seen(seen: impl IntoIterator<Item = String>) -> Self {
        Self(seen.into_iter().chain(STANDARD.into_iter().map(str::to_owned)).collect())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is an event of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// The name that was probably meant.
    pub fn like(&self, name: &str) -> Option<&str> {
        nearest(name, self.0.iter().map(String::as_str))
    }
}

/// The candidate that differs least from `word`, if it is near enough to have been meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let most = ((word.chars().count() + 1) / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(|it| (distance(&word, &it.to_lowercase()), it))
        .filter(|(far, _)| *far <= most)
        .min()
        .map(|(_, it)| it)
}

/// Edits (insert, delete, replace) between two words.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(80).collect(), b.chars().take(80).collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if x == y { diagonal } else { 1 + diagonal.min(above).min(row[j]) };
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_was_meant_is_found() {
        let known = KnownEvents::with_seen(["Podcast Played".to_owned()]);
        assert_eq!(known.like("Order Complete"), Some("Order Completed"));
        assert_eq!(known.like("podcast played"), Some("Podcast Played"));
        assert_eq!(known.like("Rocket Launched"), None);
    }
}
