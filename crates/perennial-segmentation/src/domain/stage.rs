//! The lifecycle stages: ordered rules, the first that holds wins.

use perennial_types::Currency;

use super::rule::{Expr, KnownEvents, RuleFault, Vocabulary, check};

/// The default stages and their rules, in order.
pub const DEFAULT_STAGES: [(&str, &str); 9] = [
    ("lapsed", "orders >= 1 && lapsed"),
    ("at_risk", "orders >= 1 && overdue && !lapsed"),
    ("reactivated", "orders >= 1 && reactivated"),
    ("loyal", "orders >= 2 && clv.percentile >= 0.8"),
    ("repeat_customer", "orders >= 2"),
    ("new_customer", "orders == 1"),
    (
        "evaluating",
        r#"orders == 0 && (did("Product Viewed", "14d") || did("Product Clicked", "14d") || did("Product Added", "14d")
            || did("Cart Viewed", "14d") || did("Checkout Started", "14d") || did("Checkout Step Viewed", "14d")
            || did("Checkout Step Completed", "14d") || did("Payment Info Entered", "14d"))"#,
    ),
    (
        "lead",
        r#"identified || consent("email", "marketing") || consent("sms", "marketing") || consent("push", "marketing")"#,
    ),
    ("anonymous", "true"),
];

/// One stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// Its rule, checked.
    pub expr: Expr,
}

/// The default stages, ready to evaluate.
///
/// # Errors
/// None: a test checks every one of them.
pub fn default_stages(currency: Currency) -> Result<Vec<Stage>, RuleFault> {
    let vocabulary = Vocabulary {
        events: KnownEvents::with_seen([]),
        any_event: false,
        currency,
        segments: Default::default(),
        stages: Vec::new(),
    };
    let stage =
        |(name, rule): (&str, &str)| Ok(Stage { name: name.to_owned(), expr: check(rule, &vocabulary)? });
    DEFAULT_STAGES.into_iter().map(stage).collect()
}
