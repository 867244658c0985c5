//! Everything generated from `proto/`: messages, clients and servers, one module a package. Nothing here is by hand.

include!(concat!(env!("OUT_DIR"), "/modules.rs"));

/// Every file of `proto/` as an encoded `FileDescriptorSet`: for reflection, and for the tests of API style.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
