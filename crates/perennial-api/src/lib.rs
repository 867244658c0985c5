//! Everything generated from `proto/`: messages, clients and servers, one module a package. Nothing here is by hand.

include!(concat!(env!("OUT_DIR"), "/modules.rs"));

/// Every file of `proto/` as an encoded `FileDescriptorSet`: for reflection, and for the tests of API style.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The scope that a caller of each method needs, by the method's path, such as `/perennial.profile.v1.ProfileService/GetProfile`;
/// sorted by path.
pub const SCOPES: &[(&str, access::v1::Scope)] = include!(concat!(env!("OUT_DIR"), "/scopes.rs"));

/// The scope that a caller of the method with this path needs; none for methods that are not ours.
pub fn scope(path: &str) -> Option<access::v1::Scope> {
    let found = SCOPES.binary_search_by(|(it, _)| (*it).cmp(path)).ok()?;
    Some(SCOPES[found].1)
}
