//! The `perennial` program.

fn main() {}
