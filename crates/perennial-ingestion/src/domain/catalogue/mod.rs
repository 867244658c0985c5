//! What a shop sells: products as feeds tell them, what they cost, and which of their changes count.

pub mod batch;
pub mod costs;
pub mod guard;
pub mod product;
#[cfg(test)]
mod tests;
