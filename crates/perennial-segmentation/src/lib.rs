//! Segments and lifecycle stages, live and exact in time.
//!
//! A rule is a line of CEL over what is known of a profile. It is type-checked once and then evaluated for a profile
//! whenever something it looks at changes, or at the exact instant at which time alone changes its answer.

mod domain;
