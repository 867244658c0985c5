//! Perennial as one program: the only crate that knows every service.

pub mod import;
pub mod simulator;
