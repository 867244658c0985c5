//! Campaigns: journeys over live facts, scores and segments, one arbiter for every contact, and the proof of what
//! they earned.

pub mod domain;
