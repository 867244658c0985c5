//! What a message is and when it may be sent. No I/O.

pub mod compose;
pub mod links;
pub mod mail;
pub mod message;
pub mod reaction;
pub mod template;
