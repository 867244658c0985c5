//! The edge: takes events in over the Segment wire and gRPC, each once; decides whose they are and what they mean; keeps
//! profiles, consent and the durable log that every other service reads.

mod domain;
