//! The gRPC edge, the same for every service: what comes in is parsed here, what goes wrong is told here.
//!
//! Knows tonic and the generated messages; knows no service, no database and no configuration.

mod caller;
mod chain;
pub mod facts;
mod identity;
mod invalid;
mod limits;
mod page;
mod peer;
mod resource;
mod status;
pub mod structs;
pub mod time;
mod transport;

pub use caller::{Caller, Key, REQUEST_ID, caller, request_id};
pub use chain::Chain;
pub use identity::Identity;
pub use invalid::{Field, Invalid};
pub use limits::{MAX_ANSWER, MAX_REQUEST};
pub use page::{Page, page_size};
pub use peer::PeerFault;
pub use resource::{resource, workspace};
pub use status::{DOMAIN, code, status, timed_out};
pub use transport::{Transport, local, remote};
