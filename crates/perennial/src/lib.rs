//! Perennial as one program: the only crate that knows every service.

pub mod cli;
pub mod import;
pub mod output;
pub mod simulator;
