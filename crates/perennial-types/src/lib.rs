//! The words all of Perennial shares: who, when, how much, what happened, and what can go wrong.
//!
//! Nothing here does I/O, knows a database or a wire format; that is what lets every rule of the product be
//! tested without either.

mod clock;
mod fact;
mod fault;
mod id;
mod money;
mod order;
mod scalar;

pub use clock::{Clock, SimulatedClock, Timestamp, from_micros, micros};
pub use fact::{
    CartLine, Channel, ConsentChange, Fact, FactKind, Identifier, IdentifierKind, MessageEvent,
    MessageReaction, Purpose,
};
pub use fault::{Detail, Fault, Kind};
pub use id::{InvalidName, MergeId, ProfileId, Workspace, hash_draw, new_id, parse_resource};
pub use money::{Currency, Money, MoneyError};
pub use order::{OrderChange, OrderLine, OrderPlaced, OrderRefunded, OrderState};
pub use scalar::{Properties, Scalar};
