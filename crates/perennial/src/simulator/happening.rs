//! What happens in the shop, in its own words.

use perennial_types::Timestamp;

/// One thing one customer does, or that happens to them.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// When.
    pub at: Timestamp,
    /// Whose: the customer's number.
    pub customer: u32,
    /// Its number among the things of its kind of that customer: makes its id the same in every run.
    pub key: String,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The customer tells who they are.
    Identified,
    /// A product page is looked at; before they were identified if `anonymous`.
    Viewed {
        /// The product.
        line: Line,
        /// By a visitor nobody knows yet.
        anonymous: bool,
    },
    /// A product goes into the cart.
    Added {
        /// The cart.
        cart: String,
        /// What went in.
        line: Line,
    },
    /// Checkout begins.
    CheckoutStarted {
        /// The cart.
        cart: String,
        /// What is in it.
        lines: Vec<Line>,
    },
    /// An order.
    Ordered(Box<Order>),
    /// Money goes back, in cents; nothing said: all of it.
    Refunded {
        /// The order.
        order: String,
        /// How much.
        amount: Option<i64>,
    },
    /// A question or a complaint.
    TicketOpened {
        /// What it is about.
        topic: &'static str,
    },
    /// A message of ours is opened.
    Opened(LetterId),
    /// A link in it is followed.
    Clicked(LetterId),
    /// The customer wants no more of them.
    Unsubscribed(LetterId),
}

/// The name of a message as it was delivered: what its file is called.
pub type LetterId = String;

/// A product and how many of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its place in the catalogue.
    pub product: u16,
    /// Units.
    pub quantity: i64,
}

/// An order, money in cents.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The shop's number for it.
    pub id: String,
    /// The cart it was.
    pub cart: String,
    /// What was bought.
    pub lines: Vec<Line>,
    /// Taken off the goods.
    pub discount: i64,
    /// Shipping asked for.
    pub shipping: i64,
    /// The coupon used.
    pub coupon: Option<String>,
}
