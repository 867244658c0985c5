//! Whether a campaign earned anything, with an interval that stays valid however often it is looked at.

mod lift;
mod moments;
mod report;
mod sequence;
#[cfg(test)]
mod tests;

pub use lift::{Lift, measured};
pub use moments::Moments;
pub use report::{Arm, Effect, Report, report};
