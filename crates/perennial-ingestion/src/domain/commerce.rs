//! The names of the commerce specification, its older names, and what they mean to us.

use perennial_types::{Channel, MessageEvent};

/// What an event of a known name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commerce {
    /// Only its name is known.
    Named,
    /// Product Viewed.
    ProductViewed,
    /// Product Added, Wishlist Product Added to Cart.
    ProductAdded,
    /// Product Removed.
    ProductRemoved,
    /// Cart Viewed.
    CartViewed,
    /// Checkout Started.
    CheckoutStarted,
    /// Order Completed.
    OrderCompleted,
    /// Order Updated.
    OrderUpdated,
    /// Order Refunded.
    OrderRefunded,
    /// Order Cancelled.
    OrderCancelled,
    /// Consent Changed.
    ConsentChanged,
    /// Consent Confirmed.
    ConsentConfirmed,
}

const NAMES: [(&str, Commerce); 46] = [
    ("Product Viewed", Commerce::ProductViewed),
    ("Product Added", Commerce::ProductAdded),
    ("Product Removed", Commerce::ProductRemoved),
    ("Cart Viewed", Commerce::CartViewed),
    ("Checkout Started", Commerce::CheckoutStarted),
    ("Order Completed", Commerce::OrderCompleted),
    ("Order Updated", Commerce::OrderUpdated),
    ("Order Refunded", Commerce::OrderRefunded),
    ("Order Cancelled", Commerce::OrderCancelled),
    ("Wishlist Product Added to Cart", Commerce::ProductAdded),
    ("Consent Changed", Commerce::ConsentChanged),
    ("Consent Confirmed", Commerce::ConsentConfirmed),
    ("Products Searched", Commerce::Named),
    ("Product List Viewed", Commerce::Named),
    ("Product List Filtered", Commerce::Named),
    ("Promotion Viewed", Commerce::Named),
    ("Promotion Clicked", Commerce::Named),
    ("Product Clicked", Commerce::Named),
    ("Checkout Step Viewed", Commerce::Named),
    ("Checkout Step Completed", Commerce::Named),
    ("Payment Info Entered", Commerce::Named),
    ("Coupon Entered", Commerce::Named),
    ("Coupon Applied", Commerce::Named),
    ("Coupon Denied", Commerce::Named),
    ("Coupon Removed", Commerce::Named),
    ("Product Added to Wishlist", Commerce::Named),
    ("Product Removed from Wishlist", Commerce::Named),
    ("Product Shared", Commerce::Named),
    ("Cart Shared", Commerce::Named),
    ("Product Reviewed", Commerce::Named),
    ("Email Delivered", Commerce::Named),
    ("Email Opened", Commerce::Named),
    ("Email Clicked", Commerce::Named),
    ("Email Bounced", Commerce::Named),
    ("Email Complained", Commerce::Named),
    ("Email Unsubscribed", Commerce::Named),
    ("Email Subscribed", Commerce::Named),
    ("SMS Delivered", Commerce::Named),
    ("SMS Clicked", Commerce::Named),
    ("SMS Bounced", Commerce::Named),
    ("SMS Unsubscribed", Commerce::Named),
    ("SMS Subscribed", Commerce::Named),
    ("Push Delivered", Commerce::Named),
    ("Push Opened", Commerce::Named),
    ("Push Unsubscribed", Commerce::Named),
    ("Push Subscribed", Commerce::Named),
];

/// Names of the first version of the specification, and spellings seen in the wild.
const ALIASES: [(&str, &str); 18] = [
    ("Viewed Product", "Product Viewed"),
    ("Added Product", "Product Added"),
    ("Removed Product", "Product Removed"),
    ("Viewed Cart", "Cart Viewed"),
    ("Started Checkout", "Checkout Started"),
    ("Completed Order", "Order Completed"),
    ("Updated Order", "Order Updated"),
    ("Refunded Order", "Order Refunded"),
    ("Cancelled Order", "Order Cancelled"),
    ("Order Canceled", "Order Cancelled"),
    ("Viewed Product Category", "Product List Viewed"),
    ("Viewed Checkout Step", "Checkout Step Viewed"),
    ("Completed Checkout Step", "Checkout Step Completed"),
    ("Viewed Promotion", "Promotion Viewed"),
    ("Clicked Promotion", "Promotion Clicked"),
    ("Searched Products", "Products Searched"),
    ("Email Link Clicked", "Email Clicked"),
    ("Email Marked as Spam", "Email Complained"),
];

/// The specification's name for `name` and what it means; none for names of the sender's own.
pub fn known(name: &str) -> Option<(&'static str, Commerce)> {
    let direct = |name: &str| NAMES.iter().find(|(known, _)| same(known, name)).copied();
    direct(name).or_else(|| {
        let (_, meant) = ALIASES.iter().find(|(alias, _)| same(alias, name))?;
        direct(meant)
    })
}

/// Equal but for case, and for `_` and `-` in place of blanks.
fn same(known: &str, name: &str) -> bool {
    known.len() == name.len()
        && known
            .bytes()
            .zip(name.bytes())
            .all(|(a, b)| a.eq_ignore_ascii_case(&b) || (a == b' ' && (b == b'_' || b == b'-')))
}

/// Reads names such as `Email Clicked`: what became of a message, and on which channel.
pub fn reaction(name: &str) -> Option<(Channel, Reaction)> {
    let (channel, verb) = name.split_once(' ')?;
    let channel = Channel::parse(&channel.to_ascii_lowercase())?;
    let reaction = match verb {
        "Subscribed" => Reaction::Subscribed,
        verb => Reaction::Event(MessageEvent::parse(&verb.to_ascii_lowercase())?),
    };
    Some((channel, reaction))
}

/// What mail servers and providers do with a message, and its receiver does not.
const HANDLING: [&str; 9] =
    ["Sent", "Processed", "Delivered", "Deferred", "Dropped", "Bounced", "Blocked", "Failed", "Rejected"];

/// Whether an event tells what a machine did with a message: no sign of life of whom it was for.
pub fn is_handling(name: &str) -> bool {
    let split = name.split_once([' ', '_', '-']);
    split.is_some_and(|(channel, verb)| {
        Channel::parse(&channel.to_ascii_lowercase()).is_some() && HANDLING.iter().any(|it| same(it, verb))
    })
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Somebody subscribed to the channel.
    Subscribed,
    /// A step in the message's life.
    Event(MessageEvent),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_names_and_spellings_mean_what_the_new_ones_do() {
        for name in
            ["Order Completed", "Completed Order", "order_completed", "ORDER COMPLETED", "order-completed"]
        {
            assert_eq!(known(name), Some(("Order Completed", Commerce::OrderCompleted)), "{name}");
        }
        assert_eq!(known("Viewed Checkout Step"), Some(("Checkout Step Viewed", Commerce::Named)));
        assert_eq!(known("Song Played"), None);
        assert_eq!(reaction("Email Clicked"), Some((Channel::Email, Reaction::Event(MessageEvent::Clicked))));
        assert_eq!(reaction("Song Played"), None);
    }

    #[test]
    fn what_machines_do_with_a_message_is_no_sign_of_life() {
        for name in ["Email Delivered", "SMS Bounced", "push_failed", "Email dropped"] {
            assert!(is_handling(name), "{name}");
        }
        for name in
            ["Email Opened", "Email Clicked", "Email Unsubscribed", "Email Complained", "Order Delivered"]
        {
            assert!(!is_handling(name), "{name}");
        }
    }
}
