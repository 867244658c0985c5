//! What scoring does unasked: keeps scores current as orders arrive, and fits models when they are due.

mod fold;
mod schedule;

pub use fold::ScoreFold;
pub use schedule::{Fitter, PUBLISH};
