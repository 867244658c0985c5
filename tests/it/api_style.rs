//! The style of our API, checked on every proto there is: AIP-121 to 158 as far as a machine can tell.

use prost_reflect::{DescriptorPool, Kind, MessageDescriptor, MethodDescriptor};

fn pool() -> DescriptorPool {
    DescriptorPool::decode(perennial_api::DESCRIPTORS).unwrap()
}

fn methods() -> Vec<MethodDescriptor> {
    let pool = pool();
    let ours = pool.services().filter(|it| it.full_name().starts_with("perennial."));
    ours.flat_map(|it| it.methods().collect::<Vec<_>>()).collect()
}

fn has(message: &MessageDescriptor, field: &str) -> bool {
    message.get_field_by_name(field).is_some()
}

#[test]
fn lists_have_pages() {
    for method in methods().iter().filter(|it| it.name().starts_with("List")) {
        // Readers of this process are a handful, and come whole.
        if method.name() == "ListConsumers" {
            continue;
        }
        let (input, output) = (method.input(), method.output());
        assert!(has(&input, "page_size") && has(&input, "page_token"), "{}: AIP-158", method.full_name());
        assert!(has(&output, "next_page_token"), "{}: AIP-158", method.full_name());
    }
}

#[test]
fn gets_and_deletes_take_a_name() {
    for method in methods() {
        let of_one = method.name().starts_with("Get") || method.name().starts_with("Delete");
        let clock = method.parent_service().name() == "ClockService";
        if of_one && !clock {
            // A singleton is named by its parent (AIP-156).
            let named = has(&method.input(), "name") || has(&method.input(), "parent");
            assert!(named, "{}: AIP-131, AIP-135", method.full_name());
        }
    }
}

#[test]
fn instants_are_timestamps_and_enums_start_unspecified() {
    let pool = pool();
    for message in pool.all_messages().filter(|it| it.full_name().starts_with("perennial.")) {
        for field in message.fields().filter(|it| it.name().ends_with("_time")) {
            let timestamp =
                matches!(field.kind(), Kind::Message(it) if it.full_name() == "google.protobuf.Timestamp");
            assert!(timestamp, "{}: AIP-142", field.full_name());
        }
    }
    for it in pool.all_enums().filter(|it| it.full_name().starts_with("perennial.")) {
        let zero = it.get_value(0).unwrap();
        assert!(zero.name().ends_with("_UNSPECIFIED"), "{}: AIP-126", it.full_name());
    }
}
