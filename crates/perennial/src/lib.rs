//! Perennial as one program: the only crate that knows every service.
//!
//! `cli` is what can be said, `program` decides where it is done, `commands` do it over a `session` that cannot tell
//! whether the services are here or elsewhere. `compose` puts the services together. `simulator` is a shop whose
//! customers are known to the last coin toss, and `demo` runs the product on it.

pub mod cli;
pub mod commands;
pub mod compose;
pub mod config;
pub mod demo;
pub mod embedded;
pub mod export;
pub mod folder;
pub mod import;
pub mod output;
pub mod program;
pub mod session;
pub mod settings;
pub mod simulator;
