//! How large a message may be, alike for every service.

/// The largest message a service takes in, in bytes.
pub const MAX_REQUEST: usize = 4 << 20;

/// The largest message a service answers, in bytes.
pub const MAX_ANSWER: usize = 16 << 20;

/// A generated server with the limits of message sizes, ready to be mounted:
/// `server!(SegmentationServiceServer::new(edge))`.
#[macro_export]
macro_rules! server {
    ($server:expr) => {
        $server.max_decoding_message_size($crate::MAX_REQUEST).max_encoding_message_size($crate::MAX_ANSWER)
    };
}

/// A generated client with the limits of message sizes: `client!(SegmentationServiceClient::new(transport))`.
#[macro_export]
macro_rules! client {
    ($client:expr) => {
        $client.max_decoding_message_size($crate::MAX_ANSWER).max_encoding_message_size($crate::MAX_REQUEST)
    };
}
