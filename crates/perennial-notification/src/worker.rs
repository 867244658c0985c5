//! What notification does unasked: it hands messages over, keeps the projection of consent, and sends its events to
//! ingestion.

mod consent;
mod courier;
mod events;

pub use consent::Consents;
pub use courier::{Courier, Lag};
pub use events::ToIngestion;
